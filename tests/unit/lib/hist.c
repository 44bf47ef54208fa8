// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "lib/hist.h"

/*
 * The definition, in integers: bound[b] = floor(2^((b - 160) / 8) * 1e9), that is, the greatest v
 * with v^8 <= 2^(b - 160) * 1e72. Big numbers by 32-bit digits, lowest first.
 */
#define DIGITS 20

struct big {
	uint32_t digit[DIGITS];
};

static struct big big_of(uint64_t v)
{
	return (struct big){{(uint32_t)v, (uint32_t)(v >> 32)}};
}

static struct big big_mul(const struct big *a, uint64_t factor)
{
	struct big r = {{0}};
	uint32_t part[2] = {(uint32_t)factor, (uint32_t)(factor >> 32)};

	for (int p = 0; p < 2; p++) {
		uint64_t carry = 0;

		for (int i = 0; i + p < DIGITS; i++) {
			carry += (uint64_t)a->digit[i] * part[p] + r.digit[i + p];
			r.digit[i + p] = (uint32_t)carry;
			carry >>= 32;
		}
		cr_assert_eq(carry, 0, "the test's numbers overflow");
	}
	return r;
}

static int big_cmp(const struct big *a, const struct big *b)
{
	for (int i = DIGITS; i-- > 0;)
		if (a->digit[i] != b->digit[i])
			return a->digit[i] < b->digit[i] ? -1 : 1;
	return 0;
}

static struct big big_pow(uint64_t v, int power)
{
	struct big r = big_of(1);

	for (int i = 0; i < power; i++)
		r = big_mul(&r, v);
	return r;
}

/* Whether v^8 <= 2^(b - 160) * 1e72: both sides times 2^160 where b is below 160. */
static bool within(uint64_t v, int b)
{
	struct big left = big_pow(v, 8), right = big_pow(1000000000, 8);

	for (int i = 0; i < abs(b - 160); i++) {
		struct big *side = b < 160 ? &left : &right;

		*side = big_mul(side, 2);
	}
	return big_cmp(&left, &right) <= 0;
}

Test(hist, bounds_are_the_definitions)
{
	for (int b = 0; b < DRPC_HIST_OVERFLOW; b++) {
		uint64_t bound = drpc_hist_bound_ns((unsigned int)b);

		cr_assert(within(bound, b), "bound %d", b);
		cr_assert_not(within(bound + 1, b), "bound %d", b);
	}
	cr_assert_eq(drpc_hist_bound_ns(DRPC_HIST_OVERFLOW), UINT64_MAX);
	cr_assert_eq(drpc_hist_bound_ns(160), 1000000000);
	cr_assert_eq(drpc_hist_bound_ns(208), 64000000000);
}

Test(hist, index_is_exact_at_every_bound)
{
	for (unsigned int b = 0; b < DRPC_HIST_OVERFLOW; b++) {
		uint64_t bound = drpc_hist_bound_ns(b);

		cr_assert_eq(drpc_hist_index(bound - 1), b);
		cr_assert_eq(drpc_hist_index(bound), b);
		cr_assert_eq(drpc_hist_index(bound + 1), b + 1);
	}
	cr_assert_eq(drpc_hist_index(0), 0);
	cr_assert_eq(drpc_hist_index(UINT64_MAX), DRPC_HIST_OVERFLOW);
}

static unsigned int index_by_search(uint64_t v)
{
	unsigned int b = 0;

	while (b < DRPC_HIST_OVERFLOW && v > drpc_hist_bound_ns(b))
		b++;
	return b;
}

/* Every cell's edges (values that are 17..32 times a power of two, scaled) lie among these. */
Test(hist, index_is_the_search_everywhere)
{
	for (uint64_t scale = 1; scale < 1ULL << 37; scale *= 2)
		for (uint64_t m = 16; m <= 32; m++) {
			uint64_t v = (uint64_t)((long double)(m * scale) / 16 / 1.073741824L);

			for (uint64_t x = v > 4 ? v - 4 : 0; x <= v + 4; x++)
				cr_assert_eq(drpc_hist_index(x), index_by_search(x), "%lu", x);
		}
	for (uint64_t v = 0; v < 20000; v++)
		cr_assert_eq(drpc_hist_index(v), index_by_search(v), "%lu", v);
	for (uint64_t v = 1, i = 0; i < 200000; i++) {
		uint64_t x = v >> (v & 63);

		cr_assert_eq(drpc_hist_index(x), index_by_search(x), "%lu", x);
		v = v * 6364136223846793005ULL + 1442695040888963407ULL;
	}
}

