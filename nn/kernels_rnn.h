/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gates of GRU and LSTM between their matrix products, and the whole forward pass of one series for
 * inference, without BLAS. PyTorch's equations and gate order; see simd.h, gru.h, lstm.h.
 */
#pragma once

#include "nn/kernels_layers.h"
#include "nn/rnn_infer.h"

/* r, z, n over gx (bias added); the hidden part of n, with its bias, over gh's third third. */
static void kernel_gru_gates(size_t rows, size_t h, float *gx, float *gh, const float *bx,
			     const float *bh, const float *prev, float *ret)
{
	for (size_t row = 0; row < rows; row++) {
		float *x = gx + row * 3 * h, *g = gh + row * 3 * h;

		for (size_t j = 0; j < h; j += VF_LANES) {
			const size_t left = h - j;
			vf r = row_load(x + j, left) + row_load(g + j, left) +
			       row_load(bx + j, left) + row_load(bh + j, left);
			vf z = row_load(x + h + j, left) + row_load(g + h + j, left) +
			       row_load(bx + h + j, left) + row_load(bh + h + j, left);
			vf hidden = row_load(g + 2 * h + j, left) + row_load(bh + 2 * h + j, left);
			vf n = row_load(x + 2 * h + j, left) + row_load(bx + 2 * h + j, left);

			r = vf_sigmoid(r);
			z = vf_sigmoid(z);
			n = vf_tanh(n + r * hidden);
			row_store(x + j, r, left);
			row_store(x + h + j, z, left);
			row_store(x + 2 * h + j, n, left);
			row_store(g + 2 * h + j, hidden, left);
			row_store(ret + row * h + j,
				  n + z * (row_load(prev + row * h + j, left) - n), left);
		}
	}
}

/*
 * From dh, the gradient of a step's output: gradients before the gates over gx (input side) and
 * into dgh (hidden side); dh becomes its direct share for the step before.
 */
static void kernel_gru_gates_back(size_t rows, size_t h, float *gx, const float *gh,
				  const float *prev, float *dh, float *dgh)
{
	for (size_t row = 0; row < rows; row++) {
		float *x = gx + row * 3 * h, *d = dgh + row * 3 * h;
		const float *g = gh + row * 3 * h;

		for (size_t j = 0; j < h; j += VF_LANES) {
			const size_t left = h - j;
			vf r = row_load(x + j, left), z = row_load(x + h + j, left);
			vf n = row_load(x + 2 * h + j, left);
			vf grad = row_load(dh + row * h + j, left);
			vf dn = grad * (1.0f - z) * (1.0f - n * n);
			vf dz = grad * (row_load(prev + row * h + j, left) - n) * z * (1.0f - z);
			vf dr = dn * row_load(g + 2 * h + j, left) * r * (1.0f - r);

			row_store(x + j, dr, left);
			row_store(x + h + j, dz, left);
			row_store(x + 2 * h + j, dn, left);
			row_store(d + j, dr, left);
			row_store(d + h + j, dz, left);
			row_store(d + 2 * h + j, dn * r, left);
			row_store(dh + row * h + j, grad * z, left);
		}
	}
}

/* i, f, g, o over gates (input and hidden products already summed); c and h of the step. */
static void kernel_lstm_gates(size_t rows, size_t h, float *gates, const float *b,
			      const float *c_prev, float *c, float *ret)
{
	for (size_t row = 0; row < rows; row++) {
		float *x = gates + row * 4 * h;

		for (size_t j = 0; j < h; j += VF_LANES) {
			const size_t left = h - j;
			vf i = vf_sigmoid(row_load(x + j, left) + row_load(b + j, left));
			vf f = vf_sigmoid(row_load(x + h + j, left) + row_load(b + h + j, left));
			vf g = vf_tanh(row_load(x + 2 * h + j, left) +
				       row_load(b + 2 * h + j, left));
			vf o = vf_sigmoid(row_load(x + 3 * h + j, left) +
					  row_load(b + 3 * h + j, left));
			vf cell = f * row_load(c_prev + row * h + j, left) + i * g;

			row_store(x + j, i, left);
			row_store(x + h + j, f, left);
			row_store(x + 2 * h + j, g, left);
			row_store(x + 3 * h + j, o, left);
			row_store(c + row * h + j, cell, left);
			row_store(ret + row * h + j, o * vf_tanh(cell), left);
		}
	}
}

