// SPDX-License-Identifier: Apache-2.0
#include "teacher/predictor.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "nn/blas.h"
#include "nn/floats.h"
#include "nn/mlp.h"
#include "nn/optim.h"
#include "nn/rnn.h"

#define MIN_DEVIATION 1e-6

struct drpc_predictor {
	struct drpc_predictor_config config;
	struct drpc_rnn rnn;
	struct drpc_rnn_work rnn_work;
	struct drpc_mlp head;
	struct drpc_mlp_work head_work;
	struct drpc_adam adam;
	struct drpc_rng rng;
	bool scaled;
	float offset[DRPC_FORECAST_MAX_INPUTS], scale[DRPC_FORECAST_MAX_INPUTS];
	size_t n_params; /* the cell's, then the head's: the order of nn/forecast.h */
	float *params, *m, *v, *grads, *keep;
	float *x;     /* [window][batch][n_inputs] */
	float *y;     /* [batch][horizons] */
	float *dy;    /* [batch][horizons] */
	float *dlast; /* [batch][hidden] */
	float *allocation;
};

struct drpc_predictor_config drpc_predictor_defaults(size_t n_inputs)
{
	return (struct drpc_predictor_config){
		.cell = DRPC_RNN_GRU,
		.n_inputs = n_inputs,
		.hidden = 32,
		.window = 24,
		.horizons = 5,
		.step_s = 300,
		.batch = 64,
		.epochs = 20,
		.lr = 1e-3,
		.max_grad_norm = 1,
		.held_out = 0.2,
		.season = 288,
	};
}

static int check_config(const struct drpc_predictor_config *c)
{
	const struct drpc_adam adam = drpc_adam_make(c->lr, 0);

	if (c->n_inputs < 1 || c->n_inputs > DRPC_FORECAST_MAX_INPUTS || c->window < 1 ||
	    c->window > DRPC_FORECAST_MAX_WINDOW || c->horizons < 1 ||
	    c->horizons > DRPC_FORECAST_MAX_HORIZONS)
		return drpc_err(
			-EINVAL,
			"predictor: %zu inputs, window %zu, %zu horizons: expected 1..%d, 1..%d, 1..%d",
			c->n_inputs, c->window, c->horizons, DRPC_FORECAST_MAX_INPUTS,
			DRPC_FORECAST_MAX_WINDOW, DRPC_FORECAST_MAX_HORIZONS);
	if (c->batch < 1 || c->batch > 65536 || c->epochs < 1 || !(c->step_s > 0) ||
	    !(c->held_out >= 0 && c->held_out <= 0.9) || !(c->max_grad_norm >= 0))
		return drpc_err(
			-EINVAL,
			"predictor: batch %zu, %zu epochs, %g s a step, %g held out, gradient norm %g: expected 1..65536, 1 or more, above 0, 0..0.9, 0 or more",
			c->batch, c->epochs, c->step_s, c->held_out, c->max_grad_norm);
	return drpc_adam_check(&adam, "predictor");
}

static int predictor_allocate(struct drpc_predictor *p)
{
	const struct drpc_predictor_config *c = &p->config;
	const size_t n = p->n_params;
	const size_t sizes[] = {n,
				n,
				n,
				n,
				n,
				c->window * c->batch * c->n_inputs,
				c->batch * c->horizons,
				c->batch * c->horizons,
				c->batch * c->hidden};
	float **const parts[] = {&p->params, &p->m, &p->v,  &p->grads, &p->keep,
				 &p->x,	     &p->y, &p->dy, &p->dlast};

	if (drpc_floats_new(DRPC_ARRAY_SIZE(sizes), sizes, parts, &p->allocation) < 0)
		return drpc_err(-ENOMEM, "predictor: %zu parameters", n);
	return 0;
}

