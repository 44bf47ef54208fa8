// SPDX-License-Identifier: Apache-2.0
/* Each kind of layer, optimisers, and both recurrent cells, against PyTorch. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "nn/blas.h"
#include "nn/mlp.h"
#include "nn/optim.h"
#include "nn/rnn.h"
#include "tests/golden/golden.h"

#define ROWS 37
#define IN   13
#define OUT  21

static void layer(struct golden *g, const char *name, bool norm, enum drpc_act act)
{
	const struct drpc_mlp_spec spec = {
		.in = IN, .heads = 1, .n_layers = 1, .layers = {{OUT, norm, act}}};
	float params[IN * OUT + 3 * OUT], grads[IN * OUT + 3 * OUT], dw[IN * OUT];
	float dout[ROWS * OUT], dx[ROWS * IN], loss;
	const float *x = golden_get(g, ROWS * IN, "%s.x", name);
	struct drpc_mlp_work work;
	struct drpc_mlp net;

	cr_assert_eq(drpc_mlp_init(&net, &spec), 0);
	cr_assert_eq(drpc_mlp_work_new(&work, &net, ROWS), 0);
	golden_transpose(OUT, IN, golden_get(g, OUT * IN, "%s.w", name), params, OUT);
	memcpy(params + net.views[0].b, golden_get(g, OUT, "%s.b", name), sizeof(float) * OUT);
	if (norm) {
		memcpy(params + net.views[0].gamma, golden_get(g, OUT, "%s.gamma", name),
		       sizeof(float) * OUT);
		memcpy(params + net.views[0].beta, golden_get(g, OUT, "%s.beta", name),
		       sizeof(float) * OUT);
	}
	drpc_mlp_forward(&net, params, 1, ROWS, x, IN, &work);
	golden_near(ROWS * OUT, drpc_mlp_output(&net, &work),
		    golden_get(g, ROWS * OUT, "%s.y", name), NEAR_LAYER, "%s output", name);
	loss = (float)drpc_mse(ROWS * OUT, drpc_mlp_output(&net, &work),
			       golden_get(g, ROWS * OUT, "%s.target", name), dout);
	golden_near(1, &loss, golden_get(g, 1, "%s.loss", name), NEAR_LAYER, "%s loss", name);
	drpc_mlp_backward(
		&net, params, 1, ROWS, x, IN, &work,
		&(struct drpc_mlp_grad){
			.dout = dout, .grads = grads, .dx = dx, .lddx = IN, .dx_cols = IN});
	golden_transpose(OUT, IN, golden_get(g, OUT * IN, "%s.d.w", name), dw, OUT);
	golden_near(IN * OUT, grads, dw, NEAR_LAYER, "%s dW", name);
	golden_near(OUT, grads + net.views[0].b, golden_get(g, OUT, "%s.d.b", name), NEAR_LAYER,
		    "%s db", name);
	if (norm) {
		golden_near(OUT, grads + net.views[0].gamma, golden_get(g, OUT, "%s.dgamma", name),
			    NEAR_LAYER, "%s dgamma", name);
		golden_near(OUT, grads + net.views[0].beta, golden_get(g, OUT, "%s.dbeta", name),
			    NEAR_LAYER, "%s dbeta", name);
	}
	golden_near(ROWS * IN, dx, golden_get(g, ROWS * IN, "%s.dx", name), NEAR_LAYER, "%s dx",
		    name);
	drpc_mlp_work_done(&work);
}

Test(golden, every_layer_its_loss_and_gradients)
{
	struct golden *g = golden_open("layers.bin");

	drpc_blas_init();
	layer(g, "none", false, DRPC_ACT_NONE);
	layer(g, "relu", false, DRPC_ACT_RELU);
	layer(g, "tanh", false, DRPC_ACT_TANH);
	layer(g, "norm_none", true, DRPC_ACT_NONE);
	layer(g, "norm_relu", true, DRPC_ACT_RELU);
	layer(g, "norm_tanh", true, DRPC_ACT_TANH);
	golden_close(g);
}

/* --- optimisers --------------------------------------------------------------------------- */

#define N     301
#define STEPS 10

