// SPDX-License-Identifier: Apache-2.0
/*
 * The node's capacity. Limits are caps, not reservations: what a deployment holds is what it uses
 * (with the margin), and only raises have to fit beside that. CPU is shared by the kernel, so a
 * deployment in trouble may reckon with what the others use over their minimum; memory is not.
 */
#include "agent/plan/guard_internal.h"
#include "lib/util.h"

typedef unsigned __int128 wide;

/* Served in this order. */
enum rank {
	RANK_ACT_TROUBLE,
	RANK_ACT,
	RANK_RECOMMEND_TROUBLE,
	RANK_RECOMMEND,
	RANK_COUNT,
};

struct sharing {
	const struct drpc_guard_params *params;
	const struct drpc_guard_request *requests;
	struct drpc_verdict *verdicts;
	size_t count;
	bool cpu; /* else memory */
	uint64_t capacity, other;
};

static enum rank rank_of(const struct sharing *s, size_t i)
{
	const struct drpc_guard_request *request = &s->requests[i];
	const bool trouble =
		s->verdicts[i].emergency || request->observation->features[DRPC_F_P99_SLO] > 1;

	if (request->policy->mode == DRPC_MODE_ACT && !request->paused)
		return trouble ? RANK_ACT_TROUBLE : RANK_ACT;
	return trouble ? RANK_RECOMMEND_TROUBLE : RANK_RECOMMEND;
}

static uint64_t *target_of(const struct sharing *s, size_t i)
{
	struct drpc_proposal *target = &s->verdicts[i].target;

	return s->cpu ? &target->cpu_mcpu : &target->memory_bytes;
}

static uint64_t standing_of(const struct sharing *s, size_t i)
{
	const struct drpc_proposal *standing = &s->verdicts[i].standing;

	return s->cpu ? standing->cpu_mcpu : standing->memory_bytes;
}

static uint32_t added_replicas(const struct drpc_verdict *v)
{
	return v->target.replicas > v->standing.replicas ? v->target.replicas - v->standing.replicas
							 : 0;
}

static double margin_of(const struct sharing *s)
{
	return s->cpu ? s->params->cpu_margin : s->params->memory_margin;
}

static uint64_t use_of(const struct sharing *s, size_t i)
{
	return s->cpu ? s->requests[i].cpu_usage_mcpu : s->requests[i].mem_use_bytes;
}

static bool limited(const struct sharing *s, size_t i)
{
	const struct drpc_limits *limits = &s->requests[i].limits;

	if (s->cpu)
		return limits->cpu_quota_usec != DRPC_UNLIMITED;
	return limits->mem_max_bytes != DRPC_UNLIMITED || limits->mem_high_bytes != DRPC_UNLIMITED;
}

/* A figure of a replica; where there is no limit, it is the use that counts and not the node. */
static uint64_t of_replica(const struct sharing *s, size_t i, uint64_t figure)
{
	return limited(s, i) ? figure
			     : DRPC_MIN(figure, drpc_guard_grown(use_of(s, i), margin_of(s)));
}

/* What the verdict asks for beyond what stands, on this node. */
static wide raise_of(const struct sharing *s, size_t i)
{
	const uint64_t from = standing_of(s, i), to = *target_of(s, i);
	wide raise = (wide)added_replicas(&s->verdicts[i]) * of_replica(s, i, to);

	if (to > from)
		raise += (wide)(to - from) * s->requests[i].local_replicas;
	return raise;
}

/* What counts as held by request i while the raises of `rank` are served. */
static wide held_by(const struct sharing *s, size_t i, enum rank rank)
{
	const struct drpc_guard_request *request = &s->requests[i];
	const enum rank own = rank_of(s, i);
	const wide raise = raise_of(s, i);
	uint64_t each = DRPC_MIN(standing_of(s, i), drpc_guard_grown(use_of(s, i), margin_of(s)));

	if (raise && own < rank)
		return (wide)of_replica(s, i, standing_of(s, i)) * request->local_replicas + raise;
	if (raise && own == rank)
		return (wide)of_replica(s, i, standing_of(s, i)) * request->local_replicas;
	if (s->cpu && own > rank && (rank == RANK_ACT_TROUBLE || rank == RANK_RECOMMEND_TROUBLE))
		each = DRPC_MIN(each, request->policy->min_cpu_mcpu);
	return (wide)each * request->local_replicas;
}

static void grant(const struct sharing *s, size_t i, wide granted)
{
	struct drpc_verdict *verdict = &s->verdicts[i];
	const uint64_t from = standing_of(s, i), asked = *target_of(s, i);
	const struct drpc_policy *policy = s->requests[i].policy;
	const uint64_t min = s->cpu ? policy->min_cpu_mcpu : policy->min_memory_bytes;
	const uint32_t local = s->requests[i].local_replicas;
	uint64_t each;

	if (granted >= raise_of(s, i))
		return;
	if (added_replicas(verdict)) {
		drpc_guard_note(verdict, "replicas: scale-out refused, the node is short of %s",
				s->cpu ? "CPU" : "memory");
		verdict->target.replicas = verdict->standing.replicas;
	}
	if (asked <= from || local == 0 || granted >= (wide)(asked - from) * local)
		return;
	each = (uint64_t)(granted / local);
	if (!s->cpu)
		each -= DRPC_MIN(each, (from + each) % DRPC_MEMORY_GRAIN_BYTES);
	/* From outside of the policy, half of the way would still be outside. */
	if (from + each < min)
		each = 0;
	*target_of(s, i) = from + each;
	if (s->cpu)
		drpc_guard_note(verdict, "cpu: %lum of +%lum granted, the node is short of CPU",
				each, asked - from);
	else
		drpc_guard_note(verdict,
				"memory: %lu MiB of +%lu MiB granted, the node is short of memory",
				each >> 20, (asked - from) >> 20);
}

static void serve(const struct sharing *s, enum rank rank)
{
	wide held = s->other, asked = 0, free;

	for (size_t i = 0; i < s->count; i++) {
		held += held_by(s, i, rank);
		if (rank_of(s, i) == rank)
			asked += raise_of(s, i);
	}
	free = held < s->capacity ? s->capacity - held : 0;
	if (asked <= free)
		return;
	for (size_t i = 0; i < s->count; i++) {
		/* free < 2^64, so the product fits unless a raise is absurd; then it gets none. */
		wide raise = raise_of(s, i), product;

		if (rank_of(s, i) != rank || raise == 0)
			continue;
		if (__builtin_mul_overflow(raise, free, &product))
			product = 0;
		grant(s, i, product / asked);
	}
}

void drpc_guard_share(const struct drpc_guard_params *params, const struct drpc_guard_node *node,
		      const struct drpc_guard_request *requests, size_t count,
		      struct drpc_verdict *verdicts)
{
	struct sharing s = {
		.params = params, .requests = requests, .verdicts = verdicts, .count = count};

	for (int cpu = 1; cpu >= 0; cpu--) {
		s.cpu = cpu;
		s.capacity = cpu ? node->cpu_mcpu : node->memory_bytes;
		s.other = cpu ? node->other_cpu_mcpu : node->other_memory_bytes;
		for (enum rank rank = 0; s.capacity && rank < RANK_COUNT; rank++)
			serve(&s, rank);
	}
}
