/* SPDX-License-Identifier: Apache-2.0 */
/* The student's forward pass for one instruction set; see simd.h. */
#pragma once

#include "nn/simd.h"
#include "nn/student.h"

/* Vectors in a hidden row, and what of the last one is padding. */
#define STUDENT_VECS ((DRPC_STUDENT_HIDDEN + VF_LANES - 1) / VF_LANES)

/* `in` rows of `w`, each scaled by x[i], on top of `acc`; two chains, as FMA takes four cycles. */
VF_INLINE void student_dense(unsigned int in, const float *x, const float (*w)[DRPC_STUDENT_PAD],
			     vf acc[STUDENT_VECS])
{
	vf odd[STUDENT_VECS] = {0};

	for (unsigned int i = 0; i + 1 < in; i += 2) {
		for (int v = 0; v < STUDENT_VECS; v++) {
			acc[v] += vf_set(x[i]) * vf_load(&w[i][v * VF_LANES]);
			odd[v] += vf_set(x[i + 1]) * vf_load(&w[i + 1][v * VF_LANES]);
		}
	}
	if (in % 2) {
		for (int v = 0; v < STUDENT_VECS; v++)
			acc[v] += vf_set(x[in - 1]) * vf_load(&w[in - 1][v * VF_LANES]);
	}
	for (int v = 0; v < STUDENT_VECS; v++)
		acc[v] += odd[v];
}

/* 1 where lane `lane` of a hidden row's last vector is real, 0 where it is padding. */
#define STUDENT_REAL(lane) ((STUDENT_VECS - 1) * VF_LANES + (lane) < DRPC_STUDENT_HIDDEN)

/* Zeroes the padding of a hidden row. */
VF_INLINE void student_mask(vf h[STUDENT_VECS])
{
	vf real;

	for (int lane = 0; lane < VF_LANES; lane++)
		real[lane] = STUDENT_REAL(lane) ? 1.0f : 0.0f;
	h[STUDENT_VECS - 1] *= real;
}

VF_INLINE void student_norm_relu(const struct drpc_student *s, vf h[STUDENT_VECS])
{
	const float share = 1.0f / DRPC_STUDENT_HIDDEN;
	vf total = h[0], square;
	float mean, inv;

	/* Padding is zero here, so that it adds nothing to the sum. */
	for (int v = 1; v < STUDENT_VECS; v++)
		total += h[v];
	mean = vf_sum(total) * share;
	for (int v = 0; v < STUDENT_VECS; v++)
		h[v] -= mean;
	student_mask(h);
	square = h[0] * h[0];
	for (int v = 1; v < STUDENT_VECS; v++)
		square += h[v] * h[v];
	inv = 1.0f / __builtin_sqrtf(vf_sum(square) * share + DRPC_STUDENT_LN_EPS);
	for (int v = 0; v < STUDENT_VECS; v++) {
		h[v] = h[v] * inv * vf_load(&s->gamma[v * VF_LANES]) +
		       vf_load(&s->beta[v * VF_LANES]);
		/* Written so that NaN stays: max(0, NaN) would hide it. */
		h[v] = vf_select(h[v] < 0.0f, (vf){0}, h[v]);
	}
}

/* The last layer's sums before tanh, three lanes and padding. */
VF_INLINE vf student_logits(const struct drpc_student *s, unsigned int n, const float *x)
{
	_Alignas(64) float row[DRPC_STUDENT_PAD];
	vf h[STUDENT_VECS], out = vf_load(s->b3), part[3] = {0};

	for (int v = 0; v < STUDENT_VECS; v++)
		h[v] = vf_load(&s->b1[v * VF_LANES]);
	student_dense(n, x, s->w1, h);
	student_norm_relu(s, h);
	for (int v = 0; v < STUDENT_VECS; v++) {
		vf_store(&row[v * VF_LANES], h[v]);
		h[v] = vf_load(&s->b2[v * VF_LANES]);
	}
	student_dense(DRPC_STUDENT_HIDDEN, row, s->w2, h);
	for (int v = 0; v < STUDENT_VECS; v++)
		vf_store(&row[v * VF_LANES], h[v]);
	for (int i = 0; i < DRPC_STUDENT_HIDDEN; i += 4) {
		out += vf_set(row[i]) * vf_load(s->w3[i]);
		for (int k = 1; k < 4; k++)
			part[k - 1] += vf_set(row[i + k]) * vf_load(s->w3[i + k]);
	}
	return out + part[0] + (part[1] + part[2]);
}

/*
 * Many rows: one row a lane, so that nothing is summed across lanes and no lane is padding.
 * `x` [in][VF_LANES], `y` [out][VF_LANES]; `w` input-major with rows of `pad`. Ten sums at once:
 * enough chains to hide FMA's latency, few enough for sixteen registers.
 */
