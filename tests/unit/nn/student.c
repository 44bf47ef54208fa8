// SPDX-License-Identifier: Apache-2.0
#include "nn/student.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>

#include "nn/isa.h"

#define MAX_PARAMS 1024
#define H	   DRPC_STUDENT_HIDDEN

/* The definition, in double precision and with the plainest loops. */
static void reference(unsigned int n, const float *p, const float *x, double ret[3])
{
	const float *w1 = p, *b1 = w1 + H * n, *gamma = b1 + H, *beta = gamma + H;
	const float *w2 = beta + H, *b2 = w2 + H * H, *w3 = b2 + H, *b3 = w3 + 3 * H;
	double h[H], g[H], mean = 0, var = 0;

	for (int o = 0; o < H; o++) {
		h[o] = (double)b1[o];
		for (unsigned int i = 0; i < n; i++)
			h[o] += (double)w1[o * n + i] * (double)x[i];
		mean += h[o] / H;
	}
	for (int o = 0; o < H; o++)
		var += (h[o] - mean) * (h[o] - mean) / H;
	for (int o = 0; o < H; o++) {
		h[o] = (h[o] - mean) / sqrt(var + 1e-5) * (double)gamma[o] + (double)beta[o];
		h[o] = h[o] > 0 ? h[o] : 0;
	}
	for (int o = 0; o < H; o++) {
		g[o] = (double)b2[o];
		for (int i = 0; i < H; i++)
			g[o] += (double)w2[o * H + i] * h[i];
	}
	for (int o = 0; o < 3; o++) {
		double sum = (double)b3[o];

		for (int i = 0; i < H; i++)
			sum += (double)w3[o * H + i] * g[i];
		ret[o] = tanh(sum);
	}
}

static float wave(unsigned int i, double frequency)
{
	return (float)sin((double)i * frequency + 0.3);
}

static void make(unsigned int n, struct drpc_student *student, float *params)
{
	for (unsigned int i = 0; i < drpc_student_params(n); i++)
		params[i] = 0.5f * wave(i, 1.7);
	cr_assert_eq(drpc_student_pack(student, n, params), 0);
}

Test(student, has_the_papers_number_of_parameters)
{
	cr_assert_eq(drpc_student_params(5), 643);
	cr_assert_eq(drpc_student_params(10), 743);
}

/* Every instruction set this machine has, every width, rows one by one and together. */
Test(student, agrees_with_the_definition)
{
	static const char *const sets[] = {"base", "avx2", "avx512"};
	static float params[MAX_PARAMS], x[37 * DRPC_STUDENT_MAX_INPUTS], batch[37 * 3];
	static struct drpc_student student;
	int tried = 0;

	for (unsigned int s = 0; s < 3; s++) {
		const struct drpc_isa *isa = drpc_isa_named(sets[s]);

		for (unsigned int n = 1; isa && n <= DRPC_STUDENT_MAX_INPUTS; n++) {
			make(n, &student, params);
			for (unsigned int i = 0; i < 37 * n; i++)
				x[i] = 2.0f * wave(i, 0.77);
			isa->student_batch(&student, 37, x, batch);
			for (unsigned int r = 0; r < 37; r++) {
				float one[3];
				double want[3];

				reference(n, params, x + r * n, want);
				isa->student(&student, x + r * n, one);
				for (int o = 0; o < 3; o++) {
					/* Sums of 20 products in single precision: a few ulp. */
					cr_assert_float_eq(
						(double)one[o], want[o], 2e-6,
						"%s n=%u row %u output %d: %.9g, expected %.9g",
						sets[s], n, r, o, (double)one[o], want[o]);
					cr_assert_float_eq((double)batch[r * 3 + (unsigned int)o],
							   want[o], 2e-6);
				}
			}
			tried++;
		}
	}
	cr_assert_geq(tried, DRPC_STUDENT_MAX_INPUTS);
}

Test(student, batch_rows_do_not_depend_on_their_place)
{
	static float params[MAX_PARAMS], x[70 * 5], all[70 * 3], one[3];
	static struct drpc_student student;

	make(5, &student, params);
	for (unsigned int i = 0; i < 70 * 5; i++)
		x[i] = wave(i, 0.31);
	drpc_student_forward_batch(&student, 70, x, all);
	for (unsigned int r = 0; r < 70; r++) {
		drpc_student_forward_batch(&student, 1, x + r * 5, one);
		cr_assert_arr_eq(one, all + r * 3, sizeof(one));
	}
	drpc_student_forward_batch(&student, 0, x, NULL);
}

Test(student, nan_does_not_turn_into_a_number)
{
	static float params[MAX_PARAMS];
	static struct drpc_student student;
	float x[5] = {0.1f, NAN, 0.2f, 0.3f, 0.4f}, out[3], batch[3];

	make(5, &student, params);
	drpc_student_forward(&student, x, out);
	drpc_student_forward_batch(&student, 1, x, batch);
	for (int o = 0; o < 3; o++) {
		cr_assert(isnan(out[o]));
		cr_assert(isnan(batch[o]));
	}
}

Test(student, stays_within_one_for_wild_states)
{
	static float params[MAX_PARAMS];
	static struct drpc_student student;
	float x[5] = {1e6f, -1e6f, 3e5f, 0.0f, -7.0f}, out[3];

	make(5, &student, params);
	drpc_student_forward(&student, x, out);
	for (int o = 0; o < 3; o++)
		cr_assert(fabsf(out[o]) <= 1.0f);
}

Test(student, refuses_bad_parameters)
{
	static float params[MAX_PARAMS];
	static struct drpc_student student;

	make(5, &student, params);
	cr_assert_eq(drpc_student_pack(&student, 0, params), -EINVAL);
	cr_assert_eq(drpc_student_pack(&student, DRPC_STUDENT_MAX_INPUTS + 1, params), -EINVAL);
	params[642] = INFINITY;
	student.n_inputs = 77;
	cr_assert_eq(drpc_student_pack(&student, 5, params), -ERANGE);
	cr_assert_eq(student.n_inputs, 77, "a refused packing touched its output");
}
