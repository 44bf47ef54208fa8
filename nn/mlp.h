/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Perceptrons: dense layers with optional LayerNorm and an activation each, forward and backward.
 *
 * A network may have `heads`: independent copies that see the same input, as TD3's two critics do.
 * Their first layers are one matrix [in][heads H], so that they cost one product; from there on head
 * k works on columns k H .. (k+1) H of the activations.
 *
 * All parameters lie in one allocation, layer by layer: W, b, and gamma, beta where there is a
 * LayerNorm. W of layer 0 is [in][heads out]; of later layers [heads][in][out]; vectors are
 * [heads out]. Input-major, as OpenBLAS's kernel without packing wants it. Gradients, moments and
 * target networks are vectors of the same layout.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "nn/isa.h"
#include "nn/rng.h"

#define DRPC_MLP_MAX_LAYERS 6
#define DRPC_MLP_MAX_WIDTH  65536

struct drpc_mlp_layer {
	size_t out;
	bool norm;
	enum drpc_act act;
};

struct drpc_mlp_spec {
	size_t in;
	size_t heads; /* 1 or 2 */
	size_t n_layers;
	struct drpc_mlp_layer layers[DRPC_MLP_MAX_LAYERS];
};

/* Offsets of a layer's parts in the flat vector; gamma and beta only where it has a LayerNorm. */
struct drpc_mlp_view {
	size_t in, out;
	size_t w, b, gamma, beta;
};

struct drpc_mlp {
	struct drpc_mlp_spec spec;
	struct drpc_mlp_view views[DRPC_MLP_MAX_LAYERS];
	size_t n_params;
};

/* Activations of a forward pass of up to max_rows, which the backward pass reads. */
struct drpc_mlp_work {
	size_t max_rows;
	float *y[DRPC_MLP_MAX_LAYERS];	  /* [rows][heads out] */
	float *xhat[DRPC_MLP_MAX_LAYERS]; /* the same, where there is a LayerNorm */
	float *inv[DRPC_MLP_MAX_LAYERS];  /* [heads][max_rows] */
	float *dy[2];			  /* [rows][heads widest], in turns */
	bool forward_only; /* no backward pass will follow: xhat is not kept, and less memory moves */
	float *allocation;
};

/* Lays a network out. Returns 0, or -EINVAL (logged) for shapes that make no network. */
int drpc_mlp_init(struct drpc_mlp *ret, const struct drpc_mlp_spec *spec);

/*
 * PyTorch's defaults: W and b uniform in ±1/sqrt(in), gamma 1, beta 0. Each layer and head draws in
 * its own order from `rng`.
 */
void drpc_mlp_randomize(const struct drpc_mlp *net, struct drpc_rng *rng, float *params);

/* Floats that a work area of max_rows takes, for callers with an allocation of their own. */
size_t drpc_mlp_work_floats(const struct drpc_mlp *net, size_t max_rows);

/* A work area in memory of the caller's, 64-byte aligned. */
void drpc_mlp_work_init(struct drpc_mlp_work *ret, const struct drpc_mlp *net, size_t max_rows,
			float *memory);

/* A work area of its own. -ENOMEM (logged). */
int drpc_mlp_work_new(struct drpc_mlp_work *ret, const struct drpc_mlp *net, size_t max_rows);
void drpc_mlp_work_done(struct drpc_mlp_work *work);

/*
 * x [rows][in] with rows ldx apart. Output: drpc_mlp_output(), [rows][heads out]. With heads = 1 of
 * a network of two, head 0 alone is computed. x is not copied: it must stand until the backward
 * pass is done.
 */
void drpc_mlp_forward(const struct drpc_mlp *net, const float *params, size_t heads, size_t rows,
		      const float *x, size_t ldx, struct drpc_mlp_work *work);

/*
 * The same with an addition to the first layer before its bias: add [rows / units][heads out of
 * layer 0], each row of it to `units` rows of the product. For pooled networks; NULL for none.
 */
void drpc_mlp_forward_add(const struct drpc_mlp *net, const float *params, size_t heads,
			  size_t rows, const float *x, size_t ldx, const float *add, size_t units,
			  struct drpc_mlp_work *work);

static inline float *drpc_mlp_output(const struct drpc_mlp *net, const struct drpc_mlp_work *work)
{
	return work->y[net->spec.n_layers - 1];
}

static inline size_t drpc_mlp_output_ld(const struct drpc_mlp *net)
{
	return net->spec.heads * net->spec.layers[net->spec.n_layers - 1].out;
}

/*
 * Backward from dout [rows][heads out] (the gradient of the output after its activation;
 * overwritten). grads [n_params] is set, not added to; NULL where parameters' gradients are not
 * wanted. dx [rows][dx_cols], the gradient of input columns dx_from .. dx_from + dx_cols, rows lddx
 * apart; NULL for none. Rows and heads must be those of the forward pass.
 *
 * ret_first, where not NULL, is set to the gradient before the first layer's bias,
 * [rows][heads out of layer 0] with rows that far apart; it stands until the next pass.
 */
struct drpc_mlp_grad {
	float *dout;
	float *grads;
	float *dx;
	size_t lddx, dx_from, dx_cols;
	bool dx_add; /* add to dx instead of setting it */
	float **ret_first;
};

void drpc_mlp_backward(const struct drpc_mlp *net, const float *params, size_t heads, size_t rows,
		       const float *x, size_t ldx, struct drpc_mlp_work *work,
		       const struct drpc_mlp_grad *grad);
