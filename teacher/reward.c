// SPDX-License-Identifier: Apache-2.0
#include "teacher/reward.h"

#include <math.h>

struct drpc_reward_params drpc_reward_defaults(void)
{
	return (struct drpc_reward_params){.util = 0.75, .exponent = 3};
}

double drpc_reward(const struct drpc_reward_params *params, const float features[DRPC_F_COUNT])
{
	const double late = fmax((double)features[DRPC_F_P99_SLO] - 1, 0);
	const double cpu = fabs(params->util - (double)features[DRPC_F_CPU_UTIL]);
	const double memory = fabs(params->util - (double)features[DRPC_F_MEM_UTIL]);

	return exp(-late * late) / (1 + pow(cpu, params->exponent) + pow(memory, params->exponent));
}

double drpc_reward_mean(const struct drpc_reward_params *params, const struct drpc_states *states)
{
	double sum = 0;
	size_t groups = 0;

	for (uint32_t group = 0; group < states->group_count; group++) {
		double of_group = 0;
		size_t n = 0;

		for (size_t i = 0; i < states->count; i++) {
			if (states->groups[i] != group)
				continue;
			of_group += drpc_reward(params, states->features + i * DRPC_F_COUNT);
			n++;
		}
		if (n == 0)
			continue;
		sum += of_group / (double)n;
		groups++;
	}
	return groups ? sum / (double)groups : NAN;
}
