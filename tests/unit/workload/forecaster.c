// SPDX-License-Identifier: Apache-2.0
#include "workload/forecaster.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "nn/rng.h"
#include "workload/ridge.h"

#define DAY   96
#define STEPS (7 * DAY)
#define NOISE 0.02
#define WAVE  0.25

TestSuite(forecaster, .init = cr_redirect_stderr, .timeout = 240);

/* A day's wave of 96 steps and white noise on it. */
static struct drpc_grid waves(uint64_t seed)
{
	struct drpc_rng rng = drpc_rng_make(seed, 0);
	struct drpc_grid grid = {.steps = STEPS, .columns = 1, .step_s = DRPC_GRID_DAY_S / DAY};
	float *noise = calloc(STEPS, sizeof(*noise));

	grid.values = calloc(STEPS, sizeof(*grid.values));
	grid.measured = calloc(STEPS, sizeof(*grid.measured));
	drpc_rng_normal(&rng, (float)NOISE, STEPS, noise);
	for (size_t i = 0; i < STEPS; i++) {
		grid.values[i] = 0.5f + (float)(WAVE * sin(2 * M_PI * (double)i / DAY)) + noise[i];
		grid.measured[i] = true;
	}
	free(noise);
	return grid;
}

static struct drpc_forecaster_config quick(enum drpc_rnn_cell cell)
{
	struct drpc_forecaster_config c = drpc_forecaster_defaults(cell);

	c.hidden = 12;
	c.folds = 3;
	c.fold_members = 1;
	c.members = 2;
	c.epochs = 20;
	return c;
}

/*
 * Persistence errs by the noise twice and the wave's step: 2 σ² + 2 A² sin²(π h / day) on average over
 * a day. Whoever knows the wave errs by σ² alone; half as much again is left for learning it.
 */
Test(forecaster, knows_a_season_by_the_margin_of_theory)
{
	for (int cell = DRPC_RNN_GRU; cell <= DRPC_RNN_LSTM; cell++) {
		const struct drpc_forecaster_config c = quick((enum drpc_rnn_cell)cell);
		struct drpc_grid grid = waves(3);
		struct drpc_forecaster_report r;

		cr_assert_eq(drpc_forecaster_judge(&grid, &c, &r), 0);
		for (size_t h = 0; h < DRPC_FORECASTER_HORIZONS; h++) {
			const double step = sin(M_PI * (double)(h + 1) / DAY);
			const double theory = 2 * NOISE * NOISE + 2 * WAVE * WAVE * step * step;

			cr_expect_float_eq(r.errors.persistence[h], theory, 0.35 * theory,
					   "horizon %zu: %g, %g", h + 1, r.errors.persistence[h],
					   theory);
			cr_expect_lt(r.errors.model[h], 1.5 * NOISE * NOISE,
				     "horizon %zu: %g, noise %g", h + 1, r.errors.model[h],
				     NOISE * NOISE);
			cr_expect_gt(r.errors.model[h], 0.6 * NOISE * NOISE, "better than can be");
			/* Yesterday's noise and today's. */
			cr_expect_float_eq(r.errors.seasonal[h], 2 * NOISE * NOISE,
					   0.35 * 2 * NOISE * NOISE);
		}
		drpc_grid_done(&grid);
	}
}

/* Other values in the last fifth: the same choices, penalties and folds. */
Test(forecaster, chooses_nothing_on_what_is_held_out)
{
	struct drpc_forecaster_config c = quick(DRPC_RNN_GRU);
	struct drpc_forecaster_report r[2];

	c.epochs = 10;
	for (int k = 0; k < 2; k++) {
		struct drpc_grid grid = waves(5);

		for (size_t i = (size_t)(0.8 * STEPS); k && i < STEPS; i++)
			grid.values[i] *= 1.0f + 0.5f * (float)(i % 3);
		cr_assert_eq(drpc_forecaster_judge(&grid, &c, &r[k]), 0);
		drpc_grid_done(&grid);
	}
	cr_expect_eq(r[0].linear_penalty, r[1].linear_penalty);
	cr_expect_eq(r[0].network_share, r[1].network_share);
	cr_expect_eq(r[0].epochs, r[1].epochs);
	cr_expect_eq(r[0].fold_model, r[1].fold_model);
	for (size_t h = 0; h < DRPC_FORECASTER_HORIZONS; h++)
		cr_expect_eq(r[0].ridge_penalty[h], r[1].ridge_penalty[h]);
	cr_expect_neq(r[0].errors.model[0], r[1].errors.model[0]);
}

