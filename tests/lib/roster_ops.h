/* SPDX-License-Identifier: Apache-2.0 */
/* A roster's callbacks where there is no kernel: the slot is the cgroup's number. */
#pragma once

#include "agent/roster.h"
#include "lib/util.h"

static inline uint32_t roster_track(uint64_t cgroup_id, void *arg)
{
	(void)arg;
	return (uint32_t)cgroup_id;
}

static inline void roster_untrack(uint64_t cgroup_id, uint32_t slot, void *arg)
{
	(void)cgroup_id;
	(void)slot;
	(void)arg;
}

static inline void roster_policy(const char *deployment, struct drpc_policy *ret, void *arg)
{
	(void)deployment;
	(void)arg;
	drpc_policy_defaults(ret, 4000, 4096 * DRPC_MIB);
	ret->slo_p99_ns = 200 * DRPC_NSEC_PER_MSEC;
}
