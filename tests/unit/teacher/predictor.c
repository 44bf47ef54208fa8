// SPDX-License-Identifier: Apache-2.0
#include "teacher/predictor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/nn/near.h"

#define STEPS 1200
#define DAY   60

/* A day's wave with noise, and a second column that runs ahead of it by two steps. */
static float *waves(uint64_t seed)
{
	float *noise = fresh(STEPS * 2, seed), *series = calloc(STEPS * 2, sizeof(*series));

	for (int t = 0; t < STEPS; t++) {
		series[2 * t] =
			0.5f + 0.3f * sinf(2 * (float)M_PI * (float)t / DAY) + 0.02f * noise[2 * t];
		series[2 * t + 1] = 10 + 3 * sinf(2 * (float)M_PI * (float)(t + 2) / DAY);
	}
	free(noise);
	return series;
}

static struct drpc_predictor_config config(enum drpc_rnn_cell cell)
{
	struct drpc_predictor_config c = drpc_predictor_defaults(2);

	c.cell = cell;
	c.hidden = 12;
	c.window = 12;
	c.epochs = 12;
	c.lr = 5e-3;
	c.season = DAY;
	return c;
}

Test(predictor, both_cells_beat_persistence_where_there_is_something_to_know)
{
	for (int cell = DRPC_RNN_GRU; cell <= DRPC_RNN_LSTM; cell++) {
		const struct drpc_predictor_config c = config((enum drpc_rnn_cell)cell);
		struct drpc_predictor_report report;
		struct drpc_predictor *p = NULL;
		float *series = waves(1);
		double loss;

		cr_assert_eq(drpc_predictor_new(&c, &p), 0);
		cr_assert_eq(drpc_predictor_evaluate(p, series, STEPS, &report), -ENODATA);
		cr_assert_eq(drpc_predictor_train(p, series, STEPS, &loss), 0);
		cr_assert_eq(drpc_predictor_evaluate(p, series, STEPS, &report), 0);
		cr_assert_eq(report.windows, 240 - 5 + 1);
		for (size_t k = 1; k < 5; k++)
			cr_assert_lt(report.raw.model[k], 0.5 * report.raw.persistence[k],
				     "horizon %zu: %g, persistence %g", k + 1, report.raw.model[k],
				     report.raw.persistence[k]);
		drpc_predictor_free(&p);
		free(series);
	}
}

/* What is reported of persistence and season, against the definition; both scales. */
Test(predictor, baselines_are_what_they_say)
{
	struct drpc_predictor_config c = config(DRPC_RNN_GRU);
	double persistence = 0, seasonal = 0, loss, low = 9, high = -9;
	struct drpc_predictor_report report;
	struct drpc_predictor *p = NULL;
	float *series = waves(2);
	const int first = 960; /* the first held-out step */

	c.epochs = 1;
	cr_assert_eq(drpc_predictor_new(&c, &p), 0);
	cr_assert_eq(drpc_predictor_train(p, series, STEPS, &loss), 0);
	cr_assert_eq(drpc_predictor_evaluate(p, series, STEPS, &report), 0);
	for (int t = first; t < STEPS - 4; t++) {
		const double truth = (double)series[2 * (t + 2)];

		/* Horizon 3 of the window that ends before t. */
		persistence += pow((double)series[2 * (t - 1)] - truth, 2) / 236;
		seasonal += pow((double)series[2 * (t + 2 - DAY)] - truth, 2) / 236;
	}
	for (int t = 0; t < STEPS; t++) {
		low = fmin(low, (double)series[2 * t]);
		high = fmax(high, (double)series[2 * t]);
	}
	cr_assert_float_eq(report.raw.persistence[2], persistence, 1e-9);
	cr_assert_float_eq(report.raw.seasonal[2], seasonal, 1e-9);
	cr_assert_float_eq(report.range, high - low, 1e-9);
	cr_assert_float_eq(report.min_max.persistence[2], persistence / pow(high - low, 2), 1e-9);
	drpc_predictor_free(&p);
	free(series);
}

/* The held-out part must not leak into training: other values there, same predictor. */
Test(predictor, never_trains_on_what_is_held_out)
{
	const struct drpc_predictor_config c = config(DRPC_RNN_GRU);
	double loss[2];

	for (int k = 0; k < 2; k++) {
		struct drpc_predictor *p = NULL;
		float *series = waves(3);

		for (int t = 960; k && t < STEPS; t++)
			series[2 * t] = 5;
		cr_assert_eq(drpc_predictor_new(&c, &p), 0);
		cr_assert_eq(drpc_predictor_train(p, series, STEPS, &loss[k]), 0);
		drpc_predictor_free(&p);
		free(series);
	}
	cr_assert_eq(loss[0], loss[1]);
}

