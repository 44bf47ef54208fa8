// SPDX-License-Identifier: Apache-2.0
#include "teacher/tasks.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"

#define MAX_STATE  8
#define MAX_ACTION 4
#define STREAM	   1000 /* of random starts; apart from a trainer's */

/* --- pendulum ----------------------------------------------------------------------------- */

/* g 10, mass 1, length 1, 0.05 s a step; angle 0 is upright. */
static void pendulum_reset(double *x, struct drpc_rng *rng)
{
	x[0] = (2 * drpc_rng_uniform(rng) - 1) * M_PI;
	x[1] = 2 * drpc_rng_uniform(rng) - 1;
}

static void pendulum_observe(const double *x, float *ret)
{
	ret[0] = (float)cos(x[0]);
	ret[1] = (float)sin(x[0]);
	ret[2] = (float)x[1];
}

static double pendulum_step(double *x, const float *action)
{
	const double torque = DRPC_CLAMP(2.0 * (double)action[0], -2.0, 2.0);
	const double angle = x[0] - 2 * M_PI * floor((x[0] + M_PI) / (2 * M_PI));
	const double cost = angle * angle + 0.1 * x[1] * x[1] + 0.001 * torque * torque;

	x[1] += (15.0 * sin(x[0]) + 3.0 * torque) * 0.05;
	x[1] = DRPC_CLAMP(x[1], -8.0, 8.0);
	x[0] += x[1] * 0.05;
	return -cost;
}

const struct drpc_task drpc_task_pendulum = {
	.name = "pendulum",
	.state = 3,
	.action = 1,
	.steps = 200,
	.reset = pendulum_reset,
	.observe = pendulum_observe,
	.step = pendulum_step,
};

/* --- linear-quadratic --------------------------------------------------------------------- */

/*
 * A damped double integrator, x' = A x + B u, with cost x'Qx + R u^2 a step over LQ_STEPS steps. It
 * comes to rest by itself, slowly: a policy that knows nothing yet does not run away.
 */
#define LQ_STEPS 100
#define LQ_R	 1.0

static const double lq_a[2][2] = {{0.95, 0.2}, {0.0, 0.8}};
static const double lq_b[2] = {0.0, 0.3};
static const double lq_q[2] = {1.0, 0.1};

static void lq_move(const double *x, double u, double *ret)
{
	for (int i = 0; i < 2; i++)
		ret[i] = lq_a[i][0] * x[0] + lq_a[i][1] * x[1] + lq_b[i] * u;
}

/* Riccati backwards over an episode: P of its first step, and the gain there. */
static void lq_solve(double ret_p[2][2], double ret_gain[2])
{
	double p[2][2] = {{0}};

	for (int t = 0; t < LQ_STEPS; t++) {
		double pb[2], pa[2][2], bpb = LQ_R, k[2], next[2][2];

		for (int i = 0; i < 2; i++) {
			pb[i] = p[i][0] * lq_b[0] + p[i][1] * lq_b[1];
			for (int j = 0; j < 2; j++)
				pa[i][j] = p[i][0] * lq_a[0][j] + p[i][1] * lq_a[1][j];
		}
		bpb += lq_b[0] * pb[0] + lq_b[1] * pb[1];
		for (int j = 0; j < 2; j++)
			k[j] = (lq_b[0] * pa[0][j] + lq_b[1] * pa[1][j]) / bpb;
		for (int i = 0; i < 2; i++) {
			for (int j = 0; j < 2; j++)
				next[i][j] = (i == j ? lq_q[i] : 0) + lq_a[0][i] * pa[0][j] +
					     lq_a[1][i] * pa[1][j] -
					     (lq_a[0][i] * pb[0] + lq_a[1][i] * pb[1]) * k[j];
		}
		memcpy(p, next, sizeof(p));
		memcpy(ret_gain, k, sizeof(k));
	}
	memcpy(ret_p, p, sizeof(p));
}

double drpc_task_lq_cost(const double *x)
{
	double p[2][2], gain[2];

	lq_solve(p, gain);
	return p[0][0] * x[0] * x[0] + 2 * p[0][1] * x[0] * x[1] + p[1][1] * x[1] * x[1];
}

double drpc_task_lq_action(const double *x)
{
	double p[2][2], gain[2];

	lq_solve(p, gain);
	return -(gain[0] * x[0] + gain[1] * x[1]);
}

