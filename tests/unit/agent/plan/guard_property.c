// SPDX-License-Identifier: Apache-2.0
/* What holds whatever comes in: seeded random ticks, with the values that break arithmetic. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "agent/plan/guard.h"
#include "lib/util.h"

#define TICKS	 60000
#define MAX_DEPL 4

static uint64_t rng;

static uint64_t next(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng * 0x2545f4914f6cdd1dULL;
}

static uint64_t below(uint64_t n)
{
	return next() % n;
}

/* Mostly sensible figures around `scale`, now and then one at the edge. */
static uint64_t figure(uint64_t scale)
{
	static const uint64_t edges[] = {0,	    1, 2, UINT32_MAX, INT64_MAX, UINT64_MAX - 1,
					 UINT64_MAX};

	if (below(6) == 0)
		return edges[below(DRPC_ARRAY_SIZE(edges))];
	return below(scale * 2);
}

static float number(void)
{
	static const float edges[] = {NAN, INFINITY, -INFINITY, -1, 1e30f, -0.0f};

	if (below(60) == 0)
		return edges[below(DRPC_ARRAY_SIZE(edges))];
	return (float)below(2001) / 1000.0f;
}

static void random_policy(struct drpc_policy *p)
{
	char why[256];

	drpc_policy_defaults(p, 8000, 16ULL << 30);
	p->mode = (enum drpc_mode)(below(5) ? DRPC_MODE_ACT : below(2));
	p->min_cpu_mcpu = 10 + below(2000);
	p->max_cpu_mcpu = p->min_cpu_mcpu + below(4000);
	p->min_memory_bytes = DRPC_MIB + below(1 << 30);
	p->max_memory_bytes = p->min_memory_bytes + below(4ULL << 30);
	p->min_replicas = (uint32_t)below(3);
	p->max_replicas = p->min_replicas + 1 + (uint32_t)below(4);
	p->brownout = p->min_replicas == 0;
	p->cpu_step = (double)(1 + below(100)) / 100;
	p->memory_step = (double)(1 + below(100)) / 100;
	p->memory_managed = below(8) != 0;
	cr_assert_eq(drpc_policy_check(p, why, sizeof(why)), 0, "%s", why);
}

static void random_limits(struct drpc_limits *l)
{
	static const uint64_t periods[] = {0, 1000, 5000, 100000, 100000, 100000, 1000000};

	l->cpu_period_usec = periods[below(DRPC_ARRAY_SIZE(periods))];
	l->cpu_quota_usec = below(8) ? figure(200000) : DRPC_UNLIMITED;
	l->cpu_burst_usec = figure(50000);
	l->mem_max_bytes = below(8) ? figure(2ULL << 30) : DRPC_UNLIMITED;
	l->mem_high_bytes = below(3) ? DRPC_UNLIMITED : figure(2ULL << 30);
}

struct world {
	struct drpc_policy policy[MAX_DEPL];
	struct drpc_guard_state state[MAX_DEPL];
	struct drpc_observation observation[MAX_DEPL];
	struct drpc_proposal proposal[MAX_DEPL];
	float raw[MAX_DEPL][DRPC_OUT_COUNT];
	struct drpc_guard_request request[MAX_DEPL];
	struct drpc_verdict verdict[MAX_DEPL];
	struct drpc_guard_params params;
	struct drpc_guard_node node;
	uint64_t now;
};

static void random_request(struct world *w, size_t i)
{
	for (int k = 0; k < DRPC_F_COUNT; k++)
		w->observation[i].features[k] = number();
	w->observation[i].coverage = below(10) ? 1 : (double)number();
	for (int k = 0; k < DRPC_OUT_COUNT; k++)
		w->raw[i][k] = below(2) ? number() : -number();
	w->proposal[i] =
		(struct drpc_proposal){figure(4000), figure(2ULL << 30), (uint32_t)figure(5)};
	w->request[i] = (struct drpc_guard_request){
		.policy = &w->policy[i],
		.state = &w->state[i],
		.observation = &w->observation[i],
		.raw = below(50) ? w->raw[i] : NULL,
		.proposal = below(4) ? NULL : &w->proposal[i],
		.paused = below(30) == 0,
		.window_end_ns = below(20) ? w->now : figure(w->now),
		.replicas = (uint32_t)(below(20) ? below(6) : figure(6)),
		.cpu_usage_mcpu = figure(500),
		.cpu_peak_mcpu = figure(500),
		.mem_use_bytes = figure(512 << 20),
		.mem_working_set_bytes = figure(256 << 20),
	};
	w->request[i].local_replicas = (uint32_t)below(w->request[i].replicas + 1ULL);
	random_limits(&w->request[i].limits);
}

