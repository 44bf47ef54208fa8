// SPDX-License-Identifier: Apache-2.0
#include "nn/rnn.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "nn/blas.h"
#include "nn/isa.h"

int drpc_rnn_init(struct drpc_rnn *ret, enum drpc_rnn_cell cell, size_t in, size_t hidden)
{
	struct drpc_rnn net = {.cell = cell, .in = in, .hidden = hidden};

	if (in < 1 || in > DRPC_RNN_MAX_INPUTS || hidden < 1 || hidden > DRPC_RNN_MAX_HIDDEN)
		return drpc_err(-EINVAL,
				"rnn: %zu inputs and %zu hidden units, expected 1..%d and 1..%d",
				in, hidden, DRPC_RNN_MAX_INPUTS, DRPC_RNN_MAX_HIDDEN);
	net.gates = cell == DRPC_RNN_GRU ? 3 : 4;
	net.wh = in * net.gates * hidden;
	net.bx = net.wh + hidden * net.gates * hidden;
	net.bh = net.bx + net.gates * hidden;
	net.n_params = net.bh + (cell == DRPC_RNN_GRU ? net.gates * hidden : 0);
	*ret = net;
	return 0;
}

void drpc_rnn_randomize(const struct drpc_rnn *net, struct drpc_rng *rng, float *params)
{
	drpc_rng_symmetric(rng, 1.0f / sqrtf((float)net->hidden), net->n_params, params);
}

int drpc_rnn_work_new(struct drpc_rnn_work *ret, const struct drpc_rnn *net, size_t max_steps,
		      size_t max_rows)
{
	const size_t state = (max_rows * net->hidden + 15) / 16 * 16;
	const size_t gates = state * net->gates * max_steps;
	const bool gru = net->cell == DRPC_RNN_GRU;
	const size_t floats =
		state * (max_steps + 1) * (gru ? 1 : 2) + gates * (gru ? 3 : 1) + 2 * state;
	struct drpc_rnn_work work = {.max_rows = max_rows, .max_steps = max_steps};
	float *at = aligned_alloc(64, floats * sizeof(*at));

	if (!at)
		return drpc_err(-ENOMEM, "rnn: %zu steps of %zu rows", max_steps, max_rows);
	work.allocation = at;
	work.h = at;
	at += state * (max_steps + 1);
	work.gx = at;
	at += gates;
	if (gru) {
		work.gh = at;
		work.dgh = at + gates;
		at += 2 * gates;
	} else {
		work.c = at;
		at += state * (max_steps + 1);
	}
	work.dh = at;
	work.dc = at + state;
	*ret = work;
	return 0;
}

void drpc_rnn_work_done(struct drpc_rnn_work *work)
{
	free(work->allocation);
	*work = (struct drpc_rnn_work){0};
}

/* --- forward ------------------------------------------------------------------------------ */

static void gru_step(const struct drpc_rnn *net, const float *params, size_t t, size_t rows,
		     struct drpc_rnn_work *work)
{
	const size_t h = net->hidden, wide = net->gates * h;
	const float *prev = work->h + t * rows * h;
	float *gh = work->gh + t * rows * wide;

	if (t == 0)
		memset(gh, 0, rows * wide * sizeof(*gh));
	else
		drpc_gemm_nn(rows, wide, h, prev, h, params + net->wh, wide, 0.0f, gh, wide);
	drpc_isa()->gru_gates(rows, h, work->gx + t * rows * wide, gh, params + net->bx,
			      params + net->bh, prev, drpc_rnn_output(net, work, rows, t));
}

static void lstm_step(const struct drpc_rnn *net, const float *params, size_t t, size_t rows,
		      struct drpc_rnn_work *work)
{
	const size_t h = net->hidden, wide = net->gates * h;
	float *gates = work->gx + t * rows * wide;
	float *c = work->c + t * rows * h;

	if (t > 0)
		drpc_gemm_nn(rows, wide, h, work->h + t * rows * h, h, params + net->wh, wide, 1.0f,
			     gates, wide);
	drpc_isa()->lstm_gates(rows, h, gates, params + net->bx, c, c + rows * h,
			       drpc_rnn_output(net, work, rows, t));
}

