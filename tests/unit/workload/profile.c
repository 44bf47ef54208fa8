// SPDX-License-Identifier: Apache-2.0
#include "workload/profile.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#define POINTS 24

TestSuite(profile, .init = cr_redirect_stderr);

/* A steep start, a plateau, a steep end: what profiles of servers look like. */
static double curve(double load)
{
	return 0.20 * (1 - exp(-load / 4)) + 0.6 * pow(load / 9000, 4);
}

static void fill(double *load, double *util)
{
	static const double loads[POINTS] = {0,	   1,	 2,    3,    4,	   5,	 7,    10,
					     20,   60,	 200,  500,  1000, 2000, 3000, 4000,
					     5000, 5500, 6000, 6500, 7000, 7500, 8000, 9000};

	for (size_t i = 0; i < POINTS; i++) {
		load[i] = loads[i];
		util[i] = curve(loads[i]);
	}
}

Test(profile, fits_and_inverts_what_rises)
{
	double load[POINTS], util[POINTS];
	struct drpc_profile p;

	fill(load, util);
	cr_assert_eq(drpc_profile_fit(load, util, POINTS, 1, &p), 0);
	cr_expect_lt(p.rmse, 0.01, "%g", p.rmse);
	cr_expect_lt(p.worst_error, 0.03, "%g", p.worst_error);
	/* There and back, where the curve has a slope to go back by. */
	for (double at = 3500; at <= 9000; at += 500) {
		const double back = drpc_profile_load(&p, drpc_profile_utilisation(&p, at));

		cr_expect_float_eq(back, at, 30, "%g: %g", at, back);
	}
	for (double u = 0.05; u < 0.8; u += 0.05)
		cr_expect_float_eq(drpc_profile_utilisation(&p, drpc_profile_load(&p, u)), u, 0.005,
				   "%g", u);
	cr_expect_eq(drpc_profile_load(&p, -1), 0);
	cr_expect_leq(drpc_profile_load(&p, 5), 9000);
	cr_expect_gt(drpc_profile_load(&p, 5), 8500);
}

Test(profile, the_way_back_never_falls)
{
	double load[POINTS], util[POINTS], before = -1;
	struct drpc_profile p;

	fill(load, util);
	/* A measured dip of five percent in the middle. */
	util[14] -= 0.05;
	util[13] -= 0.04;
	cr_assert_eq(drpc_profile_fit(load, util, POINTS, 1, &p), 0);
	cr_expect_not(p.monotone);
	cr_expect_gt(p.worst_fall, 0.01);
	for (double u = 0; u < 0.8; u += 0.01) {
		const double at = drpc_profile_load(&p, u);

		cr_assert(at >= before && isfinite(at), "%g after %g", at, before);
		before = at;
	}
}

Test(profile, a_line_is_monotone_and_seeds_reproduce)
{
	double load[10], util[10];
	struct drpc_profile a, b;

	for (int i = 0; i < 10; i++) {
		load[i] = i * 100;
		util[i] = 0.1 + 0.08 * i;
	}
	cr_assert_eq(drpc_profile_fit(load, util, 10, 3, &a), 0);
	cr_assert_eq(drpc_profile_fit(load, util, 10, 3, &b), 0);
	cr_expect(a.monotone, "falls by %g", a.worst_fall);
	cr_expect_eq(memcmp(&a, &b, sizeof(a)), 0);
	cr_expect_float_eq(drpc_profile_load(&a, 0.5), 500, 10);
}

Test(profile, points_that_make_none)
{
	double load[] = {0, 1, 2, 3}, util[] = {0, 0.1, 0.2, 0.3};
	struct drpc_profile p;

	cr_expect_eq(drpc_profile_fit(load, util, 3, 1, &p), -EINVAL);
	util[2] = NAN;
	cr_expect_eq(drpc_profile_fit(load, util, 4, 1, &p), -EINVAL);
	util[2] = -0.1;
	cr_expect_eq(drpc_profile_fit(load, util, 4, 1, &p), -EINVAL);
	for (int i = 0; i < 4; i++) {
		load[i] = 5;
		util[i] = 0.1;
	}
	cr_expect_eq(drpc_profile_fit(load, util, 4, 1, &p), -EINVAL);
}
