/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GRU and LSTM layers for training, with PyTorch's equations:
 *
 *   GRU   r = σ(x Wr + br + h Ur + cr)      z = σ(x Wz + bz + h Uz + cz)
 *         n = tanh(x Wn + bn + r (h Un + cn))      h' = (1 - z) n + z h
 *   LSTM  i, f, o = σ(x W + b + h U)      g = tanh(x Wg + bg + h Ug)
 *         c' = f c + i g      h' = o tanh(c')
 *
 * Parameters in one vector: Wx [in][G H], Wh [H][G H], bx [G H], and for the GRU bh [G H]; gates
 * side by side in the order r z n (G = 3) or i f g o (G = 4). The LSTM has one bias where PyTorch
 * has two that always add up.
 *
 * Sequences are time-major: x [steps][rows][in]; states begin at zero.
 */
#pragma once

#include <stddef.h>

#include "nn/rng.h"
#include "nn/rnn_infer.h"

struct drpc_rnn {
	enum drpc_rnn_cell cell;
	size_t in, hidden, gates;
	size_t wx, wh, bx, bh; /* offsets; bh = n_params for the LSTM */
	size_t n_params;
};

struct drpc_rnn_work {
	size_t max_rows, max_steps;
	float *h;   /* [steps + 1][rows][H], h[0] = 0 */
	float *c;   /* the same, LSTM only */
	float *gx;  /* [steps][rows][G H] */
	float *gh;  /* the same, GRU only */
	float *dgh; /* the same, GRU only */
	float *dh;  /* [rows][H] */
	float *dc;  /* [rows][H] */
	float *allocation;
};

/* Returns 0, or -EINVAL (logged). */
int drpc_rnn_init(struct drpc_rnn *ret, enum drpc_rnn_cell cell, size_t in, size_t hidden);

/* PyTorch's default: everything uniform in ±1/sqrt(H). */
void drpc_rnn_randomize(const struct drpc_rnn *net, struct drpc_rng *rng, float *params);

/* -ENOMEM (logged). */
int drpc_rnn_work_new(struct drpc_rnn_work *ret, const struct drpc_rnn *net, size_t max_steps,
		      size_t max_rows);
void drpc_rnn_work_done(struct drpc_rnn_work *work);

/* Output of step t (0-based) of the last forward pass, [rows][H]. */
static inline float *drpc_rnn_output(const struct drpc_rnn *net, const struct drpc_rnn_work *work,
				     size_t rows, size_t t)
{
	return work->h + (t + 1) * rows * net->hidden;
}

void drpc_rnn_forward(const struct drpc_rnn *net, const float *params, size_t steps, size_t rows,
		      const float *x, struct drpc_rnn_work *work);

/*
 * From the outputs' gradients: dlast [rows][H] of the last step, dall [steps][rows][H] of each; NULL
 * for zero. grads [n_params] is set; dx [steps][rows][in] where not NULL. Once per forward pass: the
 * gates are overwritten.
 */
void drpc_rnn_backward(const struct drpc_rnn *net, const float *params, size_t steps, size_t rows,
		       const float *x, struct drpc_rnn_work *work, const float *dlast,
		       const float *dall, float *grads, float *dx);
