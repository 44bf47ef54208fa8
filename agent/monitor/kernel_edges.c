/* SPDX-License-Identifier: Apache-2.0 */
/* Caller -> callee relations: the edge table, with addresses resolved to slots. */
#include <errno.h>
#include <sys/mman.h>

#include <bpf/bpf.h>

#include "agent/monitor/kernel_latency.h"
#include "lib/log.h"
#include "lib/util.h"

#define TABLE_BYTES (DRPC_EDGES_MAX * sizeof(struct drpc_edge_counts))
/* The fewest edges that fill whole pages of 4 KiB; larger pages take as many times more. */
#define PIECE_EDGES 128U
_Static_assert(PIECE_EDGES * sizeof(struct drpc_edge_counts) % 4096 == 0, "whole pages");

static uint32_t piece_edges(void)
{
	return PIECE_EDGES * (uint32_t)(sysconf(_SC_PAGESIZE) / 4096);
}

int drpc_edges_reserve(struct drpc_latency *latency)
{
	void *p = mmap(NULL, TABLE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		       -1, 0);

	if (p == MAP_FAILED)
		return drpc_err(-errno, "latency: cannot reserve %zu bytes for edges", TABLE_BYTES);
	latency->edge_counts = p;
	return 0;
}

void drpc_edges_release(struct drpc_latency *latency)
{
	if (latency->edge_counts)
		munmap(latency->edge_counts, TABLE_BYTES);
	latency->edge_counts = NULL;
}

/* An edge's counts, NULL where they cannot be mapped. */
static const struct drpc_edge_counts *counts_of(struct drpc_latency *latency, uint32_t index)
{
	int fd = bpf_map__fd(latency->bpf->maps.drpc_edge_table);

	while (index >= latency->edges_mapped) {
		struct drpc_edge_counts *at = &latency->edge_counts[latency->edges_mapped];
		size_t offset = latency->edges_mapped * sizeof(*at);

		if (mmap(at, piece_edges() * sizeof(*at), PROT_READ, MAP_SHARED | MAP_FIXED, fd,
			 (off_t)offset) == MAP_FAILED)
			return NULL;
		latency->edges_mapped += piece_edges();
	}
	return &latency->edge_counts[index];
}

/* Whose server-role connections have this address and port, UINT32_MAX: nobody's here. */
static uint32_t resolve(const struct drpc_kernel *kernel, const struct drpc_edge_key *caller)
{
	int fd = bpf_map__fd(kernel->latency->bpf->maps.drpc_endpoints);
	struct drpc_edge_key key = *caller;
	struct drpc_endpoint endpoint;

	key.slot = 0;
	key.epoch = 0;
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
			const struct drpc_edge_counts *counts = counts_of(kernel->latency, index);

			if (counts && n < max)
				fill(kernel, &key, counts, &edges[n]);
			n += counts != NULL;
		}
		previous = &key;
	}
	return n;
}

static void forget_edge(const struct latency_bpf *bpf, const struct drpc_edge_key *key,
			uint32_t slot)
{
	static const struct drpc_edge_counts none;
	int index_fd = bpf_map__fd(bpf->maps.drpc_edge_index);
	uint32_t index;

	if (key->slot != slot || bpf_map_lookup_elem(index_fd, key, &index) < 0 ||
	    bpf_map_delete_elem(index_fd, key) < 0)
		return;
	if (bpf_map_update_elem(bpf_map__fd(bpf->maps.drpc_edge_table), &index, &none, BPF_ANY) ==
	    0)
		bpf_map_update_elem(bpf_map__fd(bpf->maps.drpc_edge_free), NULL, &index, BPF_ANY);
}

static void forget_endpoint(const struct latency_bpf *bpf, const struct drpc_edge_key *key,
			    uint32_t slot)
{
	int fd = bpf_map__fd(bpf->maps.drpc_endpoints);
	struct drpc_endpoint endpoint;

	if (bpf_map_lookup_elem(fd, key, &endpoint) == 0 && endpoint.slot == slot)
		bpf_map_delete_elem(fd, key);
}

/* Calls back for each key of a map, which may delete it; at most so many, as the programs may be
 * filling it. */
static void for_each_key(const struct latency_bpf *bpf, int fd, int most, uint32_t slot,
			 void (*fn)(const struct latency_bpf *, const struct drpc_edge_key *,
				    uint32_t))
{
	struct drpc_edge_key key, next;
	int more = bpf_map_get_next_key(fd, NULL, &next);

	for (int i = 0; more == 0 && i < most; i++) {
		key = next;
		more = bpf_map_get_next_key(fd, &key, &next);
		fn(bpf, &key, slot);
	}
}

void drpc_edges_forget(struct drpc_kernel *kernel, uint64_t cgroup_id, uint32_t slot)
{
	const struct latency_bpf *bpf;

	(void)cgroup_id;
	/* The slot of all that are over the cap is nobody's in particular. */
	if (!kernel->latency || !kernel->latency->edge_counts || slot == DRPC_SLOT_OTHER)
		return;
	bpf = kernel->latency->bpf;
	for_each_key(bpf, bpf_map__fd(bpf->maps.drpc_edge_index), DRPC_EDGES_MAX, slot,
		     forget_edge);
	for_each_key(bpf, bpf_map__fd(bpf->maps.drpc_endpoints), DRPC_ENDPOINTS_MAX, slot,
		     forget_endpoint);
}
