// SPDX-License-Identifier: Apache-2.0
#include "agent/plan/proposal.h"

#include <errno.h>
#include <math.h>

#include "lib/util.h"

/* What a figure of 64 bits may not exceed, so that DRPC_UNLIMITED is never made by arithmetic. */
#define FIGURE_MAX (UINT64_MAX / 4)

void drpc_proposal_standing(const struct drpc_policy *policy, const struct drpc_limits *limits,
			    uint32_t replicas, double high_gap, struct drpc_proposal *ret)
{
	uint64_t cpu = drpc_limits_cpu_mcpu(limits);
	uint64_t memory = limits->mem_max_bytes;

	if (limits->mem_high_bytes != DRPC_UNLIMITED) {
		double figure = ceil((double)limits->mem_high_bytes / (1 - high_gap));

		if (figure < (double)memory)
			memory = (uint64_t)figure;
	}
	*ret = (struct drpc_proposal){
		.cpu_mcpu = cpu == DRPC_UNLIMITED ? policy->max_cpu_mcpu : cpu,
		.memory_bytes = memory == DRPC_UNLIMITED ? policy->max_memory_bytes : memory,
		.replicas = replicas,
	};
}

static float effective(float x)
{
	return fabsf(x) > DRPC_DEAD_BAND ? DRPC_CLAMP(x, -1.0f, 1.0f) : 0.0f;
}

static uint64_t moved(uint64_t figure, double step, float x)
{
	uint64_t delta;

	if (x == 0 || (x > 0 && figure >= FIGURE_MAX))
		return figure;
	delta = (uint64_t)DRPC_MAX(round((double)figure * step * fabs((double)x)), 1.0);
	if (x > 0)
		return figure + delta; /* at most double */
	return figure > delta ? figure - delta : 0;
}

int drpc_proposal_make(const struct drpc_policy *policy, const struct drpc_proposal *standing,
		       const float raw[DRPC_OUT_COUNT], struct drpc_proposal *ret)
{
	const int64_t least = policy->brownout ? 0 : 1;
	int64_t replicas;

	for (int i = 0; i < DRPC_OUT_COUNT; i++) {
		if (!isfinite(raw[i]))
			return -EDOM;
	}
	replicas = (int64_t)standing->replicas + lroundf(effective(raw[DRPC_OUT_REPLICAS]));
	if (replicas < least || replicas > UINT32_MAX)
		replicas = standing->replicas;
	*ret = (struct drpc_proposal){
		.cpu_mcpu =
			moved(standing->cpu_mcpu, policy->cpu_step, effective(raw[DRPC_OUT_CPU])),
		.memory_bytes = moved(standing->memory_bytes, policy->memory_step,
				      effective(raw[DRPC_OUT_MEMORY])),
		.replicas = (uint32_t)replicas,
	};
	return 0;
}
