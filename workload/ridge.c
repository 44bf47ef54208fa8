// SPDX-License-Identifier: Apache-2.0
#include "workload/ridge.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"

#define MIN_DEVIATION 1e-9

static size_t count_inputs(const struct drpc_ridge_spec *spec, size_t columns)
{
	/* Column 0's last value, the lags of all columns but the last value, sin and cos of the day. */
	return 1 + columns * (spec->lags - 1) + 2 * (size_t)spec->harmonics;
}

static void fill_inputs(const struct drpc_grid *grid, const struct drpc_ridge_spec *spec,
			size_t anchor, double *ret)
{
	*ret++ = (double)drpc_grid_at(grid, anchor, 0);
	for (size_t c = 0; c < grid->columns; c++) {
		const double last = (double)drpc_grid_at(grid, anchor, c);

		for (size_t lag = 1; lag < spec->lags; lag++)
			*ret++ = (double)drpc_grid_at(grid, anchor - lag, c) - last;
	}
	for (unsigned int k = 1; k <= spec->harmonics; k++) {
		float day_sin, day_cos;

		drpc_grid_day(grid, anchor, k, &day_sin, &day_cos);
		*ret++ = (double)day_sin;
		*ret++ = (double)day_cos;
	}
}

/* What a coefficient's penalty is multiplied with, in the order of the inputs. */
static void fill_penalties(const struct drpc_ridge_spec *spec, size_t columns, double *ret)
{
	*ret++ = 1;
	for (size_t c = 0; c < columns; c++) {
		for (size_t lag = 1; lag < spec->lags; lag++)
			*ret++ = (spec->decay > 0 ? 1 + (double)lag / spec->decay : 1) *
				 (c ? spec->others : 1);
	}
	for (size_t i = 0; i < 2 * (size_t)spec->harmonics; i++)
		*ret++ = 1;
}

static double change(const struct drpc_grid *grid, size_t anchor, size_t ahead)
{
	return (double)drpc_grid_at(grid, anchor + ahead, 0) -
	       (double)drpc_grid_at(grid, anchor, 0);
}

/* G = L L' in place (lower half), row-major. False where G is not positive definite. */
static bool cholesky(size_t n, double *g)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j <= i; j++) {
			double sum = g[i * n + j];

			for (size_t k = 0; k < j; k++)
				sum -= g[i * n + k] * g[j * n + k];
			if (i != j)
				g[i * n + j] = sum / g[j * n + j];
			else if (sum > 0)
				g[i * n + i] = sqrt(sum);
			else
				return false;
		}
	}
	return true;
}

static void solve(size_t n, const double *l, double *x)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < i; k++)
			x[i] -= l[i * n + k] * x[k];
		x[i] /= l[i * n + i];
	}
	for (size_t i = n; i-- > 0;) {
		for (size_t k = i + 1; k < n; k++)
			x[i] -= l[k * n + i] * x[k];
		x[i] /= l[i * n + i];
	}
}

struct drpc_ridge_system {
	struct drpc_ridge_spec spec;
	size_t columns, inputs;
	double *penalty; /* [inputs] */
	double *mean;	 /* [inputs] */
	double *scale;	 /* [inputs] */
	double *gram;	 /* [inputs][inputs], lower half, over n */
	double *right;	 /* [horizons][inputs] */
	double *offset;	 /* [horizons] */
	double *lower;	 /* [inputs][inputs] */
};

void drpc_ridge_system_free(struct drpc_ridge_system **system)
{
	struct drpc_ridge_system *s = *system;

	if (!s)
		return;
	free(s->penalty);
	free(s->mean);
	free(s->scale);
	free(s->gram);
	free(s->right);
	free(s->offset);
	free(s->lower);
	free(s);
	*system = NULL;
}

static void standardise(struct drpc_ridge_system *s, double *x, size_t n)
{
	const size_t p = s->inputs;

	for (size_t i = 0; i < p; i++) {
		double mean = 0, var = 0;

		for (size_t r = 0; r < n; r++)
			mean += x[r * p + i] / (double)n;
		for (size_t r = 0; r < n; r++)
			var += (x[r * p + i] - mean) * (x[r * p + i] - mean) / (double)n;
		s->mean[i] = mean;
		s->scale[i] = var > MIN_DEVIATION * MIN_DEVIATION ? 1 / sqrt(var) : 0;
		for (size_t r = 0; r < n; r++)
			x[r * p + i] = (x[r * p + i] - mean) * s->scale[i];
	}
}

static void add_row(struct drpc_ridge_system *s, const double *x, double share)
{
	const size_t p = s->inputs;

	for (size_t i = 0; i < p; i++) {
		for (size_t j = 0; j <= i; j++)
			s->gram[i * p + j] += x[i] * x[j] * share;
	}
}

static void add_target(struct drpc_ridge_system *s, size_t h, const double *x, double y)
{
	s->offset[h] += y;
	for (size_t i = 0; i < s->inputs; i++)
		s->right[h * s->inputs + i] += x[i] * y;
}

static int check_spec(const struct drpc_ridge_spec *spec, size_t n)
{
	if (spec->lags < 2 || spec->lags > DRPC_RIDGE_MAX_LAGS || spec->horizons < 1 ||
	    spec->horizons > DRPC_RIDGE_MAX_HORIZONS ||
	    spec->harmonics > DRPC_RIDGE_MAX_HARMONICS || !(spec->decay >= 0) ||
	    !(spec->others > 0))
		return drpc_err(
			-EINVAL,
			"ridge: %zu lags, %zu horizons, %u harmonics, decay %g, others %g: expected 2..%d, 1..%d, at most %d, 0 or more, above 0",
			spec->lags, spec->horizons, spec->harmonics, spec->decay, spec->others,
			DRPC_RIDGE_MAX_LAGS, DRPC_RIDGE_MAX_HORIZONS, DRPC_RIDGE_MAX_HARMONICS);
	return n ? 0 : drpc_err(-ENODATA, "ridge: no window to fit on");
}

