// SPDX-License-Identifier: Apache-2.0
#include "agent/api/json.h"
#include "agent/api/summary.h"
#include "agent/control.h"
#include "agent/monitor/use.h"
#include "lib/util.h"

static void add(struct json_object *o, const char *key, double value)
{
	json_object_object_add(o, key, drpc_json_number(value));
}

static void add_limits(struct json_object *o, const struct drpc_deployment *d)
{
	const struct drpc_control *control = d->control;
	bool known = control && control->limits_known;

	json_object_object_add(o, "limits_known", json_object_new_boolean(known));
	add(o, "cpu_limit_cores", known ? drpc_json_cpu_cores(&control->limits) : 0);
	add(o, "memory_limit_mib", known ? drpc_json_memory_mib(&control->limits) : 0);
	add(o, "min_cpu_cores", (double)d->policy.min_cpu_mcpu / 1000);
	add(o, "min_memory_mib", (double)d->policy.min_memory_bytes / (double)DRPC_MIB);
	add(o, "slo_p99_ms", (double)d->policy.slo_p99_ns / 1e6);
}

static void add_requests(struct json_object *o, const struct drpc_container *c)
{
	const struct drpc_total *total = c->series ? drpc_series_total(c->series) : NULL;
	struct drpc_hist_summary s = {0};

	if (total)
		drpc_hist_summarize(total->hist[DRPC_HIST_TOTAL], total->sum_ns[DRPC_HIST_TOTAL],
				    &s);
	json_object_object_add(o, "requests", json_object_new_uint64(s.count));
	add(o, "p99_ms", s.p99_ms);
}

static struct json_object *use_of(const struct drpc_container *c, uint64_t now_ns)
{
	struct json_object *o = json_object_new_object();
	struct drpc_use_view v;

	drpc_use_view(c->use, now_ns, &v);
	json_object_object_add(o, "name", json_object_new_string(c->name));
	json_object_object_add(o, "deployment", json_object_new_string(c->deployment->name));
	json_object_object_add(o, "engine", json_object_new_boolean(c->engine_known));
	json_object_object_add(o, "replicas", json_object_new_int64(c->deployment->replica_count));
	add(o, "watched_sec", v.watched_sec);
	add_limits(o, c->deployment);
	add_requests(o, c);
	add(o, "cpu_p50_cores", v.cpu_p50_mcpu / 1000);
	add(o, "cpu_p99_cores", v.cpu_p99_mcpu / 1000);
	add(o, "cpu_max_cores", v.cpu_max_mcpu / 1000);
	add(o, "throttled_share", v.throttled_share);
	add(o, "cpu_pressure", v.cpu_pressure);
	add(o, "memory_p99_mib", v.mem_p99_bytes / (double)DRPC_MIB);
	add(o, "memory_max_mib", v.mem_max_bytes / (double)DRPC_MIB);
	add(o, "memory_pressure", v.mem_pressure);
	add(o, "queue_share", v.queue_share);
	json_object_object_add(o, "oom_kills", json_object_new_uint64(v.oom_kills));
	return o;
}

struct json_object *drpc_json_use(const struct drpc_agent *agent, uint64_t now_ns)
{
	struct json_object *list = json_object_new_array();

	for (const struct drpc_container *c = NULL; (c = drpc_roster_next(agent->roster, c));)
		json_object_array_add(list, use_of(c, now_ns));
	return list;
}
