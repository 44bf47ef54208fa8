// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>
#include <math.h>

#include "sim/policies/coscal.h"

#define ALL ((1U << DRPC_COSCAL_ACTIONS) - 1)

Test(sim_coscal, quartiles)
{
	cr_assert_eq(drpc_coscal_quartile(0), 0);
	cr_assert_eq(drpc_coscal_quartile(0.25), 0);
	cr_assert_eq(drpc_coscal_quartile(0.2501), 1);
	cr_assert_eq(drpc_coscal_quartile(0.5), 1);
	cr_assert_eq(drpc_coscal_quartile(0.75), 2);
	cr_assert_eq(drpc_coscal_quartile(0.76), 3);
	cr_assert_eq(drpc_coscal_quartile(1), 3);
	cr_assert_eq(drpc_coscal_quartile(7), 3);
	cr_assert_eq(drpc_coscal_quartile(-1), 0);
	cr_assert_eq(drpc_coscal_quartile(NAN), 0);
}

Test(sim_coscal, states_are_64_and_each_its_own)
{
	bool seen[DRPC_COSCAL_STATES] = {false};

	for (int c = 0; c < 4; c++) {
		for (int m = 0; m < 4; m++) {
			for (int l = 0; l < 4; l++) {
				const unsigned int s = drpc_coscal_state(
					0.1 + c * 0.25, 0.1 + m * 0.25, 0.1 + l * 0.25);

				cr_assert_lt(s, DRPC_COSCAL_STATES);
				cr_assert(!seen[s]);
				seen[s] = true;
			}
		}
	}
}

Test(sim_coscal, one_move_of_q_learning)
{
	struct drpc_coscal_table t = {0};
	const struct drpc_coscal_step step = {
		.state = 5, .action = DRPC_COSCAL_MORE_CPU, .reward = 0.8f, .next = 9};

	t.q[9][DRPC_COSCAL_NOTHING] = 2;
	t.visits[9][DRPC_COSCAL_NOTHING] = 1;
	t.q[9][DRPC_COSCAL_OFF] = 50; /* never tried: it does not count */
	t.q[5][DRPC_COSCAL_MORE_CPU] = 1;
	drpc_coscal_learn(&t, &step);
	cr_assert_float_eq(t.q[5][DRPC_COSCAL_MORE_CPU], 1 + 0.01 * (0.8 + 0.9 * 2 - 1), 1e-6);
	cr_assert_eq(t.visits[5][DRPC_COSCAL_MORE_CPU], 1);
}

Test(sim_coscal, best_of_what_is_allowed_and_was_tried)
{
	struct drpc_coscal_table t = {0};

	cr_assert_eq(drpc_coscal_best(&t, 0, ALL), DRPC_COSCAL_NOTHING);
	for (int a = 0; a < DRPC_COSCAL_ACTIONS; a++) {
		t.q[0][a] = (float)a;
		t.visits[0][a] = a != DRPC_COSCAL_ON;
	}
	cr_assert_eq(drpc_coscal_best(&t, 0, ALL), DRPC_COSCAL_OFF);
	cr_assert_eq(drpc_coscal_best(&t, 0, ALL & ~(1U << DRPC_COSCAL_OFF)),
		     DRPC_COSCAL_LESS_MEMORY);
	cr_assert_eq(drpc_coscal_best(&t, 0, 1U << DRPC_COSCAL_NOTHING), DRPC_COSCAL_NOTHING);
}

Test(sim_coscal, reward)
{
	cr_assert_float_eq(drpc_coscal_reward(100, 200, 0.75, 0.75), 1, 1e-12);
	cr_assert_float_eq(drpc_coscal_reward(200, 200, 0.25, 0.75), 1 / 1.125, 1e-12);
	cr_assert_float_eq(drpc_coscal_reward(400, 200, 0.75, 0.75), exp(-1), 1e-12);
	cr_assert_float_eq(drpc_coscal_reward(300, 200, 0.75, 0.25), exp(-0.25) / 1.125, 1e-12);
}

/* Two states, one good: the table leads from the bad one to it and stays there. */
Test(sim_coscal, learns_a_chain)
{
	struct drpc_coscal_table t = {0};
	const struct drpc_coscal_step steps[] = {
		{.state = 0, .action = DRPC_COSCAL_NOTHING, .reward = 0.1f, .next = 0},
		{.state = 0, .action = DRPC_COSCAL_LESS_CPU, .reward = 0.1f, .next = 1},
		{.state = 1, .action = DRPC_COSCAL_NOTHING, .reward = 1, .next = 1},
		{.state = 1, .action = DRPC_COSCAL_MORE_CPU, .reward = 1, .next = 0},
	};

	for (int i = 0; i < 20000; i++)
		drpc_coscal_learn(&t, &steps[i % 4]);
	cr_assert_eq(drpc_coscal_best(&t, 0, ALL), DRPC_COSCAL_LESS_CPU);
	cr_assert_eq(drpc_coscal_best(&t, 1, ALL), DRPC_COSCAL_NOTHING);
	cr_assert_float_eq(t.q[1][DRPC_COSCAL_NOTHING], 1 / (1 - 0.9), 0.1);
}
