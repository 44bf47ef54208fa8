// SPDX-License-Identifier: Apache-2.0
/* The clock: events in their order, arrivals, and what happens at fixed times between them. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/log.h"
#include "lib/util.h"
#include "sim/internal.h"

#define CALLS_MAX   (1u << 20)
#define CALLS_LEAST 1024
#define TICK_NS	    DRPC_NSEC_PER_SEC /* pending replicas are placed, memory is sampled */
#define NS	    1e9

/* --- events ------------------------------------------------------------------------------------- */

static void dispatch(struct drpc_sim *sim, uint32_t handle)
{
	if (handle >= sim->at_call) {
		sim_call_event(sim, handle - sim->at_call);
	} else if (handle >= sim->at_life) {
		sim_replica_event(sim, handle - sim->at_life);
	} else if (handle >= sim->at_cpu) {
		sim_cpu_event(sim, handle - sim->at_cpu);
	} else if (handle >= sim->at_timeout) {
		sim_timeout_event(sim, handle - sim->at_timeout);
	} else {
		sim_arrival_event(sim);
	}
	if (sim->n_dirty)
		sim_cpu_flush(sim);
}

static int run_events(struct drpc_sim *sim, uint64_t until_ns)
{
	const struct drpc_simq *q = &sim->queue;

	while (q->n && q->heap[0].time_ns <= until_ns) {
		sim->now_ns = q->heap[0].time_ns;
		sim->events++;
		dispatch(sim, q->heap[0].handle);
		if (sim->full)
			return drpc_err(
				-ENOBUFS,
				"%s: more than %u calls at once after %.1f s: the application is "
				"overloaded without end, give it timeouts or shorter queues",
				sim->app->name, sim->calls_max, (double)sim->now_ns / NS);
	}
	sim->now_ns = until_ns;
	return 0;
}

/* --- fixed times -------------------------------------------------------------------------------- */

static double cpu_used_ns(struct drpc_sim *sim)
{
	double sum = 0.0;

	for (uint32_t i = 0; i < sim->n_replicas; i++) {
		sim_cpu_settle(sim, &sim->replicas[i]);
		sum += sim->replicas[i].usage_ns;
	}
	return sum;
}

/* The warm-up is over: the result is of what comes. */
static void forget(struct drpc_sim *sim)
{
	struct sim_account *a = &sim->account;

	sim_account(sim);
	a->cpu_ns = a->memory_ns = a->replicas_ns = a->memory_used_sum = 0.0;
	a->memory_samples = 0;
	a->since_ns = sim->now_ns;
	a->usage_before_ns = cpu_used_ns(sim);
	a->actions_before = sim->actions;
	a->oom_before = sim->oom_kills;
	sim->arrived = sim->failed = sim->late = 0;
	memset(sim->failures, 0, sizeof(sim->failures));
	memset(&sim->total, 0, sizeof(sim->total));
	sim->warm = true;
}

static void tick(struct drpc_sim *sim)
{
	sim->next_tick_ns += TICK_NS;
	if (sim->any_pending)
		sim_replicas_place(sim);
	sim_sample_memory(sim);
	sim_cpu_flush(sim);
}

static void fixed_times(struct drpc_sim *sim)
{
	const uint64_t now = sim->now_ns;

	if (now >= sim->next_anomaly_ns)
		sim_anomalies_end(sim);
	if (now >= sim->next_tick_ns)
		tick(sim);
	if (!sim->warm && (double)now >= sim->config.warmup_s * NS)
		forget(sim);
	if (now >= sim->next_sample_ns) {
		sim->next_sample_ns += SIM_PERIOD_NS;
		sim_sample_periods(sim);
	}
	if (now >= sim->next_close_ns) {
		sim->next_close_ns += sim->config.needs.period_ns;
		sim_interval_close(sim);
	}
}

int drpc_sim_run(struct drpc_sim *sim, uint64_t time_ns)
{
	while (sim->now_ns < time_ns) {
		uint64_t stop = DRPC_MIN(time_ns, sim->next_tick_ns);
		int err;

		stop = DRPC_MIN(stop, sim->next_anomaly_ns);
		stop = DRPC_MIN(stop, sim->next_sample_ns);
		stop = DRPC_MIN(stop, sim->next_close_ns);
		if (!sim->warm)
			stop = DRPC_MIN(stop, (uint64_t)(sim->config.warmup_s * NS));
		err = run_events(sim, stop);
		if (err)
			return err;
		fixed_times(sim);
	}
	return 0;
}

