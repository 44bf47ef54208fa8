/* SPDX-License-Identifier: Apache-2.0 */
/* What `drpc explain` tells: one record a decision, the last ones of each deployment in a ring. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "agent/limits.h"
#include "agent/plan/guard.h"
#include "include/drpc/features.h"

#define DRPC_DECISION_RING    64
#define DRPC_PLANNER_NAME_MAX 16

struct drpc_decision {
	uint64_t id;	      /* given by push, counts up from 1 */
	uint64_t realtime_ns; /* when it was taken; the last time, where it repeats */
	uint32_t repeats;     /* how often the same came again, one after the other */
	bool applied;	      /* written and verified */
	bool outcome_known;   /* the two figures below were filled in */
	enum drpc_verdict_kind verdict;
	char planner[DRPC_PLANNER_NAME_MAX];
	float features[DRPC_F_COUNT];
	float raw[DRPC_OUT_COUNT];
	struct drpc_limits before, after; /* of a replica */
	uint32_t replicas_before, replicas_after;
	int64_t cpu_delta_mcpu, memory_delta_bytes; /* of a replica, between the figures */
	int32_t replicas_delta;
	uint64_t outcome_p99_ns; /* of the window after; 0 where there was no request */
	double outcome_throttled;
	char reason[DRPC_REASON_MAX];
};

/* All zero is an empty one; it grows to DRPC_DECISION_RING records as they come. */
struct drpc_decision_ring {
	struct drpc_decision *records;
	uint32_t capacity;
	uint64_t pushed; /* records that were ever given a place */
};

/* Frees the records, leaves the ring empty. */
void drpc_decision_ring_free(struct drpc_decision_ring *ring);

/* Fills a record from a verdict; `planner` is cut. Ids, repeats and outcome are zero. */
void drpc_decision_fill(struct drpc_decision *decision, const struct drpc_guard_request *request,
			const struct drpc_verdict *verdict, const char *planner, bool applied,
			uint64_t realtime_ns);

/*
 * Stores a copy, over the oldest where the ring is full. A decision that changed nothing and says
 * the same as the newest record only counts that one up: minutes of "nothing to do" do not push
 * the actions out. Returns the record, valid until the next push, NULL without
 * memory (the decision is then not remembered).
 */
struct drpc_decision *drpc_decision_push(struct drpc_decision_ring *ring,
					 const struct drpc_decision *decision);

/* How many records there are. */
uint32_t drpc_decision_count(const struct drpc_decision_ring *ring);

/* The record of that age, 0 the newest; NULL past the oldest. */
const struct drpc_decision *drpc_decision_at(const struct drpc_decision_ring *ring, uint32_t age);

/* Fills in what came of record `id`; false where it has left the ring. */
bool drpc_decision_set_outcome(struct drpc_decision_ring *ring, uint64_t id, uint64_t p99_ns,
			       double throttled);

/* Record `id` has been written and verified after all (an engine answered); false as above. */
bool drpc_decision_set_applied(struct drpc_decision_ring *ring, uint64_t id);
