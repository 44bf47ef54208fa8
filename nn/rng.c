// SPDX-License-Identifier: Apache-2.0
#include "nn/rng.h"

#include "lib/util.h"
#include "nn/isa.h"

#define PHILOX_M0     0xd2511f53u
#define PHILOX_M1     0xcd9e8d57u
#define PHILOX_W0     0x9e3779b9u
#define PHILOX_W1     0xbb67ae85u
#define PHILOX_ROUNDS 10

void drpc_rng_block(struct drpc_rng *rng, uint32_t ret[4])
{
	uint32_t x0 = (uint32_t)rng->block, x1 = (uint32_t)(rng->block >> 32);
	uint32_t x2 = (uint32_t)rng->stream, x3 = (uint32_t)(rng->stream >> 32);
	uint32_t k0 = (uint32_t)rng->seed, k1 = (uint32_t)(rng->seed >> 32);

	for (int round = 0; round < PHILOX_ROUNDS; round++) {
		const uint64_t p0 = (uint64_t)PHILOX_M0 * x0;
		const uint64_t p1 = (uint64_t)PHILOX_M1 * x2;

		x0 = (uint32_t)(p1 >> 32) ^ x1 ^ k0;
		x1 = (uint32_t)p1;
		x2 = (uint32_t)(p0 >> 32) ^ x3 ^ k1;
		x3 = (uint32_t)p0;
		k0 += PHILOX_W0;
		k1 += PHILOX_W1;
	}
	ret[0] = x0;
	ret[1] = x1;
	ret[2] = x2;
	ret[3] = x3;
	rng->block++;
}

double drpc_rng_uniform(struct drpc_rng *rng)
{
	uint32_t x[4];

	drpc_rng_block(rng, x);
	return (double)(((uint64_t)x[0] << 32 | x[1]) >> 11) * 0x1p-53;
}

void drpc_rng_indices(struct drpc_rng *rng, uint64_t bound, size_t n, uint64_t *ret)
{
	for (size_t i = 0; i < n; i += 2) {
		uint32_t x[4];

		drpc_rng_block(rng, x);
		for (size_t k = 0; k < DRPC_MIN(n - i, (size_t)2); k++) {
			const uint64_t wide = (uint64_t)x[2 * k] << 32 | x[2 * k + 1];

			/* The upper half of the product: off uniform by bound / 2^64. */
			ret[i + k] = (uint64_t)(((unsigned __int128)wide * bound) >> 64);
		}
	}
}

void drpc_rng_normal(struct drpc_rng *rng, float sigma, size_t n, float *ret)
{
	drpc_isa()->normal(rng, sigma, n, ret);
	rng->block += (n + 63) / 64 * 16;
}

void drpc_rng_symmetric(struct drpc_rng *rng, float bound, size_t n, float *ret)
{
	for (size_t i = 0; i < n; i += 4) {
		uint32_t x[4];

		drpc_rng_block(rng, x);
		for (size_t k = 0; k < DRPC_MIN(n - i, (size_t)4); k++)
			ret[i + k] = bound * ((float)(x[k] >> 8) * 0x1p-23f - 1.0f);
	}
}
