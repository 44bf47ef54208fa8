// SPDX-License-Identifier: Apache-2.0
#include "agent/api/json.h"

#include <math.h>
#include <time.h>

#include "agent/control.h"
#include "lib/util.h"

/* --- shared by all answers -------------------------------------------------------------------- */

struct json_object *drpc_json_number(double value)
{
	struct json_object *number;

	if (!isfinite(value))
		return NULL;
	number = json_object_new_double(value);
	if (number)
		json_object_set_serializer(number, json_object_double_to_json_string,
					   (void *)(uintptr_t) "%.6g", NULL);
	return number;
}

struct json_object *drpc_json_time(uint64_t realtime_ns)
{
	time_t sec = (time_t)(realtime_ns / DRPC_NSEC_PER_SEC);
	unsigned int msec = (unsigned int)(realtime_ns % DRPC_NSEC_PER_SEC / DRPC_NSEC_PER_MSEC);
	char text[40], whole[32];
	struct tm tm;

	if (!gmtime_r(&sec, &tm) || strftime(whole, sizeof(whole), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		return NULL;
	snprintf(text, sizeof(text), "%s.%03uZ", whole, msec);
	return json_object_new_string(text);
}

double drpc_json_cpu_cores(const struct drpc_limits *limits)
{
	uint64_t mcpu = drpc_limits_cpu_mcpu(limits);

	return mcpu == DRPC_UNLIMITED ? 0 : (double)mcpu / 1000;
}

double drpc_json_memory_mib(const struct drpc_limits *limits)
{
	uint64_t bytes = limits->mem_max_bytes != DRPC_UNLIMITED ? limits->mem_max_bytes
								 : limits->mem_high_bytes;

	return bytes == DRPC_UNLIMITED ? 0 : (double)bytes / (double)DRPC_MIB;
}

struct json_object *drpc_json_limits(const struct drpc_limits *limits, uint32_t replicas)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "cpu_cores", drpc_json_number(drpc_json_cpu_cores(limits)));
	json_object_object_add(o, "memory_mib", drpc_json_number(drpc_json_memory_mib(limits)));
	json_object_object_add(o, "replicas", json_object_new_int64(replicas));
	return o;
}

/* --- ls --------------------------------------------------------------------------------------- */

static const char *mode_of(const struct drpc_agent *agent, const struct drpc_deployment *d)
{
	if (d->policy.mode != DRPC_MODE_OFF && (agent->paused || d->paused))
		return "paused";
	return drpc_mode_name(d->policy.mode);
}

struct json_object *drpc_json_container(const struct drpc_agent *agent,
					const struct drpc_container *container, uint64_t now_ns)
{
	const struct drpc_deployment *d = container->deployment;
	const struct drpc_control *control = d->control;
	struct json_object *o = json_object_new_object();
	double cpu_limit = 0, memory_limit = 0;
	struct drpc_view v;

	drpc_view_container(container, now_ns, DRPC_LS_SPAN_NS, &v);
	/* Over the cap: what it serves is counted, but not as its own. */
	if (container->slot == DRPC_SLOT_OTHER && agent->kernel)
		v.coverage = 0;
	if (control && control->limits_known) {
		cpu_limit = drpc_json_cpu_cores(&control->limits);
		memory_limit = drpc_json_memory_mib(&control->limits);
	}
	json_object_object_add(o, "id", json_object_new_string(container->id));
	json_object_object_add(o, "name", json_object_new_string(container->name));
	json_object_object_add(o, "deployment", json_object_new_string(d->name));
	json_object_object_add(o, "mode", json_object_new_string(mode_of(agent, d)));
	json_object_object_add(o, "rate_rps", drpc_json_number(v.rate_rps));
	json_object_object_add(o, "error_rate", drpc_json_number(v.error_rate));
	json_object_object_add(o, "p50_ms", drpc_json_number(v.p50_ms));
	json_object_object_add(o, "p99_ms", drpc_json_number(v.p99_ms));
	json_object_object_add(o, "slo_p99_ms",
			       drpc_json_number((double)d->policy.slo_p99_ns / 1e6));
	json_object_object_add(o, "queue_share", drpc_json_number(v.queue_share));
	json_object_object_add(o, "cpu_usage_cores", drpc_json_number(v.cpu_usage_cores));
	json_object_object_add(o, "cpu_limit_cores", drpc_json_number(cpu_limit));
	json_object_object_add(o, "throttled_share", drpc_json_number(v.throttled_share));
	json_object_object_add(o, "cpu_pressure", drpc_json_number(v.cpu_pressure));
	json_object_object_add(o, "memory_usage_mib", drpc_json_number(v.memory_usage_mib));
	json_object_object_add(o, "memory_limit_mib", drpc_json_number(memory_limit));
	json_object_object_add(o, "memory_pressure", drpc_json_number(v.memory_pressure));
	json_object_object_add(o, "replicas", json_object_new_int64(d->replica_count));
	json_object_object_add(o, "coverage", drpc_json_number(v.coverage));
	json_object_object_add(o, "last_action",
			       json_object_new_string(control ? control->last_action : ""));
	return o;
}

struct json_object *drpc_json_containers(const struct drpc_agent *agent, uint64_t now_ns)
{
	struct json_object *list = json_object_new_array();

	for (const struct drpc_container *c = drpc_roster_next(agent->roster, NULL); c;
	     c = drpc_roster_next(agent->roster, c))
		json_object_array_add(list, drpc_json_container(agent, c, now_ns));
	return list;
}
