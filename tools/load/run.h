/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An open-loop run: every request has its intended send time from the schedule, whatever became of
 * those before it. Where no connection is free it waits, and the wait counts.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/load/schedule.h"
#include "tools/load/stats.h"
#include "tools/load/workload.h"

#define DRPC_LOAD_THREADS_MAX 256

struct drpc_load_config {
	const struct drpc_workload *workload; /* resolved */
	const struct drpc_schedule *schedule; /* finished */
	enum drpc_arrivals_kind arrivals;
	uint64_t seed;
	unsigned int connections; /* in all, dealt out to threads and targets in turn */
	unsigned int threads;
	uint64_t timeout_ns; /* from the intended send time */
	uint64_t slo_ns;     /* 0: none */
	bool spin;	     /* poll instead of sleeping: a core a thread, and no wake-up delay */
};

struct drpc_load_result {
	double duration_s; /* of the schedule, or until the run was stopped */
	double elapsed_s;  /* until the last answer */
	bool stopped;
	struct drpc_load_bin total;
	struct drpc_load_bin *classes; /* one a class of the workload */
	unsigned int class_count;
	struct drpc_load_row *rows;
	size_t row_count;
	struct drpc_hdr lag; /* how late the generator itself was in taking up a request */
	uint64_t connects;   /* connections made */
};

/* Called in the thread of drpc_load_run(), while the run goes on. Any may be NULL. */
struct drpc_load_watch {
	void (*on_row)(void *arg, const struct drpc_load_row *row);
	void (*on_tick)(void *arg, double elapsed_s); /* about ten times a second */
	void *arg;
};

/*
 * Runs to the end of the schedule and the last answer, or until *stop becomes true. Returns 0, or
 * a negative errno, logged: -EINVAL for fewer connections than threads × targets, -ECONNREFUSED
 * and its like where a target took no connection at the start.
 */
int drpc_load_run(const struct drpc_load_config *config, const atomic_bool *stop,
		  const struct drpc_load_watch *watch, struct drpc_load_result **ret);

void drpc_load_result_free(struct drpc_load_result **result);
