/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Memory trouble of each container: how long its tasks stood still to reclaim memory themselves
 * (because of the container's own limit, or because the node ran short), and its OOM kills.
 *
 * Stalls belong to the container of the task that stalls. Reclaim that nobody waits for (kswapd,
 * the kernel's workers) is not counted, and neither is what lowering a limit makes the agent wait.
 */
#include "tracked.bpf.h"

/* Threads in reclaim -> since when. Preallocated: this is no time to ask for memory. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} drpc_reclaiming SEC(".maps");

static __always_inline void reclaim_begins(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 now = bpf_ktime_get_ns(), id;
	__u32 tid = task->pid;

	if (drpc_tracked_task(task, &id) == DRPC_SLOT_NONE)
		return;
	if (bpf_map_update_elem(&drpc_reclaiming, &tid, &now, BPF_ANY))
		drpc_count_lost(DRPC_LOST_STALL);
}

static __always_inline void reclaim_ends(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct drpc_slot_shard *shard;
	__u32 tid = task->pid;
	__u64 *since, now, id;

	since = bpf_map_lookup_elem(&drpc_reclaiming, &tid);
	if (!since)
		return;
	now = bpf_ktime_get_ns();
	shard = drpc_shard(drpc_tracked_task(task, &id));
	if (shard)
		drpc_observe(shard, DRPC_HIST_RECLAIM, now > *since ? now - *since : 0);
	bpf_map_delete_elem(&drpc_reclaiming, &tid);
}

SEC("tp_btf/mm_vmscan_memcg_reclaim_begin")
int BPF_PROG(on_memcg_reclaim_begin)
{
	reclaim_begins();
	return 0;
}

SEC("tp_btf/mm_vmscan_memcg_reclaim_end")
int BPF_PROG(on_memcg_reclaim_end)
{
	reclaim_ends();
	return 0;
}

SEC("tp_btf/mm_vmscan_direct_reclaim_begin")
int BPF_PROG(on_direct_reclaim_begin)
{
	reclaim_begins();
	return 0;
}

SEC("tp_btf/mm_vmscan_direct_reclaim_end")
int BPF_PROG(on_direct_reclaim_end)
{
	reclaim_ends();
	return 0;
}

/* --- OOM kills ---------------------------------------------------------------------------------*/

static __always_inline void oom_kill(struct task_struct *victim)
{
	struct drpc_slot_shard *shard;
	__u64 id = 0;
	__u32 slot = drpc_tracked_task(victim, &id);

	shard = drpc_shard(slot);
	if (!shard)
		return;
	drpc_add(&shard->oom_kills, 1);
	drpc_send_process_event(DRPC_EVENT_OOM_KILL, slot, id, BPF_CORE_READ(victim, tgid));
}

/* Since 6.10 (72ba14deb40a, "mm: update mark_victim tracepoints fields") the victim itself is told;
 * before, only its thread id, and the verifier refuses this program. */
SEC("tp_btf/mark_victim")
int BPF_PROG(on_mark_victim, struct task_struct *victim)
{
	if (victim->pid) /* typed: what makes the verifier refuse an id */
		oom_kill(victim);
	return 0;
}

/* Where only the id is known: whoever exits with it is the victim. LRU: one may have exited before. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u8);
} drpc_oom_victims SEC(".maps");

SEC("tp_btf/mark_victim")
int on_mark_victim_id(__u64 *ctx)
{
	__u64 told = 0;
	__u32 tid;
	__u8 one = 1;

	bpf_probe_read_kernel(&told, sizeof(told), ctx);
	if (told >> 32) /* a task, on a kernel that has the better hook */
		told = BPF_CORE_READ((struct task_struct *)told, pid);
	tid = told;
	if (bpf_map_update_elem(&drpc_oom_victims, &tid, &one, BPF_ANY))
		drpc_count_lost(DRPC_LOST_EVENT);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_victim_exit, struct task_struct *task)
{
	__u32 tid = task->pid;

	if (!bpf_map_lookup_elem(&drpc_oom_victims, &tid))
		return 0;
	bpf_map_delete_elem(&drpc_oom_victims, &tid);
	oom_kill(task);
	return 0;
}
