// SPDX-License-Identifier: Apache-2.0
/* The rules of one deployment, in the order in which they are asked. */
#include "agent/plan/guard.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/plan/guard_internal.h"
#include "lib/util.h"

#define SEC DRPC_NSEC_PER_SEC

/* Share of the objective so low that even the slowest of a few requests speaks for a cut. */
#define P99_FAR_UNDER 0.3f

/* A cut by a smaller share than this saves nothing, and what was seen before it counts no more. */
#define LEAST_CUT 0.03

static const char *const axis_names[DRPC_AXIS_COUNT] = {"cpu", "memory", "replicas"};

/* One deployment while it is judged. */
struct judge {
	const struct drpc_guard_params *params;
	const struct drpc_guard_node *node;
	const struct drpc_guard_request *request;
	struct drpc_verdict *verdict;
	struct drpc_proposal asked;
	const float *f; /* features */
	uint64_t now_ns;
	bool rollback; /* some cut is undone this time */
};

/* A figure's bounds: what may be reached in one step, what the policy allows. */
struct bounds {
	double step;
	uint64_t min, max;
	uint64_t floor; /* of a cut: what is in use, with the margin */
};

void drpc_guard_params_defaults(struct drpc_guard_params *params)
{
	*params = (struct drpc_guard_params){
		.interval_ns = 200 * DRPC_NSEC_PER_MSEC,
		.stale_intervals = 5,
		.min_coverage = 0.9,
		.actions_per_minute = 30,
		.flap_budget = 6,
		.flap_window_ns = 300 * SEC,
		.cut_interval_ns = 2 * SEC,
		.cut_after_raise_ns = 10 * SEC,
		.cut_settle_ns = 1 * SEC,
		.cut_requests = 100,
		.scale_interval_ns = 15 * SEC,
		.scale_in_cooldown_ns = 120 * SEC,
		.rollback_window_ns = 1 * SEC,
		.scale_rollback_window_ns = 15 * SEC,
		.rollback_throttled = 0.25,
		.rollback_cpu_pressure = 0.25,
		.rollback_mem_pressure = 0.1,
		.emergency_throttled = 0.2,
		.emergency_mem_pressure = 0.1,
		.cpu_margin = 0.1,
		.memory_margin = 0.1,
		.memory_margin_bytes = 4 * DRPC_MIB,
		.memory_high_gap = 0.1,
	};
}

void drpc_guard_note(struct drpc_verdict *verdict, const char *fmt, ...)
{
	size_t len = strlen(verdict->reason);
	va_list args;

	if (len && len + 3 < sizeof(verdict->reason)) {
		memcpy(verdict->reason + len, "; ", 3);
		len += 2;
	}
	va_start(args, fmt);
	vsnprintf(verdict->reason + len, sizeof(verdict->reason) - len, fmt, args);
	va_end(args);
}

uint64_t drpc_guard_grown(uint64_t x, double share)
{
	double grown = (double)x * (1 + share);

	return grown < (double)INT64_MAX ? (uint64_t)grown : INT64_MAX;
}

uint64_t drpc_guard_align_up(uint64_t bytes, uint64_t max)
{
	uint64_t rest = bytes % DRPC_MEMORY_GRAIN_BYTES, up;

	if (rest == 0)
		return DRPC_MIN(bytes, max);
	if (__builtin_add_overflow(bytes, DRPC_MEMORY_GRAIN_BYTES - rest, &up))
		return max;
	return DRPC_MIN(up, max);
}

/* --- emergencies and rollback --------------------------------------------------------------- */

static bool cpu_emergency(const struct judge *j)
{
	return j->f[DRPC_F_P99_SLO] > 1 || j->f[DRPC_F_THROTTLED] >= j->params->emergency_throttled;
}

static bool mem_emergency(const struct judge *j)
{
	return j->f[DRPC_F_MEM_PRESSURE] >= j->params->emergency_mem_pressure ||
	       j->f[DRPC_F_MEM_UTIL] >= 0.95f;
}

