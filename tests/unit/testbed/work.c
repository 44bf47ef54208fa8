// SPDX-License-Identifier: Apache-2.0
#include "tools/testbed/work.h"

#include <criterion/criterion.h>
#include <time.h>

#include "lib/util.h"

static struct tb_dist dist;

static void make(const char *kind, double mean_ms, double cap)
{
	dist = (struct tb_dist){.mean_ms = mean_ms, .cap = cap};
	cr_assert(tb_dist_parse(&dist, kind), "%s", kind);
	tb_dist_prepare(&dist);
}

/* Mean and largest value in milliseconds. */
static double sample(unsigned int n, double *ret_max)
{
	struct drpc_rng rng = {21};
	double sum = 0, max = 0;

	for (unsigned int i = 0; i < n; i++) {
		double ms = (double)tb_dist_draw_ns(&dist, &rng) / 1e6;

		sum += ms;
		max = DRPC_MAX(max, ms);
	}
	*ret_max = max;
	return sum / n;
}

Test(work, the_cap_keeps_the_mean)
{
	static const struct {
		const char *kind;
		double cap, tolerance;
	} cases[] = {
		{"fixed", 100, 1e-6},	    {"exp", 100, 0.01},	       {"exp", 2, 0.01},
		{"lognormal:1", 100, 0.02}, {"lognormal:2", 20, 0.02}, {"pareto:1.5", 100, 0.03},
		{"pareto:2.5", 100, 0.02},  {"pareto:1.1", 10, 0.02},  {"lognormal:5", 1.1, 0.02},
	};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(cases); i++) {
		double max, mean;

		make(cases[i].kind, 2, cases[i].cap);
		mean = sample(400000, &max);
		cr_expect_float_eq(mean, 2, 2 * cases[i].tolerance, "%s under %g: mean %g",
				   cases[i].kind, cases[i].cap, mean);
		cr_expect_leq(max, 2 * cases[i].cap + 1e-6);
	}
}

Test(work, tails_are_as_heavy_as_asked)
{
	double exp_max, pareto_max;

	make("exp", 1, 100);
	sample(100000, &exp_max);
	make("pareto:1.5", 1, 100);
	sample(100000, &pareto_max);
	cr_expect_lt(exp_max, 20);
	cr_expect_gt(pareto_max, 80);
}

Test(work, draws_repeat)
{
	struct drpc_rng a = drpc_rng_stream(1, 17), b = drpc_rng_stream(1, 17);

	make("lognormal:1", 1, 100);
	for (int i = 0; i < 100; i++)
		cr_assert_eq(tb_dist_draw_ns(&dist, &a), tb_dist_draw_ns(&dist, &b));
}

Test(work, malformed_distributions)
{
	static const char *const bad[] = {"",		"gauss",    "exp:1",	"lognormal",
					  "lognormal:", "pareto:1", "pareto:x", "lognormal:9"};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(bad); i++)
		cr_expect_not(tb_dist_parse(&dist, bad[i]), "%s", bad[i]);
}

Test(work, no_work_is_no_work)
{
	struct drpc_rng rng = {1};

	make("pareto:2", 0, 100);
	cr_expect_eq(tb_dist_draw_ns(&dist, &rng), 0);
	tb_burn(0);
}

Test(work, burning_takes_the_cpu_time_it_should)
{
	struct timespec a, b;
	double ms;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
	tb_burn(20 * DRPC_NSEC_PER_MSEC);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
	ms = (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6;
	cr_expect_geq(ms, 20);
	cr_expect_leq(ms, 22, "%g", ms);
}

Test(work, memory_is_resident_and_touched_within_bounds)
{
	struct drpc_rng rng = {2};
	struct tb_memory memory;
	unsigned int changed = 0;

	cr_assert_eq(tb_memory_init(&memory, 4 << 20), 0);
	for (size_t at = 0; at < memory.bytes; at += 4096)
		cr_assert_eq(memory.base[at], 1);
	tb_memory_touch(&memory, 64 << 10, &rng);
	for (size_t at = 0; at < memory.bytes; at += 4096)
		changed += memory.base[at] == 2;
	cr_expect_eq(changed, 16);
	for (int i = 0; i < 1000; i++)
		tb_memory_touch(&memory, 1 << 30, &rng);
	tb_memory_release(&memory);
	cr_expect_null(memory.base);
	tb_memory_touch(&memory, 4096, &rng);
}