/* Small enough that the optimal action stays within ±1. */
static void lq_reset(double *x, struct drpc_rng *rng)
{
	x[0] = (2 * drpc_rng_uniform(rng) - 1) * 0.6;
	x[1] = (2 * drpc_rng_uniform(rng) - 1) * 0.6;
}

static void lq_observe(const double *x, float *ret)
{
	ret[0] = (float)x[0];
	ret[1] = (float)x[1];
}

static double lq_step(double *x, const float *action)
{
	const double u = DRPC_CLAMP((double)action[0], -1.0, 1.0);
	const double cost = lq_q[0] * x[0] * x[0] + lq_q[1] * x[1] * x[1] + LQ_R * u * u;
	double next[2];

	lq_move(x, u, next);
	memcpy(x, next, sizeof(next));
	return -cost;
}

const struct drpc_task drpc_task_lq = {
	.name = "lq",
	.state = 2,
	.action = 1,
	.steps = LQ_STEPS,
	.reset = lq_reset,
	.observe = lq_observe,
	.step = lq_step,
};

/* --- training ----------------------------------------------------------------------------- */

struct run {
	const struct drpc_task *task;
	const struct drpc_task_settings *settings;
	struct drpc_td3 *td3;
	struct drpc_replay *replay;
	struct drpc_rng rng;
	size_t steps;
};

static int choose(struct run *run, const float *state, float *ret)
{
	if (run->steps >= run->settings->random_steps)
		return drpc_td3_explore(run->td3, 1, state, run->settings->explore, ret);
	drpc_rng_symmetric(&run->rng, 1.0f, run->task->action, ret);
	return 0;
}

static int episode(struct run *run, double *ret)
{
	const struct drpc_task *task = run->task;
	float state[MAX_STATE], next[MAX_STATE], action[MAX_ACTION];
	double x[MAX_STATE], sum = 0;

	task->reset(x, &run->rng);
	task->observe(x, state);
	for (size_t i = 0; i < task->steps; i++) {
		double reward;
		int err;

		err = choose(run, state, action);
		if (err)
			return err;
		reward = task->step(x, action);
		task->observe(x, next);
		sum += reward;
		err = drpc_replay_push(
			run->replay,
			&(struct drpc_transition){state, action, next, (float)reward, false});
		run->steps++;
		if (!err && run->steps >= run->settings->random_steps &&
		    drpc_replay_count(run->replay) >= run->td3->config.batch)
			err = drpc_td3_update(run->td3, run->replay, NULL);
		if (err)
			return err;
		memcpy(state, next, sizeof(state));
	}
	*ret = sum;
	return 0;
}

int drpc_task_train(const struct drpc_task *task, const struct drpc_task_settings *settings,
		    struct drpc_td3 *td3, double *ret_returns)
{
	const struct drpc_replay_shape shape = {
		.units = 1, .state = task->state, .action = task->action};
	struct run run = {.task = task,
			  .settings = settings,
			  .td3 = td3,
			  .rng = drpc_rng_make(td3->config.seed, STREAM)};
	int err;

	err = drpc_replay_open(NULL, &shape, settings->capacity, &run.replay);
	if (!err && td3->config.priority_alpha > 0)
		err = drpc_replay_prioritize(run.replay, td3->config.priority_alpha);
	for (size_t i = 0; !err && i < settings->episodes; i++)
		err = episode(&run, &ret_returns[i]);
	drpc_replay_close(&run.replay);
	return err;
}

int drpc_task_evaluate(const struct drpc_task *task, struct drpc_td3 *td3, size_t episodes,
		       uint64_t seed, double *ret)
{
	struct drpc_rng rng = drpc_rng_make(seed, STREAM + 1);
	double sum = 0;

	for (size_t i = 0; i < episodes; i++) {
		double x[MAX_STATE];

		task->reset(x, &rng);
		for (size_t t = 0; t < task->steps; t++) {
			float state[MAX_STATE], action[MAX_ACTION];
			int err;

			task->observe(x, state);
			err = drpc_td3_act(td3, 1, state, action);
			if (err)
				return err;
			sum += task->step(x, action);
		}
	}
	*ret = sum / (double)episodes;
	return 0;
}
