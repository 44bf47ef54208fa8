/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts original limits back from the journal: at the agent's exit, at its start after a kill, and
 * for `drpc restore`. Files first, then the engine, then the files are looked at again.
 *
 * A container that is gone closes its record; one whose limits somebody else changed meanwhile gets
 * the original all the same (logged); one whose engine does not answer keeps its record.
 */
#pragma once

#include <stddef.h>

#include "agent/execute/journal.h"
#include "agent/runtime/runtime.h"

struct drpc_restore_config {
	int cgroup_fd;		      /* folder of the cgroup2 mount; borrowed */
	struct drpc_journal *journal; /* borrowed */
	struct drpc_runtime *runtime; /* NULL: no engine is reachable */
};

enum drpc_restore_outcome {
	DRPC_RESTORE_DONE,    /* original limits are in force */
	DRPC_RESTORE_GONE,    /* nothing left to put back */
	DRPC_RESTORE_WAITING, /* the engine must be asked, and is not there: the record stays */
	DRPC_RESTORE_FAILED,  /* the record stays */
};

struct drpc_restore_report {
	unsigned int restored, gone, waiting, failed;
	char why[256]; /* the first failure or wait; "" */
};

typedef void (*drpc_restore_fn)(void *arg, enum drpc_restore_outcome outcome, const char *why);

/*
 * Puts one record back (by copy) and closes it in the journal. `fn` comes before this returns where
 * no engine is needed, else from drpc_runtime_dispatch(). Journal and runtime must live until then.
 */
void drpc_restore_one(const struct drpc_restore_config *config,
		      const struct drpc_journal_record *record, drpc_restore_fn fn, void *arg);

/*
 * Puts back every open record; waits for the engine at most `timeout_ms` in all. 0 where none is
 * left (waiting or failed), else -EAGAIN; *ret (may be NULL) counts.
 */
int drpc_restore_all(const struct drpc_restore_config *config, int timeout_ms,
		     struct drpc_restore_report *ret);
