// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>
#include <math.h>

#include "sim/policies/autothrottle.h"

/* Criterion's macros compute their arguments more than once. */
static void assert_limit(double got, double expected)
{
	cr_assert_float_eq(got, expected, 1e-9, "%g, expected %g", got, expected);
}

/* A second of periods that are all alike. */
static double second(struct drpc_captain *c, double usage, double throttled)
{
	double limit = c->limit;

	for (int i = 0; i < DRPC_CAPTAIN_PERIODS; i++)
		limit = drpc_captain_step(c, usage, throttled);
	return limit;
}

Test(sim_captain, margin_moves_by_the_ratio_less_the_target)
{
	struct drpc_captain c;

	drpc_captain_init(&c, 1);
	c.target = 0.1;
	cr_assert_float_eq(c.margin, 3, 1e-12);
	second(&c, 0.95, 0.3); /* not above three times the target: no raise */
	cr_assert_float_eq(c.margin, 3.2, 1e-9);
	cr_assert_float_eq(c.limit, 1, 1e-12);
	second(&c, 0.95, 0);
	cr_assert_float_eq(c.margin, 3.1, 1e-9);
	c.margin = 0.05;
	second(&c, 0.95, 0);
	cr_assert_float_eq(c.margin, 0, 1e-12);
}

Test(sim_captain, raises_by_what_is_above_three_times_the_target)
{
	struct drpc_captain c;

	drpc_captain_init(&c, 2);
	c.target = 0.1;
	assert_limit(second(&c, 2, 0.5), 2 * 1.2);
	c.target = 0;
	assert_limit(second(&c, 2, 1), 2 * 1.2 * 2);
}

/* Usage that never varies: the proposal is that usage. */
Test(sim_captain, lowers_only_from_a_tenth_on)
{
	struct drpc_captain c;

	drpc_captain_init(&c, 1);
	for (int i = 0; i < DRPC_CAPTAIN_SAMPLES; i++)
		c.usage[i] = 0.91;
	assert_limit(second(&c, 0.91, 0), 1);
	for (int i = 0; i < DRPC_CAPTAIN_SAMPLES; i++)
		c.usage[i] = 0.89;
	assert_limit(second(&c, 0.89, 0), 0.89);
}

Test(sim_captain, halves_at_most)
{
	struct drpc_captain c;

	drpc_captain_init(&c, 1);
	assert_limit(second(&c, 0.0, 0), 0.5);
	assert_limit(second(&c, 0.0, 0), 0.25);
}

/* max + std x margin of 50 samples: 40 of 0.1 and 10 of 0.2. */
Test(sim_captain, proposes_the_peak_and_a_margin_of_deviations)
{
	struct drpc_captain c;
	const double std = sqrt((40 * 0.02 * 0.02 + 10 * 0.08 * 0.08) / 49);

	drpc_captain_init(&c, 0.5);
	for (int i = 0; i < DRPC_CAPTAIN_SAMPLES; i++)
		c.usage[i] = 0.1;
	c.margin = 2;
	assert_limit(second(&c, 0.2, 0), 0.2 + 2 * std);
}

/* The last cut throttles: back, and as far beyond, before the second is over. */
Test(sim_captain, rolls_a_cut_back_within_the_second)
{
	struct drpc_captain c;

	drpc_captain_init(&c, 1);
	c.target = 0.02;
	c.margin = 0;
	for (int i = 0; i < DRPC_CAPTAIN_SAMPLES; i++)
		c.usage[i] = 0.6;
	assert_limit(second(&c, 0.6, 0), 0.6);
	cr_assert(c.cut);
	/* One period of ten throttled is 0.1, more than 0.06. */
	assert_limit(drpc_captain_step(&c, 0.6, 1), 2 * 1 - 0.6);
	cr_assert(!c.cut);
	cr_assert_float_eq(c.margin, 0.1 - 0.02, 1e-9);
	/* It was counted, and does not raise the limit once more at the second's end. */
	for (int i = 1; i < DRPC_CAPTAIN_PERIODS; i++)
		drpc_captain_step(&c, 1.35, 0);
	cr_assert_float_eq(c.limit, 1.4, 1e-9);
}

Test(sim_captain, no_rollback_without_a_cut)
{
	struct drpc_captain c;

	drpc_captain_init(&c, 1);
	c.target = 0.02;
	assert_limit(drpc_captain_step(&c, 1, 1), 1);
}
