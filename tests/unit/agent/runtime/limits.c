// SPDX-License-Identifier: Apache-2.0
#include "agent/runtime/limits.h"

#include <criterion/criterion.h>
#include <errno.h>

#include "lib/util.h"

#define BOTH	    (DRPC_LIMIT_CPU | DRPC_LIMIT_MEMORY)
#define NONE	    DRPC_UNLIMITED
#define MB	    (1LL << 20)
/* The most a kernel's page counter holds: what "no limit" is restored to. */
#define MEMORY_NONE 9223372036854771712LL

static struct drpc_limits target_of(uint64_t quota, uint64_t period, uint64_t max)
{
	return (struct drpc_limits){.cpu_quota_usec = quota,
				    .cpu_period_usec = period,
				    .mem_high_bytes = NONE,
				    .mem_max_bytes = max};
}

static void expect(const struct drpc_runtime_limits *u, int64_t nano, int64_t quota, int64_t period,
		   int64_t memory, int64_t swap)
{
	cr_expect(u->nano_cpus == nano && u->cpu_quota_usec == quota &&
			  u->cpu_period_usec == period && u->memory_bytes == memory &&
			  u->memory_swap_bytes == swap,
		  "nano %lld quota %lld period %lld memory %lld swap %lld", (long long)u->nano_cpus,
		  (long long)u->cpu_quota_usec, (long long)u->cpu_period_usec,
		  (long long)u->memory_bytes, (long long)u->memory_swap_bytes);
}

static struct drpc_runtime_limits update_of(const struct drpc_runtime_limits *present,
					    struct drpc_limits target)
{
	struct drpc_runtime_limits u = {.nano_cpus = 99};

	cr_expect_eq(drpc_runtime_limits_update(present, &target, BOTH, 2, &u), 0);
	return u;
}

Test(runtime_limits, view)
{
	struct drpc_runtime_limits l = {0};
	struct drpc_limits v;

	drpc_runtime_limits_view(&l, &v);
	cr_expect(v.cpu_quota_usec == NONE && v.cpu_period_usec == 100000 &&
		  v.mem_max_bytes == NONE && v.mem_high_bytes == NONE && v.cpu_burst_usec == 0);
	l = (struct drpc_runtime_limits){.cpu_quota_usec = -1, .memory_bytes = MEMORY_NONE};
	drpc_runtime_limits_view(&l, &v);
	cr_expect(v.cpu_quota_usec == NONE && v.mem_max_bytes == NONE, "as restored");
	l = (struct drpc_runtime_limits){
		.cpu_quota_usec = 25000, .cpu_period_usec = 50000, .memory_bytes = 64 * MB};
	drpc_runtime_limits_view(&l, &v);
	cr_expect(v.cpu_quota_usec == 25000 && v.cpu_period_usec == 50000 &&
		  v.mem_max_bytes == (uint64_t)(64 * MB));
	l = (struct drpc_runtime_limits){
		.nano_cpus = 500000000, .cpu_quota_usec = 50000, .cpu_period_usec = 100000};
	drpc_runtime_limits_view(&l, &v);
	cr_expect(v.cpu_quota_usec == 50000 && v.cpu_period_usec == 100000, "Podman tells both");
}

Test(runtime_limits, container_without_limits)
{
	struct drpc_runtime_limits present = {0}, u;

	u = update_of(&present, target_of(30000, 100000, 64 * MB));
	expect(&u, 0, 30000, 0, 64 * MB, -1);
	u = update_of(&present, target_of(NONE, 100000, NONE));
	expect(&u, 0, 0, 0, 0, 0);
	u = update_of(&present, target_of(10000, 50000, NONE));
	expect(&u, 0, 10000, 50000, 0, 0);
}

Test(runtime_limits, container_made_with_cpus_and_memory)
{
	struct drpc_runtime_limits u, present = {.nano_cpus = 500000000,
						 .memory_bytes = 64 * MB,
						 .memory_swap_bytes = 128 * MB};

	u = update_of(&present, target_of(30000, 100000, 256 * MB));
	expect(&u, 300000000, 0, 0, 256 * MB, 320 * MB);
	u = update_of(&present, target_of(15000, 50000, 64 * MB));
	expect(&u, 300000000, 0, 0, 0, 0);
	u = update_of(&present, target_of(50000, 100000, 64 * MB));
	expect(&u, 0, 0, 0, 0, 0);
	u = update_of(&present, target_of(NONE, 100000, 32 * MB));
	expect(&u, 2000000000, 0, 0, 32 * MB, 96 * MB);
	u = update_of(&present, target_of(900000, 100000, 64 * MB));
	expect(&u, 2000000000, 0, 0, 0, 0);
	present.memory_swap_bytes = -1;
	u = update_of(&present, target_of(50000, 100000, 256 * MB));
	expect(&u, 0, 0, 0, 256 * MB, -1);
}

