/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control loop: every window it samples all containers, and for each deployment observes,
 * plans, guards, applies and records. This is the state it keeps per deployment; the API shows it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "agent/agent.h"
#include "agent/container.h"
#include "agent/monitor/observe.h"
#include "agent/plan/decision.h"
#include "agent/plan/guard.h"
#include "agent/plan/holt.h"
#include "agent/plan/peak.h"
#include "agent/plan/planner.h"
#include "agent/scale.h"

struct drpc_control {
	struct drpc_holt holt;
	struct drpc_peak cpu_peak;     /* of the busiest replica */
	struct drpc_observed observed; /* at the last tick */
	struct drpc_limits limits;     /* in force on each replica, as last read */
	bool limits_known;	       /* limits were read at least once */
	uint64_t limits_ns;	       /* when they were read last */
	bool limits_stale;	       /* and are to be read again before the next decision */
	uint64_t looked_ns;  /* when it was last observed: an idle one is not at every tick */
	uint64_t changed_ns; /* when a limit was last changed, or first seen: older windows do not
				count */
	struct drpc_guard_state guard;
	struct drpc_decision_ring decisions;
	uint64_t outcome_id;	     /* decision that waits for its outcome; 0: none */
	int apply_err;		     /* of the last attempt to apply; 0 */
	struct drpc_verdict asked;   /* what the engine is being asked; write: false for nothing */
	uint64_t asked_id;	     /* the decision behind it */
	struct drpc_scaling scaling; /* of the replicas */
	char last_action[288];	     /* in words, for `ls` and `top`; "" before the first */

	/* During a tick. */
	float raw[DRPC_OUT_COUNT];
	const char *planner;
};

void drpc_control_free(struct drpc_control **control); /* NULL-safe; nulls */

/* The state of a deployment, made at its first use; NULL without memory. */
struct drpc_control *drpc_control_of(struct drpc_deployment *deployment);

/* An engine call for a container of the deployment has ended; err 0: its limits are in force. */
void drpc_control_applied(struct drpc_agent *agent, struct drpc_deployment *deployment, int err,
			  const char *why);

/* The number of replicas that a verdict asked for is reached, from `now_ns` on. */
void drpc_control_scaled(struct drpc_agent *agent, struct drpc_deployment *deployment,
			 const struct drpc_verdict *verdict, uint64_t decision_id, uint64_t now_ns);

struct drpc_control_scratch;
void drpc_control_scratch_free(struct drpc_control_scratch **scratch); /* NULL-safe; nulls */

/* One control tick: sample → observe → decide → guard → apply → record, for everybody. */
void drpc_control_tick(struct drpc_agent *agent, uint64_t now_ns);
