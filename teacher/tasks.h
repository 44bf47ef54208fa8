/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks that nobody here invented, to test training against what others reach:
 *
 * pendulum  Pendulum-v1 of OpenAI Gym / Gymnasium: swing a pendulum up and hold it; torque ±2,
 *           200 steps, reward -(angle^2 + 0.1 speed^2 + 0.001 torque^2).
 * lq        a scalar-input linear system with quadratic cost, whose optimal cost is known from its
 *           Riccati equation.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "nn/rng.h"
#include "teacher/td3.h"

struct drpc_task {
	const char *name;
	size_t state, action;
	size_t steps; /* an episode; its end is a time limit, never `done` */
	void (*reset)(double *x, struct drpc_rng *rng);
	void (*observe)(const double *x, float *ret);
	/* Applies actions in -1..1; returns the reward. */
	double (*step)(double *x, const float *action);
};

extern const struct drpc_task drpc_task_pendulum;
extern const struct drpc_task drpc_task_lq;

/* Least expected cost of an lq episode from x, and the optimal action there. */
double drpc_task_lq_cost(const double *x);
double drpc_task_lq_action(const double *x);

struct drpc_task_settings {
	size_t episodes;
	size_t random_steps; /* uniform actions before the policy is asked */
	double explore;	     /* deviation of exploration noise */
	size_t capacity;     /* of the replay, in memory */
};

/*
 * Trains with one update a step once a batch is there; ret_returns [episodes] holds each training
 * episode's sum of rewards. Returns 0 or a negative errno (logged).
 */
int drpc_task_train(const struct drpc_task *task, const struct drpc_task_settings *settings,
		    struct drpc_td3 *td3, double *ret_returns);

/* Mean return of the policy without exploration over that many episodes from fresh states. */
int drpc_task_evaluate(const struct drpc_task *task, struct drpc_td3 *td3, size_t episodes,
		       uint64_t seed, double *ret);
