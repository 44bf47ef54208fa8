/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel side of the monitor: loads the BPF objects, chooses a hook for each need by what the
 * kernel allows (the hook ladder), maps the counters. Nothing here blocks, nothing allocates after
 * drpc_kernel_open().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/monitor/sample.h"
#include "include/drpc/kernel_abi.h"

struct drpc_kernel;

struct drpc_kernel_options {
	uint32_t max_containers;   /* cap; over it everything shares slot 0. 0: 1024 */
	uint64_t map_budget_bytes; /* refused over it. 0: 32 MiB */
	bool latency, sched, memory, lifecycle, edges, cgroup_iter; /* concerns to load */
	bool hooks_alone; /* benchmarks: the latency hooks return at once, nothing is measured */
	const char
		*force_rung; /* tests: "latency=fexit,cgroup=files", NULL for the best there is */
	int cgroup_root_fd;  /* cgroup2 folder to stay under, -1: the whole mount */
};

/* What came of one need: which rung of its ladder holds, or why none does. For `drpc doctor`. */
struct drpc_hook_status {
	char need[24];	  /* "data arrived", "application read", ... */
	char rung[40];	  /* "tp_btf/tcp_probe", ... ; "" where none works */
	char reason[120]; /* why the better rungs were not taken, or what is lost */
	bool working;
};

struct drpc_event {
	enum drpc_event_kind kind;
	uint64_t time_ns;
	uint64_t cgroup_id;
	uint32_t pid, slot;
	uint64_t duration_ns;
	const char *path; /* relative to the cgroup2 mount, "" for one of 512 bytes or more (look
			   * through the tree); valid during the callback only */
	const char *peer; /* DRPC_EVENT_SLOW: "10.0.0.7:5432"; valid during the callback only */
};

/* One caller -> callee relation, totals since the start. */
struct drpc_edge {
	uint32_t caller_slot;
	uint32_t callee_slot; /* UINT32_MAX: outside, see address */
	char address[56];     /* "10.0.0.7:5432", "[fe80::1]:80" */
	uint64_t count, sum_ns, failures;
	uint32_t hist[DRPC_HIST_BUCKETS]; /* request sent -> first response byte, at the caller */
};

typedef void (*drpc_event_fn)(const struct drpc_event *event, void *arg);

/*
 * Loads and attaches what the kernel allows. A concern whose every rung is refused is left out and
 * says so in its status: that is not an error here; -ENOTSUP only where nothing at all could be
 * loaded. Returns 0 and *ret, or a negative errno with the reason logged.
 */
int drpc_kernel_open(const struct drpc_kernel_options *options, struct drpc_kernel **ret);
void drpc_kernel_close(struct drpc_kernel **kernel); /* NULL-safe; detaches, nulls */

/* Hook ladder results, valid as long as the handle. */
const struct drpc_hook_status *drpc_kernel_hooks(const struct drpc_kernel *kernel,
						 size_t *ret_count);

/*
 * Gives a cgroup (and all cgroups below it) the next free slot, or DRPC_SLOT_OTHER over the cap;
 * `drpc_kernel_untrack` frees it. A freed slot's counters go on counting for nobody until it is
 * given out again; the reader starts from the values it finds then.
 */
int drpc_kernel_track(struct drpc_kernel *kernel, uint64_t cgroup_id, uint32_t *ret_slot);
void drpc_kernel_untrack(struct drpc_kernel *kernel, uint64_t cgroup_id, uint32_t slot);

/* Sums a slot's shards into *ret (u32 buckets: modular). Cheap when nothing happened: compare
 * drpc_kernel_activity() first. */
void drpc_kernel_read_slot(const struct drpc_kernel *kernel, uint32_t slot,
			   struct drpc_slot_shard *ret);
uint64_t drpc_kernel_activity(const struct drpc_kernel *kernel, uint32_t slot);

/*
 * Seeds sockets that were open before the start, in the network namespace of `pid` (0: ours).
 * Returns how many server-role sockets were seeded, or a negative errno: -ENOENT when the process
 * has ended, -ENOTSUP where the iterator does not work; those connections stay unmeasured then.
 */
int drpc_kernel_seed_sockets(struct drpc_kernel *kernel, pid_t pid);

/* One pass over all tracked cgroups by the iterator; afterwards drpc_kernel_cgroup() has fresh
 * values. -ENOTSUP: use the files (agent/monitor/cgroup_files.h). */
int drpc_kernel_scan_cgroups(struct drpc_kernel *kernel);
bool drpc_kernel_cgroup(const struct drpc_kernel *kernel, uint32_t slot,
			struct drpc_cgroup_counters *ret);
/*
 * Whether the last pass found the slot's cgroup at rest: no CPU used since the pass before, nobody
 * under pressure. Its counters are then those of an earlier pass, at most DRPC_CGROUP_REST - 1 ago:
 * each cgroup is read, and not said to be at rest, at least once in DRPC_CGROUP_REST passes.
 */
bool drpc_kernel_cgroup_at_rest(const struct drpc_kernel *kernel, uint32_t slot);

/* The ring buffer's descriptor, to be polled, and its consumption. Returns events handled. */
int drpc_kernel_event_fd(const struct drpc_kernel *kernel);
int drpc_kernel_consume(struct drpc_kernel *kernel, drpc_event_fn fn, void *arg);

/* Copies at most `max` edges; returns how many there are. */
size_t drpc_kernel_edges(struct drpc_kernel *kernel, struct drpc_edge *edges, size_t max);

/*
 * Turns of a slot that take at least `slow_ns` become DRPC_EVENT_SLOW, at most one in 10 ms on each
 * CPU; 0: none.
 */
void drpc_kernel_set_slow(struct drpc_kernel *kernel, uint32_t slot, uint64_t slow_ns);

/* Events the ring buffer had no room for, edges the table had none for, stalls in reclaim that were
 * not timed, and map memory. */
struct drpc_kernel_stats {
	uint64_t lost_events, lost_edges, lost_stalls, map_bytes;
	uint64_t missed_runs; /* of the latency programs, where one would have interrupted itself */
	uint32_t slots_used, slots_max, shards;
};
void drpc_kernel_stats(const struct drpc_kernel *kernel, struct drpc_kernel_stats *ret);