/* Emergencies that counters of the kernel show, whatever the histograms' coverage. */
static bool counted_emergency(const struct judge *j, enum drpc_guard_axis axis)
{
	if (axis == DRPC_AXIS_MEMORY)
		return mem_emergency(j);
	return j->f[DRPC_F_THROTTLED] >= j->params->emergency_throttled;
}

static uint64_t *figure_of(struct drpc_proposal *p, enum drpc_guard_axis axis)
{
	return axis == DRPC_AXIS_CPU ? &p->cpu_mcpu : &p->memory_bytes;
}

/* Whether the last cut of this axis made things worse; says so. */
static bool cut_hurt(struct judge *j, enum drpc_guard_axis axis)
{
	const struct drpc_guard_params *p = j->params;
	const float throttled = j->f[DRPC_F_THROTTLED];
	const float pressure =
		j->f[axis == DRPC_AXIS_MEMORY ? DRPC_F_MEM_PRESSURE : DRPC_F_CPU_PRESSURE];
	const float old_throttled = j->request->state->axis[axis].undo_throttled;
	const float old_pressure = j->request->state->axis[axis].undo_pressure;
	const double jump =
		axis == DRPC_AXIS_MEMORY ? p->rollback_mem_pressure : p->rollback_cpu_pressure;

	if (j->now_ns >= j->request->state->axis[axis].undo_until_ns)
		return false;
	if (axis != DRPC_AXIS_MEMORY && throttled - old_throttled >= p->rollback_throttled)
		drpc_guard_note(j->verdict,
				"%s: the last cut is undone, throttling rose from %.2f to %.2f",
				axis_names[axis], (double)old_throttled, (double)throttled);
	else if (pressure - old_pressure >= jump)
		drpc_guard_note(j->verdict,
				"%s: the last cut is undone, pressure rose from %.2f to %.2f",
				axis_names[axis], (double)old_pressure, (double)pressure);
	else
		return false;
	return true;
}

static void roll_back(struct judge *j)
{
	const struct drpc_policy *policy = j->request->policy;
	const uint64_t min[DRPC_AXIS_COUNT] = {policy->min_cpu_mcpu, policy->min_memory_bytes,
					       policy->min_replicas};
	const uint64_t max[DRPC_AXIS_COUNT] = {policy->max_cpu_mcpu, policy->max_memory_bytes,
					       policy->max_replicas};

	for (enum drpc_guard_axis axis = 0; axis < DRPC_AXIS_COUNT; axis++) {
		const bool replicas = axis == DRPC_AXIS_REPLICAS;
		const uint64_t from = replicas ? j->verdict->standing.replicas
					       : *figure_of(&j->verdict->standing, axis);
		/* The owner may have changed the policy since. */
		const uint64_t undo =
			DRPC_CLAMP(j->request->state->axis[axis].undo, min[axis], max[axis]);

		if (undo <= from || !cut_hurt(j, axis))
			continue;
		j->rollback = true;
		j->verdict->emergency = true;
		if (replicas)
			j->asked.replicas = j->verdict->target.replicas = (uint32_t)undo;
		else
			*figure_of(&j->asked, axis) = *figure_of(&j->verdict->target, axis) = undo;
	}
}

/* --- may it go down, may it go up ----------------------------------------------------------- */

static bool rate_allows(struct judge *j, enum drpc_guard_axis axis)
{
	if (drpc_guard_spent(j->params, j->request->state, j->now_ns) + 1 <=
	    j->params->actions_per_minute)
		return true;
	drpc_guard_note(j->verdict, "%s: refused, %u actions a minute are used up",
			axis_names[axis], j->params->actions_per_minute);
	return false;
}

static bool coverage_thin(const struct judge *j)
{
	return !(j->request->observation->coverage >= j->params->min_coverage);
}

