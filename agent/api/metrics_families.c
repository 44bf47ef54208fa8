// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <math.h>
#include <sys/resource.h>

#include "agent/api/metrics_internal.h"
#include "agent/api/summary.h"
#include "agent/control.h"
#include "lib/util.h"

static double seconds(uint64_t usec)
{
	return (double)usec / 1e6;
}

/* --- containers ------------------------------------------------------------------------------- */

struct family {
	const char *name, *unit;
	enum drpc_expo_type type;
	double (*get)(const struct metrics_row *row); /* NAN: this row has none */
	const char *help;
};

#define ROW_GETTER(what, expression)                            \
	static double get_##what(const struct metrics_row *row) \
	{                                                       \
		return (expression);                            \
	}

#define OF_TOTAL(field)	    (row->total ? (double)row->total->field : NAN)
#define OF_CG(group, value) (row->cg.valid & (group) ? (double)(value) : NAN)

ROW_GETTER(requests, OF_TOTAL(turns))
ROW_GETTER(seen, OF_TOTAL(seen))
ROW_GETTER(errors, OF_TOTAL(errors))
ROW_GETTER(resets, OF_TOTAL(resets))
ROW_GETTER(accepts, OF_TOTAL(accepts))
ROW_GETTER(unread, OF_TOTAL(unread))
ROW_GETTER(inflight, row->total ? row->inflight : NAN)
ROW_GETTER(coverage, row->total ? row->coverage : NAN)
ROW_GETTER(cpu_time, OF_CG(DRPC_CG_CPU, seconds(row->cg.cpu_usage_usec)))
ROW_GETTER(cpu_limit, row->cpu_limit_cores)
ROW_GETTER(periods, OF_CG(DRPC_CG_THROTTLE, row->cg.nr_periods))
ROW_GETTER(throttled, OF_CG(DRPC_CG_THROTTLE, row->cg.nr_throttled))
ROW_GETTER(throttled_time, OF_CG(DRPC_CG_THROTTLE, seconds(row->cg.throttled_usec)))
ROW_GETTER(memory, OF_CG(DRPC_CG_MEM, row->cg.mem_current_bytes))
ROW_GETTER(working_set, OF_CG(DRPC_CG_MEM, row->cg.mem_working_set_bytes))
ROW_GETTER(memory_limit, row->memory_limit_bytes)
ROW_GETTER(oom_kills, OF_CG(DRPC_CG_OOM, row->cg.oom_kills))

static const struct family families[] = {
	{"drpc_requests", "", DRPC_EXPO_COUNTER, get_requests,
	 "Requests answered: their first response byte went out."},
	{"drpc_requests_seen", "", DRPC_EXPO_COUNTER, get_seen,
	 "Requests whose first byte arrived; answered, dropped or in flight."},
	{"drpc_request_errors", "", DRPC_EXPO_COUNTER, get_errors,
	 "Requests that ended without an answer: the connection was closed or reset."},
	{"drpc_requests_in_flight", "", DRPC_EXPO_GAUGE, get_inflight,
	 "Requests that wait for their answer now."},
	{"drpc_requests_unread", "", DRPC_EXPO_COUNTER, get_unread,
	 "Requests answered whose read was not seen (splice); their queue time is unknown."},
	{"drpc_coverage_ratio", "ratio", DRPC_EXPO_GAUGE, get_coverage,
	 "Share of the traffic of the last second that the measurement did not lose."},
	{"drpc_connections_accepted", "", DRPC_EXPO_COUNTER, get_accepts,
	 "Connections to the container that were established."},
	{"drpc_connection_resets", "", DRPC_EXPO_COUNTER, get_resets,
	 "Resets sent or received on connections to the container."},
	{"container_cpu_time_seconds", "seconds", DRPC_EXPO_COUNTER, get_cpu_time,
	 "CPU time used."},
	{"drpc_cpu_limit_cores", "", DRPC_EXPO_GAUGE, get_cpu_limit,
	 "CPU limit in force; absent where there is none."},
	{"drpc_cpu_periods", "", DRPC_EXPO_COUNTER, get_periods,
	 "CPU bandwidth periods that passed."},
	{"drpc_cpu_throttled_periods", "", DRPC_EXPO_COUNTER, get_throttled,
	 "CPU bandwidth periods in which the container was throttled."},
	{"drpc_cpu_throttled_seconds", "seconds", DRPC_EXPO_COUNTER, get_throttled_time,
	 "Time throttled, of all CPUs together."},
	{"drpc_memory_usage_bytes", "bytes", DRPC_EXPO_GAUGE, get_memory,
	 "Memory charged, page cache included."},
	{"drpc_memory_working_set_bytes", "bytes", DRPC_EXPO_GAUGE, get_working_set,
	 "Memory charged without inactive page cache."},
	{"drpc_memory_limit_bytes", "bytes", DRPC_EXPO_GAUGE, get_memory_limit,
	 "Memory limit in force, the lower of memory.high and memory.max; absent where there is none."},
	{"drpc_oom_kills", "", DRPC_EXPO_COUNTER, get_oom_kills,
	 "Processes killed for want of memory."},
};

