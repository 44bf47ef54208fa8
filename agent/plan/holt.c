// SPDX-License-Identifier: Apache-2.0
#include "agent/plan/holt.h"

#include <math.h>

#include "lib/util.h"

/* Time constants of the two averages: windows come several times a second and are noisy. */
#define LEVEL_TAU_SEC 1.0
#define TREND_TAU_SEC 5.0

void drpc_holt_push(struct drpc_holt *holt, uint64_t now_ns, double rate)
{
	double dt, before = holt->level;
	double keep_level, keep_trend;

	if (!isfinite(rate) || rate < 0)
		return;
	if (holt->last_ns == 0 || now_ns <= holt->last_ns) {
		*holt = (struct drpc_holt){.level = rate, .last_ns = now_ns};
		return;
	}
	dt = (double)(now_ns - holt->last_ns) / 1e9;
	keep_level = exp(-dt / LEVEL_TAU_SEC);
	keep_trend = exp(-dt / TREND_TAU_SEC);
	holt->level = keep_level * (before + holt->trend * dt) + (1 - keep_level) * rate;
	holt->trend = keep_trend * holt->trend + (1 - keep_trend) * (holt->level - before) / dt;
	holt->last_ns = now_ns;
}

double drpc_holt_rate(const struct drpc_holt *holt, uint64_t ahead_ns)
{
	return fmax(0, holt->level + holt->trend * (double)ahead_ns / 1e9);
}
