// SPDX-License-Identifier: Apache-2.0
#include "nn/blas.h"

#include <cblas.h>

#include "lib/util.h"
#include "nn/isa.h"

/* OpenBLAS's own bound for its kernels without packing. */
#define SMALL_PRODUCT 1000000
/* Pieces thinner than this lose more than the kernel wins; B must stay in the first-level cache. */
/* Products from which a tile of eight lanes pays. */
#define OWN_MIN	      100000
#define PIECE_MIN     48
#define B_MAX	      16384

void drpc_blas_init(void)
{
	openblas_set_num_threads(1);
}

const char *drpc_blas_kernel(void)
{
	return openblas_get_corename();
}

/* Cuts `length` into equal pieces such that piece * others is a small product; else leaves it. */
static size_t piece_of(size_t length, size_t others)
{
	size_t pieces = (length * others + SMALL_PRODUCT - 1) / SMALL_PRODUCT;
	size_t piece;

	if (pieces < 2 || others > B_MAX)
		return length;
	/* Whole multiples of 16 rows, the kernels' height. */
	piece = ((length + pieces - 1) / pieces + 15) / 16 * 16;
	while (piece * others > SMALL_PRODUCT)
		piece -= 16;
	return piece >= PIECE_MIN ? DRPC_MIN(piece, length) : length;
}

size_t drpc_gemm_rows(size_t m, size_t n, size_t k)
{
	return piece_of(m, n * k);
}

/* Vectors too short to fill a tile are OpenBLAS's; so is everything without AVX2. */
static bool own_kernel(enum drpc_gemm_op op, size_t m, size_t n, size_t k)
{
	const size_t lanes = drpc_isa()->lanes;

	if (lanes < 8 || n < 3 || k < 3)
		return false;
	switch (op) {
	case DRPC_GEMM_NT:
		return lanes == 16 || m * n * k >= OWN_MIN;
	case DRPC_GEMM_NN:
		return n * k > B_MAX && m * n * k > SMALL_PRODUCT;
	default:
		return m * n > B_MAX && m * n * k > SMALL_PRODUCT;
	}
}

static void gemm(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, size_t m, size_t n, size_t k,
		 const float *a, size_t lda, const float *b, size_t ldb, float beta, float *c,
		 size_t ldc)
{
	cblas_sgemm(CblasRowMajor, ta, tb, (blasint)m, (blasint)n, (blasint)k, 1.0f, a,
		    (blasint)lda, b, (blasint)ldb, beta, c, (blasint)ldc);
}

void drpc_blas_gemm(enum drpc_gemm_op op, size_t m, size_t n, size_t k, const float *a, size_t lda,
		    const float *b, size_t ldb, float beta, float *c, size_t ldc)
{
	size_t piece;

	switch (op) {
	case DRPC_GEMM_NN:
		piece = piece_of(m, n * k);
		for (size_t i = 0; i < m; i += piece)
			gemm(CblasNoTrans, CblasNoTrans, DRPC_MIN(piece, m - i), n, k, a + i * lda,
			     lda, b, ldb, beta, c + i * ldc, ldc);
		break;
	case DRPC_GEMM_NT:
		gemm(CblasNoTrans, CblasTrans, m, n, k, a, lda, b, ldb, beta, c, ldc);
		break;
	case DRPC_GEMM_TN:
		piece = piece_of(k, m * n);
		for (size_t i = 0; i < k; i += piece)
			gemm(CblasTrans, CblasNoTrans, m, n, DRPC_MIN(piece, k - i), a + i * lda,
			     lda, b + i * ldb, ldb, i ? 1.0f : beta, c, ldc);
		break;
	}
}

static void product(enum drpc_gemm_op op, size_t m, size_t n, size_t k, const float *a, size_t lda,
		    const float *b, size_t ldb, float beta, float *c, size_t ldc)
{
	if (own_kernel(op, m, n, k))
		drpc_isa()->gemm(op, m, n, k, a, lda, b, ldb, beta, c, ldc);
	else
		drpc_blas_gemm(op, m, n, k, a, lda, b, ldb, beta, c, ldc);
}

void drpc_gemm_nn(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b,
		  size_t ldb, float beta, float *c, size_t ldc)
{
	product(DRPC_GEMM_NN, m, n, k, a, lda, b, ldb, beta, c, ldc);
}

void drpc_gemm_nt(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b,
		  size_t ldb, float beta, float *c, size_t ldc)
{
	product(DRPC_GEMM_NT, m, n, k, a, lda, b, ldb, beta, c, ldc);
}

void drpc_gemm_tn(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b,
		  size_t ldb, float beta, float *c, size_t ldc)
{
	product(DRPC_GEMM_TN, m, n, k, a, lda, b, ldb, beta, c, ldc);
}

void drpc_gemm_bias_relu(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b,
			 size_t ldb, const float *bias, float *c, size_t ldc)
{
	size_t piece;

	if (drpc_isa()->lanes >= 8 && n >= 16) {
		drpc_isa()->gemm_bias_relu(m, n, k, a, lda, b, ldb, bias, c, ldc);
		return;
	}
	/* A piece's output is finished while it is in cache. */
	piece = drpc_gemm_rows(m, n, k);
	for (size_t i = 0; i < m; i += piece) {
		const size_t rows = DRPC_MIN(piece, m - i);

		drpc_gemm_nn(rows, n, k, a + i * lda, lda, b, ldb, 0.0f, c + i * ldc, ldc);
		drpc_isa()->bias_act(DRPC_ACT_RELU, rows, n, c + i * ldc, ldc, bias);
	}
}

void drpc_gemm_back_relu(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b,
			 size_t ldb, const float *y, size_t ldy, float *c, size_t ldc, float *db)
{
	if (drpc_isa()->lanes >= 8 && n >= 16) {
		drpc_isa()->gemm_back_relu(m, n, k, a, lda, b, ldb, y, ldy, c, ldc, db);
		return;
	}
	drpc_gemm_nt(m, n, k, a, lda, b, ldb, 0.0f, c, ldc);
	drpc_isa()->act_back(DRPC_ACT_RELU, m, n, y, ldy, c, ldc, db);
}
