/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the control loop to execute/: applies a tick's verdicts to all replicas of their
 * deployments, and hears what became of the ones that went through the engine.
 */
#pragma once

#include "agent/agent.h"
#include "agent/plan/guard.h"

/* Limits in force on the deployment's replicas (of the first; they are kept alike). A negative
 * errno: they cannot be read yet. */
int drpc_apply_read(struct drpc_agent *agent, const struct drpc_deployment *deployment,
		    struct drpc_limits *ret);

/* Whether a change of a replica is still under way: the engine has not answered. */
bool drpc_apply_pending(const struct drpc_agent *agent, const struct drpc_deployment *deployment);

/*
 * Applies one verdict a deployment, everybody's raises before anybody's cuts. results[i] becomes 0
 * (in force and verified on every replica), -EINPROGRESS (the engine is asked; drpc_apply_pending()
 * until it has answered), or the first negative errno of a replica (logged, once while it lasts).
 */
void drpc_apply_write(struct drpc_agent *agent, struct drpc_deployment *const *deployments,
		      const struct drpc_verdict *const *verdicts, size_t count, uint64_t now_ns,
		      int *results);

struct drpc_apply_scratch;
void drpc_apply_scratch_free(struct drpc_apply_scratch **scratch); /* NULL-safe; nulls */
