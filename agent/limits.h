/* SPDX-License-Identifier: Apache-2.0 */
/* A container's resource limits, in the units of cgroup v2. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define DRPC_UNLIMITED UINT64_MAX /* "max" in the cgroup files */

/* Which limits a call means; bits. */
#define DRPC_LIMIT_CPU	  0x1U /* cpu.max, cpu.max.burst */
#define DRPC_LIMIT_MEMORY 0x2U /* memory.high, memory.max */

struct drpc_limits {
	uint64_t cpu_quota_usec;  /* per period, DRPC_UNLIMITED for none (cpu.max, first field) */
	uint64_t cpu_period_usec; /* cpu.max, second field; 100000 by default */
	uint64_t cpu_burst_usec;  /* cpu.max.burst */
	uint64_t mem_high_bytes;  /* memory.high, DRPC_UNLIMITED for none */
	uint64_t mem_max_bytes;	  /* memory.max, DRPC_UNLIMITED for none */
};

/* CPU limit in millicores; DRPC_UNLIMITED where there is none. Rounds to nearest. */
uint64_t drpc_limits_cpu_mcpu(const struct drpc_limits *limits);

/* Sets the quota for `mcpu` millicores at the present period (never under the kernel's 1 ms). */
void drpc_limits_set_cpu_mcpu(struct drpc_limits *limits, uint64_t mcpu);

bool drpc_limits_equal(const struct drpc_limits *a, const struct drpc_limits *b);