Test(predictor, follows_a_change_online)
{
	const struct drpc_predictor_config c = config(DRPC_RNN_GRU);
	struct drpc_predictor_report before, after;
	struct drpc_predictor *p = NULL;
	float *series = waves(4);
	double loss;

	cr_assert_eq(drpc_predictor_new(&c, &p), 0);
	cr_assert_eq(drpc_predictor_update(p, series, STEPS, 100, 10), -ENODATA, "untrained");
	cr_assert_eq(drpc_predictor_train(p, series, STEPS, &loss), 0);
	/* The wave becomes twice as fast. */
	for (int t = 0; t < STEPS; t++) {
		series[2 * t] = 0.5f + 0.3f * sinf(4 * (float)M_PI * (float)t / DAY);
		series[2 * t + 1] = 10 + 3 * sinf(4 * (float)M_PI * (float)(t + 2) / DAY);
	}
	cr_assert_eq(drpc_predictor_evaluate(p, series, STEPS, &before), 0);
	cr_assert_eq(drpc_predictor_update(p, series, STEPS, 200, 200), 0);
	cr_assert_eq(drpc_predictor_evaluate(p, series, STEPS, &after), 0);
	cr_assert_lt(after.raw.model[4], 0.7 * before.raw.model[4]);
	drpc_predictor_free(&p);
	free(series);
}

Test(predictor, the_file_forecasts_as_the_trained_one)
{
	for (int cell = DRPC_RNN_GRU; cell <= DRPC_RNN_LSTM; cell++) {
		const struct drpc_predictor_config c = config((enum drpc_rnn_cell)cell);
		char path[] = "/tmp/drpc-predictor-XXXXXX";
		struct drpc_forecast *direct = NULL, *loaded = NULL;
		struct drpc_predictor *p = NULL;
		float *series = waves(5), a[5], b[5];
		double loss;

		close(mkstemp(path));
		cr_assert_eq(drpc_predictor_new(&c, &p), 0);
		cr_assert_eq(drpc_predictor_save(p, path, "waves", 7), -ENODATA);
		cr_assert_eq(drpc_predictor_train(p, series, 300, &loss), 0);
		cr_assert_eq(drpc_predictor_save(p, path, "waves", 7), 0);
		cr_assert_eq(drpc_predictor_forecast(p, &direct), 0);
		cr_assert_eq(drpc_forecast_load(path, &loaded), 0);
		cr_assert_eq(drpc_forecast_info(loaded)->cell, c.cell);
		cr_assert_eq(drpc_forecast_info(loaded)->step_s, 300.0);
		cr_assert_str_eq(drpc_forecast_info(loaded)->data, "waves");
		cr_assert_eq(drpc_forecast_run(direct, series + 100, a), 0);
		cr_assert_eq(drpc_forecast_run(loaded, series + 100, b), 0);
		cr_assert_arr_eq(a, b, sizeof(a));
		series[110] = NAN;
		b[0] = 7;
		cr_assert_eq(drpc_forecast_run(loaded, series + 100, b), -EDOM);
		cr_assert_eq(b[0], 7);
		cr_assert_eq(truncate(path, 700), 0);
		drpc_forecast_free(&loaded);
		cr_assert_eq(drpc_forecast_load(path, &loaded), -ENODATA);
		drpc_forecast_free(&direct);
		drpc_predictor_free(&p);
		free(series);
		unlink(path);
	}
}

Test(predictor, bad_series_and_settings_are_refused)
{
	struct drpc_predictor_config c = config(DRPC_RNN_GRU);
	struct drpc_predictor *p = NULL;
	float *series = waves(6);
	double loss = 7;

	c.lr = 10;
	cr_assert_eq(drpc_predictor_new(&c, &p), -EINVAL);
	c = config(DRPC_RNN_GRU);
	c.horizons = 0;
	cr_assert_eq(drpc_predictor_new(&c, &p), -EINVAL);
	c = config(DRPC_RNN_GRU);
	c.hidden = 5000;
	cr_assert_eq(drpc_predictor_new(&c, &p), -EINVAL);
	cr_assert_null(p);
	c = config(DRPC_RNN_GRU);
	cr_assert_eq(drpc_predictor_new(&c, &p), 0);
	cr_assert_eq(drpc_predictor_train(p, series, 20, &loss), -ENODATA);
	series[1000] = INFINITY;
	cr_assert_eq(drpc_predictor_train(p, series, STEPS, &loss), -EDOM);
	cr_assert_eq(loss, 7);
	drpc_predictor_free(&p);
	free(series);
}
