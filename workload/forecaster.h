/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forecasts of a grid's column 0, trained and judged: recurrent networks (forecast_net.h) of several
 * seeds beside a linear path (ridge.h), against persistence, the day before, and ridge autoregression.
 *
 * The last fifth of the series is held out and takes part in nothing but the judging. How strong the
 * linear path's penalty is, how long the networks train and what they count is chosen on folds inside
 * of what comes before: each trained on what is before it. Of settings that are about as good there as
 * the best one (within one standard error over the folds) the most cautious is taken: more penalty,
 * less network. Then everything is fitted anew on all that comes before the last fifth.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "nn/rnn_infer.h"
#include "workload/grid.h"

#define DRPC_FORECASTER_HORIZONS 5
#define DRPC_FORECASTER_LAGS	 36

struct drpc_forecaster_config {
	enum drpc_rnn_cell cell;
	size_t hidden;
	unsigned int harmonics; /* of the day */
	size_t folds;
	size_t fold_members; /* networks a fold */
	size_t members;	     /* networks in the end */
	size_t epochs;	     /* the most */
	uint64_t seed;
	/* Called now and then with the share done, 0..1; NULL for none. */
	void (*on_progress)(void *arg, double share);
	void *arg;
};

struct drpc_forecaster_config drpc_forecaster_defaults(enum drpc_rnn_cell cell);

/* Mean squared errors, a horizon each. */
struct drpc_forecaster_errors {
	double model[DRPC_FORECASTER_HORIZONS];
	double linear[DRPC_FORECASTER_HORIZONS];  /* the linear path alone */
	double network[DRPC_FORECASTER_HORIZONS]; /* the networks alone */
	double ridge[DRPC_FORECASTER_HORIZONS];
	double persistence[DRPC_FORECASTER_HORIZONS];
	double seasonal[DRPC_FORECASTER_HORIZONS]; /* NAN where no day before was measured */
};

struct drpc_forecaster_report {
	size_t trained; /* windows */
	size_t held_out;
	double range; /* largest - smallest measured value of column 0 */
	struct drpc_forecaster_errors errors;
	/* What was chosen. */
	double ridge_penalty[DRPC_FORECASTER_HORIZONS];
	double linear_penalty;
	double network_share;
	size_t epochs;
	double fold_model;  /* mean over folds and horizons, as a share of persistence */
	double fold_linear; /* the same of the linear path alone */
};

/*
 * -ENODATA (logged) where a fold or the held-out part has no window, -EINVAL for settings out of
 * bounds, -EDOM where training diverged or the series never changes, -ENOMEM.
 */
int drpc_forecaster_judge(const struct drpc_grid *grid, const struct drpc_forecaster_config *config,
			  struct drpc_forecaster_report *ret);
