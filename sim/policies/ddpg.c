// SPDX-License-Identifier: Apache-2.0
#include "sim/policies/ddpg.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"

#define ACTOR_RATE    3e-4
#define CRITIC_RATE   3e-3
#define NORM_EPS      1e-5f
#define NORM_MOMENTUM 0.1f
#define WIDEST	      (DRPC_DDPG_HIDDEN + DRPC_DDPG_ACTION)

/* A batch on its way through a net, and back. */
struct pass {
	float x0[DRPC_DDPG_BATCH * DRPC_DDPG_STATE], x0_hat[DRPC_DDPG_BATCH * DRPC_DDPG_STATE];
	float n1[DRPC_DDPG_BATCH * DRPC_DDPG_HIDDEN], n1_hat[DRPC_DDPG_BATCH * DRPC_DDPG_HIDDEN];
	float join[DRPC_DDPG_BATCH * WIDEST];
	float n2[DRPC_DDPG_BATCH * DRPC_DDPG_HIDDEN], n2_hat[DRPC_DDPG_BATCH * DRPC_DDPG_HIDDEN];
	float h2[DRPC_DDPG_BATCH * DRPC_DDPG_HIDDEN];
	float out[DRPC_DDPG_BATCH * DRPC_DDPG_ACTION];
	float inv0[DRPC_DDPG_STATE], inv1[DRPC_DDPG_HIDDEN], inv2[DRPC_DDPG_HIDDEN];
};

struct drpc_ddpg_work {
	struct pass actor, critic;
	float state[DRPC_DDPG_BATCH * DRPC_DDPG_STATE], next[DRPC_DDPG_BATCH * DRPC_DDPG_STATE];
	float action[DRPC_DDPG_BATCH * DRPC_DDPG_ACTION];
	float choice[DRPC_DDPG_BATCH * DRPC_DDPG_ACTION];
	float reward[DRPC_DDPG_BATCH], y[DRPC_DDPG_BATCH];
	float d1[DRPC_DDPG_BATCH * WIDEST], d2[DRPC_DDPG_BATCH * WIDEST];
	float dout[DRPC_DDPG_BATCH * DRPC_DDPG_ACTION];
	float *grads; /* of the larger net */
};

/* --- layout ------------------------------------------------------------------------------------- */

static struct drpc_ddpg_net lay_out(size_t in, size_t extra, size_t out, bool norm_in, bool norm2,
				    bool squash)
{
	const size_t h = DRPC_DDPG_HIDDEN;
	struct drpc_ddpg_net net = {
		.in = in,
		.extra = extra,
		.out = out,
		.norm_in = norm_in,
		.norm2 = norm2,
		.squash = squash,
	};
	size_t at = 0;

	net.norm0 = at;
	at += norm_in ? 2 * in : 0;
	net.w1 = at;
	net.b1 = at += in * h;
	net.norm1 = at += h;
	net.w2 = at += 2 * h;
	net.b2 = at += (h + extra) * h;
	net.norm_2 = at += h;
	at += norm2 ? 2 * h : 0;
	net.w3 = at;
	net.b3 = at += h * out;
	net.n_params = at + out;
	net.n_stats = 2 * (in + h + h);
	return net;
}

/* --- parts -------------------------------------------------------------------------------------- */

static void linear(size_t rows, size_t in, size_t out, const float *x, const float *w,
		   const float *b, float *y)
{
	for (size_t r = 0; r < rows; r++) {
		float *to = y + r * out;

		memcpy(to, b, out * sizeof(*to));
		for (size_t i = 0; i < in; i++) {
			for (size_t o = 0; o < out; o++)
				to[o] += x[r * in + i] * w[i * out + o];
		}
	}
}

/* dw and db are set; dx where it is not NULL. */
static void linear_back(size_t rows, size_t in, size_t out, const float *x, const float *w,
			const float *dy, float *dw, float *db, float *dx)
{
	memset(dw, 0, in * out * sizeof(*dw));
	memset(db, 0, out * sizeof(*db));
	for (size_t r = 0; r < rows; r++) {
		for (size_t o = 0; o < out; o++)
			db[o] += dy[r * out + o];
		for (size_t i = 0; i < in; i++) {
			float sum = 0;

			for (size_t o = 0; o < out; o++) {
				dw[i * out + o] += x[r * in + i] * dy[r * out + o];
				sum += dy[r * out + o] * w[i * out + o];
			}
			if (dx)
				dx[r * in + i] = sum;
		}
	}
}

