/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes decided limits true. For each container by its cgroup's files where they can be written
 * (done and verified before the call returns; once settled the engine is told too, so that its
 * inspect stays true), else by the engine's update call (done later, never waited for). Nothing is
 * written before the original is in the journal.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/container.h"
#include "agent/execute/cgroupfs.h"
#include "agent/execute/journal.h"
#include "agent/execute/restore.h"
#include "agent/limits.h"
#include "agent/runtime/runtime.h"

enum drpc_via {
	DRPC_VIA_NONE, /* neither works; the status says why */
	DRPC_VIA_FILES,
	DRPC_VIA_ENGINE,
};

struct drpc_executor_config {
	int cgroup_fd;		      /* folder of the cgroup2 mount; borrowed */
	struct drpc_journal *journal; /* borrowed; NULL: reading only, every apply is refused */
	struct drpc_runtime *runtime; /* borrowed; NULL: no engine */
	uint64_t memory_margin_bytes; /* memory.max stays this much over the use */
	uint64_t settle_ns;	      /* unchanged for so long: the engine is told; 0: never */
	/* An engine call for a container has ended; NULL: nobody listens. err 0 or as in status. */
	void (*on_result)(void *arg, uint64_t cgroup_id, int err, const char *why);
	void *arg;
};

struct drpc_target {
	const struct drpc_container *container; /* borrowed for the call */
	struct drpc_limits limits;
	uint32_t what; /* DRPC_LIMIT_* */
};

struct drpc_apply_result {
	/*
	 * 0: all is in force and verified. -EINPROGRESS: the engine is being asked. Otherwise what
	 * stands in `done` is in force and the rest is as it was: errors as in cgroupfs.h, -EROFS,
	 * -ENOSPC, -EIO of the journal, -EHOSTDOWN (engine away), -EAGAIN (its original is being
	 * put back just now), -ESHUTDOWN (reading only).
	 */
	int err;
	uint32_t done; /* DRPC_LIMIT_* */
	enum drpc_via via;
	struct drpc_limits before; /* where it was known */
	char why[192];		   /* "" on success */
};

struct drpc_executor_status {
	enum drpc_via via;
	bool journalled;  /* an original is on record: something may have been changed */
	bool pending;	  /* an engine call is under way or waits its turn */
	bool engine_told; /* the engine's own record agrees with the limits in force */
	int err;	  /* of the last attempt; 0 */
	char why[192];
};

struct drpc_executor;

int drpc_executor_new(const struct drpc_executor_config *config, struct drpc_executor **ret);

/* Frees; changes no limit. The runtime must have been freed before, or no call be outstanding. */
void drpc_executor_free(struct drpc_executor **executor);

/*
 * The limits in force; fields of a resource whose controller is not there stay untouched.
 * -EINPROGRESS: they must come from the engine, which is being asked (call again); otherwise as in
 * drpc_apply_result.
 */
int drpc_executor_read(struct drpc_executor *executor, const struct drpc_container *container,
		       uint32_t what, struct drpc_limits *ret);

/*
 * Applies a tick's targets: originals of all of them to the journal first (one sync), then what
 * grows before what shrinks. A newer target replaces one that still waits for the engine.
 * results[i] is for targets[i]. Returns how many failed (-EINPROGRESS is no failure).
 */
size_t drpc_executor_apply(struct drpc_executor *executor, const struct drpc_target *targets,
			   size_t n, uint64_t now_ns, struct drpc_apply_result *results);

/* Housekeeping, once a tick or so: tells the engine what has settled, tries again what must be. */
void drpc_executor_tick(struct drpc_executor *executor, uint64_t now_ns);

/* The container leaves: its original limits go back (by the engine: later). -ENOENT: untouched. */
int drpc_executor_release(struct drpc_executor *executor, const struct drpc_container *container);

/* The container's cgroup is gone: forget it. What the engine was told of it is still put back. */
void drpc_executor_gone(struct drpc_executor *executor, uint64_t cgroup_id);

/* At exit, and `drpc restore`: every open record of the journal. As drpc_restore_all(). */
int drpc_executor_restore_all(struct drpc_executor *executor, int timeout_ms,
			      struct drpc_restore_report *ret);

/* false: never heard of it. */
bool drpc_executor_status(const struct drpc_executor *executor, uint64_t cgroup_id,
			  struct drpc_executor_status *ret);

/* Which way a write would go, without writing; `why` says what stands against files. */
enum drpc_via drpc_executor_probe(struct drpc_executor *executor,
				  const struct drpc_container *container, char *why,
				  size_t why_size);

const struct drpc_cgroupfs_stats *drpc_executor_stats(const struct drpc_executor *executor);
const char *drpc_via_name(enum drpc_via via); /* "none", "cgroup files", "engine" */
