/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A recurrent network over windows of a grid (grid.h): GRU or LSTM and a linear head that says how
 * far column 0 will be from its last value in 1..horizons steps. It sees every column relative to its
 * last value, column 0 itself, and the time of day. Trained with AdamW; noise on the inputs keeps it
 * from learning the windows by heart.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "nn/rnn_infer.h"
#include "workload/grid.h"

#define DRPC_FORECAST_NET_MAX_HORIZONS 16

struct drpc_forecast_net_config {
	enum drpc_rnn_cell cell;
	size_t hidden;
	size_t window;
	size_t horizons;
	unsigned int harmonics; /* of the day */
	size_t batch;
	double lr;
	double decay;
	double noise; /* deviation of what is added to scaled inputs */
	double max_grad_norm;
};

struct drpc_forecast_net;

/* -EINVAL, -ENOMEM, -ENODATA without anchors to fix the scaling on; logged. */
int drpc_forecast_net_new(const struct drpc_forecast_net_config *config,
			  const struct drpc_grid *grid, const size_t *anchors, size_t n,
			  uint64_t seed, struct drpc_forecast_net **ret);
void drpc_forecast_net_free(struct drpc_forecast_net **net);

/*
 * One pass over the windows at these anchors in a new order, at `lr_factor` times the learning rate.
 * -EDOM (logged) where training diverges.
 */
int drpc_forecast_net_epoch(struct drpc_forecast_net *net, const struct drpc_grid *grid,
			    const size_t *anchors, size_t n, double lr_factor);

/* ret [n][horizons]: changes from the last value. */
void drpc_forecast_net_run(struct drpc_forecast_net *net, const struct drpc_grid *grid,
			   const size_t *anchors, size_t n, double *ret);