VF_INLINE void student_lanes_dense(unsigned int in, unsigned int out, unsigned int block,
				   const vf *x, const float *w, size_t pad, const float *b, vf *y)
{
	for (unsigned int o = 0; o < out; o += block) {
		vf acc[DRPC_STUDENT_HIDDEN];

		for (unsigned int k = 0; k < block; k++)
			acc[k] = vf_set(b[o + k]);
		for (unsigned int i = 0; i < in; i++) {
			for (unsigned int k = 0; k < block; k++)
				acc[k] += x[i] * vf_set(w[i * pad + o + k]);
		}
		for (unsigned int k = 0; k < block; k++)
			y[o + k] = acc[k];
	}
}

VF_INLINE void student_lanes_norm_relu(const struct drpc_student *s, vf *h)
{
	const float share = 1.0f / DRPC_STUDENT_HIDDEN;
	vf mean = {0}, square = {0}, inv;

	for (int i = 0; i < DRPC_STUDENT_HIDDEN; i++)
		mean += h[i];
	mean *= share;
	for (int i = 0; i < DRPC_STUDENT_HIDDEN; i++) {
		h[i] -= mean;
		square += h[i] * h[i];
	}
	inv = 1.0f / vf_sqrt(square * share + DRPC_STUDENT_LN_EPS);
	for (int i = 0; i < DRPC_STUDENT_HIDDEN; i++) {
		h[i] = h[i] * inv * s->gamma[i] + s->beta[i];
		h[i] = vf_select(h[i] < 0.0f, (vf){0}, h[i]);
	}
}

/* Up to VF_LANES rows; the lanes over repeat the last row, and their outputs are dropped. */
VF_INLINE void student_lanes(const struct drpc_student *s, unsigned int n, size_t rows,
			     const float *x, float *ret)
{
	vf in[DRPC_STUDENT_MAX_INPUTS], h[DRPC_STUDENT_HIDDEN], g[DRPC_STUDENT_HIDDEN];
	vf out[DRPC_STUDENT_OUTPUTS];

	for (unsigned int i = 0; i < n; i++) {
		for (size_t lane = 0; lane < VF_LANES; lane++)
			in[i][lane] = x[(lane < rows ? lane : rows - 1) * n + i];
	}
	student_lanes_dense(n, DRPC_STUDENT_HIDDEN, 10, in, s->w1[0], DRPC_STUDENT_PAD, s->b1, h);
	student_lanes_norm_relu(s, h);
	student_lanes_dense(DRPC_STUDENT_HIDDEN, DRPC_STUDENT_HIDDEN, 10, h, s->w2[0],
			    DRPC_STUDENT_PAD, s->b2, g);
	student_lanes_dense(DRPC_STUDENT_HIDDEN, DRPC_STUDENT_OUTPUTS, DRPC_STUDENT_OUTPUTS, g,
			    s->w3[0], DRPC_STUDENT_OUT_PAD, s->b3, out);
	for (int o = 0; o < DRPC_STUDENT_OUTPUTS; o++) {
		out[o] = vf_tanh(out[o]);
		for (size_t lane = 0; lane < rows; lane++)
			ret[lane * DRPC_STUDENT_OUTPUTS + o] = out[o][lane];
	}
}

VF_INLINE void student_batch(const struct drpc_student *s, unsigned int n, size_t rows,
			     const float *x, float *ret)
{
	size_t r = 0;

	for (; r + VF_LANES <= rows; r += VF_LANES)
		student_lanes(s, n, VF_LANES, x + r * n, ret + r * DRPC_STUDENT_OUTPUTS);
	if (r < rows)
		student_lanes(s, n, rows - r, x + r * n, ret + r * DRPC_STUDENT_OUTPUTS);
}

VF_INLINE void student_row(const struct drpc_student *s, unsigned int n, const float *x, float *ret)
{
	vf y = vf_tanh(student_logits(s, n, x));

	memcpy(ret, &y, sizeof(float) * DRPC_STUDENT_OUTPUTS);
}

/* The two profiles' shapes are known when this is compiled, so that their loops unroll. */
static void kernel_student(const struct drpc_student *s, const float *x, float *ret)
{
	switch (s->n_inputs) {
	case 5:
		student_row(s, 5, x, ret);
		break;
	case 10:
		student_row(s, 10, x, ret);
		break;
	default:
		student_row(s, s->n_inputs, x, ret);
	}
}

static void kernel_student_batch(const struct drpc_student *s, size_t rows, const float *x,
				 float *ret)
{
	switch (s->n_inputs) {
	case 5:
		student_batch(s, 5, rows, x, ret);
		break;
	case 10:
		student_batch(s, 10, rows, x, ret);
		break;
	default:
		student_batch(s, s->n_inputs, rows, x, ret);
	}
}
