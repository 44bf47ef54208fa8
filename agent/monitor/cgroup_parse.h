/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of cgroup files. Pure functions over untrusted bytes: `text` need not be terminated, may
 * hold anything, and may stop anywhere. A line counts only when its newline is there and its value
 * is one whole unsigned decimal number that fits; every other line is skipped. What is found is
 * written to the counters and its DRPC_CG_* bit set; what is not found leaves both as they are.
 * Where a key stands twice the first counts.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/limits.h"
#include "agent/monitor/sample.h"

/* v2 cpu.stat: DRPC_CG_CPU for usage_usec, DRPC_CG_THROTTLE for all three of nr_periods,
 * nr_throttled, throttled_usec. */
void drpc_cgroup_parse_cpu_stat(const char *text, size_t len,
				struct drpc_cgroup_counters *counters);

/* v1 cpu.stat: the same throttling, but throttled_time in nanoseconds; no usage. */
void drpc_cgroup_parse_cpu_stat_v1(const char *text, size_t len,
				   struct drpc_cgroup_counters *counters);

/* One pressure file: totals of the lines `some` and `full`. False without a `some` line; a missing
 * `full` (cpu.pressure before 5.13) is 0. */
bool drpc_cgroup_parse_pressure(const char *text, size_t len, uint64_t *ret_some_usec,
				uint64_t *ret_full_usec);

/* A file that holds one number and a newline: memory.current, memory.usage_in_bytes. */
bool drpc_cgroup_parse_number(const char *text, size_t len, uint64_t *ret);

/* "KEY VALUE" lines: memory.stat, memory.events, memory.oom_control. */
bool drpc_cgroup_parse_key(const char *text, size_t len, const char *key, uint64_t *ret);

/* cpu.max: "max 100000" or "50000 100000". */
bool drpc_cgroup_parse_cpu_max(const char *text, size_t len, struct drpc_limits *limits);

/* memory.max, memory.high: a number, or "max" for DRPC_UNLIMITED. */
bool drpc_cgroup_parse_limit(const char *text, size_t len, uint64_t *ret);

/* v1 cpu.cfs_quota_us: a number, or -1 for DRPC_UNLIMITED. */
bool drpc_cgroup_parse_quota_v1(const char *text, size_t len, uint64_t *ret_usec);

/*
 * The path of one v1 controller in the text of /proc/PID/cgroup ("7:cpu,cpuacct:/docker/x").
 * `ret_path` gets at most `size` bytes; false where there is none, or it does not fit.
 */
bool drpc_cgroup_parse_proc(const char *text, size_t len, const char *controller, char *ret_path,
			    size_t size);