static bool cut_too_soon(struct judge *j, enum drpc_guard_axis axis)
{
	const struct drpc_guard_params *p = j->params;
	const uint64_t raised = j->request->state->axis[axis].raised_ns;
	const uint64_t cut = j->request->state->axis[axis].cut_ns;
	const bool scale = axis == DRPC_AXIS_REPLICAS;
	const uint64_t after_raise = scale ? p->scale_in_cooldown_ns : p->cut_after_raise_ns;
	const uint64_t after_cut = scale ? p->scale_interval_ns : p->cut_interval_ns;

	if (drpc_guard_within(j->now_ns, raised, after_raise))
		drpc_guard_note(j->verdict, "%s: cut refused, raised %.1f s ago (cool-down %.0f s)",
				axis_names[axis],
				(double)drpc_guard_since(j->now_ns, raised) / (double)SEC,
				(double)after_raise / (double)SEC);
	else if (drpc_guard_within(j->now_ns, cut, after_cut))
		drpc_guard_note(j->verdict, "%s: cut refused, cut %.1f s ago (interval %.0f s)",
				axis_names[axis],
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
static bool cut_unproven(struct judge *j, enum drpc_guard_axis axis)
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
			axis_names[axis],
			(double)drpc_guard_since(j->now_ns, changed) / (double)SEC);
	else if (axis != DRPC_AXIS_MEMORY && j->f[DRPC_F_P99_SLO] >= P99_FAR_UNDER &&
		 o->p99_requests < p->cut_requests && o->p99_span_ns < DRPC_LOOK_BACK_NS)
		drpc_guard_note(
			j->verdict,
			"%s: cut refused, p99 is %.2f of the objective but rests on %lu requests (%u wanted)",
			axis_names[axis], (double)j->f[DRPC_F_P99_SLO], o->p99_requests,
			p->cut_requests);
	else
		return false;
	return true;
}

static bool cut_allowed(struct judge *j, enum drpc_guard_axis axis)
{
	const uint32_t turns = drpc_guard_turns(j->params, j->request->state, axis, j->now_ns);

	if (j->rollback) {
		drpc_guard_note(j->verdict, "%s: cut refused while another is undone",
				axis_names[axis]);
		return false;
	}
	if (coverage_thin(j)) {
		drpc_guard_note(j->verdict, "%s: cut refused, only %.0f%% of the traffic was seen",
				axis_names[axis], j->request->observation->coverage * 100);
		return false;
	}
	if (cpu_emergency(j) || (axis == DRPC_AXIS_MEMORY && mem_emergency(j))) {
		drpc_guard_note(
			j->verdict,
			"%s: cut refused while the deployment is overloaded (p99 %.2f of the objective, throttled %.2f, memory pressure %.2f)",
			axis_names[axis], (double)j->f[DRPC_F_P99_SLO],
			(double)j->f[DRPC_F_THROTTLED], (double)j->f[DRPC_F_MEM_PRESSURE]);
		return false;
	}
	if (cut_too_soon(j, axis) || cut_unproven(j, axis))
		return false;
	/* Only where this cut would be one more turn: going on downwards is no flapping. */
	if (j->request->state->axis[axis].direction > 0 && turns >= j->params->flap_budget) {
		drpc_guard_note(j->verdict, "%s: cut refused, changed direction %u times in %.0f s",
				axis_names[axis], turns,
				(double)j->params->flap_window_ns / (double)SEC);
		return false;
	}
	return rate_allows(j, axis);
}

