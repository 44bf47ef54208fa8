/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Predictors for inference: a GRU or LSTM over a window of a multivariate series, and a linear head
 * that gives one number a horizon. What is forecast is column 0; the network says how far it will
 * be from its last value, so that a network of zeros is persistence ("next = now").
 *
 * Stored as a model file (model_file.h) of kind "predictor"; its header carries the scaling. No BLAS;
 * running one allocates nothing and is safe from any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "nn/rnn_infer.h"

#define DRPC_FORECAST_MAX_INPUTS   16
#define DRPC_FORECAST_MAX_HORIZONS 16
#define DRPC_FORECAST_MAX_WINDOW   1024
#define DRPC_FORECAST_TEXT_BYTES   160

struct drpc_forecast_info {
	enum drpc_rnn_cell cell;
	size_t n_inputs;
	size_t hidden;
	size_t window;	 /* steps looked back on */
	size_t horizons; /* steps ahead: 1..horizons */
	double step_s;	 /* seconds a step */
	/* A column x is seen as (x - offset) * scale. */
	float offset[DRPC_FORECAST_MAX_INPUTS];
	float scale[DRPC_FORECAST_MAX_INPUTS];
	char data[DRPC_FORECAST_TEXT_BYTES];	/* what it was trained on */
	char program[DRPC_FORECAST_TEXT_BYTES]; /* which program, and its version */
	uint64_t created_s;
};

struct drpc_forecast;

/* Parameters: those of the cell (rnn.h), then the head's W [hidden][horizons] and b [horizons]. */
size_t drpc_forecast_params(const struct drpc_forecast_info *info);

/* -EINVAL for shapes or scales that make no predictor, -ERANGE for weights that are not finite. */
int drpc_forecast_new(const struct drpc_forecast_info *info, const float *params,
		      struct drpc_forecast **ret);
void drpc_forecast_free(struct drpc_forecast **forecast);

/* What drpc_model_file_load() returns, and what drpc_forecast_new() does. Logged. */
int drpc_forecast_load(const char *path, struct drpc_forecast **ret);
int drpc_forecast_save(const char *path, const struct drpc_forecast_info *info,
		       const float *params);

const struct drpc_forecast_info *drpc_forecast_info(const struct drpc_forecast *forecast);

/*
 * series [window][n_inputs], oldest first; ret [horizons] in column 0's own unit. -EDOM (logged,
 * nothing written) where a number is not finite.
 */
int drpc_forecast_run(const struct drpc_forecast *forecast, const float *series, float *ret);
