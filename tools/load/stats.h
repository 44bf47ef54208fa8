/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What became of the requests. A request belongs to the second in which it was due, so a stall
 * shows where it began and at every request that it delayed.
 *
 *   due = ok + failed + unfinished
 *
 * Latency is that of ok requests and of those that timed out (at the moment they were given up: a
 * lower bound); quick errors would flatter it. `due` latency runs from the intended send time,
 * `sent` latency from the actual one, of the requests that were sent.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/load/hdr.h"

enum drpc_load_failure {
	DRPC_LOAD_STATUS,   /* answered with a status of 400 or more */
	DRPC_LOAD_TIMEOUT,  /* not answered in time, counted from the intended send time */
	DRPC_LOAD_REFUSED,  /* no connection could be made */
	DRPC_LOAD_RESET,    /* connection lost before the response was complete */
	DRPC_LOAD_PROTOCOL, /* what came is no HTTP response */
	DRPC_LOAD_FAILURES,
};

extern const char *const drpc_load_failure_names[DRPC_LOAD_FAILURES];

struct drpc_load_counts {
	uint64_t due;
	uint64_t sent;
	uint64_t ok;
	uint64_t failed[DRPC_LOAD_FAILURES];
	uint64_t unfinished; /* the run was stopped first */
	uint64_t slo_misses; /* failed, or ok after the objective */
	uint64_t body_bytes;
};

struct drpc_load_bin {
	struct drpc_load_counts counts;
	struct drpc_hdr due;
	struct drpc_hdr sent;
};

void drpc_load_bin_reset(struct drpc_load_bin *bin);
void drpc_load_bin_merge(struct drpc_load_bin *into, const struct drpc_load_bin *from);
uint64_t drpc_load_failed(const struct drpc_load_counts *counts);

#define DRPC_LOAD_QUANTILES 9
extern const double drpc_load_quantiles[DRPC_LOAD_QUANTILES];
/* "p50" … "p9999", in the same order. */
extern const char *const drpc_load_quantile_names[DRPC_LOAD_QUANTILES];

struct drpc_load_summary {
	uint64_t count;
	double mean_ms;
	double quantile_ms[DRPC_LOAD_QUANTILES];
	double max_ms;
};

void drpc_load_summarize(const struct drpc_hdr *hdr, struct drpc_load_summary *summary);

/* One second of the run, final. */
struct drpc_load_row {
	uint64_t second;
	double target_rps;
	struct drpc_load_counts counts;
	struct drpc_load_summary due;
	struct drpc_load_summary sent;
};

/*
 * Gathers the seconds of all threads. Each thread hands over its seconds in order, once all its
 * requests that were due in them are settled; a row is made when the last thread has done so.
 * Thread-safe.
 */
struct drpc_load_series;

int drpc_load_series_new(unsigned int threads, struct drpc_load_series **ret);
void drpc_load_series_free(struct drpc_load_series **series);

/* Returns 0 or -ENOMEM (the second is then missing from the rows). */
int drpc_load_series_add(struct drpc_load_series *series, unsigned int thread,
			 const struct drpc_load_bin *bin);

/* Copies row `index`; false where it is not final yet. */
bool drpc_load_series_row(struct drpc_load_series *series, size_t index, struct drpc_load_row *ret);

/* Copies the sum of all that was added. */
void drpc_load_series_total(struct drpc_load_series *series, struct drpc_load_bin *ret);

/*
 * The open seconds of one thread: a ring that grows to the longest time a request can be open.
 */
struct drpc_load_window {
	struct drpc_load_open {
		struct drpc_load_bin bin;
		uint64_t open; /* requests that are not settled */
	} * ring;
	size_t size;
	uint64_t first; /* the oldest open second */
	uint64_t count;
};

/* The bin of a second, not before the oldest open one; NULL where memory is out. */
struct drpc_load_open *drpc_load_window_at(struct drpc_load_window *window, uint64_t second);

/*
 * Hands over every second before `now_second` that has nothing open; with `all`, the rest too.
 * Returns 0 or -ENOMEM.
 */
int drpc_load_window_close(struct drpc_load_window *window, uint64_t now_second, bool all,
			   struct drpc_load_series *series, unsigned int thread);

void drpc_load_window_release(struct drpc_load_window *window);
