// SPDX-License-Identifier: Apache-2.0
/*
 * Planner, proposal and guard together against a model of a throttled service: requests of 5 ms CPU
 * that wait in one queue, a quota that is spent period by period. What it shows is the shape of the
 * reaction, in windows of 200 ms: up within a second, p99 back within five, down slowly.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "agent/plan/guard.h"
#include "agent/plan/reactive.h"
#include "lib/util.h"

#define WINDOW_NS  (200 * DRPC_NSEC_PER_MSEC)
#define WINDOW_SEC 0.2
#define COST_SEC   0.005
#define PARALLEL   4.0 /* threads: the most CPUs the service can use at once */

struct service {
	struct drpc_guard_params params;
	struct drpc_guard_node node;
	struct drpc_policy policy;
	struct drpc_guard_state state;
	struct drpc_limits limits;
	double backlog_sec; /* CPU seconds that wait */
	double slo_sec;	    /* 0: none was given */
	double p99_sec;
	uint64_t now, usage_mcpu;
	uint32_t rng;
	unsigned int raises, cuts;
};

static double noise(struct service *s)
{
	s->rng = s->rng * 1664525 + 1013904223;
	return (double)(s->rng >> 8) / (1 << 24);
}

/* One window in two periods of 100 ms; arrivals vary by a fifth. Fills in the features. */
static void serve(struct service *s, double rate, float f[DRPC_F_COUNT])
{
	const double limit = fmin((double)drpc_limits_cpu_mcpu(&s->limits) / 1000, PARALLEL);
	double used = 0, worst_wait = 0;
	int throttled = 0;

	for (int period = 0; period < 2; period++) {
		const double quota = limit * 0.1;
		double work = rate * 0.1 * (0.9 + 0.2 * noise(s)) * COST_SEC + s->backlog_sec;
		const double done = fmin(work, quota);

		throttled += work > quota;
		s->backlog_sec = work - done;
		used += done;
		worst_wait = fmax(worst_wait, s->backlog_sec / limit);
	}
	s->p99_sec = 3 * COST_SEC + worst_wait + (throttled ? 0.05 : 0);
	s->usage_mcpu = (uint64_t)(used / WINDOW_SEC * 1000);
	memset(f, 0, DRPC_F_COUNT * sizeof(*f));
	f[DRPC_F_CPU_UTIL] = (float)(used / WINDOW_SEC / limit);
	f[DRPC_F_REPLICAS] = 1;
	f[DRPC_F_MEM_UTIL] = 0.7f;
	f[DRPC_F_RATE] = f[DRPC_F_RATE_PRED] = (float)rate / 1000;
	f[DRPC_F_P99_SLO] = s->slo_sec > 0 ? (float)(s->p99_sec / s->slo_sec) : 0;
	f[DRPC_F_QUEUE_SHARE] = (float)(worst_wait / (worst_wait + COST_SEC));
	f[DRPC_F_THROTTLED] = (float)throttled / 2;
}

static void window(struct service *s, double rate)
{
	struct drpc_observation o = {.coverage = 1};
	float raw[DRPC_OUT_COUNT];
	struct drpc_guard_request r = {
		.policy = &s->policy,
		.state = &s->state,
		.observation = &o,
		.raw = raw,
		.replicas = 1,
		.local_replicas = 1,
		.mem_use_bytes = 100 << 20,
		.mem_working_set_bytes = 100 << 20,
	};
	struct drpc_verdict v;
	uint64_t before = drpc_limits_cpu_mcpu(&s->limits);

	serve(s, rate, o.features);
	s->now += WINDOW_NS;
	r.window_end_ns = s->now;
	r.limits = s->limits;
	r.cpu_usage_mcpu = s->usage_mcpu;
	drpc_reactive_decide(o.features, raw);
	drpc_guard_judge(&s->params, &s->node, &r, 1, s->now, &v);
	if (!v.write)
		return;
	drpc_guard_commit(&s->params, &s->state, &o, &v, s->now);
	s->limits = v.limits;
	s->raises += drpc_limits_cpu_mcpu(&s->limits) > before;
	s->cuts += drpc_limits_cpu_mcpu(&s->limits) < before;
}

