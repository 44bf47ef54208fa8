// SPDX-License-Identifier: Apache-2.0
#include "agent/api/summary.h"

#include <string.h>

#include "lib/hist.h"
#include "lib/util.h"

/* Scales the counts down by a power of two until their sum fits 32 bits. Quantiles stay where they
 * are: what rounds away is under half of 1 in 2^31. */
static uint64_t narrow(const uint64_t hist[DRPC_HIST_BUCKETS], uint32_t ret[DRPC_HIST_BUCKETS])
{
	unsigned int shift = 0;
	uint64_t count = 0;

	for (size_t b = 0; b < DRPC_HIST_BUCKETS; b++)
		count += hist[b];
	while (count >> shift > UINT32_MAX / 2)
		shift++;
	for (size_t b = 0; b < DRPC_HIST_BUCKETS; b++)
		ret[b] = (uint32_t)((hist[b] + (shift ? 1ULL << (shift - 1) : 0)) >> shift);
	return count;
}

static double max_ms(const uint64_t hist[DRPC_HIST_BUCKETS])
{
	unsigned int b = DRPC_HIST_BUCKETS;

	while (b > 0 && hist[b - 1] == 0)
		b--;
	if (b == 0)
		return 0;
	/* The overflow bucket has no upper bound: its lower one is the most that is known. */
	return (double)drpc_hist_bound_ns(DRPC_MIN(b - 1, DRPC_HIST_OVERFLOW - 1U)) / 1e6;
}

void drpc_hist_summarize(const uint64_t hist[DRPC_HIST_BUCKETS], uint64_t sum_ns,
			 struct drpc_hist_summary *ret)
{
	uint32_t narrowed[DRPC_HIST_BUCKETS];

	memset(ret, 0, sizeof(*ret));
	ret->count = narrow(hist, narrowed);
	if (ret->count == 0)
		return;
	ret->mean_ms = (double)sum_ns / (double)ret->count / 1e6;
	ret->p50_ms = drpc_hist_quantile_ns(narrowed, 0.50) / 1e6;
	ret->p90_ms = drpc_hist_quantile_ns(narrowed, 0.90) / 1e6;
	ret->p99_ms = drpc_hist_quantile_ns(narrowed, 0.99) / 1e6;
	ret->p999_ms = drpc_hist_quantile_ns(narrowed, 0.999) / 1e6;
	ret->max_ms = max_ms(hist);
}

void drpc_total_from_window(const struct drpc_window *window, struct drpc_total *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->turns = window->s.turns;
	ret->seen = window->s.seen;
	ret->errors = window->s.errors;
	ret->resets = window->s.resets;
	ret->accepts = window->s.accepts;
	ret->oom_kills = window->s.cg.oom_kills;
	memcpy(ret->dropped, window->s.dropped, sizeof(ret->dropped));
	memcpy(ret->sum_ns, window->s.sum_ns, sizeof(ret->sum_ns));
	for (size_t k = 0; k < DRPC_HIST_COUNT; k++) {
		for (size_t b = 0; b < DRPC_HIST_BUCKETS; b++)
			ret->hist[k][b] = window->hist[k][b];
	}
}

void drpc_total_add(struct drpc_total *into, const struct drpc_total *total)
{
	into->turns += total->turns;
	into->seen += total->seen;
	into->errors += total->errors;
	into->resets += total->resets;
	into->accepts += total->accepts;
	into->unread += total->unread;
	into->oom_kills += total->oom_kills;
	for (size_t i = 0; i < DRPC_DROP_COUNT; i++)
		into->dropped[i] += total->dropped[i];
	for (size_t k = 0; k < DRPC_HIST_COUNT; k++) {
		into->sum_ns[k] += total->sum_ns[k];
		for (size_t b = 0; b < DRPC_HIST_BUCKETS; b++)
			into->hist[k][b] += total->hist[k][b];
	}
}

double drpc_total_coverage(const struct drpc_total *total)
{
	struct drpc_window window = {.s.seen = total->seen};

	memcpy(window.s.dropped, total->dropped, sizeof(window.s.dropped));
	return drpc_window_coverage(&window);
}

const char *drpc_drop_name(enum drpc_drop reason)
{
	static const char *const names[DRPC_DROP_COUNT] = {"closed", "reset", "no_storage", "moved",
							   "clock"};

	return reason < DRPC_DROP_COUNT ? names[reason] : "unknown";
}
