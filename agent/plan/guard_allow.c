// SPDX-License-Identifier: Apache-2.0
/* May a figure of a deployment go down, may it go up. */
#include "agent/plan/guard_internal.h"
#include "lib/util.h"

#define SEC DRPC_NSEC_PER_SEC

/* Share of the objective so low that even the slowest of a few requests speaks for a cut. */
#define P99_FAR_UNDER 0.3f

static bool cpu_emergency(const struct drpc_guard_judge *j)
{
	return j->f[DRPC_F_P99_SLO] > 1 || j->f[DRPC_F_THROTTLED] >= j->params->emergency_throttled;
}

static bool mem_emergency(const struct drpc_guard_judge *j)
{
	return j->f[DRPC_F_MEM_PRESSURE] >= j->params->emergency_mem_pressure ||
	       j->f[DRPC_F_MEM_UTIL] >= 0.95f;
}

/* Emergencies that counters of the kernel show, whatever the histograms' coverage. */
static bool counted_emergency(const struct drpc_guard_judge *j, enum drpc_guard_axis axis)
{
	if (axis == DRPC_AXIS_MEMORY)
		return mem_emergency(j);
	return j->f[DRPC_F_THROTTLED] >= j->params->emergency_throttled;
}

bool drpc_guard_rate_allows(struct drpc_guard_judge *j, enum drpc_guard_axis axis)
{
	if (drpc_guard_spent(j->params, j->request->state, j->now_ns) + 1 <=
	    j->params->actions_per_minute)
		return true;
	drpc_guard_note(j->verdict, "%s: refused, %u actions a minute are used up",
			drpc_guard_axis_names[axis], j->params->actions_per_minute);
	return false;
}

static bool coverage_thin(const struct drpc_guard_judge *j)
{
	return !(j->request->observation->coverage >= j->params->min_coverage);
}

static bool cut_too_soon(struct drpc_guard_judge *j, enum drpc_guard_axis axis)
{
	const struct drpc_guard_params *p = j->params;
	const uint64_t raised = j->request->state->axis[axis].raised_ns;
	const uint64_t cut = j->request->state->axis[axis].cut_ns;
	const bool scale = axis == DRPC_AXIS_REPLICAS;
	const uint64_t after_raise = scale ? p->scale_in_cooldown_ns : p->cut_after_raise_ns;
	const uint64_t after_cut = scale ? p->scale_interval_ns : p->cut_interval_ns;

	if (drpc_guard_within(j->now_ns, raised, after_raise))
		drpc_guard_note(j->verdict, "%s: cut refused, raised %.1f s ago (cool-down %.0f s)",
				drpc_guard_axis_names[axis],
				(double)drpc_guard_since(j->now_ns, raised) / (double)SEC,
				(double)after_raise / (double)SEC);
	else if (drpc_guard_within(j->now_ns, cut, after_cut))
		drpc_guard_note(j->verdict, "%s: cut refused, cut %.1f s ago (interval %.0f s)",
				drpc_guard_axis_names[axis],
				(double)drpc_guard_since(j->now_ns, cut) / (double)SEC,
				(double)after_cut / (double)SEC);
	else
		return false;
	return true;
}

/*
 * Whether too little was seen since the last change. The p99 of a few requests is the slowest of
 * them, and the next hundred bring slower ones: close to the objective it says nothing yet.
 */
