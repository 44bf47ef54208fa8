// SPDX-License-Identifier: Apache-2.0
#include "agent/monitor/series.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"

#define SEC    DRPC_NSEC_PER_SEC
#define WINDOW (SEC / 5)

/* A container's kernel counters and its cgroup's, moved on by hand. */
struct world {
	struct drpc_series *series;
	struct drpc_slot_shard slot;
	struct drpc_cgroup_counters cg;
	uint64_t now;
};

static struct world *begin(void)
{
	struct world *w = calloc(1, sizeof(*w));

	cr_assert_eq(drpc_series_new(&w->series), 0);
	w->now = 1000 * SEC;
	w->cg.valid = DRPC_CG_CPU | DRPC_CG_THROTTLE | DRPC_CG_MEM;
	return w;
}

static void end(struct world **w)
{
	drpc_series_free(&(*w)->series);
	cr_expect_null((*w)->series);
	drpc_series_free(&(*w)->series);
	free(*w);
	*w = NULL;
}

static void push(struct world *w, bool moved)
{
	cr_assert_eq(drpc_series_push(w->series, w->now, moved ? &w->slot : NULL, &w->cg), 0);
	w->now += WINDOW;
}

static void requests(struct world *w, unsigned int bucket, uint32_t n)
{
	w->slot.seen += n;
	w->slot.turns += n;
	w->slot.hist[DRPC_HIST_TOTAL][bucket] += n;
	w->slot.sum_ns[DRPC_HIST_TOTAL] += n * 1000ULL;
}

static uint64_t total_of(const struct world *w, unsigned int bucket)
{
	const struct drpc_total *total = drpc_series_total(w->series);

	return total ? total->hist[DRPC_HIST_TOTAL][bucket] : 0;
}

Test(series, first_push_sets_the_base)
{
	struct world *w = begin();
	struct drpc_window_scalars last;
	struct drpc_window sum;

	/* What a slot's former owner left behind is not this container's. */
	requests(w, 50, 1000);
	w->cg.cpu_usage_usec = 5000000;
	push(w, true);
	cr_expect_not(drpc_series_last(w->series, &last));
	cr_expect_eq(drpc_series_recent(w->series, 0, &sum), 0);
	cr_expect_null(drpc_series_total(w->series));

	requests(w, 50, 7);
	w->cg.cpu_usage_usec += 1000;
	push(w, true);
	cr_expect(drpc_series_last(w->series, &last));
	cr_expect_eq(last.turns, 7);
	cr_expect_eq(last.cg.cpu_usage_usec, 1000);
	cr_expect_eq(last.end_ns - last.start_ns, WINDOW);
	cr_expect_eq(total_of(w, 50), 7);
	cr_expect_eq(drpc_series_total(w->series)->turns, 7);
	end(&w);
}

Test(series, idle_windows_are_zero)
{
	struct world *w = begin();
	struct drpc_window_scalars last;

	push(w, true);
	requests(w, 50, 7);
	push(w, true);
	w->cg.cpu_usage_usec += 10;
	push(w, false);
	cr_expect(drpc_series_last(w->series, &last));
	cr_expect_eq(last.turns, 0);
	cr_expect_eq(last.sum_ns[DRPC_HIST_TOTAL], 0);
	cr_expect_eq(last.cg.cpu_usage_usec, 10);
	cr_expect_eq(total_of(w, 50), 7);
	end(&w);
}

Test(series, in_flight_is_what_was_seen_and_is_not_accounted_for)
{
	struct world *w = begin();
	struct drpc_window_scalars last;

	push(w, true);
	requests(w, 50, 10);
	w->slot.seen += 4;
	w->slot.dropped[DRPC_DROP_RESET] += 1;
	push(w, true);
	drpc_series_last(w->series, &last);
	cr_expect_eq(last.inflight, 3);
	cr_expect_eq(last.errors, 1);
	/* Still so while nothing happens. */
	push(w, false);
	drpc_series_last(w->series, &last);
	cr_expect_eq(last.inflight, 3);
	end(&w);
}

