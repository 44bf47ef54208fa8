/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the control loop to execute/replicas.h, as apply.h is for limits: what a decision means for
 * the number of replicas, what the engine made of it, and the brownout of the whole node.
 */
#pragma once

#include <stddef.h>

#include "agent/agent.h"
#include "agent/execute/restore.h"
#include "agent/plan/brownout.h"
#include "agent/plan/guard.h"

struct drpc_scale;

/* What the control loop keeps of a deployment's replicas. */
struct drpc_scaling {
	bool pending; /* the engine is at it */
	struct drpc_verdict asked;
	uint64_t asked_id; /* the decision behind it */
	uint64_t asked_use_mcpu;
	bool brownout;
	uint64_t retry_ns; /* after a failure: not before */
	uint32_t failures; /* in a row */
	char blocked[224]; /* why not, in words; "" */
	char because[160]; /* of the one that is asked for */
	char last[288];	   /* the last change and its reason, in words; "" before the first */
	struct drpc_brownout_state away;
};

/* Needs an engine and a journal; without them *ret stays NULL and replicas are never changed. */
int drpc_scale_new(struct drpc_agent *agent, struct drpc_scale **ret);

/* After the engine link was freed: no call is outstanding then. NULL-safe; nulls. */
void drpc_scale_free(struct drpc_scale **scale);

/* Once a control interval, before anything is observed. */
void drpc_scale_tick(struct drpc_agent *agent, uint64_t now_ns);

/* Fills in what the guard must know of the replicas, for all requests of a tick. */
void drpc_scale_requests(struct drpc_agent *agent, struct drpc_deployment *const *deployments,
			 struct drpc_guard_request *requests, size_t count, uint64_t now_ns);

/* Begins what verdicts say of the replicas: what comes up before what goes down. */
void drpc_scale_write(struct drpc_agent *agent, struct drpc_deployment *const *deployments,
		      const struct drpc_guard_request *requests,
		      const struct drpc_verdict *verdicts, const uint64_t *ids, size_t count,
		      uint64_t now_ns);

/* A container of the engine has begun or ended; NULL: events may have been missed. */
void drpc_scale_event(struct drpc_agent *agent, const char *id);

/* Copies go and what was stopped starts. Returns how many deployments that concerns. */
unsigned int drpc_scale_restore(struct drpc_agent *agent, const char *deployment);
int drpc_scale_restore_all(struct drpc_agent *agent, int timeout_ms,
			   struct drpc_restore_report *ret);

/* In words what is under way or changed, for `ls` and status; false where nothing is. */
struct drpc_replicas_status;
bool drpc_scale_status(const struct drpc_agent *agent, const struct drpc_deployment *deployment,
		       struct drpc_replicas_status *ret);