int drpc_sim_step(struct drpc_sim *sim, uint64_t end_ns, const struct drpc_sim_obs **ret)
{
	int err = drpc_sim_run(sim, DRPC_MIN(end_ns, sim->next_decide_ns));

	if (err)
		return err;
	if (sim->now_ns < sim->next_decide_ns || sim->now_ns > end_ns)
		return 0;
	sim->next_decide_ns += sim->config.needs.period_ns;
	*ret = sim_interval_show(sim);
	return 1;
}

/* --- life --------------------------------------------------------------------------------------- */

static int check_config(const struct drpc_sim_app *app, const struct drpc_sim_config *config)
{
	const struct drpc_sim_load *load = &config->load;

	for (size_t i = 0; i < load->n_pieces; i++) {
		const struct drpc_sim_piece *p = &load->pieces[i];

		if (!(p->duration_s > 0.0 && p->from_rps >= 0.0 && p->to_rps >= 0.0 &&
		      p->from_rps < 1e9 && p->to_rps < 1e9))
			return drpc_err(-EINVAL, "%s: piece %zu of the load is no rate for a time",
					app->name, i + 1);
	}
	if (load->n_pieces == 0)
		return drpc_err(-EINVAL, "%s: no load", app->name);
	return 0;
}

static int check_needs(const struct drpc_sim_needs *needs)
{
	if (needs->period_ns % SIM_PERIOD_NS)
		return drpc_err(-EINVAL, "a policy's period of %.3f s is no multiple of 100 ms",
				(double)needs->period_ns / NS);
	if (needs->span_every && needs->lag_ns >= needs->period_ns)
		return drpc_err(-EINVAL, "spans lag by less than a period");
	return 0;
}

static int map_calls(struct drpc_sim *sim)
{
	const uint64_t bytes = (uint64_t)sim->calls_max * sizeof(struct sim_call);
	void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		return -ENOMEM;
	sim->calls = base;
	sim->calls_bytes = bytes;
	return 0;
}

static int init(struct drpc_sim *sim)
{
	const struct drpc_sim_app *app = sim->app;
	int err;

	drpc_sim_tables_init(&sim->tables);
	sim->calls_max = DRPC_MAX(sim->config.calls_max ? sim->config.calls_max : CALLS_MAX,
				  (uint32_t)CALLS_LEAST);
	sim->free_call = SIM_NONE;
	sim->network = app->network.mean_ns > 0.0;
	sim->wire = app->network;
	sim->nodes = calloc(app->n_nodes, sizeof(*sim->nodes));
	sim->services = calloc(app->n_services, sizeof(*sim->services));
	sim->classes = calloc(app->n_classes, sizeof(*sim->classes));
	sim->timeouts = calloc(app->n_timeouts + 1, sizeof(*sim->timeouts));
	if (!sim->nodes || !sim->services || !sim->classes || !sim->timeouts)
		return -ENOMEM;
	err = sim_replicas_init(sim);
	if (!err)
		err = map_calls(sim);
	if (err)
		return err;
	sim->at_timeout = 1;
	sim->at_cpu = sim->at_timeout + app->n_timeouts;
	sim->at_life = sim->at_cpu + sim->n_replicas;
	sim->at_call = sim->at_life + sim->n_replicas;
	err = drpc_simq_init(&sim->queue, sim->at_call + sim->calls_max);
	if (err)
		return err;
	for (uint32_t h = 0; h < sim->at_call; h++)
		drpc_simq_clear(&sim->queue, h);
	for (uint32_t t = 0; t < app->n_timeouts; t++)
		sim->timeouts[t] = (struct sim_timeout){app->timeouts[t], SIM_NONE, SIM_NONE};
	sim->next_anomaly_ns = UINT64_MAX;
	sim->next_tick_ns = TICK_NS;
	sim->warm = sim->config.warmup_s <= 0.0;
	for (uint32_t i = 0; i < app->n_services; i++)
		sim_replicas_scale(sim, i, app->services[i].replicas);
	if (sim->any_pending)
		return drpc_err(
			-EINVAL,
			"%s: the nodes have no room for all replicas (Σ limits of CPU times "
			"overcommit, or of memory)",
			app->name);
	sim_arrivals_begin(sim);
	return 0;
}

int drpc_sim_set_needs(struct drpc_sim *sim, const struct drpc_sim_needs *needs)
{
	int err = check_needs(needs);

	if (err)
		return err;
	sim->config.needs = *needs;
	sim_snapshots_free(sim);
	sim_spans_free(sim);
	sim->next_close_ns = sim->next_decide_ns = sim->next_sample_ns = UINT64_MAX;
	if (needs->period_ns) {
		sim->next_close_ns = needs->period_ns;
		sim->next_decide_ns = needs->period_ns + needs->lag_ns;
		err = sim_snapshots_init(sim);
	}
	if (!err && needs->period_samples)
		sim->next_sample_ns = SIM_PERIOD_NS;
	if (!err && needs->span_every)
		err = sim_spans_init(sim);
	return err;
}

