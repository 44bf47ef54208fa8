// SPDX-License-Identifier: Apache-2.0
#include "nn/mlp.h"

#include <errno.h>
#include <string.h>

#include "nn/blas.h"
#include "tests/unit/nn/near.h"

#define B 37

/* The definition in double precision; returns sum(out * weight), a loss whose gradient is weight. */
static double naive(const struct drpc_mlp *net, const double *params, size_t heads, size_t rows,
		    const double *x, const double *weight, double *out)
{
	double loss = 0;

	for (size_t r = 0; r < rows; r++) {
		for (size_t k = 0; k < heads; k++) {
			double in[256], y[256];

			for (size_t i = 0; i < net->spec.in; i++)
				in[i] = x[r * net->spec.in + i];
			for (size_t l = 0; l < net->spec.n_layers; l++) {
				const struct drpc_mlp_view *v = &net->views[l];
				const size_t col = k * v->out;
				const size_t ld = l ? v->out : net->spec.heads * v->out;
				const double *w = params + v->w + (l ? col * v->in : col);
				double mean = 0, var = 0;

				for (size_t o = 0; o < v->out; o++) {
					y[o] = params[v->b + col + o];
					for (size_t i = 0; i < v->in; i++)
						y[o] += in[i] * w[i * ld + o];
					mean += y[o] / (double)v->out;
				}
				for (size_t o = 0; o < v->out; o++)
					var += (y[o] - mean) * (y[o] - mean) / (double)v->out;
				for (size_t o = 0; o < v->out; o++) {
					if (net->spec.layers[l].norm)
						y[o] = (y[o] - mean) / sqrt(var + 1e-5) *
							       params[v->gamma + col + o] +
						       params[v->beta + col + o];
					if (net->spec.layers[l].act == DRPC_ACT_RELU && y[o] < 0)
						y[o] = 0;
					if (net->spec.layers[l].act == DRPC_ACT_TANH)
						y[o] = tanh(y[o]);
				}
				memcpy(in, y, v->out * sizeof(*y));
			}
			for (size_t o = 0; o < net->views[net->spec.n_layers - 1].out; o++) {
				const size_t n_out = net->views[net->spec.n_layers - 1].out;
				const size_t at = (r * net->spec.heads + k) * n_out + o;

				if (out)
					out[at] = y[o];
				loss += y[o] * weight[at];
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

/* Central differences of the double-precision loss with respect to n numbers at `at`. */
static double *differences(const struct drpc_mlp *net, double *params, size_t heads, double *x,
			   const double *weight, double *at, size_t n)
{
	double *grad = calloc(n, sizeof(*grad));
	const double step = 1e-6;

	for (size_t i = 0; i < n; i++) {
		const double keep = at[i];
		double up, down;

		at[i] = keep + step;
		up = naive(net, params, heads, B, x, weight, NULL);
		at[i] = keep - step;
		down = naive(net, params, heads, B, x, weight, NULL);
		at[i] = keep;
		grad[i] = (up - down) / (2 * step);
	}
	return grad;
}

static void check(const struct drpc_mlp_spec *spec, size_t heads)
{
	struct drpc_rng rng = drpc_rng_make(1, 0);
	struct drpc_mlp_work work;
	struct drpc_mlp net;
	size_t n_out;

	cr_assert_eq(drpc_mlp_init(&net, spec), 0);
	cr_assert_eq(drpc_mlp_work_new(&work, &net, B + 3), 0);
	n_out = B * drpc_mlp_output_ld(&net);
	float *params = calloc(net.n_params, sizeof(*params)), *x = fresh(B * spec->in, 2);
	float *grads = calloc(net.n_params, sizeof(*grads)),
	      *dx = calloc(B * spec->in, sizeof(*dx));
	float *dout = fresh(n_out, 3);

	drpc_mlp_randomize(&net, &rng, params);
	/* Away from 1 and 0, so that LayerNorm's own parameters matter. */
	for (size_t i = 0; i < net.n_params; i++)
		params[i] += 0.05f * sinf((float)i);
	for (size_t i = 0; heads < spec->heads && i < n_out; i++) {
		if (i % 2)
			dout[i] = 0;
	}
	double *dparams = widen(net.n_params, params), *dxs = widen(B * spec->in, x);
	double *weight = widen(n_out, dout), *want = calloc(n_out, sizeof(*want));
	double *want_grads = differences(&net, dparams, heads, dxs, weight, dparams, net.n_params);
	double *want_dx = differences(&net, dparams, heads, dxs, weight, dxs, B * spec->in);

	naive(&net, dparams, heads, B, dxs, weight, want);
	drpc_mlp_forward(&net, params, heads, B, x, spec->in, &work);
	float *y = drpc_mlp_output(&net, &work);

	for (size_t i = 0; heads < spec->heads && i < n_out; i++) {
		if (i % 2)
			y[i] = 0;
	}
	assert_near(n_out, y, want, 2e-6);
	drpc_mlp_backward(&net, params, heads, B, x, spec->in, &work,
			  &(struct drpc_mlp_grad){.dout = dout,
						  .grads = grads,
						  .dx = dx,
						  .lddx = spec->in,
						  .dx_cols = spec->in});
	if (heads == spec->heads)
		assert_near(net.n_params, grads, want_grads, 1e-5);
	assert_near(B * spec->in, dx, want_dx, 1e-5);
	drpc_mlp_work_done(&work);
	free(params);
	free(x);
	free(grads);
	free(dx);
	free(dout);
	free(dparams);
	free(dxs);
	free(weight);
	free(want);
	free(want_grads);
	free(want_dx);
}

Test(mlp, gradients_are_what_finite_differences_say)
{
	drpc_blas_init();
	check(
		&(struct drpc_mlp_spec){
			.in = 5, .heads = 1, .n_layers = 1, .layers = {{3, false, DRPC_ACT_NONE}}},
		1);
	check(&(struct drpc_mlp_spec){.in = 5,
				      .heads = 1,
				      .n_layers = 3,
				      .layers = {{20, true, DRPC_ACT_RELU},
						 {20, false, DRPC_ACT_NONE},
						 {3, false, DRPC_ACT_TANH}}},
	      1);
	check(&(struct drpc_mlp_spec){.in = 7,
				      .heads = 2,
				      .n_layers = 3,
				      .layers = {{17, true, DRPC_ACT_RELU},
						 {9, true, DRPC_ACT_TANH},
						 {1, false, DRPC_ACT_NONE}}},
	      2);
	check(&(struct drpc_mlp_spec){.in = 4,
				      .heads = 2,
				      .n_layers = 3,
				      .layers = {{16, false, DRPC_ACT_RELU},
						 {8, false, DRPC_ACT_RELU},
						 {1, false, DRPC_ACT_NONE}}},
	      2);
}

/* The actor's step asks the first critic alone, for the input's gradient alone. */
Test(mlp, one_head_of_two)
{
	check(&(struct drpc_mlp_spec){.in = 6,
				      .heads = 2,
				      .n_layers = 3,
				      .layers = {{11, true, DRPC_ACT_RELU},
						 {9, false, DRPC_ACT_RELU},
						 {1, false, DRPC_ACT_NONE}}},
	      1);
}

Test(mlp, refuses_shapes_that_make_no_network)
{
	struct drpc_mlp net = {.n_params = 77};
	struct drpc_mlp_spec spec = {
		.in = 5, .heads = 1, .n_layers = 1, .layers = {{3, false, DRPC_ACT_NONE}}};

	spec.in = 0;
	cr_assert_eq(drpc_mlp_init(&net, &spec), -EINVAL);
	spec.in = 5;
	spec.heads = 3;
	cr_assert_eq(drpc_mlp_init(&net, &spec), -EINVAL);
	spec.heads = 1;
	spec.layers[0].out = 0;
	cr_assert_eq(drpc_mlp_init(&net, &spec), -EINVAL);
	spec.layers[0].out = 3;
	spec.n_layers = DRPC_MLP_MAX_LAYERS + 1;
	cr_assert_eq(drpc_mlp_init(&net, &spec), -EINVAL);
	cr_assert_eq(net.n_params, 77);
}
