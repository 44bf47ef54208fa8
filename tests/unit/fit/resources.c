// SPDX-License-Identifier: Apache-2.0
#include "fit/model.h"

#include <criterion/criterion.h>
#include <math.h>

#include "lib/util.h"

Test(fit_line, exact)
{
	const double x[] = {10, 20, 40, 80}, y[] = {5.2, 5.4, 5.8, 6.6};
	const struct drpc_fit_line l = drpc_fit_line(x, y, NULL, 4, 1.4);

	cr_expect_float_eq(l.slope, 0.02, 1e-12);
	cr_expect_float_eq(l.intercept, 5, 1e-12);
	cr_expect_not(l.through_zero);
	cr_expect_float_eq(l.residual, 0, 1e-9);
}

Test(fit_line, outliers_do_not_matter)
{
	double x[40], y[40];
	struct drpc_fit_line l;

	for (int i = 0; i < 40; i++) {
		x[i] = 10 + i;
		y[i] = 1 + 0.5 * x[i] + ((i * 37) % 11 - 5) * 0.01;
	}
	y[3] = 60;
	y[30] = 0.1;
	l = drpc_fit_line(x, y, NULL, 40, 1.4);
	cr_expect_float_eq(l.slope, 0.5, 0.01, "%g", l.slope);
	cr_expect_float_eq(l.intercept, 1, 0.3, "%g", l.intercept);
}

Test(fit_line, no_intercept_where_none_shows)
{
	const double same[] = {50, 51, 52}, y[] = {0.10, 0.102, 0.104};
	const double x[] = {10, 20, 30}, below[] = {0.01, 0.03, 0.05};
	struct drpc_fit_line l = drpc_fit_line(same, y, NULL, 3, 1.4);

	cr_expect(l.through_zero);
	cr_expect_eq(l.intercept, 0);
	cr_expect_float_eq(l.slope, 0.002, 1e-9);
	l = drpc_fit_line(x, below, NULL, 3, 1.4);
	cr_expect(l.through_zero, "an intercept of -0.01 cores cannot be");
	cr_expect_eq(l.intercept, 0);
	cr_expect_gt(l.slope, 0);
}

Test(fit_line, weights_count)
{
	const double x[] = {1, 1}, y[] = {1, 4}, w[] = {3, 0};

	cr_expect_float_eq(drpc_fit_line(x, y, w, 2, 1.4).slope, 1, 1e-12);
}

Test(fit_line, nothing)
{
	const double zero[] = {0, 0, 0};

	cr_expect_eq(drpc_fit_line(NULL, NULL, NULL, 0, 1.4).slope, 0);
	cr_expect_eq(drpc_fit_line(zero, zero, NULL, 3, 1.4).slope, 0);
}
