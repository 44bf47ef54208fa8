// SPDX-License-Identifier: Apache-2.0
#include "agent/api/summary.h"

#include <criterion/criterion.h>

#include "lib/hist.h"
#include "lib/util.h"

Test(summary, empty)
{
	static const uint64_t hist[DRPC_HIST_BUCKETS];
	struct drpc_hist_summary s;

	drpc_hist_summarize(hist, 0, &s);
	cr_expect_eq(s.count, 0);
	cr_expect_eq(s.mean_ms, 0);
	cr_expect_eq(s.p50_ms, 0);
	cr_expect_eq(s.max_ms, 0);
}

Test(summary, percentiles_in_order_and_place)
{
	uint64_t hist[DRPC_HIST_BUCKETS] = {0};
	struct drpc_hist_summary s;

	hist[drpc_hist_index(1000000)] = 900; /* 1 ms */
	hist[drpc_hist_index(10000000)] = 95; /* 10 ms */
	hist[drpc_hist_index(100000000)] = 5; /* 100 ms */
	drpc_hist_summarize(hist, 900 * 1000000ULL + 95 * 10000000ULL + 5 * 100000000ULL, &s);
	cr_expect_eq(s.count, 1000);
	cr_expect_float_eq(s.mean_ms, 2.35, 1e-9);
	cr_expect_float_eq(s.p50_ms, 1, 0.1);
	cr_expect_float_eq(s.p90_ms, 1, 0.1);
	cr_expect_float_eq(s.p99_ms, 10, 1);
	cr_expect_float_eq(s.p999_ms, 100, 10);
	cr_expect_float_eq(s.max_ms, 100, 10);
	cr_expect(s.p999_ms <= s.max_ms);
}

Test(summary, counts_over_32_bits)
{
	uint64_t hist[DRPC_HIST_BUCKETS] = {0};
	struct drpc_hist_summary s;

	/* Months of traffic: 10^12 at 1 ms, one in a thousand at 1 s. */
	hist[drpc_hist_index(1000000)] = 1000000000000ULL;
	hist[drpc_hist_index(1000000000)] = 1100000000ULL;
	drpc_hist_summarize(hist, 0, &s);
	cr_expect_eq(s.count, 1001100000000ULL);
	cr_expect_float_eq(s.p99_ms, 1, 0.1);
	cr_expect_float_eq(s.p999_ms, 1000, 100);
}

Test(summary, overflow_counts_as_its_lower_bound)
{
	uint64_t hist[DRPC_HIST_BUCKETS] = {[DRPC_HIST_OVERFLOW] = 5};
	struct drpc_hist_summary s;

	drpc_hist_summarize(hist, 0, &s);
	cr_expect_eq(s.max_ms, 64000);
	cr_expect_eq(s.p50_ms, 64000);
}

Test(summary, window_and_total_have_the_same_coverage)
{
	static struct drpc_window window;
	static struct drpc_total total, twice;

	window.s.seen = 100;
	window.s.turns = 90;
	window.s.dropped[DRPC_DROP_NO_STORAGE] = 3;
	window.s.sum_ns[DRPC_HIST_QUEUE] = 5;
	window.hist[DRPC_HIST_QUEUE][7] = 9;
	drpc_total_from_window(&window, &total);
	cr_expect_eq(total.turns, 90);
	cr_expect_eq(total.sum_ns[DRPC_HIST_QUEUE], 5);
	cr_expect_eq(total.hist[DRPC_HIST_QUEUE][7], 9);
	cr_expect_float_eq(drpc_total_coverage(&total), drpc_window_coverage(&window), 1e-12);
	cr_expect_float_eq(drpc_total_coverage(&total), 0.97, 1e-12);
	drpc_total_add(&twice, &total);
	drpc_total_add(&twice, &total);
	cr_expect_eq(twice.hist[DRPC_HIST_QUEUE][7], 18);
	cr_expect_eq(twice.dropped[DRPC_DROP_NO_STORAGE], 6);
	cr_expect_float_eq(drpc_total_coverage(&twice), 0.97, 1e-12);
}
