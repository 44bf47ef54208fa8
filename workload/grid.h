/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A series on a regular grid, and the windows of it that a forecast is made from.
 *
 * A window ends at its anchor, "now". What is missing inside of it is interpolated, which looks at
 * nothing later than the anchor because the anchor itself must have been measured. A window of which
 * more than a quarter is missing does not count, nor one whose future was not measured.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "workload/series.h"

#define DRPC_GRID_MAX_COLUMNS 16
#define DRPC_GRID_DAY_S	      86400.0

struct drpc_grid {
	size_t steps;
	size_t columns; /* column 0 is the one to forecast */
	double start_s;
	double step_s;
	float *values;	/* [steps][columns]; interpolated where nothing was measured */
	bool *measured; /* [steps] */
	size_t missing;
};

/*
 * A series as a grid of steps of step_s seconds (0: the most frequent distance of its own); a step
 * holds the mean of what lies in it. `target` becomes column 0, values are multiplied by `scale`.
 * -EINVAL (logged) for no such column, more than DRPC_GRID_MAX_COLUMNS, or a grid too long; -ENODATA
 * for fewer than two points; -ENOMEM.
 */
int drpc_grid_make(const struct drpc_series *series, const char *target, double step_s,
		   double scale, struct drpc_grid *ret);
void drpc_grid_done(struct drpc_grid *grid);

static inline float drpc_grid_at(const struct drpc_grid *grid, size_t step, size_t column)
{
	return grid->values[step * grid->columns + column];
}

/* sin and cos of the k-th harmonic of the day at a step. */
void drpc_grid_day(const struct drpc_grid *grid, size_t step, unsigned int harmonic, float *ret_sin,
		   float *ret_cos);

/* Whether a window of `window` steps that ends at `anchor` counts, with `horizons` steps after it. */
bool drpc_grid_window(const struct drpc_grid *grid, size_t anchor, size_t window, size_t horizons);

/*
 * Anchors of the windows with from <= anchor and anchor + horizons < to, ascending; the caller frees.
 * Returns how many, or -ENOMEM.
 */
ssize_t drpc_grid_anchors(const struct drpc_grid *grid, size_t window, size_t horizons, size_t from,
			  size_t to, size_t **ret);
