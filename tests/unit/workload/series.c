// SPDX-License-Identifier: Apache-2.0
#include "workload/series.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "workload/grid.h"

static struct drpc_series make(const int64_t *times_s, size_t n)
{
	static const char *const names[] = {"cpu", "mem"};
	struct drpc_series series;

	drpc_series_init(&series, "m", names, 2);
	for (size_t i = 0; i < n; i++) {
		const float values[] = {(float)times_s[i], (float)(2 * times_s[i])};

		cr_assert_eq(drpc_series_add(&series, times_s[i] * 1000, values), 0);
	}
	return series;
}

Test(series, keeps_order_and_refuses_doubles)
{
	static const int64_t times[] = {50, 10, 30, 20, 60};
	struct drpc_series s = make(times, 5);
	const float other[] = {7, 7};

	cr_expect_eq(drpc_series_add(&s, 30000, other), -EEXIST);
	cr_expect_eq(s.count, 5);
	for (size_t i = 0; i < s.count; i++) {
		cr_expect(i == 0 || s.time_ms[i] > s.time_ms[i - 1]);
		cr_expect_eq(drpc_series_at(&s, i, 1), (float)s.time_ms[i] / 500);
	}
	cr_expect_eq(drpc_series_column(&s, "mem"), 1);
	cr_expect_eq(drpc_series_column(&s, "disk"), -ENOENT);
	drpc_series_done(&s);
}

Test(series, gaps_by_the_most_frequent_step)
{
	static const int64_t times[] = {0, 10, 20, 34, 44, 100, 110};
	struct drpc_series s = make(times, 7);
	struct drpc_gap *gaps;

	cr_expect_eq(drpc_series_step_ms(&s), 10000);
	cr_assert_eq(drpc_series_gaps(&s, 0, &gaps), 1);
	cr_expect_eq(gaps[0].from_ms, 44000);
	cr_expect_eq(gaps[0].missing, 5);
	free(gaps);
	drpc_series_done(&s);
}

Test(series, a_grid_averages_interpolates_and_knows_what_it_made_up)
{
	static const int64_t times[] = {0, 5, 10, 40, 50};
	struct drpc_series s = make(times, 5);
	struct drpc_grid grid;

	cr_assert_eq(drpc_grid_make(&s, "mem", 10, 0.5, &grid), 0);
	cr_assert_eq(grid.steps, 6);
	cr_expect_eq(grid.missing, 2);
	cr_expect_float_eq(drpc_grid_at(&grid, 0, 0), 2.5f, 1e-6, "mean of 0 and 5");
	cr_expect_float_eq(drpc_grid_at(&grid, 2, 0), 20.0f, 1e-5);
	cr_expect_float_eq(drpc_grid_at(&grid, 3, 0), 30.0f, 1e-5);
	cr_expect(!grid.measured[2] && !grid.measured[3] && grid.measured[4]);
	/* The target is column 0, the others keep their order. */
	cr_expect_float_eq(drpc_grid_at(&grid, 4, 1), 20.0f, 1e-5);
	drpc_grid_done(&grid);
	cr_expect_eq(drpc_grid_make(&s, "disk", 10, 1, &grid), -EINVAL);
	cr_expect_eq(drpc_grid_make(&s, "mem", 1e-12, 1, &grid), -EINVAL);
	drpc_series_done(&s);
}

Test(series, windows_need_a_measured_now_and_future)
{
	bool measured[20];
	float values[20] = {0};
	struct drpc_grid grid = {
		.steps = 20, .columns = 1, .step_s = 1, .values = values, .measured = measured};
	size_t *anchors;

	for (size_t i = 0; i < 20; i++)
		measured[i] = i != 9;
	cr_expect(drpc_grid_window(&grid, 7, 8, 1));
	cr_expect(!drpc_grid_window(&grid, 6, 8, 1), "too little before");
	cr_expect(!drpc_grid_window(&grid, 9, 8, 1), "now was not measured");
	cr_expect(!drpc_grid_window(&grid, 8, 8, 2), "the future was not measured");
	cr_expect(drpc_grid_window(&grid, 12, 8, 2), "one of eight may be missing");
	measured[8] = measured[10] = false;
	cr_expect(!drpc_grid_window(&grid, 12, 8, 2), "three of eight may not");
	cr_expect(!drpc_grid_window(&grid, 18, 2, 2), "beyond the end");
	cr_assert_eq(drpc_grid_anchors(&grid, 2, 2, 12, 20, &anchors), 6);
	cr_expect_eq(anchors[0], 12);
	cr_expect_eq(anchors[5], 17);
	free(anchors);
}
