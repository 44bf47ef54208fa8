// SPDX-License-Identifier: Apache-2.0
#include "teacher/sumtree.h"

#include <criterion/criterion.h>

#include "nn/rng.h"

Test(sumtree, finds_the_leaf_that_a_running_sum_finds)
{
	struct drpc_rng rng = drpc_rng_make(1, 0);
	struct drpc_sumtree tree;
	double weight[13];

	cr_assert_eq(drpc_sumtree_new(&tree, 13), 0);
	for (int round = 0; round < 200; round++) {
		double total = 0, at, sum = 0;
		size_t want = 0;

		for (size_t i = 0; i < 13; i++) {
			weight[i] = i % 4 == 1 ? 0.0 : drpc_rng_uniform(&rng);
			drpc_sumtree_set(&tree, i, weight[i]);
			total += weight[i];
		}
		cr_assert_float_eq(drpc_sumtree_total(&tree), total, 1e-12);
		at = drpc_rng_uniform(&rng) * total;
		while (want < 12 && sum + weight[want] <= at)
			sum += weight[want++];
		cr_assert_eq(drpc_sumtree_find(&tree, at), want);
		cr_assert_gt(weight[drpc_sumtree_find(&tree, total)], 0.0);
	}
	drpc_sumtree_done(&tree);
}

Test(sumtree, order_of_setting_does_not_matter)
{
	struct drpc_sumtree a, b;

	cr_assert_eq(drpc_sumtree_new(&a, 10), 0);
	cr_assert_eq(drpc_sumtree_new(&b, 10), 0);
	for (size_t i = 0; i < 10; i++) {
		drpc_sumtree_set(&a, i, 0.1 * (double)i);
		drpc_sumtree_set(&b, 9 - i, 7.0);
	}
	for (size_t i = 0; i < 10; i++)
		drpc_sumtree_set(&b, 9 - i, 0.1 * (double)(9 - i));
	cr_assert_eq(drpc_sumtree_total(&a), drpc_sumtree_total(&b));
	drpc_sumtree_done(&a);
	drpc_sumtree_done(&b);
}
