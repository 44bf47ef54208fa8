// SPDX-License-Identifier: Apache-2.0
#include "agent/plan/peak.h"

#include "lib/util.h"

static uint64_t second_of(uint64_t now_ns)
{
	return now_ns / DRPC_NSEC_PER_SEC + 1;
}

void drpc_peak_push(struct drpc_peak *peak, uint64_t now_ns, uint64_t figure)
{
	const uint64_t second = second_of(now_ns);
	const uint64_t slot = second % DRPC_PEAK_SEC;

	if (peak->second[slot] != second)
		peak->most[slot] = 0;
	peak->second[slot] = second;
	peak->most[slot] = DRPC_MAX(peak->most[slot], figure);
}

uint64_t drpc_peak_most(const struct drpc_peak *peak, uint64_t now_ns)
{
	const uint64_t second = second_of(now_ns);
	uint64_t most = 0;

	for (uint64_t i = 0; i < DRPC_PEAK_SEC; i++) {
		if (peak->second[i] && peak->second[i] + DRPC_PEAK_SEC > second)
			most = DRPC_MAX(most, peak->most[i]);
	}
	return most;
}