static bool cut_unproven(struct drpc_guard_judge *j, enum drpc_guard_axis axis)
{
	const struct drpc_guard_params *p = j->params;
	const struct drpc_observation *o = j->request->observation;
	uint64_t changed = 0;

	for (enum drpc_guard_axis a = 0; a < DRPC_AXIS_COUNT; a++) {
		const struct drpc_guard_axis_state *s = &j->request->state->axis[a];

		changed = DRPC_MAX(changed, DRPC_MAX(s->raised_ns, s->cut_ns));
	}
	if (drpc_guard_within(j->now_ns, changed, p->cut_settle_ns))
		drpc_guard_note(
			j->verdict,
			"%s: cut refused, the change of %.1f s ago must show its effect first",
			drpc_guard_axis_names[axis],
			(double)drpc_guard_since(j->now_ns, changed) / (double)SEC);
	else if (axis != DRPC_AXIS_MEMORY && j->f[DRPC_F_P99_SLO] >= P99_FAR_UNDER &&
		 o->p99_requests < p->cut_requests && o->p99_span_ns < DRPC_LOOK_BACK_NS)
		drpc_guard_note(
			j->verdict,
			"%s: cut refused, p99 is %.2f of the objective but rests on %lu requests (%u wanted)",
			drpc_guard_axis_names[axis], (double)j->f[DRPC_F_P99_SLO], o->p99_requests,
			p->cut_requests);
	else
		return false;
	return true;
}

bool drpc_guard_flaps(struct drpc_guard_judge *j, enum drpc_guard_axis axis)
{
	const uint32_t turns = drpc_guard_turns(j->params, j->request->state, axis, j->now_ns);

	if (j->request->state->axis[axis].direction <= 0 || turns < j->params->flap_budget)
		return false;
	drpc_guard_note(j->verdict, "%s: cut refused, changed direction %u times in %.0f s",
			drpc_guard_axis_names[axis], turns,
			(double)j->params->flap_window_ns / (double)SEC);
	return true;
}

bool drpc_guard_cut_allowed(struct drpc_guard_judge *j, enum drpc_guard_axis axis)
{
	if (j->rollback) {
		drpc_guard_note(j->verdict, "%s: cut refused while another is undone",
				drpc_guard_axis_names[axis]);
		return false;
	}
	if (coverage_thin(j)) {
		drpc_guard_note(j->verdict, "%s: cut refused, only %.0f%% of the traffic was seen",
				drpc_guard_axis_names[axis],
				j->request->observation->coverage * 100);
		return false;
	}
	if (cpu_emergency(j) || (axis == DRPC_AXIS_MEMORY && mem_emergency(j))) {
		drpc_guard_note(
			j->verdict,
			"%s: cut refused while the deployment is overloaded (p99 %.2f of the objective, throttled %.2f, memory pressure %.2f)",
			drpc_guard_axis_names[axis], (double)j->f[DRPC_F_P99_SLO],
			(double)j->f[DRPC_F_THROTTLED], (double)j->f[DRPC_F_MEM_PRESSURE]);
		return false;
	}
	if (cut_too_soon(j, axis) || cut_unproven(j, axis) || drpc_guard_flaps(j, axis))
		return false;
	return drpc_guard_rate_allows(j, axis);
}

bool drpc_guard_raise_allowed(struct drpc_guard_judge *j, enum drpc_guard_axis axis)
{
	const bool emergency = axis == DRPC_AXIS_MEMORY ? mem_emergency(j) : cpu_emergency(j);
	const uint64_t scaled = DRPC_MAX(j->request->state->axis[axis].raised_ns,
					 j->request->state->axis[axis].cut_ns);

	if (coverage_thin(j) && !counted_emergency(j, axis)) {
		drpc_guard_note(
			j->verdict,
			"%s: raise refused, only %.0f%% of the traffic was seen and neither throttling nor pressure confirms it",
			drpc_guard_axis_names[axis], j->request->observation->coverage * 100);
		return false;
	}
	if (axis == DRPC_AXIS_REPLICAS &&
	    drpc_guard_within(j->now_ns, scaled, j->params->scale_interval_ns)) {
		drpc_guard_note(j->verdict, "replicas: scale-out refused, changed %.1f s ago",
				(double)drpc_guard_since(j->now_ns, scaled) / (double)SEC);
		return false;
	}
	if (emergency)
		j->verdict->emergency = true;
	return emergency || drpc_guard_rate_allows(j, axis);
}
