// SPDX-License-Identifier: Apache-2.0
/*
 * The agent's own rules, planner and guard as they run on a node (agent/plan), on what the simulator
 * shows. Nothing is decided here: observations become the agent's, verdicts become actions.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "agent/plan/guard.h"
#include "agent/plan/holt.h"
#include "agent/plan/peak.h"
#include "agent/plan/planner.h"
#include "agent/plan/reactive.h"
#include "lib/hist.h"
#include "lib/log.h"
#include "lib/util.h"
#include "sim/policies/policies.h"
#include "sim/policies/store.h"

#define WINDOW_NS	  200000000ULL
#define NEAR_WINDOWS	  5  /* a second, as an agent looks at it */
#define FAR_WINDOWS	  50 /* ten, where that holds too few requests for a 99th percentile */
#define TURNS_WANTED	  100
#define FORECAST_AHEAD_NS (5 * DRPC_NSEC_PER_SEC)

struct window {
	uint64_t turns, periods, throttled;
	double rate, usage, replica_seconds, queue_ns, latency_ns, cpu_pressure, memory_pressure;
	uint32_t hist[DRPC_HIST_BUCKETS];
};

struct deployment {
	struct drpc_policy policy;
	struct drpc_guard_state guard;
	struct drpc_holt holt;
	struct drpc_peak peak;
	struct drpc_observation observation;
	uint64_t mem_high_bytes; /* the simulator has no such limit; 0: none was written yet */
	float raw[DRPC_OUT_COUNT];
	struct window *windows; /* FAR_WINDOWS, a ring; those since the last change */
	uint64_t n, kept;
};

struct reactive {
	size_t n;
	struct deployment *deployments;
	struct drpc_guard_request *requests;
	struct drpc_verdict *verdicts;
	struct drpc_guard_params params;
	struct drpc_guard_node node;
	struct drpc_planner *planner;
};

/* --- observe ------------------------------------------------------------------------------------ */

static void push(struct deployment *d, const struct drpc_sim_service_obs *o)
{
	struct window *w = &d->windows[d->n++ % FAR_WINDOWS];

	*w = (struct window){
		.turns = o->requests,
		.periods = o->periods,
		.throttled = o->throttled_periods,
		.rate = o->rate_rps,
		.usage = o->cpu_usage_cores,
		.replica_seconds = o->replica_seconds,
		.queue_ns = o->queue_share * o->mean_ns * (double)o->requests,
		.latency_ns = o->mean_ns * (double)o->requests,
		.cpu_pressure = o->cpu_pressure,
		.memory_pressure = o->memory_pressure,
	};
	memcpy(w->hist, o->hist, sizeof(w->hist));
	d->kept = DRPC_MIN(d->kept + 1, (uint64_t)FAR_WINDOWS);
}

/* The last `count` windows together; levels as means. */
static void merge(const struct deployment *d, uint64_t count, struct window *ret)
{
	*ret = (struct window){0};
	for (uint64_t i = 0; i < count; i++) {
		const struct window *w = &d->windows[(d->n - 1 - i) % FAR_WINDOWS];

		ret->turns += w->turns;
		ret->periods += w->periods;
		ret->throttled += w->throttled;
		ret->rate += w->rate / (double)count;
		ret->usage += w->usage / (double)count;
		ret->replica_seconds += w->replica_seconds;
		ret->queue_ns += w->queue_ns;
		ret->latency_ns += w->latency_ns;
		ret->cpu_pressure += w->cpu_pressure / (double)count;
		ret->memory_pressure += w->memory_pressure / (double)count;
		for (size_t b = 0; b < DRPC_HIST_BUCKETS; b++)
			ret->hist[b] += w->hist[b];
	}
}

static struct drpc_limits limits_of(const struct reactive *r, const struct deployment *d,
				    const struct drpc_sim_service_obs *o)
{
	struct drpc_limits limits = {
		.cpu_quota_usec = DRPC_UNLIMITED,
		.cpu_period_usec = 100000,
		.mem_high_bytes =
			(uint64_t)(o->memory_limit_bytes * (1 - r->params.memory_high_gap)),
		.mem_max_bytes = (uint64_t)o->memory_limit_bytes,
	};

	if (d->mem_high_bytes)
		limits.mem_high_bytes = DRPC_MIN(d->mem_high_bytes, limits.mem_max_bytes);
	if (o->cpu_limit_cores > 0)
		drpc_limits_set_cpu_mcpu(&limits, (uint64_t)llround(o->cpu_limit_cores * 1000));
	if (o->memory_limit_bytes <= 0)
		limits.mem_high_bytes = limits.mem_max_bytes = DRPC_UNLIMITED;
	return limits;
}

