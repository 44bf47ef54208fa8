// SPDX-License-Identifier: Apache-2.0
/* Making, checking and asking a trainer; the update is in td3_update.c. */
#include "teacher/td3.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "nn/blas.h"

/* Random streams of one seed. */
enum { STREAM_ACTOR, STREAM_CRITIC, STREAM_DRAW, STREAM_NOISE, STREAM_EXPLORE };

#define MAX_BATCH 65536

struct drpc_td3_config drpc_td3_defaults(enum drpc_td3_kind kind, size_t units, size_t state,
					 size_t action)
{
	return (struct drpc_td3_config){
		.kind = kind,
		.units = units,
		.state = state,
		.action = action,
		.n_hidden = 2,
		.hidden = {400, 300},
		.norm = true,
		.embed = kind == DRPC_TD3_POOLED ? 64 : 0,
		.batch = 256,
		.gamma = 0.99,
		.tau = 0.005,
		.policy_noise = 0.2,
		.noise_clip = 0.5,
		.policy_delay = 2,
		.actor_lr = 3e-4,
		.critic_lr = 3e-4,
		.priority_beta = 0.4,
	};
}

static int check_number(const char *name, double value, double low, double high)
{
	if (value >= low && value <= high)
		return 0;
	return drpc_err(-EINVAL, "td3: %s is %g, expected %g..%g", name, value, low, high);
}

int drpc_td3_check(const struct drpc_td3_config *c)
{
	const struct drpc_adam actor = drpc_adam_make(c->actor_lr, 0);
	const struct drpc_adam critic = drpc_adam_make(c->critic_lr, 0);

	if (drpc_adam_check(&actor, "td3: actor") < 0 ||
	    drpc_adam_check(&critic, "td3: critic") < 0)
		return -EINVAL;
	if (check_number("number of deployments", (double)c->units, 1, 10000) < 0 ||
	    check_number("state size", (double)c->state, 1, 10000) < 0 ||
	    check_number("action size", (double)c->action, 1, 10000) < 0 ||
	    check_number("number of hidden layers", (double)c->n_hidden, 1, DRPC_TD3_MAX_HIDDEN) <
		    0 ||
	    check_number("batch", (double)c->batch, 1, MAX_BATCH) < 0 ||
	    check_number("gamma", c->gamma, 0, 0.99999) < 0 ||
	    check_number("tau", c->tau, 1e-6, 1) < 0 ||
	    check_number("policy noise", c->policy_noise, 0, 2) < 0 ||
	    check_number("noise clip", c->noise_clip, 0, 2) < 0 ||
	    check_number("policy delay", c->policy_delay, 1, 1000) < 0 ||
	    check_number("largest gradient norm", c->max_grad_norm, 0, 1e9) < 0 ||
	    check_number("priority alpha", c->priority_alpha, 0, 1) < 0 ||
	    check_number("priority beta", c->priority_beta, 0, 1) < 0)
		return -EINVAL;
	for (size_t i = 0; i < c->n_hidden; i++) {
		if (check_number("hidden width", (double)c->hidden[i], 1, 4096) < 0)
			return -EINVAL;
	}
	return check_number("width of the embedding", (double)c->embed,
			    c->kind == DRPC_TD3_POOLED ? 1 : 0,
			    c->kind == DRPC_TD3_POOLED ? 4096 : 0);
}

/* --- making ------------------------------------------------------------------------------- */

static int half_init(struct drpc_td3_half *half, const struct drpc_td3 *td3, bool critic)
{
	const struct drpc_td3_config *c = &td3->config;
	struct drpc_net_spec spec = {
		.in = critic ? td3->row : td3->row_state,
		.out = critic ? 1 : td3->row_action,
		.heads = critic ? 2 : 1,
		.n_hidden = c->n_hidden,
		.norm = c->norm,
		.out_act = critic ? DRPC_ACT_NONE : DRPC_ACT_TANH,
		.embed = c->embed,
	};
	int err;

	memcpy(spec.hidden, c->hidden, c->n_hidden * sizeof(spec.hidden[0]));
	err = drpc_net_init(&half->net, &spec);
	if (err)
		return err;
	half->adam = drpc_adam_make(critic ? c->critic_lr : c->actor_lr, 0);
	return drpc_net_work_new(&half->work, &half->net, c->batch, td3->units);
}

static size_t align16(size_t floats)
{
	return (floats + 15) / 16 * 16;
}

