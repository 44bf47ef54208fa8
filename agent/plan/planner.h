/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A planner turns the state of one deployment into three outputs in -1..1 (features.h). It never
 * touches a limit: outputs become a proposal (proposal.h), the guard judges it, execute applies it.
 */
#pragma once

#include <stdint.h>

#include "include/drpc/features.h"
#include "lib/util.h"

/* How far back an observation looks for the requests of a percentile. */
#define DRPC_LOOK_BACK_NS (10 * DRPC_NSEC_PER_SEC)

/* Everything a planner may look at. Features are finite; the guard freezes a deployment whose
 * window is stale or thin before a planner is asked. */
struct drpc_observation {
	float features[DRPC_F_COUNT];
	uint64_t now_ns; /* CLOCK_MONOTONIC */
	double coverage; /* 0..1, how much of the traffic the histograms saw */
	/* What p99 rests on: so many requests of so long a time, DRPC_LOOK_BACK_NS at most. */
	uint64_t p99_requests, p99_span_ns;
};

struct drpc_planner;

struct drpc_planner_ops {
	const char *name;
	/* Writes three outputs, each in -1..1. Returns 0 or a negative errno (raw untouched). */
	int (*decide)(struct drpc_planner *planner, const struct drpc_observation *observation,
		      float raw[DRPC_OUT_COUNT]);
	void (*free)(struct drpc_planner *planner);
};

struct drpc_planner {
	const struct drpc_planner_ops *ops;
};

/* The rules that are the fallback for ever after; documented in docs/planners.md. No state. */
int drpc_planner_reactive_new(struct drpc_planner **ret);

/* A student network from a policy file (nn/policy_file.h). Refuses what that refuses. */
int drpc_planner_student_new(const char *path, struct drpc_planner **ret);

/* NULL-safe; nulls its argument. */
void drpc_planner_free(struct drpc_planner **planner);
