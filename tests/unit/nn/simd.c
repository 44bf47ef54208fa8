// SPDX-License-Identifier: Apache-2.0
/* The vector functions at the width this file is compiled for; student.c and ops.c test the rest. */
#include "nn/simd.h"

#include <criterion/criterion.h>
#include <math.h>

/* Error in units of the last place of the true value. */
static double ulps(float got, double want)
{
	const float near = (float)want;
	const double ulp = (double)(nextafterf(fabsf(near), INFINITY) - fabsf(near));

	return fabs((double)got - want) / ulp;
}

static float tanh_of(float x)
{
	return vf_tanh(vf_set(x))[0];
}

Test(simd, tanh_is_good_to_three_ulp_everywhere)
{
	double worst = 0;

	for (float x = 1e-30f; x < 50.0f; x *= 1.0003f) {
		worst = fmax(worst, ulps(tanh_of(x), tanh((double)x)));
		cr_assert_eq(tanh_of(-x), -tanh_of(x));
	}
	cr_assert_leq(worst, 3.0, "worst error %g ulp", worst);
	cr_assert_eq(tanh_of(0.0f), 0.0f);
	cr_assert(signbit(tanh_of(-0.0f)));
	cr_assert_eq(tanh_of(INFINITY), 1.0f);
	cr_assert_eq(tanh_of(-INFINITY), -1.0f);
	cr_assert(isnan(tanh_of(NAN)));
}

Test(simd, sigmoid_is_good_to_four_ulp_where_it_is_not_flat)
{
	double worst = 0;

	for (float x = -80.0f; x < 80.0f; x += 0.0037f)
		worst = fmax(worst, ulps(vf_sigmoid(vf_set(x))[0], 1 / (1 + exp(-(double)x))));
	cr_assert_leq(worst, 4.0, "worst error %g ulp", worst);
	cr_assert_leq(vf_sigmoid(vf_set(-INFINITY))[0], 1e-30f);
	cr_assert_eq(vf_sigmoid(vf_set(INFINITY))[0], 1.0f);
	cr_assert(isnan(vf_sigmoid(vf_set(NAN))[0]));
}

Test(simd, sums_every_lane_once)
{
	vf v;
	float want = 0;

	for (int i = 0; i < VF_LANES; i++) {
		v[i] = (float)(1 << i);
		want += v[i];
	}
	cr_assert_eq(vf_sum(v), want);
}
