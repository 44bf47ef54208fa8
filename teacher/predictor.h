/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Training of predictors (nn/forecast.h): windows of a multivariate series, horizons of 1 to 5 steps
 * or more, GRU or LSTM, scaling fixed on the training part, updates online; always measured beside
 * persistence ("next = now") and seasonal-naive ("next = a season ago").
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "nn/forecast.h"

struct drpc_predictor_config {
	enum drpc_rnn_cell cell;
	size_t n_inputs;
	size_t hidden;
	size_t window;
	size_t horizons;
	double step_s;
	size_t batch;
	size_t epochs;
	double lr;
	double max_grad_norm;
	double held_out; /* last share of a series, never trained on; 0..0.9 */
	size_t season;	 /* steps of a season, for seasonal-naive; 0 for none */
	uint64_t seed;
};

/* GRU of 32, window 24, 5 horizons of 5 minutes, batch 64, Adam 1e-3, clipped at 1, last 20 % held out. */
struct drpc_predictor_config drpc_predictor_defaults(size_t n_inputs);

struct drpc_predictor;

/* -EINVAL, -ENOMEM; logged. */
int drpc_predictor_new(const struct drpc_predictor_config *config, struct drpc_predictor **ret);
void drpc_predictor_free(struct drpc_predictor **predictor);

/*
 * Trains on a series [steps][n_inputs], oldest first. -ENODATA where its training part holds no
 * window, -EDOM where it holds a number that is not finite (where is logged) or training diverged;
 * the predictor is then as it was before. Logged. ret_loss: the last epoch's mean squared error in
 * scaled units.
 */
int drpc_predictor_train(struct drpc_predictor *predictor, const float *series, size_t steps,
			 double *ret_loss);

/*
 * A few steps on the newest windows of a series, for a predictor at work: `updates` batches drawn
 * from its last `recent` windows, at a tenth of the learning rate. Errors as above.
 */
int drpc_predictor_update(struct drpc_predictor *predictor, const float *series, size_t steps,
			  size_t recent, size_t updates);

/* One step on x [window][rows][n_inputs], scaled, and y [rows][horizons]; for benchmarks. */
double drpc_predictor_step(struct drpc_predictor *predictor, size_t rows, const float *x,
			   const float *y);

struct drpc_predictor_errors {
	double model[DRPC_FORECAST_MAX_HORIZONS];
	double persistence[DRPC_FORECAST_MAX_HORIZONS];
	double seasonal
		[DRPC_FORECAST_MAX_HORIZONS]; /* NAN where there is no season to look back on */
};

/* Mean squared errors on the held-out part, in column 0's unit and with its range mapped to 0..1. */
struct drpc_predictor_report {
	size_t windows;
	double range; /* largest - smallest of column 0 over the whole series */
	struct drpc_predictor_errors raw;
	struct drpc_predictor_errors min_max;
};

/* -ENODATA where nothing is held out or the predictor is untrained; -EDOM as above. Logged. */
int drpc_predictor_evaluate(const struct drpc_predictor *predictor, const float *series,
			    size_t steps, struct drpc_predictor_report *ret);

/* The predictor for inference, and as a file. -ENODATA before the first training. Logged. */
int drpc_predictor_forecast(const struct drpc_predictor *predictor, struct drpc_forecast **ret);
int drpc_predictor_save(const struct drpc_predictor *predictor, const char *path, const char *data,
			uint64_t created_s);
