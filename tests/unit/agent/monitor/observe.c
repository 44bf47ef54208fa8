// SPDX-License-Identifier: Apache-2.0
#include "agent/monitor/observe.h"

#include <criterion/criterion.h>
#include <math.h>

#include "agent/monitor/series.h"
#include "lib/hist.h"
#include "lib/util.h"

#define WINDOW (200 * DRPC_NSEC_PER_MSEC)

struct fixture {
	struct drpc_deployment deployment;
	struct drpc_container containers[2];
	struct drpc_slot_shard slots[2];
	struct drpc_cgroup_counters cg[2];
	struct drpc_holt holt;
	struct drpc_limits limits;
	uint64_t now_ns;
};

static void setup(struct fixture *f, unsigned int replicas)
{
	*f = (struct fixture){
		.now_ns = DRPC_NSEC_PER_SEC,
		.limits = {.cpu_quota_usec = 50000,
			   .cpu_period_usec = 100000,
			   .mem_high_bytes = DRPC_UNLIMITED,
			   .mem_max_bytes = 100 * DRPC_MIB},
	};
	drpc_policy_defaults(&f->deployment.policy, 4000, 8ULL << 30);
	f->deployment.policy.slo_p99_ns = 100 * DRPC_NSEC_PER_MSEC;
	for (unsigned int i = 0; i < replicas; i++) {
		f->containers[i].next_replica = f->deployment.replicas;
		f->deployment.replicas = &f->containers[i];
		f->deployment.replica_count++;
		cr_assert_eq(drpc_series_new(&f->containers[i].series), 0);
		f->cg[i].valid = DRPC_CG_CPU | DRPC_CG_THROTTLE | DRPC_CG_PSI_CPU |
				 DRPC_CG_PSI_MEM | DRPC_CG_MEM;
		f->cg[i].mem_current_bytes = (40 + 10 * i) * DRPC_MIB;
		f->cg[i].mem_working_set_bytes = (30 + 10 * i) * DRPC_MIB;
		drpc_series_push(f->containers[i].series, f->now_ns, NULL, &f->cg[i]);
	}
}

static void teardown(struct fixture *f)
{
	for (int i = 0; i < 2; i++)
		drpc_series_free(&f->containers[i].series);
}

/* One window in which a replica answers `turns` requests of `ms`, half of it in the queue. */
static void window(struct fixture *f, unsigned int turns, double ms, uint64_t cpu_usec)
{
	f->now_ns += WINDOW;
	for (unsigned int i = 0; i < f->deployment.replica_count; i++) {
		struct drpc_slot_shard *s = &f->slots[i];
		uint64_t ns = (uint64_t)(ms * 1e6);

		s->seen += turns;
		s->turns += turns;
		s->hist[DRPC_HIST_TOTAL][drpc_hist_index(ns)] += turns;
		s->sum_ns[DRPC_HIST_TOTAL] += turns * ns;
		s->sum_ns[DRPC_HIST_QUEUE] += turns * ns / 2;
		f->cg[i].cpu_usage_usec += cpu_usec;
		f->cg[i].nr_periods += 2;
		drpc_series_push(f->containers[i].series, f->now_ns, s, &f->cg[i]);
	}
}

static struct drpc_observed observe(struct fixture *f, uint64_t since_ns)
{
	struct drpc_observed o;

	drpc_observe(&f->deployment, &f->limits, since_ns, f->now_ns, &f->holt, &o);
	for (int i = 0; i < DRPC_F_COUNT; i++)
		cr_expect(isfinite(o.observation.features[i]), "%s", drpc_feature_names[i]);
	return o;
}

Test(observe, features_of_one_replica)
{
	struct fixture f;
	struct drpc_observed o;
	const float *v = o.observation.features;

	setup(&f, 1);
	for (int i = 0; i < 5; i++)
		window(&f, 40, 50, 50000); /* 200/s, 0.25 of a CPU */
	o = observe(&f, 0);
	cr_expect_float_eq(v[DRPC_F_CPU_UTIL], 0.5, 1e-3);
	cr_expect_float_eq(v[DRPC_F_MEM_UTIL], 0.3, 1e-3);
	cr_expect_eq(v[DRPC_F_REPLICAS], 1);
	cr_expect_float_eq(v[DRPC_F_RATE], 0.2, 1e-3);
	cr_expect_float_eq(v[DRPC_F_RATE_PRED], 0.2, 1e-2);
	cr_expect_float_eq(v[DRPC_F_P99_SLO], 0.5, 0.05);
	cr_expect_float_eq(v[DRPC_F_QUEUE_SHARE], 0.5, 1e-3);
	cr_expect_eq(v[DRPC_F_THROTTLED], 0);
	cr_expect_eq(o.window_end_ns, f.now_ns);
	cr_expect_eq(o.cpu_usage_mcpu, 250);
	cr_expect_eq(o.mem_use_bytes, 40 * DRPC_MIB);
	teardown(&f);
}