Test(series, buckets_of_32_bits_wrap)
{
	struct world *w = begin();
	struct drpc_window_scalars last;

	w->slot.hist[DRPC_HIST_TOTAL][50] = UINT32_MAX - 2;
	w->slot.turns = w->slot.seen = UINT64_MAX - 2;
	push(w, true);
	requests(w, 50, 10);
	push(w, true);
	cr_expect_eq(w->slot.hist[DRPC_HIST_TOTAL][50], 7);
	drpc_series_last(w->series, &last);
	cr_expect_eq(last.turns, 10);
	cr_expect_eq(total_of(w, 50), 10);
	end(&w);
}

Test(series, a_moved_count_is_owed_not_taken_back)
{
	struct world *w = begin();
	struct drpc_window sum;

	push(w, true);
	requests(w, 50, 5);
	push(w, true);
	/* Two responses went on: their counts move from 50 to 60. */
	w->slot.hist[DRPC_HIST_TOTAL][50] -= 2;
	w->slot.hist[DRPC_HIST_TOTAL][60] += 2;
	push(w, true);
	cr_expect_eq(total_of(w, 50), 5, "metrics never go back");
	cr_expect_eq(total_of(w, 60), 2);
	/* The next counts of that bucket pay: one by one, then they are counted again. */
	requests(w, 50, 1);
	push(w, true);
	cr_expect_eq(total_of(w, 50), 5);
	requests(w, 50, 3);
	push(w, true);
	cr_expect_eq(total_of(w, 50), 7);
	cr_expect_eq(total_of(w, 50) + total_of(w, 60), drpc_series_total(w->series)->turns);
	cr_expect_gt(drpc_series_recent(w->series, 0, &sum), 0);
	cr_expect_eq(sum.hist[DRPC_HIST_TOTAL][50] + sum.hist[DRPC_HIST_TOTAL][60], 9);
	end(&w);
}

Test(series, recent_takes_whole_windows_from_a_time_on)
{
	struct world *w = begin();
	struct drpc_window sum;
	uint64_t since;

	push(w, true);
	for (uint32_t i = 1; i <= 8; i++) {
		requests(w, 50, i);
		push(w, true);
	}
	/* The last five: 4 + 5 + 6 + 7 + 8. */
	cr_expect_eq(drpc_series_recent(w->series, 0, &sum), DRPC_RECENT_WINDOWS);
	cr_expect_eq(sum.s.turns, 30);
	cr_expect_eq(sum.hist[DRPC_HIST_TOTAL][50], 30);
	cr_expect_eq(sum.s.end_ns - sum.s.start_ns, 5 * WINDOW);
	/* Those that began at or after the end of the sixth: 7 and 8. */
	since = w->now - 3 * WINDOW;
	cr_expect_eq(drpc_series_recent(w->series, since, &sum), 2);
	cr_expect_eq(sum.s.turns, 15);
	/* An instant later the seventh is no whole window any more. */
	cr_expect_eq(drpc_series_recent(w->series, since + 1, &sum), 1);
	cr_expect_eq(sum.s.turns, 8);
	cr_expect_eq(drpc_series_recent(w->series, w->now, &sum), 0);
	cr_expect_eq(sum.s.turns, 0);
	end(&w);
}

Test(series, since_adds_up_seconds_and_the_present_one)
{
	struct world *w = begin();
	struct drpc_window sum;

	push(w, true);
	for (uint32_t window = 0; window < 50; window++) { /* 10 s, 10 requests each */
		requests(w, window % 2 ? 50 : 51, 2);
		push(w, true);
	}
	drpc_series_since(w->series, 0, &sum);
	cr_expect_eq(sum.s.turns, 100);
	cr_expect_eq(sum.hist[DRPC_HIST_TOTAL][50], 50);
	cr_expect_eq(sum.hist[DRPC_HIST_TOTAL][51], 50);
	cr_expect_eq(sum.s.sum_ns[DRPC_HIST_TOTAL], 100 * 1000);
	/* The last 3 s, to the second. */
	drpc_series_since(w->series, w->now - WINDOW - 3 * SEC, &sum);
	cr_expect(sum.s.turns >= 30 && sum.s.turns <= 40, "%llu", (unsigned long long)sum.s.turns);
	drpc_series_since(w->series, w->now, &sum);
	cr_expect_eq(sum.s.turns, 0);
	end(&w);
}

