// SPDX-License-Identifier: Apache-2.0
#include "agent/monitor/sample.h"

void drpc_cgroup_totals_add(struct drpc_cgroup_counters *into,
			    const struct drpc_cgroup_counters *from)
{
	into->cpu_usage_usec += from->cpu_usage_usec;
	into->nr_periods += from->nr_periods;
	into->nr_throttled += from->nr_throttled;
	into->throttled_usec += from->throttled_usec;
	into->cpu_some_usec += from->cpu_some_usec;
	into->cpu_full_usec += from->cpu_full_usec;
	into->mem_some_usec += from->mem_some_usec;
	into->mem_full_usec += from->mem_full_usec;
	into->io_some_usec += from->io_some_usec;
	into->io_full_usec += from->io_full_usec;
	into->oom_kills += from->oom_kills;
}
