// SPDX-License-Identifier: Apache-2.0
/* What the guard remembers of what was written. */
#include "agent/plan/guard_internal.h"
#include "lib/util.h"

double drpc_guard_spent(const struct drpc_guard_params *params,
			const struct drpc_guard_state *state, uint64_t now_ns)
{
	const double minutes = (double)drpc_guard_since(now_ns, state->spent_ns) /
			       (60.0 * (double)DRPC_NSEC_PER_SEC);

	return DRPC_MAX(state->spent - minutes * params->actions_per_minute, 0.0);
}

uint32_t drpc_guard_turns(const struct drpc_guard_params *params,
			  const struct drpc_guard_state *state, enum drpc_guard_axis axis,
			  uint64_t now_ns)
{
	uint32_t turns = 0;

	for (size_t i = 0; i < DRPC_FLAP_BUDGET_MAX; i++)
		turns += drpc_guard_within(now_ns, state->axis[axis].turned_ns[i],
					   params->flap_window_ns);
	return turns;
}

static int direction(uint64_t from, uint64_t to)
{
	return (to > from) - (to < from);
}

static void commit_axis(const struct drpc_guard_params *params, struct drpc_guard_state *state,
			enum drpc_guard_axis axis, const float *f, uint64_t from, uint64_t to,
			uint64_t now_ns)
{
	struct drpc_guard_axis_state *a = &state->axis[axis];
	const int dir = direction(from, to);
	uint64_t window;

	if (dir == 0)
		return;
	if (a->direction && a->direction != dir)
		a->turned_ns[a->turned++ % DRPC_FLAP_BUDGET_MAX] = now_ns;
	a->direction = dir;
	if (dir > 0) {
		a->raised_ns = now_ns;
		a->undo_until_ns = 0;
		return;
	}
	window = axis == DRPC_AXIS_REPLICAS ? params->scale_rollback_window_ns
					    : params->rollback_window_ns;
	a->cut_ns = now_ns;
	if (__builtin_add_overflow(now_ns, window, &a->undo_until_ns))
		a->undo_until_ns = UINT64_MAX;
	a->undo = from;
	a->undo_throttled = f[DRPC_F_THROTTLED];
	a->undo_pressure = f[axis == DRPC_AXIS_MEMORY ? DRPC_F_MEM_PRESSURE : DRPC_F_CPU_PRESSURE];
}

void drpc_guard_commit(const struct drpc_guard_params *params, struct drpc_guard_state *state,
		       const struct drpc_observation *observation,
		       const struct drpc_verdict *verdict, uint64_t now_ns)
{
	const struct drpc_proposal *from = &verdict->standing, *to = &verdict->target;
	const float *f = observation->features;

	/* Capped: however many emergencies there were, one action drains after one action's time. */
	state->spent = DRPC_MIN(drpc_guard_spent(params, state, now_ns) + 1,
				(double)params->actions_per_minute);
	state->spent_ns = now_ns;
	commit_axis(params, state, DRPC_AXIS_CPU, f, from->cpu_mcpu, to->cpu_mcpu, now_ns);
	commit_axis(params, state, DRPC_AXIS_MEMORY, f, from->memory_bytes, to->memory_bytes,
		    now_ns);
	commit_axis(params, state, DRPC_AXIS_REPLICAS, f, from->replicas, to->replicas, now_ns);
}
