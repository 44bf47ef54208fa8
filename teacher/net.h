/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Actors and critics, in the teacher's two forms.
 *
 * joint   one perceptron over the flat vector of all deployments.
 * pooled  one perceptron for every deployment, over [own input ‖ mean ‖ max], where mean and max are
 *         taken over the embeddings of all deployments of the sample: ReLU(LayerNorm?(x We + be)).
 *         Its parameters do not depend on how many deployments there are, nor its outputs on their
 *         order. A critic's value is the mean of its deployments' outputs.
 *
 * A batch of B samples is B * units rows (units is 1 for joint). Parameters in one vector:
 * [embedding | pool weights Wmean [heads][E][H1], Wmax [heads][E][H1] | main perceptron].
 */
#pragma once

#include <stddef.h>

#include "nn/mlp.h"
#include "nn/rng.h"

struct drpc_net_spec {
	size_t in;    /* numbers a row */
	size_t out;   /* numbers a row and head */
	size_t heads; /* 1 for actors, 2 for twin critics */
	size_t n_hidden;
	size_t hidden[DRPC_MLP_MAX_LAYERS - 1];
	bool norm; /* LayerNorm in the hidden layers and the embedding */
	enum drpc_act out_act;
	size_t embed; /* width of the embedding; 0 for joint */
};

struct drpc_net {
	struct drpc_net_spec spec;
	struct drpc_mlp main;
	struct drpc_mlp embed;
	size_t at_pool, at_main; /* offsets in the parameters; the embedding begins at 0 */
	size_t n_params;
};

struct drpc_net_work {
	size_t max_groups, max_units;
	struct drpc_mlp_work main;
	struct drpc_mlp_work embed;
	float *mean, *max; /* [groups][heads E] */
	int *argmax;
	float *add; /* [groups][heads H1] */
	float *dmean, *dmax;
	float *dembed; /* [rows][heads E] */
	float *allocation;
};

/* Returns 0, or -EINVAL (logged). */
int drpc_net_init(struct drpc_net *ret, const struct drpc_net_spec *spec);
void drpc_net_randomize(const struct drpc_net *net, struct drpc_rng *rng, float *params);

/* -ENOMEM (logged). Room for `groups` samples of `units` rows. */
int drpc_net_work_new(struct drpc_net_work *ret, const struct drpc_net *net, size_t groups,
		      size_t units);
void drpc_net_work_done(struct drpc_net_work *work);

/* x [groups units][in], rows ldx apart; the output is drpc_net_output(). */
void drpc_net_forward(const struct drpc_net *net, const float *params, size_t heads, size_t groups,
		      size_t units, const float *x, size_t ldx, struct drpc_net_work *work);

/* [groups units][heads out] of the last forward pass, rows drpc_net_output_ld() apart. */
static inline float *drpc_net_output(const struct drpc_net *net, const struct drpc_net_work *work)
{
	return drpc_mlp_output(&net->main, &work->main);
}

static inline size_t drpc_net_output_ld(const struct drpc_net *net)
{
	return drpc_mlp_output_ld(&net->main);
}

/*
 * As drpc_mlp_backward(): dout is overwritten, grads set (NULL for none), dx [rows][dx_cols] the
 * gradient of input columns from dx_from on (NULL for none), dense.
 */
void drpc_net_backward(const struct drpc_net *net, const float *params, size_t heads, size_t groups,
		       size_t units, const float *x, size_t ldx, struct drpc_net_work *work,
		       float *dout, float *grads, float *dx, size_t dx_from, size_t dx_cols);
