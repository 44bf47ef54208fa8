/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a set of matrix products costs at least: each is timed in every way that OpenBLAS has for its
 * shape (either operand transposed or not, whole or in pieces), and in those of nn/blas.h. Times are
 * the thread's own, so that other load on the machine does not count.
 */
#pragma once

#include <stddef.h>

#define BENCH_WAYS 8

struct bench_product {
	size_t times; /* how often it occurs */
	size_t m, n, k;
	/* Private */
	float *a, *b, *c;
	double *samples[BENCH_WAYS];
	size_t n_samples;
};

/* -ENOMEM where operands cannot be had. */
int bench_products_start(struct bench_product *products, size_t n);
/* Times each way of each product once more. */
void bench_products_round(struct bench_product *products, size_t n);

enum bench_ways {
	BENCH_WHOLE,   /* OpenBLAS, one call a product */
	BENCH_LIBRARY, /* OpenBLAS, whole or in pieces: the floor */
	BENCH_ANY,     /* with the kernels of nn/ as well */
};

/* Sum over products of times × the median of the fastest of these ways. */
double bench_products_us(struct bench_product *products, size_t n, enum bench_ways ways);
void bench_products_stop(struct bench_product *products, size_t n);
