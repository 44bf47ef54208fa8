/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a set of matrix products costs at least: each is timed in every way that OpenBLAS has for its
 * shape (either operand transposed or not, whole or in pieces), and the fastest counts.
 */
#pragma once

#include <stddef.h>

#define BENCH_WAYS 5

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
/* Sum over products of times × the median of the fastest way; of the fastest whole way. */
double bench_products_floor_us(struct bench_product *products, size_t n);
double bench_products_plain_us(struct bench_product *products, size_t n);
void bench_products_stop(struct bench_product *products, size_t n);
