/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Run-queue latency and context switches of each container.
 *
 * A wait begins when a task becomes runnable (woken, newly made, or taken off the CPU while it
 * wanted to go on: preempted, its time slice or its container's quota used up) and ends when it is
 * switched in. Each switch-in is one context switch and one value of DRPC_HIST_RUNQ.
 *
 * Best rung: one program at sched_switch alone. The scheduler itself keeps when a task was queued
 * (sched_info.last_queued) and the sum of its ended waits (run_delay), both in rq clock, and
 * sched_switch fires under the rq's lock before it books the wait that ends. A task moved to
 * another CPU while waiting is queued anew, its wait so far booked: the difference of run_delay
 * against the task's last switch-in, kept in task storage, is the wait over all the moves.
 */
#include "common.bpf.h"

/*
 * Slots of the cgroups this CPU last switched between. Cgroup ids count up, so their low bits
 * spread. The hooks that use it run with interrupts off and do not nest on a CPU.
 */
#define CACHE_ENTRIES 256

struct slot_cache {
	struct {
		__u64 cgroup_id;
		__u32 generation; /* of drpc_tunables; the agent starts counting at 1 */
		__u32 slot;
	} entry[CACHE_ENTRIES];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct slot_cache);
} drpc_sched_cache SEC(".maps");

struct task_wait {
	__u64 run_delay; /* after the task's last switch-in */
	__u32 generation;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_wait);
} drpc_sched_tasks SEC(".maps");

/*
 * Last rung: runnable tasks, thread id -> since when. Preallocated, since nothing may be allocated
 * under a rq's lock; LRU, since a container that is untracked leaves entries behind.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u32);
	__type(value, __u64);
} drpc_sched_woken SEC(".maps");

static __noinline __u32 slot_look_up(const struct cgroup *cgrp)
{
	return drpc_slot_of_cgroup(cgrp);
}

static __always_inline __u32 slot_of_task(struct task_struct *task, __u32 generation)
{
	struct cgroup *cgrp = task->cgroups->dfl_cgrp;
	__u64 id = cgrp->kn->id;
	struct slot_cache *cache;
	__u32 at = id % CACHE_ENTRIES, zero = 0;

	cache = bpf_map_lookup_elem(&drpc_sched_cache, &zero);
	if (!cache)
		return DRPC_SLOT_NONE;
	if (cache->entry[at].cgroup_id != id || cache->entry[at].generation != generation) {
		cache->entry[at].slot = slot_look_up(cgrp);
		cache->entry[at].cgroup_id = id;
		cache->entry[at].generation = generation;
	}
	return cache->entry[at].slot;
}

/* The counters of the task that is switched in; NULL for the idle task and what is not tracked. */
static __always_inline struct drpc_slot_shard *shard_of_next(struct task_struct *next,
							     __u32 *ret_generation)
{
	const struct drpc_tunables *runtime;

	if (next->pid == 0)
		return NULL;
	runtime = drpc_runtime();
	if (!runtime)
		return NULL;
	*ret_generation = runtime->generation;
	return drpc_shard(slot_of_task(next, *ret_generation));
}

/* The wait that ends now, without what was booked at moves; 0 where the task did not wait. */
static __always_inline __u64 wait_here(struct task_struct *next)
{
	__u64 queued = next->sched_info.last_queued, now = next->se.cfs_rq->rq->clock;

	return queued && now > queued ? now - queued : 0;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch_moves, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	struct drpc_slot_shard *shard;
	struct task_wait *task;
	__u64 wait, booked;
	__u32 generation;

	shard = shard_of_next(next, &generation);
	if (!shard)
		return 0;
	drpc_add(&shard->ctx_switches, 1);
	wait = wait_here(next);
	booked = next->sched_info.run_delay + wait; /* what the scheduler makes it in a moment */
	task = bpf_task_storage_get(&drpc_sched_tasks, next, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (task) {
		/* While the roster changed it may have run unseen: then only this queue counts. */
		if (task->generation == generation && booked > task->run_delay)
			wait = booked - task->run_delay;
		task->run_delay = booked;
		task->generation = generation;
	}
	drpc_observe(shard, DRPC_HIST_RUNQ, wait);
	return 0;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch_here, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	struct drpc_slot_shard *shard;
	__u32 generation;

	shard = shard_of_next(next, &generation);
	if (!shard)
		return 0;
	drpc_add(&shard->ctx_switches, 1);
	drpc_observe(shard, DRPC_HIST_RUNQ, wait_here(next));
	return 0;
}

/* --- without sched_info: time stamps of our own ------------------------------------------------ */

static __always_inline void mark_runnable(struct task_struct *task)
{
	const struct drpc_tunables *runtime = drpc_runtime();
	__u64 now = bpf_ktime_get_ns();
	__u32 tid = task->pid;

	if (!runtime || tid == 0)
		return;
	if (slot_of_task(task, runtime->generation) != DRPC_SLOT_NONE)
		bpf_map_update_elem(&drpc_sched_woken, &tid, &now, BPF_ANY);
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(on_wakeup, struct task_struct *task)
{
	mark_runnable(task);
	return 0;
}

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(on_wakeup_new, struct task_struct *task)
{
	mark_runnable(task);
	return 0;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch_woken, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	struct drpc_slot_shard *shard;
	__u32 generation, tid;
	__u64 *since, now;

	if (preempt || prev->__state == 0) /* TASK_RUNNING: it wants to go on */
		mark_runnable(prev);
	shard = shard_of_next(next, &generation);
	if (!shard)
		return 0;
	drpc_add(&shard->ctx_switches, 1);
	tid = next->pid;
	since = bpf_map_lookup_elem(&drpc_sched_woken, &tid);
	if (!since)
		return 0;
	now = bpf_ktime_get_ns();
	drpc_observe(shard, DRPC_HIST_RUNQ, now > *since ? now - *since : 0);
	bpf_map_delete_elem(&drpc_sched_woken, &tid);
	return 0;
}
