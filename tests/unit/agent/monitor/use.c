// SPDX-License-Identifier: Apache-2.0
#include "agent/monitor/use.h"

#include <criterion/criterion.h>

#include "lib/util.h"

#define SEC DRPC_NSEC_PER_SEC

static struct drpc_use *use;
static uint64_t now;

/* A window of a second: so much of a CPU, so many MiB. */
static int push(double cpu, double mib)
{
	const struct drpc_window_scalars w = {
		.start_ns = now,
		.end_ns = now + SEC,
		.cg = {.valid = DRPC_CG_CPU | DRPC_CG_MEM,
		       .cpu_usage_usec = (uint64_t)(cpu * 1e6),
		       .mem_working_set_bytes = (uint64_t)(mib * (double)DRPC_MIB),
		       .nr_periods = 10,
		       .nr_throttled = 1,
		       .cpu_some_usec = 100000},
	};

	now += SEC;
	return drpc_use_push(&use, &w);
}

static void teardown(void)
{
	drpc_use_free(&use);
}

TestSuite(use, .fini = teardown);

Test(use, spread_of_the_windows)
{
	struct drpc_use_view v;

	now = 100 * SEC;
	for (int i = 0; i < 97; i++)
		cr_assert_eq(push(0.1, 50), 0);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(push(0.8, 80), 0);
	drpc_use_view(use, now, &v);
	cr_expect_float_eq(v.watched_sec, 100, 0.01);
	cr_expect_float_eq(v.cpu_p50_mcpu, 100, 6);
	cr_expect_float_eq(v.cpu_p99_mcpu, 800, 40);
	cr_expect_float_eq(v.cpu_max_mcpu, 800, 0.1);
	cr_expect_float_eq(v.mem_max_bytes / (double)DRPC_MIB, 80, 0.1);
	cr_expect_float_eq(v.throttled_share, 0.1, 0.001);
	cr_expect_float_eq(v.cpu_pressure, 0.1, 0.001);
}

Test(use, rest_counts_as_no_use)
{
	struct drpc_use_view v;

	now = 100 * SEC;
	for (int i = 0; i < 10; i++)
		push(1, 10);
	/* Nothing ran for a long time. */
	drpc_use_view(use, now + 990 * SEC, &v);
	cr_expect_float_eq(v.watched_sec, 1000, 0.01);
	cr_expect_lt(v.cpu_p50_mcpu, 1);
	cr_expect_float_eq(v.cpu_max_mcpu, 1000, 0.1);
}

Test(use, what_does_not_count)
{
	struct drpc_window_scalars w = {.start_ns = SEC, .end_ns = 2 * SEC};
	struct drpc_use_view v;

	drpc_use_view(NULL, SEC, &v);
	cr_expect_eq(v.watched_sec, 0);
	cr_expect_eq(drpc_use_push(&use, &w), 0);
	cr_expect_null(use, "a window that tells nothing");
	w.cg.valid = DRPC_CG_CPU;
	w.cg.cpu_usage_usec = 500000;
	cr_expect_eq(drpc_use_push(&use, &w), 0);
	cr_expect_eq(drpc_use_push(&use, &w), 0, "the same once more");
	drpc_use_view(use, 2 * SEC, &v);
	cr_expect_float_eq(v.watched_sec, 1, 0.01);
	cr_expect_float_eq(v.cpu_p99_mcpu, 500, 30);
	cr_expect_eq(v.mem_max_bytes, 0);
}