/* By the batch's statistics, which move the running ones; by those alone for one row. */
static void norm(size_t rows, size_t n, const float *x, const float *gamma, float *stats,
		 float *hat, float *inv, float *y)
{
	for (size_t c = 0; c < n; c++) {
		float mean = stats[c], var = stats[n + c];

		if (rows > 1) {
			mean = var = 0;
			for (size_t r = 0; r < rows; r++)
				mean += x[r * n + c] / (float)rows;
			for (size_t r = 0; r < rows; r++)
				var += (x[r * n + c] - mean) * (x[r * n + c] - mean) / (float)rows;
			stats[c] += NORM_MOMENTUM * (mean - stats[c]);
			stats[n + c] += NORM_MOMENTUM *
					(var * (float)rows / (float)(rows - 1) - stats[n + c]);
		}
		inv[c] = 1 / sqrtf(var + NORM_EPS);
		for (size_t r = 0; r < rows; r++) {
			hat[r * n + c] = (x[r * n + c] - mean) * inv[c];
			y[r * n + c] = gamma[c] * hat[r * n + c] + gamma[n + c];
		}
	}
}

/* dy becomes dx in place; dgamma [2n] is set. */
static void norm_back(size_t rows, size_t n, const float *gamma, const float *hat, const float *inv,
		      float *dy, float *dgamma)
{
	for (size_t c = 0; c < n; c++) {
		float sum = 0, dot = 0;

		for (size_t r = 0; r < rows; r++) {
			sum += dy[r * n + c];
			dot += dy[r * n + c] * hat[r * n + c];
		}
		dgamma[c] = dot;
		dgamma[n + c] = sum;
		for (size_t r = 0; r < rows; r++)
			dy[r * n + c] = gamma[c] * inv[c] *
					(dy[r * n + c] - sum / (float)rows -
					 hat[r * n + c] * dot / (float)rows);
	}
}

/* --- nets --------------------------------------------------------------------------------------- */

static void forward(const struct drpc_ddpg_net *net, const float *p, float *stats, size_t rows,
		    const float *x, const float *extra, struct pass *w)
{
	const size_t h = DRPC_DDPG_HIDDEN, wide = h + net->extra;
	float z[DRPC_DDPG_BATCH * DRPC_DDPG_HIDDEN];

	if (net->norm_in)
		norm(rows, net->in, x, p + net->norm0, stats, w->x0_hat, w->inv0, w->x0);
	else
		memcpy(w->x0, x, rows * net->in * sizeof(*x));
	linear(rows, net->in, h, w->x0, p + net->w1, p + net->b1, z);
	norm(rows, h, z, p + net->norm1, stats + 2 * net->in, w->n1_hat, w->inv1, w->n1);
	for (size_t r = 0; r < rows; r++) {
		for (size_t k = 0; k < h; k++)
			w->join[r * wide + k] = fmaxf(w->n1[r * h + k], 0);
		if (net->extra)
			memcpy(w->join + r * wide + h, extra + r * net->extra,
			       net->extra * sizeof(*extra));
	}
	linear(rows, wide, h, w->join, p + net->w2, p + net->b2, z);
	if (net->norm2)
		norm(rows, h, z, p + net->norm_2, stats + 2 * (net->in + h), w->n2_hat, w->inv2,
		     w->n2);
	else
		memcpy(w->n2, z, rows * h * sizeof(*z));
	for (size_t i = 0; i < rows * h; i++)
		w->h2[i] = fmaxf(w->n2[i], 0);
	linear(rows, h, net->out, w->h2, p + net->w3, p + net->b3, w->out);
	for (size_t i = 0; net->squash && i < rows * net->out; i++)
		w->out[i] = tanhf(w->out[i]);
}

