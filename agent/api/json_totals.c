// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>

#include "agent/api/json.h"
#include "agent/api/summary.h"
#include "agent/control.h"
#include "lib/hist.h"
#include "lib/util.h"

static void add_count(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

/* [[bucket, count], …]: of one scheme on both sides, so that nothing is rounded on the way. */
static struct json_object *pairs(const uint64_t hist[DRPC_HIST_BUCKETS])
{
	struct json_object *list = json_object_new_array();

	for (unsigned int b = 0; b < DRPC_HIST_BUCKETS; b++) {
		struct json_object *pair;

		if (hist[b] == 0)
			continue;
		pair = json_object_new_array();
		json_object_array_add(pair, json_object_new_int((int)b));
		json_object_array_add(pair, json_object_new_uint64(hist[b]));
		json_object_array_add(list, pair);
	}
	return list;
}

static void add_requests(struct json_object *o, const struct drpc_total *total, uint64_t inflight)
{
	add_count(o, "requests", total->turns);
	add_count(o, "errors", total->errors);
	add_count(o, "seen", total->seen);
	add_count(o, "lost",
		  total->dropped[DRPC_DROP_NO_STORAGE] + total->dropped[DRPC_DROP_MOVED] +
			  total->dropped[DRPC_DROP_CLOCK]);
	add_count(o, "in_flight", inflight);
	add_count(o, "total_ns", total->sum_ns[DRPC_HIST_TOTAL]);
	add_count(o, "queue_ns", total->sum_ns[DRPC_HIST_QUEUE]);
	add_count(o, "service_ns", total->sum_ns[DRPC_HIST_SERVICE]);
	add_count(o, "send_ns", total->sum_ns[DRPC_HIST_SEND]);
	json_object_object_add(o, "buckets", pairs(total->hist[DRPC_HIST_TOTAL]));
}

static void add_resources(struct json_object *o, const struct drpc_cgroup_counters *cg)
{
	add_count(o, "cpu_usage_usec", cg->cpu_usage_usec);
	add_count(o, "periods", cg->nr_periods);
	add_count(o, "throttled", cg->nr_throttled);
	add_count(o, "throttled_usec", cg->throttled_usec);
	add_count(o, "memory_bytes", cg->mem_current_bytes);
	add_count(o, "working_set_bytes", cg->mem_working_set_bytes);
	add_count(o, "oom_kills", cg->oom_kills);
}

static struct json_object *container_object(const struct drpc_container *c)
{
	static const struct drpc_total nothing;
	const struct drpc_control *control = c->deployment->control;
	const struct drpc_total *total = drpc_series_total(c->series);
	struct json_object *o = json_object_new_object();
	struct drpc_window_scalars last = {0};
	double cpu_limit = 0, memory_limit = 0;

	if (control && control->limits_known) {
		cpu_limit = drpc_json_cpu_cores(&control->limits);
		memory_limit = drpc_json_memory_mib(&control->limits) * (double)DRPC_MIB;
	}
	drpc_series_last(c->series, &last);
	json_object_object_add(o, "id", json_object_new_string(c->id));
	json_object_object_add(o, "name", json_object_new_string(c->name));
	json_object_object_add(o, "deployment", json_object_new_string(c->deployment->name));
	json_object_object_add(o, "slo_p99_ms",
			       drpc_json_number((double)c->deployment->policy.slo_p99_ns / 1e6));
	add_count(o, "end_ns", drpc_series_end_ns(c->series));
	add_requests(o, total ? total : &nothing, last.inflight > 0 ? (uint64_t)last.inflight : 0);
	add_resources(o, drpc_series_counters(c->series));
	json_object_object_add(o, "cpu_limit_cores", drpc_json_number(cpu_limit));
	add_count(o, "memory_limit_bytes", (uint64_t)memory_limit);
	return o;
}

/* NULL where the slot is nobody's. */
static struct json_object *id_of(const struct drpc_agent *agent, uint32_t slot)
{
	const struct drpc_container *c = drpc_roster_by_slot(agent->roster, slot);

	return slot != DRPC_SLOT_OTHER && c ? json_object_new_string(c->id) : NULL;
}

static struct json_object *edges(const struct drpc_agent *agent)
{
	_cleanup_free_ struct drpc_edge *list = NULL;
	struct json_object *array = json_object_new_array();
	size_t n = agent->kernel ? drpc_kernel_edges(agent->kernel, NULL, 0) : 0, there;

	if (n)
		list = calloc(n, sizeof(*list));
	if (!list)
		return array;
	there = drpc_kernel_edges(agent->kernel, list, n);
	for (size_t i = 0; i < DRPC_MIN(n, there); i++) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "caller", id_of(agent, list[i].caller_slot));
		json_object_object_add(o, "callee", id_of(agent, list[i].callee_slot));
		json_object_object_add(o, "address", json_object_new_string(list[i].address));
		add_count(o, "count", list[i].count);
		add_count(o, "failures", list[i].failures);
		add_count(o, "sum_ns", list[i].sum_ns);
		json_object_array_add(array, o);
	}
	return array;
}

struct json_object *drpc_json_totals(const struct drpc_agent *agent)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();

	for (const struct drpc_container *c = drpc_roster_next(agent->roster, NULL); c;
	     c = drpc_roster_next(agent->roster, c)) {
		/* Over the cap nothing is counted as its own. */
		if (c->slot == DRPC_SLOT_OTHER && agent->kernel)
			continue;
		if (c->series && drpc_series_end_ns(c->series))
			json_object_array_add(list, container_object(c));
	}
	json_object_object_add(o, "schema", json_object_new_int(DRPC_HIST_SCHEMA));
	json_object_object_add(o, "time_ns", json_object_new_uint64(drpc_realtime_ns()));
	json_object_object_add(o, "containers", list);
	json_object_object_add(o, "edges", edges(agent));
	return o;
}
