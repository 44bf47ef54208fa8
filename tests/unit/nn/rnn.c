// SPDX-License-Identifier: Apache-2.0
#include "nn/rnn.h"

#include <errno.h>
#include <string.h>

#include "nn/blas.h"
#include "tests/unit/nn/near.h"

#define T  6
#define R  3
#define IN 4
#define H  5

static double sigmoid(double x)
{
	return 1 / (1 + exp(-x));
}

/* The equations of rnn.h in double precision; returns the sum of outputs times their weights. */
static double naive(const struct drpc_rnn *net, const double *p, const double *x,
		    const double *weight, double *out)
{
	const size_t wide = net->gates * H;
	double loss = 0;

	for (size_t r = 0; r < R; r++) {
		double h[H] = {0}, c[H] = {0};

		for (size_t t = 0; t < T; t++) {
			double gx[4 * H], gh[4 * H] = {0};

			for (size_t j = 0; j < wide; j++) {
				gx[j] = p[net->bx + j];
				for (size_t i = 0; i < IN; i++)
					gx[j] +=
						x[(t * R + r) * IN + i] * p[net->wx + i * wide + j];
				if (net->cell == DRPC_RNN_GRU)
					gh[j] = p[net->bh + j];
				for (size_t i = 0; i < H; i++)
					gh[j] += h[i] * p[net->wh + i * wide + j];
			}
			for (size_t j = 0; j < H; j++) {
				if (net->cell == DRPC_RNN_GRU) {
					const double reset = sigmoid(gx[j] + gh[j]);
					const double z = sigmoid(gx[H + j] + gh[H + j]);
					const double n =
						tanh(gx[2 * H + j] + reset * gh[2 * H + j]);

					h[j] = (1 - z) * n + z * h[j];
				} else {
					c[j] = sigmoid(gx[H + j] + gh[H + j]) * c[j] +
					       sigmoid(gx[j] + gh[j]) *
						       tanh(gx[2 * H + j] + gh[2 * H + j]);
					h[j] = sigmoid(gx[3 * H + j] + gh[3 * H + j]) * tanh(c[j]);
				}
				if (out)
					out[(t * R + r) * H + j] = h[j];
				loss += h[j] * weight[(t * R + r) * H + j];
			}
		}
	}
	return loss;
}

static double *widen(size_t n, const float *x)
{
	double *d = calloc(n, sizeof(*d));

	for (size_t i = 0; i < n; i++)
		d[i] = (double)x[i];
	return d;
}

static double *differences(const struct drpc_rnn *net, const double *p, const double *x,
			   const double *weight, double *at, size_t n)
{
	double *grad = calloc(n, sizeof(*grad));

	for (size_t i = 0; i < n; i++) {
		const double keep = at[i], step = 1e-6;
		double up;

		at[i] = keep + step;
		up = naive(net, p, x, weight, NULL);
		at[i] = keep - step;
		grad[i] = (up - naive(net, p, x, weight, NULL)) / (2 * step);
		at[i] = keep;
	}
	return grad;
}

static void check(enum drpc_rnn_cell cell)
{
	struct drpc_rng rng = drpc_rng_make(3, 0);
	struct drpc_rnn_packed packed;
	struct drpc_rnn_work work;
	struct drpc_rnn net;
	float *x = fresh(T * R * IN, 1), *dall = fresh(T * R * H, 2), *series = fresh(T * IN, 3);
	float *dx = fresh(T * R * IN, 4), dlast[R * H], one[H];

	drpc_blas_init();
	cr_assert_eq(drpc_rnn_init(&net, cell, IN, H), 0);
	cr_assert_eq(drpc_rnn_work_new(&work, &net, T + 1, R + 2), 0);
	float *params = calloc(net.n_params, sizeof(*params)), *grads = fresh(net.n_params, 5);

	drpc_rnn_randomize(&net, &rng, params);
	double *dp = widen(net.n_params, params), *xs = widen(T * R * IN, x);
	double *weight = widen(T * R * H, dall), *want = calloc(T * R * H, sizeof(*want));
	double *want_grads = differences(&net, dp, xs, weight, dp, net.n_params);
	double *want_dx = differences(&net, dp, xs, weight, xs, T * R * IN);

	naive(&net, dp, xs, weight, want);
	drpc_rnn_forward(&net, params, T, R, x, &work);
	assert_near(T * R * H, drpc_rnn_output(&net, &work, R, 0), want, 2e-6);
	/* The last step's share comes on its own, the others' with the rest. */
	memcpy(dlast, dall + (T - 1) * R * H, sizeof(dlast));
	memset(dall + (T - 1) * R * H, 0, sizeof(dlast));
	drpc_rnn_backward(&net, params, T, R, x, &work, dlast, dall, grads, dx);
	assert_near(net.n_params, grads, want_grads, 1e-5);
	assert_near(T * R * IN, dx, want_dx, 1e-5);

	/* Inference without BLAS says the same as training's forward pass. */
	cr_assert_eq(drpc_rnn_pack(cell, IN, H, params, &packed), 0);
	for (size_t r = 0; r < R; r++) {
		for (size_t t = 0; t < T; t++)
			memcpy(series + t * IN, x + (t * R + r) * IN, IN * sizeof(*x));
		drpc_rnn_infer(&packed, T, series, one);
		assert_near(H, one, want + ((T - 1) * R + r) * H, 2e-6);
	}
	drpc_rnn_packed_done(&packed);
	drpc_rnn_work_done(&work);
	free(x);
	free(dall);
	free(series);
	free(dx);
	free(params);
	free(grads);
	free(dp);
	free(xs);
	free(weight);
	free(want);
	free(want_grads);
	free(want_dx);
}

Test(rnn, gru_is_its_equations_and_their_gradients)
{
	check(DRPC_RNN_GRU);
}

Test(rnn, lstm_is_its_equations_and_their_gradients)
{
	check(DRPC_RNN_LSTM);
}

Test(rnn, refuses_sizes_it_has_no_room_for)
{
	struct drpc_rnn_packed packed;
	struct drpc_rnn net;
	float none[1] = {0};

	cr_assert_eq(drpc_rnn_init(&net, DRPC_RNN_GRU, 0, 5), -EINVAL);
	cr_assert_eq(drpc_rnn_init(&net, DRPC_RNN_GRU, 5, DRPC_RNN_MAX_HIDDEN + 1), -EINVAL);
	cr_assert_eq(drpc_rnn_pack(DRPC_RNN_LSTM, DRPC_RNN_MAX_INPUTS + 1, 5, none, &packed),
		     -EINVAL);
}
