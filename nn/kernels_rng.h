/* SPDX-License-Identifier: Apache-2.0 */
/* Normals from Philox by Box and Muller, one block a lane; see simd.h and rng.h. */
#pragma once

#include "nn/rng.h"
#include "nn/simd.h"

/* Blocks made together, whatever the width of a vector: the order of the output rests on it. */
#define RNG_GROUP 16

/* Plain loops over a group: the compiler turns them into vectors of the width there is. */
VF_INLINE void rng_group(const struct drpc_rng *rng, uint64_t block, uint32_t x[4][RNG_GROUP])
{
	uint32_t k0 = (uint32_t)rng->seed, k1 = (uint32_t)(rng->seed >> 32);

	for (int i = 0; i < RNG_GROUP; i++) {
		x[0][i] = (uint32_t)(block + (uint64_t)i);
		x[1][i] = (uint32_t)((block + (uint64_t)i) >> 32);
		x[2][i] = (uint32_t)rng->stream;
		x[3][i] = (uint32_t)(rng->stream >> 32);
	}
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < RNG_GROUP; i++) {
			const uint64_t p0 = 0xd2511f53ull * x[0][i];
			const uint64_t p1 = 0xcd9e8d57ull * x[2][i];

			x[0][i] = (uint32_t)(p1 >> 32) ^ x[1][i] ^ k0;
			x[1][i] = (uint32_t)p1;
			x[2][i] = (uint32_t)(p0 >> 32) ^ x[3][i] ^ k1;
			x[3][i] = (uint32_t)p0;
		}
		k0 += 0x9e3779b9u;
		k1 += 0xbb67ae85u;
	}
}

/* 24 bits to a float: exact, and a signed conversion. */
VF_INLINE vf rng_bits24(const uint32_t *x)
{
	vi bits;

	memcpy(&bits, x, sizeof(bits));
	return __builtin_convertvector((bits >> 8) & 0xffffff, vf);
}

/* Two uniforms to two normals; the first is never 0, the second may be. */
VF_INLINE void rng_box_muller(const uint32_t *u, const uint32_t *v, float sigma, float *ret_a,
			      float *ret_b)
{
	vf log_of = vf_log((rng_bits24(u) + 0.5f) * 0x1p-24f);
	vf radius = vf_sqrt(-2.0f * log_of) * sigma;
	vf c, s;

	vf_cos_sin(rng_bits24(v) * 0x1p-24f, &c, &s);
	vf_store(ret_a, radius * c);
	vf_store(ret_b, radius * s);
}

static void kernel_normal(const struct drpc_rng *rng, float sigma, size_t n, float *ret)
{
	for (size_t done = 0; done < n; done += 4 * RNG_GROUP) {
		const size_t left = n - done;
		uint32_t x[4][RNG_GROUP];
		float out[4][RNG_GROUP];

		rng_group(rng, rng->block + done / 4, x);
		for (int i = 0; i < RNG_GROUP; i += VF_LANES) {
			rng_box_muller(&x[0][i], &x[1][i], sigma, &out[0][i], &out[1][i]);
			rng_box_muller(&x[2][i], &x[3][i], sigma, &out[2][i], &out[3][i]);
		}
		memcpy(ret + done, out,
		       (left < 4 * RNG_GROUP ? left : 4 * RNG_GROUP) * sizeof(*ret));
	}
}
