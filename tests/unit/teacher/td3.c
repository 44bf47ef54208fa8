// SPDX-License-Identifier: Apache-2.0
#include "teacher/td3.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "teacher/td3_file.h"
#include "tests/unit/nn/near.h"

static struct drpc_td3_config small(enum drpc_td3_kind kind, size_t units)
{
	struct drpc_td3_config c = drpc_td3_defaults(kind, units, 3, 2);

	c.hidden[0] = 24;
	c.hidden[1] = 16;
	c.embed = kind == DRPC_TD3_POOLED ? 10 : 0;
	c.batch = 32;
	c.seed = 4;
	return c;
}

static struct drpc_replay *filled(size_t units, size_t n)
{
	const struct drpc_replay_shape shape = {.units = units, .state = 3, .action = 2};
	struct drpc_rng rng = drpc_rng_make(9, 9);
	struct drpc_replay *replay = NULL;
	float x[64];

	cr_assert_eq(drpc_replay_open(NULL, &shape, n, &replay), 0);
	for (size_t i = 0; i < n; i++) {
		drpc_rng_symmetric(&rng, 1.0f, units * 8, x);
		cr_assert_eq(drpc_replay_push(replay, &(struct drpc_transition){x, x + units * 3,
										x + units * 5,
										x[0] * x[units * 3],
										i % 9 == 0}),
			     0);
	}
	return replay;
}

/* --- learning ----------------------------------------------------------------------------- */

Test(td3, both_kinds_learn_what_reward_rewards)
{
	for (int pooled = 0; pooled < 2; pooled++) {
		struct drpc_td3_config c = small(pooled ? DRPC_TD3_POOLED : DRPC_TD3_JOINT, 3);
		struct drpc_replay *replay = filled(3, 4000);
		struct drpc_td3_stats first, last;
		struct drpc_td3 *td3 = NULL;

		c.critic_lr = c.actor_lr = 1e-3;
		cr_assert_eq(drpc_td3_new(&c, &td3), 0);
		cr_assert_eq(drpc_td3_update(td3, replay, &first), 0);
		cr_assert(isnan(first.actor_loss), "the first update leaves the actor alone");
		for (int i = 0; i < 599; i++)
			cr_assert_eq(drpc_td3_update(td3, replay, &last), 0);
		cr_assert_eq(td3->updates, 600);
		cr_assert(!isnan(last.actor_loss));
		cr_assert_lt(last.critic_loss, 0.8 * first.critic_loss);
		drpc_td3_free(&td3);
		drpc_replay_close(&replay);
	}
}

Test(td3, same_seed_same_bits)
{
	struct drpc_td3_config c = small(DRPC_TD3_JOINT, 3);
	struct drpc_td3 *td3[2] = {NULL, NULL};

	for (int k = 0; k < 2; k++) {
		struct drpc_replay *replay = filled(3, 500);

		cr_assert_eq(drpc_td3_new(&c, &td3[k]), 0);
		for (int i = 0; i < 50; i++)
			cr_assert_eq(drpc_td3_update(td3[k], replay, NULL), 0);
		drpc_replay_close(&replay);
	}
	cr_assert_arr_eq(td3[0]->actor.params, td3[1]->actor.params,
			 td3[0]->actor.net.n_params * sizeof(float));
	cr_assert_arr_eq(td3[0]->critic.target, td3[1]->critic.target,
			 td3[0]->critic.net.n_params * sizeof(float));
	drpc_td3_free(&td3[0]);
	drpc_td3_free(&td3[1]);
}

Test(td3, exploration_is_the_policy_and_noise)
{
	struct drpc_td3_config c = small(DRPC_TD3_JOINT, 3);
	struct drpc_td3 *td3 = NULL;
	float state[9] = {0.1f, 0.2f}, policy[6], got[6];
	double off = 0;

	cr_assert_eq(drpc_td3_new(&c, &td3), 0);
	cr_assert_eq(drpc_td3_act(td3, 3, state, policy), 0);
	for (int i = 0; i < 500; i++) {
		cr_assert_eq(drpc_td3_explore(td3, 3, state, 0.1, got), 0);
		for (int k = 0; k < 6; k++) {
			cr_assert(fabsf(got[k]) <= 1.0f);
			off += (double)((got[k] - policy[k]) * (got[k] - policy[k])) / 3000;
		}
	}
	cr_assert_float_eq(sqrt(off), 0.1, 0.01);
	cr_assert_eq(drpc_td3_explore(td3, 3, state, 0.0, got), 0);
	cr_assert_arr_eq(got, policy, sizeof(got));
	drpc_td3_free(&td3);
}

/* --- bad input ---------------------------------------------------------------------------- */

