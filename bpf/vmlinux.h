/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel types the BPF programs use, and no others. Kept by hand: fields are found by name at
 * load time (CO-RE), so order, padding and what is left out do not matter. A field that changed
 * its name or place between kernels belongs into compat.bpf.h, not here.
 */
#ifndef __VMLINUX_H__
#define __VMLINUX_H__

typedef signed char __s8;
typedef unsigned char __u8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __s8 s8;
typedef __u8 u8;
typedef __s16 s16;
typedef __u16 u16;
typedef __s32 s32;
typedef __u32 u32;
typedef __s64 s64;
typedef __u64 u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u32 __wsum;
typedef __u16 __sum16;
typedef _Bool bool;
typedef int pid_t;

#define true 1
#define false 0
#ifndef NULL
#define NULL ((void *)0)
#endif

/* --- bpf(2): the numbers of include/uapi/linux/bpf.h ------------------------------------------ */
enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_HASH = 5,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_STACK = 23,
	BPF_MAP_TYPE_SK_STORAGE = 24,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
	BPF_MAP_TYPE_CGRP_STORAGE = 32,
};

enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
	BPF_EXIST = 2,
};

enum {
	BPF_F_NO_PREALLOC = 1,
	BPF_F_MMAPABLE = 1024,
};

enum {
	BPF_LOCAL_STORAGE_GET_F_CREATE = 1,
};

enum {
	BPF_RB_NO_WAKEUP = 1,
	BPF_RB_FORCE_WAKEUP = 2,
};

enum {
	BPF_RB_AVAIL_DATA = 0,
	BPF_RB_RING_SIZE = 1,
};