Test(runtime_limits, container_made_with_quota_and_period)
{
	struct drpc_runtime_limits u, present = {.cpu_quota_usec = 25000, .cpu_period_usec = 50000};

	u = update_of(&present, target_of(10000, 50000, NONE));
	expect(&u, 0, 10000, 0, 0, 0);
	u = update_of(&present, target_of(NONE, 50000, NONE));
	expect(&u, 0, -1, 0, 0, 0);
	u = update_of(&present, target_of(25000, 100000, NONE));
	expect(&u, 0, 25000, 100000, 0, 0);
}

Test(runtime_limits, what_cannot_be_said)
{
	struct drpc_runtime_limits u = {.nano_cpus = 7}, present = {.nano_cpus = 500000000};
	struct drpc_limits t = target_of(900, 100000, NONE);

	cr_expect_eq(drpc_runtime_limits_update(&present, &t, BOTH, 2, &u), -ERANGE);
	present.nano_cpus = 0;
	cr_expect_eq(drpc_runtime_limits_update(&present, &t, BOTH, 2, &u), -ERANGE);
	t = target_of(NONE, 100000, 5 * MB);
	cr_expect_eq(drpc_runtime_limits_update(&present, &t, BOTH, 2, &u), -ERANGE);
	cr_expect_eq(drpc_runtime_limits_update(&present, &t, DRPC_LIMIT_CPU, 2, &u), 0);
	expect(&u, 0, 0, 0, 0, 0);
	u.nano_cpus = 7;
	t = target_of(50000, 0, NONE);
	cr_expect_eq(drpc_runtime_limits_update(&present, &t, BOTH, 2, &u), -ERANGE);
	cr_expect_eq(u.nano_cpus, 7, "untouched on failure");
}

/* There and back, for every way a container can have been made. */
Test(runtime_limits, round_trip)
{
	static const struct drpc_runtime_limits made[] = {
		{0},
		{.nano_cpus = 500000000, .memory_bytes = 64 * MB, .memory_swap_bytes = 128 * MB},
		{.nano_cpus = 333333333, .memory_bytes = 64 * MB, .memory_swap_bytes = 64 * MB},
		{.cpu_quota_usec = 25000,
		 .cpu_period_usec = 50000,
		 .memory_bytes = 64 * MB,
		 .memory_swap_bytes = -1},
		{.cpu_quota_usec = 70000,
		 .memory_bytes = 100 * MB + 1,
		 .memory_swap_bytes = 101 * MB},
	};
	static const struct {
		uint64_t quota, max;
	} targets[] = {{20000, 32 * MB}, {150000, 512 * MB}, {50000, 64 * MB}, {1000, 8 * MB}};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(made); i++) {
		struct drpc_runtime_limits now = made[i], u;

		for (size_t k = 0; k < DRPC_ARRAY_SIZE(targets); k++) {
			struct drpc_limits t = target_of(targets[k].quota, 100000, targets[k].max);
			struct drpc_limits view;

			u = update_of(&now, t);
			/* The engine's own rules (docs/acting.md). */
			cr_expect(!(now.nano_cpus && (u.cpu_quota_usec || u.cpu_period_usec)));
			cr_expect(
				!(u.nano_cpus && (now.cpu_quota_usec > 0 || now.cpu_period_usec)));
			cr_expect(u.memory_bytes == 0 || u.memory_swap_bytes == -1 ||
				  u.memory_swap_bytes >= u.memory_bytes);
			now.nano_cpus = u.nano_cpus ? u.nano_cpus : now.nano_cpus;
			now.cpu_quota_usec =
				u.cpu_quota_usec ? u.cpu_quota_usec : now.cpu_quota_usec;
			now.cpu_period_usec =
				u.cpu_period_usec ? u.cpu_period_usec : now.cpu_period_usec;
			if (u.memory_bytes) {
				now.memory_bytes = u.memory_bytes;
				now.memory_swap_bytes = u.memory_swap_bytes;
			}
			drpc_runtime_limits_view(&now, &view);
			cr_expect_eq(drpc_limits_cpu_mcpu(&view), drpc_limits_cpu_mcpu(&t));
			cr_expect_eq(view.mem_max_bytes, t.mem_max_bytes);
		}
		cr_expect_eq(drpc_runtime_limits_restore(&now, &made[i], BOTH, 2, &u), 0);
		now.nano_cpus = u.nano_cpus ? u.nano_cpus : now.nano_cpus;
		now.cpu_quota_usec = u.cpu_quota_usec ? u.cpu_quota_usec : now.cpu_quota_usec;
		now.cpu_period_usec = u.cpu_period_usec ? u.cpu_period_usec : now.cpu_period_usec;
		if (u.memory_bytes) {
			now.memory_bytes = u.memory_bytes;
			now.memory_swap_bytes = u.memory_swap_bytes;
		}
		cr_expect(drpc_runtime_limits_same(&now, &made[i], BOTH), "container %zu", i);
		cr_expect_eq(now.nano_cpus, made[i].nano_cpus, "container %zu", i);
		if (made[i].memory_bytes)
			cr_expect_eq(now.memory_swap_bytes, made[i].memory_swap_bytes,
				     "container %zu", i);
		cr_expect_eq(drpc_runtime_limits_restore(&now, &made[i], BOTH, 2, &u), 0);
		expect(&u, 0, 0, 0, 0, 0);
	}
}
