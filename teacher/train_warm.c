// SPDX-License-Identifier: Apache-2.0
/*
 * A start that knows something: the actor is taught what a proportional rule says in the states of the
 * first episodes, then the critics learn what that is worth, before anything is improved on it.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "teacher/train_internal.h"

#define CLONE_STEPS  1500
#define CLONE_RATE   2e-3
#define CRITIC_STEPS 1000 /* updates in which the actor stays */
/* Small streams of requests need more room: target / (1 + this / sqrt(requests per second)). */
#define STAFFING     1.5
/* Nearer to the target than this nothing moves. */
#define CLOSE_ENOUGH 0.1

/* How far a limit should move so that `used` of it becomes `target`, as an output. */
static float towards(double used, double target, double step)
{
	const double change = log(fmax(used, 1e-3) / target);

	if (fabs(change) < CLOSE_ENOUGH)
		return 0;
	/* What counts at all begins at the dead band. */
	return (float)DRPC_CLAMP(change / log1p(step), -1.0, 1.0) * 0.4f +
	       (change > 0 ? 0.6f : -0.6f);
}

void train_rule(const struct drpc_env_config *env, const float *state, float *ret)
{
	const struct drpc_scene_numbers n = drpc_scene_numbers(state);
	const double room = 1 + STAFFING / sqrt(fmax(n.rate, 1));

	ret[DRPC_OUT_REPLICAS] = 0;
	ret[DRPC_OUT_CPU] =
		towards(n.cpu * (1 + n.rise), env->learn.cpu / room, env->action.cpu_step);
	ret[DRPC_OUT_MEMORY] = towards(n.memory, env->learn.memory, env->action.memory_step);
}

/* --- cloning --------------------------------------------------------------------------------------- */

/* States of a batch as the actor takes them, and what the rule says. */
static void draw(const struct drpc_train_config *c, const struct drpc_td3 *td3,
		 const struct drpc_replay *replay, struct drpc_rng *rng, float *x, float *want)
{
	const struct drpc_td3_config *t = &td3->config;
	const size_t row = t->units * t->state, out = t->units * t->action;

	drpc_replay_draw(replay, rng, t->batch, td3->indices);
	for (size_t i = 0; i < t->batch; i++) {
		memcpy(x + i * row, drpc_replay_get(replay, td3->indices[i]).state,
		       row * sizeof(*x));
		for (size_t u = 0; u < t->units; u++)
			train_rule(&c->env, x + i * row + u * t->state,
				   want + i * out + u * t->action);
	}
}

static int clone(const struct drpc_train_config *c, struct drpc_td3 *td3,
		 const struct drpc_replay *replay)
{
	struct drpc_td3_half *actor = &td3->actor;
	const size_t batch = td3->config.batch, n = actor->net.n_params;
	const size_t numbers = batch * td3->config.units * td3->config.action;
	struct drpc_rng rng = drpc_rng_make(c->seed, TRAIN_STREAM_CLONE);
	_cleanup_free_ float *x =
		malloc(batch * td3->config.units * td3->config.state * sizeof(*x));
	_cleanup_free_ float *want = malloc(2 * numbers * sizeof(*want));
	float *dout;

	if (!x || !want)
		return drpc_err(-ENOMEM, "train: a batch of %zu", batch);
	dout = want + numbers;
	for (size_t step = 0; step < CLONE_STEPS; step++) {
		const double lr = CLONE_RATE * (1 + cos(M_PI * (double)step / CLONE_STEPS)) / 2;
		struct drpc_adam adam = drpc_adam_make(fmax(lr, 1e-6), 0);
		double loss, norm;

		adam.t = step;
		draw(c, td3, replay, &rng, x, want);
		drpc_net_forward(&actor->net, actor->params, 1, batch, td3->units, x,
				 td3->row_state, &actor->work);
		loss = drpc_mse(numbers, drpc_net_output(&actor->net, &actor->work), want, dout);
		drpc_net_backward(&actor->net, actor->params, 1, batch, td3->units, x,
				  td3->row_state, &actor->work, dout, actor->grads, NULL, 0, 0);
		norm = drpc_grad_norm(n, actor->grads);
		if (!isfinite(loss) || !isfinite(norm))
			return drpc_err(-EDOM, "train: cloning diverged at step %zu", step);
		drpc_adam_step(&adam, n, actor->params, actor->grads, actor->m, actor->v,
			       drpc_grad_scale(norm, 1), NULL, 0);
	}
	/* TD3 begins with fresh moments. */
	memset(actor->m, 0, n * sizeof(*actor->m));
	memset(actor->v, 0, n * sizeof(*actor->v));
	memcpy(actor->target, actor->params, n * sizeof(*actor->target));
	return 0;
}

int train_warm(const struct drpc_train_config *c, struct drpc_td3 *td3, struct drpc_replay *replay)
{
	struct drpc_td3_half *actor = &td3->actor;
	const size_t n = actor->net.n_params;
	_cleanup_free_ float *keep = NULL;
	int err = clone(c, td3, replay);

	if (err)
		return err;
	keep = malloc(n * sizeof(*keep));
	if (!keep)
		return drpc_err(-ENOMEM, "train: %zu parameters", n);
	memcpy(keep, actor->params, n * sizeof(*keep));
	for (size_t i = 0; i < CRITIC_STEPS && !err; i++) {
		err = drpc_td3_update(td3, replay, NULL);
		memcpy(actor->params, keep, n * sizeof(*keep));
		memcpy(actor->target, keep, n * sizeof(*keep));
	}
	memset(actor->m, 0, n * sizeof(*actor->m));
	memset(actor->v, 0, n * sizeof(*actor->v));
	actor->adam.t = 0;
	return err;
}