static float ratio(double part, double whole)
{
	const double r = whole > 0 ? part / whole : 0;

	return isfinite(r) && r > 0 ? (float)fmin(r, 1e6) : 0;
}

static double p99_ns(struct deployment *d, const struct window *near, uint64_t near_count)
{
	struct window far;

	d->observation.p99_requests = near->turns;
	d->observation.p99_span_ns = near_count * WINDOW_NS;
	if (near->turns >= TURNS_WANTED)
		return drpc_hist_quantile_ns(near->hist, 0.99);
	merge(d, d->kept, &far);
	d->observation.p99_requests = far.turns;
	d->observation.p99_span_ns = d->kept * WINDOW_NS;
	return drpc_hist_quantile_ns(far.hist, 0.99);
}

static void observe(struct deployment *d, const struct drpc_sim_service_obs *o,
		    const struct drpc_limits *limits, uint64_t now_ns)
{
	const uint64_t count = DRPC_MIN(d->kept, (uint64_t)NEAR_WINDOWS);
	const double up = fmax((double)o->ready + o->draining, 1);
	float *f = d->observation.features;
	struct window w;

	merge(d, count, &w);
	drpc_holt_push(&d->holt, now_ns, w.rate);
	f[DRPC_F_CPU_UTIL] = ratio(w.usage / up, o->cpu_limit_cores);
	f[DRPC_F_MEM_UTIL] =
		ratio(o->memory_bytes / up,
		      o->memory_limit_bytes > 0
			      ? (double)DRPC_MIN(limits->mem_high_bytes, limits->mem_max_bytes)
			      : 0);
	f[DRPC_F_REPLICAS] = (float)o->wanted;
	f[DRPC_F_RATE] = ratio(w.rate, 1000);
	f[DRPC_F_RATE_PRED] = ratio(drpc_holt_rate(&d->holt, FORECAST_AHEAD_NS), 1000);
	f[DRPC_F_P99_SLO] = ratio(p99_ns(d, &w, count), (double)d->policy.slo_p99_ns);
	f[DRPC_F_QUEUE_SHARE] = ratio(w.queue_ns, w.latency_ns);
	f[DRPC_F_CPU_PRESSURE] = (float)w.cpu_pressure;
	f[DRPC_F_THROTTLED] = ratio((double)w.throttled, (double)w.periods);
	f[DRPC_F_MEM_PRESSURE] = (float)w.memory_pressure;
	d->observation.now_ns = now_ns;
	d->observation.coverage = 1;
	drpc_peak_push(&d->peak, now_ns, (uint64_t)(o->cpu_usage_cores / up * 1000));
}

static int request(struct reactive *r, struct deployment *d, const struct drpc_sim_service_obs *o,
		   const struct drpc_limits *limits, uint64_t now_ns,
		   struct drpc_guard_request *ret)
{
	const double up = fmax((double)o->ready + o->draining, 1);
	int err = r->planner->ops->decide(r->planner, &d->observation, d->raw);

	*ret = (struct drpc_guard_request){
		.policy = &d->policy,
		.state = &d->guard,
		.observation = &d->observation,
		.raw = d->raw,
		.window_end_ns = now_ns,
		.limits = *limits,
		.replicas = o->wanted,
		.local_replicas = o->wanted,
		.cpu_usage_mcpu = (uint64_t)(o->cpu_usage_cores / up * 1000),
		.cpu_peak_mcpu = drpc_peak_most(&d->peak, now_ns),
		.mem_use_bytes = (uint64_t)o->memory_peak_bytes,
		.mem_working_set_bytes = (uint64_t)o->memory_peak_bytes,
	};
	return err;
}

/* --- act ---------------------------------------------------------------------------------------- */

static int apply(struct reactive *r, struct drpc_sim *sim, uint32_t i, uint64_t now_ns)
{
	const struct drpc_verdict *v = &r->verdicts[i];
	struct deployment *d = &r->deployments[i];
	int err = 0;

	if (!v->write)
		return 0;
	if (v->target.cpu_mcpu != v->standing.cpu_mcpu)
		err = drpc_sim_move_cpu(sim, i, (double)v->target.cpu_mcpu / 1000);
	/* memory.max kills, and follows memory.high down no faster than what is in use allows. */
	if (!err && v->limits.mem_max_bytes != r->requests[i].limits.mem_max_bytes)
		err = drpc_sim_move_memory(sim, i, (double)v->limits.mem_max_bytes);
	d->mem_high_bytes = v->limits.mem_high_bytes;
	if (!err && v->target.replicas != v->standing.replicas)
		err = drpc_sim_move_replicas(sim, i, v->target.replicas);
	if (err)
		return err;
	drpc_guard_commit(&r->params, &d->guard, &d->observation, v, now_ns);
	d->kept = 0; /* what was seen before the change does not count any more */
	return 0;
}