struct histogram_family {
	const char *name;
	enum drpc_hist_kind kind;
	unsigned int step; /* octaves between two classic boundaries */
	const char *phase; /* label; NULL for none */
	const char *help;
};

static const struct histogram_family histograms[] = {
	{"http_server_request_duration_seconds", DRPC_HIST_TOTAL, 1, NULL,
	 "Request arrived at the socket to last response byte handed to the socket."},
	{"drpc_request_phase_duration_seconds", DRPC_HIST_QUEUE, 2, "queue",
	 "Parts of the duration: queue (arrived to read), service (read to first response byte), send (first to last response byte)."},
	{"drpc_request_phase_duration_seconds", DRPC_HIST_SERVICE, 2, "service", ""},
	{"drpc_request_phase_duration_seconds", DRPC_HIST_SEND, 2, "send", ""},
	{"drpc_accept_wait_seconds", DRPC_HIST_ACCEPT, 2, NULL,
	 "Connection established to accepted by the application."},
	{"drpc_run_queue_wait_seconds", DRPC_HIST_RUNQ, 2, NULL,
	 "Task woken to running on a CPU; throttling counts."},
	{"drpc_reclaim_stall_seconds", DRPC_HIST_RECLAIM, 2, NULL,
	 "Stalls in direct memory reclaim."},
};

static void expose_histogram(struct drpc_expo *expo, const struct histogram_family *h,
			     const struct metrics_row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct drpc_expo_label labels[] = {{"container", rows[i].container},
							 {"deployment", rows[i].deployment},
							 {"phase", h->phase}};

		if (rows[i].total)
			drpc_expo_histogram(expo, labels, h->phase ? 3 : 2,
					    rows[i].total->hist[h->kind],
					    rows[i].total->sum_ns[h->kind], h->step);
	}
}

static void expose_dropped(struct drpc_expo *expo, const struct metrics_row *rows, size_t count)
{
	drpc_expo_family(expo, "drpc_requests_dropped", DRPC_EXPO_COUNTER, "",
			 "Requests seen that got no duration, by reason.");
	for (size_t i = 0; i < count; i++) {
		for (size_t reason = 0; rows[i].total && reason < DRPC_DROP_COUNT; reason++) {
			const struct drpc_expo_label labels[] = {
				{"container", rows[i].container},
				{"deployment", rows[i].deployment},
				{"reason", drpc_drop_name(reason)}};

			drpc_expo_value(expo, labels, 3, (double)rows[i].total->dropped[reason]);
		}
	}
}

static void expose_pressure(struct drpc_expo *expo, const struct metrics_row *rows, size_t count)
{
	drpc_expo_family(expo, "drpc_pressure_stalled_seconds", DRPC_EXPO_COUNTER, "seconds",
			 "Time in which some or all tasks waited for a resource (PSI).");
	for (size_t i = 0; i < count; i++) {
		const struct drpc_cgroup_counters *cg = &rows[i].cg;
		const struct {
			const char *resource, *kind;
			uint32_t group;
			uint64_t usec;
		} values[] = {{"cpu", "some", DRPC_CG_PSI_CPU, cg->cpu_some_usec},
			      {"cpu", "full", DRPC_CG_PSI_CPU, cg->cpu_full_usec},
			      {"memory", "some", DRPC_CG_PSI_MEM, cg->mem_some_usec},
			      {"memory", "full", DRPC_CG_PSI_MEM, cg->mem_full_usec},
			      {"io", "some", DRPC_CG_PSI_IO, cg->io_some_usec},
			      {"io", "full", DRPC_CG_PSI_IO, cg->io_full_usec}};

		for (size_t v = 0; v < DRPC_ARRAY_SIZE(values); v++) {
			const struct drpc_expo_label labels[] = {{"container", rows[i].container},
								 {"deployment", rows[i].deployment},
								 {"resource", values[v].resource},
								 {"kind", values[v].kind}};

			if (cg->valid & values[v].group)
				drpc_expo_value(expo, labels, 4, seconds(values[v].usec));
		}
	}
}

