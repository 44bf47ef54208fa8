// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "sim/policies/ddpg.h"

Test(sim_ddpg, has_the_papers_parameters)
{
	struct drpc_ddpg *d = NULL;

	cr_assert_eq(drpc_ddpg_new(1, &d), 0);
	cr_assert_eq(drpc_ddpg_params(d), 11352);
	drpc_ddpg_free(&d);
	cr_assert_null(d);
}

/* Of the critic, normalisation included, against differences. */
Test(sim_ddpg, gradients)
{
	static float state[DRPC_DDPG_BATCH * DRPC_DDPG_STATE];
	static float action[DRPC_DDPG_BATCH * DRPC_DDPG_ACTION];
	static float y[DRPC_DDPG_BATCH], grads[4096], scratch[4096];
	struct drpc_rng rng = drpc_rng_make(3, 0);
	struct drpc_ddpg *d = NULL;
	size_t checked = 0;

	cr_assert_eq(drpc_ddpg_new(1, &d), 0);
	cr_assert_lt(d->critic.net.n_params, 4096);
	drpc_rng_normal(&rng, 1, DRPC_DDPG_BATCH * DRPC_DDPG_STATE, state);
	drpc_rng_symmetric(&rng, 1, DRPC_DDPG_BATCH * DRPC_DDPG_ACTION, action);
	drpc_rng_normal(&rng, 1, DRPC_DDPG_BATCH, y);
	drpc_ddpg_critic_loss(d, state, action, y, grads);
	for (size_t i = 0; i < d->critic.net.n_params; i += 13) {
		const float keep = d->critic.params[i], h = 3e-3f;
		double up, down;

		d->critic.params[i] = keep + h;
		up = drpc_ddpg_critic_loss(d, state, action, y, scratch);
		d->critic.params[i] = keep - h;
		down = drpc_ddpg_critic_loss(d, state, action, y, scratch);
		d->critic.params[i] = keep;
		cr_assert_float_eq((up - down) / (2 * (double)h), grads[i], 2e-3, "%zu: %g, %g", i,
				   (up - down) / (2 * (double)h), (double)grads[i]);
		checked += fabsf(grads[i]) > 1e-4f;
	}
	cr_assert_gt(checked, 100);
	drpc_ddpg_free(&d);
}

/* The reward is higher the nearer action 3 is to state 0's sign: the actor finds out. */
Test(sim_ddpg, learns_what_pays, .timeout = 120)
{
	struct drpc_rng rng = drpc_rng_make(5, 0);
	struct drpc_ddpg *d = NULL;
	float action[DRPC_DDPG_ACTION], state[DRPC_DDPG_STATE];
	int right = 0;

	cr_assert_eq(drpc_ddpg_new(1, &d), 0);
	d->allowed = 1U << 3;
	cr_assert_eq(drpc_ddpg_update(d), -1);
	for (int i = 0; i < 3000; i++) {
		struct drpc_ddpg_transition t;

		drpc_rng_symmetric(&rng, 1, DRPC_DDPG_STATE, t.state);
		drpc_rng_symmetric(&rng, 1, DRPC_DDPG_STATE, t.next);
		drpc_ddpg_act(d, t.state, true, t.action);
		t.reward = t.state[0] > 0 ? t.action[3] : -t.action[3];
		drpc_ddpg_push(d, &t);
		drpc_ddpg_update(d);
	}
	for (int i = 0; i < 200; i++) {
		drpc_rng_symmetric(&rng, 1, DRPC_DDPG_STATE, state);
		drpc_ddpg_act(d, state, false, action);
		right += (action[3] > 0) == (state[0] > 0);
	}
	cr_assert_gt(right, 180, "%d of 200", right);
	drpc_ddpg_free(&d);
}

/* Action 1 pays where state 0 is positive, 2 where it is not; 5 pays most and is not allowed. */
Test(sim_ddpg, chooses_what_pays_of_what_is_allowed, .timeout = 120)
{
	const unsigned int tried[] = {0, 1, 2, 5};
	struct drpc_rng rng = drpc_rng_make(5, 0);
	struct drpc_ddpg *d = NULL;
	float state[DRPC_DDPG_STATE];
	int right = 0;

	cr_assert_eq(drpc_ddpg_new(1, &d), 0);
	d->allowed = 7;
	for (int i = 0; i < 4000; i++) {
		struct drpc_ddpg_transition t;
		uint64_t k;

		drpc_rng_indices(&rng, 4, 1, &k);
		drpc_rng_symmetric(&rng, 1, DRPC_DDPG_STATE, t.state);
		drpc_rng_symmetric(&rng, 1, DRPC_DDPG_STATE, t.next);
		drpc_ddpg_spell(tried[k], t.action);
		t.reward = tried[k] == 5 ? 3 : (float)(tried[k] == (t.state[0] > 0 ? 1 : 2));
		drpc_ddpg_push(d, &t);
		drpc_ddpg_update(d);
	}
	for (int i = 0; i < 200; i++) {
		unsigned int best;

		drpc_rng_symmetric(&rng, 1, DRPC_DDPG_STATE, state);
		best = drpc_ddpg_best(d, state);
		cr_assert_leq(best, 2);
		right += best == (state[0] > 0 ? 1 : 2);
	}
	cr_assert_gt(right, 160, "%d of 200", right);
	drpc_ddpg_free(&d);
}

Test(sim_ddpg, the_same_seed_learns_the_same)
{
	struct drpc_ddpg *d[2] = {NULL, NULL};

	for (int k = 0; k < 2; k++) {
		struct drpc_rng rng = drpc_rng_make(5, 0);

		cr_assert_eq(drpc_ddpg_new(9, &d[k]), 0);
		for (int i = 0; i < 200; i++) {
			struct drpc_ddpg_transition t;

			drpc_rng_symmetric(&rng, 1, DRPC_DDPG_STATE, t.state);
			drpc_rng_symmetric(&rng, 1, DRPC_DDPG_STATE, t.next);
			drpc_ddpg_act(d[k], t.state, true, t.action);
			t.reward = t.action[0];
			drpc_ddpg_push(d[k], &t);
			drpc_ddpg_update(d[k]);
		}
	}
	cr_assert_eq(memcmp(d[0]->numbers, d[1]->numbers, d[0]->n_numbers * sizeof(float)), 0);
	drpc_ddpg_free(&d[0]);
	drpc_ddpg_free(&d[1]);
}
