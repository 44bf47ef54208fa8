/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix products for the sizes of small networks, where a library spends its time on packing and
 * on kernels made for larger ones: C [m][n] = op(A) op(B) + beta C. See simd.h.
 *
 * B is packed, a panel of GEMM_COLS columns at a time, into a buffer that stays in the first-level
 * cache while every row of A passes over it; A is read where it lies, one number for a row of the
 * tile. A tile of GEMM_ROWS × GEMM_COLS sums stays in registers over all of k.
 */
#pragma once

#include <stdbool.h>

#include "nn/isa.h"
#include "nn/simd.h"

#define GEMM_VECS  2
#define GEMM_COLS  (GEMM_VECS * VF_LANES)
/* Sums, a row of B, and one number of A must fit the registers: 32 of AVX-512, else 16. */
#define GEMM_ROWS  (VF_LANES == 16 ? 12 : 6)
/* Depth of a panel; more of k goes over C again. */
#define GEMM_DEPTH 512

/* Number (i, l) of op(A) is at a + i * row + l * col. */
struct gemm_a {
	const float *a;
	size_t row, col;
};

/* What becomes of a tile's sums when they are whole; the compiler makes a tile of each kind. */
enum gemm_end {
	GEMM_PLAIN, /* C = sums */
	GEMM_BIAS,  /* C = relu(sums + bias) */
	GEMM_BACK,  /* C = sums where y > 0, else 0; db += the rows of C */
};

struct gemm_out {
	float beta;
	float *c;
	size_t ldc;
	const float *bias; /* GEMM_BIAS */
	const float *y;	   /* GEMM_BACK */
	size_t ldy;
	float *db; /* GEMM_BACK; may be NULL */
};

VF_INLINE vf gemm_load(const float *p, size_t left)
{
	return left >= VF_LANES ? vf_load(p) : vf_load_part(p, left);
}

VF_INLINE void gemm_store(float *p, vf v, size_t left)
{
	if (left >= VF_LANES)
		vf_store(p, v);
	else
		vf_store_part(p, v, left);
}

/* One column of vectors of a tile, from sums to memory; `left` columns of it are real. */
VF_INLINE void gemm_finish(enum gemm_end end, size_t rows, const vf (*sum)[GEMM_VECS], size_t v,
			   const struct gemm_out *out, size_t left)
{
	const size_t at = v * VF_LANES;
	vf bias = {0}, total = {0};

	if (end == GEMM_BIAS)
		bias = gemm_load(out->bias + at, left);
	VF_UNROLL
	for (size_t i = 0; i < rows; i++) {
		float *to = out->c + i * out->ldc + at;
		vf x = sum[i][v];

		if (out->beta != 0.0f)
			x += out->beta * gemm_load(to, left);
		if (end == GEMM_BIAS) {
			x += bias;
			x = vf_select(x < 0.0f, (vf){0}, x);
		}
		if (end == GEMM_BACK) {
			x = vf_select(gemm_load(out->y + i * out->ldy + at, left) > 0.0f, x,
				      (vf){0});
			total += x;
		}
		gemm_store(to, x, left);
	}
	if (end == GEMM_BACK && out->db)
		gemm_store(out->db + at, gemm_load(out->db + at, left) + total, left);
}

/*
 * `rows` × `vecs` vectors of sums over `depth`. Rows are reached in groups of three from one pointer
 * each: base, base + row, base + 2 row are addresses that the processor forms by itself, so that
 * twelve rows take four registers.
 */