void drpc_metrics_containers(struct drpc_expo *expo, const struct metrics_row *rows, size_t count)
{
	for (size_t f = 0; f < DRPC_ARRAY_SIZE(families); f++) {
		drpc_expo_family(expo, families[f].name, families[f].type, families[f].unit,
				 families[f].help);
		for (size_t i = 0; i < count; i++) {
			const struct drpc_expo_label labels[] = {
				{"container", rows[i].container},
				{"deployment", rows[i].deployment}};
			double value = families[f].get(&rows[i]);

			if (!isnan(value))
				drpc_expo_value(expo, labels, 2, value);
		}
	}
	for (size_t h = 0; h < DRPC_ARRAY_SIZE(histograms); h++) {
		/* A family's parts lie side by side; the first one begins it. */
		if (histograms[h].help[0])
			drpc_expo_family(expo, histograms[h].name, DRPC_EXPO_HISTOGRAM, "seconds",
					 histograms[h].help);
		expose_histogram(expo, &histograms[h], rows, count);
	}
	expose_dropped(expo, rows, count);
	expose_pressure(expo, rows, count);
}

/* --- deployments ------------------------------------------------------------------------------ */

/* Deployments share the containers' cap: one is exposed while one of its replicas is. */
static const struct drpc_deployment *next_exposed(const struct drpc_agent *agent,
						  const struct drpc_deployment *after)
{
	const struct drpc_deployment *d = after;

	while ((d = drpc_roster_next_deployment(agent->roster, d))) {
		for (const struct drpc_container *c = d->replicas; c; c = c->next_replica) {
			if (c->exposed == DRPC_EXPOSED_OWN)
				return d;
		}
	}
	return NULL;
}

void drpc_metrics_deployments(struct drpc_expo *expo, const struct drpc_agent *agent)
{
	const struct drpc_deployment *d = NULL;

	drpc_expo_family(expo, "drpc_deployment_replicas", DRPC_EXPO_GAUGE, "",
			 "Replicas of the deployment on this node.");
	while ((d = next_exposed(agent, d)))
		drpc_expo_value(expo, &(struct drpc_expo_label){"deployment", d->name}, 1,
				d->replica_count);

	drpc_expo_family(expo, "drpc_deployment_mode", DRPC_EXPO_GAUGE, "",
			 "1 for the mode in force: off, recommend or act.");
	while ((d = next_exposed(agent, d))) {
		const struct drpc_expo_label labels[] = {{"deployment", d->name},
							 {"mode", drpc_mode_name(d->policy.mode)}};

		drpc_expo_value(expo, labels, 2, 1);
	}

	drpc_expo_family(expo, "drpc_deployment_paused", DRPC_EXPO_GAUGE, "",
			 "1 while `drpc pause` holds the deployment.");
	while ((d = next_exposed(agent, d)))
		drpc_expo_value(expo, &(struct drpc_expo_label){"deployment", d->name}, 1,
				agent->paused || d->paused);

	drpc_expo_family(expo, "drpc_slo_p99_seconds", DRPC_EXPO_GAUGE, "seconds",
			 "Objective for the 99th percentile; absent where none was given.");
	while ((d = next_exposed(agent, d))) {
		if (d->policy.slo_p99_ns)
			drpc_expo_value(expo, &(struct drpc_expo_label){"deployment", d->name}, 1,
					(double)d->policy.slo_p99_ns / 1e9);
	}
}

/* --- the agent itself ------------------------------------------------------------------------- */

static void one(struct drpc_expo *expo, const char *name, enum drpc_expo_type type,
		const char *unit, const char *help, double value)
{
	drpc_expo_family(expo, name, type, unit, help);
	drpc_expo_value(expo, NULL, 0, value);
}

