/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a pass of the cgroup iterator writes, one of these a slot, in a memory-mapped array. Raw
 * values, as the kernel keeps them; the agent does units and monotony.
 */
#pragma once

#include "drpc/kernel_abi.h"

/* Pressure, in this order: the kernel's enum psi_states up to the last that is a pressure of a
 * resource with a file. */
enum drpc_psi {
	DRPC_PSI_IO_SOME,
	DRPC_PSI_IO_FULL,
	DRPC_PSI_MEM_SOME,
	DRPC_PSI_MEM_FULL,
	DRPC_PSI_CPU_SOME,
	DRPC_PSI_CPU_FULL,
	DRPC_PSI_COUNT,
};

#define DRPC_RAW_CPU	  0x01U
#define DRPC_RAW_THROTTLE 0x02U
#define DRPC_RAW_PSI	  0x04U
#define DRPC_RAW_MEM	  0x08U /* memory and OOM kills */

struct drpc_cgroup_raw {
	__drpc_u64 pass; /* the pass that wrote all of this */
	__drpc_u64 cgroup_id;
	__drpc_u64 cpu_usage_ns;
	__drpc_u64 nr_periods;
	__drpc_u64 nr_throttled;
	__drpc_u64 throttled_ns;
	__drpc_u64 psi_ns[DRPC_PSI_COUNT];
	__drpc_u64 mem_pages;
	__drpc_s64 inactive_file_pages; /* may be negative for a moment: parts of it are per CPU */
	__drpc_u64 oom_kills;
	__drpc_u32 valid; /* DRPC_RAW_* */
	__drpc_u32 outer; /* slot of the nearest tracked cgroup around it, or DRPC_SLOT_NONE */
};

_Static_assert(sizeof(struct drpc_cgroup_raw) == 128, "layout shared with BPF, two cache lines");

/*
 * What every pass says of a slot: lower halves of pass numbers. The counters of a cgroup that was
 * met and not read are as they were.
 */
struct drpc_cgroup_mark {
	__drpc_u32 met;	    /* the last pass that met the cgroup; an older one: it is gone */
	__drpc_u32 read;    /* the last pass that wrote to the counters */
	__drpc_u32 stirred; /* the last pass that found usage in a cgroup within */
	__drpc_u32 unused;
};

_Static_assert(sizeof(struct drpc_cgroup_mark) == 16, "layout shared with BPF, four a cache line");

/* In so many passes every cgroup is read at least once, whether it was at rest or not. */
#define DRPC_CGROUP_REST 5

/* CPUs beyond this many leave counters to the files. */
#define DRPC_CGROUP_CPUS 1024
