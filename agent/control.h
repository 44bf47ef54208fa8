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
#include "agent/monitor/view.h"
#include "agent/plan/decision.h"
#include "agent/plan/forecast.h"
#include "agent/plan/guard.h"
#include "agent/plan/planner.h"

struct drpc_control {
	struct drpc_forecast forecast;
	struct drpc_observation observation; /* of the last tick */
	struct drpc_view view;		     /* the windows that observation was made from */
	struct drpc_limits limits;	     /* in force on each replica, as last read */
	bool limits_known;
	uint64_t changed_ns; /* when a limit was last changed: older windows do not count */
	uint64_t window_ns;  /* end of the newest window */
	struct drpc_guard guard;
	struct drpc_decision_ring decisions;
	char last_action[160]; /* in words, for `ls` and `top`; "" before the first */
};

/* One control tick: sample → observe → decide → guard → apply → record, for everybody. */
void drpc_control_tick(struct drpc_agent *agent, uint64_t now_ns);

/* Reads the limits in force of a deployment's replicas (start, and after foreign changes). */
void drpc_control_read_limits(struct drpc_agent *agent, struct drpc_deployment *deployment);
