/* SPDX-License-Identifier: Apache-2.0 */
/* The latency concern's own files: kernel_latency.c, kernel_seed.c, kernel_edges.c. */
#pragma once

#include "agent/monitor/kernel_internal.h"
#include "latency.skel.h"

struct drpc_latency {
	struct latency_bpf *bpf;
	struct drpc_edge_counts *edge_counts; /* mapped, NULL without edges */
	size_t edge_counts_bytes;
	bool can_seed;
};