int drpc_predictor_new(const struct drpc_predictor_config *config, struct drpc_predictor **ret)
{
	const struct drpc_mlp_spec head = {.in = config->hidden,
					   .heads = 1,
					   .n_layers = 1,
					   .layers = {{config->horizons, false, DRPC_ACT_NONE}}};
	struct drpc_predictor *p;
	int err;

	err = check_config(config);
	if (err)
		return err;
	drpc_blas_init();
	p = calloc(1, sizeof(*p));
	if (!p)
		return drpc_err(-ENOMEM, "predictor");
	p->config = *config;
	p->adam = drpc_adam_make(config->lr, 0);
	p->rng = drpc_rng_make(config->seed, 0);
	err = drpc_rnn_init(&p->rnn, config->cell, config->n_inputs, config->hidden);
	if (!err)
		err = drpc_mlp_init(&p->head, &head);
	if (!err) {
		p->n_params = p->rnn.n_params + p->head.n_params;
		err = drpc_rnn_work_new(&p->rnn_work, &p->rnn, config->window, config->batch);
	}
	if (!err)
		err = drpc_mlp_work_new(&p->head_work, &p->head, config->batch);
	if (!err)
		err = predictor_allocate(p);
	if (err) {
		drpc_predictor_free(&p);
		return err;
	}
	drpc_rnn_randomize(&p->rnn, &p->rng, p->params);
	drpc_mlp_randomize(&p->head, &p->rng, p->params + p->rnn.n_params);
	*ret = p;
	return 0;
}

void drpc_predictor_free(struct drpc_predictor **predictor)
{
	struct drpc_predictor *p = *predictor;

	if (!p)
		return;
	drpc_rnn_work_done(&p->rnn_work);
	drpc_mlp_work_done(&p->head_work);
	free(p->allocation);
	free(p);
	*predictor = NULL;
}

/* --- series and windows ------------------------------------------------------------------- */

static int check_series(const struct drpc_predictor *p, const float *series, size_t steps)
{
	const size_t n = p->config.n_inputs;

	for (size_t i = 0; i < steps * n; i++) {
		if (!isfinite(series[i]))
			return drpc_err(-EDOM, "predictor: column %zu of step %zu is %g", i % n,
					i / n, (double)series[i]);
	}
	return 0;
}

/* Steps that may be trained on; what follows is held out. */
static size_t training_steps(const struct drpc_predictor *p, size_t steps)
{
	return (size_t)((double)steps * (1.0 - p->config.held_out));
}

/* Windows of `steps` steps with all their horizons. */
static size_t count_windows(const struct drpc_predictor *p, size_t steps)
{
	const size_t need = p->config.window + p->config.horizons;

	return steps >= need ? steps - need + 1 : 0;
}

static void fix_scaling(struct drpc_predictor *p, const float *series, size_t steps)
{
	const size_t n = p->config.n_inputs;

	for (size_t i = 0; i < n; i++) {
		double mean = 0, var = 0;

		for (size_t t = 0; t < steps; t++)
			mean += (double)series[t * n + i] / (double)steps;
		for (size_t t = 0; t < steps; t++) {
			const double off = (double)series[t * n + i] - mean;

			var += off * off / (double)steps;
		}
		p->offset[i] = (float)mean;
		p->scale[i] = (float)(1.0 / fmax(sqrt(var), MIN_DEVIATION));
	}
	p->scaled = true;
}

/* Window `at` of a series as row r of the batch: x time-major and scaled, y relative to its last. */
static void load_window(struct drpc_predictor *p, const float *series, size_t at, size_t r,
			size_t rows)
{
	const size_t n = p->config.n_inputs, window = p->config.window;
	const size_t last = at + window - 1;

	for (size_t t = 0; t < window; t++) {
		for (size_t i = 0; i < n; i++)
			p->x[(t * rows + r) * n + i] =
				(series[(at + t) * n + i] - p->offset[i]) * p->scale[i];
	}
	for (size_t k = 0; k < p->config.horizons; k++)
		p->y[r * p->config.horizons + k] =
			(series[(last + 1 + k) * n] - series[last * n]) * p->scale[0];
}

/* --- training ----------------------------------------------------------------------------- */

