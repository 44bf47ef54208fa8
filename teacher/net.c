// SPDX-License-Identifier: Apache-2.0
#include "teacher/net.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "lib/log.h"
#include "nn/blas.h"
#include "nn/isa.h"

static bool pooled(const struct drpc_net *net)
{
	return net->spec.embed > 0;
}

/* Floats of one of the two pool matrices, all heads. */
static size_t pool_floats(const struct drpc_net *net)
{
	return net->spec.heads * net->spec.embed * net->spec.hidden[0];
}

int drpc_net_init(struct drpc_net *ret, const struct drpc_net_spec *spec)
{
	struct drpc_mlp_spec main = {
		.in = spec->in, .heads = spec->heads, .n_layers = spec->n_hidden + 1};
	struct drpc_mlp_spec embed = {.in = spec->in,
				      .heads = spec->heads,
				      .n_layers = 1,
				      .layers = {{spec->embed, spec->norm, DRPC_ACT_RELU}}};
	struct drpc_net net = {.spec = *spec};
	int err;

	if (spec->n_hidden < 1 || spec->n_hidden > DRPC_MLP_MAX_LAYERS - 1)
		return drpc_err(-EINVAL, "net: %zu hidden layers, expected 1..%d", spec->n_hidden,
				DRPC_MLP_MAX_LAYERS - 1);
	for (size_t i = 0; i < spec->n_hidden; i++)
		main.layers[i] =
			(struct drpc_mlp_layer){spec->hidden[i], spec->norm, DRPC_ACT_RELU};
	main.layers[spec->n_hidden] = (struct drpc_mlp_layer){spec->out, false, spec->out_act};
	err = drpc_mlp_init(&net.main, &main);
	if (err)
		return err;
	if (pooled(&net)) {
		err = drpc_mlp_init(&net.embed, &embed);
		if (err)
			return err;
		net.at_pool = net.embed.n_params;
		net.at_main = net.at_pool + 2 * pool_floats(&net);
	}
	net.n_params = net.at_main + net.main.n_params;
	*ret = net;
	return 0;
}

void drpc_net_randomize(const struct drpc_net *net, struct drpc_rng *rng, float *params)
{
	if (pooled(net)) {
		drpc_mlp_randomize(&net->embed, rng, params);
		drpc_rng_symmetric(rng, 1.0f / sqrtf((float)(2 * net->spec.embed)),
				   2 * pool_floats(net), params + net->at_pool);
	}
	drpc_mlp_randomize(&net->main, rng, params + net->at_main);
}

static size_t align16(size_t floats)
{
	return (floats + 15) / 16 * 16;
}

/* Gives the next `floats` of the allocation. */
static float *take(float **at, size_t floats)
{
	float *begin = *at;

	*at += align16(floats);
	return begin;
}

int drpc_net_work_new(struct drpc_net_work *ret, const struct drpc_net *net, size_t groups,
		      size_t units)
{
	const size_t rows = groups * units, wide = net->spec.heads * net->spec.embed;
	const size_t first = net->spec.heads * net->spec.hidden[0];
	const size_t main = drpc_mlp_work_floats(&net->main, rows);
	const size_t embed = pooled(net) ? drpc_mlp_work_floats(&net->embed, rows) : 0;
	const size_t pool = pooled(net) ? 5 * align16(groups * wide) + align16(groups * first) +
						  align16(rows * wide)
					: 0;
	struct drpc_net_work work = {.max_groups = groups, .max_units = units};
	float *at = aligned_alloc(64, (main + embed + pool) * sizeof(*at));

	if (!at)
		return drpc_err(-ENOMEM, "net: %zu samples of %zu rows", groups, units);
	work.allocation = at;
	drpc_mlp_work_init(&work.main, &net->main, rows, take(&at, main));
	if (pooled(net)) {
		drpc_mlp_work_init(&work.embed, &net->embed, rows, take(&at, embed));
		work.mean = take(&at, groups * wide);
		work.max = take(&at, groups * wide);
		work.argmax = (int *)take(&at, groups * wide);
		work.dmean = take(&at, groups * wide);
		work.dmax = take(&at, groups * wide);
		work.add = take(&at, groups * first);
		work.dembed = take(&at, rows * wide);
	}
	*ret = work;
	return 0;
}

void drpc_net_work_done(struct drpc_net_work *work)
{
	free(work->allocation);
	*work = (struct drpc_net_work){0};
}