static float *take(float **at, size_t floats)
{
	float *begin = *at;

	*at += align16(floats);
	return begin;
}

/* Everything that has the size of the parameters or of a batch, in one allocation. */
static int td3_allocate(struct drpc_td3 *td3)
{
	const size_t batch = td3->config.batch, rows = batch * td3->units;
	const size_t floats = 5 * align16(td3->actor.net.n_params) +
			      5 * align16(td3->critic.net.n_params) + 2 * align16(rows * td3->row) +
			      2 * align16(rows * td3->row_action) + 2 * align16(rows * 2) +
			      5 * align16(batch) +
			      align16(2 * batch * sizeof(uint64_t) / sizeof(float)) +
			      align16(3 * rows * sizeof(float *) / sizeof(float));
	struct drpc_td3_half *const halves[] = {&td3->actor, &td3->critic};
	float *at = aligned_alloc(64, floats * sizeof(*at));

	if (!at)
		return drpc_err(-ENOMEM, "td3: %zu numbers", floats);
	memset(at, 0, floats * sizeof(*at));
	td3->allocation = at;
	for (int i = 0; i < 2; i++) {
		const size_t n = halves[i]->net.n_params;

		halves[i]->params = take(&at, n);
		halves[i]->target = take(&at, n);
		halves[i]->m = take(&at, n);
		halves[i]->v = take(&at, n);
		halves[i]->grads = take(&at, n);
	}
	td3->batch.x = take(&at, rows * td3->row);
	td3->batch.next = take(&at, rows * td3->row);
	td3->batch.noise = take(&at, rows * td3->row_action);
	td3->daction = take(&at, rows * td3->row_action);
	td3->q = take(&at, rows * 2);
	td3->dq = take(&at, rows * 2);
	td3->batch.reward = take(&at, batch);
	td3->batch.live = take(&at, batch);
	td3->batch.weight = take(&at, batch);
	td3->batch.error = take(&at, batch);
	td3->y = take(&at, batch);
	td3->indices = (uint64_t *)take(&at, 2 * batch * sizeof(uint64_t) / sizeof(float));
	td3->from = (const float **)take(&at, 3 * rows * sizeof(float *) / sizeof(float));
	for (size_t i = 0; i < batch; i++)
		td3->batch.weight[i] = 1.0f;
	return 0;
}

static void td3_randomize(struct drpc_td3 *td3)
{
	const uint64_t seed = td3->config.seed;
	struct drpc_rng actor = drpc_rng_make(seed, STREAM_ACTOR);
	struct drpc_rng critic = drpc_rng_make(seed, STREAM_CRITIC);

	drpc_net_randomize(&td3->actor.net, &actor, td3->actor.params);
	drpc_net_randomize(&td3->critic.net, &critic, td3->critic.params);
	memcpy(td3->actor.target, td3->actor.params,
	       td3->actor.net.n_params * sizeof(*td3->actor.params));
	memcpy(td3->critic.target, td3->critic.params,
	       td3->critic.net.n_params * sizeof(*td3->critic.params));
	td3->draw_rng = drpc_rng_make(seed, STREAM_DRAW);
	td3->noise_rng = drpc_rng_make(seed, STREAM_NOISE);
	td3->explore_rng = drpc_rng_make(seed, STREAM_EXPLORE);
}

int drpc_td3_new(const struct drpc_td3_config *config, struct drpc_td3 **ret)
{
	const bool joint = config->kind == DRPC_TD3_JOINT;
	struct drpc_td3 *td3;
	int err;

	err = drpc_td3_check(config);
	if (err)
		return err;
	drpc_blas_init();
	td3 = calloc(1, sizeof(*td3));
	if (!td3)
		return drpc_err(-ENOMEM, "td3");
	td3->config = *config;
	td3->units = joint ? 1 : config->units;
	td3->row_state = joint ? config->units * config->state : config->state;
	td3->row_action = joint ? config->units * config->action : config->action;
	td3->row = td3->row_state + td3->row_action;
	err = half_init(&td3->actor, td3, false);
	if (!err)
		err = half_init(&td3->critic, td3, true);
	if (!err)
		err = td3_allocate(td3);
	if (err) {
		drpc_td3_free(&td3);
		return err;
	}
	td3_randomize(td3);
	*ret = td3;
	return 0;
}

