/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seeded pseudo-random numbers (SplitMix64): 8 bytes of state, and the n-th draw of a seed can be
 * had directly, so that what a request gets does not depend on the thread that asks.
 */
#pragma once

#include <math.h>
#include <stdint.h>

#define DRPC_RNG_STEP 0x9e3779b97f4a7c15ULL

struct drpc_rng {
	uint64_t state;
};

/* The mixing step: a bijection on 64 bits. First values of seed 0: e220a8397b1dcdaf 6e789e6aa1b965f4. */
static inline uint64_t drpc_rng_mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static inline uint64_t drpc_rng_next(struct drpc_rng *rng)
{
	rng->state += DRPC_RNG_STEP;
	return drpc_rng_mix(rng->state);
}

/* A generator of its own for each (seed, stream). */
static inline struct drpc_rng drpc_rng_stream(uint64_t seed, uint64_t stream)
{
	struct drpc_rng rng = {drpc_rng_mix(seed) ^ drpc_rng_mix(~stream * DRPC_RNG_STEP)};

	return rng;
}

/* Uniform in (0, 1]: its logarithm is finite. */
static inline double drpc_rng_uniform(struct drpc_rng *rng)
{
	return (double)((drpc_rng_next(rng) >> 11) + 1) * 0x1p-53;
}

/* Exponential with mean 1. */
static inline double drpc_rng_exp(struct drpc_rng *rng)
{
	return -log(drpc_rng_uniform(rng));
}

/* Uniform in 0 .. n-1, n > 0; the bias of the multiplication is below 2^-32 for n < 2^32. */
static inline uint32_t drpc_rng_below(struct drpc_rng *rng, uint32_t n)
{
	return (uint32_t)(((drpc_rng_next(rng) >> 32) * n) >> 32);
}