#define hold(cond, ...) cr_assert(cond, __VA_ARGS__)

static void check_cpu(const struct drpc_guard_request *r, const struct drpc_verdict *v)
{
	uint64_t mcpu;

	if (v->limits.cpu_quota_usec == r->limits.cpu_quota_usec)
		return;
	mcpu = drpc_limits_cpu_mcpu(&v->limits);
	hold(mcpu >= r->policy->min_cpu_mcpu && mcpu <= r->policy->max_cpu_mcpu,
	     "%lu m outside %lu..%lu", mcpu, r->policy->min_cpu_mcpu, r->policy->max_cpu_mcpu);
	hold(v->limits.cpu_quota_usec >= 1000, "quota under 1 ms");
	hold(v->limits.cpu_burst_usec <= v->limits.cpu_quota_usec, "burst over quota");
}

static void check_memory(const struct world *w, const struct drpc_guard_request *r,
			 const struct drpc_verdict *v)
{
	const struct drpc_policy *p = r->policy;
	const struct drpc_limits *from = &r->limits, *to = &v->limits;

	if (to->mem_max_bytes == from->mem_max_bytes && to->mem_high_bytes == from->mem_high_bytes)
		return;
	hold(p->memory_managed, "memory is not managed");
	if (to->mem_max_bytes != from->mem_max_bytes)
		hold(to->mem_max_bytes >= p->min_memory_bytes &&
			     to->mem_max_bytes <= p->max_memory_bytes,
		     "memory.max %lu outside %lu..%lu", to->mem_max_bytes, p->min_memory_bytes,
		     p->max_memory_bytes);
	if (to->mem_max_bytes < from->mem_max_bytes)
		hold((double)to->mem_max_bytes >=
			     (double)r->mem_use_bytes * (1 + w->params.memory_margin) * 0.999999,
		     "memory.max %lu under use %lu and margin", to->mem_max_bytes,
		     r->mem_use_bytes);
	if (to->mem_high_bytes != from->mem_high_bytes) {
		/* Where memory.max stands outside the policy, high may be held down to it. */
		hold(to->mem_high_bytes <= p->max_memory_bytes, "memory.high over the policy");
		hold(to->mem_high_bytes >= DRPC_MIN(p->min_memory_bytes, to->mem_max_bytes),
		     "memory.high %lu under the policy's %lu", to->mem_high_bytes,
		     p->min_memory_bytes);
		hold(to->mem_high_bytes <= to->mem_max_bytes, "memory.high over memory.max");
	}
	if (to->mem_high_bytes < from->mem_high_bytes)
		hold(to->mem_high_bytes >= DRPC_MIN(r->mem_working_set_bytes, to->mem_max_bytes),
		     "memory.high under the working set");
}

static void check_replicas(const struct drpc_guard_request *r, const struct drpc_verdict *v)
{
	if (v->replicas == r->replicas)
		return;
	hold(v->replicas >= r->policy->min_replicas && v->replicas <= r->policy->max_replicas,
	     "%u replicas outside %u..%u", v->replicas, r->policy->min_replicas,
	     r->policy->max_replicas);
	hold(v->replicas > 0 || r->policy->brownout, "0 replicas without brownout");
}

static bool finite_all(const float *values, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!isfinite(values[i]))
			return false;
	}
	return true;
}

