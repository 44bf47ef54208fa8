/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whose task this is, for programs that are rare enough to look it up each time. */
#pragma once

#include "common.bpf.h"

/*
 * The nearest tracked cgroup at or around this one: its slot, DRPC_SLOT_NONE where there is none,
 * and in *ret_id its id.
 */
static __noinline __u32 drpc_tracked_cgroup(const struct cgroup *cgrp, __u64 *ret_id)
{
	const struct kernfs_node *kn = BPF_CORE_READ(cgrp, kn);

	for (int level = 0; level < DRPC_CGROUP_DEPTH && kn; level++) {
		__u64 id = BPF_CORE_READ(kn, id);
		__u32 slot = drpc_slot_of_id(id);

		if (slot != DRPC_SLOT_NONE) {
			*ret_id = id;
			return slot;
		}
		kn = compat_kernfs_parent(kn);
	}
	return DRPC_SLOT_NONE;
}

static __always_inline __u32 drpc_tracked_task(struct task_struct *task, __u64 *ret_id)
{
	return drpc_tracked_cgroup(BPF_CORE_READ(task, cgroups, dfl_cgrp), ret_id);
}

/* An event that is nothing but a process of a tracked cgroup. */
static __always_inline void drpc_send_process_event(enum drpc_event_kind kind, __u32 slot,
						    __u64 cgroup_id, __u32 pid)
{
	struct drpc_ring_event *e = drpc_event_reserve(kind);

	if (!e)
		return;
	e->slot = slot;
	e->cgroup_id = cgroup_id;
	e->pid = pid;
	bpf_ringbuf_submit(e, 0);
}
