// SPDX-License-Identifier: Apache-2.0
#include "agent/plan/holt.h"

#include <criterion/criterion.h>
#include <math.h>

#define SEC 1000000000ULL

static void feed(struct drpc_holt *f, uint64_t step_ns, int n, double (*rate)(double sec))
{
	for (int i = 1; i <= n; i++) {
		uint64_t now_ns = SEC + (uint64_t)i * step_ns;

		drpc_holt_push(f, now_ns, rate((double)((uint64_t)i * step_ns) / 1e9));
	}
}

static double constant(double sec)
{
	(void)sec;
	return 400;
}

static double ramp(double sec)
{
	return 200 + 10 * sec;
}

static double falling(double sec)
{
	return fmax(0, 100 - 20 * sec);
}

Test(holt, constant_rate_stays)
{
	struct drpc_holt f = {0};

	feed(&f, SEC / 5, 100, constant);
	cr_expect_float_eq(drpc_holt_rate(&f, 5 * SEC), 400, 1e-6);
}

/* A straight line is followed: where the last value would be 50 behind after 5 s. */
Test(holt, ramp_is_followed)
{
	struct drpc_holt f = {0};

	feed(&f, SEC / 5, 300, ramp);
	cr_expect_float_eq(drpc_holt_rate(&f, 5 * SEC), ramp(65), 0.1 * ramp(65));
	cr_expect_gt(drpc_holt_rate(&f, 5 * SEC), ramp(60));
}

Test(holt, never_negative)
{
	struct drpc_holt f = {0};

	feed(&f, SEC / 5, 24, falling);
	cr_expect_eq(drpc_holt_rate(&f, 60 * SEC), 0);
}

/* The same rates at another pace give about the same forecast: only time counts. */
Test(holt, uneven_sampling)
{
	struct drpc_holt fine = {0}, coarse = {0};

	feed(&fine, SEC / 5, 300, ramp);
	feed(&coarse, SEC, 60, ramp);
	cr_expect_float_eq(drpc_holt_rate(&fine, 0), drpc_holt_rate(&coarse, 0), 20);
}

Test(holt, nonsense_is_ignored)
{
	struct drpc_holt f = {0};

	feed(&f, SEC / 5, 50, constant);
	drpc_holt_push(&f, 100 * SEC, NAN);
	drpc_holt_push(&f, 101 * SEC, -5);
	drpc_holt_push(&f, 102 * SEC, INFINITY);
	cr_expect_float_eq(drpc_holt_rate(&f, SEC), 400, 1e-6);
	/* A clock that stands or goes back begins anew instead of dividing by nothing. */
	drpc_holt_push(&f, SEC, 100);
	cr_expect_float_eq(drpc_holt_rate(&f, SEC), 100, 1e-9);
}
