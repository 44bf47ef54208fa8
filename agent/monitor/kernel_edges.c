/* SPDX-License-Identifier: Apache-2.0 */
/* Caller -> callee relations: the edge table, with addresses resolved to slots. */
#include <string.h>

#include <bpf/bpf.h>

#include "agent/monitor/kernel_latency.h"
#include "lib/util.h"

/* Whose server-role connections have this address and port, UINT32_MAX: nobody's here. */
static uint32_t resolve(const struct drpc_kernel *kernel, const struct drpc_edge_key *caller)
{
	int fd = bpf_map__fd(kernel->latency->bpf->maps.drpc_endpoints);
	struct drpc_edge_key key = *caller;
	struct drpc_endpoint endpoint;

	key.slot = 0;
	if (bpf_map_lookup_elem(fd, &key, &endpoint) < 0 || endpoint.slot >= kernel->slots ||
	    kernel->slot_infos[endpoint.slot].epoch != endpoint.epoch)
		return UINT32_MAX;
	return endpoint.slot;
}

static void fill(const struct drpc_kernel *kernel, const struct drpc_edge_key *key,
		 const struct drpc_edge_counts *counts, struct drpc_edge *ret)
{
	ret->caller_slot = key->slot;
	ret->callee_slot = resolve(kernel, key);
	drpc_kernel_format_peer(ret->address, sizeof(ret->address), key->addr, key->port);
	ret->count = __atomic_load_n(&counts->count, __ATOMIC_RELAXED);
	ret->sum_ns = __atomic_load_n(&counts->sum_ns, __ATOMIC_RELAXED);
	ret->failures = __atomic_load_n(&counts->failures, __ATOMIC_RELAXED);
	for (int b = 0; b < DRPC_HIST_BUCKETS; b++)
		ret->hist[b] = __atomic_load_n(&counts->hist[b], __ATOMIC_RELAXED);
}

size_t drpc_latency_edges(struct drpc_kernel *kernel, struct drpc_edge *edges, size_t max)
{
	struct drpc_edge_key key, *previous = NULL;
	size_t n = 0;
	int fd;

	if (!kernel->latency || !kernel->latency->edge_counts)
		return 0;
	fd = bpf_map__fd(kernel->latency->bpf->maps.drpc_edge_index);
	while (n < DRPC_EDGES_MAX && bpf_map_get_next_key(fd, previous, &key) == 0) {
		uint32_t index;

		if (bpf_map_lookup_elem(fd, &key, &index) == 0 && index < DRPC_EDGES_MAX) {
			if (n < max)
				fill(kernel, &key, &kernel->latency->edge_counts[index], &edges[n]);
			n++;
		}
		previous = &key;
	}
	return n;
}
