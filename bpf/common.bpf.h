/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What every concern's programs share: the maps (made once by the agent, each object gets them by
 * descriptor, sizes here are placeholders), slots, counters, histogram, events.
 */
#pragma once

#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "compat.bpf.h"
#include "drpc/hist_index.h"
#include "drpc/kernel_abi.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Set by the agent before the load (DRPC_CONFIGURE), the same for every object. */
const volatile __u32 drpc_shard_bits = 0; /* log2 of shards per slot */
const volatile __u32 drpc_slots = 1;	  /* slots in all, `other` among them */

/* cgroup id -> slot. Not preallocated: a node has few of the many it may have. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u32);
} drpc_roster SEC(".maps");

/* Index: slot << drpc_shard_bits | shard. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct drpc_slot_shard);
} drpc_counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct drpc_slot_info);
} drpc_slot_infos SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct drpc_tunables);
} drpc_runtimes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} drpc_events SEC(".maps");

/* By enum drpc_lost. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DRPC_LOST_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} drpc_losses SEC(".maps");

#define drpc_add(ptr, n) ((void)__sync_fetch_and_add((ptr), (n)))

/* Never NULL in practice; the verifier wants it checked. */
static __always_inline const struct drpc_tunables *drpc_runtime(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&drpc_runtimes, &zero);
}

static __always_inline struct drpc_slot_info *drpc_slot_info(__u32 slot)
{
	return bpf_map_lookup_elem(&drpc_slot_infos, &slot);
}

/* This CPU's shard of a slot; NULL for DRPC_SLOT_NONE. */
static __always_inline struct drpc_slot_shard *drpc_shard(__u32 slot)
{
	__u32 key;

	if (slot >= drpc_slots)
		return NULL;
	key = slot << drpc_shard_bits |
	      (bpf_get_smp_processor_id() & ((1U << drpc_shard_bits) - 1));
	return bpf_map_lookup_elem(&drpc_counters, &key);
}

static __always_inline __u32 drpc_slot_of_id(__u64 cgroup_id)
{
	__u32 *slot = bpf_map_lookup_elem(&drpc_roster, &cgroup_id);

	return slot ? *slot : DRPC_SLOT_NONE;
}

/*
 * The slot of a cgroup or of its nearest tracked ancestor, DRPC_SLOT_NONE where there is none.
 * Costs a hash lookup a level: callers cache it with drpc_runtime()->generation beside it.
 */
#define DRPC_CGROUP_DEPTH 24

static __noinline __attribute__((unused)) __u32 drpc_slot_of_cgroup(const struct cgroup *cgrp)
{
	const struct kernfs_node *kn = BPF_CORE_READ(cgrp, kn);

	for (int level = 0; level < DRPC_CGROUP_DEPTH && kn; level++) {
		__u32 slot = drpc_slot_of_id(BPF_CORE_READ(kn, id));

		if (slot != DRPC_SLOT_NONE)
			return slot;
		kn = compat_kernfs_parent(kn);
	}
	return DRPC_SLOT_NONE;
}

/* Adds one value to a histogram of a shard and to its sum. */
static __always_inline void drpc_observe(struct drpc_slot_shard *shard, enum drpc_hist_kind kind,
					 __u64 value_ns)
{
	__u32 b = drpc_hist_bucket(value_ns);

	drpc_add(&shard->sum_ns[kind], value_ns);
	drpc_add(&shard->hist[kind][b], 1);
}

static __always_inline void drpc_count_lost(enum drpc_lost what)
{
	__u32 key = what;
	__u64 *n = bpf_map_lookup_elem(&drpc_losses, &key);

	if (n)
		*n += 1; /* per CPU; a nested softirq may lose one, never corrupt */
}

/*
 * Reserves an event; NULL (and counted) when the buffer is full. Zeroed but for kind and time; to be
 * filled and given to bpf_ringbuf_submit().
 */
static __always_inline struct drpc_ring_event *drpc_event_reserve(enum drpc_event_kind kind)
{
	struct drpc_ring_event *e =
		bpf_ringbuf_reserve(&drpc_events, sizeof(struct drpc_ring_event), 0);

	if (!e) {
		drpc_count_lost(DRPC_LOST_EVENT);
		return NULL;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->kind = kind;
	e->time_ns = bpf_ktime_get_ns();
	return e;
}
