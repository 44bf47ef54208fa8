// SPDX-License-Identifier: Apache-2.0
#include "workload/grid.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"

/* About a year of seconds: more is a wrong step or a wrong time stamp. */
#define MAX_STEPS (32U * 1000 * 1000)

/* Sums and counts of a column's points in each step, and from them its values. */
struct filler {
	const struct drpc_series *series;
	struct drpc_grid *grid;
	double *sum;
	unsigned int *count;
};

static size_t step_of(const struct filler *filler, size_t point)
{
	const double at_s = (double)filler->series->time_ms[point] / 1000;

	return (size_t)((at_s - filler->grid->start_s) / filler->grid->step_s + 1e-9);
}

static void interpolate(struct drpc_grid *grid, size_t column, size_t from, size_t to)
{
	const float a = drpc_grid_at(grid, from, column), b = drpc_grid_at(grid, to, column);

	for (size_t i = from + 1; i < to; i++)
		grid->values[i * grid->columns + column] =
			a + (b - a) * (float)(i - from) / (float)(to - from);
}

/* What lies before the first value or behind the last takes theirs. */
static int fill_column(struct filler *filler, size_t source, size_t column, double scale)
{
	struct drpc_grid *grid = filler->grid;
	size_t last = grid->steps;

	memset(filler->sum, 0, grid->steps * sizeof(*filler->sum));
	memset(filler->count, 0, grid->steps * sizeof(*filler->count));
	for (size_t i = 0; i < filler->series->count; i++) {
		const float value = drpc_series_at(filler->series, i, source);
		const size_t step = step_of(filler, i);

		if (!isfinite(value))
			continue;
		filler->sum[step] += (double)value * scale;
		filler->count[step]++;
	}
	for (size_t i = 0; i < grid->steps; i++) {
		if (column == 0)
			grid->measured[i] = filler->count[i] > 0;
		if (!filler->count[i])
			continue;
		grid->values[i * grid->columns + column] =
			(float)(filler->sum[i] / filler->count[i]);
		if (last == grid->steps) {
			for (size_t k = 0; k < i; k++)
				grid->values[k * grid->columns + column] =
					drpc_grid_at(grid, i, column);
		} else {
			interpolate(grid, column, last, i);
		}
		last = i;
	}
	if (last == grid->steps)
		return column ? 0 : -ENODATA;
	for (size_t k = last + 1; k < grid->steps; k++)
		grid->values[k * grid->columns + column] = drpc_grid_at(grid, last, column);
	return 0;
}

static int fill_all(struct filler *filler, size_t target, double scale)
{
	struct drpc_grid *grid = filler->grid;
	size_t column = 1;
	int err = fill_column(filler, target, 0, scale);

	if (err)
		return drpc_err(err, "%s: column %s holds no value", filler->series->name,
				filler->series->names[target]);
	for (size_t i = 0; i < filler->series->columns; i++) {
		if (i != target)
			fill_column(filler, i, column++, scale);
	}
	for (size_t i = 0; i < grid->steps; i++)
		grid->missing += !grid->measured[i];
	return 0;
}

int drpc_grid_make(const struct drpc_series *series, const char *target, double step_s,
		   double scale, struct drpc_grid *ret)
{
	const ssize_t column = drpc_series_column(series, target);
	struct drpc_grid grid = {.columns = series->columns};
	struct filler filler = {.series = series, .grid = &grid};
	double steps;
	int err;

	if (column < 0)
		return drpc_err(-EINVAL, "%s: no column '%s'", series->name, target);
	if (series->count < 2)
		return drpc_err(-ENODATA, "%s: %zu points make no series", series->name,
				series->count);
	grid.step_s = step_s > 0 ? step_s : (double)drpc_series_step_ms(series) / 1000;
	grid.start_s = (double)series->time_ms[0] / 1000;
	steps = ((double)series->time_ms[series->count - 1] / 1000 - grid.start_s) / grid.step_s;
	if (!(steps < MAX_STEPS))
		return drpc_err(-EINVAL, "%s: %.0f steps of %g s: expected at most %u",
				series->name, steps, grid.step_s, MAX_STEPS);
	grid.steps = (size_t)(steps + 1e-9) + 1;
	grid.values = calloc(grid.steps * grid.columns, sizeof(*grid.values));
	grid.measured = calloc(grid.steps, sizeof(*grid.measured));
	filler.sum = calloc(grid.steps, sizeof(*filler.sum));
	filler.count = calloc(grid.steps, sizeof(*filler.count));
	if (grid.values && grid.measured && filler.sum && filler.count)
		err = fill_all(&filler, (size_t)column, scale);
	else
		err = drpc_err(-ENOMEM, "%s: %zu steps", series->name, grid.steps);
	free(filler.sum);
	free(filler.count);
	if (err)
		drpc_grid_done(&grid);
	else
		*ret = grid;
	return err;
}

void drpc_grid_done(struct drpc_grid *grid)
{
	free(grid->values);
	free(grid->measured);
	*grid = (struct drpc_grid){0};
}

void drpc_grid_day(const struct drpc_grid *grid, size_t step, unsigned int harmonic, float *ret_sin,
		   float *ret_cos)
{
	const double at_s = grid->start_s + (double)step * grid->step_s;
	const double angle = 2 * M_PI * fmod(at_s / DRPC_GRID_DAY_S * harmonic, 1);

	*ret_sin = (float)sin(angle);
	*ret_cos = (float)cos(angle);
}

bool drpc_grid_window(const struct drpc_grid *grid, size_t anchor, size_t window, size_t horizons)
{
	size_t missing = 0;

	if (anchor + 1 < window || anchor + horizons >= grid->steps || !grid->measured[anchor])
		return false;
	for (size_t h = 1; h <= horizons; h++) {
		if (!grid->measured[anchor + h])
			return false;
	}
	for (size_t i = anchor + 1 - window; i < anchor; i++)
		missing += !grid->measured[i];
	return missing * 4 <= window;
}

ssize_t drpc_grid_anchors(const struct drpc_grid *grid, size_t window, size_t horizons, size_t from,
			  size_t to, size_t **ret)
{
	const size_t end = DRPC_MIN(to, grid->steps);
	_cleanup_free_ size_t *anchors = calloc(grid->steps + 1, sizeof(*anchors));
	size_t n = 0;

	if (!anchors)
		return -ENOMEM;
	for (size_t i = from; i + horizons < end; i++) {
		if (drpc_grid_window(grid, i, window, horizons))
			anchors[n++] = i;
	}
	*ret = drpc_steal(&anchors);
	return (ssize_t)n;
}
