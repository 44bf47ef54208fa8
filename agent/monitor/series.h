/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The measurements of one container over time. Each window (200 ms) the monitor takes the kernel's
 * counters, keeps the difference, and folds it into
 *   - `recent`: the last windows, for decisions,
 *   - `history`: one sparse record a second for the last minute, for `--since`,
 *   - `total`: everything since the agent began to look.
 * An idle container costs a pointer and a comparison: the big parts exist only after traffic.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/monitor/sample.h"

#define DRPC_RECENT_WINDOWS 5
#define DRPC_HISTORY_SEC    64

struct drpc_series;

int drpc_series_new(struct drpc_series **ret);
void drpc_series_free(struct drpc_series **series);

/* Bytes held, for the agent's own bookkeeping. */
size_t drpc_series_bytes(const struct drpc_series *series);

/*
 * Takes the counters as they stand at the end of a window. `slot` is NULL where the kernel's
 * activity counter did not move since the last call (everything but the cgroup's counters is then
 * zero in this window). The first call only sets the base. Returns 0 or -ENOMEM.
 */
int drpc_series_push(struct drpc_series *series, uint64_t now_ns,
		     const struct drpc_slot_shard *slot, const struct drpc_cgroup_counters *cg);

/* The last window's counters; false before there is one. */
bool drpc_series_last(const struct drpc_series *series, struct drpc_window_scalars *ret);

/*
 * Adds up the windows that began at or after `since_ns`, at most DRPC_RECENT_WINDOWS of them, into
 * *ret. Returns how many (0: none, *ret empty). Only histograms TOTAL are kept in old windows; the
 * others come from drpc_series_since().
 */
size_t drpc_series_recent(const struct drpc_series *series, uint64_t since_ns,
			  struct drpc_window *ret);

/* Adds up whole seconds that ended after `since_ns`, plus what the present second has so far. */
void drpc_series_since(const struct drpc_series *series, uint64_t since_ns,
		       struct drpc_window *ret);

/* Everything since the agent began to look: counters wide enough not to wrap. */
struct drpc_total {
	uint64_t turns, seen, errors, resets, accepts, unread, oom_kills;
	uint64_t dropped[DRPC_DROP_COUNT];
	uint64_t sum_ns[DRPC_HIST_COUNT];
	uint64_t hist[DRPC_HIST_COUNT][DRPC_HIST_BUCKETS]; /* monotone: metrics never go back */
};

/* When the last window ended; 0 before the base. */
uint64_t drpc_series_end_ns(const struct drpc_series *series);

/* The cgroup's counters as the last push saw them; `valid` 0 before the first. */
const struct drpc_cgroup_counters *drpc_series_counters(const struct drpc_series *series);

/* NULL where there never was traffic. */
const struct drpc_total *drpc_series_total(const struct drpc_series *series);

/* *into += window: counters and histograms add, levels take the newer value. */
void drpc_window_add(struct drpc_window *into, const struct drpc_window *window);

/* 1 - lost / seen over the window; 1 where nothing was seen. Loss at close is the application's. */
double drpc_window_coverage(const struct drpc_window *window);