int drpc_ridge_prepare(const struct drpc_ridge_spec *spec, const struct drpc_grid *grid,
		       const size_t *anchors, size_t n, struct drpc_ridge_system **ret)
{
	struct drpc_ridge_system *s;
	_cleanup_free_ double *x = NULL;
	size_t p;
	int err = check_spec(spec, n);

	if (err)
		return err;
	s = calloc(1, sizeof(*s));
	if (!s)
		return drpc_err(-ENOMEM, "ridge");
	s->spec = *spec;
	s->columns = grid->columns;
	s->inputs = p = count_inputs(spec, grid->columns);
	x = calloc(n * p, sizeof(*x));
	s->penalty = calloc(p, sizeof(double));
	s->mean = calloc(p, sizeof(double));
	s->scale = calloc(p, sizeof(double));
	s->gram = calloc(p * p, sizeof(double));
	s->lower = calloc(p * p, sizeof(double));
	s->right = calloc(p * spec->horizons, sizeof(double));
	s->offset = calloc(spec->horizons, sizeof(double));
	if (!x || !s->penalty || !s->mean || !s->scale || !s->gram || !s->lower || !s->right ||
	    !s->offset) {
		drpc_ridge_system_free(&s);
		return drpc_err(-ENOMEM, "ridge: %zu windows of %zu inputs", n, p);
	}
	fill_penalties(spec, grid->columns, s->penalty);
	for (size_t r = 0; r < n; r++)
		fill_inputs(grid, spec, anchors[r], x + r * p);
	standardise(s, x, n);
	for (size_t r = 0; r < n; r++) {
		add_row(s, x + r * p, 1 / (double)n);
		for (size_t h = 0; h < spec->horizons; h++)
			add_target(s, h, x + r * p, change(grid, anchors[r], h + 1) / (double)n);
	}
	*ret = s;
	return 0;
}

static int factor(struct drpc_ridge_system *s, double lambda)
{
	const size_t p = s->inputs;

	memcpy(s->lower, s->gram, p * p * sizeof(*s->lower));
	for (size_t i = 0; i < p; i++)
		s->lower[i * p + i] += lambda * s->penalty[i];
	return cholesky(p, s->lower)
		       ? 0
		       : drpc_err(-EDOM, "ridge: no solution for %zu inputs with penalty %g", p,
				  lambda);
}

int drpc_ridge_solve(struct drpc_ridge_system *s, const double *lambdas, struct drpc_ridge *ret)
{
	const size_t p = s->inputs, horizons = s->spec.horizons;
	struct drpc_ridge ridge = {.spec = s->spec, .columns = s->columns, .inputs = p};
	_cleanup_free_ double *weight = calloc(p, sizeof(*weight));
	int err = 0;

	ridge.mean = calloc(p, sizeof(double));
	ridge.scale = calloc(p, sizeof(double));
	ridge.weight = calloc((p + 1) * horizons, sizeof(double));
	if (!weight || !ridge.mean || !ridge.scale || !ridge.weight) {
		drpc_ridge_done(&ridge);
		return drpc_err(-ENOMEM, "ridge: %zu inputs", p);
	}
	for (size_t h = 0; !err && h < horizons; h++) {
		if (h == 0 || lambdas[h] != lambdas[h - 1])
			err = factor(s, lambdas[h]);
		if (err)
			break;
		memcpy(weight, s->right + h * p, p * sizeof(*weight));
		/* Standardised inputs have mean 0: the intercept is the mean and takes no part. */
		solve(p, s->lower, weight);
		for (size_t i = 0; i < p; i++)
			ridge.weight[i * horizons + h] = weight[i];
		ridge.weight[p * horizons + h] = s->offset[h];
	}
	if (err) {
		drpc_ridge_done(&ridge);
		return err;
	}
	memcpy(ridge.mean, s->mean, p * sizeof(double));
	memcpy(ridge.scale, s->scale, p * sizeof(double));
	*ret = ridge;
	return 0;
}

void drpc_ridge_run(const struct drpc_ridge *ridge, const struct drpc_grid *grid, size_t anchor,
		    double *ret)
{
	const size_t p = ridge->inputs, horizons = ridge->spec.horizons;
	double x[1 + DRPC_GRID_MAX_COLUMNS * DRPC_RIDGE_MAX_LAGS + 2 * DRPC_RIDGE_MAX_HARMONICS] = {
		0};

	fill_inputs(grid, &ridge->spec, anchor, x);
	for (size_t h = 0; h < horizons; h++)
		ret[h] = ridge->weight[p * horizons + h];
	for (size_t i = 0; i < p; i++) {
		const double z = (x[i] - ridge->mean[i]) * ridge->scale[i];

		for (size_t h = 0; h < horizons; h++)
			ret[h] += z * ridge->weight[i * horizons + h];
	}
}

void drpc_ridge_done(struct drpc_ridge *ridge)
{
	free(ridge->mean);
	free(ridge->scale);
	free(ridge->weight);
	*ridge = (struct drpc_ridge){0};
}
