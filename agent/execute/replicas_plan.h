/* SPDX-License-Identifier: Apache-2.0 */
/* What one round does for a deployment. Pure. */
#pragma once

#include "agent/execute/journal.h"
#include "agent/runtime/runtime.h"

enum replicas_goal {
	GOAL_COUNT,   /* so many run */
	GOAL_RESTORE, /* as it was found */
	GOAL_SWEEP,   /* only what is dead is taken away */
};

/* A container of the deployment, whether it runs or not. */
struct replicas_member {
	char id[DRPC_ID_MAX];
	char name[DRPC_NAME_MAX];
	bool clone;   /* drpc made it */
	bool running; /* serves: not paused, not restarting */
	bool dead;    /* does not run, and will not by itself */
	uint32_t number;
	int64_t created_sec;
	bool chosen; /* by the plan */
};

enum replicas_step {
	STEP_NONE,   /* the goal is reached */
	STEP_REMOVE, /* the chosen: dead copies */
	STEP_START,  /* the chosen: stopped by drpc before */
	STEP_CLONE,  /* one more like members[source] */
	STEP_STOP,   /* the chosen */
	STEP_STUCK,  /* nothing to copy */
};

struct replicas_plan {
	enum replicas_step step;
	size_t source;
	uint32_t number; /* of the next copy */
};

/*
 * Puts containers of the deployment out of a list of all into *ret, to be freed; newest last. -ENOMEM.
 */
int replicas_members(const struct drpc_runtime_container *containers, size_t n,
		     const char *deployment, struct replicas_member **ret, size_t *ret_count);

/* `scale` is the journal's record, NULL where there is none. Marks the chosen members. */
struct replicas_plan replicas_plan(struct replicas_member *members, size_t n,
				   enum replicas_goal goal, uint32_t count,
				   const struct drpc_journal_scale *scale);

bool replicas_stopped(const struct drpc_journal_scale *scale, const char *id);
