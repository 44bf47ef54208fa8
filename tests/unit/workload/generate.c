// SPDX-License-Identifier: Apache-2.0
#include "workload/generate.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <math.h>
#include <string.h>

TestSuite(generate, .init = cr_redirect_stderr);

static struct drpc_series make(struct drpc_generate_config config)
{
	struct drpc_series series;

	cr_assert_eq(drpc_generate(&config, NULL, &series), 0);
	return series;
}

static double mean_of(const struct drpc_series *s)
{
	double sum = 0;

	for (size_t i = 0; i < s->count; i++)
		sum += (double)drpc_series_at(s, i, 0) / (double)s->count;
	return sum;
}

/* Over many periods every kind has the mean it was asked for. */
Test(generate, means_hold_over_a_long_run)
{
	for (int kind = 0; kind <= DRPC_GENERATE_DRIFT; kind++) {
		struct drpc_generate_config c =
			drpc_generate_defaults((enum drpc_generate_kind)kind);
		struct drpc_series s;

		c.duration_s = 30 * 86400;
		c.step_s = 60;
		s = make(c);
		cr_expect_eq(s.count, 43200);
		cr_expect_float_eq(mean_of(&s), 200, 200 * 0.03, "%s: %g",
				   drpc_generate_kind_name(c.kind), mean_of(&s));
		for (size_t i = 0; i < s.count; i++)
			cr_assert(drpc_series_at(&s, i, 0) >= 0);
		drpc_series_done(&s);
	}
}

Test(generate, same_seed_same_bits_other_seed_others)
{
	for (int kind = 0; kind <= DRPC_GENERATE_DRIFT; kind++) {
		struct drpc_generate_config c =
			drpc_generate_defaults((enum drpc_generate_kind)kind);
		struct drpc_series a = make(c), b = make(c), other;
		const size_t bytes = a.count * a.columns * sizeof(float);

		c.seed = 2;
		other = make(c);
		cr_expect_eq(a.count, 3600);
		cr_expect_eq(memcmp(a.values, b.values, bytes), 0);
		cr_expect_neq(memcmp(a.values, other.values, bytes), 0);
		drpc_series_done(&a);
		drpc_series_done(&b);
		drpc_series_done(&other);
	}
}

/* A tenth of the time is burst, at four times the quiet rate, for a minute on average. */
Test(generate, bursts_have_their_share_height_and_length)
{
	struct drpc_generate_config c = drpc_generate_defaults(DRPC_GENERATE_BURSTY);
	struct drpc_series s;
	size_t high = 0, starts = 0;
	bool before = false;
	double quiet = 200 / 1.3;

	c.duration_s = 10 * 86400;
	c.noise = 0;
	s = make(c);
	for (size_t i = 0; i < s.count; i++) {
		const double rate = (double)drpc_series_at(&s, i, 0);
		const bool burst = rate > 2.5 * quiet;

		cr_assert(rate > quiet * 0.999 && rate < 4 * quiet * 1.001, "%g", rate);
		high += burst;
		starts += burst && !before;
		before = burst;
	}
	/* 1,440 bursts: the relative error of their share and mean length is about 1/sqrt(1440). */
	cr_expect_float_eq((double)high / (double)s.count, 0.1, 0.015);
	cr_expect_float_eq((double)high / (double)starts, 60, 9);
	drpc_series_done(&s);
}

Test(generate, noise_has_its_deviation)
{
	struct drpc_generate_config c = drpc_generate_defaults(DRPC_GENERATE_NOISY);
	struct drpc_series s;
	double mean, var = 0;

	c.duration_s = 20 * 86400;
	c.step_s = 10;
	s = make(c);
	mean = mean_of(&s);
	for (size_t i = 0; i < s.count; i++)
		var += pow((double)drpc_series_at(&s, i, 0) - mean, 2) / (double)s.count;
	cr_expect_float_eq(sqrt(var) / mean, 0.3, 0.03);
	drpc_series_done(&s);
}

