// SPDX-License-Identifier: Apache-2.0
#include "nn/mlp.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "nn/blas.h"

/* Vectors in an allocation begin on cache lines. */
static size_t align16(size_t floats)
{
	return (floats + 15) / 16 * 16;
}

int drpc_mlp_init(struct drpc_mlp *ret, const struct drpc_mlp_spec *spec)
{
	struct drpc_mlp net = {.spec = *spec};
	size_t in = spec->in;

	if (spec->heads < 1 || spec->heads > 2 || spec->n_layers < 1 ||
	    spec->n_layers > DRPC_MLP_MAX_LAYERS || in < 1 || in > DRPC_MLP_MAX_WIDTH)
		return drpc_err(
			-EINVAL,
			"mlp: %zu inputs, %zu heads, %zu layers: expected 1..%d, 1..2, 1..%d", in,
			spec->heads, spec->n_layers, DRPC_MLP_MAX_WIDTH, DRPC_MLP_MAX_LAYERS);
	for (size_t l = 0; l < spec->n_layers; l++) {
		struct drpc_mlp_view *view = &net.views[l];
		const size_t out = spec->layers[l].out;

		if (out < 1 || out > DRPC_MLP_MAX_WIDTH)
			return drpc_err(-EINVAL, "mlp: layer %zu has %zu outputs, expected 1..%d",
					l, out, DRPC_MLP_MAX_WIDTH);
		view->in = in;
		view->out = out;
		view->w = net.n_params;
		view->b = view->w + spec->heads * in * out;
		view->gamma = view->b + spec->heads * out;
		view->beta = view->gamma + (spec->layers[l].norm ? spec->heads * out : 0);
		net.n_params = view->beta + (spec->layers[l].norm ? spec->heads * out : 0);
		in = out;
	}
	*ret = net;
	return 0;
}

void drpc_mlp_randomize(const struct drpc_mlp *net, struct drpc_rng *rng, float *params)
{
	for (size_t l = 0; l < net->spec.n_layers; l++) {
		const struct drpc_mlp_view *view = &net->views[l];
		const float bound = 1.0f / sqrtf((float)view->in);
		const size_t wide = net->spec.heads * view->out;

		drpc_rng_symmetric(rng, bound, view->in * wide, params + view->w);
		drpc_rng_symmetric(rng, bound, wide, params + view->b);
		for (size_t i = 0; net->spec.layers[l].norm && i < wide; i++) {
			params[view->gamma + i] = 1.0f;
			params[view->beta + i] = 0.0f;
		}
	}
}

/* --- work areas --------------------------------------------------------------------------- */

static size_t mlp_widest(const struct drpc_mlp *net)
{
	size_t widest = 0;

	for (size_t l = 0; l < net->spec.n_layers; l++)
		widest = DRPC_MAX(widest, net->views[l].out);
	return widest * net->spec.heads;
}

size_t drpc_mlp_work_floats(const struct drpc_mlp *net, size_t max_rows)
{
	const size_t heads = net->spec.heads;
	size_t floats = 2 * align16(max_rows * mlp_widest(net));

	for (size_t l = 0; l < net->spec.n_layers; l++) {
		floats += align16(max_rows * heads * net->views[l].out);
		if (net->spec.layers[l].norm)
			floats += align16(max_rows * heads * net->views[l].out) +
				  align16(max_rows * heads);
	}
	return floats;
}

void drpc_mlp_work_init(struct drpc_mlp_work *ret, const struct drpc_mlp *net, size_t max_rows,
			float *memory)
{
	const size_t heads = net->spec.heads;
	struct drpc_mlp_work work = {.max_rows = max_rows};

	for (size_t l = 0; l < net->spec.n_layers; l++) {
		const size_t wide = align16(max_rows * heads * net->views[l].out);

		work.y[l] = memory;
		memory += wide;
		if (net->spec.layers[l].norm) {
			work.xhat[l] = memory;
			memory += wide;
			work.inv[l] = memory;
			memory += align16(max_rows * heads);
		}
	}
	work.dy[0] = memory;
	work.dy[1] = memory + align16(max_rows * mlp_widest(net));
	*ret = work;
}

int drpc_mlp_work_new(struct drpc_mlp_work *ret, const struct drpc_mlp *net, size_t max_rows)
{
	const size_t bytes = drpc_mlp_work_floats(net, max_rows) * sizeof(float);
	float *memory = aligned_alloc(64, DRPC_MAX(bytes, (size_t)64));

	if (!memory)
		return drpc_err(-ENOMEM, "mlp: %zu bytes for %zu rows", bytes, max_rows);
	drpc_mlp_work_init(ret, net, max_rows, memory);
	ret->allocation = memory;
	return 0;
}