static bool raise_allowed(struct judge *j, enum drpc_guard_axis axis)
{
	const bool emergency = axis == DRPC_AXIS_MEMORY ? mem_emergency(j) : cpu_emergency(j);
	const uint64_t scaled = DRPC_MAX(j->request->state->axis[axis].raised_ns,
					 j->request->state->axis[axis].cut_ns);

	if (coverage_thin(j) && !counted_emergency(j, axis)) {
		drpc_guard_note(
			j->verdict,
			"%s: raise refused, only %.0f%% of the traffic was seen and neither throttling nor pressure confirms it",
			axis_names[axis], j->request->observation->coverage * 100);
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
	return emergency || rate_allows(j, axis);
}

/* --- figures -------------------------------------------------------------------------------- */

static void clip_note(struct judge *j, enum drpc_guard_axis axis, const char *why, uint64_t to)
{
	if (axis == DRPC_AXIS_CPU)
		drpc_guard_note(j->verdict, "cpu: %s %lum", why, to);
	else
		drpc_guard_note(j->verdict, "memory: %s %.1f MiB", why,
				(double)to / (double)DRPC_MIB);
}

/* How far `want` may go: one step, inside the policy, a cut not into what is in use. */
static uint64_t clip(struct judge *j, enum drpc_guard_axis axis, uint64_t from, uint64_t want,
		     const struct bounds *b)
{
	const uint64_t delta =
		DRPC_MAX((uint64_t)llround(DRPC_MIN((double)from, 1e18) * b->step), 1);
	const bool up = want > from;
	const uint64_t highest = from > UINT64_MAX - delta ? UINT64_MAX : from + delta;
	const uint64_t lowest = from > delta ? from - delta : 0;
	uint64_t to = DRPC_CLAMP(want, lowest, highest);

	if (to != want)
		clip_note(j, axis, "held to one step,", to);
	if (to > b->max || to < b->min) {
		to = DRPC_CLAMP(to, b->min, b->max);
		clip_note(j, axis, up ? "held at the maximum" : "held at the minimum", to);
	}
	if (!up && to < b->floor) {
		to = b->floor;
		clip_note(j, axis, "cut no lower than use and margin,", DRPC_MIN(to, from));
	}
	/* The direction is the planner's: a raise that the bounds turn into a cut is no raise. */
	if (up ? to <= from : to >= from)
		return from;
	return to <= b->max ? to : from;
}

static void judge_figure(struct judge *j, enum drpc_guard_axis axis, const struct bounds *b)
{
	const uint64_t from = *figure_of(&j->verdict->standing, axis);
	const uint64_t want = *figure_of(&j->asked, axis);
	uint64_t *target = figure_of(&j->verdict->target, axis);
	uint64_t to;

	if (want == from || *target != from) /* nothing asked, or rolled back already */
		return;
	to = clip(j, axis, from, want, b);
	if (axis == DRPC_AXIS_MEMORY)
		to = drpc_guard_align_up(to, DRPC_MAX(b->max, to));
	if ((want > from && to <= from) || (want < from && to >= from))
		return;
	if (to < from && from <= b->max && (double)(from - to) < (double)from * LEAST_CUT) {
		drpc_guard_note(j->verdict, "%s: too little to be worth a cut", axis_names[axis]);
		return;
	}
	if (want > from ? raise_allowed(j, axis) : cut_allowed(j, axis))
		*target = to;
}

static void judge_replicas(struct judge *j, bool *ret_scale_in)
{
	const struct drpc_policy *policy = j->request->policy;
	const uint32_t from = j->verdict->standing.replicas, want = j->asked.replicas;
	const uint32_t least =
		policy->brownout ? policy->min_replicas : DRPC_MAX(policy->min_replicas, 1U);
	uint32_t to;

	*ret_scale_in = false;
	if (want == from || j->verdict->target.replicas != from)
		return;
	to = want > from ? from + 1 : from - 1;
	if (want > from ? to > policy->max_replicas : to < least) {
		drpc_guard_note(j->verdict, "replicas: held at %u, the policy allows %u..%u", from,
				least, policy->max_replicas);
		return;
	}
	/* A step towards the policy from outside of it is still outside: left to the owner. */
	if (to < least || to > policy->max_replicas) {
		drpc_guard_note(j->verdict, "replicas: %u is outside %u..%u, left alone", from,
				least, policy->max_replicas);
		return;
	}
	if (to != want)
		drpc_guard_note(j->verdict, "replicas: one at a time, %u", to);
	*ret_scale_in = to < from;
	if (to > from ? raise_allowed(j, DRPC_AXIS_REPLICAS) : cut_allowed(j, DRPC_AXIS_REPLICAS))
		j->verdict->target.replicas = to;
}

static void judge_limits(struct judge *j, bool scale_in)
{
	const struct drpc_guard_params *p = j->params;
	const struct drpc_guard_request *r = j->request;
	const struct drpc_policy *policy = r->policy;
	const double share = 1 - p->memory_high_gap;
	struct bounds cpu = {
		policy->cpu_step, policy->min_cpu_mcpu, policy->max_cpu_mcpu,
		drpc_guard_grown(DRPC_MAX(r->cpu_usage_mcpu, r->cpu_peak_mcpu), p->cpu_margin)};
	struct bounds memory = {policy->memory_step, policy->min_memory_bytes,
				policy->max_memory_bytes, 0};

	if (j->node->cpu_mcpu)
		cpu.max = DRPC_CLAMP(j->node->cpu_mcpu, cpu.min, cpu.max);
	if (j->node->memory_bytes)
		memory.max = DRPC_CLAMP(j->node->memory_bytes, memory.min, memory.max);
	/* memory.high, too, stays over the working set. */
	memory.floor = drpc_guard_grown(r->mem_working_set_bytes, p->memory_margin);
	memory.floor = (uint64_t)DRPC_MIN((double)memory.floor / share, (double)INT64_MAX);

	/* Fewer replicas and less for each at once would count the same slack twice. */
	if (scale_in && j->asked.cpu_mcpu < j->verdict->standing.cpu_mcpu)
		drpc_guard_note(j->verdict, "cpu: cut waits for the scale-in");
	else
		judge_figure(j, DRPC_AXIS_CPU, &cpu);

	if (j->asked.memory_bytes == j->verdict->standing.memory_bytes)
		return;
	if (!policy->memory_managed)
		drpc_guard_note(j->verdict, "memory: left alone, memory-managed is false");
	else if (j->asked.memory_bytes < j->verdict->standing.memory_bytes && !r->mem_use_bytes)
		drpc_guard_note(j->verdict, "memory: cut refused, its use is not known");
	else
		judge_figure(j, DRPC_AXIS_MEMORY, &memory);
}

/* --- one deployment ------------------------------------------------------------------------- */

static bool frozen(struct judge *j)
{
	const struct drpc_guard_request *r = j->request;
	const uint64_t age = drpc_guard_since(j->now_ns, r->window_end_ns);
	uint64_t oldest;

	for (int i = 0; i < DRPC_F_COUNT; i++) {
		if (isfinite(j->f[i]))
			continue;
		drpc_guard_note(j->verdict, "frozen: feature %s is not a finite number",
				drpc_feature_names[i]);
		return true;
	}
	/* Without a replica there is nothing to measure; replicas alone may change then. */
	if (r->replicas == 0)
		return false;
	if (__builtin_mul_overflow(j->params->interval_ns, j->params->stale_intervals, &oldest))
		oldest = UINT64_MAX;
	if (r->window_end_ns == 0)
		drpc_guard_note(j->verdict, "frozen: there is no measurement yet");
	else if (drpc_guard_since(r->window_end_ns, j->now_ns) > j->params->interval_ns)
		drpc_guard_note(j->verdict, "frozen: the last measurement lies in the future");
	else if (age > oldest)
		drpc_guard_note(j->verdict, "frozen: the last measurement is %.1f s old",
				(double)age / (double)SEC);
	else
		return false;
	return true;
}

/* What the planner asks for; false where that is nothing one can use. */
static bool read_proposal(struct judge *j)
{
	const struct drpc_guard_request *r = j->request;
	const struct drpc_proposal *standing = &j->verdict->standing;

	if (!r->raw || drpc_proposal_make(r->policy, standing, r->raw, &j->asked) < 0)
		return false;
	if (r->proposal)
		j->asked = *r->proposal;
	if (r->replicas == 0) {
		j->asked.cpu_mcpu = standing->cpu_mcpu;
		j->asked.memory_bytes = standing->memory_bytes;
	}
	return true;
}

static void judge_one(struct judge *j)
{
	const struct drpc_guard_request *r = j->request;
	struct drpc_verdict *v = j->verdict;
	bool scale_in;

	*v = (struct drpc_verdict){
		.kind = DRPC_VERDICT_HOLD, .limits = r->limits, .replicas = r->replicas};
	drpc_proposal_standing(r->policy, &r->limits, r->replicas, j->params->memory_high_gap,
			       &v->standing);
	v->target = j->asked = v->standing;

	if (r->policy->mode == DRPC_MODE_OFF) {
		v->kind = DRPC_VERDICT_OFF;
		drpc_guard_note(v, "mode is off: measured only");
	} else if (r->paused) {
		v->kind = DRPC_VERDICT_PAUSED;
		drpc_guard_note(v, "paused by the operator");
	} else if (frozen(j)) {
		v->kind = DRPC_VERDICT_FREEZE;
	} else if (!read_proposal(j)) {
		v->kind = DRPC_VERDICT_REFUSE;
		drpc_guard_note(v, "refused: the planner gave no finite outputs");
	} else {
		roll_back(j);
		judge_replicas(j, &scale_in);
		judge_limits(j, scale_in);
		v->kind = j->rollback ? DRPC_VERDICT_ROLLBACK : DRPC_VERDICT_ALLOW;
	}
}

static bool judged(const struct drpc_verdict *v)
{
	return v->kind == DRPC_VERDICT_ALLOW || v->kind == DRPC_VERDICT_ROLLBACK;
}

/* From the targets that are left after the sharing to the kind of the verdict. */
static void conclude(const struct drpc_guard_params *params,
		     const struct drpc_guard_request *request, struct drpc_verdict *v)
{
	bool changed;

	if (!judged(v))
		return;
	drpc_guard_compose(params, request, v);
	changed = v->replicas != request->replicas ||
		  !drpc_limits_equal(&v->limits, &request->limits);
	if (!changed) {
		v->kind = v->reason[0] ? DRPC_VERDICT_REFUSE : DRPC_VERDICT_HOLD;
		if (!v->reason[0])
			drpc_guard_note(v, "no change asked for");
		return;
	}
	if (request->policy->mode != DRPC_MODE_ACT) {
		v->kind = DRPC_VERDICT_RECOMMEND;
		drpc_guard_note(v, "not written: mode is recommend");
		return;
	}
	v->write = true;
	if (v->kind == DRPC_VERDICT_ALLOW && v->reason[0])
		v->kind = DRPC_VERDICT_CLIP;
	if (!v->reason[0])
		drpc_guard_note(v, "within every bound");
}

void drpc_guard_judge(const struct drpc_guard_params *params, const struct drpc_guard_node *node,
		      const struct drpc_guard_request *requests, size_t count, uint64_t now_ns,
		      struct drpc_verdict *verdicts)
{
	for (size_t i = 0; i < count; i++) {
		struct judge j = {
			.params = params,
			.node = node,
			.request = &requests[i],
			.verdict = &verdicts[i],
			.f = requests[i].observation->features,
			.now_ns = now_ns,
		};

		judge_one(&j);
	}
	drpc_guard_share(params, node, requests, count, verdicts);
	for (size_t i = 0; i < count; i++)
		conclude(params, &requests[i], &verdicts[i]);
}

const char *drpc_verdict_name(enum drpc_verdict_kind kind)
{
	static const char *const names[] = {
		[DRPC_VERDICT_HOLD] = "hold",
		[DRPC_VERDICT_ALLOW] = "allow",
		[DRPC_VERDICT_CLIP] = "clip",
		[DRPC_VERDICT_REFUSE] = "refuse",
		[DRPC_VERDICT_FREEZE] = "freeze",
		[DRPC_VERDICT_ROLLBACK] = "rollback",
		[DRPC_VERDICT_RECOMMEND] = "recommend",
		[DRPC_VERDICT_PAUSED] = "paused",
		[DRPC_VERDICT_OFF] = "off",
	};

	return (unsigned int)kind < DRPC_ARRAY_SIZE(names) ? names[kind] : "unknown";
}