/* From dout (overwritten); grads are set; dextra where it is not NULL. */
static void backward(const struct drpc_ddpg_net *net, const float *p, size_t rows,
		     struct drpc_ddpg_work *work, const struct pass *w, float *dout, float *grads,
		     float *dextra)
{
	const size_t h = DRPC_DDPG_HIDDEN, wide = h + net->extra;
	float *d1 = work->d1, *d2 = work->d2;

	for (size_t i = 0; net->squash && i < rows * net->out; i++)
		dout[i] *= 1 - w->out[i] * w->out[i];
	linear_back(rows, h, net->out, w->h2, p + net->w3, dout, grads + net->w3, grads + net->b3,
		    d1);
	for (size_t i = 0; i < rows * h; i++)
		d1[i] = w->n2[i] > 0 ? d1[i] : 0;
	if (net->norm2)
		norm_back(rows, h, p + net->norm_2, w->n2_hat, w->inv2, d1, grads + net->norm_2);
	linear_back(rows, wide, h, w->join, p + net->w2, d1, grads + net->w2, grads + net->b2, d2);
	for (size_t r = 0; r < rows; r++) {
		for (size_t k = 0; k < h; k++)
			d1[r * h + k] = w->n1[r * h + k] > 0 ? d2[r * wide + k] : 0;
		if (dextra)
			memcpy(dextra + r * net->extra, d2 + r * wide + h,
			       net->extra * sizeof(*dextra));
	}
	norm_back(rows, h, p + net->norm1, w->n1_hat, w->inv1, d1, grads + net->norm1);
	linear_back(rows, net->in, h, w->x0, p + net->w1, d1, grads + net->w1, grads + net->b1, d2);
	if (net->norm_in)
		norm_back(rows, net->in, p + net->norm0, w->x0_hat, w->inv0, d2,
			  grads + net->norm0);
}

/* --- construction ------------------------------------------------------------------------------- */

static void place(struct drpc_ddpg_half *half, float **at)
{
	float **parts[] = {&half->params, &half->target, &half->m, &half->v};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(parts); i++) {
		*parts[i] = *at;
		*at += half->net.n_params;
	}
	half->stats = *at;
	half->target_stats = *at + half->net.n_stats;
	*at += 2 * half->net.n_stats;
}

static void randomize_linear(struct drpc_rng *rng, size_t in, size_t out, float *w, float *b)
{
	const float bound = 1 / sqrtf((float)in);

	drpc_rng_symmetric(rng, bound, in * out, w);
	drpc_rng_symmetric(rng, bound, out, b);
}

static void randomize(struct drpc_ddpg_half *half, struct drpc_rng *rng)
{
	const struct drpc_ddpg_net *net = &half->net;
	const size_t h = DRPC_DDPG_HIDDEN;
	float *p = half->params;

	randomize_linear(rng, net->in, h, p + net->w1, p + net->b1);
	randomize_linear(rng, h + net->extra, h, p + net->w2, p + net->b2);
	randomize_linear(rng, h, net->out, p + net->w3, p + net->b3);
	for (size_t i = 0; i < h; i++) {
		p[net->norm1 + i] = 1;
		if (net->norm2)
			p[net->norm_2 + i] = 1;
	}
	for (size_t i = 0; net->norm_in && i < net->in; i++)
		p[net->norm0 + i] = 1;
	/* Running statistics of a standard normal. */
	for (size_t i = 0; i < net->in; i++)
		half->stats[net->in + i] = 1;
	for (size_t i = 0; i < h; i++)
		half->stats[2 * net->in + h + i] = half->stats[2 * (net->in + h) + h + i] = 1;
	memcpy(half->target, p, net->n_params * sizeof(*p));
	memcpy(half->target_stats, half->stats, net->n_stats * sizeof(*p));
}

