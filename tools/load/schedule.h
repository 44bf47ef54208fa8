/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When requests are due. A schedule is a list of pieces in which the rate runs linearly from one
 * value to another; arrivals are taken from it one by one, so that nothing is stored per request.
 *
 * Arrival k is due where the integral of the rate reaches k (uniform), or the sum of k exponential
 * draws (poisson): the exact time change for a rate that varies. The same seed gives the same
 * times on every machine and for every number of threads.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/load/rng.h"

#define DRPC_SCHEDULE_MAX_RPS 1e7

#define DRPC_RATE_FORM                                                                        \
	"RATE, or pieces RATE@DURATION and FROM:TO@DURATION joined by commas, in requests/s " \
	"(500; 200@30s,800@30s; 200:800@60s)"

struct drpc_schedule_piece {
	double duration_s; /* 0: to the end (the last piece only) */
	double from_rps;
	double to_rps;
};

struct drpc_schedule {
	struct drpc_schedule_piece *pieces; /* owned */
	size_t count;
	size_t capacity;
};

/*
 * Appends the pieces of `spec`. `flag` names the option in the message that is logged where it is
 * malformed. Returns 0, -EINVAL or -ENOMEM.
 */
int drpc_schedule_parse(struct drpc_schedule *schedule, const char *flag, const char *spec);

/*
 * Appends one piece of a second for every line of a file (a number, times `scale`; empty lines and
 * what follows '#' are skipped). Logs "FILE:LINE: …". Returns 0 or a negative errno; on failure
 * nothing is appended.
 */
int drpc_schedule_load(struct drpc_schedule *schedule, const char *path, double scale);

/*
 * Makes the schedule last exactly `duration_s`: cuts what is longer, and goes on with the last
 * rate (or with `repeat` from the start) where it is shorter. 0 takes the pieces' own sum, and
 * `default_s` for a last piece without a duration. Returns 0, -EINVAL for an empty schedule or one
 * that never sends, -ENOMEM.
 */
int drpc_schedule_finish(struct drpc_schedule *schedule, double duration_s, double default_s,
			 bool repeat);

double drpc_schedule_duration_s(const struct drpc_schedule *schedule);

/* The integral of the rate: how many requests are due over the whole schedule. */
double drpc_schedule_requests(const struct drpc_schedule *schedule);

/* The mean rate in [from_s, to_s), 0 outside the schedule. */
double drpc_schedule_mean_rps(const struct drpc_schedule *schedule, double from_s, double to_s);

void drpc_schedule_release(struct drpc_schedule *schedule);

enum drpc_arrivals_kind {
	DRPC_ARRIVALS_UNIFORM,
	DRPC_ARRIVALS_POISSON,
};

struct drpc_arrivals {
	const struct drpc_schedule *schedule; /* borrowed, finished */
	enum drpc_arrivals_kind kind;
	struct drpc_rng rng;
	size_t piece;
	double piece_start_s;
	double offset; /* integral of the rate inside the piece at the next arrival */
};

void drpc_arrivals_init(struct drpc_arrivals *arrivals, const struct drpc_schedule *schedule,
			enum drpc_arrivals_kind kind, uint64_t seed);

/* The next due time since the start. Returns false at the end of the schedule. */
bool drpc_arrivals_next(struct drpc_arrivals *arrivals, uint64_t *ret_ns);