/* From dh and dc: gradients before the gates over `gates`; dc becomes the step before's. */
static void kernel_lstm_gates_back(size_t rows, size_t h, float *gates, const float *c_prev,
				   const float *c, const float *dh, float *dc)
{
	for (size_t row = 0; row < rows; row++) {
		float *x = gates + row * 4 * h;

		for (size_t j = 0; j < h; j += VF_LANES) {
			const size_t left = h - j;
			vf i = row_load(x + j, left), f = row_load(x + h + j, left);
			vf g = row_load(x + 2 * h + j, left), o = row_load(x + 3 * h + j, left);
			vf t = vf_tanh(row_load(c + row * h + j, left));
			vf grad = row_load(dh + row * h + j, left);
			vf dcell = row_load(dc + row * h + j, left) + grad * o * (1.0f - t * t);

			row_store(x + j, dcell * g * i * (1.0f - i), left);
			row_store(x + h + j,
				  dcell * row_load(c_prev + row * h + j, left) * f * (1.0f - f),
				  left);
			row_store(x + 2 * h + j, dcell * i * (1.0f - g * g), left);
			row_store(x + 3 * h + j, grad * t * o * (1.0f - o), left);
			row_store(dc + row * h + j, dcell * f, left);
		}
	}
}

/* --- one series, packed weights ----------------------------------------------------------- */

/*
 * sums[0..width) += x[i] w[i][0..width), with `width` a multiple of 16: up to six vectors of sums
 * stay in registers over all i.
 */
VF_INLINE void rnn_matvec(size_t in, size_t width, const float *x, const float *w, float *sums)
{
	size_t j = 0;

	for (; j + 6 * VF_LANES <= width; j += 6 * VF_LANES) {
		vf acc[6];

		for (int v = 0; v < 6; v++)
			acc[v] = vf_load(sums + j + v * VF_LANES);
		for (size_t i = 0; i < in; i++) {
			for (int v = 0; v < 6; v++)
				acc[v] += vf_set(x[i]) * vf_load(w + i * width + j + v * VF_LANES);
		}
		for (int v = 0; v < 6; v++)
			vf_store(sums + j + v * VF_LANES, acc[v]);
	}
	for (; j < width; j += VF_LANES) {
		vf acc = vf_load(sums + j);

		for (size_t i = 0; i < in; i++)
			acc += vf_set(x[i]) * vf_load(w + i * width + j);
		vf_store(sums + j, acc);
	}
}

static void kernel_gru_infer(const struct drpc_rnn_packed *net, size_t steps, const float *x,
			     float *h)
{
	const size_t p = net->pad, width = 3 * p;
	_Alignas(64) float gx[4 * DRPC_RNN_MAX_HIDDEN], gh[4 * DRPC_RNN_MAX_HIDDEN];

	for (size_t t = 0; t < steps; t++, x += net->in) {
		memcpy(gx, net->bx, width * sizeof(*gx));
		memcpy(gh, net->bh, width * sizeof(*gh));
		rnn_matvec(net->in, width, x, net->wx, gx);
		rnn_matvec(net->hidden, width, h, net->wh, gh);
		for (size_t j = 0; j < p; j += VF_LANES) {
			vf r = vf_sigmoid(vf_load(gx + j) + vf_load(gh + j));
			vf z = vf_sigmoid(vf_load(gx + p + j) + vf_load(gh + p + j));
			vf n = vf_tanh(vf_load(gx + 2 * p + j) + r * vf_load(gh + 2 * p + j));

			vf_store(h + j, n + z * (vf_load(h + j) - n));
		}
	}
}

static void kernel_lstm_infer(const struct drpc_rnn_packed *net, size_t steps, const float *x,
			      float *h, float *c)
{
	const size_t p = net->pad, width = 4 * p;
	_Alignas(64) float g[4 * DRPC_RNN_MAX_HIDDEN];

	for (size_t t = 0; t < steps; t++, x += net->in) {
		memcpy(g, net->bx, width * sizeof(*g));
		rnn_matvec(net->in, width, x, net->wx, g);
		rnn_matvec(net->hidden, width, h, net->wh, g);
		for (size_t j = 0; j < p; j += VF_LANES) {
			vf i = vf_sigmoid(vf_load(g + j)), f = vf_sigmoid(vf_load(g + p + j));
			vf cell = f * vf_load(c + j) + i * vf_tanh(vf_load(g + 2 * p + j));

			vf_store(c + j, cell);
			vf_store(h + j, vf_sigmoid(vf_load(g + 3 * p + j)) * vf_tanh(cell));
		}
	}
}
