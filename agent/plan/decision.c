// SPDX-License-Identifier: Apache-2.0
#include "agent/plan/decision.h"

#include <stdlib.h>
#include <string.h>

#include "lib/util.h"

_Static_assert((DRPC_DECISION_RING & (DRPC_DECISION_RING - 1)) == 0, "reached by doubling");

/* The difference of two figures, as far as 64 signed bits tell it. */
static int64_t delta(uint64_t before, uint64_t after)
{
	if (after >= before)
		return (int64_t)DRPC_MIN(after - before, (uint64_t)INT64_MAX);
	return -(int64_t)DRPC_MIN(before - after, (uint64_t)INT64_MAX);
}

void drpc_decision_fill(struct drpc_decision *decision, const struct drpc_guard_request *request,
			const struct drpc_verdict *verdict, const char *planner, bool applied,
			uint64_t realtime_ns)
{
	*decision = (struct drpc_decision){
		.realtime_ns = realtime_ns,
		.applied = applied,
		.verdict = verdict->kind,
		.before = request->limits,
		.after = verdict->limits,
		.replicas_before = request->replicas,
		.replicas_after = verdict->replicas,
		.cpu_delta_mcpu = delta(verdict->standing.cpu_mcpu, verdict->target.cpu_mcpu),
		.memory_delta_bytes =
			delta(verdict->standing.memory_bytes, verdict->target.memory_bytes),
		.replicas_delta = (int32_t)delta(request->replicas, verdict->replicas),
	};
	drpc_strcpy(decision->planner, sizeof(decision->planner), planner);
	drpc_strcpy(decision->reason, sizeof(decision->reason), verdict->reason);
	memcpy(decision->features, request->observation->features, sizeof(decision->features));
	if (request->raw)
		memcpy(decision->raw, request->raw, sizeof(decision->raw));
}

static bool changes_nothing(const struct drpc_decision *d)
{
	return !d->applied && d->replicas_before == d->replicas_after &&
	       drpc_limits_equal(&d->before, &d->after);
}

/* Figures in the reason change from tick to tick ("0.4 s ago"): kind and limits tell. */
static bool repeats(const struct drpc_decision *newest, const struct drpc_decision *d)
{
	return changes_nothing(newest) && changes_nothing(d) && newest->verdict == d->verdict &&
	       strcmp(newest->planner, d->planner) == 0 &&
	       newest->replicas_before == d->replicas_before &&
	       drpc_limits_equal(&newest->before, &d->before);
}

void drpc_decision_ring_free(struct drpc_decision_ring *ring)
{
	free(ring->records);
	*ring = (struct drpc_decision_ring){0};
}

/* Most deployments decide little: room comes with the records. */
static bool grow(struct drpc_decision_ring *ring, uint64_t id)
{
	uint32_t capacity = DRPC_MAX(2 * ring->capacity, 2U);
	struct drpc_decision *bigger;

	if (id <= ring->capacity || ring->capacity == DRPC_DECISION_RING)
		return true;
	bigger = reallocarray(ring->records, capacity, sizeof(*bigger));
	if (!bigger)
		return false;
	ring->records = bigger;
	ring->capacity = capacity;
	return true;
}

struct drpc_decision *drpc_decision_push(struct drpc_decision_ring *ring,
					 const struct drpc_decision *decision)
{
	struct drpc_decision *place;
	uint64_t id = ring->pushed + 1;
	uint32_t times = 0;

	if (ring->pushed) {
		place = &ring->records[(ring->pushed - 1) % DRPC_DECISION_RING];
		if (repeats(place, decision)) {
			id = place->id;
			times = place->repeats + (place->repeats < UINT32_MAX);
		}
	}
	if (!grow(ring, id))
		return NULL;
	if (id > ring->pushed)
		ring->pushed = id;
	place = &ring->records[(id - 1) % DRPC_DECISION_RING];
	*place = *decision;
	place->id = id;
	place->repeats = times;
	return place;
}

uint32_t drpc_decision_count(const struct drpc_decision_ring *ring)
{
	return (uint32_t)DRPC_MIN(ring->pushed, (uint64_t)DRPC_DECISION_RING);
}

const struct drpc_decision *drpc_decision_at(const struct drpc_decision_ring *ring, uint32_t age)
{
	if (age >= drpc_decision_count(ring))
		return NULL;
	return &ring->records[(ring->pushed - 1 - age) % DRPC_DECISION_RING];
}

static struct drpc_decision *by_id(struct drpc_decision_ring *ring, uint64_t id)
{
	if (id == 0 || id > ring->pushed || ring->pushed - id >= DRPC_DECISION_RING)
		return NULL;
	return &ring->records[(id - 1) % DRPC_DECISION_RING];
}

bool drpc_decision_set_outcome(struct drpc_decision_ring *ring, uint64_t id, uint64_t p99_ns,
			       double throttled)
{
	struct drpc_decision *record = by_id(ring, id);

	if (!record)
		return false;
	record->outcome_p99_ns = p99_ns;
	record->outcome_throttled = throttled;
	record->outcome_known = true;
	return true;
}

bool drpc_decision_set_applied(struct drpc_decision_ring *ring, uint64_t id)
{
	struct drpc_decision *record = by_id(ring, id);

	if (!record)
		return false;
	record->applied = true;
	return true;
}