double drpc_predictor_step(struct drpc_predictor *p, size_t rows, const float *x, const float *y)
{
	const size_t window = p->config.window;
	float *head = p->params + p->rnn.n_params;
	double loss, norm;
	float *last;

	drpc_rnn_forward(&p->rnn, p->params, window, rows, x, &p->rnn_work);
	last = drpc_rnn_output(&p->rnn, &p->rnn_work, rows, window - 1);
	drpc_mlp_forward(&p->head, head, 1, rows, last, p->config.hidden, &p->head_work);
	loss = drpc_mse(rows * p->config.horizons, drpc_mlp_output(&p->head, &p->head_work), y,
			p->dy);
	drpc_mlp_backward(&p->head, head, 1, rows, last, p->config.hidden, &p->head_work,
			  &(struct drpc_mlp_grad){.dout = p->dy,
						  .grads = p->grads + p->rnn.n_params,
						  .dx = p->dlast,
						  .lddx = p->config.hidden,
						  .dx_cols = p->config.hidden});
	drpc_rnn_backward(&p->rnn, p->params, window, rows, x, &p->rnn_work, p->dlast, NULL,
			  p->grads, NULL);
	norm = drpc_grad_norm(p->n_params, p->grads);
	if (!isfinite(norm))
		return NAN;
	drpc_adam_step(&p->adam, p->n_params, p->params, p->grads, p->m, p->v,
		       drpc_grad_scale(norm, p->config.max_grad_norm), NULL, 0.0);
	return loss;
}

/* One step on windows drawn from [from, from + n) of the series. */
static double random_step(struct drpc_predictor *p, const float *series, size_t from, size_t n)
{
	const size_t rows = DRPC_MIN(p->config.batch, n);

	for (size_t r = 0; r < rows; r++) {
		uint64_t at;

		drpc_rng_indices(&p->rng, n, 1, &at);
		load_window(p, series, from + at, r, rows);
	}
	return drpc_predictor_step(p, rows, p->x, p->y);
}

/* `steps` updates; puts the parameters back where one goes wrong. */
static int train_some(struct drpc_predictor *p, const float *series, size_t from, size_t n,
		      size_t steps, double *ret_loss)
{
	const size_t bytes = p->n_params * sizeof(float);
	double sum = 0;

	for (size_t i = 0; i < steps; i++) {
		const double loss = random_step(p, series, from, n);

		if (!isfinite(loss)) {
			memcpy(p->params, p->keep, bytes);
			memset(p->m, 0, bytes);
			memset(p->v, 0, bytes);
			p->adam.t = 0;
			return drpc_err(
				-EDOM,
				"predictor: training diverged in step %zu; the predictor is as it was before",
				i);
		}
		sum += loss;
	}
	*ret_loss = sum / (double)steps;
	return 0;
}

int drpc_predictor_train(struct drpc_predictor *p, const float *series, size_t steps,
			 double *ret_loss)
{
	const size_t train = training_steps(p, steps), windows = count_windows(p, train);
	double loss = 0;
	int err;

	err = check_series(p, series, steps);
	if (err)
		return err;
	if (windows == 0)
		return drpc_err(
			-ENODATA,
			"predictor: %zu steps to train on, a window and its horizons take %zu",
			train, p->config.window + p->config.horizons);
	if (!p->scaled)
		fix_scaling(p, series, train);
	memcpy(p->keep, p->params, p->n_params * sizeof(float));
	for (size_t i = 0; !err && i < p->config.epochs; i++)
		err = train_some(p, series, 0, windows,
				 (windows + p->config.batch - 1) / p->config.batch, &loss);
	if (!err)
		*ret_loss = loss;
	return err;
}

int drpc_predictor_update(struct drpc_predictor *p, const float *series, size_t steps,
			  size_t recent, size_t updates)
{
	const size_t windows = count_windows(p, steps), n = DRPC_MIN(recent, windows);
	const double lr = p->adam.lr;
	double loss;
	int err;

	err = check_series(p, series, steps);
	if (err)
		return err;
	if (n == 0 || !p->scaled)
		return drpc_err(-ENODATA, "predictor: %zu windows to learn from, %strained before",
				n, p->scaled ? "" : "not ");
	if (updates == 0)
		return 0;
	memcpy(p->keep, p->params, p->n_params * sizeof(float));
	p->adam.lr = lr / 10;
	err = train_some(p, series, windows - n, n, updates, &loss);
	p->adam.lr = lr;
	return err;
}

/* --- evaluation --------------------------------------------------------------------------- */

