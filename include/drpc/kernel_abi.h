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
	DRPC_DROP_CLOSED,	/* connection closed before the first response byte */
	DRPC_DROP_RESET,	/* connection reset before the first response byte */
	DRPC_DROP_NO_STORAGE,	/* socket storage could not be allocated */
	DRPC_DROP_MOVED,	/* the socket's container left while the turn was open */
	DRPC_DROP_CLOCK,	/* timestamps out of order */
	DRPC_DROP_COUNT,
};

struct drpc_slot_shard {
	__drpc_u64 seen;     /* turns begun */
	__drpc_u64 turns;    /* turns paired: first response byte went out */
	__drpc_u64 accepts;  /* server-role connections established */
	__drpc_u64 resets;   /* RST received or sent on a server-role connection */
	__drpc_u64 unread;   /* turns whose read was not seen (splice): their queue share is unknown */
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
