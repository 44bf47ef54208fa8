// SPDX-License-Identifier: Apache-2.0
#include "agent/plan/forecast.h"

#include <math.h>

#include "lib/util.h"

/* Time constants of the two averages: windows come several times a second and are noisy. */
#define LEVEL_TAU_SEC 1.0
#define TREND_TAU_SEC 5.0

void drpc_forecast_push(struct drpc_forecast *forecast, uint64_t now_ns, double rate)
{
	double dt, before = forecast->level;
	double keep_level, keep_trend;

	if (!isfinite(rate) || rate < 0)
		return;
	if (forecast->last_ns == 0 || now_ns <= forecast->last_ns) {
		*forecast = (struct drpc_forecast){.level = rate, .last_ns = now_ns};
		return;
	}
	dt = (double)(now_ns - forecast->last_ns) / 1e9;
	keep_level = exp(-dt / LEVEL_TAU_SEC);
	keep_trend = exp(-dt / TREND_TAU_SEC);
	forecast->level = keep_level * (before + forecast->trend * dt) + (1 - keep_level) * rate;
	forecast->trend =
		keep_trend * forecast->trend + (1 - keep_trend) * (forecast->level - before) / dt;
	forecast->last_ns = now_ns;
}

double drpc_forecast_rate(const struct drpc_forecast *forecast, uint64_t ahead_ns)
{
	return fmax(0, forecast->level + forecast->trend * (double)ahead_ns / 1e9);
}
