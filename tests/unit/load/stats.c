// SPDX-License-Identifier: Apache-2.0
#include "tools/load/stats.h"

#include <criterion/criterion.h>

#include "lib/util.h"

static struct drpc_load_series *series;
static struct drpc_load_window window[2];

static void setup(void)
{
	cr_assert_eq(drpc_load_series_new(2, &series), 0);
}

static void teardown(void)
{
	drpc_load_series_free(&series);
	drpc_load_window_release(&window[0]);
	drpc_load_window_release(&window[1]);
}

TestSuite(stats, .init = setup, .fini = teardown);

static void due(unsigned int thread, uint64_t second)
{
	struct drpc_load_open *open = drpc_load_window_at(&window[thread], second);

	open->open++;
	open->bin.counts.due++;
}

static void ok(unsigned int thread, uint64_t second, uint64_t latency_ns)
{
	struct drpc_load_open *open = drpc_load_window_at(&window[thread], second);

	open->open--;
	open->bin.counts.ok++;
	drpc_hdr_record(&open->bin.due, latency_ns);
}

static void close_window(unsigned int thread, uint64_t now, bool all)
{
	cr_assert_eq(drpc_load_window_close(&window[thread], now, all, series, thread), 0);
}

Test(stats, a_row_waits_for_its_requests_and_for_all_threads)
{
	struct drpc_load_row row;

	due(0, 0);
	due(1, 0);
	due(1, 0);
	ok(1, 0, 1000000);
	close_window(0, 1, false);
	close_window(1, 1, false);
	cr_expect_not(drpc_load_series_row(series, 0, &row), "requests are open");
	ok(0, 0, 3000000);
	close_window(0, 2, false);
	cr_expect_not(drpc_load_series_row(series, 0, &row), "one thread has an open request");
	ok(1, 0, 2000000);
	close_window(1, 2, false);
	cr_assert(drpc_load_series_row(series, 0, &row));
	cr_expect_eq(row.counts.due, 3);
	cr_expect_eq(row.counts.ok, 3);
	cr_expect_eq(row.due.count, 3);
	cr_expect_float_eq(row.due.quantile_ms[0], 2, 0.02);
	cr_expect_float_eq(row.due.max_ms, 3, 1e-9);
	cr_expect_not(drpc_load_series_row(series, 9, &row));
}

Test(stats, seconds_without_requests_are_rows)
{
	struct drpc_load_row row;

	for (unsigned int t = 0; t < 2; t++) {
		close_window(t, 3, false);
		due(t, 5);
		ok(t, 5, 1);
		close_window(t, 6, true);
	}
	for (size_t i = 0; i < 6; i++) {
		cr_assert(drpc_load_series_row(series, i, &row), "%zu", i);
		cr_expect_eq(row.second, i);
		cr_expect_eq(row.counts.ok, i == 5 ? 2 : 0);
	}
}

/* One request that stays open holds back every second behind it: the ring has to grow. */
Test(stats, the_window_grows_and_keeps_what_it_has)
{
	struct drpc_load_row row;
	struct drpc_load_bin total;

	due(0, 2);
	for (uint64_t s = 3; s < 40; s++) {
		due(0, s);
		ok(0, s, s);
		close_window(0, s, false);
	}
	ok(0, 2, 77);
	close_window(0, 40, false);
	close_window(1, 40, false);
	drpc_load_window_at(&window[1], 39);
	close_window(1, 40, true);
	for (size_t i = 0; i < 40; i++) {
		cr_assert(drpc_load_series_row(series, i, &row));
		cr_expect_eq(row.counts.ok, i >= 2, "%zu", i);
		cr_expect_float_eq(row.due.max_ms * 1e6, i < 2 ? 0 : i == 2 ? 77 : (double)i, 1e-6);
	}
	drpc_load_series_total(series, &total);
	cr_expect_eq(total.counts.due, 38);
	cr_expect_eq(total.due.count, 38);
}

Test(stats, sums)
{
	static struct drpc_load_bin a, b;

	drpc_load_bin_reset(&a);
	drpc_load_bin_reset(&b);
	a.counts = (struct drpc_load_counts){.due = 10,
					     .sent = 9,
					     .ok = 3,
					     .unfinished = 1,
					     .failed = {1, 2, 3, 0, 0},
					     .slo_misses = 6};
	b.counts = a.counts;
	drpc_load_bin_merge(&a, &b);
	cr_expect_eq(a.counts.due, 20);
	cr_expect_eq(drpc_load_failed(&a.counts), 12);
	cr_expect_eq(a.counts.due, a.counts.ok + drpc_load_failed(&a.counts) + a.counts.unfinished);
	cr_expect_eq(a.counts.slo_misses, 12);
}
