/* SPDX-License-Identifier: Apache-2.0 */
/* Pooling over the deployments of a sample; see isa.h for what each computes, simd.h for how. */
#pragma once

#include "nn/kernels_layers.h"

static void kernel_pool(size_t groups, size_t units, size_t n, const float *x, size_t ld,
			float *mean, float *max, int *argmax, size_t ld_pool)
{
	const float share = 1.0f / (float)units;

	for (size_t g = 0; g < groups; g++, x += units * ld) {
		for (size_t j = 0; j < n; j += VF_LANES) {
			const size_t left = n - j;
			vf sum = row_load(x + j, left), most = sum, who;
			vi at = {0};

			for (size_t u = 1; u < units; u++) {
				vf v = row_load(x + u * ld + j, left);
				vi more = v > most;

				sum += v;
				most = vf_select(more, v, most);
				at = (at & ~more) | (((vi){0} + (int)u) & more);
			}
			memcpy(&who, &at, sizeof(who));
			row_store(mean + g * ld_pool + j, sum * share, left);
			row_store(max + g * ld_pool + j, most, left);
			/* Only moved, never computed with: the lanes hold whole numbers. */
			row_store((float *)argmax + g * n + j, who, left);
		}
	}
}

static void kernel_pool_back(size_t groups, size_t units, size_t n, const float *dmean,
			     const float *dmax, const int *argmax, size_t ld_pool, float *dx,
			     size_t ld)
{
	const float share = 1.0f / (float)units;

	for (size_t g = 0; g < groups; g++, dx += units * ld) {
		for (size_t j = 0; j < n; j += VF_LANES) {
			const size_t left = n - j;
			vf even = row_load(dmean + g * ld_pool + j, left) * share;
			vf top = row_load(dmax + g * ld_pool + j, left);
			vf who = row_load((const float *)argmax + g * n + j, left);
			vi at;

			memcpy(&at, &who, sizeof(at));
			for (size_t u = 0; u < units; u++)
				row_store(dx + u * ld + j,
					  even + vf_select(at == (int)u, top, (vf){0}), left);
		}
	}
}

static void kernel_group_add(size_t groups, size_t units, size_t n, float *y, size_t ld,
			     const float *v)
{
	for (size_t g = 0; g < groups; g++, y += units * ld, v += n) {
		for (size_t j = 0; j < n; j += VF_LANES) {
			vf add = row_load(v + j, n - j);

			for (size_t u = 0; u < units; u++)
				row_store(y + u * ld + j, row_load(y + u * ld + j, n - j) + add,
					  n - j);
		}
	}
}

static void kernel_group_sum(size_t groups, size_t units, size_t n, const float *y, size_t ld,
			     float *v)
{
	for (size_t g = 0; g < groups; g++, y += units * ld, v += n) {
		for (size_t j = 0; j < n; j += VF_LANES) {
			vf sum = {0};

			for (size_t u = 0; u < units; u++)
				sum += row_load(y + u * ld + j, n - j);
			row_store(v + j, sum, n - j);
		}
	}
}
