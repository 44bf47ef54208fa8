/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal of original limits: what every container had before it was first touched, on disk
 * before the first write to it, until it is put back.
 *
 * A text file of lines, `CRC32C JSON`, that an operator can read at 3 a.m. (docs/acting.md). Lines
 * are appended and fdatasync'ed; a torn last line is dropped at the next opening, a damaged line in
 * the middle is skipped with a warning; compaction writes a new file and renames it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "agent/container.h"
#include "agent/limits.h"
#include "agent/runtime/limits.h"

#define DRPC_BOOT_ID_MAX 40

/* In `what`, besides DRPC_LIMIT_*: the engine was told too, or alone. */
#define DRPC_JOURNAL_FILES  0x100U /* limits are (also) written to the cgroup's files */
#define DRPC_JOURNAL_ENGINE 0x200U /* limits are (also) set by the engine's update call */

struct drpc_journal_record {
	char id[DRPC_ID_MAX];
	char name[DRPC_NAME_MAX]; /* for messages */
	char cgroup[DRPC_PATH_MAX];
	uint64_t cgroup_id;  /* inode: tells a new cgroup of the same path */
	uint64_t cgroup_dev; /* device of the mount: tells another tree */
	char boot_id[DRPC_BOOT_ID_MAX];
	uint32_t what;			   /* DRPC_LIMIT_* | DRPC_JOURNAL_* */
	struct drpc_limits original;	   /* fields of `what` */
	struct drpc_runtime_limits engine; /* with DRPC_JOURNAL_ENGINE: the engine's own fields */
	uint64_t realtime_ns;		   /* when it was first recorded */
};

/*
 * Of a deployment whose replicas drpc changes: containers that drpc made may be there (they carry a
 * label that names the deployment), and of those that were there before these are stopped.
 */
#define DRPC_JOURNAL_STOPPED_MAX 32

struct drpc_journal_scale {
	char deployment[DRPC_NAME_MAX];
	struct {
		char id[DRPC_ID_MAX];
		char name[DRPC_NAME_MAX]; /* for messages */
	} stopped[DRPC_JOURNAL_STOPPED_MAX];
	size_t stopped_count;
	uint64_t realtime_ns; /* when it was first recorded */
};

struct drpc_journal;

/*
 * Opens or makes the journal and takes its lock. -EBUSY: another process holds it (named in the
 * log); -EBADMSG: the file is no journal; -EPROTONOSUPPORT: of another version.
 */
int drpc_journal_open(const char *path, struct drpc_journal **ret);
void drpc_journal_free(struct drpc_journal **journal); /* NULL-safe, nulls its argument */

/* Open records; pointers are good until the next add, close or compaction. */
size_t drpc_journal_count(const struct drpc_journal *journal);
const struct drpc_journal_record *drpc_journal_at(const struct drpc_journal *journal, size_t i);
const struct drpc_journal_record *drpc_journal_find(const struct drpc_journal *journal,
						    const char *id, const char *cgroup);

/*
 * Makes the originals of `n` containers durable; nothing may be written to them before this has
 * returned 0. For a container that has an open record the older original stands: bits of `what`
 * that are new are added, the rest is kept; the cgroup's identity is brought up to date. On failure
 * (-ENOSPC, -EIO, ...) nothing is recorded. One write and one fdatasync for all of them.
 */
int drpc_journal_add(struct drpc_journal *journal, const struct drpc_journal_record *records,
		     size_t n);

/* Ends a record: its limits are put back ("restored"), or there is nothing left to put back. */
int drpc_journal_close_record(struct drpc_journal *journal, const char *id, const char *cgroup,
			      const char *reason);

/* The same of replicas. Pointers are good until the next put or close. */
size_t drpc_journal_scale_count(const struct drpc_journal *journal);
const struct drpc_journal_scale *drpc_journal_scale_at(const struct drpc_journal *journal,
						       size_t i);
const struct drpc_journal_scale *drpc_journal_scale_find(const struct drpc_journal *journal,
							 const char *deployment);

/* Makes a record durable, in place of the one there may be of this deployment. */
int drpc_journal_scale_put(struct drpc_journal *journal, const struct drpc_journal_scale *scale);
int drpc_journal_scale_close(struct drpc_journal *journal, const char *deployment,
			     const char *reason);

/* Rewrites the file with the open records alone. Done of itself when most lines are dead. */
int drpc_journal_compact(struct drpc_journal *journal);

/* This boot's id, as records have it. */
int drpc_boot_id(char ret[DRPC_BOOT_ID_MAX]);
