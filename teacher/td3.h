/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TD3 (Fujimoto et al. 2018): twin critics, delayed policy, smoothed target actions.
 *
 * An update draws a batch, moves both critics towards
 *   y = r + gamma (1 - done) min_k Qk'(s', clip(pi'(s') + clip(noise, ±noise_clip), ±1)),
 * and every policy_delay-th one moves the actor up Q1 and the targets by tau. Actions are in -1..1;
 * a time limit is not `done`.
 *
 * The state of a trainer is its parameters, targets, moments, three random streams and counters,
 * nothing else: saved and loaded (td3_file.h), it continues bit for bit on the same machine.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nn/optim.h"
#include "nn/rng.h"
#include "teacher/net.h"
#include "teacher/replay.h"

enum drpc_td3_kind {
	DRPC_TD3_JOINT,
	DRPC_TD3_POOLED,
};

#define DRPC_TD3_MAX_HIDDEN 4

struct drpc_td3_config {
	enum drpc_td3_kind kind;
	size_t units;  /* deployments; only joint needs it for its shapes */
	size_t state;  /* numbers a deployment */
	size_t action; /* numbers a deployment */
	size_t n_hidden;
	size_t hidden[DRPC_TD3_MAX_HIDDEN];
	bool norm;    /* LayerNorm in the hidden layers */
	size_t embed; /* pooled: width of the embedding */
	size_t batch;
	double gamma;
	double tau;
	double policy_noise, noise_clip; /* target smoothing; noise 0 turns it off */
	unsigned int policy_delay;
	double actor_lr, critic_lr;
	double max_grad_norm;  /* 0: no clipping */
	double priority_alpha; /* 0: uniform drawing; else of the replay's priorities */
	double priority_beta;
	uint64_t seed;
};

/* The reference settings: 400-300 with LayerNorm, gamma 0.99, tau 0.005, batch 256, Adam 3e-4, … */
struct drpc_td3_config drpc_td3_defaults(enum drpc_td3_kind kind, size_t units, size_t state,
					 size_t action);

/* A batch as rows: of joint [batch][units state ‖ units action], of pooled a row a deployment. */
struct drpc_td3_batch {
	float *x;      /* [rows][in]: state and action */
	float *next;   /* [rows][in]: next state; the action columns are scratch */
	float *reward; /* [batch] */
	float *live;   /* [batch]: 0 where done, else 1 */
	float *weight; /* [batch]: of the losses; 1 where drawing is uniform */
	float *noise;  /* [rows][action of a row]: smoothing noise, not yet clipped */
	float *error;  /* [batch], output: mean absolute TD error of both critics */
};

struct drpc_td3_stats {
	double critic_loss; /* sum of both critics' mean squared errors */
	double q;	    /* mean of Q1 over the batch */
	double critic_norm; /* of the gradient, before clipping */
	double actor_loss;  /* -mean Q1(s, pi(s)); NAN in updates that leave the actor alone */
	double actor_norm;
};

/* One network with its target and moments, each [n_params]. */
struct drpc_td3_half {
	struct drpc_net net;
	struct drpc_net_work work;
	struct drpc_adam adam;
	float *params, *target, *m, *v, *grads;
};

struct drpc_td3 {
	struct drpc_td3_config config;
	size_t units;			   /* rows a sample: 1 for joint */
	size_t row_state, row_action, row; /* numbers of a row */
	struct drpc_td3_half actor, critic;
	struct drpc_rng draw_rng, noise_rng, explore_rng;
	uint64_t updates;
	double top_reward; /* largest |r| seen: bounds what a sane Q can be */
	bool diverged;
	struct drpc_td3_batch batch;
	uint64_t *indices;  /* [batch] */
	const float **from; /* [3][rows]: state, action and next state of each row in the replay */
	float *q, *dq;	    /* [rows][2] */
	float *y;	    /* [batch] */
	float *daction;	    /* [rows][row_action] */
	float *allocation;
};

/* 0, or -EINVAL (logged) for a setting that cannot train: what, its value, what is accepted. */
int drpc_td3_check(const struct drpc_td3_config *config);

/* Fresh networks from the seed. -EINVAL, -ENOMEM; logged. */
int drpc_td3_new(const struct drpc_td3_config *config, struct drpc_td3 **ret);
void drpc_td3_free(struct drpc_td3 **td3);

/*
 * One update from the replay. Returns 0; -ENODATA where it holds fewer transitions than a batch;
 * -EINVAL where its shapes are not the trainer's; -EDOM where training diverged: a loss, gradient or
 * value that is not finite, or values far beyond what the rewards allow. Logged. After -EDOM the
 * networks are as before the half that went wrong, and every further update is refused: go back to
 * the last checkpoint. `ret` may be NULL.
 */
int drpc_td3_update(struct drpc_td3 *td3, struct drpc_replay *replay, struct drpc_td3_stats *ret);

/* The same from td3->batch, as filled by the caller; for tests against other implementations. */
int drpc_td3_learn(struct drpc_td3 *td3, struct drpc_td3_stats *ret);

/*
 * The policy's actions [units action] for one state [units state]. -EDOM (logged, nothing written)
 * where the state is not finite. `units` is the number of deployments now; joint takes only its own.
 */
int drpc_td3_act(struct drpc_td3 *td3, size_t units, const float *state, float *ret);

/* The same with exploration noise of that deviation, clipped to -1..1. */
int drpc_td3_explore(struct drpc_td3 *td3, size_t units, const float *state, double sigma,
		     float *ret);

/*
 * Both critics' values of a state and action; how far they are apart is how little they know of it.
 * -EDOM as above.
 */
int drpc_td3_values(struct drpc_td3 *td3, size_t units, const float *state, const float *action,
		    double ret[2]);
