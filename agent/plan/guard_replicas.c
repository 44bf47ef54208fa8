// SPDX-License-Identifier: Apache-2.0
/* The rules of the number of replicas. */
#include "agent/plan/guard_internal.h"
#include "lib/util.h"

/*
 * Brownout leaves at once and all together: it serves those that are in trouble now, and what this
 * deployment itself suffers does not speak against it. Coming back is a raise like any other.
 */
static void judge_brownout(struct drpc_guard_judge *j, uint32_t from, uint32_t least)
{
	const uint32_t to = DRPC_CLAMP(j->request->brownout_replicas, least,
				       DRPC_MAX(j->request->policy->max_replicas, least));

	if (to == from)
		return;
	if (to > from ? !drpc_guard_raise_allowed(j, DRPC_AXIS_REPLICAS)
		      : drpc_guard_flaps(j, DRPC_AXIS_REPLICAS) ||
				!drpc_guard_rate_allows(j, DRPC_AXIS_REPLICAS))
		return;
	drpc_guard_note(
		j->verdict,
		to > from
			? "replicas: back from the brownout, the node has room again"
			: "replicas: brownout, the node's CPU is short for others that miss their objective");
	j->verdict->target.replicas = to;
}

void drpc_guard_replicas(struct drpc_guard_judge *j, bool *ret_scale_in)
{
	const struct drpc_policy *policy = j->request->policy;
	const uint32_t from = j->verdict->standing.replicas, want = j->asked.replicas;
	const uint32_t least =
		policy->brownout ? policy->min_replicas : DRPC_MAX(policy->min_replicas, 1U);
	uint32_t to;

	*ret_scale_in = false;
	if (j->verdict->target.replicas != from || (want == from && !j->request->brownout))
		return;
	if (j->request->replicas_blocked) {
		drpc_guard_note(j->verdict, "replicas: %s", j->request->replicas_blocked);
		return;
	}
	if (j->request->brownout) {
		judge_brownout(j, from, least);
		return;
	}
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
	if (to > from ? drpc_guard_raise_allowed(j, DRPC_AXIS_REPLICAS)
		      : drpc_guard_cut_allowed(j, DRPC_AXIS_REPLICAS))
		j->verdict->target.replicas = to;
}