/* Resident memory, from the second field of statm; NAN where it cannot be read. */
static double resident_bytes(void)
{
	_cleanup_free_ char *text = NULL;
	unsigned long pages;

	if (drpc_read_file_at(AT_FDCWD, "/proc/self/statm", 4096, &text) < 0 ||
	    sscanf(text, "%*u %lu", &pages) != 1)
		return NAN;
	return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static void expose_process(struct drpc_expo *expo, const struct drpc_agent *agent)
{
	struct rusage usage;
	double cpu = 0;

	if (getrusage(RUSAGE_SELF, &usage) == 0)
		cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		      (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
	one(expo, "process_cpu_seconds", DRPC_EXPO_COUNTER, "seconds", "CPU time the agent used.",
	    cpu);
	one(expo, "process_resident_memory_bytes", DRPC_EXPO_GAUGE, "bytes",
	    "Memory the agent holds.", resident_bytes());
	one(expo, "process_start_time_seconds", DRPC_EXPO_GAUGE, "seconds",
	    "When the agent started.", (double)agent->started_realtime_ns / 1e9);
	drpc_expo_family(expo, "drpc_build_info", DRPC_EXPO_GAUGE, "", "1, with the version.");
	drpc_expo_value(expo, &(struct drpc_expo_label){"version", DRPC_VERSION}, 1, 1);
}

static void expose_control(struct drpc_expo *expo, const struct drpc_agent *agent)
{
	const struct drpc_agent_stats *s = &agent->stats;
	const struct {
		const char *name;
		uint64_t value;
		const char *help;
	} counters[] = {
		{"drpc_ticks", s->ticks, "Control ticks."},
		{"drpc_late_ticks", s->late_ticks,
		 "Control ticks that began more than half a window late."},
		{"drpc_decisions", s->decisions, "Decisions taken."},
		{"drpc_decisions_applied", s->applied, "Decisions written and verified."},
		{"drpc_decisions_failed", s->failed, "Decisions that could not be written."},
		{"drpc_planner_failures", s->planner_failures,
		 "Times a planner failed and the next one was asked."},
		{"drpc_events", s->events, "Kernel events handled."},
		{"drpc_rescans", s->rescans, "Walks of the cgroup tree."},
	};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(counters); i++)
		one(expo, counters[i].name, DRPC_EXPO_COUNTER, "", counters[i].help,
		    (double)counters[i].value);
	drpc_expo_family(expo, "drpc_guard_verdicts", DRPC_EXPO_COUNTER, "",
			 "Decisions by what the guard said of them.");
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(s->verdicts); i++)
		drpc_expo_value(expo,
				&(struct drpc_expo_label){
					"verdict", drpc_verdict_name((enum drpc_verdict_kind)i)},
				1, (double)s->verdicts[i]);
	one(expo, "drpc_tick_cpu_seconds", DRPC_EXPO_COUNTER, "seconds",
	    "CPU time of all control ticks.", (double)s->tick_ns_sum / 1e9);
	one(expo, "drpc_tick_cpu_max_seconds", DRPC_EXPO_GAUGE, "seconds",
	    "CPU time of the dearest control tick.", (double)s->tick_ns_max / 1e9);
	one(expo, "drpc_containers", DRPC_EXPO_GAUGE, "", "Containers known.",
	    (double)drpc_roster_count(agent->roster));
}

static void expose_kernel(struct drpc_expo *expo, const struct drpc_agent *agent)
{
	const struct drpc_hook_status *hooks = NULL;
	struct drpc_kernel_stats s = {0};
	size_t count = 0;

	one(expo, "drpc_measuring", DRPC_EXPO_GAUGE, "",
	    "1 while BPF programs measure, 0 where none could be loaded.", agent->kernel != NULL);
	if (!agent->kernel)
		return;
	drpc_kernel_stats(agent->kernel, &s);
	hooks = drpc_kernel_hooks(agent->kernel, &count);
	one(expo, "drpc_kernel_map_bytes", DRPC_EXPO_GAUGE, "bytes", "Memory of the BPF maps.",
	    (double)s.map_bytes);
	one(expo, "drpc_kernel_slots_used", DRPC_EXPO_GAUGE, "",
	    "Containers with kernel counters of their own.", s.slots_used);
	one(expo, "drpc_kernel_slots_max", DRPC_EXPO_GAUGE, "",
	    "Containers that can have them; further ones share a slot.", s.slots_max);
	one(expo, "drpc_kernel_lost_events", DRPC_EXPO_COUNTER, "",
	    "Events lost because the ring buffer was full.", (double)s.lost_events);
	one(expo, "drpc_kernel_lost_edges", DRPC_EXPO_COUNTER, "",
	    "Caller and callee relations lost because the table was full.", (double)s.lost_edges);
	drpc_expo_family(expo, "drpc_hook_working", DRPC_EXPO_GAUGE, "",
			 "1 where a kernel hook for the need is attached, 0 where none works.");
	for (size_t i = 0; i < count; i++) {
		const struct drpc_expo_label labels[] = {{"need", hooks[i].need},
							 {"rung", hooks[i].rung}};

		drpc_expo_value(expo, labels, 2, hooks[i].working);
	}
}

void drpc_metrics_agent(struct drpc_expo *expo, const struct drpc_metrics *metrics,
			const struct drpc_agent *agent)
{
	static const char *const classes[] = {"other", "1xx", "2xx", "3xx", "4xx", "5xx"};

	expose_control(expo, agent);
	expose_kernel(expo, agent);
	expose_process(expo, agent);
	drpc_expo_family(expo, "drpc_api_requests", DRPC_EXPO_COUNTER, "",
			 "Requests to the agent's interface, by class of the answer.");
	for (size_t i = 2; i < DRPC_ARRAY_SIZE(classes); i++)
		drpc_expo_value(expo, &(struct drpc_expo_label){"status", classes[i]}, 1,
				(double)metrics->requests[i]);
}