void drpc_mlp_work_done(struct drpc_mlp_work *work)
{
	free(work->allocation);
	*work = (struct drpc_mlp_work){0};
}

/* --- forward ------------------------------------------------------------------------------ */

/* Bias, LayerNorm and activation of `rows` rows from `from` on, just written by a product. */
static void layer_finish(const struct drpc_mlp *net, const float *params, size_t l, size_t head,
			 size_t heads_at_once, size_t from, size_t rows, struct drpc_mlp_work *work)
{
	const struct drpc_mlp_view *view = &net->views[l];
	const struct drpc_mlp_layer *layer = &net->spec.layers[l];
	const size_t ld = net->spec.heads * view->out;

	if (!layer->norm) {
		drpc_isa()->bias_act(layer->act, rows, heads_at_once * view->out,
				     work->y[l] + from * ld + head * view->out, ld,
				     params + view->b + head * view->out);
		return;
	}
	for (size_t k = head; k < head + heads_at_once; k++) {
		const size_t at = from * ld + k * view->out;

		drpc_isa()->norm_act(layer->act, rows, view->out, work->y[l] + at, ld,
				     params + view->b + k * view->out,
				     params + view->gamma + k * view->out,
				     params + view->beta + k * view->out,
				     (work->forward_only ? work->y[l] : work->xhat[l]) + at,
				     work->inv[l] + k * work->max_rows + from);
	}
}

static void layer_first(const struct drpc_mlp *net, const float *params, size_t heads, size_t rows,
			const float *x, size_t ldx, const float *add, size_t units,
			struct drpc_mlp_work *work)
{
	const struct drpc_mlp_view *view = &net->views[0];
	const size_t wide = heads * view->out, ld = net->spec.heads * view->out;
	if (!add && !net->spec.layers[0].norm && net->spec.layers[0].act == DRPC_ACT_RELU) {
		drpc_gemm_bias_relu(rows, wide, view->in, x, ldx, params + view->w, ld,
				    params + view->b, work->y[0], ld);
		return;
	}
	/* A piece must not cut a group of units in two. */
	const size_t piece = add ? rows : drpc_gemm_rows(rows, wide, view->in);

	for (size_t r = 0; r < rows; r += piece) {
		const size_t n = DRPC_MIN(piece, rows - r);

		drpc_gemm_nn(n, wide, view->in, x + r * ldx, ldx, params + view->w, ld, 0.0f,
			     work->y[0] + r * ld, ld);
		if (add)
			drpc_isa()->group_add(rows / units, units, wide, work->y[0], ld, add);
		layer_finish(net, params, 0, 0, heads, r, n, work);
	}
}

static void layer_later(const struct drpc_mlp *net, const float *params, size_t l, size_t head,
			size_t rows, struct drpc_mlp_work *work)
{
	const struct drpc_mlp_view *view = &net->views[l];
	const size_t ldx = net->spec.heads * view->in, ld = net->spec.heads * view->out;
	const size_t piece = drpc_gemm_rows(rows, view->out, view->in);

	if (!net->spec.layers[l].norm && net->spec.layers[l].act == DRPC_ACT_RELU) {
		drpc_gemm_bias_relu(rows, view->out, view->in, work->y[l - 1] + head * view->in,
				    ldx, params + view->w + head * view->in * view->out, view->out,
				    params + view->b + head * view->out,
				    work->y[l] + head * view->out, ld);
		return;
	}
	for (size_t r = 0; r < rows; r += piece) {
		const size_t n = DRPC_MIN(piece, rows - r);

		drpc_gemm_nn(n, view->out, view->in, work->y[l - 1] + r * ldx + head * view->in,
			     ldx, params + view->w + head * view->in * view->out, view->out, 0.0f,
			     work->y[l] + r * ld + head * view->out, ld);
		layer_finish(net, params, l, head, 1, r, n, work);
	}
}

void drpc_mlp_forward_add(const struct drpc_mlp *net, const float *params, size_t heads,
			  size_t rows, const float *x, size_t ldx, const float *add, size_t units,
			  struct drpc_mlp_work *work)
{
	layer_first(net, params, heads, rows, x, ldx, add, units, work);
	for (size_t head = 0; head < heads; head++) {
		for (size_t l = 1; l < net->spec.n_layers; l++)
			layer_later(net, params, l, head, rows, work);
	}
}

