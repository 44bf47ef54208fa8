// SPDX-License-Identifier: Apache-2.0
#include "tools/load/hdr.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "lib/util.h"
#include "tools/load/rng.h"

static struct drpc_hdr hdr, other;

static void setup(void)
{
	drpc_hdr_reset(&hdr);
	drpc_hdr_reset(&other);
}

TestSuite(hdr, .init = setup);

Test(hdr, buckets_tile_the_range)
{
	uint64_t next = 0;

	for (unsigned int i = 0; i < DRPC_HDR_BUCKETS; i++) {
		uint64_t lower = drpc_hdr_lower_ns(i), width = drpc_hdr_width_ns(i);

		cr_assert_eq(lower, next, "bucket %u", i);
		cr_assert_eq(drpc_hdr_index(lower), i);
		cr_assert_eq(drpc_hdr_index(lower + width - 1), i);
		next = lower + width;
	}
	cr_expect_eq(next, 1ULL << DRPC_HDR_MAX_BITS);
}

Test(hdr, a_single_value_is_within_one_percent)
{
	struct drpc_rng rng = {1};

	for (int i = 0; i < 20000; i++) {
		uint64_t value = drpc_rng_next(&rng) >> (23 + drpc_rng_below(&rng, 41));
		double width = (double)drpc_hdr_width_ns(drpc_hdr_index(value));
		double lower = (double)drpc_hdr_lower_ns(drpc_hdr_index(value));
		double mid = lower + (width - 1) / 2;

		cr_assert_leq(fabs(mid - (double)value), 0.004 * (double)value, "%lu",
			      (unsigned long)value);
	}
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Against the sorted values themselves, heavy-tailed as latencies are. */
Test(hdr, quantiles_are_within_one_percent_of_the_exact_ones)
{
	enum { N = 20000 };
	static uint64_t values[N];
	static const double quantiles[] = {0, 0.001, 0.5, 0.66, 0.9, 0.99, 0.999, 0.9999, 1};
	struct drpc_rng rng = {7};
	uint64_t sum = 0;

	for (size_t i = 0; i < N; i++) {
		values[i] = (uint64_t)(2e5 * pow(drpc_rng_uniform(&rng), -0.7));
		drpc_hdr_record(&hdr, values[i]);
		sum += values[i];
	}
	qsort(values, N, sizeof(values[0]), compare);
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(quantiles); i++) {
		size_t rank = (size_t)ceil(quantiles[i] * N - 1e-6);
		double exact = (double)values[rank ? rank - 1 : 0];
		double got = drpc_hdr_quantile_ns(&hdr, quantiles[i]);

		cr_expect_leq(fabs(got - exact), 0.01 * exact, "q %g: %g, exact %g", quantiles[i],
			      got, exact);
	}
	cr_expect_eq(hdr.count, N);
	cr_expect_eq(hdr.sum_ns, sum);
	cr_expect_eq(hdr.min_ns, values[0]);
	cr_expect_eq(hdr.max_ns, values[N - 1]);
}

Test(hdr, ranks_are_exact_where_values_are)
{
	for (uint64_t v = 1; v <= 100; v++)
		drpc_hdr_record(&hdr, v);
	cr_expect_eq(drpc_hdr_quantile_ns(&hdr, 0.5), 50);
	cr_expect_eq(drpc_hdr_quantile_ns(&hdr, 0.99), 99);
	cr_expect_eq(drpc_hdr_quantile_ns(&hdr, 0.991), 100);
	cr_expect_eq(drpc_hdr_quantile_ns(&hdr, 1), 100);
	cr_expect_eq(drpc_hdr_mean_ns(&hdr), 50.5);
}

Test(hdr, nothing_and_one_value)
{
	cr_expect_eq(drpc_hdr_quantile_ns(&hdr, 0.99), 0);
	cr_expect_eq(drpc_hdr_mean_ns(&hdr), 0);
	drpc_hdr_record(&hdr, 123456789);
	cr_expect_eq(drpc_hdr_quantile_ns(&hdr, 0), 123456789, "held within minimum and maximum");
	cr_expect_eq(drpc_hdr_quantile_ns(&hdr, 1), 123456789);
}

Test(hdr, values_beyond_the_range_keep_count_and_maximum)
{
	drpc_hdr_record(&hdr, 1ULL << DRPC_HDR_MAX_BITS);
	drpc_hdr_record(&hdr, UINT64_MAX / 4);
	cr_expect_eq(hdr.count, 2);
	cr_expect_eq(hdr.max_ns, UINT64_MAX / 4);
	cr_expect_eq(drpc_hdr_quantile_ns(&hdr, 1), (double)(UINT64_MAX / 4));
}

Test(hdr, merging_equals_recording_into_one)
{
	struct drpc_rng rng = {3};
	static struct drpc_hdr all;

	drpc_hdr_reset(&all);
	for (int i = 0; i < 5000; i++) {
		uint64_t v = drpc_rng_next(&rng) >> drpc_rng_below(&rng, 64);

		drpc_hdr_record(i % 3 ? &hdr : &other, v);
		drpc_hdr_record(&all, v);
	}
	drpc_hdr_merge(&hdr, &other);
	cr_expect_arr_eq(&hdr, &all, sizeof(hdr));
}

Test(hdr, merging_nothing_changes_nothing)
{
	drpc_hdr_record(&hdr, 5);
	drpc_hdr_merge(&hdr, &other);
	cr_expect_eq(hdr.min_ns, 5);
	cr_expect_eq(hdr.count, 1);
	drpc_hdr_merge(&other, &hdr);
	cr_expect_eq(other.min_ns, 5);
}
