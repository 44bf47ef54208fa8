/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DDPG (Lillicrap et al. 2016) as FIRM has it: hidden layers of 40, batch normalisation, a replay and
 * Ornstein-Uhlenbeck noise. Actor: norm, linear, norm, ReLU, linear, norm, ReLU, linear, tanh.
 * Critic: linear, norm, ReLU, linear over that and the action, ReLU, linear. With targets that is
 * 11,352 parameters for a state of 10 and 15 actions.
 *
 * The actions are discrete: one output is 1, the others -1. The actor proposes; of its neighbours, all
 * that are allowed, the critic's best is taken (Dulac-Arnold et al. 2015, with all as neighbours),
 * when it acts and in what the critic learns.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nn/optim.h"
#include "nn/rng.h"

#define DRPC_DDPG_STATE	   10
#define DRPC_DDPG_ACTION   15
#define DRPC_DDPG_HIDDEN   40
#define DRPC_DDPG_BATCH	   64
#define DRPC_DDPG_REPLAY   100000
#define DRPC_DDPG_GAMMA	   0.9
#define DRPC_DDPG_TAU	   0.001
#define DRPC_DDPG_OU_SIGMA 0.2
#define DRPC_DDPG_OU_THETA 0.15

/* Where the parts lie in the parameters; norms have gamma and beta there, mean and variance in the
 * running statistics. */
struct drpc_ddpg_net {
	size_t in, extra, out; /* extra: numbers that join at the second layer */
	bool norm_in, norm2, squash;
	size_t norm0, w1, b1, norm1, w2, b2, norm_2, w3, b3;
	size_t n_params, n_stats;
};

struct drpc_ddpg_transition {
	float state[DRPC_DDPG_STATE], action[DRPC_DDPG_ACTION], reward, next[DRPC_DDPG_STATE];
};

struct drpc_ddpg_half {
	struct drpc_ddpg_net net;
	struct drpc_adam adam;
	float *params, *target, *m, *v; /* [n_params] */
	float *stats, *target_stats;	/* [n_stats] */
};

struct drpc_ddpg {
	struct drpc_ddpg_half actor, critic;
	float *numbers; /* everything above, in one piece: what a file keeps */
	size_t n_numbers;
	struct drpc_ddpg_transition *replay; /* a ring */
	uint64_t n;
	uint32_t allowed; /* actions that can be chosen, a bit each; all at first */
	struct drpc_rng rng;
	float noise[DRPC_DDPG_ACTION];
	struct drpc_ddpg_work *work;
};

int drpc_ddpg_new(uint64_t seed, struct drpc_ddpg **ret); /* -ENOMEM */
void drpc_ddpg_free(struct drpc_ddpg **ddpg);

/* All parameters that are trained or follow those. */
size_t drpc_ddpg_params(const struct drpc_ddpg *ddpg);

/* The actor's answer to a state, with noise where `explore`. */
void drpc_ddpg_act(struct drpc_ddpg *ddpg, const float *state, bool explore, float *ret);

/* The allowed action that the critic's target thinks the best of: it follows slowly, and what two
 * actions differ in is small beside how far one update moves the critic itself. */
unsigned int drpc_ddpg_best(struct drpc_ddpg *ddpg, const float *state);

/* An action as the critic knows it. */
void drpc_ddpg_spell(unsigned int action, float *ret);

void drpc_ddpg_push(struct drpc_ddpg *ddpg, const struct drpc_ddpg_transition *transition);

/* One update of both; the critic's mean squared error. Nothing before a batch is there (-1). */
double drpc_ddpg_update(struct drpc_ddpg *ddpg);

/* --- inside, for tests -------------------------------------------------------------------------- */

/* The mean squared error of a batch under the critic and its gradient; the statistics stay. */
double drpc_ddpg_critic_loss(struct drpc_ddpg *ddpg, const float *state, const float *action,
			     const float *y, float *ret_grads);
