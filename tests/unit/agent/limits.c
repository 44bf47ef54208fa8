// SPDX-License-Identifier: Apache-2.0
#include "agent/limits.h"

#include <criterion/criterion.h>

Test(limits, cpu_both_ways)
{
	struct drpc_limits l = {.cpu_quota_usec = 50000, .cpu_period_usec = 100000};

	cr_expect_eq(drpc_limits_cpu_mcpu(&l), 500);
	drpc_limits_set_cpu_mcpu(&l, 1250);
	cr_expect_eq(l.cpu_quota_usec, 125000);
	cr_expect_eq(l.cpu_period_usec, 100000);
	/* Every figure survives the way there and back, at any period the kernel takes. */
	for (uint64_t period = 1000; period <= 1000000; period = period * 7 / 3 + 1) {
		for (uint64_t mcpu = 1000; mcpu < 200000; mcpu += 997) {
			l.cpu_period_usec = period;
			drpc_limits_set_cpu_mcpu(&l, mcpu);
			cr_assert_eq(drpc_limits_cpu_mcpu(&l), mcpu, "%lu at %lu", mcpu, period);
		}
	}
}

Test(limits, rounds_to_nearest)
{
	struct drpc_limits l = {.cpu_quota_usec = 33349, .cpu_period_usec = 100000};

	cr_expect_eq(drpc_limits_cpu_mcpu(&l), 333);
	l.cpu_quota_usec = 33350;
	cr_expect_eq(drpc_limits_cpu_mcpu(&l), 334);
}

Test(limits, never_under_the_kernels_least_quota)
{
	struct drpc_limits l = {.cpu_period_usec = 100000};

	drpc_limits_set_cpu_mcpu(&l, 3);
	cr_expect_eq(l.cpu_quota_usec, 1000);
	drpc_limits_set_cpu_mcpu(&l, 0);
	cr_expect_eq(l.cpu_quota_usec, 1000);
}

Test(limits, unlimited_and_absurd)
{
	struct drpc_limits l = {.cpu_quota_usec = DRPC_UNLIMITED, .cpu_period_usec = 100000};

	cr_expect_eq(drpc_limits_cpu_mcpu(&l), DRPC_UNLIMITED);
	drpc_limits_set_cpu_mcpu(&l, DRPC_UNLIMITED);
	cr_expect_eq(l.cpu_quota_usec, DRPC_UNLIMITED);
	/* Too large for 64 bits is large, not unlimited. */
	drpc_limits_set_cpu_mcpu(&l, UINT64_MAX - 1);
	cr_expect_eq(l.cpu_quota_usec, DRPC_UNLIMITED - 1);
	l.cpu_period_usec = 1;
	cr_expect_eq(drpc_limits_cpu_mcpu(&l), DRPC_UNLIMITED - 1);
	/* A period of 0 is one that could not be read: the usual one. */
	l = (struct drpc_limits){.cpu_quota_usec = 100000};
	cr_expect_eq(drpc_limits_cpu_mcpu(&l), 1000);
}

Test(limits, equality_looks_at_every_field)
{
	const struct drpc_limits base = {1, 2, 3, 4, 5};
	uint64_t *fields;
	struct drpc_limits l = base;

	cr_expect(drpc_limits_equal(&base, &l));
	fields = (uint64_t *)&l;
	for (size_t i = 0; i < sizeof(l) / sizeof(*fields); i++) {
		l = base;
		fields[i]++;
		cr_expect_not(drpc_limits_equal(&base, &l), "field %zu is not compared", i);
	}
}
