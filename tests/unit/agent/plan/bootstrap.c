// SPDX-License-Identifier: Apache-2.0
/*
 * The policy that comes with drpc, through the agent's own loader, beside the rules that it learned
 * from: over states of a run that it was not taught on (every eighth of them; bootstrap-states.csv).
 */
#include <criterion/criterion.h>
#include <string.h>

#include "agent/plan/planner.h"
#include "agent/plan/student.h"
#include "lib/log.h"
#include "teacher/states.h"

#define POLICY "deploy/policies/bootstrap.policy"
#define STATES "tests/unit/agent/plan/bootstrap-states.csv"

/* A sample of some five hundred states strays from the whole by so much at most. */
#define STRAY 0.025

static int move(float output)
{
	return (output > DRPC_DEAD_BAND) - (output < -DRPC_DEAD_BAND);
}

Test(bootstrap, says_where_it_comes_from_and_how_good_it_is)
{
	struct drpc_planner *planner = NULL;
	const struct drpc_policy_info *info;

	cr_assert_eq(drpc_planner_student_new(POLICY, &planner), 0);
	info = drpc_planner_student_info(planner);
	cr_assert_not_null(info);
	cr_expect_eq(info->n_inputs, DRPC_F_COUNT);
	cr_expect_str_eq(info->method, "imitation of the reactive planner");
	cr_expect_neq(info->data[0], '\0');
	cr_expect_neq(info->program[0], '\0');
	cr_expect_neq(info->source[0], '\0');
	cr_expect_neq(info->command[0], '\0');
	cr_expect_gt(info->created_s, 1700000000);
	cr_expect_gt(info->samples, 10000);
	cr_expect_gt(info->report.states, 2000);
	cr_expect_lt(info->report.differ, 0.1);
	cr_expect_eq(info->report.opposed, 0);
	cr_expect_gt(info->report.reward_ratio, 0.95f, "%g", (double)info->report.reward_ratio);
	cr_expect_eq(strlen(info->digest), DRPC_POLICY_DIGEST_BYTES - 1);
	drpc_planner_free(&planner);
}

Test(bootstrap, decides_as_the_rules_to_the_share_it_claims)
{
	struct drpc_planner *student = NULL, *reactive = NULL;
	struct drpc_observation observation = {.coverage = 1};
	struct drpc_states states = {0};
	size_t differ = 0, decisions = 0, opposed = 0;

	cr_assert_eq(drpc_planner_student_new(POLICY, &student), 0);
	cr_assert_eq(drpc_planner_reactive_new(&reactive), 0);
	cr_assert_eq(drpc_states_load(STATES, &states), 0);
	for (size_t i = 0; i < states.count; i++) {
		float learned[DRPC_OUT_COUNT], rules[DRPC_OUT_COUNT];
		bool any = false;

		memcpy(observation.features, states.features + i * DRPC_F_COUNT,
		       sizeof(observation.features));
		cr_assert_eq(student->ops->decide(student, &observation, learned), 0);
		cr_assert_eq(reactive->ops->decide(reactive, &observation, rules), 0);
		for (int o = 0; o < DRPC_OUT_COUNT; o++) {
			any = any || move(learned[o]) != move(rules[o]);
			opposed += move(learned[o]) * move(rules[o]) < 0;
			decisions += move(rules[o]) != 0;
		}
		differ += any;
	}
	cr_assert_gt(states.count, 500);
	cr_assert_gt(decisions, states.count / 2,
		     "states in which nothing moves would prove little");
	cr_expect_eq(opposed, 0);
	cr_expect_leq((double)differ / (double)states.count,
		      drpc_planner_student_info(student)->report.differ + STRAY, "%zu of %zu",
		      differ, states.count);
	drpc_states_free(&states);
	drpc_planner_free(&student);
	drpc_planner_free(&reactive);
}
