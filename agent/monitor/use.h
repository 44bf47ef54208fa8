/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a container has used since the agent began to look: the spread of its CPU use over windows,
 * of its memory, and what got in its way. `drpc recommend` goes by it. Exists only after some use.
 */
#pragma once

#include "agent/monitor/sample.h"

struct drpc_use;

struct drpc_use_view {
	double watched_sec;
	double cpu_p50_mcpu, cpu_p99_mcpu, cpu_max_mcpu; /* of windows, idle ones too */
	double mem_p99_bytes, mem_max_bytes;		 /* working set */
	double throttled_share, cpu_pressure, mem_pressure, queue_share;
	uint64_t oom_kills;
};

/* Takes a window, unless it was taken before or tells no CPU. *use is made at the first. -ENOMEM. */
int drpc_use_push(struct drpc_use **use, const struct drpc_window_scalars *window);
void drpc_use_free(struct drpc_use **use); /* NULL-safe; nulls */

/* All zero for NULL. */
void drpc_use_view(const struct drpc_use *use, uint64_t now_ns, struct drpc_use_view *ret);
