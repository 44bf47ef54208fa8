// SPDX-License-Identifier: Apache-2.0
#include "agent/plan/decision.h"

#include <criterion/criterion.h>
#include <string.h>

static struct drpc_decision_ring ring;

static void teardown(void)
{
	drpc_decision_ring_free(&ring);
	cr_expect_null(ring.records);
}

TestSuite(decision, .fini = teardown);

/* A decision that moved the quota to `quota`. */
static struct drpc_decision moved(uint64_t quota)
{
	struct drpc_decision d = {
		.verdict = DRPC_VERDICT_ALLOW,
		.applied = true,
		.before = {.cpu_quota_usec = quota - 1},
		.after = {.cpu_quota_usec = quota},
	};

	return d;
}

Test(decision, empty)
{
	cr_expect_eq(drpc_decision_count(&ring), 0);
	cr_expect_null(drpc_decision_at(&ring, 0));
	cr_expect_not(drpc_decision_set_outcome(&ring, 0, 1, 0));
	cr_expect_not(drpc_decision_set_outcome(&ring, 1, 1, 0));
}

Test(decision, newest_first_and_the_oldest_go)
{
	for (uint64_t i = 1; i <= 100; i++) {
		struct drpc_decision d = moved(i);

		cr_expect_eq(drpc_decision_push(&ring, &d)->id, i);
	}
	cr_expect_eq(drpc_decision_count(&ring), DRPC_DECISION_RING);
	for (uint32_t age = 0; age < DRPC_DECISION_RING; age++) {
		cr_expect_eq(drpc_decision_at(&ring, age)->after.cpu_quota_usec, 100 - age);
		cr_expect_eq(drpc_decision_at(&ring, age)->id, 100 - age);
	}
	cr_expect_null(drpc_decision_at(&ring, DRPC_DECISION_RING));
}

Test(decision, outcome_finds_its_record_or_knows_it_is_gone)
{
	for (uint64_t i = 1; i <= 70; i++) {
		struct drpc_decision d = moved(i);

		drpc_decision_push(&ring, &d);
	}
	cr_expect_not(drpc_decision_set_outcome(&ring, 6, 1, 0), "overwritten");
	cr_expect(drpc_decision_set_outcome(&ring, 7, 5000, 0.25));
	cr_expect_eq(drpc_decision_at(&ring, 63)->outcome_p99_ns, 5000);
	cr_expect(drpc_decision_at(&ring, 63)->outcome_known);
	cr_expect_not(drpc_decision_at(&ring, 62)->outcome_known);
	cr_expect_not(drpc_decision_set_outcome(&ring, 71, 1, 0), "not there yet");
}

Test(decision, idling_does_not_push_actions_out)
{
	struct drpc_decision action = moved(500), idle = {.verdict = DRPC_VERDICT_HOLD};

	drpc_decision_push(&ring, &action);
	for (uint64_t i = 0; i < 1000; i++) {
		idle.realtime_ns = i;
		drpc_decision_push(&ring, &idle);
	}
	cr_expect_eq(drpc_decision_count(&ring), 2);
	cr_expect_eq(drpc_decision_at(&ring, 0)->repeats, 999);
	cr_expect_eq(drpc_decision_at(&ring, 0)->realtime_ns, 999, "the last time it came");
	cr_expect_eq(drpc_decision_at(&ring, 0)->id, 2);
	cr_expect(drpc_decision_at(&ring, 1)->applied);
	/* Another verdict, or another place where it stands, is news. */
	idle.verdict = DRPC_VERDICT_REFUSE;
	drpc_decision_push(&ring, &idle);
	idle.before.mem_max_bytes = idle.after.mem_max_bytes = 7;
	drpc_decision_push(&ring, &idle);
	cr_expect_eq(drpc_decision_count(&ring), 4);
	/* Actions never merge, even equal ones. */
	drpc_decision_push(&ring, &action);
	drpc_decision_push(&ring, &action);
	cr_expect_eq(drpc_decision_count(&ring), 6);
}

Test(decision, filled_from_a_verdict)
{
	struct drpc_policy policy;
	struct drpc_guard_state state = {0};
	struct drpc_observation observation = {.coverage = 1};
	float raw[DRPC_OUT_COUNT] = {[DRPC_OUT_CPU] = -1};
	struct drpc_guard_params params;
	struct drpc_guard_node node = {0};
	struct drpc_guard_request request = {
		.policy = &policy,
		.state = &state,
		.observation = &observation,
		.raw = raw,
		.window_end_ns = 1,
		.limits = {100000, 100000, 0, DRPC_UNLIMITED, DRPC_UNLIMITED},
		.replicas = 2,
		.local_replicas = 2,
	};
	struct drpc_verdict verdict;
	struct drpc_decision d;

	drpc_policy_defaults(&policy, 8000, 16ULL << 30);
	policy.mode = DRPC_MODE_ACT;
	drpc_guard_params_defaults(&params);
	observation.features[DRPC_F_RATE] = 1.5f;
	drpc_guard_judge(&params, &node, &request, 1, 1, &verdict);
	drpc_decision_fill(&d, &request, &verdict, "a planner of a very long name", true, 42);
	cr_expect_eq(d.realtime_ns, 42);
	cr_expect(d.applied);
	cr_expect_eq(d.verdict, DRPC_VERDICT_ALLOW);
	cr_expect_eq(d.before.cpu_quota_usec, 100000);
	cr_expect_eq(d.after.cpu_quota_usec, 70000);
	cr_expect_eq(d.cpu_delta_mcpu, -300);
	cr_expect_eq(d.memory_delta_bytes, 0);
	cr_expect_eq(d.replicas_delta, 0);
	cr_expect_float_eq(d.features[DRPC_F_RATE], 1.5f, 0);
	cr_expect_float_eq(d.raw[DRPC_OUT_CPU], -1.0f, 0);
	cr_expect_str_eq(d.planner, "a planner of a ");
	cr_expect_str_eq(d.reason, "within every bound");
}