Test(forecaster, same_seed_same_bits)
{
	struct drpc_forecaster_config c = quick(DRPC_RNN_LSTM);
	struct drpc_forecaster_report r[2];

	c.epochs = 10;
	for (int k = 0; k < 2; k++) {
		struct drpc_grid grid = waves(5);

		cr_assert_eq(drpc_forecaster_judge(&grid, &c, &r[k]), 0);
		drpc_grid_done(&grid);
	}
	for (size_t h = 0; h < DRPC_FORECASTER_HORIZONS; h++)
		cr_expect_eq(r[0].errors.model[h], r[1].errors.model[h]);
}

Test(forecaster, series_that_say_too_little)
{
	struct drpc_forecaster_config c = quick(DRPC_RNN_GRU);
	struct drpc_forecaster_report r = {.held_out = 77};
	struct drpc_grid grid = waves(5);

	grid.steps = 100;
	cr_expect_eq(drpc_forecaster_judge(&grid, &c, &r), -ENODATA);
	grid.steps = STEPS;
	for (size_t i = 0; i < STEPS; i++)
		grid.values[i] = 0.5f;
	cr_expect_eq(drpc_forecaster_judge(&grid, &c, &r), -EDOM);
	c.folds = 1;
	cr_expect_eq(drpc_forecaster_judge(&grid, &c, &r), -EINVAL);
	cr_expect_eq(r.held_out, 77);
	drpc_grid_done(&grid);
}

/* An autoregression of first order: the coefficient of the level and the gain are known. */
Test(ridge, finds_an_autoregression)
{
	struct drpc_rng rng = drpc_rng_make(1, 0);
	struct drpc_grid grid = {.steps = 20000, .columns = 1, .step_s = 300};
	const struct drpc_ridge_spec spec = {.lags = 4, .horizons = 3, .harmonics = 0, .others = 1};
	const double lambdas[3] = {1e-9, 1e-9, 1e-9}, strong[3] = {1e9, 1e9, 1e9};
	float *noise = calloc(grid.steps, sizeof(*noise));
	struct drpc_ridge_system *system = NULL;
	struct drpc_ridge ridge;
	size_t *anchors;
	ssize_t n;
	double told[3];

	grid.values = calloc(grid.steps, sizeof(*grid.values));
	grid.measured = calloc(grid.steps, sizeof(*grid.measured));
	drpc_rng_normal(&rng, 0.1f, grid.steps, noise);
	for (size_t i = 0; i < grid.steps; i++) {
		grid.values[i] = (i ? 0.8f * grid.values[i - 1] : 0) + noise[i];
		grid.measured[i] = true;
	}
	n = drpc_grid_anchors(&grid, 4, 3, 0, grid.steps, &anchors);
	cr_assert_gt(n, 19000);
	cr_assert_eq(drpc_ridge_prepare(&spec, &grid, anchors, (size_t)n, &system), 0);
	cr_assert_eq(drpc_ridge_solve(system, lambdas, &ridge), 0);
	grid.values[1000] = grid.values[999] = grid.values[998] = grid.values[997] = 1;
	drpc_ridge_run(&ridge, &grid, 1000, told);
	for (int h = 0; h < 3; h++)
		cr_expect_float_eq(told[h], pow(0.8, h + 1) - 1, 0.03, "%d: %g", h + 1, told[h]);
	drpc_ridge_done(&ridge);
	/* All penalty is the mean change, nearly nothing. */
	cr_assert_eq(drpc_ridge_solve(system, strong, &ridge), 0);
	drpc_ridge_run(&ridge, &grid, 1000, told);
	cr_expect_float_eq(told[0], 0, 1e-3);
	drpc_ridge_done(&ridge);
	drpc_ridge_system_free(&system);
	cr_expect_null(system);
	free(anchors);
	free(noise);
	drpc_grid_done(&grid);
}