int drpc_sim_new(const struct drpc_sim_app *app, const struct drpc_sim_config *config,
		 struct drpc_sim **ret)
{
	struct drpc_sim *sim;
	int err = check_config(app, config);

	if (err)
		return err;
	sim = aligned_alloc(64, (sizeof(*sim) + 63) / 64 * 64);
	if (!sim)
		return -ENOMEM;
	memset(sim, 0, sizeof(*sim));
	sim->app = app;
	sim->config = *config;
	err = init(sim);
	if (!err)
		err = drpc_sim_set_needs(sim, &config->needs);
	if (err) {
		drpc_sim_free(&sim);
		return err;
	}
	*ret = sim;
	return 0;
}

void drpc_sim_free(struct drpc_sim **sim)
{
	struct drpc_sim *s = *sim;

	if (!s)
		return;
	if (s->calls)
		munmap(s->calls, s->calls_bytes);
	drpc_simq_release(&s->queue);
	sim_snapshots_free(s);
	sim_spans_free(s);
	free(s->replicas);
	free(s->jobs);
	free(s->ready);
	free(s->active);
	free(s->dirty);
	free(s->nodes);
	free(s->services);
	free(s->classes);
	free(s->timeouts);
	free(s);
	*sim = NULL;
}

uint64_t drpc_sim_now_ns(const struct drpc_sim *sim)
{
	return sim->now_ns;
}

const struct drpc_sim_app *drpc_sim_app(const struct drpc_sim *sim)
{
	return sim->app;
}

/* --- results ------------------------------------------------------------------------------------ */

struct drpc_sim_cpu_stat drpc_sim_cpu_stat(struct drpc_sim *sim, uint32_t service)
{
	const struct sim_service *s = &sim->services[service];
	struct drpc_sim_cpu_stat sum = {0};

	for (uint32_t i = s->first_replica; i < s->first_replica + s->n_slots; i++) {
		struct sim_replica *r = &sim->replicas[i];

		sim_cpu_settle(sim, r);
		sum.usage_ns += r->usage_ns;
		sum.periods += r->periods;
		sum.throttled += r->throttled_periods;
	}
	return sum;
}

struct drpc_sim_result drpc_sim_result(struct drpc_sim *sim)
{
	const struct sim_fine *t = &sim->total;
	struct sim_account *a = &sim->account;
	const double ms = 1e-6, mib = (double)DRPC_MIB;
	struct drpc_sim_result r = {0};
	double ns, ended;

	sim_account(sim);
	ns = fmax((double)(sim->now_ns - a->since_ns), 1.0);
	ended = fmax((double)(t->count + sim->failed), 1.0);
	r.arrived = sim->arrived;
	r.succeeded = t->count;
	r.failed = sim->failed;
	memcpy(r.failures, sim->failures, sizeof(r.failures));
	r.open = sim->open_requests;
	r.measured_s = ns / NS;
	r.mean_ms = t->count ? t->sum_ns / (double)t->count * ms : 0.0;
	r.p50_ms = sim_fine_quantile_ns(t, 0.50) * ms;
	r.p66_ms = sim_fine_quantile_ns(t, 0.66) * ms;
	r.p75_ms = sim_fine_quantile_ns(t, 0.75) * ms;
	r.p80_ms = sim_fine_quantile_ns(t, 0.80) * ms;
	r.p90_ms = sim_fine_quantile_ns(t, 0.90) * ms;
	r.p95_ms = sim_fine_quantile_ns(t, 0.95) * ms;
	r.p99_ms = sim_fine_quantile_ns(t, 0.99) * ms;
	r.p9999_ms = sim_fine_quantile_ns(t, 0.9999) * ms;
	r.max_ms = t->max_ns * ms;
	r.slo_violation_rate = (double)(sim->late + sim->failed) / ended;
	r.cpu_cores_mean = a->cpu_ns / ns;
	r.cpu_used_cores_mean = (cpu_used_ns(sim) - a->usage_before_ns) / ns;
	r.memory_mib_mean = a->memory_ns / ns / mib;
	r.memory_used_mib_mean = a->memory_used_sum / fmax((double)a->memory_samples, 1.0) / mib;
	r.replicas_mean = a->replicas_ns / ns;
	r.oom_kills = sim->oom_kills - a->oom_before;
	r.actions = sim->actions - a->actions_before;
	r.calls = sim->total_calls;
	r.events = sim->events;
	r.sim_seconds = (double)sim->now_ns / NS;
	return r;
}