int drpc_ddpg_new(uint64_t seed, struct drpc_ddpg **ret)
{
	struct drpc_ddpg *d = calloc(1, sizeof(*d));
	float *at;

	if (!d)
		return -ENOMEM;
	d->actor.net = lay_out(DRPC_DDPG_STATE, 0, DRPC_DDPG_ACTION, true, true, true);
	d->critic.net = lay_out(DRPC_DDPG_STATE, DRPC_DDPG_ACTION, 1, false, false, false);
	d->actor.adam = drpc_adam_make(ACTOR_RATE, 0);
	d->critic.adam = drpc_adam_make(CRITIC_RATE, 0);
	d->n_numbers = 4 * (d->actor.net.n_params + d->critic.net.n_params) +
		       2 * (d->actor.net.n_stats + d->critic.net.n_stats);
	d->numbers = calloc(d->n_numbers, sizeof(*d->numbers));
	d->replay = calloc(DRPC_DDPG_REPLAY, sizeof(*d->replay));
	d->work = calloc(1, sizeof(*d->work));
	if (d->work)
		d->work->grads = calloc(DRPC_MAX(d->actor.net.n_params, d->critic.net.n_params),
					sizeof(float));
	if (!d->numbers || !d->replay || !d->work || !d->work->grads) {
		drpc_ddpg_free(&d);
		return -ENOMEM;
	}
	at = d->numbers;
	place(&d->actor, &at);
	place(&d->critic, &at);
	d->allowed = (1U << DRPC_DDPG_ACTION) - 1;
	d->rng = drpc_rng_make(seed, 0);
	randomize(&d->actor, &d->rng);
	randomize(&d->critic, &d->rng);
	*ret = d;
	return 0;
}

void drpc_ddpg_free(struct drpc_ddpg **ddpg)
{
	struct drpc_ddpg *d = *ddpg;

	if (!d)
		return;
	if (d->work)
		free(d->work->grads);
	free(d->work);
	free(d->numbers);
	free(d->replay);
	free(d);
	*ddpg = NULL;
}

size_t drpc_ddpg_params(const struct drpc_ddpg *d)
{
	return 2 * (d->actor.net.n_params + d->critic.net.n_params);
}

/* --- acting and learning ------------------------------------------------------------------------ */

void drpc_ddpg_act(struct drpc_ddpg *d, const float *state, bool explore, float *ret)
{
	float normal[DRPC_DDPG_ACTION];

	forward(&d->actor.net, d->actor.params, d->actor.stats, 1, state, NULL, &d->work->actor);
	memcpy(ret, d->work->actor.out, DRPC_DDPG_ACTION * sizeof(*ret));
	if (!explore)
		return;
	drpc_rng_normal(&d->rng, (float)DRPC_DDPG_OU_SIGMA, DRPC_DDPG_ACTION, normal);
	for (size_t i = 0; i < DRPC_DDPG_ACTION; i++) {
		d->noise[i] += normal[i] - (float)DRPC_DDPG_OU_THETA * d->noise[i];
		ret[i] = DRPC_CLAMP(ret[i] + d->noise[i], -1.0f, 1.0f);
	}
}

void drpc_ddpg_spell(unsigned int action, float *ret)
{
	for (unsigned int i = 0; i < DRPC_DDPG_ACTION; i++)
		ret[i] = i == action ? 1 : -1;
}

unsigned int drpc_ddpg_best(struct drpc_ddpg *d, const float *state)
{
	float action[DRPC_DDPG_ACTION], most = -INFINITY;
	unsigned int best = 0;

	for (unsigned int a = 0; a < DRPC_DDPG_ACTION; a++) {
		if (!(d->allowed & 1U << a))
			continue;
		drpc_ddpg_spell(a, action);
		forward(&d->critic.net, d->critic.target, d->critic.target_stats, 1, state, action,
			&d->work->critic);
		if (d->work->critic.out[0] > most) {
			most = d->work->critic.out[0];
			best = a;
		}
	}
	return best;
}

void drpc_ddpg_push(struct drpc_ddpg *d, const struct drpc_ddpg_transition *transition)
{
	d->replay[d->n++ % DRPC_DDPG_REPLAY] = *transition;
}

