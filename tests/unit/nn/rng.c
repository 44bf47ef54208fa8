// SPDX-License-Identifier: Apache-2.0
#include "nn/rng.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "nn/isa.h"

/* Known answers of Random123 for philox4x32-10. */
Test(rng, known_answers)
{
	static const uint32_t zero[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
	static const uint32_t ones[4] = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
	struct drpc_rng rng = drpc_rng_make(0, 0);
	uint32_t got[4];

	drpc_rng_block(&rng, got);
	cr_assert_arr_eq(got, zero, sizeof(got));
	cr_assert_eq(rng.block, 1);
	rng = (struct drpc_rng){UINT64_MAX, UINT64_MAX, UINT64_MAX};
	drpc_rng_block(&rng, got);
	cr_assert_arr_eq(got, ones, sizeof(got));
}

Test(rng, indices_stay_below_and_reach_everywhere)
{
	struct drpc_rng rng = drpc_rng_make(7, 1);
	uint64_t got[7001];
	unsigned int seen[7] = {0};

	drpc_rng_indices(&rng, 7, 7001, got);
	cr_assert_eq(rng.block, 3501);
	for (int i = 0; i < 7001; i++) {
		cr_assert_lt(got[i], 7);
		seen[got[i]]++;
	}
	/* 1,000 each, deviation 29. */
	for (int i = 0; i < 7; i++)
		cr_assert(seen[i] > 850 && seen[i] < 1150, "%d came %u times", i, seen[i]);
}

Test(rng, uniform_and_symmetric_have_their_moments)
{
	struct drpc_rng rng = drpc_rng_make(3, 0);
	float x[10001];
	double sum = 0, squares = 0, mean = 0;

	for (int i = 0; i < 10000; i++) {
		const double u = drpc_rng_uniform(&rng);

		cr_assert(u >= 0.0 && u < 1.0);
		mean += u / 10000;
	}
	cr_assert_float_eq(mean, 0.5, 0.012);
	drpc_rng_symmetric(&rng, 0.5f, 10001, x);
	for (int i = 0; i < 10001; i++) {
		cr_assert(fabsf(x[i]) <= 0.5f);
		sum += (double)x[i];
		squares += (double)(x[i] * x[i]);
	}
	cr_assert_float_eq(sum / 10001, 0.0, 0.012);
	cr_assert_float_eq(squares / 10001, 1.0 / 12, 0.004);
}

/* Box and Muller over the same blocks, with the C library's functions. */
Test(rng, normals_are_what_box_and_muller_say_on_every_set)
{
	static const char *const sets[] = {"base", "avx2", "avx512"};

	for (int s = 0; s < 3; s++) {
		const struct drpc_isa *isa = drpc_isa_named(sets[s]);
		struct drpc_rng rng = {.seed = 5, .stream = 2, .block = 0xfffffff8};
		float got[150];

		if (!isa)
			continue;
		isa->normal(&rng, 2.0f, 150, got);
		for (size_t b = 0; b < 48; b++) {
			const size_t group = b / 16, lane = b % 16;
			uint32_t x[4];

			drpc_rng_block(&rng, x);
			for (size_t pair = 0; pair < 2; pair++) {
				const double u = ((x[2 * pair] >> 8) + 0.5) * 0x1p-24;
				const double turn = (x[2 * pair + 1] >> 8) * 0x1p-24;
				const double r = 2.0 * sqrt(-2 * log(u));
				const size_t at = group * 64 + pair * 32 + lane;

				if (at < 150)
					cr_assert_float_eq((double)got[at],
							   r * cos(2 * M_PI * turn), 4e-6, "%s %zu",
							   sets[s], at);
				if (at + 16 < 150)
					cr_assert_float_eq((double)got[at + 16],
							   r * sin(2 * M_PI * turn), 4e-6);
			}
		}
	}
}

Test(rng, normals_have_their_moments_and_move_the_state)
{
	static float x[100000];
	struct drpc_rng rng = drpc_rng_make(11, 4);
	double mean = 0, var = 0, fourth = 0;

	drpc_rng_normal(&rng, 1.0f, 100000, x);
	cr_assert_eq(rng.block, 1563 * 16);
	for (int i = 0; i < 100000; i++) {
		const double v = (double)x[i];

		mean += v / 100000;
		var += v * v / 100000;
		fourth += v * v * v * v / 100000;
	}
	cr_assert_float_eq(mean, 0.0, 0.015);
	cr_assert_float_eq(var, 1.0, 0.02);
	cr_assert_float_eq(fourth, 3.0, 0.15);
}
