/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A recording: what an agent measured of a running application, interval by interval. `drpc record`
 * writes it, `drpc-sim fit` makes an application file of it. docs/calibration.md tells the use.
 *
 * SQLite, with tables of its own: the historical database (workload/history.h) holds one number a
 * row, named and in order of time; here an interval is one thing, of which a latency histogram and
 * some twenty counters must be taken or left together, and edges have two ends. Histograms are text,
 * "BUCKET:COUNT …", so that the file can be looked at with sqlite3 alone.
 *
 * Whatever is added is one transaction: an interval is there for all containers, or for none.
 * Everything that fails is logged with the file's name. -EBUSY: another process writes; -ENOSPC: the
 * disk, or the limit, is full; -EPROTONOSUPPORT: no recording, damaged, or of a newer version.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "include/drpc/hist.h"

#define DRPC_RECORDING_VERSION	1
#define DRPC_RECORDING_MAX_ROWS 5000000 /* intervals × containers that are read */

/* Where the application ran. */
struct drpc_recording_node {
	double cpu_cores;
	uint64_t memory_bytes;
	uint64_t tick_ns; /* of the kernel's scheduler; 0: unknown */
};

struct drpc_recording_container {
	char *id, *name, *deployment;
	double slo_ns; /* its objective on p99; 0: none */
};

/* One container in one interval: differences of counters, and levels at the end. */
struct drpc_recording_sample {
	uint32_t container; /* index into the list of containers */
	int64_t time_ms;    /* the interval's end, since 1970 */
	double span_s;
	uint64_t requests, errors, seen, lost;
	uint64_t in_flight; /* level */
	uint64_t total_ns, queue_ns, service_ns, send_ns;
	uint64_t cpu_usec, periods, throttled, throttled_usec;
	double cpu_limit_cores;				       /* level; 0: none */
	uint64_t memory_bytes, working_set_bytes, limit_bytes; /* levels; limit 0: none */
	uint64_t oom_kills;
	uint32_t hist[DRPC_HIST_BUCKETS]; /* of the latency, arrival to last byte of the answer */
};

#define DRPC_RECORDING_OUTSIDE UINT32_MAX

/* Calls of one container to another one in one interval, as the caller sees them. */
struct drpc_recording_edge {
	uint32_t caller, callee; /* callee DRPC_RECORDING_OUTSIDE: not on this node */
	int64_t time_ms;
	char address[56];
	uint64_t count, failures;
	uint64_t sum_ns; /* request sent to first byte of the answer */
};

struct drpc_recording; /* a file that is open for writing */

/* Opens to append, and makes it where it is not there. -EEXIST: it is of another node. */
int drpc_recording_open(const char *path, const struct drpc_recording_node *node,
			struct drpc_recording **ret);
void drpc_recording_free(struct drpc_recording **recording);

/* The most bytes its file may have; adding more is -ENOSPC. */
int drpc_recording_limit(struct drpc_recording *recording, uint64_t bytes);

/* What one interval adds; containers are told by their place in `containers`, and known again by id. */
struct drpc_recording_interval {
	const struct drpc_recording_container *containers;
	size_t n_containers;
	const struct drpc_recording_sample *samples;
	size_t n_samples;
	const struct drpc_recording_edge *edges;
	size_t n_edges;
};
int drpc_recording_add(struct drpc_recording *recording,
		       const struct drpc_recording_interval *interval);

/* All of a file. Samples and edges ascend by time. */
struct drpc_recorded {
	struct drpc_recording_node node;
	struct drpc_recording_container *containers;
	size_t n_containers;
	struct drpc_recording_sample *samples;
	size_t n_samples;
	struct drpc_recording_edge *edges;
	size_t n_edges;
};

/* Reads it whole; what cannot be (negative counters, histograms that count otherwise than their
 * requests, unknown containers) is -EINVAL, logged with row and rule. */
int drpc_recorded_load(const char *path, struct drpc_recorded *ret);
void drpc_recorded_release(struct drpc_recorded *recorded);
