// SPDX-License-Identifier: Apache-2.0
#include "agent/monitor/observe.h"

#include <math.h>
#include <string.h>

#include "agent/monitor/series.h"
#include "lib/hist.h"
#include "lib/util.h"

/*
 * A 99th percentile of fewer requests than this is the slowest request: older seconds are then
 * looked at too, up to DRPC_LOOK_BACK_NS, as long as they lie after the last change.
 */
#define TURNS_WANTED 100

#define FORECAST_AHEAD_NS (5 * DRPC_NSEC_PER_SEC)

static uint64_t usage_mcpu(const struct drpc_window_scalars *w)
{
	return w->cg.cpu_usage_usec * 1000 / DRPC_MAX((w->end_ns - w->start_ns) / 1000, 1UL);
}

/* Adds the replicas' windows up; usage and levels of the busiest and fullest go to *ret. */
static void merge_replicas(const struct drpc_deployment *d, uint64_t since_ns,
			   struct drpc_window *sum, struct drpc_observed *ret)
{
	memset(sum, 0, sizeof(*sum));
	ret->cpu_known = true;
	for (const struct drpc_container *c = d->replicas; c; c = c->next_replica) {
		/* A thousand idle containers are read every tick: the first needs no adding up. */
		struct drpc_window w, *to = ret->replicas == 0 ? sum : &w;
		struct drpc_window_scalars last;
		int64_t inflight = sum->s.inflight;
		uint64_t current = sum->s.cg.mem_current_bytes;
		uint64_t working_set = sum->s.cg.mem_working_set_bytes;

		if (c->series && drpc_series_last(c->series, &last))
			ret->cpu_last_mcpu = DRPC_MAX(ret->cpu_last_mcpu, usage_mcpu(&last));
		if (!c->series || drpc_series_recent(c->series, since_ns, to) == 0)
			continue;
		if (to != sum)
			drpc_window_add(sum, to);
		/* Levels add up over replicas, while windows of one replica replace them. */
		sum->s.inflight += inflight;
		sum->s.cg.mem_current_bytes += current;
		sum->s.cg.mem_working_set_bytes += working_set;

		ret->cpu_usage_mcpu = DRPC_MAX(ret->cpu_usage_mcpu, usage_mcpu(&to->s));
		ret->mem_use_bytes = DRPC_MAX(ret->mem_use_bytes, to->s.cg.mem_current_bytes);
		ret->mem_working_set_bytes =
			DRPC_MAX(ret->mem_working_set_bytes, to->s.cg.mem_working_set_bytes);
		ret->window_end_ns = DRPC_MAX(ret->window_end_ns, to->s.end_ns);
		ret->cpu_known &= (to->s.cg.valid & DRPC_CG_CPU) != 0;
		ret->replicas++;
	}
}

/* The 99th percentile; how many requests of how long a time it rests on goes to *ret. */
static double p99_ns(const struct drpc_deployment *d, const struct drpc_window *near,
		     uint64_t since_ns, uint64_t now_ns, struct drpc_observation *ret)
{
	uint64_t oldest = DRPC_MAX(since_ns, now_ns - DRPC_MIN(now_ns, DRPC_LOOK_BACK_NS));
	struct drpc_window far = {0};
	const struct drpc_window *best;

	ret->p99_requests = near->s.turns;
	ret->p99_span_ns = near->s.end_ns - near->s.start_ns;
	if (near->s.turns >= TURNS_WANTED)
		return drpc_hist_quantile_ns(near->hist[DRPC_HIST_TOTAL], 0.99);
	for (const struct drpc_container *c = d->replicas; c; c = c->next_replica) {
		struct drpc_window w;

		if (!c->series || !drpc_series_total(c->series))
			continue;
		drpc_series_since(c->series, oldest, &w);
		drpc_window_add(&far, &w);
	}
	/* Whole seconds may all lie before the last change; the near windows then stand alone. */
	best = far.s.turns > near->s.turns ? &far : near;
	ret->p99_requests = best->s.turns;
	ret->p99_span_ns = now_ns - DRPC_MIN(now_ns, oldest);
	if (best->s.turns == 0)
		return 0;
	return drpc_hist_quantile_ns(best->hist[DRPC_HIST_TOTAL], 0.99);
}

static double mean_share(uint64_t usec, double whole_sec)
{
	return whole_sec > 0 ? fmin((double)usec / 1e6 / whole_sec, 1) : 0;
}

static float finite_ratio(double part, double whole)
{
	double ratio = whole > 0 ? part / whole : 0;

	return isfinite(ratio) && ratio > 0 ? (float)fmin(ratio, 1e6) : 0;
}

void drpc_observe(const struct drpc_deployment *deployment, const struct drpc_limits *limits,
		  uint64_t since_ns, uint64_t now_ns, struct drpc_holt *holt,
		  struct drpc_observed *ret)
{
	const struct drpc_policy *policy = &deployment->policy;
	uint64_t mcpu = DRPC_MIN(drpc_limits_cpu_mcpu(limits), policy->max_cpu_mcpu);
	uint64_t bytes = DRPC_MIN(DRPC_MIN(limits->mem_max_bytes, limits->mem_high_bytes),
				  policy->max_memory_bytes);
	struct drpc_view *v = &ret->view;
	float *f = ret->observation.features;
	struct drpc_window sum;
	double n;

	memset(ret, 0, sizeof(*ret));
	merge_replicas(deployment, since_ns, &sum, ret);
	drpc_view_window(&sum, v);
	v->p99_ms = p99_ns(deployment, &sum, since_ns, now_ns, &ret->observation) / 1e6;
	n = DRPC_MAX(ret->replicas, 1U);
	v->cpu_usage_cores /= n;
	v->memory_usage_mib /= n;
	v->cpu_pressure = mean_share(sum.s.cg.cpu_some_usec, n * v->span_sec);
	v->memory_pressure = mean_share(sum.s.cg.mem_some_usec, n * v->span_sec);
	if (ret->replicas > 0)
		drpc_holt_push(holt, now_ns, v->rate_rps);

	f[DRPC_F_CPU_UTIL] = finite_ratio(v->cpu_usage_cores * 1000, (double)mcpu);
	f[DRPC_F_MEM_UTIL] = finite_ratio(v->memory_usage_mib * (double)DRPC_MIB, (double)bytes);
	f[DRPC_F_REPLICAS] = (float)deployment->replica_count;
	f[DRPC_F_RATE] = finite_ratio(v->rate_rps, 1000);
	f[DRPC_F_RATE_PRED] = finite_ratio(drpc_holt_rate(holt, FORECAST_AHEAD_NS), 1000);
	f[DRPC_F_P99_SLO] = finite_ratio(v->p99_ms * 1e6, (double)policy->slo_p99_ns);
	f[DRPC_F_QUEUE_SHARE] = (float)v->queue_share;
	f[DRPC_F_CPU_PRESSURE] = (float)v->cpu_pressure;
	f[DRPC_F_THROTTLED] = (float)v->throttled_share;
	f[DRPC_F_MEM_PRESSURE] = (float)v->memory_pressure;
	ret->observation.now_ns = now_ns;
	ret->observation.coverage = v->coverage;
}