void drpc_td3_free(struct drpc_td3 **td3)
{
	struct drpc_td3 *t = *td3;

	if (!t)
		return;
	drpc_net_work_done(&t->actor.work);
	drpc_net_work_done(&t->critic.work);
	free(t->allocation);
	free(t);
	*td3 = NULL;
}

/* --- asking ------------------------------------------------------------------------------- */

static int check_ask(const struct drpc_td3 *td3, size_t units, const float *x, size_t per_unit,
		     const char *what)
{
	if (td3->config.kind == DRPC_TD3_JOINT && units != td3->config.units)
		return drpc_err(-EINVAL,
				"td3: %zu deployments, this joint teacher was made for %zu", units,
				td3->config.units);
	for (size_t i = 0; i < units * per_unit; i++) {
		if (!isfinite(x[i]))
			return drpc_err(-EDOM, "td3: %s %zu of deployment %zu is %g", what,
					i % per_unit, i / per_unit, (double)x[i]);
	}
	return 0;
}

/* A work area for one sample; in a trainer's batch area wherever that has room. */
static int ask_work(const struct drpc_td3 *td3, struct drpc_td3_half *half, size_t rows,
		    struct drpc_net_work *ret, bool *ret_own)
{
	*ret_own = rows > td3->config.batch * td3->units;
	if (*ret_own)
		return drpc_net_work_new(ret, &half->net, 1, rows);
	*ret = half->work;
	return 0;
}

int drpc_td3_act(struct drpc_td3 *td3, size_t units, const float *state, float *ret)
{
	const size_t rows = td3->config.kind == DRPC_TD3_JOINT ? 1 : units;
	struct drpc_td3_half *actor = &td3->actor;
	struct drpc_net_work work;
	bool own;
	int err;

	err = check_ask(td3, units, state, td3->config.state, "state");
	if (!err)
		err = ask_work(td3, actor, rows, &work, &own);
	if (err)
		return err;
	drpc_net_forward(&actor->net, actor->params, 1, 1, rows, state, td3->row_state, &work);
	memcpy(ret, drpc_net_output(&actor->net, &work), rows * td3->row_action * sizeof(*ret));
	if (own)
		drpc_net_work_done(&work);
	return 0;
}

int drpc_td3_explore(struct drpc_td3 *td3, size_t units, const float *state, double sigma,
		     float *ret)
{
	const size_t n = units * td3->config.action;
	float noise[64];
	int err;

	err = drpc_td3_act(td3, units, state, ret);
	if (err)
		return err;
	for (size_t i = 0; i < n; i++) {
		if (i % DRPC_ARRAY_SIZE(noise) == 0)
			drpc_rng_normal(&td3->explore_rng, (float)sigma, DRPC_ARRAY_SIZE(noise),
					noise);
		ret[i] = DRPC_CLAMP(ret[i] + noise[i % DRPC_ARRAY_SIZE(noise)], -1.0f, 1.0f);
	}
	return 0;
}

int drpc_td3_values(struct drpc_td3 *td3, size_t units, const float *state, const float *action,
		    double ret[2])
{
	const size_t rows = td3->config.kind == DRPC_TD3_JOINT ? 1 : units;
	struct drpc_td3_half *critic = &td3->critic;
	_cleanup_free_ float *x = NULL;
	struct drpc_net_work work;
	const float *q;
	bool own;
	int err;

	err = check_ask(td3, units, state, td3->config.state, "state");
	if (!err)
		err = check_ask(td3, units, action, td3->config.action, "action");
	if (err)
		return err;
	x = malloc(rows * td3->row * sizeof(*x));
	if (!x)
		return drpc_err(-ENOMEM, "td3: %zu rows", rows);
	for (size_t r = 0; r < rows; r++) {
		memcpy(x + r * td3->row, state + r * td3->row_state, td3->row_state * sizeof(*x));
		memcpy(x + r * td3->row + td3->row_state, action + r * td3->row_action,
		       td3->row_action * sizeof(*x));
	}
	err = ask_work(td3, critic, rows, &work, &own);
	if (err)
		return err;
	drpc_net_forward(&critic->net, critic->params, 2, 1, rows, x, td3->row, &work);
	q = drpc_net_output(&critic->net, &work);
	ret[0] = ret[1] = 0;
	for (size_t r = 0; r < rows; r++) {
		ret[0] += (double)q[2 * r] / (double)rows;
		ret[1] += (double)q[2 * r + 1] / (double)rows;
	}
	if (own)
		drpc_net_work_done(&work);
	return 0;
}