Test(series, since_forgets_after_a_minute)
{
	struct world *w = begin();
	struct drpc_window sum;

	push(w, true);
	requests(w, 50, 1000);
	push(w, true);
	for (int i = 0; i < 5 * (DRPC_HISTORY_SEC - 2); i++)
		push(w, false);
	drpc_series_since(w->series, 0, &sum);
	cr_expect_eq(sum.s.turns, 1000);
	for (int i = 0; i < 5 * 3; i++)
		push(w, false);
	drpc_series_since(w->series, 0, &sum);
	cr_expect_eq(sum.s.turns, 0);
	cr_expect_eq(total_of(w, 50), 1000, "the total does not forget");
	end(&w);
}

Test(series, memory_is_bounded)
{
	struct world *w = begin();
	size_t idle, after_a_minute;

	push(w, false);
	for (int i = 0; i < 100; i++)
		push(w, false);
	idle = drpc_series_bytes(w->series);
	cr_expect_lt(idle, 4096, "an idle container costs %zu bytes", idle);

	/* Traffic all over the histogram, for longer than there is history. */
	for (int i = 0; i < 5 * (DRPC_HISTORY_SEC + 5); i++) {
		for (unsigned int b = 0; b < DRPC_HIST_BUCKETS; b++)
			requests(w, b, 1);
		push(w, true);
	}
	after_a_minute = drpc_series_bytes(w->series);
	for (int i = 0; i < 5 * DRPC_HISTORY_SEC; i++) {
		for (unsigned int b = 0; b < DRPC_HIST_BUCKETS; b++)
			requests(w, b, 1);
		push(w, true);
	}
	cr_expect_eq(drpc_series_bytes(w->series), after_a_minute);
	cr_expect_lt(after_a_minute, 512 * 1024);
	end(&w);
}

Test(series, cgroup_counters_that_begin_anew)
{
	struct world *w = begin();
	struct drpc_window_scalars last;

	w->cg.cpu_usage_usec = 9000000;
	w->cg.nr_periods = 100;
	push(w, true);
	/* The cgroup was made again under the same name. */
	w->cg.cpu_usage_usec = 300;
	w->cg.nr_periods = 2;
	push(w, true);
	drpc_series_last(w->series, &last);
	cr_expect_eq(last.cg.cpu_usage_usec, 300);
	cr_expect_eq(last.cg.nr_periods, 2);
	cr_expect_eq(drpc_series_counters(w->series)->cpu_usage_usec, 300);
	end(&w);
}

Test(series, a_source_that_appears_gives_no_difference_yet)
{
	struct world *w = begin();
	struct drpc_window_scalars last;

	w->cg.valid = DRPC_CG_CPU;
	push(w, true);
	w->cg.valid = DRPC_CG_CPU | DRPC_CG_PSI_CPU | DRPC_CG_MEM;
	w->cg.cpu_some_usec = 123456789;
	w->cg.mem_working_set_bytes = 5 * DRPC_MIB;
	push(w, true);
	drpc_series_last(w->series, &last);
	cr_expect_eq(last.cg.cpu_some_usec, 0);
	cr_expect_not(last.cg.valid & DRPC_CG_PSI_CPU);
	/* A level needs no second reading. */
	cr_expect(last.cg.valid & DRPC_CG_MEM);
	cr_expect_eq(last.cg.mem_working_set_bytes, 5 * DRPC_MIB);
	w->cg.cpu_some_usec += 10;
	push(w, true);
	drpc_series_last(w->series, &last);
	cr_expect_eq(last.cg.cpu_some_usec, 10);
	end(&w);
}

Test(series, coverage_counts_what_the_measurement_lost)
{
	static struct drpc_window w;

	cr_expect_eq(drpc_window_coverage(&w), 1);
	w.s.seen = 1000;
	w.s.dropped[DRPC_DROP_CLOSED] = 100; /* the application's doing */
	w.s.dropped[DRPC_DROP_RESET] = 100;
	cr_expect_eq(drpc_window_coverage(&w), 1);
	w.s.dropped[DRPC_DROP_NO_STORAGE] = 1;
	w.s.dropped[DRPC_DROP_MOVED] = 2;
	w.s.dropped[DRPC_DROP_CLOCK] = 7;
	cr_expect_float_eq(drpc_window_coverage(&w), 0.99, 1e-12);
	w.s.seen = 0;
	cr_expect_eq(drpc_window_coverage(&w), 1, "nothing was seen, so nothing of it was lost");
}
