/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one window says of a container or a deployment: the joined view of the kernel's histograms
 * and the cgroup's counters. Plain data; windows add up (see drpc_window_add).
 */
#pragma once

#include <stdint.h>

#include "include/drpc/kernel_abi.h"

/* Totals since the agent began to look at a cgroup. Source: cgroup iterator or the files. */
struct drpc_cgroup_counters {
	uint64_t cpu_usage_usec;
	uint64_t nr_periods, nr_throttled, throttled_usec;
	uint64_t cpu_some_usec, cpu_full_usec; /* PSI totals: cpu.pressure */
	uint64_t mem_some_usec, mem_full_usec; /* memory.pressure */
	uint64_t io_some_usec, io_full_usec;   /* io.pressure */
	uint64_t mem_current_bytes;	       /* memory.current: includes page cache */
	uint64_t mem_working_set_bytes;	       /* current - inactive_file, as the kubelet counts */
	uint64_t oom_kills;
	uint32_t valid; /* DRPC_CG_* bits: which groups above hold a value */
};

#define DRPC_CG_CPU	 0x01U
#define DRPC_CG_THROTTLE 0x02U
#define DRPC_CG_PSI_CPU	 0x04U
#define DRPC_CG_PSI_MEM	 0x08U
#define DRPC_CG_MEM	 0x10U
#define DRPC_CG_OOM	 0x20U
#define DRPC_CG_PSI_IO	 0x40U

/* Adds what counts up; levels (mem_*) and `valid` are left alone: what they come to is the caller's
 * business, for windows follow each other and containers stand side by side. */
void drpc_cgroup_totals_add(struct drpc_cgroup_counters *into,
			    const struct drpc_cgroup_counters *from);

/* One window's counters: differences of the kernel's slot counters and of the cgroup's totals. */
struct drpc_window_scalars {
	uint64_t start_ns, end_ns; /* CLOCK_MONOTONIC */
	uint64_t turns, seen, resets, accepts;
	uint64_t errors;  /* turns that ended without an answer: closed or reset */
	int64_t inflight; /* at the end of the window */
	uint64_t dropped[DRPC_DROP_COUNT];
	uint64_t sum_ns[DRPC_HIST_COUNT];
	struct drpc_cgroup_counters cg; /* differences; levels (mem_*) as they stand at the end */
};

struct drpc_window {
	struct drpc_window_scalars s;
	uint32_t hist[DRPC_HIST_COUNT][DRPC_HIST_BUCKETS];
};
