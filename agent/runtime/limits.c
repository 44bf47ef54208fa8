// SPDX-License-Identifier: Apache-2.0
#include "agent/runtime/limits.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "lib/util.h"

#define PERIOD_USEC    100000 /* the kernel's default, and what NanoCpus is turned into */
#define NANO_PER_CPU   1000000000LL
#define NANO_PER_QUOTA (NANO_PER_CPU / PERIOD_USEC)
#define QUOTA_NONE     (-1)
#define QUOTA_MIN_USEC 1000
/* Engines refuse -1 for memory; the kernel takes all its page counter can hold for "no limit". */
#define MEMORY_NONE    (LONG_MAX / 4096 * 4096)

static bool memory_is_none(int64_t bytes)
{
	return bytes <= 0 || bytes >= MEMORY_NONE;
}

void drpc_runtime_limits_view(const struct drpc_runtime_limits *engine, struct drpc_limits *ret)
{
	struct drpc_limits view = {
		.cpu_quota_usec = DRPC_UNLIMITED,
		.cpu_period_usec = PERIOD_USEC,
		.mem_high_bytes = DRPC_UNLIMITED,
		.mem_max_bytes = DRPC_UNLIMITED,
	};

	if (engine->cpu_period_usec > 0)
		view.cpu_period_usec = (uint64_t)engine->cpu_period_usec;
	if (engine->cpu_quota_usec > 0)
		view.cpu_quota_usec = (uint64_t)engine->cpu_quota_usec;
	/* Podman tells both; they agree. */
	if (engine->nano_cpus > 0) {
		view.cpu_period_usec = PERIOD_USEC;
		view.cpu_quota_usec = (uint64_t)engine->nano_cpus / NANO_PER_QUOTA;
	}
	if (!memory_is_none(engine->memory_bytes))
		view.mem_max_bytes = (uint64_t)engine->memory_bytes;
	*ret = view;
}

/* --- CPU -------------------------------------------------------------------------------------- */

/* A container made with --cpus takes NanoCpus alone: CpuQuota conflicts with it. */
static int nano_cpus_for(const struct drpc_limits *target, unsigned int cpus, int64_t *ret)
{
	int64_t most = (int64_t)cpus * NANO_PER_CPU;

	if (target->cpu_quota_usec == DRPC_UNLIMITED) {
		*ret = most;
		return 0;
	}
	if (target->cpu_period_usec == 0 || target->cpu_quota_usec > INT64_MAX / NANO_PER_CPU)
		return -ERANGE;
	*ret = DRPC_MIN((int64_t)target->cpu_quota_usec * NANO_PER_CPU /
				(int64_t)target->cpu_period_usec,
			most);
	/* 0.01 CPUs is the least the engine takes. */
	return *ret < NANO_PER_CPU / 100 ? -ERANGE : 0;
}

static int update_cpu(const struct drpc_runtime_limits *present, const struct drpc_limits *target,
		      unsigned int cpus, struct drpc_runtime_limits *ret)
{
	int64_t period_now = present->cpu_period_usec > 0 ? present->cpu_period_usec : PERIOD_USEC;
	int64_t quota;

	if (present->nano_cpus > 0) {
		int r = nano_cpus_for(target, cpus, &ret->nano_cpus);

		if (r == 0 && ret->nano_cpus == present->nano_cpus)
			ret->nano_cpus = 0;
		return r;
	}
	if (target->cpu_quota_usec == DRPC_UNLIMITED) {
		if (present->cpu_quota_usec > 0)
			ret->cpu_quota_usec = QUOTA_NONE;
		return 0;
	}
	if (target->cpu_quota_usec > INT_MAX || target->cpu_quota_usec < QUOTA_MIN_USEC ||
	    target->cpu_period_usec == 0 || target->cpu_period_usec > INT_MAX)
		return -ERANGE;
	quota = (int64_t)target->cpu_quota_usec;
	if (quota != present->cpu_quota_usec || (int64_t)target->cpu_period_usec != period_now)
		ret->cpu_quota_usec = quota;
	/* Once it is given it cannot be taken back, and NanoCpus will conflict with it for ever:
	 * so only where it has to differ. */
	if ((int64_t)target->cpu_period_usec != period_now)
		ret->cpu_period_usec = (int64_t)target->cpu_period_usec;
	return 0;
}

