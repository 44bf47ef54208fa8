// SPDX-License-Identifier: Apache-2.0
#include "sim/random.h"

#include <criterion/criterion.h>
#include <math.h>

#include "lib/util.h"

static struct drpc_sim_tables tables;

static void setup(void)
{
	drpc_sim_tables_init(&tables);
}

TestSuite(sim_random, .init = setup);

Test(sim_random, logarithm_and_exponential_are_libm_s)
{
	uint64_t stream = 3;

	for (int i = 0; i < 100000; i++) {
		const double x = ldexp(drpc_sim_uniform(&stream), (int)(i % 200) - 100);
		const double y = (drpc_sim_uniform(&stream) - 0.5) * 200.0;

		cr_assert_float_eq(drpc_sim_log(&tables, x), log(x), 1e-11);
		cr_assert_float_eq(drpc_sim_exp(&tables, y) / exp(y), 1.0, 1e-11);
	}
}

/* Against the distribution function itself, deep into both tails. */
Test(sim_random, normal_quantile_inverts_the_distribution)
{
	for (double x = -8.0; x <= 8.0; x += 0.01) {
		const double p = 0.5 * erfc(-x / sqrt(2.0));

		/* Beyond 5 the upper tail's p has no digits left. */
		if (x < 5.0)
			cr_assert_float_eq(drpc_sim_normal_quantile(&tables, p), x, 1e-8, "%g", x);
	}
}

Test(sim_random, distributions_have_their_moments)
{
	const struct drpc_sim_dist dists[] = {
		drpc_sim_constant(5e6),		 drpc_sim_exponential_dist(2e6),
		drpc_sim_lognormal(3e6, 0.5),	 drpc_sim_lognormal(3e6, 1.5),
		drpc_sim_uniform_dist(1e6, 4e6), drpc_sim_pareto(2e6, 4.5),
	};
	enum { N = 2000000 };

	for (size_t d = 0; d < DRPC_ARRAY_SIZE(dists); d++) {
		const double m2 = drpc_sim_second_moment(&dists[d]);
		double sum = 0.0, squares = 0.0;
		uint64_t stream = 11 + d;

		for (int i = 0; i < N; i++) {
			const double x = drpc_sim_draw(&tables, &dists[d], &stream);

			cr_assert(x >= 0.0);
			sum += x;
			squares += x * x;
		}
		cr_assert_float_eq(sum / N / dists[d].mean_ns, 1.0, 0.005, "mean of %zu", d);
		cr_assert_float_eq(squares / N / m2, 1.0, 0.03, "second moment of %zu", d);
	}
}

Test(sim_random, streams_differ_and_repeat)
{
	uint64_t a = drpc_sim_stream(1, 1), b = drpc_sim_stream(1, 2), c = drpc_sim_stream(2, 1);

	cr_assert_eq(a, drpc_sim_stream(1, 1));
	cr_assert(a != b && a != c && b != c);
	cr_assert_neq(drpc_sim_next(&a), drpc_sim_next(&b));
}
