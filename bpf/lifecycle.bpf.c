/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Containers that come and go: cgroups made and removed in the cgroup2 hierarchy, with their paths,
 * and tracked cgroups whose first process ended or that hold no process any more.
 */
#include "tracked.bpf.h"

const volatile __u64 drpc_root_id = 0; /* cgroup to stay under, 0: all of them */

/* An event is put together here; the tracepoints run with interrupts off, under one lock. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct drpc_ring_path_event);
} drpc_path_scratch SEC(".maps");

static __noinline bool under_root(const struct cgroup *cgrp)
{
	const struct kernfs_node *kn = BPF_CORE_READ(cgrp, kn);

	for (int level = 0; level < DRPC_CGROUP_DEPTH && kn; level++) {
		if (BPF_CORE_READ(kn, id) == drpc_root_id)
			return true;
		kn = compat_kernfs_parent(kn);
	}
	return false;
}

static __always_inline void send_path_event(enum drpc_event_kind kind, struct cgroup *cgrp,
					    const char *path)
{
	struct drpc_ring_path_event *e;
	__u32 zero = 0;
	long n;

	if (cgrp->root->hierarchy_id != 0) /* a v1 hierarchy's */
		return;
	if (drpc_root_id && !under_root(cgrp))
		return;
	e = bpf_map_lookup_elem(&drpc_path_scratch, &zero);
	if (!e)
		return;
	__builtin_memset(&e->event, 0, sizeof(e->event));
	e->event.kind = kind;
	e->event.time_ns = bpf_ktime_get_ns();
	e->event.cgroup_id = cgrp->kn->id;
	e->event.slot = DRPC_SLOT_NONE;
	n = bpf_probe_read_kernel_str(e->path, sizeof(e->path), path);
	/* Half a path would be somebody else's: a full buffer may be a cut one. */
	if (n <= 0 || n >= DRPC_EVENT_PATH) {
		e->path[0] = 0;
		n = 1;
	}
	n &= DRPC_EVENT_PATH - 1; /* for the verifier */
	if (bpf_ringbuf_output(&drpc_events, e, sizeof(e->event) + n, 0))
		drpc_count_lost(DRPC_LOST_EVENT);
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(on_cgroup_mkdir, struct cgroup *cgrp, const char *path)
{
	send_path_event(DRPC_EVENT_CGROUP_NEW, cgrp, path);
	return 0;
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(on_cgroup_rmdir, struct cgroup *cgrp, const char *path)
{
	send_path_event(DRPC_EVENT_CGROUP_GONE, cgrp, path);
	return 0;
}

SEC("tp_btf/cgroup_release")
int BPF_PROG(on_cgroup_release, struct cgroup *cgrp, const char *path)
{
	send_path_event(DRPC_EVENT_CGROUP_GONE, cgrp, path);
	return 0;
}

/* Whether a task is the first of its pid namespace, other than the machine's. */
static __always_inline bool is_init(struct task_struct *task)
{
	/* Read, not loaded: the verifier lets no typed pointer be indexed by a variable. */
	__u64 pid = (__u64)BPF_CORE_READ(task, thread_pid);
	__u32 level = BPF_CORE_READ((struct pid *)pid, level);
	int nr = 0;

	if (level == 0)
		return false;
	bpf_probe_read_kernel(&nr, sizeof(nr),
			      (void *)(pid + bpf_core_field_offset(struct pid, numbers) +
				       level * bpf_core_type_size(struct upid) +
				       bpf_core_field_offset(struct upid, nr)));
	return nr == 1;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_process_exit, struct task_struct *task)
{
	__u64 id = 0, parent_id;
	__u32 slot;

	if (!is_init(task))
		return 0;
	slot = drpc_tracked_task(task, &id);
	if (slot == DRPC_SLOT_NONE)
		return 0;
	/* A pid namespace within the container (a sandbox) has its parent inside too. */
	parent_id = 0;
	drpc_tracked_task(task->real_parent, &parent_id);
	if (parent_id != id)
		drpc_send_process_event(DRPC_EVENT_EXIT, slot, id, task->tgid);
	return 0;
}

SEC("tp_btf/cgroup_notify_populated")
int BPF_PROG(on_cgroup_populated, struct cgroup *cgrp, const char *path, int populated)
{
	__u64 id;
	__u32 slot;

	if (populated || cgrp->root->hierarchy_id != 0)
		return 0;
	id = cgrp->kn->id;
	slot = drpc_slot_of_id(id);
	if (slot != DRPC_SLOT_NONE)
		drpc_send_process_event(DRPC_EVENT_EXIT, slot, id, 0);
	return 0;
}
