/* SPDX-License-Identifier: Apache-2.0 */
/* From a planner's three outputs to the figures it asks for (paper Alg. 2). */
#pragma once

#include <stdint.h>

#include "agent/limits.h"
#include "agent/policy.h"
#include "include/drpc/features.h"

/* Where a deployment stands, or what is asked for it. Never DRPC_UNLIMITED: see below. */
struct drpc_proposal {
	uint64_t cpu_mcpu;     /* per replica */
	uint64_t memory_bytes; /* per replica */
	uint32_t replicas;
};

/*
 * Where a deployment stands, from the limits of a replica. No limit counts as the policy's maximum:
 * a raise then asks for nothing, and a cut begins there. Memory is led by memory.high, which drpc
 * keeps at (1 - high_gap) of the figure; the figure is the lower of what the two files say.
 */
void drpc_proposal_standing(const struct drpc_policy *policy, const struct drpc_limits *limits,
			    uint32_t replicas, double high_gap, struct drpc_proposal *ret);

/*
 * Applies raw outputs to `standing`: an output counts where |x| > DRPC_DEAD_BAND, cut to -1..1;
 * CPU and memory move by x × step × what stands, at least by 1 mCPU and 1 byte; replicas by
 * round(x), dropped where it would lead under the minimum (1, or 0 with brownout). Bounds are the
 * guard's. -EDOM where an output is not finite, *ret untouched, nothing logged.
 */
int drpc_proposal_make(const struct drpc_policy *policy, const struct drpc_proposal *standing,
		       const float raw[DRPC_OUT_COUNT], struct drpc_proposal *ret);
