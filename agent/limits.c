// SPDX-License-Identifier: Apache-2.0
#include "agent/limits.h"

#define PERIOD_DEFAULT_USEC 100000ULL
#define QUOTA_MIN_USEC	    1000ULL /* the kernel refuses less */

static uint64_t period_usec(const struct drpc_limits *limits)
{
	return limits->cpu_period_usec ? limits->cpu_period_usec : PERIOD_DEFAULT_USEC;
}

/* a × b / c to nearest; what does not fit becomes the largest value that is still a limit. */
static uint64_t mul_div(uint64_t a, uint64_t b, uint64_t c)
{
	unsigned __int128 q = ((unsigned __int128)a * b + c / 2) / c;

	return q < DRPC_UNLIMITED ? (uint64_t)q : DRPC_UNLIMITED - 1;
}

uint64_t drpc_limits_cpu_mcpu(const struct drpc_limits *limits)
{
	if (limits->cpu_quota_usec == DRPC_UNLIMITED)
		return DRPC_UNLIMITED;
	return mul_div(limits->cpu_quota_usec, 1000, period_usec(limits));
}

void drpc_limits_set_cpu_mcpu(struct drpc_limits *limits, uint64_t mcpu)
{
	uint64_t quota;

	limits->cpu_period_usec = period_usec(limits);
	if (mcpu == DRPC_UNLIMITED) {
		limits->cpu_quota_usec = DRPC_UNLIMITED;
		return;
	}
	quota = mul_div(mcpu, limits->cpu_period_usec, 1000);
	limits->cpu_quota_usec = quota < QUOTA_MIN_USEC ? QUOTA_MIN_USEC : quota;
}

bool drpc_limits_equal(const struct drpc_limits *a, const struct drpc_limits *b)
{
	return a->cpu_quota_usec == b->cpu_quota_usec && a->cpu_period_usec == b->cpu_period_usec &&
	       a->cpu_burst_usec == b->cpu_burst_usec && a->mem_high_bytes == b->mem_high_bytes &&
	       a->mem_max_bytes == b->mem_max_bytes;
}