Test(hist, geometric_middle_is_close_to_all_of_a_bucket)
{
	for (unsigned int b = 1; b < DRPC_HIST_OVERFLOW; b++) {
		double lo = (double)drpc_hist_bound_ns(b - 1), hi = (double)drpc_hist_bound_ns(b);
		double middle = sqrt(lo * hi);

		cr_assert(hi / middle - 1 < 0.0455 && 1 - (lo + 1) / middle < 0.0455, "%u", b);
	}
}

Test(hist, quantiles)
{
	uint32_t hist[DRPC_HIST_BUCKETS] = {0};
	double v;

	cr_assert_eq(drpc_hist_count(hist), 0);
	cr_assert_eq(drpc_hist_max_ns(hist), 0);
	cr_assert_eq(drpc_hist_quantile_ns(hist, 0.5), 0);

	hist[drpc_hist_index(1000000)] = 90;
	hist[drpc_hist_index(50000000)] = 10;
	cr_assert_eq(drpc_hist_count(hist), 100);
	cr_assert_float_eq(drpc_hist_quantile_ns(hist, 0.5), 1e6, 0.09e6);
	cr_assert_float_eq(drpc_hist_quantile_ns(hist, 0.99), 5e7, 0.45e7);
	cr_assert_float_eq(drpc_hist_quantile_ns(hist, 0), drpc_hist_quantile_ns(hist, -1), 0);
	v = drpc_hist_quantile_ns(hist, 1);
	cr_assert_float_eq(v, (double)drpc_hist_max_ns(hist), 1);
	cr_assert_float_eq(drpc_hist_quantile_ns(hist, 2), v, 0);
	for (double q = 0.01; q <= 1; q += 0.01)
		cr_assert(drpc_hist_quantile_ns(hist, q) >= drpc_hist_quantile_ns(hist, q - 0.01));
}

/* Against the values themselves: evenly spread over two decades. */
Test(hist, quantiles_of_a_distribution)
{
	uint32_t hist[DRPC_HIST_BUCKETS] = {0};
	static const double qs[] = {0.1, 0.5, 0.9, 0.95, 0.97};

	for (int i = 0; i < 1000000; i++)
		hist[drpc_hist_index((uint64_t)(1e5 * pow(100, (i + 0.5) / 1e6)))]++;
	for (size_t i = 0; i < sizeof(qs) / sizeof(qs[0]); i++) {
		double truth = 1e5 * pow(100, qs[i]);

		cr_assert_float_eq(drpc_hist_quantile_ns(hist, qs[i]), truth, truth * 0.005);
	}
}

/* A falling tail leans to the lower end of its buckets: little is lost by that. */
Test(hist, quantiles_of_a_tail)
{
	static const double qs[] = {0.5, 0.9, 0.99, 0.999};
	uint32_t exponential[DRPC_HIST_BUCKETS] = {0};

	for (int i = 0; i < 1000000; i++)
		exponential[drpc_hist_index((uint64_t)(-1e6 * log1p(-(i + 0.5) / 1e6)))]++;
	for (size_t i = 0; i < sizeof(qs) / sizeof(qs[0]); i++) {
		double truth = -1e6 * log1p(-qs[i]);

		cr_assert_float_eq(drpc_hist_quantile_ns(exponential, qs[i]), truth, truth * 0.006,
				   "%g: %g %g", qs[i], drpc_hist_quantile_ns(exponential, qs[i]),
				   truth);
	}
}

Test(hist, overflow_counts_as_its_lower_bound)
{
	uint32_t hist[DRPC_HIST_BUCKETS] = {0};

	hist[drpc_hist_index(100000000000)] = 1;
	cr_assert_eq(hist[DRPC_HIST_OVERFLOW], 1);
	cr_assert_eq(drpc_hist_quantile_ns(hist, 0.5), 64e9);
	cr_assert_eq(drpc_hist_max_ns(hist), UINT64_MAX);
}

Test(hist, counts_beyond_32_bits)
{
	uint32_t hist[DRPC_HIST_BUCKETS];

	memset(hist, 0xff, sizeof(hist));
	cr_assert_eq(drpc_hist_count(hist), 210ULL * UINT32_MAX);
}