/* --- forward ------------------------------------------------------------------------------ */

/* The pool's share of the first layer, computed once a sample: add = mean Wmean + max Wmax. */
static void pool_forward(const struct drpc_net *net, const float *params, size_t heads,
			 size_t groups, size_t units, const float *x, size_t ldx,
			 struct drpc_net_work *work)
{
	const size_t e = net->spec.embed, h = net->spec.hidden[0];
	const size_t ld = net->spec.heads * e;
	const float *w = params + net->at_pool;

	drpc_mlp_forward(&net->embed, params, heads, groups * units, x, ldx, &work->embed);
	drpc_isa()->pool(groups, units, heads * e, drpc_mlp_output(&net->embed, &work->embed), ld,
			 work->mean, work->max, work->argmax, ld);
	for (size_t k = 0; k < heads; k++) {
		drpc_gemm_nn(groups, h, e, work->mean + k * e, ld, w + k * e * h, h, 0.0f,
			     work->add + k * h, heads * h);
		drpc_gemm_nn(groups, h, e, work->max + k * e, ld, w + pool_floats(net) + k * e * h,
			     h, 1.0f, work->add + k * h, heads * h);
	}
}

void drpc_net_forward(const struct drpc_net *net, const float *params, size_t heads, size_t groups,
		      size_t units, const float *x, size_t ldx, struct drpc_net_work *work)
{
	if (pooled(net))
		pool_forward(net, params, heads, groups, units, x, ldx, work);
	drpc_mlp_forward_add(&net->main, params + net->at_main, heads, groups * units, x, ldx,
			     pooled(net) ? work->add : NULL, units, &work->main);
}

/* --- backward ----------------------------------------------------------------------------- */

/* `first` [rows][heads H1]: the gradient before the main perceptron's first bias. */
static void pool_backward(const struct drpc_net *net, const float *params, size_t heads,
			  size_t groups, size_t units, const float *x, size_t ldx,
			  struct drpc_net_work *work, const float *first, float *grads, float *dx,
			  size_t dx_from, size_t dx_cols)
{
	const size_t e = net->spec.embed, h = net->spec.hidden[0];
	const size_t ld = net->spec.heads * e, half = pool_floats(net);
	float *dadd = work->add;

	drpc_isa()->group_sum(groups, units, heads * h, first, net->spec.heads * h, dadd);
	for (size_t k = 0; k < heads; k++) {
		const size_t w = net->at_pool + k * e * h;
		const float *d = dadd + k * h;

		if (grads) {
			drpc_gemm_tn(e, h, groups, work->mean + k * e, ld, d, heads * h, 0.0f,
				     grads + w, h);
			drpc_gemm_tn(e, h, groups, work->max + k * e, ld, d, heads * h, 0.0f,
				     grads + w + half, h);
		}
		drpc_gemm_nt(groups, e, h, d, heads * h, params + w, h, 0.0f, work->dmean + k * e,
			     ld);
		drpc_gemm_nt(groups, e, h, d, heads * h, params + w + half, h, 0.0f,
			     work->dmax + k * e, ld);
	}
	drpc_isa()->pool_back(groups, units, heads * e, work->dmean, work->dmax, work->argmax, ld,
			      work->dembed, ld);
	drpc_mlp_backward(&net->embed, params, heads, groups * units, x, ldx, &work->embed,
			  &(struct drpc_mlp_grad){.dout = work->dembed,
						  .grads = grads,
						  .dx = dx,
						  .lddx = dx_cols,
						  .dx_from = dx_from,
						  .dx_cols = dx_cols,
						  .dx_add = true});
}

void drpc_net_backward(const struct drpc_net *net, const float *params, size_t heads, size_t groups,
		       size_t units, const float *x, size_t ldx, struct drpc_net_work *work,
		       float *dout, float *grads, float *dx, size_t dx_from, size_t dx_cols)
{
	float *first = NULL;

	drpc_mlp_backward(&net->main, params + net->at_main, heads, groups * units, x, ldx,
			  &work->main,
			  &(struct drpc_mlp_grad){.dout = dout,
						  .grads = grads ? grads + net->at_main : NULL,
						  .dx = dx,
						  .lddx = dx_cols,
						  .dx_from = dx_from,
						  .dx_cols = dx_cols,
						  .ret_first = &first});
	if (pooled(net))
		pool_backward(net, params, heads, groups, units, x, ldx, work, first, grads, dx,
			      dx_from, dx_cols);
}