static double range_of(const struct drpc_predictor *p, const float *series, size_t steps)
{
	const size_t n = p->config.n_inputs;
	double low = INFINITY, high = -INFINITY;

	for (size_t t = 0; t < steps; t++) {
		low = fmin(low, (double)series[t * n]);
		high = fmax(high, (double)series[t * n]);
	}
	return high - low;
}

/* Adds the squared errors of a window that ends at step `last`. */
static void add_errors(const struct drpc_predictor *p, const float *series, size_t last,
		       const float *forecast, double share, struct drpc_predictor_errors *sum)
{
	const size_t n = p->config.n_inputs, season = p->config.season;

	for (size_t k = 0; k < p->config.horizons; k++) {
		const double truth = (double)series[(last + 1 + k) * n];
		const double model = (double)forecast[k] - truth;
		const double same = (double)series[last * n] - truth;

		sum->model[k] += model * model * share;
		sum->persistence[k] += same * same * share;
		if (season > 0 && last + 1 + k >= season) {
			const double ago = (double)series[(last + 1 + k - season) * n] - truth;

			sum->seasonal[k] += ago * ago * share;
		} else {
			sum->seasonal[k] = NAN;
		}
	}
}

int drpc_predictor_evaluate(const struct drpc_predictor *p, const float *series, size_t steps,
			    struct drpc_predictor_report *ret)
{
	const size_t n = p->config.n_inputs, window = p->config.window;
	const size_t train = training_steps(p, steps), windows = count_windows(p, steps);
	/* The first window whose horizons are all held out; it may look back on training steps. */
	const size_t first = train > window ? train - window : 0;
	struct drpc_predictor_report report = {0};
	struct drpc_forecast *forecast = NULL;
	int err;

	err = check_series(p, series, steps);
	if (err)
		return err;
	if (p->config.held_out == 0 || windows <= first)
		return drpc_err(-ENODATA, "predictor: no window of %zu steps is held out", steps);
	err = drpc_predictor_forecast(p, &forecast);
	if (err)
		return err;
	report.windows = windows - first;
	report.range = range_of(p, series, steps);
	for (size_t at = first; !err && at < windows; at++) {
		float ahead[DRPC_FORECAST_MAX_HORIZONS];

		err = drpc_forecast_run(forecast, series + at * n, ahead);
		if (!err)
			add_errors(p, series, at + window - 1, ahead, 1.0 / (double)report.windows,
				   &report.raw);
	}
	drpc_forecast_free(&forecast);
	if (err)
		return err;
	for (size_t k = 0; k < p->config.horizons; k++) {
		const double square = report.range * report.range;

		report.min_max.model[k] = report.raw.model[k] / square;
		report.min_max.persistence[k] = report.raw.persistence[k] / square;
		report.min_max.seasonal[k] = report.raw.seasonal[k] / square;
	}
	*ret = report;
	return 0;
}

/* --- export ------------------------------------------------------------------------------- */

static int fill_info(const struct drpc_predictor *p, struct drpc_forecast_info *ret)
{
	if (!p->scaled)
		return drpc_err(-ENODATA, "predictor: it has not been trained yet");
	*ret = (struct drpc_forecast_info){
		.cell = p->config.cell,
		.n_inputs = p->config.n_inputs,
		.hidden = p->config.hidden,
		.window = p->config.window,
		.horizons = p->config.horizons,
		.step_s = p->config.step_s,
	};
	memcpy(ret->offset, p->offset, sizeof(ret->offset));
	memcpy(ret->scale, p->scale, sizeof(ret->scale));
	drpc_strcpy(ret->program, sizeof(ret->program), "drpc " DRPC_VERSION);
	return 0;
}

int drpc_predictor_forecast(const struct drpc_predictor *p, struct drpc_forecast **ret)
{
	struct drpc_forecast_info info;
	int err = fill_info(p, &info);

	return err ? err : drpc_forecast_new(&info, p->params, ret);
}

int drpc_predictor_save(const struct drpc_predictor *p, const char *path, const char *data,
			uint64_t created_s)
{
	struct drpc_forecast_info info;
	int err = fill_info(p, &info);

	if (err)
		return err;
	drpc_strcpy(info.data, sizeof(info.data), data);
	info.created_s = created_s;
	return drpc_forecast_save(path, &info, p->params);
}