struct bpf_raw_tracepoint_args {
	__u64 args[0];
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* --- cgroups ---------------------------------------------------------------------------------- */
struct kernfs_node {
	u64 id;
	const char *name;
	unsigned int hash; /* of the name */
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};

/* Number of a controller; differs between builds, only good with bpf_core_enum_value(). */
enum cgroup_subsys_id {
	cpu_cgrp_id,
	memory_cgrp_id,
};

struct list_head {
	struct list_head *next;
};

struct task_cputime {
	unsigned long long sum_exec_runtime;
};

struct cgroup_base_stat {
	struct task_cputime cputime;
};

struct cgroup_root {
	int hierarchy_id; /* 0: the cgroup2 hierarchy */
};

struct cgroup {
	struct cgroup_subsys_state self;
	int level;
	struct kernfs_node *kn;
	struct cgroup_subsys_state *subsys[1];
	struct cgroup_root *root;
	struct list_head cset_links;	    /* of cgrp_cset_link.cset_link */
	struct cgroup_base_stat last_bstat; /* what of bstat has gone into the parent's */
	struct cgroup_base_stat bstat;	    /* with descendants, as of the last flush */
	struct psi_group *psi;
};

struct cgrp_cset_link {
	struct cgroup *cgrp;
	struct css_set *cset;
	struct list_head cset_link;
};

/* --- pressure --------------------------------------------------------------------------------- */
/* The first six never changed their numbers; PSI_NONIDLE moves with CONFIG_IRQ_TIME_ACCOUNTING. */
enum psi_states {
	PSI_NONIDLE = 6,
};

struct psi_group_cpu {
	u32 state_mask;
	u32 times[1];	   /* by enum psi_states; ns, wraps */
	u64 state_start;   /* sched_clock() since when state_mask holds */
	u32 times_prev[1]; /* what of times has gone into psi_group.total */
};

struct psi_group {
	bool enabled;
	struct psi_group_cpu *pcpu;
	u64 total[1]; /* by aggregator (averages: 0), by enum psi_states; ns */
};

/* --- CPU and memory controllers --------------------------------------------------------------- */
struct cfs_bandwidth {
	int nr_periods;
	int nr_throttled;
	u64 throttled_time; /* ns */
};

struct task_group {
	struct cgroup_subsys_state css;
	struct cfs_bandwidth cfs_bandwidth;
};

typedef struct {
	s64 counter;
} atomic64_t;

struct page_counter {
	atomic64_t usage;
};

enum memcg_memory_event {
	MEMCG_OOM_KILL,
};

struct memcg_vmstats {
	long state[1]; /* with descendants, as of the last flush */
};

struct memcg_vmstats_percpu {
	long state[1];
	long state_prev[1]; /* what of state has gone into memcg_vmstats */
};

struct mem_cgroup {
	struct cgroup_subsys_state css;
	struct page_counter memory;
	struct memcg_vmstats *vmstats;
	struct memcg_vmstats_percpu *vmstats_percpu;
	atomic64_t memory_events[1]; /* by enum memcg_memory_event */
};

/* --- tasks ------------------------------------------------------------------------------------ */
struct css_set {
	struct cgroup_subsys_state *subsys[1]; /* by controller, of whichever hierarchy has it */
	struct cgroup *dfl_cgrp;	       /* the task's place in the cgroup2 hierarchy */
};

struct sched_info {
	unsigned long long run_delay;	/* sum of the waits that ended, rq clock, ns */
	unsigned long long last_queued; /* rq clock since when the task waits, 0: it does not */
};

struct rq {
	u64 clock; /* sched_clock() of its last update */
};

struct cfs_rq {
	struct rq *rq; /* of the task's CPU */
};

struct sched_entity {
	struct cfs_rq *cfs_rq; /* set for tasks of every class */
};

struct upid {
	int nr;
};

struct pid {
	unsigned int level; /* 0: in no pid namespace but the machine's */
	struct upid numbers[1];
};

struct task_struct {
	unsigned int __state;
	pid_t pid;
	pid_t tgid;
	struct task_struct *real_parent;
	struct pid *thread_pid;
	struct sched_entity se;
	struct css_set *cgroups;
	struct sched_info sched_info;
};

/* --- sockets ---------------------------------------------------------------------------------- */
struct in6_addr {
	union {
		__u8 u6_addr8[16];
		__be16 u6_addr16[8];
		__be32 u6_addr32[4];
	} in6_u;
};

struct net {
	u64 net_cookie;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
};

struct sock_cgroup_data {
	struct cgroup *cgroup;
};

struct bpf_local_storage;

struct socket {
	unsigned long flags;
};

struct sock {
	struct sock_common __sk_common;
	struct socket *sk_socket;
	u16 sk_protocol;
	struct sock_cgroup_data sk_cgrp_data;
	struct bpf_local_storage *sk_bpf_storage;
};

struct tcp_sock {
	u64 tcp_clock_cache; /* CLOCK_MONOTONIC, ns: last segment received or sent */
	u32 rcv_nxt;	     /* next byte expected from the peer */
	u32 copied_seq;	     /* next byte the application will read */
	u32 snd_una;	     /* oldest byte not yet acknowledged */
	u32 write_seq;	     /* one past the last byte the application has written */
	u64 first_tx_mstamp; /* CLOCK_MONOTONIC, us: when what was last acknowledged had been sent */
};

struct sk_buff {
	unsigned int len;
	unsigned char *head;
	unsigned char *data;
	__u16 transport_header;
};

enum {
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT = 2,
	TCP_SYN_RECV = 3,
	TCP_FIN_WAIT1 = 4,
	TCP_FIN_WAIT2 = 5,
	TCP_TIME_WAIT = 6,
	TCP_CLOSE = 7,
	TCP_CLOSE_WAIT = 8,
	TCP_LAST_ACK = 9,
	TCP_LISTEN = 10,
	TCP_CLOSING = 11,
	TCP_NEW_SYN_RECV = 12,
};

/* --- iterators -------------------------------------------------------------------------------- */
struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	u64 session_id;
	u64 seq_num;
};

struct bpf_iter__cgroup {
	struct bpf_iter_meta *meta;
	struct cgroup *cgroup; /* NULL after the last */
};

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
	unsigned int uid;
};

/* --- BPF's own maps, seen from inside --------------------------------------------------------- */
struct bpf_array {
	void *pptrs[1]; /* per-CPU addresses of a per-CPU array's elements */
};

#pragma clang attribute pop

#endif
