/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The student: Linear n→20, LayerNorm(20), ReLU, Linear 20→20, Linear 20→3, tanh. 643 parameters
 * for the five inputs of the paper's profile, 743 for the ten of the node profile.
 *
 * Inference only: no BLAS, no allocation, safe from any thread (a packed student is never written).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define DRPC_STUDENT_HIDDEN	20
#define DRPC_STUDENT_OUTPUTS	3
#define DRPC_STUDENT_MAX_INPUTS 16
#define DRPC_STUDENT_LN_EPS	1e-5f

/* Rows are padded to this with zeros, so that every vector width divides them. */
#define DRPC_STUDENT_PAD     32
#define DRPC_STUDENT_OUT_PAD 16

/*
 * How many parameters a student of n inputs has, and where they lie in the flat vector that policy
 * files and training use: W1 [20][n], b1 [20], gamma [20], beta [20], W2 [20][20], b2 [20],
 * W3 [3][20], b3 [3]; W[out][in].
 */
static inline size_t drpc_student_params(unsigned int n)
{
	const size_t h = DRPC_STUDENT_HIDDEN;

	return h * n + 3 * h + h * h + h + DRPC_STUDENT_OUTPUTS * (h + 1);
}

/* The same parameters, input-major and padded, as the kernels read them. */
struct drpc_student {
	_Alignas(64) float w1[DRPC_STUDENT_MAX_INPUTS][DRPC_STUDENT_PAD];
	float b1[DRPC_STUDENT_PAD];
	float gamma[DRPC_STUDENT_PAD];
	float beta[DRPC_STUDENT_PAD];
	float w2[DRPC_STUDENT_HIDDEN][DRPC_STUDENT_PAD];
	float b2[DRPC_STUDENT_PAD];
	float w3[DRPC_STUDENT_HIDDEN][DRPC_STUDENT_OUT_PAD];
	float b3[DRPC_STUDENT_OUT_PAD];
	unsigned int n_inputs;
};

/*
 * Packs flat parameters. Returns 0, -EINVAL for a number of inputs that is not 1..16, -ERANGE for a
 * parameter that is not finite (both logged).
 */
int drpc_student_pack(struct drpc_student *ret, unsigned int n_inputs, const float *params);

/* One state [n_inputs] to three outputs in -1..1. NaN in gives NaN out: callers check before. */
void drpc_student_forward(const struct drpc_student *student, const float *state,
			  float ret[DRPC_STUDENT_OUTPUTS]);

/*
 * `rows` states [rows][n_inputs] to outputs [rows][3]. A row's outputs depend neither on its place
 * nor on its neighbours; they agree with drpc_student_forward() to rounding, as sums run in another
 * order.
 */
void drpc_student_forward_batch(const struct drpc_student *student, size_t rows,
				const float *states, float *ret);
