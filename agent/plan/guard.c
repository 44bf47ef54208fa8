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

/* A cut by a smaller share than this saves nothing, and what was seen before it counts no more. */
#define LEAST_CUT 0.03

const char *const drpc_guard_axis_names[DRPC_AXIS_COUNT] = {"cpu", "memory", "replicas"};

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
		.brownout_busy = 0.9,
		.brownout_after_ns = 2 * SEC,
		.brownout_calm_ns = 30 * SEC,
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

/* --- rollback ------------------------------------------------------------------------------ */

static uint64_t *figure_of(struct drpc_proposal *p, enum drpc_guard_axis axis)
{
	return axis == DRPC_AXIS_CPU ? &p->cpu_mcpu : &p->memory_bytes;
}

/* Whether the last cut of this axis made things worse; says so. */
static bool cut_hurt(struct drpc_guard_judge *j, enum drpc_guard_axis axis)
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
		drpc_guard_note(
			j->verdict, "%s: the last cut is undone, throttling rose from %.2f to %.2f",
			drpc_guard_axis_names[axis], (double)old_throttled, (double)throttled);
	else if (pressure - old_pressure >= jump)
		drpc_guard_note(
			j->verdict, "%s: the last cut is undone, pressure rose from %.2f to %.2f",
			drpc_guard_axis_names[axis], (double)old_pressure, (double)pressure);
	else
		return false;
	return true;
}

static void roll_back(struct drpc_guard_judge *j)
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

		/* What a brownout takes away is missed on purpose. */
		if (replicas && (j->request->replicas_blocked || j->request->brownout))
			continue;
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

/* --- figures -------------------------------------------------------------------------------- */

static void clip_note(struct drpc_guard_judge *j, enum drpc_guard_axis axis, const char *why,
		      uint64_t to)
{
	if (axis == DRPC_AXIS_CPU)
		drpc_guard_note(j->verdict, "cpu: %s %lum", why, to);
	else
		drpc_guard_note(j->verdict, "memory: %s %.1f MiB", why,
				(double)to / (double)DRPC_MIB);
}

/* How far `want` may go: one step, inside the policy, a cut not into what is in use. */
static uint64_t clip(struct drpc_guard_judge *j, enum drpc_guard_axis axis, uint64_t from,
		     uint64_t want, const struct bounds *b)
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

static void judge_figure(struct drpc_guard_judge *j, enum drpc_guard_axis axis,
			 const struct bounds *b)
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
		drpc_guard_note(j->verdict, "%s: too little to be worth a cut",
				drpc_guard_axis_names[axis]);
		return;
	}
	if (want > from ? drpc_guard_raise_allowed(j, axis) : drpc_guard_cut_allowed(j, axis))
		*target = to;
}

static bool replicas_move(const struct drpc_guard_judge *j)
{
	return j->request->scaling || j->verdict->target.replicas != j->verdict->standing.replicas;
}

static void judge_limits(struct drpc_guard_judge *j, bool scale_in)
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

	/*
	 * Fewer replicas and less for each at once would count the same slack twice; while one comes
	 * up it helps nobody yet, so that what the others have they keep.
	 */
	if (scale_in && j->asked.cpu_mcpu < j->verdict->standing.cpu_mcpu)
		drpc_guard_note(j->verdict, "cpu: cut waits for the scale-in");
	else if (replicas_move(j) && j->asked.cpu_mcpu < j->verdict->standing.cpu_mcpu)
		drpc_guard_note(j->verdict, "cpu: cut waits for the replicas");
	else
		judge_figure(j, DRPC_AXIS_CPU, &cpu);

	if (j->asked.memory_bytes == j->verdict->standing.memory_bytes)
		return;
	if (!policy->memory_managed)
		drpc_guard_note(j->verdict, "memory: left alone, memory-managed is false");
	else if (replicas_move(j) && j->asked.memory_bytes < j->verdict->standing.memory_bytes)
		drpc_guard_note(j->verdict, "memory: cut waits for the replicas");
	else if (j->asked.memory_bytes < j->verdict->standing.memory_bytes && !r->mem_use_bytes)
		drpc_guard_note(j->verdict, "memory: cut refused, its use is not known");
	else
		judge_figure(j, DRPC_AXIS_MEMORY, &memory);
}

/* --- one deployment ------------------------------------------------------------------------- */

static bool frozen(struct drpc_guard_judge *j)
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
static bool read_proposal(struct drpc_guard_judge *j)
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

static void judge_one(struct drpc_guard_judge *j)
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
		drpc_guard_replicas(j, &scale_in);
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
		struct drpc_guard_judge j = {
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
