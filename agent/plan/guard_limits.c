// SPDX-License-Identifier: Apache-2.0
/* From figures to the cgroup's files: quota and burst, memory.high and memory.max. */
#include "agent/plan/guard_internal.h"
#include "lib/util.h"

static void compose_cpu(const struct drpc_guard_params *params,
			const struct drpc_guard_request *request, struct drpc_verdict *verdict)
{
	const struct drpc_policy *policy = request->policy;
	struct drpc_limits limits = verdict->limits;
	uint64_t mcpu;

	if (verdict->target.cpu_mcpu == verdict->standing.cpu_mcpu)
		return;
	drpc_limits_set_cpu_mcpu(&limits, verdict->target.cpu_mcpu);
	/* A short period cannot express a small limit: the kernel's least quota is 1 ms. */
	mcpu = drpc_limits_cpu_mcpu(&limits);
	if (mcpu < policy->min_cpu_mcpu || mcpu > policy->max_cpu_mcpu) {
		drpc_guard_note(verdict, "cpu: %lum cannot be written with a period of %lu us",
				verdict->target.cpu_mcpu, limits.cpu_period_usec);
		verdict->target.cpu_mcpu = verdict->standing.cpu_mcpu;
		return;
	}
	if (params->cpu_burst > 0)
		limits.cpu_burst_usec = (uint64_t)((double)limits.cpu_quota_usec *
						   DRPC_MIN(params->cpu_burst, 1.0));
	limits.cpu_burst_usec = DRPC_MIN(limits.cpu_burst_usec, limits.cpu_quota_usec);
	verdict->limits = limits;
}

/* memory.high for a figure: under it by the gap, but a policy's minimum holds for it as well. */
static uint64_t high_of(const struct drpc_guard_params *params, const struct drpc_policy *policy,
			uint64_t figure)
{
	uint64_t high = (uint64_t)((double)figure * (1 - params->memory_high_gap));

	high -= high % DRPC_MEMORY_GRAIN_BYTES;
	return DRPC_MIN(DRPC_MAX(high, policy->min_memory_bytes), figure);
}

/* The least memory.max that leaves the margin over what is in use. */
static uint64_t max_floor(const struct drpc_guard_params *params, uint64_t use)
{
	uint64_t by_share = drpc_guard_grown(use, params->memory_margin);
	uint64_t by_bytes;

	if (__builtin_add_overflow(use, params->memory_margin_bytes, &by_bytes))
		by_bytes = UINT64_MAX;
	return drpc_guard_align_up(DRPC_MAX(by_share, by_bytes), UINT64_MAX);
}

static void raise_memory(const struct drpc_guard_params *params, const struct drpc_policy *policy,
			 uint64_t figure, struct drpc_limits *limits)
{
	/* Nothing goes down on the way up, and a file without a limit stays without. */
	if (limits->mem_max_bytes != DRPC_UNLIMITED)
		limits->mem_max_bytes = DRPC_MAX(limits->mem_max_bytes, figure);
	if (limits->mem_high_bytes != DRPC_UNLIMITED)
		limits->mem_high_bytes =
			DRPC_MAX(limits->mem_high_bytes, high_of(params, policy, figure));
}

static void cut_memory(const struct drpc_guard_params *params, const struct drpc_policy *policy,
		       uint64_t figure, uint64_t use, struct drpc_limits *limits)
{
	/* memory.high leads: the kernel reclaims down to it. memory.max follows as use allows. */
	uint64_t max = DRPC_MAX(figure, max_floor(params, use));

	limits->mem_high_bytes = DRPC_MIN(limits->mem_high_bytes, high_of(params, policy, figure));
	if (max <= policy->max_memory_bytes)
		limits->mem_max_bytes = DRPC_MIN(limits->mem_max_bytes, max);
}

static void compose_memory(const struct drpc_guard_params *params,
			   const struct drpc_guard_request *request, struct drpc_verdict *verdict)
{
	const struct drpc_policy *policy = request->policy;
	const uint64_t figure = verdict->target.memory_bytes;
	struct drpc_limits limits = verdict->limits;

	if (figure == verdict->standing.memory_bytes)
		return;
	if (figure > verdict->standing.memory_bytes)
		raise_memory(params, policy, figure, &limits);
	else
		cut_memory(params, policy, figure, request->mem_use_bytes, &limits);
	if (limits.mem_high_bytes != DRPC_UNLIMITED)
		limits.mem_high_bytes = DRPC_MIN(limits.mem_high_bytes, limits.mem_max_bytes);
	if (drpc_limits_equal(&limits, &verdict->limits)) {
		drpc_guard_note(verdict, "memory: use and margin leave nothing to change");
		verdict->target.memory_bytes = verdict->standing.memory_bytes;
		return;
	}
	verdict->limits = limits;
}

void drpc_guard_compose(const struct drpc_guard_params *params,
			const struct drpc_guard_request *request, struct drpc_verdict *verdict)
{
	verdict->limits = request->limits;
	verdict->replicas = verdict->target.replicas;
	compose_cpu(params, request, verdict);
	compose_memory(params, request, verdict);
}
