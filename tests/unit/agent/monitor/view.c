// SPDX-License-Identifier: Apache-2.0
#include "agent/monitor/view.h"

#include <criterion/criterion.h>
#include <math.h>

#include "agent/monitor/series.h"
#include "lib/hist.h"
#include "lib/util.h"

#define SEC DRPC_NSEC_PER_SEC
#define MS  DRPC_NSEC_PER_MSEC

static void near(double value, double expected)
{
	cr_expect_lt(fabs(value - expected), 1e-9 + 1e-9 * fabs(expected), "%g, not %g", value,
		     expected);
}

Test(view, window_in_numbers)
{
	static struct drpc_window w;
	struct drpc_view v;

	w.s.start_ns = 10 * SEC;
	w.s.end_ns = 12 * SEC;
	w.s.turns = 90;
	w.s.seen = 100;
	w.s.errors = 5;
	w.s.inflight = 3;
	w.s.dropped[DRPC_DROP_CLOSED] = 5;
	w.s.dropped[DRPC_DROP_NO_STORAGE] = 2;
	w.s.sum_ns[DRPC_HIST_TOTAL] = 90 * 4 * MS;
	w.s.sum_ns[DRPC_HIST_QUEUE] = 90 * 3 * MS;
	w.hist[DRPC_HIST_TOTAL][drpc_hist_index(4 * MS)] = 90;
	w.s.cg = (struct drpc_cgroup_counters){.cpu_usage_usec = 3000000,
					       .nr_periods = 20,
					       .nr_throttled = 5,
					       .cpu_some_usec = 500000,
					       .mem_some_usec = 200000,
					       .mem_working_set_bytes = 64 * DRPC_MIB};
	drpc_view_window(&w, &v);
	near(v.span_sec, 2);
	near(v.rate_rps, 45);
	near(v.error_rate, 0.05);
	near(v.mean_ms, 4);
	near(v.queue_share, 0.75);
	near(v.coverage, 0.98);
	near(v.inflight, 3);
	near(v.cpu_usage_cores, 1.5);
	near(v.throttled_share, 0.25);
	near(v.cpu_pressure, 0.25);
	near(v.memory_pressure, 0.1);
	near(v.memory_usage_mib, 64);
	/* All values lie in one bucket, which is 9 % wide. */
	cr_expect(v.p50_ms > 3.6 && v.p50_ms <= v.p99_ms && v.p99_ms < 4.4);
}

Test(view, empty_window_is_zero_but_for_coverage)
{
	static const struct drpc_window w;
	struct drpc_view v;

	drpc_view_window(&w, &v);
	near(v.coverage, 1);
	v.coverage = 0;
	for (size_t i = 1; i < sizeof(v) / sizeof(double); i++)
		near(((const double *)&v)[i], 0);
	cr_expect_eq(v.turns, 0);
}

Test(view, shares_stay_between_0_and_1)
{
	static struct drpc_window w;
	struct drpc_view v;

	/* Counters read an instant apart may not quite fit. */
	w.s.end_ns = SEC;
	w.s.seen = 1;
	w.s.turns = 3;
	w.s.errors = 2;
	w.s.sum_ns[DRPC_HIST_TOTAL] = 10;
	w.s.sum_ns[DRPC_HIST_QUEUE] = 11;
	w.s.cg.nr_periods = 1;
	w.s.cg.nr_throttled = 2;
	w.s.cg.cpu_some_usec = 1100000;
	drpc_view_window(&w, &v);
	near(v.error_rate, 1);
	near(v.queue_share, 1);
	near(v.throttled_share, 1);
	near(v.cpu_pressure, 1);
}

Test(view, container_without_a_series)
{
	static const struct drpc_container c;
	struct drpc_view v;

	drpc_view_container(&c, 5 * SEC, SEC, &v);
	near(v.coverage, 1);
	near(v.rate_rps, 0);
}

Test(view, container_rate_counts_idle_seconds)
{
	static struct drpc_slot_shard slot;
	const struct drpc_cgroup_counters cg = {0};
	struct drpc_container c = {0};
	uint64_t now = 100 * SEC;
	struct drpc_view v;

	cr_assert_eq(drpc_series_new(&c.series), 0);
	drpc_series_push(c.series, now, &slot, &cg);
	slot.seen = slot.turns = 500;
	slot.hist[DRPC_HIST_TOTAL][100] = 500;
	now += SEC / 5;
	drpc_series_push(c.series, now, &slot, &cg);
	for (int i = 0; i < 20; i++) {
		now += SEC / 5;
		drpc_series_push(c.series, now, NULL, &cg);
	}
	drpc_view_container(&c, now, 10 * SEC, &v);
	near(v.rate_rps, 50);
	drpc_view_container(&c, now, SEC, &v);
	near(v.rate_rps, 0);
	drpc_series_free(&c.series);
}

Test(view, container_rate_is_that_of_the_time_looked_at)
{
	static struct drpc_slot_shard slot;
	const struct drpc_cgroup_counters cg = {0};
	struct drpc_container c = {0};
	uint64_t now = 100 * SEC;
	struct drpc_view v;

	cr_assert_eq(drpc_series_new(&c.series), 0);
	for (int i = 0; i < 100; i++) {
		slot.seen += 10;
		slot.turns += 10;
		slot.hist[DRPC_HIST_TOTAL][100] += 10;
		now += SEC / 5;
		drpc_series_push(c.series, now, &slot, &cg);
		/* Steady from the first whole span on, wherever in a second it is looked at. */
		if (i <= 30)
			continue;
		drpc_view_container(&c, now + (uint64_t)i * MS, 5 * SEC, &v);
		cr_expect_float_eq(v.rate_rps, 50, 1e-9, "%g after %d windows", v.rate_rps, i);
	}
	drpc_series_free(&c.series);
}
