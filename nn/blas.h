/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single-precision products, one thread, row-major: C [m][n] = op(A) op(B) + beta C.
 *
 * The kernel is chosen by shape. OpenBLAS has kernels without packing for small products and takes
 * them up to 10^6 multiplications; a product somewhat over that is cut into pieces that stay under it.
 * Where B is transposed, where a product is larger, and where bias and ReLU can be done before the
 * sums leave the registers, nn/kernels_gemm.h is faster. The choice depends on the shape and the
 * instruction set alone, never on timing: same seed, same machine, same bits.
 */
#pragma once

#include <stddef.h>

#include "nn/isa.h"

/* Holds OpenBLAS to one thread: at these sizes more of them cost more than they do. */
void drpc_blas_init(void);

/* The kernel set that OpenBLAS chose, for reports. */
const char *drpc_blas_kernel(void);

/* A [m][k], B [k][n] */
void drpc_gemm_nn(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b,
		  size_t ldb, float beta, float *c, size_t ldc);
/* A [m][k], B [n][k] */
void drpc_gemm_nt(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b,
		  size_t ldb, float beta, float *c, size_t ldc);
/* A [k][m], B [k][n] */
void drpc_gemm_tn(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b,
		  size_t ldb, float beta, float *c, size_t ldc);

/* The same products by OpenBLAS alone, in pieces where that is faster; what benchmarks compare with. */
void drpc_blas_gemm(enum drpc_gemm_op op, size_t m, size_t n, size_t k, const float *a, size_t lda,
		    const float *b, size_t ldb, float beta, float *c, size_t ldc);

/* C = relu(A [m][k] B [k][n] + bias [n]) */
void drpc_gemm_bias_relu(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b,
			 size_t ldb, const float *bias, float *c, size_t ldc);

/*
 * C = A [m][k] B [n][k] where y [m][n] > 0, else 0: the gradient through a product and the ReLU below
 * it, whose output is y. db [n] = the sum of C's rows; NULL for none.
 */
void drpc_gemm_back_relu(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b,
			 size_t ldb, const float *y, size_t ldy, float *c, size_t ldc, float *db);

/*
 * How many rows of an m×n×k product to do at a time: m, or fewer where pieces are faster. For
 * callers that work on a piece's output while it is in cache.
 */
size_t drpc_gemm_rows(size_t m, size_t n, size_t k);
