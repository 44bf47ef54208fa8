// SPDX-License-Identifier: Apache-2.0
#include "nn/blas.h"

#include "tests/unit/nn/near.h"

enum op { NN, NT, TN };

static void naive(enum op op, size_t m, size_t n, size_t k, const float *a, size_t lda,
		  const float *b, size_t ldb, double beta, const float *c, size_t ldc, double *ret)
{
	for (size_t i = 0; i < m; i++) {
		for (size_t j = 0; j < n; j++) {
			double sum = beta * (double)c[i * ldc + j];

			for (size_t l = 0; l < k; l++)
				sum += (double)(op == TN ? a[l * lda + i] : a[i * lda + l]) *
				       (double)(op == NT ? b[j * ldb + l] : b[l * ldb + j]);
			ret[i * n + j] = sum;
		}
	}
}

/* Shapes on both sides of where products are cut, rows further apart than they are long. */
static void check(enum op op, size_t m, size_t n, size_t k)
{
	const size_t lda = (op == TN ? m : k) + 3, ldb = (op == NT ? k : n) + 1, ldc = n + 2;
	float *a = fresh((op == TN ? k : m) * lda, 1), *b = fresh((op == NT ? n : k) * ldb, 2);

	for (int add = 0; add < 2; add++) {
		float *c = fresh(m * ldc, 3), *dense = calloc(m * n, sizeof(*dense));
		double *want = calloc(m * n, sizeof(*want));
		const float outside = c[n];

		naive(op, m, n, k, a, lda, b, ldb, add ? 0.5 : 0.0, c, ldc, want);
		if (op == NN)
			drpc_gemm_nn(m, n, k, a, lda, b, ldb, add ? 0.5f : 0.0f, c, ldc);
		else if (op == NT)
			drpc_gemm_nt(m, n, k, a, lda, b, ldb, add ? 0.5f : 0.0f, c, ldc);
		else
			drpc_gemm_tn(m, n, k, a, lda, b, ldb, add ? 0.5f : 0.0f, c, ldc);
		for (size_t i = 0; i < m * n; i++)
			dense[i] = c[i / n * ldc + i % n];
		assert_near(m * n, dense, want, 2e-6);
		cr_assert_eq(c[n], outside);
		free(c);
		free(dense);
		free(want);
	}
	free(a);
	free(b);
}

Test(blas, agrees_with_the_plain_loops)
{
	static const size_t shapes[][3] = {{1, 1, 1},	  {5, 3, 7},	  {256, 64, 64},
					   {64, 64, 256}, {256, 128, 23}, {23, 128, 256},
					   {257, 65, 63}, {300, 1, 40}};

	drpc_blas_init();
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		for (enum op op = NN; op <= TN; op++)
			check(op, shapes[i][0], shapes[i][1], shapes[i][2]);
	}
}

Test(blas, pieces_cover_and_never_exceed)
{
	cr_assert_eq(drpc_gemm_rows(100, 64, 64), 100);
	cr_assert_eq(drpc_gemm_rows(256, 64, 64), 128);
	cr_assert_eq(drpc_gemm_rows(256, 256, 256), 256, "too wide to gain");
	for (size_t m = 1; m < 3000; m += 7) {
		const size_t rows = drpc_gemm_rows(m, 64, 64);

		cr_assert(rows >= 1 && rows <= m);
		cr_assert(rows == m || rows * 64 * 64 <= 1000000);
	}
}

Test(blas, uninitialised_outputs_do_not_leak_in)
{
	float a[4] = {1, 2, 3, 4}, c[4] = {NAN, INFINITY, NAN, NAN};

	drpc_gemm_nn(2, 2, 2, a, 2, a, 2, 0.0f, c, 2);
	cr_assert_eq(c[0], 7.0f);
	cr_assert_eq(c[3], 22.0f);
}
