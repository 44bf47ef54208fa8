// SPDX-License-Identifier: Apache-2.0
#include "workload/series.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"

void drpc_series_init(struct drpc_series *ret, const char *name, const char *const *names,
		      size_t columns)
{
	assert(columns >= 1 && columns <= DRPC_SERIES_MAX_COLUMNS);
	*ret = (struct drpc_series){.columns = columns};
	drpc_strcpy(ret->name, sizeof(ret->name), name);
	for (size_t i = 0; i < columns; i++)
		drpc_strcpy(ret->names[i], sizeof(ret->names[i]), names[i]);
}

void drpc_series_done(struct drpc_series *series)
{
	free(series->time_ms);
	free(series->values);
	*series = (struct drpc_series){0};
}

static int grow(struct drpc_series *series)
{
	const size_t capacity = series->capacity ? series->capacity * 2 : 256;
	void *times = reallocarray(series->time_ms, capacity, sizeof(*series->time_ms)), *values;

	if (!times)
		return -ENOMEM;
	series->time_ms = times;
	values = reallocarray(series->values, capacity, series->columns * sizeof(*series->values));
	if (!values)
		return -ENOMEM;
	series->values = values;
	series->capacity = capacity;
	return 0;
}

/* Where a time stands or would stand. Files are in order nearly always: looked at from the end. */
static size_t place(const struct drpc_series *series, int64_t time_ms)
{
	size_t low = 0, high = series->count;

	if (!high || series->time_ms[high - 1] < time_ms)
		return high;
	while (low < high) {
		const size_t mid = low + (high - low) / 2;

		if (series->time_ms[mid] < time_ms)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

int drpc_series_add(struct drpc_series *series, int64_t time_ms, const float *values)
{
	const size_t n = series->columns, at = place(series, time_ms);
	const size_t after = series->count - at;

	if (after && series->time_ms[at] == time_ms)
		return -EEXIST;
	if (series->count == series->capacity && grow(series))
		return -ENOMEM;
	memmove(series->time_ms + at + 1, series->time_ms + at, after * sizeof(*series->time_ms));
	memmove(series->values + (at + 1) * n, series->values + at * n,
		after * n * sizeof(*series->values));
	series->time_ms[at] = time_ms;
	memcpy(series->values + at * n, values, n * sizeof(*values));
	series->count++;
	return 0;
}

ssize_t drpc_series_column(const struct drpc_series *series, const char *name)
{
	for (size_t i = 0; i < series->columns; i++) {
		if (!strcmp(series->names[i], name))
			return (ssize_t)i;
	}
	return -ENOENT;
}

static int compare_distance(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

int64_t drpc_series_step_ms(const struct drpc_series *series)
{
	const size_t n = series->count > 0 ? series->count - 1 : 0;
	_cleanup_free_ int64_t *distance = calloc(n + 1, sizeof(*distance));
	size_t most = 0, run = 0;
	int64_t step = 0;

	if (!distance)
		return 0;
	for (size_t i = 0; i < n; i++)
		distance[i] = series->time_ms[i + 1] - series->time_ms[i];
	qsort(distance, n, sizeof(*distance), compare_distance);
	for (size_t i = 0; i < n; i++) {
		run = i && distance[i] == distance[i - 1] ? run + 1 : 1;
		if (run > most) {
			most = run;
			step = distance[i];
		}
	}
	return step;
}

ssize_t drpc_series_gaps(const struct drpc_series *series, int64_t step_ms, struct drpc_gap **ret)
{
	_cleanup_free_ struct drpc_gap *gaps = NULL;
	size_t count = 0;

	if (step_ms <= 0)
		step_ms = drpc_series_step_ms(series);
	gaps = calloc(series->count + 1, sizeof(*gaps));
	if (!gaps)
		return -ENOMEM;
	for (size_t i = 1; step_ms > 0 && i < series->count; i++) {
		const int64_t distance = series->time_ms[i] - series->time_ms[i - 1];

		/* Half a step late is late, not missing. */
		if (distance < step_ms + (step_ms + 1) / 2)
			continue;
		gaps[count++] = (struct drpc_gap){
			.from_ms = series->time_ms[i - 1],
			.to_ms = series->time_ms[i],
			.missing = (size_t)((distance + step_ms / 2) / step_ms - 1),
		};
	}
	*ret = drpc_steal(&gaps);
	return (ssize_t)count;
}
