/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes a decided number of replicas true, through the engine's API and never waiting for it:
 * copies of a container are made and taken away, containers that were there before are stopped and
 * started again, never removed (docs/replicas.md).
 *
 * Each deployment has a goal. A round lists what there is, does the next thing that leads towards
 * the goal, and begins anew until nothing is left to do. So a round may follow on whatever has
 * happened meanwhile: an engine that restarted, a container that somebody else removed. Before the
 * first change of a deployment, and before each container that is stopped, the journal is told.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/execute/journal.h"
#include "agent/execute/restore.h"
#include "agent/limits.h"
#include "agent/runtime/runtime.h"

struct drpc_replicas_config {
	struct drpc_journal *journal; /* borrowed */
	struct drpc_runtime *runtime; /* borrowed */
	uint64_t ready_timeout_ns;    /* for a new replica to be ready */
	uint64_t drain_timeout_ns;    /* for requests in flight to end before a replica stops */
	uint32_t stop_grace_sec;      /* from the stop signal to the end by force */
	/* Requests in flight in a container by the kernel's count; negative: not known. */
	int64_t (*inflight)(void *arg, const char *id);
	/* Whether something in it takes connections: 1, 0, or negative where that cannot be seen. */
	int (*listens)(void *arg, const char *id, int32_t pid);
	/* A goal is reached (err 0) or given up. NULL: nobody listens. */
	void (*on_done)(void *arg, const char *deployment, int err, const char *why);
	void *arg;
};

struct drpc_replicas;

int drpc_replicas_new(const struct drpc_replicas_config *config, struct drpc_replicas **ret);

/* Frees; changes nothing. The runtime must have been freed before, or no call be outstanding. */
void drpc_replicas_free(struct drpc_replicas **replicas); /* NULL-safe; nulls */

/*
 * Begins to bring a deployment to `count` running replicas; new ones get `limits` (fields of
 * `what`). -EBUSY: another change is under way; -EHOSTDOWN: the engine is away. on_done() comes
 * once, later.
 */
int drpc_replicas_scale(struct drpc_replicas *replicas, const char *deployment, uint32_t count,
			const struct drpc_limits *limits, uint32_t what);

/*
 * Begins to take every copy away and to start what was stopped; tried again until it is done. NULL:
 * all deployments. Returns how many have something to put back.
 */
unsigned int drpc_replicas_restore(struct drpc_replicas *replicas, const char *deployment);

/* The same at once, for the end: without waiting for requests. 0, or -EAGAIN: some are left. */
int drpc_replicas_restore_all(struct drpc_replicas *replicas, int timeout_ms,
			      struct drpc_restore_report *ret);

/* Housekeeping: waits that end, what must be tried again. Once a tick. */
void drpc_replicas_tick(struct drpc_replicas *replicas, uint64_t now_ns);

/* A container of the engine has begun or ended, or (NULL) events may have been missed. */
void drpc_replicas_event(struct drpc_replicas *replicas, const char *id);

struct drpc_replicas_status {
	bool busy;	 /* a change is under way */
	char doing[160]; /* in words; "" */
	uint32_t clones; /* as of the last look */
	uint32_t stopped;
};

/* false: nothing is under way or changed. */
bool drpc_replicas_status(const struct drpc_replicas *replicas, const char *deployment,
			  struct drpc_replicas_status *ret);

/* Deployments that have a change under way or something to put back. */
size_t drpc_replicas_count(const struct drpc_replicas *replicas);
