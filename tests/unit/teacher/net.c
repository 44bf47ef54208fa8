// SPDX-License-Identifier: Apache-2.0
#include "teacher/net.h"

#include <string.h>

#include "nn/blas.h"
#include "teacher/td3.h"
#include "tests/unit/nn/near.h"

#define GROUPS 6
#define UNITS  4
#define ROWS   (GROUPS * UNITS)
#define IN     5

/* One dense layer of head k in double precision, LayerNorm and activation included. */
static void layer(const struct drpc_mlp *mlp, const double *params, size_t l, size_t k,
		  const double *in, const double *add, double *ret)
{
	const struct drpc_mlp_view *v = &mlp->views[l];
	const struct drpc_mlp_layer *spec = &mlp->spec.layers[l];
	const size_t col = k * v->out, ld = l ? v->out : mlp->spec.heads * v->out;
	const double *w = params + v->w + (l ? col * v->in : col);
	double mean = 0, var = 0;

	for (size_t o = 0; o < v->out; o++) {
		ret[o] = params[v->b + col + o] + (add ? add[o] : 0);
		for (size_t i = 0; i < v->in; i++)
			ret[o] += in[i] * w[i * ld + o];
		mean += ret[o] / (double)v->out;
	}
	for (size_t o = 0; o < v->out; o++)
		var += (ret[o] - mean) * (ret[o] - mean) / (double)v->out;
	for (size_t o = 0; o < v->out; o++) {
		if (spec->norm)
			ret[o] = (ret[o] - mean) / sqrt(var + 1e-5) * params[v->gamma + col + o] +
				 params[v->beta + col + o];
		if (spec->act == DRPC_ACT_RELU && ret[o] < 0)
			ret[o] = 0;
	}
}

/* A sample of UNITS rows through head k: embeddings, pools, main perceptron. */
static void sample(const struct drpc_net *net, const double *params, size_t k, const double *x,
		   double *ret)
{
	const size_t e = net->spec.embed, h = net->spec.hidden[0];
	const double *wmean = params + net->at_pool + k * e * h;
	const double *wmax = wmean + net->spec.heads * e * h;
	double embed[UNITS][16], add[32] = {0};

	for (size_t u = 0; u < UNITS; u++)
		layer(&net->embed, params, 0, k, x + u * IN, NULL, embed[u]);
	for (size_t i = 0; i < e; i++) {
		double mean = 0, max = embed[0][i];

		for (size_t u = 0; u < UNITS; u++) {
			mean += embed[u][i] / UNITS;
			max = fmax(max, embed[u][i]);
		}
		for (size_t o = 0; o < h; o++)
			add[o] += mean * wmean[i * h + o] + max * wmax[i * h + o];
	}
	for (size_t u = 0; u < UNITS; u++) {
		double a[32], b[32];

		layer(&net->main, params + net->at_main, 0, k, x + u * IN, add, a);
		layer(&net->main, params + net->at_main, 1, k, a, NULL, b);
		layer(&net->main, params + net->at_main, 2, k, b, NULL, &ret[u]);
	}
}

