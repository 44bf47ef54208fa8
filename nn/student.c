// SPDX-License-Identifier: Apache-2.0
#include "nn/student.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "lib/log.h"
#include "nn/isa.h"

/* Transposes w[out][in] into rows of `pad` floats, one per input. Returns the end of w. */
static const float *student_transpose(float *dst, size_t pad, const float *w, unsigned int out,
				      unsigned int in)
{
	for (unsigned int o = 0; o < out; o++) {
		for (unsigned int i = 0; i < in; i++)
			dst[i * pad + o] = *w++;
	}
	return w;
}

static const float *student_copy(float *dst, const float *src, unsigned int n)
{
	memcpy(dst, src, n * sizeof(*dst));
	return src + n;
}

int drpc_student_pack(struct drpc_student *ret, unsigned int n_inputs, const float *params)
{
	const unsigned int h = DRPC_STUDENT_HIDDEN;
	const float *p = params;

	if (n_inputs < 1 || n_inputs > DRPC_STUDENT_MAX_INPUTS)
		return drpc_err(-EINVAL, "student: %u inputs, expected 1..%u", n_inputs,
				DRPC_STUDENT_MAX_INPUTS);
	for (size_t i = 0; i < drpc_student_params(n_inputs); i++) {
		if (!isfinite(params[i]))
			return drpc_err(-ERANGE,
					"student: parameter %zu is %g, expected a finite number", i,
					(double)params[i]);
	}
	memset(ret, 0, sizeof(*ret));
	ret->n_inputs = n_inputs;
	p = student_transpose(ret->w1[0], DRPC_STUDENT_PAD, p, h, n_inputs);
	p = student_copy(ret->b1, p, h);
	p = student_copy(ret->gamma, p, h);
	p = student_copy(ret->beta, p, h);
	p = student_transpose(ret->w2[0], DRPC_STUDENT_PAD, p, h, h);
	p = student_copy(ret->b2, p, h);
	p = student_transpose(ret->w3[0], DRPC_STUDENT_OUT_PAD, p, DRPC_STUDENT_OUTPUTS, h);
	student_copy(ret->b3, p, DRPC_STUDENT_OUTPUTS);
	return 0;
}

void drpc_student_forward(const struct drpc_student *student, const float *state,
			  float ret[DRPC_STUDENT_OUTPUTS])
{
	drpc_isa()->student(student, state, ret);
}

void drpc_student_forward_batch(const struct drpc_student *student, size_t rows,
				const float *states, float *ret)
{
	drpc_isa()->student_batch(student, rows, states, ret);
}
