/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits as a container engine keeps them, in its own fields, and the rules by which its update
 * call accepts changes (docs/acting.md). Pure; no I/O.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "agent/limits.h"

/* HostConfig of the Docker API: 0 is "not given", -1 "none" where the engine knows that. */
struct drpc_runtime_limits {
	int64_t nano_cpus;
	int64_t cpu_quota_usec, cpu_period_usec;
	int64_t memory_bytes;
	int64_t memory_swap_bytes; /* memory + swap together; -1 unlimited */
	int64_t memory_reservation_bytes;
};

/* The engine's smallest memory limit. */
#define DRPC_ENGINE_MEMORY_MIN_BYTES (6 * 1024 * 1024)

/* What the fields mean as limits; burst 0 and memory.high none, of which engines know nothing. */
void drpc_runtime_limits_view(const struct drpc_runtime_limits *engine, struct drpc_limits *ret);

/*
 * The fields to send so that a container with `present` gets `target`; fields that are 0 are not
 * sent. `cpus` is the number of CPUs of the host (the engine refuses more). *ret all 0: nothing to
 * do. -ERANGE: the engine cannot express it.
 */
int drpc_runtime_limits_update(const struct drpc_runtime_limits *present,
			       const struct drpc_limits *target, uint32_t what, unsigned int cpus,
			       struct drpc_runtime_limits *ret);

/* The same, back to the original fields. */
int drpc_runtime_limits_restore(const struct drpc_runtime_limits *present,
				const struct drpc_runtime_limits *original, uint32_t what,
				unsigned int cpus, struct drpc_runtime_limits *ret);

/* Whether both mean the same limits of `what`. */
bool drpc_runtime_limits_same(const struct drpc_runtime_limits *a,
			      const struct drpc_runtime_limits *b, uint32_t what);
