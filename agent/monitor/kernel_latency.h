/* SPDX-License-Identifier: Apache-2.0 */
/* The latency concern's own files: kernel_latency.c, kernel_seed.c, kernel_edges.c. */
#pragma once

#include "agent/monitor/kernel_internal.h"
#include "latency.skel.h"

#define DRPC_ENDPOINTS_MAX 8192

struct drpc_latency {
	struct latency_bpf *bpf;
	/* DRPC_EDGES_MAX of them, mapped up to edges_mapped: indices are given out in order, and the
	 * kernel puts every page of a mapping into the address space at once. NULL without edges. */
	struct drpc_edge_counts *edge_counts;
	uint32_t edges_mapped;
	bool can_seed;
};

/* Reserves the room for the edge table. 0 or a negative errno, logged. */
int drpc_edges_reserve(struct drpc_latency *latency);
void drpc_edges_release(struct drpc_latency *latency);

/* A container has gone: its edges and the addresses that led to it make room for others. */
void drpc_edges_forget(struct drpc_kernel *kernel, uint64_t cgroup_id, uint32_t slot);
