/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The layouts that BPF programs and the agent share. Fixed width, padded by hand, sizes asserted.
 * BPF sources include vmlinux.h first and get their integer types there.
 *
 * Slots: the agent gives every container a slot, 1 .. cap; slot 0 is `other`, the visible place of
 * all containers over the cap. A slot's counters lie in a memory-mapped array, once per shard
 * (shard = cpu modulo a power of two, as many as the memory budget allows), all updated by atomic
 * adds, never reset: readers take differences, and u32 buckets may wrap.
 */
#pragma once

#ifndef __VMLINUX_H__
#include <stdint.h>
typedef uint8_t __drpc_u8;
typedef uint16_t __drpc_u16;
typedef uint32_t __drpc_u32;
typedef uint64_t __drpc_u64;
typedef int64_t __drpc_s64;
#else
typedef __u8 __drpc_u8;
typedef __u16 __drpc_u16;
typedef __u32 __drpc_u32;
typedef __u64 __drpc_u64;
typedef __s64 __drpc_s64;
#endif

#include "drpc/hist.h"

/* Slots that are no container's. */
#define DRPC_SLOT_OTHER 0U	    /* all containers over the cap */
#define DRPC_SLOT_NONE	0xffffffffU /* not tracked: not counted */

/* One histogram each, per container. The first four describe turns on server-role sockets. */
enum drpc_hist_kind {
	DRPC_HIST_TOTAL,   /* data arrived -> last response byte handed to the socket */
	DRPC_HIST_QUEUE,   /* data arrived -> the application read it */
	DRPC_HIST_SERVICE, /* read -> first response byte handed to the socket */
	DRPC_HIST_SEND,	   /* first -> last response byte */
	DRPC_HIST_ACCEPT,  /* connection established -> accepted */
	DRPC_HIST_RUNQ,	   /* task woken -> on a CPU */
	DRPC_HIST_RECLAIM, /* stall in direct reclaim */
	DRPC_HIST_COUNT,
};

/* Why a turn that was seen was not paired. seen = turns + sum(dropped) + inflight, always. */
enum drpc_drop {
	DRPC_DROP_CLOSED,     /* connection closed before the first response byte */
	DRPC_DROP_RESET,      /* connection reset before the first response byte */
	DRPC_DROP_NO_STORAGE, /* socket storage could not be allocated */
	DRPC_DROP_MOVED,      /* the socket's container left while the turn was open */
	DRPC_DROP_CLOCK,      /* timestamps out of order */
	DRPC_DROP_COUNT,
};

struct drpc_slot_shard {
	__drpc_u64 seen;    /* turns begun */
	__drpc_u64 turns;   /* turns paired: first response byte went out */
	__drpc_u64 accepts; /* server-role connections established */
	__drpc_u64 resets;  /* RST received or sent on a server-role connection */
	__drpc_u64
		unread; /* turns whose read was not seen (splice): their queue share is unknown */
	__drpc_u64 oom_kills;
	__drpc_u64 ctx_switches;
	__drpc_u64 reserved;
	__drpc_u64 dropped[8]; /* by enum drpc_drop */
	__drpc_u64 sum_ns[8];  /* by enum drpc_hist_kind */
	__drpc_u32 hist[DRPC_HIST_COUNT][DRPC_HIST_BUCKETS];
	__drpc_u32 pad[2];
};

#ifndef __VMLINUX_H__
_Static_assert(sizeof(struct drpc_slot_shard) == 6080, "layout shared with BPF");
_Static_assert(sizeof(struct drpc_slot_shard) % 64 == 0, "whole cache lines");
#endif
_Static_assert(DRPC_DROP_COUNT <= 8 && DRPC_HIST_COUNT <= 8, "arrays above");

/* Per slot, written by the agent, read by the programs. */
struct drpc_slot_info {
	__drpc_u32 epoch; /* changes each time the slot is given out */
	__drpc_u32 pad;
	__drpc_u64 slow_ns; /* turns at least as long become exemplars; 0: none */
};

/* The agent's word to running programs. */
struct drpc_tunables {
	__drpc_u32 generation; /* changes with the roster: cached slots are looked up again */
	__drpc_u32 pad;
	__drpc_u64 slow_min_ns; /* the least slow_ns of all slots; ~0: none has one */
	__drpc_u64 slow_gap_ns; /* least time between two exemplars of one CPU */
	__drpc_u64 reserved;
};

/* A caller's slot and the address it called; one entry of the edge table each. */
struct drpc_edge_key {
	__drpc_u64 netns; /* cookie of the network namespace where addr is a loopback one, else 0 */
	__drpc_u8 addr[16]; /* IPv6, or IPv4 mapped into it */
	__drpc_u32 slot;    /* of the caller; 0 in endpoint keys, so is the epoch */
	__drpc_u32 epoch;   /* of that slot */
	__drpc_u16 port;    /* host byte order */
	__drpc_u16 pad[3];
};

struct drpc_edge_counts {
	__drpc_u64 count, sum_ns, failures;
	__drpc_u32 hist[DRPC_HIST_BUCKETS];
};

/* Whose connections an address and port serve: learnt from server-role connections. */
struct drpc_endpoint {
	__drpc_u32 slot, epoch;
};

/* What could not be recorded, counted per CPU. */
enum drpc_lost {
	DRPC_LOST_EVENT, /* ring buffer full */
	DRPC_LOST_EDGE,	 /* edge table full */
	DRPC_LOST_STALL, /* more threads in reclaim than there is room for */
	DRPC_LOST_COUNT,
};

enum drpc_event_kind {
	DRPC_EVENT_CGROUP_NEW,	/* a cgroup was made: cgroup_id, path */
	DRPC_EVENT_CGROUP_GONE, /* removed: cgroup_id, path */
	DRPC_EVENT_OOM_KILL,	/* cgroup_id, pid */
	DRPC_EVENT_EXIT, /* first process of a tracked cgroup ended (pid), or its last one (0) */
	DRPC_EVENT_SLOW, /* exemplar: slot, duration_ns, peer */
};

/* Ring buffer records: one of these, told apart by their size. */
struct drpc_ring_event {
	__drpc_u32 kind; /* enum drpc_event_kind */
	__drpc_u32 pid;
	__drpc_u32 slot;
	__drpc_u16 peer_port; /* host byte order */
	__drpc_u16 pad;
	__drpc_u64 time_ns;
	__drpc_u64 cgroup_id;
	__drpc_u64 duration_ns;
	__drpc_u8 peer[16]; /* IPv6, or IPv4 mapped into it */
};

#define DRPC_EVENT_PATH 512 /* a power of two */

/* The record ends with the path's terminator. */
struct drpc_ring_path_event {
	struct drpc_ring_event event;
	char path[DRPC_EVENT_PATH]; /* relative to the cgroup2 mount; empty if longer */
};

#ifndef __VMLINUX_H__
_Static_assert(sizeof(struct drpc_slot_info) == 16, "layout shared with BPF");
_Static_assert(sizeof(struct drpc_edge_key) == 40, "layout shared with BPF");
_Static_assert(sizeof(struct drpc_edge_counts) == 864, "layout shared with BPF");
_Static_assert(sizeof(struct drpc_tunables) == 32, "layout shared with BPF");
_Static_assert(sizeof(struct drpc_ring_event) == 56, "layout shared with BPF");
_Static_assert(sizeof(struct drpc_ring_path_event) == 56 + DRPC_EVENT_PATH, "layout shared");
#endif