Test(observe, replicas_add_up_and_average)
{
	struct fixture f;
	struct drpc_observed o;

	setup(&f, 2);
	window(&f, 40, 50, 50000);
	o = observe(&f, 0);
	cr_expect_eq(o.replicas, 2);
	cr_expect_float_eq(o.view.rate_rps, 400, 1);
	cr_expect_float_eq(o.observation.features[DRPC_F_CPU_UTIL], 0.5, 1e-3);
	cr_expect_float_eq(o.observation.features[DRPC_F_MEM_UTIL], 0.35, 1e-3);
	/* The fullest replica bounds what may be cut. */
	cr_expect_eq(o.mem_use_bytes, 50 * DRPC_MIB);
	teardown(&f);
}

/* What happened before the last change of a limit does not count any more. */
Test(observe, windows_before_a_change_are_left_out)
{
	struct fixture f;
	struct drpc_observed o;
	uint64_t changed_ns;

	setup(&f, 1);
	for (int i = 0; i < 5; i++)
		window(&f, 200, 500, 100000);
	changed_ns = f.now_ns;
	o = observe(&f, changed_ns);
	cr_expect_eq(o.window_end_ns, 0, "no whole window since the change");
	cr_expect_eq(o.cpu_last_mcpu, 500, "usage is usage, whatever the limit was");
	window(&f, 200, 20, 20000);
	o = observe(&f, changed_ns);
	cr_expect_float_eq(o.observation.features[DRPC_F_P99_SLO], 0.2, 0.02);
	cr_expect_float_eq(o.observation.features[DRPC_F_CPU_UTIL], 0.2, 1e-3);
	teardown(&f);
}

/* Ten requests a second have no 99th percentile in 1 s: older seconds are taken along. */
Test(observe, few_requests_look_further_back)
{
	struct fixture f;
	struct drpc_observed o;

	setup(&f, 1);
	window(&f, 1, 90, 1000);
	for (int i = 0; i < 20; i++)
		window(&f, 2, 10, 1000);
	o = observe(&f, 0);
	cr_expect_float_eq(o.observation.features[DRPC_F_P99_SLO], 0.9, 0.06);
	cr_expect_eq(o.observation.p99_requests, 41);
	cr_expect_geq(o.observation.p99_span_ns, 21 * WINDOW);
	/* Of a busy service the last windows are enough. */
	for (int i = 0; i < 5; i++)
		window(&f, 40, 10, 1000);
	o = observe(&f, 0);
	cr_expect_eq(o.observation.p99_requests, 200);
	cr_expect_eq(o.observation.p99_span_ns, 5 * WINDOW);
	teardown(&f);
}

Test(observe, no_limit_counts_as_the_policys_maximum)
{
	struct fixture f;
	struct drpc_observed o;

	setup(&f, 1);
	f.limits.cpu_quota_usec = f.limits.mem_max_bytes = DRPC_UNLIMITED;
	f.deployment.policy.max_cpu_mcpu = 1000;
	f.deployment.policy.max_memory_bytes = 300 * DRPC_MIB;
	window(&f, 40, 50, 50000);
	o = observe(&f, 0);
	cr_expect_float_eq(o.observation.features[DRPC_F_CPU_UTIL], 0.25, 1e-3);
	cr_expect_float_eq(o.observation.features[DRPC_F_MEM_UTIL], 0.1, 1e-3);
	teardown(&f);
}

Test(observe, unreadable_cpu_usage_is_not_idleness)
{
	struct fixture f;
	struct drpc_observed o;

	setup(&f, 1);
	window(&f, 40, 50, 50000);
	o = observe(&f, 0);
	cr_expect(o.cpu_known);
	f.cg[0].valid &= ~DRPC_CG_CPU;
	window(&f, 40, 50, 50000);
	o = observe(&f, f.now_ns - WINDOW);
	cr_expect(!o.cpu_known);
	teardown(&f);
}
