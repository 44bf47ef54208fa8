// SPDX-License-Identifier: Apache-2.0
#include "workload/forecast_net.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "nn/blas.h"
#include "nn/mlp.h"
#include "nn/optim.h"
#include "nn/rnn.h"

#define MIN_DEVIATION 1e-6

struct drpc_forecast_net {
	struct drpc_forecast_net_config config;
	size_t columns;
	struct drpc_rnn rnn;
	struct drpc_rnn_work rnn_work;
	struct drpc_mlp head;
	struct drpc_mlp_work head_work;
	struct drpc_adam adam;
	struct drpc_rng order, noise;
	float mean, level_scale;	    /* of column 0 itself */
	float scale[DRPC_GRID_MAX_COLUMNS]; /* of columns relative to their last value */
	float change_scale[DRPC_FORECAST_NET_MAX_HORIZONS]; /* of what is to be told */
	size_t n_params;
	float *params, *m, *v, *grads;
	float *x;      /* [window][batch][in] */
	float *jitter; /* the same */
	float *y, *dy; /* [batch][horizons] */
	float *dlast;  /* [batch][hidden] */
	float *allocation;
	size_t *shuffled;
	size_t shuffled_capacity;
};

static int check_config(const struct drpc_forecast_net_config *c, size_t columns)
{
	const struct drpc_adam adam = drpc_adam_make(c->lr, c->decay);

	if (columns > DRPC_GRID_MAX_COLUMNS || c->window < 2 || c->window > 1024 ||
	    c->horizons < 1 || c->horizons > DRPC_FORECAST_NET_MAX_HORIZONS || c->batch < 1 ||
	    c->batch > 65536 || !(c->noise >= 0 && c->noise < 10) || c->harmonics > 8)
		return drpc_err(
			-EINVAL,
			"forecast: %zu columns, window %zu, %zu horizons, batch %zu, noise %g, %u harmonics: expected at most %d, 2..1024, 1..%d, 1..65536, 0..10, at most 8",
			columns, c->window, c->horizons, c->batch, c->noise, c->harmonics,
			DRPC_GRID_MAX_COLUMNS, DRPC_FORECAST_NET_MAX_HORIZONS);
	return drpc_adam_check(&adam, "forecast");
}

static size_t count_inputs(const struct drpc_forecast_net_config *config, size_t columns)
{
	return columns + 1 + 2 * (size_t)config->harmonics;
}

static int allocate(struct drpc_forecast_net *net)
{
	const struct drpc_forecast_net_config *c = &net->config;
	const size_t n = net->n_params, x = c->window * c->batch * net->rnn.in;
	const size_t out = c->batch * c->horizons;
	const size_t sizes[] = {n, n, n, n, x, x, out, out, c->batch * c->hidden};
	float **const parts[] = {&net->params, &net->m, &net->v,  &net->grads, &net->x,
				 &net->jitter, &net->y, &net->dy, &net->dlast};
	size_t floats = 0;
	float *at;

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(sizes); i++)
		floats += (sizes[i] + 15) / 16 * 16;
	at = aligned_alloc(64, floats * sizeof(*at));
	if (!at)
		return drpc_err(-ENOMEM, "forecast: %zu numbers", floats);
	memset(at, 0, floats * sizeof(*at));
	net->allocation = at;
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(sizes); i++) {
		*parts[i] = at;
		at += (sizes[i] + 15) / 16 * 16;
	}
	return 0;
}

/* Deviations over the training windows; a window's own last value is where a column's zero is. */
static void fix_scaling(struct drpc_forecast_net *net, const struct drpc_grid *grid,
			const size_t *anchors, size_t n)
{
	const size_t window = net->config.window;
	double mean = 0, level = 0;

	for (size_t r = 0; r < n; r++)
		mean += (double)drpc_grid_at(grid, anchors[r], 0) / (double)n;
	for (size_t r = 0; r < n; r++)
		level += pow((double)drpc_grid_at(grid, anchors[r], 0) - mean, 2) / (double)n;
	net->mean = (float)mean;
	net->level_scale = (float)(1 / fmax(sqrt(level), MIN_DEVIATION));
	for (size_t c = 0; c < net->columns; c++) {
		double sum = 0;

		for (size_t r = 0; r < n; r++) {
			const float last = drpc_grid_at(grid, anchors[r], c);

			for (size_t i = 1; i < window; i++)
				sum += pow((double)(drpc_grid_at(grid, anchors[r] - i, c) - last),
					   2);
		}
		net->scale[c] =
			(float)(1 / fmax(sqrt(sum / (double)(n * (window - 1))), MIN_DEVIATION));
	}
	for (size_t h = 0; h < net->config.horizons; h++) {
		double sum = 0;

		for (size_t r = 0; r < n; r++)
			sum += pow((double)(drpc_grid_at(grid, anchors[r] + h + 1, 0) -
					    drpc_grid_at(grid, anchors[r], 0)),
				   2);
		net->change_scale[h] = (float)(1 / fmax(sqrt(sum / (double)n), MIN_DEVIATION));
	}
}

