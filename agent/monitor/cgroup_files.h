/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cgroup's counters and limits from its files: what the monitor falls back to where the cgroup
 * iterator does not run, and the truth the iterator is tested against. Descriptors stay open, each
 * reading is one pread(2) a file. Reads only, writes nothing.
 *
 * Everything comes from the cgroup2 folder where its controllers are there. On hybrid hosts, whose
 * cpu and memory controllers sit in v1 hierarchies, throttling, memory and limits come from the v1
 * folders; CPU usage and pressure from cgroup2 all the same.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/limits.h"
#include "agent/monitor/sample.h"

/* Mount points, as folder descriptors; -1 where there is none. */
struct drpc_cgroup_roots {
	int v2, v1_cpu, v1_memory;
};

#define DRPC_CGROUP_ROOTS_NONE ((struct drpc_cgroup_roots){-1, -1, -1})

/* Opens them from /proc/self/mountinfo. -ENOENT where no cgroup2 is mounted. */
int drpc_cgroup_roots_open(struct drpc_cgroup_roots *ret);
void drpc_cgroup_roots_close(struct drpc_cgroup_roots *roots); /* leaves -1 behind */

/* A cgroup's place below the roots. */
struct drpc_cgroup_paths {
	const char *v2;	       /* relative to the cgroup2 mount, leading slash or not */
	const char *v1_cpu;    /* relative to the v1 mounts; NULL: the same as v2. "/" (the whole */
	const char *v1_memory; /* machine) never counts as a container's folder. */
};

/*
 * Where a process sits in the v1 cpu and memory hierarchies (/proc/PID/cgroup). Buffers of `size`
 * bytes; an empty string where the controller has no v1 hierarchy. -ESRCH: no such process.
 */
int drpc_cgroup_v1_paths(pid_t pid, char *ret_cpu, char *ret_memory, size_t size);

struct drpc_cgroup_files;

/*
 * Opens a cgroup. -ENOENT: no such cgroup; -EINVAL: a path with ".." in it. Both are everyday
 * (containers come and go), logged for debugging only. Files that do not exist are left out.
 */
int drpc_cgroup_files_open(const struct drpc_cgroup_roots *roots,
			   const struct drpc_cgroup_paths *paths, struct drpc_cgroup_files **ret);
void drpc_cgroup_files_close(struct drpc_cgroup_files **files); /* NULL-safe, nulls */

/*
 * Reads all there is; ret->valid says what that was. Without memory.stat the working set counts as
 * all memory in use. -ENODEV: the cgroup was removed (also where a new one has its name by now).
 */
int drpc_cgroup_files_read(const struct drpc_cgroup_files *files, struct drpc_cgroup_counters *ret);

#define DRPC_CGROUP_LIMITS_CPU 0x1
#define DRPC_CGROUP_LIMITS_MEM 0x2

/*
 * Reads the limits in force. Returns which groups were found, DRPC_CGROUP_LIMITS_* (a group without
 * files counts as unlimited), or -ENODEV as above. v1 knows no memory.high: unlimited there.
 */
int drpc_cgroup_files_limits(const struct drpc_cgroup_files *files, struct drpc_limits *ret);

/* Whether the cpu, memory limits are v1's (DRPC_CGROUP_LIMITS_* bits). */
int drpc_cgroup_files_on_v1(const struct drpc_cgroup_files *files);
