/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Brownout: where the node's CPU is short and a deployment misses its objective for it, something
 * that the application can do without for a while leaves, and comes back once there is room again.
 * It is a matter of all deployments together, so no planner decides it. Pure; state is the caller's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/plan/guard.h"
#include "agent/policy.h"

/* Of one deployment. All zero is the state of a new one. */
struct drpc_brownout_state {
	uint32_t had_replicas; /* when it left; 0: it is not away */
	uint64_t had_use_mcpu; /* of them all */
	uint64_t left_ns, returned_ns;
	uint32_t relapses; /* returned, and had to leave again soon */
};

/* Of the node. */
struct drpc_brownout {
	uint64_t short_since_ns, room_since_ns; /* 0: it is not so now */
};

/* One deployment at one tick. */
struct drpc_brownout_item {
	const struct drpc_policy *policy;
	struct drpc_brownout_state *state;
	bool paused;
	bool blocked; /* its replicas cannot change now */
	float p99_over_slo, cpu_pressure;
	double lost; /* share of the requests that ended without an answer */
	uint32_t replicas;
	uint64_t use_mcpu; /* of all replicas */
	/* Out: to go to `to` replicas now; at 0 without `act`: to stay there. */
	bool act;
	uint32_t to;
};

/* `busy` is the share of the node's CPU that is in use, by whomever; negative: not known. */
void drpc_brownout_judge(const struct drpc_guard_params *params, uint64_t node_mcpu, double busy,
			 struct drpc_brownout *node, struct drpc_brownout_item *items, size_t count,
			 uint64_t now_ns);

/* Whether the deployment has left for a brownout and is not back yet. */
bool drpc_brownout_away(const struct drpc_brownout_state *state);

/* Told when the replicas have changed: from here on it is away, or back. */
void drpc_brownout_left(struct drpc_brownout_state *state, uint32_t replicas, uint64_t use_mcpu,
			uint64_t now_ns);
void drpc_brownout_returned(struct drpc_brownout_state *state, uint64_t now_ns);