Test(td3, settings_that_cannot_train_are_refused)
{
	const struct drpc_td3_config good = small(DRPC_TD3_JOINT, 3);
	struct drpc_td3_config c;
	struct drpc_td3 *td3 = NULL;

#define refused(member, value)                                                       \
	do {                                                                         \
		c = good;                                                            \
		c.member = value;                                                    \
		cr_assert_eq(drpc_td3_new(&c, &td3), -EINVAL, #member " = " #value); \
		cr_assert_null(td3);                                                 \
	} while (0)
	refused(critic_lr, 0);
	refused(critic_lr, 10);
	refused(actor_lr, NAN);
	refused(gamma, 1.0);
	refused(gamma, NAN);
	refused(tau, 0);
	refused(batch, 0);
	refused(policy_delay, 0);
	refused(units, 0);
	refused(hidden[1], 0);
	refused(n_hidden, 5);
	refused(policy_noise, -1);
	refused(embed, 8);
#undef refused
	c = small(DRPC_TD3_POOLED, 3);
	c.embed = 0;
	cr_assert_eq(drpc_td3_new(&c, &td3), -EINVAL);
}

Test(td3, a_batch_larger_than_the_buffer_is_refused_and_nothing_moves)
{
	struct drpc_td3_config c = small(DRPC_TD3_JOINT, 3);
	struct drpc_replay *few = filled(3, 31), *other = filled(2, 100);
	struct drpc_td3 *td3 = NULL, *same = NULL;

	cr_assert_eq(drpc_td3_new(&c, &td3), 0);
	cr_assert_eq(drpc_td3_new(&c, &same), 0);
	cr_assert_eq(drpc_td3_update(td3, few, NULL), -ENODATA);
	cr_assert_eq(drpc_td3_update(td3, other, NULL), -EINVAL, "another roster's shapes");
	td3->config.priority_alpha = 0.6;
	cr_assert_eq(drpc_td3_update(td3, few, NULL), -EINVAL, "no priorities to draw by");
	cr_assert_eq(td3->updates, 0);
	cr_assert_eq(td3->draw_rng.block, 0);
	cr_assert_arr_eq(td3->critic.params, same->critic.params,
			 td3->critic.net.n_params * sizeof(float));
	drpc_td3_free(&td3);
	drpc_td3_free(&same);
	drpc_replay_close(&few);
	drpc_replay_close(&other);
}

Test(td3, states_that_are_no_numbers_get_no_action)
{
	struct drpc_td3_config c = small(DRPC_TD3_JOINT, 3);
	float state[9] = {0}, action[6] = {7, 7}, none[6] = {0};
	struct drpc_td3 *td3 = NULL;
	double q[2];

	cr_assert_eq(drpc_td3_new(&c, &td3), 0);
	state[7] = NAN;
	cr_assert_eq(drpc_td3_act(td3, 3, state, action), -EDOM);
	cr_assert_eq(drpc_td3_values(td3, 3, state, none, q), -EDOM);
	cr_assert_eq(action[0], 7);
	state[7] = 0;
	cr_assert_eq(drpc_td3_act(td3, 4, state, action), -EINVAL, "joint has a fixed roster");
	cr_assert_eq(drpc_td3_values(td3, 3, state, none, q), 0);
	cr_assert(isfinite(q[0]) && isfinite(q[1]) && q[0] != q[1]);
	drpc_td3_free(&td3);
}

/* A weight that is no number shows in the next loss: nothing moves, and nothing will. */
Test(td3, divergence_is_detected_and_the_checkpoint_kept)
{
	char folder[] = "/tmp/drpc-td3-XXXXXX", path[64];
	struct drpc_td3_config c = small(DRPC_TD3_JOINT, 3);
	struct drpc_replay *replay = filled(3, 200);
	struct drpc_td3 *td3 = NULL, *back = NULL;

	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/c", folder);
	cr_assert_eq(drpc_td3_new(&c, &td3), 0);
	cr_assert_eq(drpc_td3_update(td3, replay, NULL), 0);
	cr_assert_eq(drpc_td3_save(td3, replay, path), 0);
	for (int huge = 0; huge < 2; huge++) {
		float *keep = fresh(td3->critic.net.n_params, 1);

		/* First no number, then values of a thousand times what rewards allow. */
		td3->critic.params[td3->critic.net.n_params - 1] = huge ? 1e7f : NAN;
		td3->critic.params[td3->critic.net.n_params - 2] = huge ? 1e7f : NAN;
		memcpy(keep, td3->critic.params, td3->critic.net.n_params * sizeof(float));
		cr_assert_eq(drpc_td3_update(td3, replay, NULL), -EDOM);
		cr_assert_arr_eq(keep, td3->critic.params,
				 td3->critic.net.n_params * sizeof(float));
		cr_assert_eq(td3->updates, 1);
		cr_assert_eq(drpc_td3_update(td3, replay, NULL), -EDOM, "refused from now on");
		cr_assert_eq(drpc_td3_save(td3, replay, path), -EDOM);
		cr_assert_eq(drpc_td3_load(path, replay, &back), 0);
		cr_assert_eq(drpc_td3_update(back, replay, NULL), 0);
		drpc_td3_free(&td3);
		td3 = back;
		td3->updates = 1;
		free(keep);
	}
	drpc_td3_free(&td3);
	drpc_replay_close(&replay);
	unlink(path);
	rmdir(folder);
}

/* --- resuming ----------------------------------------------------------------------------- */

static void same_state(const struct drpc_td3 *a, const struct drpc_td3 *b)
{
	const struct drpc_td3_half *const x[] = {&a->actor, &a->critic};
	const struct drpc_td3_half *const y[] = {&b->actor, &b->critic};

	cr_assert_eq(a->updates, b->updates);
	cr_assert_eq(a->draw_rng.block, b->draw_rng.block);
	for (int i = 0; i < 2; i++) {
		const size_t bytes = x[i]->net.n_params * sizeof(float);

		cr_assert_arr_eq(x[i]->params, y[i]->params, bytes);
		cr_assert_arr_eq(x[i]->target, y[i]->target, bytes);
		cr_assert_arr_eq(x[i]->m, y[i]->m, bytes);
		cr_assert_arr_eq(x[i]->v, y[i]->v, bytes);
	}
}

/* A process trains half-way, checkpoints, trains on and is killed; another takes up from there. */
static void resume(const struct drpc_td3_config *c, int half)
{
	char folder[] = "/tmp/drpc-td3-XXXXXX", path[64], buffer[64];
	struct drpc_replay *replay = filled(3, 300), *again = NULL;
	struct drpc_td3 *straight = NULL, *resumed = NULL;
	pid_t child;
	int status;

	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/c", folder);
	snprintf(buffer, sizeof(buffer), "%s/r", folder);
	cr_assert_eq(drpc_replay_open(buffer, drpc_replay_shape(replay), 400, &again), 0);
	for (size_t i = 0; i < 300; i++) {
		const struct drpc_transition t = drpc_replay_get(replay, i);

		cr_assert_eq(drpc_replay_push(again, &t), 0);
	}
	drpc_replay_close(&again);
	if (c->priority_alpha > 0)
		cr_assert_eq(drpc_replay_prioritize(replay, c->priority_alpha), 0);
	cr_assert_eq(drpc_td3_new(c, &straight), 0);
	for (int i = 0; i < 2 * half; i++)
		cr_assert_eq(drpc_td3_update(straight, replay, NULL), 0);
	child = fork();
	if (child == 0) {
		const struct drpc_transition t = drpc_replay_get(replay, 7);

		if (drpc_replay_open(buffer, drpc_replay_shape(replay), 400, &again) < 0 ||
		    (c->priority_alpha > 0 &&
		     drpc_replay_prioritize(again, c->priority_alpha) < 0) ||
		    drpc_td3_new(c, &resumed) < 0)
			_exit(1);
		for (int i = 0; i < half; i++)
			drpc_td3_update(resumed, again, NULL);
		if (drpc_td3_save(resumed, again, path) < 0)
			_exit(1);
		/* What is learned and collected from here on is lost with the process. */
		drpc_replay_push(again, &t);
		drpc_td3_update(resumed, again, NULL);
		kill(getpid(), SIGKILL);
	}
	waitpid(child, &status, 0);
	cr_assert(WIFSIGNALED(status));
	cr_assert_eq(drpc_replay_open(buffer, drpc_replay_shape(replay), 400, &again), 0);
	cr_assert_eq(drpc_replay_count(again), 301);
	cr_assert_eq(drpc_td3_load(path, again, &resumed), 0);
	cr_assert_eq(drpc_replay_count(again), 300);
	for (int i = 0; i < half; i++)
		cr_assert_eq(drpc_td3_update(resumed, again, NULL), 0);
	same_state(straight, resumed);
	drpc_td3_free(&straight);
	drpc_td3_free(&resumed);
	drpc_replay_close(&replay);
	drpc_replay_close(&again);
	unlink(path);
	unlink(buffer);
	rmdir(folder);
}

Test(td3, a_killed_training_goes_on_bit_for_bit)
{
	const struct drpc_td3_config c = small(DRPC_TD3_JOINT, 3);

	resume(&c, 1000);
}

Test(td3, so_does_a_pooled_and_a_prioritised_one)
{
	struct drpc_td3_config c = small(DRPC_TD3_POOLED, 3);

	c.max_grad_norm = 1;
	resume(&c, 101);
	c = small(DRPC_TD3_JOINT, 3);
	c.priority_alpha = 0.6;
	resume(&c, 101);
}

Test(td3, foreign_and_damaged_checkpoints_are_refused)
{
	char path[] = "/tmp/drpc-td3-XXXXXX";
	struct drpc_td3_config c = small(DRPC_TD3_JOINT, 3);
	struct drpc_td3 *td3 = NULL, *back = NULL;
	int fd = mkstemp(path);

	cr_assert_eq(drpc_td3_new(&c, &td3), 0);
	cr_assert_lt(drpc_td3_load(path, NULL, &back), 0);
	cr_assert_eq(drpc_td3_save(td3, NULL, path), 0);
	close(fd);
	cr_assert_eq(truncate(path, 5000), 0);
	cr_assert_eq(drpc_td3_load(path, NULL, &back), -ENODATA);
	cr_assert_null(back);
	td3->critic.m[3] = INFINITY;
	cr_assert_eq(drpc_td3_save(td3, NULL, path), -ERANGE);
	drpc_td3_free(&td3);
	unlink(path);
}