VF_INLINE void gemm_tile(enum gemm_end end, size_t rows, size_t vecs, size_t depth,
			 const struct gemm_a *a, const float *panel, const struct gemm_out *out,
			 size_t width)
{
	vf sum[GEMM_ROWS][GEMM_VECS];
	const size_t row = a->row, col = a->col;
	const float *group[(GEMM_ROWS + 2) / 3];

	VF_UNROLL
	for (size_t i = 0; i < rows; i++) {
		VF_UNROLL
		for (size_t v = 0; v < vecs; v++)
			sum[i][v] = (vf){0};
	}
	VF_UNROLL
	for (size_t g = 0; g < (rows + 2) / 3; g++)
		group[g] = a->a + 3 * g * row;
	for (size_t l = 0; l < depth; l++) {
		vf b[GEMM_VECS];

		VF_UNROLL
		for (size_t v = 0; v < vecs; v++)
			b[v] = vf_load(panel + v * VF_LANES);
		panel += GEMM_COLS;
		VF_UNROLL
		for (size_t i = 0; i < rows; i++) {
			const vf x = vf_set(group[i / 3][i % 3 * row]);

			VF_UNROLL
			for (size_t v = 0; v < vecs; v++)
				sum[i][v] += x * b[v];
		}
		VF_UNROLL
		for (size_t g = 0; g < (rows + 2) / 3; g++)
			group[g] += col;
	}
	VF_UNROLL
	for (size_t v = 0; v < vecs; v++)
		gemm_finish(end, rows, sum, v, out, width - v * VF_LANES);
}

/* One tile, and on to the rows below it. */
VF_INLINE void gemm_down(enum gemm_end end, size_t rows, size_t vecs, size_t depth,
			 struct gemm_a *a, const float *panel, struct gemm_out *out, size_t width)
{
	gemm_tile(end, rows, vecs, depth, a, panel, out, width);
	a->a += rows * a->row;
	out->c += rows * out->ldc;
	if (end == GEMM_BACK)
		out->y += rows * out->ldy;
}

/* All rows of a panel, in tiles as tall as they come without a thin one where that can be helped. */
VF_INLINE void gemm_panel(enum gemm_end end, size_t vecs, size_t m, size_t depth,
			  const struct gemm_a *a, const float *panel, const struct gemm_out *out,
			  size_t width)
{
	const size_t half = GEMM_ROWS * 2 / 3;
	struct gemm_out to = *out;
	struct gemm_a at = *a;

	for (; m >= GEMM_ROWS && m != 2 * half; m -= GEMM_ROWS)
		gemm_down(end, GEMM_ROWS, vecs, depth, &at, panel, &to, width);
	for (; m >= half; m -= half)
		gemm_down(end, half, vecs, depth, &at, panel, &to, width);
	for (; m >= half / 2; m -= half / 2)
		gemm_down(end, half / 2, vecs, depth, &at, panel, &to, width);
	for (; m > 0; m--)
		gemm_down(end, 1, vecs, depth, &at, panel, &to, width);
}

/* Columns j .. j + n of rows 0 .. depth of B [k][.], zeros behind them. */
VF_INLINE void gemm_pack(size_t depth, size_t n, const float *b, size_t ldb, float *panel)
{
	for (size_t l = 0; l < depth; l++, b += ldb, panel += GEMM_COLS) {
		for (size_t v = 0; v < GEMM_VECS; v++) {
			const size_t from = v * VF_LANES;

			if (from + VF_LANES <= n)
				vf_store(panel + from, vf_load(b + from));
			else if (from < n)
				vf_store(panel + from, vf_load_part(b + from, n - from));
		}
	}
}

/* The same of a transposed B [n][.]. */
VF_INLINE void gemm_pack_transposed(size_t depth, size_t n, const float *b, size_t ldb,
				    float *panel)
{
	const size_t padded = (n + VF_LANES - 1) / VF_LANES * VF_LANES;

	for (size_t l = 0; l < depth; l += VF_LANES) {
		const size_t deep = depth - l < VF_LANES ? depth - l : VF_LANES;

		for (size_t j = 0; j < padded; j += VF_LANES) {
			vf block[VF_LANES];

			for (size_t i = 0; i < VF_LANES; i++) {
				const float *from = b + (j + i) * ldb + l;

				if (j + i >= n)
					block[i] = (vf){0};
				else
					block[i] = deep == VF_LANES ? vf_load(from)
								    : vf_load_part(from, deep);
			}
			vf_transpose(block);
			for (size_t i = 0; i < deep; i++)
				vf_store(panel + (l + i) * GEMM_COLS + j, block[i]);
		}
	}
}

