/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a set of matrix products costs at least: each is timed in every way that OpenBLAS has for its
 * shape (either operand transposed or not, whole or in pieces), and in those of nn/blas.h. Then one
 * pass over all of them, each in OpenBLAS's fastest way, with operands as a training step has them:
 * activations in memory that all products share, weights or their gradients of each network apart.
 *
 * Times are the thread's own, so that other load on the machine does not count.
 */
#pragma once

#include <stddef.h>

#define BENCH_WAYS 8

/* Which operand is weights: B of a product forward or back, C of a gradient. */
enum bench_operand {
	BENCH_B,
	BENCH_C,
};

struct bench_product {
	enum bench_operand weights;
	size_t nets;  /* sets of weights, used in turns */
	size_t times; /* how often it occurs in a pass */
	size_t m, n, k;
	/* Private */
	float *shared; /* of all products: two activations; the first product's to free */
	float *own;    /* [nets] sets of weights */
	size_t own_floats;
	int best; /* way of OpenBLAS */
	double *samples[BENCH_WAYS];
	size_t n_samples;
};

/* -ENOMEM where operands cannot be had. */
int bench_products_start(struct bench_product *products, size_t n);
/* Times each way of each product once more. */
void bench_products_round(struct bench_product *products, size_t n);

enum bench_ways {
	BENCH_WHOLE,   /* OpenBLAS, one call a product */
	BENCH_LIBRARY, /* OpenBLAS, whole or in pieces */
	BENCH_ANY,     /* with the kernels of nn/ as well */
};

/* Sum over products of times × the median of the fastest of these ways, operands in cache. */
double bench_products_us(struct bench_product *products, size_t n, enum bench_ways ways);

/* Settles on OpenBLAS's fastest way for each. */
void bench_products_choose(struct bench_product *products, size_t n);

/* One pass, in microseconds. */
double bench_products_pass_us(struct bench_product *products, size_t n);
void bench_products_stop(struct bench_product *products, size_t n);
