/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by executor.c (containers, files) and executor_engine.c (calls, restoring). */
#pragma once

#include "agent/execute/executor.h"

#define EXECUTOR_BUCKETS  1024
#define EXECUTOR_RETRY_NS (5 * DRPC_NSEC_PER_SEC)

/* What is under way for a container, at most one at a time. */
enum executor_call {
	CALL_NONE,
	CALL_INSPECT, /* only to know */
	CALL_PREPARE, /* inspect, to be followed by an update */
	CALL_UPDATE,
	CALL_RESTORE,
};

struct executor_entry {
	struct executor_entry *next; /* in its bucket */
	struct drpc_executor *executor;
	char id[DRPC_ID_MAX];
	char name[DRPC_NAME_MAX];
	char cgroup[DRPC_PATH_MAX];
	uint64_t cgroup_id;
	bool engine_known;

	struct drpc_cgroupfs cg;
	int open_err; /* why the folder is not open; 0 */
	char open_why[160];

	enum drpc_via via;	    /* of the last apply */
	uint32_t journalled;	    /* DRPC_LIMIT_* and DRPC_JOURNAL_* on record */
	struct drpc_limits applied; /* in force by us, and verified: fields of applied_what */
	uint32_t applied_what;
	uint64_t changed_ns;

	enum executor_call call;
	bool want;			    /* `target` waits for the engine */
	struct drpc_limits target, calling; /* the latest; the one of the call under way */
	uint32_t target_what, calling_what;
	struct drpc_runtime_limits present; /* as the engine said at present_ns */
	uint64_t present_ns;		    /* 0: never */
	bool told;			    /* the engine knows `applied` */
	int tell_err;			    /* why it could not be told; 0 */
	uint64_t retry_ns;		    /* not before */
	bool leaving;			    /* originals are to be put back */
	bool gone;			    /* no longer in the table: free after the call */

	int err;
	char why[192];
};

struct drpc_executor {
	struct drpc_executor_config config;
	struct drpc_restore_config restore;
	struct drpc_cgroupfs_stats stats;
	uint64_t cgroup_dev;
	char boot_id[DRPC_BOOT_ID_MAX];
	struct executor_entry *buckets[EXECUTOR_BUCKETS];
	unsigned int calls;	 /* under way */
	unsigned int gone_calls; /* of those, of containers that are gone */
	bool closing;		 /* no new calls: everything is being put back */

	/* A record without a container here that is being put back; one at a time. */
	bool orphan_busy;
	char orphan_id[DRPC_ID_MAX], orphan_cgroup[DRPC_PATH_MAX];
	uint64_t orphan_retry_ns;

	/* Scratch of apply, grown as needed: no allocation in a steady tick. */
	struct executor_entry **entries;
	struct drpc_journal_record *records;
	size_t scratch;
};

struct executor_entry *executor_find(const struct drpc_executor *ex, uint64_t cgroup_id);
void executor_forget(struct executor_entry *e); /* takes out of the table, frees when it may */

/* Fills what identifies the container in a record. */
void executor_record(const struct executor_entry *e, struct drpc_journal_record *ret);

void executor_note(struct executor_entry *e, int err, const char *why);

/* Whether the engine can be asked for this container now; why not otherwise. */
int executor_engine_usable(const struct executor_entry *e, const char **why);

/* Lets the engine work towards e->target (or put originals back) unless it is at work already. */
int executor_engine_go(struct executor_entry *e);

/* Begins to learn what the engine has for the container. */
int executor_engine_inspect(struct executor_entry *e);
