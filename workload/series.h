/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trace in memory: points in time with one value a column, ascending, no time twice. A value that
 * was not measured is NAN; a stretch without points is a gap.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define DRPC_SERIES_MAX_COLUMNS 16
#define DRPC_SERIES_NAME_BYTES	64

struct drpc_series {
	char name[DRPC_SERIES_NAME_BYTES]; /* of the machine or container; may be empty */
	size_t columns;
	char names[DRPC_SERIES_MAX_COLUMNS][DRPC_SERIES_NAME_BYTES];
	size_t count;
	size_t capacity;
	int64_t *time_ms; /* [count] */
	float *values;	  /* [count][columns] */
};

/* An empty series of these columns. */
void drpc_series_init(struct drpc_series *ret, const char *name, const char *const *names,
		      size_t columns);
void drpc_series_done(struct drpc_series *series);

/* Adds a point at any place in time. -EEXIST for a time that is there already; -ENOMEM. */
int drpc_series_add(struct drpc_series *series, int64_t time_ms, const float *values);

static inline float drpc_series_at(const struct drpc_series *series, size_t point, size_t column)
{
	return series->values[point * series->columns + column];
}

/* The index of a column, or -ENOENT. */
ssize_t drpc_series_column(const struct drpc_series *series, const char *name);

/* The most frequent distance of two points in a row; 0 for fewer than two points. */
int64_t drpc_series_step_ms(const struct drpc_series *series);

/* A stretch that lacks points: after from_ms the next one is to_ms. */
struct drpc_gap {
	int64_t from_ms;
	int64_t to_ms;
	size_t missing; /* points that the step would have had in between */
};

/* Gaps by a step (0: the series' own), ascending; the caller frees. How many, or -ENOMEM. */
ssize_t drpc_series_gaps(const struct drpc_series *series, int64_t step_ms, struct drpc_gap **ret);
