// SPDX-License-Identifier: Apache-2.0
#include "agent/plan/brownout.h"

#include "agent/plan/guard_internal.h"
#include "lib/util.h"

/* Who uses less than this part of the node frees nothing by leaving. */
#define WORTH	     50
/* Where clients give up there is no latency to see: so many of them, and so long a wait for a CPU. */
#define LOST	     0.05
#define PRESSURE     0.25F
/* Whoever had to leave again so soon after it returned waits twice as long, at most 2^4 times. */
#define RELAPSE_NS   (600 * DRPC_NSEC_PER_SEC)
#define RELAPSES_MAX 4U

bool drpc_brownout_away(const struct drpc_brownout_state *state)
{
	return state->had_replicas > 0;
}

void drpc_brownout_left(struct drpc_brownout_state *state, uint32_t replicas, uint64_t use_mcpu,
			uint64_t now_ns)
{
	if (drpc_guard_within(now_ns, state->returned_ns, RELAPSE_NS))
		state->relapses = DRPC_MIN(state->relapses + 1, RELAPSES_MAX);
	else
		state->relapses = 0;
	state->had_replicas = replicas;
	state->had_use_mcpu = use_mcpu;
	state->left_ns = now_ns;
}

void drpc_brownout_returned(struct drpc_brownout_state *state, uint64_t now_ns)
{
	state->had_replicas = 0;
	state->returned_ns = now_ns;
}

/* It may be decided for at all. */
static bool acts(const struct drpc_brownout_item *item)
{
	return item->policy->mode == DRPC_MODE_ACT && !item->paused;
}

static bool may_move(const struct drpc_brownout_item *item)
{
	return acts(item) && !item->blocked;
}

static bool optional(const struct drpc_brownout_item *item)
{
	return item->policy->brownout && item->policy->min_replicas == 0;
}

/* Since when something is so, given whether it is so now. */
static void since(uint64_t *then_ns, bool is_so, uint64_t now_ns)
{
	if (!is_so)
		*then_ns = 0;
	else if (*then_ns == 0)
		*then_ns = now_ns;
}

static bool lasted(uint64_t then_ns, uint64_t least_ns, uint64_t now_ns)
{
	return then_ns && drpc_guard_since(now_ns, then_ns) >= least_ns;
}

static bool misses(const struct drpc_brownout_item *item)
{
	return item->p99_over_slo > 1 || (item->policy->slo_p99_ns > 0 && item->lost >= LOST &&
					  item->cpu_pressure >= PRESSURE);
}

/* One that others need misses its objective. An optional one does not: it would be next to leave. */
static bool anybody_misses(const struct drpc_brownout_item *items, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (acts(&items[i]) && !optional(&items[i]) && misses(&items[i]))
			return true;
	}
	return false;
}

/* The one whose absence frees the most; `count` for none. */
static size_t who_leaves(const struct drpc_brownout_item *items, size_t count, uint64_t node_mcpu)
{
	size_t best = count;

	for (size_t i = 0; i < count; i++) {
		const struct drpc_brownout_item *item = &items[i];

		if (!may_move(item) || !optional(item) || item->replicas == 0 ||
		    item->use_mcpu < node_mcpu / WORTH)
			continue;
		if (best == count || item->use_mcpu > items[best].use_mcpu)
			best = i;
	}
	return best;
}

/* The one that has been away the longest of those that fit; `count` for none. */
static size_t who_returns(const struct drpc_guard_params *params,
			  const struct drpc_brownout_item *items, size_t count, uint64_t node_mcpu,
			  double busy, const struct drpc_brownout *node, uint64_t now_ns)
{
	size_t best = count;

	for (size_t i = 0; i < count; i++) {
		const struct drpc_brownout_state *state = items[i].state;
		double with_it = busy;
		uint64_t calm_ns = params->brownout_calm_ns << state->relapses;

		if (!may_move(&items[i]) || !drpc_brownout_away(state) || items[i].replicas > 0)
			continue;
		if (node_mcpu > 0)
			with_it +=
				(double)drpc_guard_grown(state->had_use_mcpu, params->cpu_margin) /
				(double)node_mcpu;
		if (with_it > params->brownout_busy ||
		    !lasted(node->room_since_ns, calm_ns, now_ns) ||
		    drpc_guard_within(now_ns, state->left_ns, calm_ns))
			continue;
		if (best == count || state->left_ns < items[best].state->left_ns)
			best = i;
	}
	return best;
}

void drpc_brownout_judge(const struct drpc_guard_params *params, uint64_t node_mcpu, double busy,
			 struct drpc_brownout *node, struct drpc_brownout_item *items, size_t count,
			 uint64_t now_ns)
{
	const bool missed = anybody_misses(items, count);
	size_t who;

	for (size_t i = 0; i < count; i++)
		items[i].act = false;
	since(&node->short_since_ns, missed && busy >= params->brownout_busy, now_ns);
	since(&node->room_since_ns, !missed && busy >= 0 && busy < params->brownout_busy, now_ns);
	if (lasted(node->short_since_ns, params->brownout_after_ns, now_ns)) {
		who = who_leaves(items, count, node_mcpu);
		if (who == count)
			return;
		items[who].act = true;
		items[who].to = 0;
		/* What this gives is seen before the next one leaves. */
		node->short_since_ns = now_ns;
		return;
	}
	who = who_returns(params, items, count, node_mcpu, busy, node, now_ns);
	if (who == count)
		return;
	items[who].act = true;
	items[who].to = items[who].state->had_replicas;
}
