/* SPDX-License-Identifier: Apache-2.0 */
/* A histogram in a handful of figures, and one shape for windows and for totals. */
#pragma once

#include "agent/monitor/series.h"

struct drpc_hist_summary {
	uint64_t count;
	double mean_ms, p50_ms, p90_ms, p99_ms, p999_ms;
	double max_ms; /* upper bound of the highest bucket that holds anything */
};

/* All figures are 0 where the histogram is empty. */
void drpc_hist_summarize(const uint64_t hist[DRPC_HIST_BUCKETS], uint64_t sum_ns,
			 struct drpc_hist_summary *ret);

/* A window's counters in the shape of a total. */
void drpc_total_from_window(const struct drpc_window *window, struct drpc_total *ret);

/* *into += total, for everything in it. */
void drpc_total_add(struct drpc_total *into, const struct drpc_total *total);

/* As drpc_window_coverage(). */
double drpc_total_coverage(const struct drpc_total *total);

/* "closed", "reset", "no_storage", "moved", "clock" */
const char *drpc_drop_name(enum drpc_drop reason);