static int reactive_decide(void *self, struct drpc_sim *sim, const struct drpc_sim_obs *obs)
{
	struct reactive *r = self;
	int err = 0;

	for (size_t i = 0; i < r->n && !err; i++) {
		struct deployment *d = &r->deployments[i];

		const struct drpc_sim_service_obs *o = &obs->services[i];
		const struct drpc_limits limits = limits_of(r, d, o);

		push(d, o);
		observe(d, o, &limits, obs->now_ns);
		err = request(r, d, o, &limits, obs->now_ns, &r->requests[i]);
	}
	if (err)
		return err;
	drpc_guard_judge(&r->params, &r->node, r->requests, r->n, obs->now_ns, r->verdicts);
	for (uint32_t i = 0; i < r->n && !err; i++)
		err = apply(r, sim, i, obs->now_ns);
	return err;
}

/* --- policy ------------------------------------------------------------------------------------- */

static void reactive_destroy(void *self)
{
	struct reactive *r = self;

	if (!r)
		return;
	for (size_t i = 0; r->deployments && i < r->n; i++)
		free(r->deployments[i].windows);
	free(r->deployments);
	free(r->requests);
	free(r->verdicts);
	drpc_planner_free(&r->planner);
	free(r);
}

/* Users know an objective for what they call; nobody has one for each service behind it. */
static bool is_entry(const struct drpc_sim_app *app, uint32_t service)
{
	for (uint32_t c = 0; c < app->n_classes; c++) {
		if (app->calls[app->classes[c].site].service == service)
			return true;
	}
	return false;
}

static void set_policy(const struct drpc_sim_app *app, uint32_t i, struct drpc_policy *policy)
{
	const struct drpc_sim_service *spec = &app->services[i];

	drpc_policy_defaults(policy, 0, 0);
	policy->mode = DRPC_MODE_ACT;
	policy->slo_p99_ns = is_entry(app, i) ? (uint64_t)app->slo_ns : 0;
	policy->min_cpu_mcpu = (uint64_t)(spec->min_cpu_cores * 1000);
	policy->max_cpu_mcpu = (uint64_t)(spec->max_cpu_cores * 1000);
	policy->min_memory_bytes = (uint64_t)spec->min_memory_bytes;
	policy->max_memory_bytes = (uint64_t)spec->max_memory_bytes;
	policy->min_replicas = DRPC_MAX(spec->min_replicas, 1U);
	policy->max_replicas = spec->max_replicas;
	policy->memory_managed = spec->memory_bytes > 0;
}

static int prepare(struct reactive *r, struct drpc_sim *sim)
{
	const struct drpc_sim_app *app = drpc_sim_app(sim);

	r->n = app->n_services;
	r->deployments = calloc(r->n, sizeof(*r->deployments));
	r->requests = calloc(r->n, sizeof(*r->requests));
	r->verdicts = calloc(r->n, sizeof(*r->verdicts));
	if (!r->deployments || !r->requests || !r->verdicts)
		return -ENOMEM;
	for (uint32_t i = 0; i < r->n; i++) {
		struct deployment *d = &r->deployments[i];

		set_policy(app, i, &d->policy);
		d->windows = calloc(FAR_WINDOWS, sizeof(*d->windows));
		if (!d->windows)
			return -ENOMEM;
	}
	/* The cluster counts as one node: the simulator places replicas where there is room. */
	for (uint32_t i = 0; i < app->n_nodes; i++) {
		r->node.cpu_mcpu += (uint64_t)(app->nodes[i].cpu_cores * 1000);
		r->node.memory_bytes += (uint64_t)app->nodes[i].memory_bytes;
	}
	drpc_guard_params_defaults(&r->params);
	return drpc_planner_reactive_new(&r->planner);
}

static int reactive_create(struct drpc_sim *sim, const struct drpc_sim_params *params,
			   struct drpc_sim_needs *needs, void **ret)
{
	static const char *const known[] = {NULL};
	int err = drpc_sim_params_check(params, known);
	struct reactive *r;

	(void)needs;
	if (err)
		return err;
	r = calloc(1, sizeof(*r));
	err = r ? prepare(r, sim) : -ENOMEM;
	if (err) {
		reactive_destroy(r);
		return err;
	}
	*ret = r;
	return 0;
}

const struct drpc_sim_policy drpc_sim_policy_reactive = {
	.name = "reactive",
	.help = "the agent's own rules and guard, without learning",
	.needs = {.period_ns = WINDOW_NS},
	.create = reactive_create,
	.decide = reactive_decide,
	.destroy = reactive_destroy,
};