/* One panel by all rows; separate functions, so that each holds its few tiles only. */
#define GEMM_PANEL(name, end, vecs)                                                 \
	static __attribute__((noinline)) void gemm_panel_##name(                    \
		size_t m, size_t depth, const struct gemm_a *a, const float *panel, \
		const struct gemm_out *out, size_t width)                           \
	{                                                                           \
		gemm_panel(end, vecs, m, depth, a, panel, out, width);              \
	}

GEMM_PANEL(plain_1, GEMM_PLAIN, 1)
GEMM_PANEL(plain_2, GEMM_PLAIN, 2)
GEMM_PANEL(bias_1, GEMM_BIAS, 1)
GEMM_PANEL(bias_2, GEMM_BIAS, 2)
GEMM_PANEL(back_1, GEMM_BACK, 1)
GEMM_PANEL(back_2, GEMM_BACK, 2)

typedef void gemm_panel_fn(size_t m, size_t depth, const struct gemm_a *a, const float *panel,
			   const struct gemm_out *out, size_t width);

VF_INLINE void gemm_all(gemm_panel_fn *const end[2], enum drpc_gemm_op op, size_t m, size_t n,
			size_t k, const float *a, size_t lda, const float *b, size_t ldb,
			const struct gemm_out *out)
{
	gemm_panel_fn *const plain[2] = {gemm_panel_plain_1, gemm_panel_plain_2};
	_Alignas(64) float panel[GEMM_DEPTH * GEMM_COLS];

	for (size_t l = 0; l < k; l += GEMM_DEPTH) {
		const size_t depth = k - l < GEMM_DEPTH ? k - l : GEMM_DEPTH;
		const bool last = l + depth == k;
		const struct gemm_a from = {
			.a = op == DRPC_GEMM_TN ? a + l * lda : a + l,
			.row = op == DRPC_GEMM_TN ? 1 : lda,
			.col = op == DRPC_GEMM_TN ? lda : 1,
		};

		for (size_t j = 0; j < n; j += GEMM_COLS) {
			const size_t width = n - j < GEMM_COLS ? n - j : GEMM_COLS;
			struct gemm_out to = *out;

			to.beta = l ? 1.0f : out->beta;
			to.c = out->c + j;
			to.bias = out->bias ? out->bias + j : NULL;
			to.y = out->y ? out->y + j : NULL;
			to.db = out->db ? out->db + j : NULL;
			if (op == DRPC_GEMM_NT)
				gemm_pack_transposed(depth, width, b + j * ldb + l, ldb, panel);
			else
				gemm_pack(depth, width, b + l * ldb + j, ldb, panel);
			(last ? end : plain)[width > VF_LANES](m, depth, &from, panel, &to, width);
		}
	}
}

static void kernel_gemm(enum drpc_gemm_op op, size_t m, size_t n, size_t k, const float *a,
			size_t lda, const float *b, size_t ldb, float beta, float *c, size_t ldc)
{
	gemm_panel_fn *const end[2] = {gemm_panel_plain_1, gemm_panel_plain_2};

	gemm_all(end, op, m, n, k, a, lda, b, ldb,
		 &(struct gemm_out){.beta = beta, .c = c, .ldc = ldc});
}

static void kernel_gemm_bias_relu(size_t m, size_t n, size_t k, const float *a, size_t lda,
				  const float *b, size_t ldb, const float *bias, float *c,
				  size_t ldc)
{
	gemm_panel_fn *const end[2] = {gemm_panel_bias_1, gemm_panel_bias_2};

	gemm_all(end, DRPC_GEMM_NN, m, n, k, a, lda, b, ldb,
		 &(struct gemm_out){.c = c, .ldc = ldc, .bias = bias});
}

static void kernel_gemm_back_relu(size_t m, size_t n, size_t k, const float *a, size_t lda,
				  const float *b, size_t ldb, const float *y, size_t ldy, float *c,
				  size_t ldc, float *db)
{
	gemm_panel_fn *const end[2] = {gemm_panel_back_1, gemm_panel_back_2};

	if (db)
		memset(db, 0, n * sizeof(*db));
	gemm_all(end, DRPC_GEMM_NT, m, n, k, a, lda, b, ldb,
		 &(struct gemm_out){.c = c, .ldc = ldc, .y = y, .ldy = ldy, .db = db});
}
