// SPDX-License-Identifier: Apache-2.0
/* The cgroup files: whatever they hold, a value that is found is one whole number of the text. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "agent/monitor/cgroup_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The text has this number. "max" and v1's "-1" stand for no limit, v1's time was divided. */
static void assert_stands(const char *text, size_t size, uint64_t value)
{
	char digits[24];

	snprintf(digits, sizeof(digits), "%llu", (unsigned long long)value);
	assert(value == UINT64_MAX || memmem(text, size, digits, strlen(digits)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct drpc_cgroup_counters c = {0};
	struct drpc_limits limits = {0};
	uint64_t a, b;
	char path[64];

	drpc_cgroup_parse_cpu_stat(text, size, &c);
	if (c.valid & DRPC_CG_CPU)
		assert_stands(text, size, c.cpu_usage_usec);
	if (c.valid & DRPC_CG_THROTTLE)
		assert_stands(text, size, c.throttled_usec);
	drpc_cgroup_parse_cpu_stat_v1(text, size, &c);
	if (drpc_cgroup_parse_pressure(text, size, &a, &b)) {
		assert_stands(text, size, a);
		assert(b == 0 || memmem(text, size, "full", 4));
	}
	if (drpc_cgroup_parse_number(text, size, &a))
		assert_stands(text, size, a);
	if (drpc_cgroup_parse_key(text, size, "oom_kill", &a))
		assert_stands(text, size, a);
	if (drpc_cgroup_parse_limit(text, size, &a))
		assert_stands(text, size, a);
	if (drpc_cgroup_parse_quota_v1(text, size, &a))
		assert_stands(text, size, a);
	if (drpc_cgroup_parse_cpu_max(text, size, &limits)) {
		assert(limits.cpu_period_usec > 0);
		assert_stands(text, size, limits.cpu_period_usec);
	}
	if (drpc_cgroup_parse_proc(text, size, "cpu", path, sizeof(path)))
		assert(path[0] && strlen(path) < sizeof(path));
	return 0;
}