Test(generate, a_day_has_its_wave)
{
	struct drpc_generate_config c = drpc_generate_defaults(DRPC_GENERATE_DIURNAL);
	struct drpc_series s;
	float low = INFINITY, high = 0;

	c.duration_s = 2 * 86400;
	c.step_s = 300;
	c.noise = 0;
	s = make(c);
	for (size_t i = 0; i < 288; i++) {
		low = fminf(low, drpc_series_at(&s, i, 0));
		high = fmaxf(high, drpc_series_at(&s, i, 0));
		cr_assert_float_eq(drpc_series_at(&s, i, 0), drpc_series_at(&s, i + 288, 0), 1e-3);
	}
	cr_expect_gt(high / low, 2);
	cr_expect_lt(high / low, 5);
	drpc_series_done(&s);
}

Test(generate, crowds_come_and_fade)
{
	struct drpc_generate_config c = drpc_generate_defaults(DRPC_GENERATE_FLASH);
	struct drpc_series s;
	size_t top = 0;
	float most = 0, least = INFINITY;

	c.noise = 0;
	c.gap_s = 1200;
	c.duration_s = 86400;
	s = make(c);
	for (size_t i = 0; i < s.count; i++) {
		least = fminf(least, drpc_series_at(&s, i, 0));
		if (drpc_series_at(&s, i, 0) > most) {
			most = drpc_series_at(&s, i, 0);
			top = i;
		}
	}
	cr_expect_gt(most / least, 3.9);
	/* It rises within a minute and falls from there. */
	cr_assert(top > 60 && top + 1 < s.count);
	cr_expect_lt(drpc_series_at(&s, top + 1, 0), most);
	cr_expect_gt(most - drpc_series_at(&s, top - 30, 0), 0.4f * 3 * least);
	drpc_series_done(&s);
}

Test(generate, a_mix_that_drifts_and_others_that_do_not)
{
	struct drpc_generate_config c = drpc_generate_defaults(DRPC_GENERATE_DRIFT);
	float low = 1, high = 0;
	struct drpc_series s;

	c.duration_s = 86400;
	c.step_s = 300;
	s = make(c);
	cr_assert_eq(s.columns, 5);
	cr_expect_str_eq(s.names[1], "query");
	for (size_t i = 0; i < s.count; i++) {
		float sum = 0;

		for (size_t k = 1; k < 5; k++)
			sum += drpc_series_at(&s, i, k);
		cr_assert_float_eq(sum, 1, 1e-5);
		low = fminf(low, drpc_series_at(&s, i, 1));
		high = fmaxf(high, drpc_series_at(&s, i, 1));
	}
	/* From 60 of a hundred to the admins' 5 and back. */
	cr_expect_float_eq(low, 0.05f, 0.01);
	cr_expect_float_eq(high, 0.60f, 0.01);
	drpc_series_done(&s);
	c.kind = DRPC_GENERATE_DIURNAL;
	s = make(c);
	cr_expect_eq(drpc_series_at(&s, 0, 1), drpc_series_at(&s, s.count - 1, 1));
	drpc_series_done(&s);
}

Test(generate, settings_that_make_no_trace)
{
	const struct drpc_generate_config good = drpc_generate_defaults(DRPC_GENERATE_BURSTY);
	struct drpc_generate_config bad[8];
	struct drpc_series s = {0};

	for (size_t i = 0; i < 8; i++)
		bad[i] = good;
	bad[0].step_s = 0;
	bad[1].duration_s = 0.5;
	bad[2].duration_s = 1e12;
	bad[3].mean_rps = NAN;
	bad[4].peak = 1;
	bad[5].noise = -1;
	bad[6].burst_s = 0;
	bad[7].kind = (enum drpc_generate_kind)9;
	for (size_t i = 0; i < 8; i++)
		cr_expect_eq(drpc_generate(&bad[i], NULL, &s), -EINVAL, "%zu", i);
	cr_expect_null(s.values);
}