void drpc_mlp_forward(const struct drpc_mlp *net, const float *params, size_t heads, size_t rows,
		      const float *x, size_t ldx, struct drpc_mlp_work *work)
{
	drpc_mlp_forward_add(net, params, heads, rows, x, ldx, NULL, 1, work);
}

/* --- backward ----------------------------------------------------------------------------- */

/* dy [rows][heads out] from after the activation to before the bias; parameters' gradients. */
static void layer_back(const struct drpc_mlp *net, const float *params, size_t l, size_t heads,
		       size_t rows, const struct drpc_mlp_work *work, float *dy, float *grads)
{
	const struct drpc_mlp_view *view = &net->views[l];
	const struct drpc_mlp_layer *layer = &net->spec.layers[l];
	const size_t ld = net->spec.heads * view->out;

	if (!layer->norm) {
		if (layer->act == DRPC_ACT_NONE && !grads)
			return;
		drpc_isa()->act_back(layer->act, rows, heads * view->out, work->y[l], ld, dy, ld,
				     grads ? grads + view->b : NULL);
		return;
	}
	for (size_t k = 0; k < heads; k++) {
		const size_t at = k * view->out;

		drpc_isa()->norm_back(layer->act, rows, view->out, work->y[l] + at,
				      work->xhat[l] + at, ld, work->inv[l] + k * work->max_rows,
				      params + view->gamma + at, dy + at, ld,
				      grads ? grads + view->b + at : NULL,
				      grads ? grads + view->gamma + at : NULL,
				      grads ? grads + view->beta + at : NULL);
	}
}

/* Whether the product that makes dy of layer l can take it through that layer's ReLU as well. */
static bool fused_back(const struct drpc_mlp *net, size_t l)
{
	return !net->spec.layers[l].norm && net->spec.layers[l].act == DRPC_ACT_RELU;
}

/*
 * Weights' gradients of layer l > 0, and dy of the layer below it: before that layer's bias where
 * the two are one (fused_back), else after its activation.
 */
static void layer_products(const struct drpc_mlp *net, const float *params, size_t l, size_t heads,
			   size_t rows, const struct drpc_mlp_work *work, const float *dy,
			   float *below, float *grads)
{
	const struct drpc_mlp_view *view = &net->views[l];
	const size_t ldx = net->spec.heads * view->in, ld = net->spec.heads * view->out;

	for (size_t k = 0; k < heads; k++) {
		const size_t w = view->w + k * view->in * view->out, col = k * view->in;
		const float *x = work->y[l - 1] + col;

		if (grads)
			drpc_gemm_tn(view->in, view->out, rows, x, ldx, dy + k * view->out, ld,
				     0.0f, grads + w, view->out);
		if (fused_back(net, l - 1))
			drpc_gemm_back_relu(rows, view->in, view->out, dy + k * view->out, ld,
					    params + w, view->out, x, ldx, below + col, ldx,
					    grads ? grads + net->views[l - 1].b + col : NULL);
		else
			drpc_gemm_nt(rows, view->in, view->out, dy + k * view->out, ld, params + w,
				     view->out, 0.0f, below + col, ldx);
	}
}

void drpc_mlp_backward(const struct drpc_mlp *net, const float *params, size_t heads, size_t rows,
		       const float *x, size_t ldx, struct drpc_mlp_work *work,
		       const struct drpc_mlp_grad *grad)
{
	const struct drpc_mlp_view *first = &net->views[0];
	const size_t wide = heads * first->out, ld = net->spec.heads * first->out;
	float *dy = grad->dout;

	for (size_t l = net->spec.n_layers - 1; l > 0; l--) {
		float *below = work->dy[l % 2];

		if (l == net->spec.n_layers - 1 || !fused_back(net, l))
			layer_back(net, params, l, heads, rows, work, dy, grad->grads);
		layer_products(net, params, l, heads, rows, work, dy, below, grad->grads);
		dy = below;
	}
	if (net->spec.n_layers == 1 || !fused_back(net, 0))
		layer_back(net, params, 0, heads, rows, work, dy, grad->grads);
	if (grad->grads)
		drpc_gemm_tn(first->in, wide, rows, x, ldx, dy, ld, 0.0f, grad->grads + first->w,
			     ld);
	if (grad->dx)
		drpc_gemm_nt(rows, grad->dx_cols, wide, dy, ld,
			     params + first->w + grad->dx_from * ld, ld, grad->dx_add ? 1.0f : 0.0f,
			     grad->dx, grad->lddx);
	if (grad->ret_first)
		*grad->ret_first = dy;
}
