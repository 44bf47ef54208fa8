/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the windows of a deployment's replicas to the state a planner sees. Only windows that began
 * after the last change of a limit count: a decision must not answer to what it has already cured.
 */
#pragma once

#include <stdbool.h>

#include "agent/container.h"
#include "agent/limits.h"
#include "agent/monitor/view.h"
#include "agent/plan/holt.h"
#include "agent/plan/planner.h"

struct drpc_observed {
	struct drpc_observation observation;
	struct drpc_view view;	 /* all replicas together; CPU and memory of the mean replica */
	uint64_t window_end_ns;	 /* of the newest window that counts; 0: there is none yet */
	uint64_t cpu_usage_mcpu; /* busiest replica */
	uint64_t cpu_last_mcpu;	 /* busiest replica in the last window, whenever that was */
	bool cpu_known;		 /* every replica's CPU counters could be read */
	uint64_t mem_use_bytes, mem_working_set_bytes; /* fullest replica */
	uint32_t replicas;			       /* that were measured */
};

/*
 * `limits` are those of a replica now; no limit counts as the policy's maximum. Pushes the measured
 * rate into `holt` and reads the prediction from it. Features are always finite.
 */
void drpc_observe(const struct drpc_deployment *deployment, const struct drpc_limits *limits,
		  uint64_t since_ns, uint64_t now_ns, struct drpc_holt *holt,
		  struct drpc_observed *ret);
