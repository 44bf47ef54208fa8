/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The four limit files of one cgroup2 folder: cpu.max, cpu.max.burst, memory.high, memory.max.
 *
 * A change is written in an order in which no intermediate state is refused by the kernel or worse
 * for the container than both ends (docs/acting.md), is read back, and is taken back where a part
 * of it fails. Works on any folder that holds files of these names and formats.
 *
 * Errors, each with a sentence in `why`:
 *   -ENODEV      the cgroup is gone, or its path now belongs to another cgroup
 *   -EOPNOTSUPP  the cgroup has no such controller
 *   -EROFS       the cgroup file system is mounted read-only
 *   -EACCES      the files may not be written
 *   -EBUSY       memory.max would come under the memory in use and the margin
 *   -EBADMSG     a file holds what no kernel writes
 *   -EINVAL      limits that are wrong in themselves
 *   -EIO         written, but not what is read back
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/limits.h"

enum drpc_cgroupfs_file {
	DRPC_CGROUPFS_CPU_MAX,
	DRPC_CGROUPFS_CPU_BURST, /* kernels before 5.14 have none: the burst is 0 then */
	DRPC_CGROUPFS_MEM_HIGH,
	DRPC_CGROUPFS_MEM_MAX,
	DRPC_CGROUPFS_FILES,
};

/* Kept open between changes; a cgroup may be removed meanwhile, the files then give -ENODEV. */
struct drpc_cgroupfs {
	int dir_fd;
	int fd[DRPC_CGROUPFS_FILES];
	int current_fd;	   /* memory.current; -1 where there is none */
	uint32_t writable; /* DRPC_LIMIT_* whose files are open for writing */
	uint32_t readable; /* DRPC_LIMIT_* whose files are there at all */
	int write_err;	   /* why the rest is not writable: one of the errors above; 0 */
};

#define DRPC_CGROUPFS_CLOSED \
	((struct drpc_cgroupfs){.dir_fd = -1, .fd = {-1, -1, -1, -1}, .current_fd = -1})

/* Totals since the start, to tell the kernel's own cost from ours. */
struct drpc_cgroupfs_stats {
	uint64_t writes;
	uint64_t write_ns; /* time inside write(2) */
};

struct drpc_cgroupfs_change {
	uint32_t what; /* DRPC_LIMIT_* */
	struct drpc_limits target;
	uint64_t memory_margin_bytes;
	bool force; /* original limits go back even under the memory in use */
	struct drpc_cgroupfs_stats *stats; /* may be NULL */
};

/*
 * Opens the folder `path` (relative to the cgroup2 mount, with or without the leading slash) and
 * whichever of the files are there. `cgroup_id` is the folder's inode, 0 for any. Files that are
 * there but not writable are opened for reading; writable, readable and write_err say so.
 */
int drpc_cgroupfs_open(int root_fd, const char *path, uint64_t cgroup_id, struct drpc_cgroupfs *ret,
		       char *why, size_t why_size);
void drpc_cgroupfs_close(struct drpc_cgroupfs *cg); /* closed ones too */

/* Reads the limits of `what`, leaves the other fields of *ret untouched. */
int drpc_cgroupfs_read(const struct drpc_cgroupfs *cg, uint32_t what, struct drpc_limits *ret,
		       char *why, size_t why_size);

/*
 * Sets the limits of change->what. On failure everything this call changed is put back (where that
 * fails too, `why` says so). The fields of `what` in *before (may be NULL) become what was in force,
 * also on failure where it could be read. Returns the number of files written, 0 where nothing had to change.
 */
int drpc_cgroupfs_apply(const struct drpc_cgroupfs *cg, const struct drpc_cgroupfs_change *change,
			struct drpc_limits *before, char *why, size_t why_size);

/* What the kernel makes of `limits`: memory in whole pages, no burst where there is no file. */
void drpc_cgroupfs_round(const struct drpc_cgroupfs *cg, struct drpc_limits *limits);
