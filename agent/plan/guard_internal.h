/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guard's files share: rules (guard.c, guard_allow.c, guard_replicas.c), memory of what was
 * written (guard_state.c), the node (guard_share.c), files to write (guard_limits.c).
 */
#pragma once

#include "agent/plan/guard.h"

/* Memory figures are whole multiples of this, which every page size divides. */
#define DRPC_MEMORY_GRAIN_BYTES 65536ULL

/* One deployment while it is judged. */
struct drpc_guard_judge {
	const struct drpc_guard_params *params;
	const struct drpc_guard_node *node;
	const struct drpc_guard_request *request;
	struct drpc_verdict *verdict;
	struct drpc_proposal asked;
	const float *f; /* features */
	uint64_t now_ns;
	bool rollback; /* some cut is undone this time */
};

extern const char *const drpc_guard_axis_names[DRPC_AXIS_COUNT];

/* Appends a sentence to the verdict's reason. */
void drpc_guard_note(struct drpc_verdict *verdict, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Time since a remembered moment; a clock that went back counts as no time at all. */
static inline uint64_t drpc_guard_since(uint64_t now_ns, uint64_t then_ns)
{
	return now_ns > then_ns ? now_ns - then_ns : 0;
}

/* Whether a remembered moment, 0 for never, lies less than a window back. */
static inline bool drpc_guard_within(uint64_t now_ns, uint64_t then_ns, uint64_t window_ns)
{
	return then_ns && drpc_guard_since(now_ns, then_ns) < window_ns;
}

/* Actions that have not drained yet; guard_state.c, as the next. */
double drpc_guard_spent(const struct drpc_guard_params *params,
			const struct drpc_guard_state *state, uint64_t now_ns);

/* Changes of direction of one axis in the flap window. */
uint32_t drpc_guard_turns(const struct drpc_guard_params *params,
			  const struct drpc_guard_state *state, enum drpc_guard_axis axis,
			  uint64_t now_ns);

/* x × (1 + share), at most INT64_MAX. */
uint64_t drpc_guard_grown(uint64_t x, double share);

/* To the next multiple of the grain, at most `max`. */
uint64_t drpc_guard_align_up(uint64_t bytes, uint64_t max);

/* Lowers the raises in `verdicts` until they fit the node; guard_share.c. */
void drpc_guard_share(const struct drpc_guard_params *params, const struct drpc_guard_node *node,
		      const struct drpc_guard_request *requests, size_t count,
		      struct drpc_verdict *verdicts);

/*
 * Turns verdict->target into verdict->limits; guard_limits.c. Where a figure cannot be written
 * within policy and margins its target goes back to what stands.
 */
void drpc_guard_compose(const struct drpc_guard_params *params,
			const struct drpc_guard_request *request, struct drpc_verdict *verdict);

/*
 * guard_allow.c: whether a cut, a raise of this axis may be, but for bounds and capacity; where not,
 * the verdict says why. A raise in an emergency marks the verdict.
 */
bool drpc_guard_cut_allowed(struct drpc_guard_judge *j, enum drpc_guard_axis axis);
bool drpc_guard_raise_allowed(struct drpc_guard_judge *j, enum drpc_guard_axis axis);

/* Two of its rules. Only where a cut would be one more turn: going on downwards is no flapping. */
bool drpc_guard_flaps(struct drpc_guard_judge *j, enum drpc_guard_axis axis);
bool drpc_guard_rate_allows(struct drpc_guard_judge *j, enum drpc_guard_axis axis);

/* guard_replicas.c: the verdict's target; *ret_scale_in: a replica may go, or waits for it. */
void drpc_guard_replicas(struct drpc_guard_judge *j, bool *ret_scale_in);
