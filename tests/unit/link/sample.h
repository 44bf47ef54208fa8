/* SPDX-License-Identifier: Apache-2.0 */
/* Records to test with: possible ones, different for each number. */
#pragma once

#include <math.h>

#include "link/experience.h"

static inline struct drpc_experience sample(uint64_t n)
{
	struct drpc_experience_reward reward = {.qos = 0.9f, .cpu = 0.02f, .memory = 0.1f};
	float state[DRPC_F_COUNT], next[DRPC_F_COUNT], planned[DRPC_OUT_COUNT];
	uint32_t hist[DRPC_HIST_BUCKETS] = {0};
	struct drpc_experience x;
	char name[32];

	for (int i = 0; i < DRPC_F_COUNT; i++) {
		state[i] = fabsf(sinf((float)(n + (uint64_t)i)));
		next[i] = fabsf(cosf((float)(n + (uint64_t)i)));
	}
	for (int i = 0; i < DRPC_OUT_COUNT; i++)
		planned[i] = sinf((float)(n * 3 + (uint64_t)i));
	for (int i = 0; i < 60; i++)
		hist[80 + i] = (uint32_t)(n % 7 + (uint64_t)i);
	reward.total = reward.qos / (1 + reward.cpu + reward.memory);
	snprintf(name, sizeof(name), "shop/web-%d", (int)(n % 40));
	drpc_experience_start(&x, name, n + 1, 1700000000000000000ULL + n * 200000000, state);
	drpc_experience_act(&x, DRPC_BY_STUDENT, 12, planned, NULL);
	drpc_experience_finish(&x, 200000000, next, &reward, 0.97f, hist);
	return x;
}

/* The same with every field as long on the wire as it can be. */
static inline struct drpc_experience largest(void)
{
	struct drpc_experience x = sample(1);

	for (size_t i = 0; i < sizeof(x.deployment) - 1; i++)
		x.deployment[i] = 'x';
	x.realtime_ns = x.step = UINT64_MAX / 4;
	x.duration_ns = 86400ULL * 1000000000;
	x.policy_version = UINT64_MAX;
	x.planner = DRPC_BY_TEACHER;
	x.flags = DRPC_X_ALL & ~DRPC_X_TRUNCATED;
	x.latency = (struct drpc_experience_latency){.requests = 1ULL << 48,
						     .p50_ns = 128000000000,
						     .p99_ns = 128000000000,
						     .max_ns = 128000000000};
	for (size_t i = 0; i < DRPC_LINK_OCTAVES; i++)
		x.latency.octaves[i] = x.latency.requests / DRPC_LINK_OCTAVES;
	x.latency.octaves[0] += x.latency.requests % DRPC_LINK_OCTAVES;
	return x;
}
