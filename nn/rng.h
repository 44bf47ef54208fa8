/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Philox4x32-10, a counter-based generator: block i of a stream is a function of (seed, stream, i)
 * alone, so that a state is three numbers, resuming is exact, and streams never meet.
 *
 * First blocks, as of Random123's known answers and of tests/unit/nn/rng.c:
 *   seed 0, stream 0:  6627e8d5 e169c58d bc57ac4c 9b00dbd8
 *   seed ~0, stream ~0, block ~0:  408f276d 41c83b0e a20bc7c6 6d5451fd
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct drpc_rng {
	uint64_t seed;
	uint64_t stream; /* one per purpose: weights, exploration, sampling, … */
	uint64_t block;	 /* next block */
};

static inline struct drpc_rng drpc_rng_make(uint64_t seed, uint64_t stream)
{
	return (struct drpc_rng){.seed = seed, .stream = stream, .block = 0};
}

/* The next block. */
void drpc_rng_block(struct drpc_rng *rng, uint32_t ret[4]);

/* Uniform in 0 <= x < 1, 53 bits; uses one block. */
double drpc_rng_uniform(struct drpc_rng *rng);

/* Uniform in 0..bound-1 (bound > 0), n numbers; uses (n + 1) / 2 blocks. */
void drpc_rng_indices(struct drpc_rng *rng, uint64_t bound, size_t n, uint64_t *ret);

/* n normals of mean 0; uses 16 blocks for each begun 64. Same instruction set, same bits. */
void drpc_rng_normal(struct drpc_rng *rng, float sigma, size_t n, float *ret);

/* n numbers uniform in -bound..bound; uses (n + 3) / 4 blocks. */
void drpc_rng_symmetric(struct drpc_rng *rng, float bound, size_t n, float *ret);
