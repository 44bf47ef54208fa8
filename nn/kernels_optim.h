/* SPDX-License-Identifier: Apache-2.0 */
/* One pass over all parameters of a network: Adam, target averaging, sums of squares. See simd.h. */
#pragma once

#include "nn/isa.h"
#include "nn/kernels_layers.h"

/*
 * Moments of a dead unit decay into subnormals, which the processor handles a hundred times slower;
 * what is that small moves no parameter (eps is 1e-8), so that it becomes zero.
 */
VF_INLINE vf adam_flush(vf x)
{
	vf size = (vf)((vi)x & 0x7fffffff);

	return vf_select(size < 1e-30f, (vf){0}, x);
}

VF_INLINE vf adam_lanes(const struct drpc_adam_step *s, vf p, vf g, vf *m, vf *v)
{
	g *= s->grad_scale;
	*m = adam_flush(*m * s->beta1 + g * (1.0f - s->beta1));
	*v = adam_flush(*v * s->beta2 + g * g * (1.0f - s->beta2));
	return p * s->keep - s->step * *m / (vf_sqrt(*v) * s->v_scale + s->eps);
}

VF_INLINE void adam_some(const struct drpc_adam_step *s, float *p, const float *g, float *m,
			 float *v, float *target, size_t left)
{
	vf m1 = left >= VF_LANES ? vf_load(m) : vf_load_part(m, left);
	vf v1 = left >= VF_LANES ? vf_load(v) : vf_load_part(v, left);
	vf g1 = left >= VF_LANES ? vf_load(g) : vf_load_part(g, left);
	vf p1 = left >= VF_LANES ? vf_load(p) : vf_load_part(p, left);
	vf t1 = {0};

	p1 = adam_lanes(s, p1, g1, &m1, &v1);
	if (target) {
		t1 = left >= VF_LANES ? vf_load(target) : vf_load_part(target, left);
		t1 += s->tau * (p1 - t1);
	}
	if (left >= VF_LANES) {
		vf_store(m, m1);
		vf_store(v, v1);
		vf_store(p, p1);
		if (target)
			vf_store(target, t1);
	} else {
		vf_store_part(m, m1, left);
		vf_store_part(v, v1, left);
		vf_store_part(p, p1, left);
		if (target)
			vf_store_part(target, t1, left);
	}
}

static void kernel_adam(const struct drpc_adam_step *s, size_t n, float *p, const float *g,
			float *m, float *v, float *target)
{
	size_t i = 0;

	if (target) {
		for (; i + VF_LANES <= n; i += VF_LANES)
			adam_some(s, p + i, g + i, m + i, v + i, target + i, VF_LANES);
	} else {
		for (; i + VF_LANES <= n; i += VF_LANES)
			adam_some(s, p + i, g + i, m + i, v + i, NULL, VF_LANES);
	}
	if (i < n)
		adam_some(s, p + i, g + i, m + i, v + i, target ? target + i : NULL, n - i);
}

static void kernel_average(float tau, size_t n, const float *p, float *target)
{
	size_t i = 0;

	for (; i + VF_LANES <= n; i += VF_LANES) {
		vf t = vf_load(target + i);

		vf_store(target + i, t + tau * (vf_load(p + i) - t));
	}
	for (; i < n; i++)
		target[i] += tau * (p[i] - target[i]);
}

/* Blocks are summed in single precision, the blocks' sums in double: no loss over long vectors. */
static double kernel_sum_squares(size_t n, const float *x)
{
	double total = 0;
	size_t i = 0;

	while (i + 4 * VF_LANES <= n) {
		const size_t end = i + 4096 < n ? i + 4096 : n;
		vf sum[4] = {0};

		for (; i + 4 * VF_LANES <= end; i += 4 * VF_LANES) {
			for (int k = 0; k < 4; k++) {
				vf v = vf_load(x + i + k * VF_LANES);

				sum[k] += v * v;
			}
		}
		total += (double)vf_sum((sum[0] + sum[1]) + (sum[2] + sum[3]));
	}
	for (; i < n; i++)
		total += (double)(x[i] * x[i]);
	return total;
}

static void kernel_smooth(size_t rows, size_t n, const float *a, size_t lda, const float *noise,
			  float noise_clip, float *ret, size_t ld)
{
	for (size_t r = 0; r < rows; r++) {
		for (size_t j = 0; j < n; j += VF_LANES) {
			const size_t left = n - j;
			vf x = row_load(a + r * lda + j, left), e;

			if (noise) {
				e = row_load(noise + r * n + j, left);
				/* Comparisons are false for NaN: it stays. */
				e = vf_select(e > noise_clip, vf_set(noise_clip), e);
				e = vf_select(e < -noise_clip, vf_set(-noise_clip), e);
				x += e;
				x = vf_select(x > 1.0f, vf_set(1.0f), x);
				x = vf_select(x < -1.0f, vf_set(-1.0f), x);
			}
			row_store(ret + r * ld + j, x, left);
		}
	}
}

static void kernel_gather(size_t rows, size_t n, const float *const *from, float *ret, size_t ld)
{
	for (size_t r = 0; r < rows; r++) {
		for (size_t j = 0; j < n; j += VF_LANES)
			row_store(ret + r * ld + j, row_load(from[r] + j, n - j), n - j);
	}
}