static void run(struct service *s, double rate, double seconds)
{
	for (int i = 0; i < seconds / WINDOW_SEC; i++)
		window(s, rate);
}

static void begin(struct service *s, double slo_sec)
{
	*s = (struct service){
		.node = {.cpu_mcpu = 8000, .memory_bytes = 16ULL << 30},
		.limits = {400000, 100000, 0, DRPC_UNLIMITED, DRPC_UNLIMITED},
		.slo_sec = slo_sec,
		.now = 1000 * DRPC_NSEC_PER_SEC,
		.rng = 7,
	};
	drpc_guard_params_defaults(&s->params);
	drpc_policy_defaults(&s->policy, 8000, 16ULL << 30);
	s->policy.mode = DRPC_MODE_ACT;
	s->policy.memory_managed = false;
	s->policy.slo_p99_ns = (uint64_t)(slo_sec * 1e9);
}

static uint64_t limit_of(const struct service *s)
{
	return drpc_limits_cpu_mcpu(&s->limits);
}

/* With an objective of 100 ms, and with none. */
static const double objectives[] = {0.1, 0};

Test(control, settles_on_less_cpu_and_keeps_the_objective)
{
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(objectives); i++) {
		struct service s;
		unsigned int missed = 0;

		begin(&s, objectives[i]);
		run(&s, 100, 60); /* 0.5 CPU of work under a limit of 4 */
		cr_expect_lt(limit_of(&s), 1200, "limit is still %lum", limit_of(&s));
		cr_expect_gt(limit_of(&s), 550);
		s.raises = s.cuts = 0;
		for (int w = 0; w < 300; w++) {
			window(&s, 100);
			missed += s.p99_sec > 0.1;
		}
		cr_expect_leq(missed, 3, "p99 over 100 ms in %u of 300 windows", missed);
		cr_expect_leq(s.raises + s.cuts, 6, "%u raises, %u cuts in a steady minute",
			      s.raises, s.cuts);
	}
}

Test(control, doubled_load_is_met_within_a_second_and_healed_within_five)
{
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(objectives); i++) {
		struct service s;
		uint64_t before;
		int healed = -1;

		begin(&s, objectives[i]);
		run(&s, 100, 60);
		before = limit_of(&s);
		run(&s, 200, 1);
		cr_expect_gt(limit_of(&s), before, "not raised within a second");
		cr_expect_gt(limit_of(&s), 1000, "1 CPU of work, %lum after a second",
			     limit_of(&s));
		for (int w = 5; w < 50; w++) {
			window(&s, 200);
			if (s.p99_sec > 0.1)
				healed = -1;
			else if (healed < 0)
				healed = w;
		}
		cr_expect(healed >= 0 && healed <= 25, "p99 back for good after %.1f s",
			  healed * WINDOW_SEC);
	}
}

Test(control, five_times_the_load_is_survived)
{
	struct service s;

	begin(&s, 0.1);
	run(&s, 100, 60);
	run(&s, 500, 5); /* 2.5 CPU */
	cr_expect_gt(limit_of(&s), 2500);
	run(&s, 500, 3);
	cr_expect_lt(s.p99_sec, 0.1);
	/* And given back, slowly. */
	run(&s, 100, 5);
	cr_expect_gt(limit_of(&s), 2500, "not within the cool-down of a raise");
	run(&s, 100, 60);
	cr_expect_lt(limit_of(&s), 1200);
}

Test(control, load_that_swings_is_not_followed_down)
{
	struct service s;
	unsigned int missed = 0;

	begin(&s, 0.1);
	run(&s, 100, 60);
	s.raises = s.cuts = 0;
	for (int swing = 0; swing < 60; swing++) {
		for (int w = 0; w < 10; w++) {
			window(&s, swing % 2 ? 100 : 200);
			missed += s.p99_sec > 0.1;
		}
	}
	cr_expect_leq(s.cuts, 8, "%u cuts in two minutes of swings", s.cuts);
	cr_expect_leq(missed, 30, "p99 over 100 ms in %u of 600 windows", missed);
}