static void draw_batch(struct drpc_ddpg *d)
{
	struct drpc_ddpg_work *w = d->work;
	uint64_t indices[DRPC_DDPG_BATCH];

	drpc_rng_indices(&d->rng, DRPC_MIN(d->n, (uint64_t)DRPC_DDPG_REPLAY), DRPC_DDPG_BATCH,
			 indices);
	for (size_t i = 0; i < DRPC_DDPG_BATCH; i++) {
		const struct drpc_ddpg_transition *t = &d->replay[indices[i]];

		memcpy(w->state + i * DRPC_DDPG_STATE, t->state, sizeof(t->state));
		memcpy(w->next + i * DRPC_DDPG_STATE, t->next, sizeof(t->next));
		memcpy(w->action + i * DRPC_DDPG_ACTION, t->action, sizeof(t->action));
		w->reward[i] = t->reward;
	}
}

double drpc_ddpg_critic_loss(struct drpc_ddpg *d, const float *state, const float *action,
			     const float *y, float *ret_grads)
{
	struct drpc_ddpg_work *w = d->work;
	float dq[DRPC_DDPG_BATCH];
	double loss;

	forward(&d->critic.net, d->critic.params, d->critic.stats, DRPC_DDPG_BATCH, state, action,
		&w->critic);
	loss = drpc_mse(DRPC_DDPG_BATCH, w->critic.out, y, dq);
	backward(&d->critic.net, d->critic.params, DRPC_DDPG_BATCH, w, &w->critic, dq, ret_grads,
		 NULL);
	return loss;
}

static void step(struct drpc_ddpg_half *half, const float *grads)
{
	drpc_adam_step(&half->adam, half->net.n_params, half->params, grads, half->m, half->v, 1,
		       half->target, DRPC_DDPG_TAU);
	for (size_t i = 0; i < half->net.n_stats; i++)
		half->target_stats[i] +=
			(float)DRPC_DDPG_TAU * (half->stats[i] - half->target_stats[i]);
}

/* y = r + gamma max Q'(s', .) over what can be chosen there. */
static void targets(struct drpc_ddpg *d)
{
	struct drpc_ddpg_work *w = d->work;

	for (size_t i = 0; i < DRPC_DDPG_BATCH; i++)
		w->y[i] = -INFINITY;
	for (unsigned int a = 0; a < DRPC_DDPG_ACTION; a++) {
		if (!(d->allowed & 1U << a))
			continue;
		for (size_t i = 0; i < DRPC_DDPG_BATCH; i++)
			drpc_ddpg_spell(a, w->choice + i * DRPC_DDPG_ACTION);
		forward(&d->critic.net, d->critic.target, d->critic.target_stats, DRPC_DDPG_BATCH,
			w->next, w->choice, &w->critic);
		for (size_t i = 0; i < DRPC_DDPG_BATCH; i++)
			w->y[i] = fmaxf(w->y[i], w->critic.out[i]);
	}
	for (size_t i = 0; i < DRPC_DDPG_BATCH; i++)
		w->y[i] = w->reward[i] + (float)DRPC_DDPG_GAMMA * w->y[i];
}

double drpc_ddpg_update(struct drpc_ddpg *d)
{
	struct drpc_ddpg_work *w = d->work;
	float dq[DRPC_DDPG_BATCH];
	double loss;

	if (d->n < DRPC_DDPG_BATCH)
		return -1;
	draw_batch(d);
	targets(d);
	loss = drpc_ddpg_critic_loss(d, w->state, w->action, w->y, w->grads);
	step(&d->critic, w->grads);

	/* Up the critic's value of what the actor would do. */
	forward(&d->actor.net, d->actor.params, d->actor.stats, DRPC_DDPG_BATCH, w->state, NULL,
		&w->actor);
	forward(&d->critic.net, d->critic.params, d->critic.stats, DRPC_DDPG_BATCH, w->state,
		w->actor.out, &w->critic);
	for (size_t i = 0; i < DRPC_DDPG_BATCH; i++)
		dq[i] = -1.0f / DRPC_DDPG_BATCH;
	backward(&d->critic.net, d->critic.params, DRPC_DDPG_BATCH, w, &w->critic, dq, w->grads,
		 w->dout);
	backward(&d->actor.net, d->actor.params, DRPC_DDPG_BATCH, w, &w->actor, w->dout, w->grads,
		 NULL);
	step(&d->actor, w->grads);
	return loss;
}