static void optimiser(const char *name, struct drpc_adam adam, double max_norm)
{
	struct golden *g = golden_open("optimisers.bin");
	const float *grads = golden_get(g, STEPS * N, "grads");
	float p[N], m[N] = {0}, v[N] = {0};

	memcpy(p, golden_get(g, N, "start"), sizeof(p));
	for (int i = 0; i < STEPS; i++)
		drpc_adam_step(&adam, N, p, grads + i * N, m, v,
			       drpc_grad_scale(drpc_grad_norm(N, grads + i * N), max_norm), NULL,
			       0.0);
	golden_near(N, p, golden_get(g, N, "%s.p", name), NEAR_STEPS, "%s parameters", name);
	golden_near(N, m, golden_get(g, N, "%s.m", name), NEAR_STEPS, "%s first moments", name);
	golden_near(N, v, golden_get(g, N, "%s.v", name), NEAR_STEPS, "%s second moments", name);
	golden_close(g);
}

Test(golden, ten_steps_of_adam)
{
	optimiser("adam", drpc_adam_make(3e-4, 0), 0);
}

Test(golden, ten_steps_of_adamw)
{
	optimiser("adamw", drpc_adam_make(1e-2, 0.1), 0);
}

Test(golden, ten_steps_with_clipped_gradients)
{
	optimiser("clipped", drpc_adam_make(3e-4, 0), 5.0);
}

/* --- recurrent ---------------------------------------------------------------------------- */

#define T  24
#define R  5
#define NI 8
#define NH 20

static void recurrent(const char *name, enum drpc_rnn_cell cell)
{
	struct golden *g = golden_open("recurrent.bin");
	const float *x = golden_get(g, T * R * NI, "%s.x", name), *bh;
	float dall[T * R * NH], dx[T * R * NI], loss;
	struct drpc_rnn_work work;
	struct drpc_rnn net;
	size_t wide;

	drpc_blas_init();
	cr_assert_eq(drpc_rnn_init(&net, cell, NI, NH), 0);
	cr_assert_eq(drpc_rnn_work_new(&work, &net, T, R), 0);
	wide = net.gates * NH;
	float *params = calloc(net.n_params, sizeof(float));
	float *grads = calloc(net.n_params, sizeof(float)), *want = calloc(net.n_params, 4);

	golden_transpose(wide, NI, golden_get(g, wide * NI, "%s.weight_ih_l0", name),
			 params + net.wx, wide);
	golden_transpose(wide, NH, golden_get(g, wide * NH, "%s.weight_hh_l0", name),
			 params + net.wh, wide);
	memcpy(params + net.bx, golden_get(g, wide, "%s.bias_ih_l0", name), 4 * wide);
	bh = golden_get(g, wide, "%s.bias_hh_l0", name);
	for (size_t i = 0; i < wide; i++) {
		if (cell == DRPC_RNN_GRU)
			params[net.bh + i] = bh[i];
		else
			params[net.bx + i] += bh[i];
	}
	drpc_rnn_forward(&net, params, T, R, x, &work);
	golden_near(T * R * NH, drpc_rnn_output(&net, &work, R, 0),
		    golden_get(g, T * R * NH, "%s.y", name), NEAR_LAYER, "%s outputs", name);
	loss = (float)drpc_mse(T * R * NH, drpc_rnn_output(&net, &work, R, 0),
			       golden_get(g, T * R * NH, "%s.target", name), dall);
	golden_near(1, &loss, golden_get(g, 1, "%s.loss", name), NEAR_LAYER, "%s loss", name);
	drpc_rnn_backward(&net, params, T, R, x, &work, NULL, dall, grads, dx);
	golden_transpose(wide, NI, golden_get(g, wide * NI, "%s.d.weight_ih_l0", name), want, wide);
	golden_near(wide * NI, grads + net.wx, want, NEAR_LAYER, "%s dWx", name);
	golden_transpose(wide, NH, golden_get(g, wide * NH, "%s.d.weight_hh_l0", name), want, wide);
	golden_near(wide * NH, grads + net.wh, want, NEAR_LAYER, "%s dWh", name);
	golden_near(wide, grads + net.bx, golden_get(g, wide, "%s.d.bias_ih_l0", name), NEAR_LAYER,
		    "%s dbx", name);
	if (cell == DRPC_RNN_GRU)
		golden_near(wide, grads + net.bh, golden_get(g, wide, "%s.d.bias_hh_l0", name),
			    NEAR_LAYER, "%s dbh", name);
	golden_near(T * R * NI, dx, golden_get(g, T * R * NI, "%s.dx", name), NEAR_LAYER, "%s dx",
		    name);
	drpc_rnn_work_done(&work);
	free(params);
	free(grads);
	free(want);
	golden_close(g);
}

Test(golden, gru_through_24_steps)
{
	recurrent("gru", DRPC_RNN_GRU);
}

Test(golden, lstm_through_24_steps)
{
	recurrent("lstm", DRPC_RNN_LSTM);
}