int drpc_forecast_net_new(const struct drpc_forecast_net_config *config,
			  const struct drpc_grid *grid, const size_t *anchors, size_t n,
			  uint64_t seed, struct drpc_forecast_net **ret)
{
	const struct drpc_mlp_spec head = {.in = config->hidden,
					   .heads = 1,
					   .n_layers = 1,
					   .layers = {{config->horizons, false, DRPC_ACT_NONE}}};
	struct drpc_rng weights = drpc_rng_make(seed, 0);
	struct drpc_forecast_net *net;
	int err = check_config(config, grid->columns);

	if (err)
		return err;
	if (!n)
		return drpc_err(-ENODATA, "forecast: no window to train on");
	drpc_blas_init();
	net = calloc(1, sizeof(*net));
	if (!net)
		return drpc_err(-ENOMEM, "forecast");
	net->config = *config;
	net->columns = grid->columns;
	net->adam = drpc_adam_make(config->lr, config->decay);
	net->order = drpc_rng_make(seed, 1);
	net->noise = drpc_rng_make(seed, 2);
	err = drpc_rnn_init(&net->rnn, config->cell, count_inputs(config, grid->columns),
			    config->hidden);
	if (!err)
		err = drpc_mlp_init(&net->head, &head);
	if (!err) {
		net->n_params = net->rnn.n_params + net->head.n_params;
		err = drpc_rnn_work_new(&net->rnn_work, &net->rnn, config->window, config->batch);
	}
	if (!err)
		err = drpc_mlp_work_new(&net->head_work, &net->head, config->batch);
	if (!err)
		err = allocate(net);
	if (err) {
		drpc_forecast_net_free(&net);
		return err;
	}
	drpc_rnn_randomize(&net->rnn, &weights, net->params);
	drpc_mlp_randomize(&net->head, &weights, net->params + net->rnn.n_params);
	fix_scaling(net, grid, anchors, n);
	*ret = net;
	return 0;
}

void drpc_forecast_net_free(struct drpc_forecast_net **net)
{
	if (!*net)
		return;
	drpc_rnn_work_done(&(*net)->rnn_work);
	drpc_mlp_work_done(&(*net)->head_work);
	free((*net)->allocation);
	free((*net)->shuffled);
	free(*net);
	*net = NULL;
}

/* The window at an anchor as row r of a batch. */
static void load_window(struct drpc_forecast_net *net, const struct drpc_grid *grid, size_t anchor,
			size_t r, size_t rows)
{
	const size_t window = net->config.window, in = net->rnn.in;

	for (size_t t = 0; t < window; t++) {
		const size_t step = anchor + 1 - window + t;
		float *x = net->x + (t * rows + r) * in;

		for (size_t c = 0; c < net->columns; c++)
			*x++ = (drpc_grid_at(grid, step, c) - drpc_grid_at(grid, anchor, c)) *
			       net->scale[c];
		*x++ = (drpc_grid_at(grid, step, 0) - net->mean) * net->level_scale;
		for (unsigned int k = 1; k <= net->config.harmonics; k++, x += 2)
			drpc_grid_day(grid, step, k, x, x + 1);
	}
	for (size_t h = 0; h < net->config.horizons; h++)
		net->y[r * net->config.horizons + h] =
			(drpc_grid_at(grid, anchor + h + 1, 0) - drpc_grid_at(grid, anchor, 0)) *
			net->change_scale[h];
}

