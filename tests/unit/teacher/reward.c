// SPDX-License-Identifier: Apache-2.0
#include "teacher/reward.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static const float at_best[DRPC_F_COUNT] = {
	[DRPC_F_CPU_UTIL] = 0.75f, [DRPC_F_MEM_UTIL] = 0.75f, [DRPC_F_P99_SLO] = 0.9f};

Test(reward, is_one_at_best_and_falls_with_either_side)
{
	const struct drpc_reward_params params = drpc_reward_defaults();
	float f[DRPC_F_COUNT];

	cr_assert_float_eq(drpc_reward(&params, at_best), 1, 1e-9);
	memcpy(f, at_best, sizeof(f));
	f[DRPC_F_CPU_UTIL] = 0.25f;
	cr_assert_float_eq(drpc_reward(&params, f), 1 / 1.125, 1e-9, "half of it off, cubed");
	f[DRPC_F_MEM_UTIL] = 1.25f;
	cr_assert_float_eq(drpc_reward(&params, f), 1 / 1.25, 1e-9, "above counts as below");
	memcpy(f, at_best, sizeof(f));
	f[DRPC_F_P99_SLO] = 2;
	cr_assert_float_eq(drpc_reward(&params, f), exp(-1), 1e-9);
	f[DRPC_F_P99_SLO] = 1;
	cr_assert_float_eq(drpc_reward(&params, f), 1, 1e-9, "the objective itself is met");
	f[DRPC_F_P99_SLO] = 0;
	cr_assert_float_eq(drpc_reward(&params, f), 1, 1e-9, "no objective");
}

Test(reward, deployments_weigh_the_same_however_many_states)
{
	const struct drpc_reward_params params = drpc_reward_defaults();
	struct drpc_states states = {0};
	float late[DRPC_F_COUNT];

	cr_assert(isnan(drpc_reward_mean(&params, &states)));
	memcpy(late, at_best, sizeof(late));
	late[DRPC_F_P99_SLO] = 2;
	for (int i = 0; i < 9; i++)
		cr_assert_eq(drpc_states_add(&states, 0, at_best), 0);
	cr_assert_eq(drpc_states_add(&states, 2, late), 0); /* nobody is of group 1 */
	cr_assert_float_eq(drpc_reward_mean(&params, &states), (1 + exp(-1)) / 2, 1e-6);
	drpc_states_free(&states);
}