void drpc_rnn_forward(const struct drpc_rnn *net, const float *params, size_t steps, size_t rows,
		      const float *x, struct drpc_rnn_work *work)
{
	const size_t wide = net->gates * net->hidden;

	/* The inputs' share of every step in one product. */
	drpc_gemm_nn(steps * rows, wide, net->in, x, net->in, params + net->wx, wide, 0.0f,
		     work->gx, wide);
	memset(work->h, 0, rows * net->hidden * sizeof(*work->h));
	if (net->cell == DRPC_RNN_LSTM)
		memset(work->c, 0, rows * net->hidden * sizeof(*work->c));
	for (size_t t = 0; t < steps; t++) {
		if (net->cell == DRPC_RNN_GRU)
			gru_step(net, params, t, rows, work);
		else
			lstm_step(net, params, t, rows, work);
	}
}

/* --- backward ----------------------------------------------------------------------------- */

/* The gates' gradients of step t, from dh (and dc); dh becomes the step before's share. */
static const float *rnn_step_back(const struct drpc_rnn *net, size_t t, size_t rows,
				  struct drpc_rnn_work *work)
{
	const size_t h = net->hidden, wide = net->gates * h;
	float *gx = work->gx + t * rows * wide;

	if (net->cell == DRPC_RNN_GRU) {
		float *dgh = work->dgh + t * rows * wide;

		drpc_isa()->gru_gates_back(rows, h, gx, work->gh + t * rows * wide,
					   work->h + t * rows * h, work->dh, dgh);
		return dgh;
	}
	drpc_isa()->lstm_gates_back(rows, h, gx, work->c + t * rows * h,
				    work->c + (t + 1) * rows * h, work->dh, work->dc);
	return gx;
}

static void rnn_grads(const struct drpc_rnn *net, size_t steps, size_t rows, const float *x,
		      const struct drpc_rnn_work *work, float *grads)
{
	const size_t h = net->hidden, wide = net->gates * h, all = steps * rows;
	float *hidden_side = net->cell == DRPC_RNN_GRU ? work->dgh : work->gx;

	drpc_gemm_tn(net->in, wide, all, x, net->in, work->gx, wide, 0.0f, grads + net->wx, wide);
	drpc_gemm_tn(h, wide, all, work->h, h, hidden_side, wide, 0.0f, grads + net->wh, wide);
	drpc_isa()->act_back(DRPC_ACT_NONE, all, wide, work->gx, wide, work->gx, wide,
			     grads + net->bx);
	if (net->cell == DRPC_RNN_GRU)
		drpc_isa()->act_back(DRPC_ACT_NONE, all, wide, work->dgh, wide, work->dgh, wide,
				     grads + net->bh);
}

void drpc_rnn_backward(const struct drpc_rnn *net, const float *params, size_t steps, size_t rows,
		       const float *x, struct drpc_rnn_work *work, const float *dlast,
		       const float *dall, float *grads, float *dx)
{
	const size_t h = net->hidden, wide = net->gates * h, state = rows * h;
	const bool gru = net->cell == DRPC_RNN_GRU;

	if (dlast)
		memcpy(work->dh, dlast, state * sizeof(*work->dh));
	else
		memset(work->dh, 0, state * sizeof(*work->dh));
	if (!gru)
		memset(work->dc, 0, state * sizeof(*work->dc));
	for (size_t t = steps; t-- > 0;) {
		const float *dgates;

		for (size_t i = 0; dall && i < state; i++)
			work->dh[i] += dall[t * state + i];
		dgates = rnn_step_back(net, t, rows, work);
		/* A GRU's state has a way past the gates, an LSTM's goes through the cell. */
		if (t > 0)
			drpc_gemm_nt(rows, h, wide, dgates, wide, params + net->wh, wide,
				     gru ? 1.0f : 0.0f, work->dh, h);
	}
	rnn_grads(net, steps, rows, x, work, grads);
	if (dx)
		drpc_gemm_nt(steps * rows, net->in, wide, work->gx, wide, params + net->wx, wide,
			     0.0f, dx, net->in);
}
