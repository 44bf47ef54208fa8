// SPDX-License-Identifier: Apache-2.0
#include "agent/plan/proposal.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>

#include "lib/util.h"

static struct drpc_policy policy;
static const struct drpc_proposal standing = {1000, 1000000, 2};

static void setup(void)
{
	drpc_policy_defaults(&policy, 8000, 16ULL << 30);
	policy.cpu_step = 0.3;
	policy.memory_step = 0.2;
}

TestSuite(proposal, .init = setup);

static struct drpc_proposal make(float replicas, float cpu, float memory)
{
	const float raw[DRPC_OUT_COUNT] = {
		[DRPC_OUT_REPLICAS] = replicas, [DRPC_OUT_CPU] = cpu, [DRPC_OUT_MEMORY] = memory};
	struct drpc_proposal p = {0};

	cr_assert_eq(drpc_proposal_make(&policy, &standing, raw, &p), 0);
	return p;
}

Test(proposal, dead_band_is_open)
{
	struct drpc_proposal p = make(0.5f, -0.5f, 0.5f);

	cr_expect_eq(p.cpu_mcpu, 1000);
	cr_expect_eq(p.memory_bytes, 1000000);
	cr_expect_eq(p.replicas, 2);
	p = make(0.51f, 0.51f, -0.51f);
	cr_expect_eq(p.replicas, 3);
	cr_expect_eq(p.cpu_mcpu, 1153);
	cr_expect_eq(p.memory_bytes, 898000);
}

Test(proposal, outputs_are_clipped_and_steps_are_shares)
{
	struct drpc_proposal p = make(9, 50, -50);

	cr_expect_eq(p.cpu_mcpu, 1300);
	cr_expect_eq(p.memory_bytes, 800000);
	cr_expect_eq(p.replicas, 3, "one replica at a time");
	p = make(-1, -1, 1);
	cr_expect_eq(p.cpu_mcpu, 700);
	cr_expect_eq(p.memory_bytes, 1200000);
	cr_expect_eq(p.replicas, 1);
}

Test(proposal, default_step_doubles_in_three_actions)
{
	struct drpc_proposal p = standing;
	const float raw[DRPC_OUT_COUNT] = {[DRPC_OUT_CPU] = 1};

	drpc_policy_defaults(&policy, 8000, 16ULL << 30);
	for (int i = 0; i < 3; i++)
		drpc_proposal_make(&policy, &p, raw, &p);
	cr_expect_geq(p.cpu_mcpu, 2 * standing.cpu_mcpu);
}

Test(proposal, the_last_replica_goes_with_brownout_alone)
{
	const float raw[DRPC_OUT_COUNT] = {[DRPC_OUT_REPLICAS] = -1};
	struct drpc_proposal p, one = {1000, 1000000, 1};

	drpc_proposal_make(&policy, &one, raw, &p);
	cr_expect_eq(p.replicas, 1, "dropped, not wrapped");
	policy.brownout = true;
	drpc_proposal_make(&policy, &one, raw, &p);
	cr_expect_eq(p.replicas, 0);
	one.replicas = 0;
	drpc_proposal_make(&policy, &one, raw, &p);
	cr_expect_eq(p.replicas, 0);
}

Test(proposal, small_figures_still_move)
{
	const float raw[DRPC_OUT_COUNT] = {[DRPC_OUT_CPU] = 1, [DRPC_OUT_MEMORY] = -1};
	struct drpc_proposal p, tiny = {10, 3, 1};

	policy.cpu_step = 0.01;
	drpc_proposal_make(&policy, &tiny, raw, &p);
	cr_expect_eq(p.cpu_mcpu, 11);
	cr_expect_eq(p.memory_bytes, 2);
}

Test(proposal, huge_figures_do_not_wrap)
{
	const float up[DRPC_OUT_COUNT] = {1, 1, 1}, down[DRPC_OUT_COUNT] = {-1, -1, -1};
	struct drpc_proposal p, huge = {UINT64_MAX - 1, UINT64_MAX / 4 - 1, UINT32_MAX};

	drpc_proposal_make(&policy, &huge, up, &p);
	cr_expect_geq(p.cpu_mcpu, huge.cpu_mcpu);
	cr_expect_geq(p.memory_bytes, huge.memory_bytes);
	cr_expect_eq(p.replicas, UINT32_MAX);
	cr_expect_neq(p.cpu_mcpu, DRPC_UNLIMITED);
	drpc_proposal_make(&policy, &huge, down, &p);
	cr_expect_lt(p.cpu_mcpu, huge.cpu_mcpu);
}

Test(proposal, outputs_that_are_not_finite_are_refused)
{
	const float bad[] = {NAN, INFINITY, -INFINITY};

	for (size_t b = 0; b < DRPC_ARRAY_SIZE(bad); b++) {
		for (int i = 0; i < DRPC_OUT_COUNT; i++) {
			float raw[DRPC_OUT_COUNT] = {0};
			struct drpc_proposal p = {1, 2, 3};

			raw[i] = bad[b];
			cr_expect_eq(drpc_proposal_make(&policy, &standing, raw, &p), -EDOM);
			cr_expect(p.cpu_mcpu == 1 && p.memory_bytes == 2 && p.replicas == 3);
		}
	}
}

Test(proposal, no_limit_counts_as_the_policys_maximum)
{
	const struct drpc_limits none = {DRPC_UNLIMITED, 100000, 0, DRPC_UNLIMITED, DRPC_UNLIMITED};
	struct drpc_proposal p;

	drpc_proposal_standing(&policy, &none, 4, 0.1, &p);
	cr_expect_eq(p.cpu_mcpu, 8000);
	cr_expect_eq(p.memory_bytes, 16ULL << 30);
	cr_expect_eq(p.replicas, 4);
}

Test(proposal, memory_is_led_by_high)
{
	struct drpc_limits l = {100000, 100000, 0, 900 << 20, 1000 << 20};
	struct drpc_proposal p;

	drpc_proposal_standing(&policy, &l, 1, 0.1, &p);
	cr_expect_eq(p.memory_bytes, 1000 << 20);
	l.mem_high_bytes = 450 << 20;
	drpc_proposal_standing(&policy, &l, 1, 0.1, &p);
	cr_expect_eq(p.memory_bytes, 500 << 20);
	l.mem_max_bytes = DRPC_UNLIMITED;
	drpc_proposal_standing(&policy, &l, 1, 0.1, &p);
	cr_expect_eq(p.memory_bytes, 500 << 20);
	l.mem_high_bytes = DRPC_UNLIMITED;
	l.mem_max_bytes = 300 << 20;
	drpc_proposal_standing(&policy, &l, 1, 0.1, &p);
	cr_expect_eq(p.memory_bytes, 300 << 20);
}
