// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>

#include "nn/rng.h"
#include "sim/policies/svm.h"

/* One in twenty has the label, and lies on the other side of x0 + x1 = 1, a tenth away from it. */
Test(sim_svm, separates_what_can_be_separated)
{
	struct drpc_rng rng = drpc_rng_make(7, 0);
	struct drpc_svm svm = {0};
	int wrong = 0, shown = 0;

	for (int i = 0; i < 20000; i++) {
		const bool label = i % 20 == 0;
		double x[2];

		do {
			x[0] = drpc_rng_uniform(&rng);
			x[1] = drpc_rng_uniform(&rng);
		} while (label ? x[0] + x[1] < 1.1 : x[0] + x[1] > 0.9);
		if (i >= 15000) {
			shown++;
			wrong += (drpc_svm_value(&svm, x) > 0) != label;
		}
		drpc_svm_learn(&svm, x, label);
	}
	cr_assert_leq(wrong, shown / 100, "%d of %d wrong", wrong, shown);
	cr_assert_eq(svm.seen[0] + svm.seen[1], 20000);
	cr_assert_eq(svm.seen[1], 1000);
}

Test(sim_svm, leaves_what_is_right_with_room_but_for_the_penalty)
{
	struct drpc_svm svm = {.w = {10, 0}, .b = 0};
	const double x[] = {1, 0};

	drpc_svm_learn(&svm, x, true);
	cr_assert_float_eq(svm.w[0], 10, 1e-3);
	cr_assert_lt(svm.w[0], 10);
	cr_assert_eq(svm.b, 0);
}