static double naive(const struct drpc_net *net, const double *params, size_t heads, const double *x,
		    const double *weight, double *out)
{
	double loss = 0;

	for (size_t g = 0; g < GROUPS; g++) {
		for (size_t k = 0; k < heads; k++) {
			double y[UNITS];

			sample(net, params, k, x + g * UNITS * IN, y);
			for (size_t u = 0; u < UNITS; u++) {
				const size_t at = (g * UNITS + u) * net->spec.heads + k;

				if (out)
					out[at] = y[u];
				loss += y[u] * weight[at];
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

static double *differences(const struct drpc_net *net, const double *params, size_t heads,
			   const double *x, const double *weight, double *at, size_t n)
{
	double *grad = calloc(n, sizeof(*grad));

	for (size_t i = 0; i < n; i++) {
		const double keep = at[i], step = 1e-6;
		double up;

		at[i] = keep + step;
		up = naive(net, params, heads, x, weight, NULL);
		at[i] = keep - step;
		grad[i] = (up - naive(net, params, heads, x, weight, NULL)) / (2 * step);
		at[i] = keep;
	}
	return grad;
}

static void check(size_t heads, size_t used, bool norm)
{
	const struct drpc_net_spec spec = {.in = IN,
					   .out = 1,
					   .heads = heads,
					   .n_hidden = 2,
					   .hidden = {18, 12},
					   .norm = norm,
					   .out_act = DRPC_ACT_NONE,
					   .embed = 7};
	struct drpc_rng rng = drpc_rng_make(2, 0);
	struct drpc_net_work work;
	struct drpc_net net;

	drpc_blas_init();
	cr_assert_eq(drpc_net_init(&net, &spec), 0);
	cr_assert_gt(net.n_params, 0);
	cr_assert_eq(drpc_net_work_new(&work, &net, GROUPS, UNITS), 0);
	float *params = calloc(net.n_params, sizeof(float)), *x = fresh(ROWS * IN, 1);
	float *grads = calloc(net.n_params, sizeof(float)), *dout = fresh(ROWS * heads, 2);
	float dx[ROWS * 2];
	double want_action[ROWS * 2];

	drpc_net_randomize(&net, &rng, params);
	for (size_t i = 0; i < ROWS * heads; i++) {
		if (i % heads >= used)
			dout[i] = 0;
	}
	double *dparams = widen(net.n_params, params), *dxs = widen(ROWS * IN, x);
	double *weight = widen(ROWS * heads, dout), *want = calloc(ROWS * 2, sizeof(double));
	double *want_grads = differences(&net, dparams, used, dxs, weight, dparams, net.n_params);
	double *want_dx = differences(&net, dparams, used, dxs, weight, dxs, ROWS * IN);

	naive(&net, dparams, used, dxs, weight, want);
	drpc_net_forward(&net, params, used, GROUPS, UNITS, x, IN, &work);
	for (size_t i = 0; i < ROWS * heads; i++) {
		if (i % heads >= used)
			drpc_net_output(&net, &work)[i] = 0;
	}
	assert_near(ROWS * heads, drpc_net_output(&net, &work), want, 3e-6);
	drpc_net_backward(&net, params, used, GROUPS, UNITS, x, IN, &work, dout,
			  used == heads ? grads : NULL, dx, 3, 2);
	if (used == heads)
		assert_near(net.n_params, grads, want_grads, 1e-5);
	for (size_t i = 0; i < ROWS * 2; i++)
		want_action[i] = want_dx[i / 2 * IN + 3 + i % 2];
	assert_near(ROWS * 2, dx, want_action, 1e-5);
	drpc_net_work_done(&work);
	free(params);
	free(x);
	free(grads);
	free(dout);
	free(dparams);
	free(dxs);
	free(weight);
	free(want);
	free(want_grads);
	free(want_dx);
}

Test(net, pooled_gradients_are_what_finite_differences_say)
{
	check(1, 1, false);
	check(2, 2, false);
	check(2, 2, true);
}

/* The actor's step: the first critic alone, the action columns alone. */
Test(net, pooled_input_gradient_of_one_head)
{
	check(2, 1, true);
}

Test(net, pooled_policies_take_any_number_and_order_of_deployments)
{
	struct drpc_td3_config c = drpc_td3_defaults(DRPC_TD3_POOLED, 3, 3, 2);
	struct drpc_td3 *td3 = NULL;
	float state[70 * 3], swapped[70 * 3], a[70 * 2], b[70 * 2];
	float *values = fresh(70 * 3, 1);

	c.batch = 8;
	cr_assert_eq(drpc_td3_new(&c, &td3), 0);
	memcpy(state, values, sizeof(state));
	/* 70 deployments are more than a batch has room for with 3. */
	for (size_t units = 1; units <= 70; units += 23) {
		for (size_t u = 0; u < units; u++)
			memcpy(swapped + u * 3, state + (units - 1 - u) * 3, 3 * sizeof(float));
		cr_assert_eq(drpc_td3_act(td3, units, state, a), 0);
		cr_assert_eq(drpc_td3_act(td3, units, swapped, b), 0);
		for (size_t u = 0; u < units; u++)
			cr_assert_float_eq((double)a[2 * u], (double)b[2 * (units - 1 - u)], 1e-5);
	}
	drpc_td3_free(&td3);
	free(values);
}
