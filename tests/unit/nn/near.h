/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of nn/ share: reproducible values, and comparing by norm. */
#pragma once

#include <criterion/criterion.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>

#include "nn/rng.h"

/* n normals; a seed a call, so that no two tensors are alike. */
static inline float *fresh(size_t n, uint64_t seed)
{
	struct drpc_rng rng = drpc_rng_make(seed, 99);
	float *x = calloc(n ? n : 1, sizeof(*x));

	cr_assert_not_null(x);
	drpc_rng_normal(&rng, 1.0f, n, x);
	return x;
}

/* |got - want| / |want| in Euclidean norm. */
static inline double off(size_t n, const float *got, const double *want)
{
	double error = 0, size = 1e-300;

	for (size_t i = 0; i < n; i++) {
		error += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
		size += want[i] * want[i];
	}
	return sqrt(error / size);
}

/* Written so that NaN fails. */
#define assert_near(n, got, want, tolerance)                                                   \
	do {                                                                                   \
		const double off_by = off(n, got, want);                                       \
		cr_assert(off_by <= (tolerance), #got " is off by %g of its norm, allowed %g", \
			  off_by, (double)(tolerance));                                        \
	} while (0)