static void check(const struct world *w, size_t i)
{
	const struct drpc_guard_request *r = &w->request[i];
	const struct drpc_verdict *v = &w->verdict[i];
	const bool same = drpc_limits_equal(&v->limits, &r->limits) && v->replicas == r->replicas;

	check_cpu(r, v);
	check_memory(w, r, v);
	check_replicas(r, v);
	hold(v->reason[0] && memchr(v->reason, '\0', sizeof(v->reason)), "no reason");
	hold(!v->write || !same, "a write that changes nothing");
	hold(!v->write || (r->policy->mode == DRPC_MODE_ACT && !r->paused),
	     "wrote in another mode");
	hold(v->write == (v->kind == DRPC_VERDICT_ALLOW || v->kind == DRPC_VERDICT_CLIP ||
			  v->kind == DRPC_VERDICT_ROLLBACK),
	     "verdict %s and write %d", drpc_verdict_name(v->kind), v->write);
	hold(v->write || v->kind == DRPC_VERDICT_RECOMMEND || same, "%s moves limits",
	     drpc_verdict_name(v->kind));
	if (!r->raw || !finite_all(r->raw, DRPC_OUT_COUNT) ||
	    !finite_all(r->observation->features, DRPC_F_COUNT))
		hold(same, "acted on what is not finite");
	if (!(r->observation->coverage >= w->params.min_coverage) && v->write)
		hold(v->target.cpu_mcpu >= v->standing.cpu_mcpu &&
			     v->target.memory_bytes >= v->standing.memory_bytes &&
			     v->target.replicas >= v->standing.replicas,
		     "cut on thin coverage");
}

/* Raises on this node together never exceed the node. */
static void check_capacity(const struct world *w, size_t count)
{
	double raised = 0;

	if (w->node.cpu_mcpu == 0)
		return;
	for (size_t i = 0; i < count; i++) {
		const struct drpc_verdict *v = &w->verdict[i];

		if (v->write && v->target.cpu_mcpu > v->standing.cpu_mcpu)
			raised += (double)(v->target.cpu_mcpu - v->standing.cpu_mcpu) *
				  w->request[i].local_replicas;
	}
	hold(raised <= (double)w->node.cpu_mcpu, "raised by %.0f on a node of %lu", raised,
	     w->node.cpu_mcpu);
}

Test(guard_property, never_outside_the_policy_whatever_comes, .timeout = 120)
{
	struct world *w = calloc(1, sizeof(*w));
	size_t kinds[DRPC_VERDICT_OFF + 1] = {0};

	rng = 0x9e3779b97f4a7c15ULL;
	drpc_guard_params_defaults(&w->params);
	w->now = 1000 * DRPC_NSEC_PER_SEC;
	for (int tick = 0; tick < TICKS; tick++) {
		const size_t count = 1 + below(MAX_DEPL);

		if (tick % 100 == 0) {
			for (size_t i = 0; i < MAX_DEPL; i++) {
				random_policy(&w->policy[i]);
				memset(&w->state[i], 0, sizeof(w->state[i]));
			}
			w->params.cpu_burst = (double)below(3) / 2;
			w->params.memory_high_gap = (double)below(6) / 10;
		}
		w->now += below(3 * DRPC_NSEC_PER_SEC);
		w->node = (struct drpc_guard_node){figure(8000), figure(8ULL << 30), figure(500),
						   figure(1 << 30)};
		for (size_t i = 0; i < count; i++)
			random_request(w, i);
		drpc_guard_judge(&w->params, &w->node, w->request, count, w->now, w->verdict);
		check_capacity(w, count);
		for (size_t i = 0; i < count; i++) {
			check(w, i);
			kinds[w->verdict[i].kind]++;
			if (w->verdict[i].write)
				drpc_guard_commit(&w->params, &w->state[i], &w->observation[i],
						  &w->verdict[i], w->now);
		}
	}
	/* The walk has been everywhere, or it has shown nothing. */
	for (size_t k = 0; k < DRPC_ARRAY_SIZE(kinds); k++)
		cr_expect_gt(kinds[k], 20, "%s came %zu times", drpc_verdict_name(k), kinds[k]);
	free(w);
}