/* --- memory ----------------------------------------------------------------------------------- */

/* The engine refuses memory over memory + swap, so both always go together. */
static int update_memory(const struct drpc_runtime_limits *present,
			 const struct drpc_limits *target, struct drpc_runtime_limits *ret)
{
	int64_t now = memory_is_none(present->memory_bytes) ? MEMORY_NONE : present->memory_bytes;
	int64_t memory = MEMORY_NONE, swap = 0;

	if (target->mem_max_bytes < MEMORY_NONE)
		memory = (int64_t)target->mem_max_bytes;
	if (memory == now)
		return 0;
	if (memory < DRPC_ENGINE_MEMORY_MIN_BYTES)
		return -ERANGE;
	/* What the container may swap stays what it was. */
	if (present->memory_swap_bytes > 0 && now != MEMORY_NONE)
		swap = present->memory_swap_bytes - now;
	ret->memory_bytes = memory;
	if (present->memory_swap_bytes <= 0 || now == MEMORY_NONE || memory == MEMORY_NONE ||
	    swap < 0 || __builtin_add_overflow(memory, swap, &ret->memory_swap_bytes))
		ret->memory_swap_bytes = -1;
	return 0;
}

int drpc_runtime_limits_update(const struct drpc_runtime_limits *present,
			       const struct drpc_limits *target, uint32_t what, unsigned int cpus,
			       struct drpc_runtime_limits *ret)
{
	struct drpc_runtime_limits update = {0};
	int r = 0;

	if (what & DRPC_LIMIT_CPU)
		r = update_cpu(present, target, cpus, &update);
	if (r == 0 && what & DRPC_LIMIT_MEMORY)
		r = update_memory(present, target, &update);
	if (r < 0)
		return r;
	*ret = update;
	return 0;
}

int drpc_runtime_limits_restore(const struct drpc_runtime_limits *present,
				const struct drpc_runtime_limits *original, uint32_t what,
				unsigned int cpus, struct drpc_runtime_limits *ret)
{
	struct drpc_runtime_limits update;
	struct drpc_limits target;
	int r;

	drpc_runtime_limits_view(original, &target);
	r = drpc_runtime_limits_update(present, &target, what, cpus, &update);
	if (r < 0)
		return r;
	/* The very number that was there, not what rounding through a quota makes of it. */
	if (what & DRPC_LIMIT_CPU && present->nano_cpus > 0 && original->nano_cpus > 0)
		update.nano_cpus =
			present->nano_cpus == original->nano_cpus ? 0 : original->nano_cpus;
	if (what & DRPC_LIMIT_MEMORY && !memory_is_none(original->memory_bytes) &&
	    (update.memory_bytes || present->memory_swap_bytes != original->memory_swap_bytes)) {
		update.memory_bytes = original->memory_bytes;
		update.memory_swap_bytes =
			original->memory_swap_bytes > 0 ? original->memory_swap_bytes : -1;
		if (present->memory_bytes == update.memory_bytes &&
		    present->memory_swap_bytes == update.memory_swap_bytes)
			update.memory_bytes = update.memory_swap_bytes = 0;
	}
	*ret = update;
	return 0;
}

bool drpc_runtime_limits_same(const struct drpc_runtime_limits *a,
			      const struct drpc_runtime_limits *b, uint32_t what)
{
	struct drpc_limits va, vb;

	drpc_runtime_limits_view(a, &va);
	drpc_runtime_limits_view(b, &vb);
	if (what & DRPC_LIMIT_CPU &&
	    (va.cpu_quota_usec != vb.cpu_quota_usec ||
	     (va.cpu_quota_usec != DRPC_UNLIMITED && va.cpu_period_usec != vb.cpu_period_usec)))
		return false;
	return !(what & DRPC_LIMIT_MEMORY) || va.mem_max_bytes == vb.mem_max_bytes;
}