static const float *forward(struct drpc_forecast_net *net, size_t rows)
{
	const float *last;

	drpc_rnn_forward(&net->rnn, net->params, net->config.window, rows, net->x, &net->rnn_work);
	last = drpc_rnn_output(&net->rnn, &net->rnn_work, rows, net->config.window - 1);
	drpc_mlp_forward(&net->head, net->params + net->rnn.n_params, 1, rows, last,
			 net->config.hidden, &net->head_work);
	return last;
}

static int step(struct drpc_forecast_net *net, size_t rows)
{
	float *head = net->params + net->rnn.n_params;
	const float *last;
	double norm;

	if (net->config.noise > 0) {
		const size_t n = net->config.window * rows * net->rnn.in;

		drpc_rng_normal(&net->noise, (float)net->config.noise, n, net->jitter);
		for (size_t i = 0; i < n; i++)
			net->x[i] += net->jitter[i];
	}
	last = forward(net, rows);
	drpc_mse(rows * net->config.horizons, drpc_mlp_output(&net->head, &net->head_work), net->y,
		 net->dy);
	drpc_mlp_backward(&net->head, head, 1, rows, last, net->config.hidden, &net->head_work,
			  &(struct drpc_mlp_grad){.dout = net->dy,
						  .grads = net->grads + net->rnn.n_params,
						  .dx = net->dlast,
						  .lddx = net->config.hidden,
						  .dx_cols = net->config.hidden});
	drpc_rnn_backward(&net->rnn, net->params, net->config.window, rows, net->x, &net->rnn_work,
			  net->dlast, NULL, net->grads, NULL);
	norm = drpc_grad_norm(net->n_params, net->grads);
	if (!isfinite(norm))
		return drpc_err(-EDOM, "forecast: training diverged in step %lu",
				(unsigned long)net->adam.t);
	drpc_adam_step(&net->adam, net->n_params, net->params, net->grads, net->m, net->v,
		       drpc_grad_scale(norm, net->config.max_grad_norm), NULL, 0.0);
	return 0;
}

static int shuffle(struct drpc_forecast_net *net, const size_t *anchors, size_t n)
{
	if (n > net->shuffled_capacity) {
		void *more = reallocarray(net->shuffled, n, sizeof(*net->shuffled));

		if (!more)
			return drpc_err(-ENOMEM, "forecast: %zu windows", n);
		net->shuffled = more;
		net->shuffled_capacity = n;
	}
	memcpy(net->shuffled, anchors, n * sizeof(*anchors));
	for (size_t i = n; i > 1; i--) {
		uint64_t k;
		size_t keep;

		drpc_rng_indices(&net->order, i, 1, &k);
		keep = net->shuffled[i - 1];
		net->shuffled[i - 1] = net->shuffled[k];
		net->shuffled[k] = keep;
	}
	return 0;
}

int drpc_forecast_net_epoch(struct drpc_forecast_net *net, const struct drpc_grid *grid,
			    const size_t *anchors, size_t n, double lr_factor)
{
	const double lr = net->adam.lr;
	int err = shuffle(net, anchors, n);

	net->adam.lr = DRPC_CLAMP(lr * lr_factor, DRPC_LR_MIN, DRPC_LR_MAX);
	for (size_t at = 0; !err && at < n; at += net->config.batch) {
		const size_t rows = DRPC_MIN(net->config.batch, n - at);

		for (size_t r = 0; r < rows; r++)
			load_window(net, grid, net->shuffled[at + r], r, rows);
		err = step(net, rows);
	}
	net->adam.lr = lr;
	return err;
}

void drpc_forecast_net_run(struct drpc_forecast_net *net, const struct drpc_grid *grid,
			   const size_t *anchors, size_t n, double *ret)
{
	const size_t horizons = net->config.horizons;

	for (size_t at = 0; at < n; at += net->config.batch) {
		const size_t rows = DRPC_MIN(net->config.batch, n - at);
		const float *y;

		for (size_t r = 0; r < rows; r++)
			load_window(net, grid, anchors[at + r], r, rows);
		forward(net, rows);
		y = drpc_mlp_output(&net->head, &net->head_work);
		for (size_t i = 0; i < rows * horizons; i++)
			ret[at * horizons + i] = (double)(y[i] / net->change_scale[i % horizons]);
	}
}
