/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands between the matrix products of training: bias, activation, LayerNorm and their
 * gradients, in one pass over a product's output while it is in cache. See simd.h; what each
 * computes stands in isa.h.
 */
#pragma once

#include "nn/isa.h"
#include "nn/simd.h"

/* `left` floats from p, all lanes or the first few: the last vector of a row may be short. */
VF_INLINE vf row_load(const float *p, size_t left)
{
	return left >= VF_LANES ? vf_load(p) : vf_load_part(p, left);
}

VF_INLINE void row_store(float *p, vf v, size_t left)
{
	if (left >= VF_LANES)
		vf_store(p, v);
	else
		vf_store_part(p, v, left);
}

/* Written so that NaN stays, in both. */
VF_INLINE vf act_forward(enum drpc_act act, vf x)
{
	switch (act) {
	case DRPC_ACT_RELU:
		return vf_select(x < 0.0f, (vf){0}, x);
	case DRPC_ACT_TANH:
		return vf_tanh(x);
	default:
		return x;
	}
}

VF_INLINE vf act_backward(enum drpc_act act, vf y, vf dy)
{
	switch (act) {
	case DRPC_ACT_RELU:
		return vf_select(y > 0.0f, dy, (vf){0});
	case DRPC_ACT_TANH:
		return dy * (1.0f - y * y);
	default:
		return dy;
	}
}

VF_INLINE void bias_act_rows(enum drpc_act act, size_t rows, size_t n, float *y, size_t ld,
			     const float *b)
{
	/* Rows shorter than a vector: one number at a time, and where they lie close, the activation
	 * over many of them at once. */
	if (n < VF_LANES && (act == DRPC_ACT_NONE || ld == n)) {
		for (size_t r = 0; r < rows; r++) {
			for (size_t j = 0; j < n; j++)
				y[r * ld + j] += b[j];
		}
		for (size_t i = 0; act != DRPC_ACT_NONE && i < rows * n; i += VF_LANES)
			row_store(y + i, act_forward(act, row_load(y + i, rows * n - i)),
				  rows * n - i);
		return;
	}
	for (size_t r = 0; r < rows; r++) {
		float *row = y + r * ld;
		size_t j = 0;

		for (; j + VF_LANES <= n; j += VF_LANES)
			vf_store(row + j, act_forward(act, vf_load(row + j) + vf_load(b + j)));
		if (j < n)
			vf_store_part(row + j,
				      act_forward(act, vf_load_part(row + j, n - j) +
							       vf_load_part(b + j, n - j)),
				      n - j);
	}
}

static void kernel_bias_act(enum drpc_act act, size_t rows, size_t n, float *y, size_t ld,
			    const float *b)
{
	switch (act) {
	case DRPC_ACT_RELU:
		bias_act_rows(DRPC_ACT_RELU, rows, n, y, ld, b);
		break;
	case DRPC_ACT_TANH:
		bias_act_rows(DRPC_ACT_TANH, rows, n, y, ld, b);
		break;
	default:
		bias_act_rows(DRPC_ACT_NONE, rows, n, y, ld, b);
	}
}

/* Columns in blocks of `vecs` vectors, whose sums stay in registers over all rows. */
VF_INLINE void act_back_block(enum drpc_act act, int vecs, size_t part, size_t rows, const float *y,
			      size_t ld_y, float *dy, size_t ld_dy, float *db)
{
	vf sum[4] = {0};

	for (size_t r = 0; r < rows; r++) {
		for (int v = 0; v < vecs; v++) {
			const size_t at = (size_t)v * VF_LANES;
			vf g = row_load(dy + r * ld_dy + at, part);

			if (act != DRPC_ACT_NONE) {
				g = act_backward(act, row_load(y + r * ld_y + at, part), g);
				row_store(dy + r * ld_dy + at, g, part);
			}
			sum[v] += g;
		}
	}
	for (int v = 0; db && v < vecs; v++)
		row_store(db + (size_t)v * VF_LANES, sum[v], part);
}

VF_INLINE void act_back_rows(enum drpc_act act, size_t rows, size_t n, const float *y, size_t ld_y,
			     float *dy, size_t ld_dy, float *db)
{
	size_t j = 0;

	for (; j + 4 * VF_LANES <= n; j += 4 * VF_LANES)
		act_back_block(act, 4, VF_LANES, rows, y + j, ld_y, dy + j, ld_dy,
			       db ? db + j : NULL);
	for (; j < n; j += VF_LANES)
		act_back_block(act, 1, n - j, rows, y + j, ld_y, dy + j, ld_dy, db ? db + j : NULL);
}

static void kernel_act_back(enum drpc_act act, size_t rows, size_t n, const float *y, size_t ld_y,
			    float *dy, size_t ld_dy, float *db)
{
	switch (act) {
	case DRPC_ACT_RELU:
		act_back_rows(DRPC_ACT_RELU, rows, n, y, ld_y, dy, ld_dy, db);
		break;
	case DRPC_ACT_TANH:
		act_back_rows(DRPC_ACT_TANH, rows, n, y, ld_y, dy, ld_dy, db);
		break;
	default:
		act_back_rows(DRPC_ACT_NONE, rows, n, y, ld_y, dy, ld_dy, db);
	}
}

/* --- LayerNorm ---------------------------------------------------------------------------- */

VF_INLINE float norm_row(enum drpc_act act, size_t n, float *y, float *xhat, const float *b,
			 const float *gamma, const float *beta)
{
	vf total = {0}, square = {0};
	float mean, inv;
	size_t j;

	for (j = 0; j < n; j += VF_LANES) {
		vf x = row_load(y + j, n - j) + row_load(b + j, n - j);

		row_store(xhat + j, x, n - j);
		total += x;
	}
	mean = vf_sum(total) / (float)n;
	for (j = 0; j + VF_LANES <= n; j += VF_LANES) {
		vf x = vf_load(xhat + j) - mean;

		square += x * x;
	}
	for (; j < n; j++)
		square[0] += (xhat[j] - mean) * (xhat[j] - mean);
	inv = 1.0f / __builtin_sqrtf(vf_sum(square) / (float)n + DRPC_LN_EPS);
	for (j = 0; j < n; j += VF_LANES) {
		vf x = (row_load(xhat + j, n - j) - mean) * inv;

		row_store(xhat + j, x, n - j);
		x = x * row_load(gamma + j, n - j) + row_load(beta + j, n - j);
		row_store(y + j, act_forward(act, x), n - j);
	}
	return inv;
}

static void kernel_norm_act(enum drpc_act act, size_t rows, size_t n, float *y, size_t ld,
			    const float *b, const float *gamma, const float *beta, float *xhat,
			    float *inv)
{
	for (size_t r = 0; r < rows; r++) {
		float *row = y + r * ld, *hat = xhat + r * ld;

		switch (act) {
		case DRPC_ACT_RELU:
			inv[r] = norm_row(DRPC_ACT_RELU, n, row, hat, b, gamma, beta);
			break;
		case DRPC_ACT_TANH:
			inv[r] = norm_row(DRPC_ACT_TANH, n, row, hat, b, gamma, beta);
			break;
		default:
			inv[r] = norm_row(DRPC_ACT_NONE, n, row, hat, b, gamma, beta);
		}
	}
}

/*
 * With g = dy act'(y) gamma: dx = inv (g - mean(g) - xhat mean(g xhat)). The parameters' gradients
 * are summed on the way where they are wanted.
 */
VF_INLINE void norm_back_row(enum drpc_act act, size_t n, const float *y, const float *xhat,
			     float inv, const float *gamma, float *dy, float *db, float *dgamma,
			     float *dbeta)
{
	vf sum_g = {0}, sum_gx = {0};
	float mean_g, mean_gx;

	for (size_t j = 0; j < n; j += VF_LANES) {
		const size_t left = n - j;
		vf hat = row_load(xhat + j, left);
		vf g = act_backward(act, row_load(y + j, left), row_load(dy + j, left));

		if (dgamma) {
			row_store(dgamma + j, row_load(dgamma + j, left) + g * hat, left);
			row_store(dbeta + j, row_load(dbeta + j, left) + g, left);
		}
		g *= row_load(gamma + j, left);
		row_store(dy + j, g, left);
		sum_g += g;
		sum_gx += g * hat;
	}
	mean_g = vf_sum(sum_g) / (float)n;
	mean_gx = vf_sum(sum_gx) / (float)n;
	for (size_t j = 0; j < n; j += VF_LANES) {
		const size_t left = n - j;
		vf g = row_load(dy + j, left) - mean_g - row_load(xhat + j, left) * mean_gx;

		g *= inv;
		row_store(dy + j, g, left);
		if (db)
			row_store(db + j, row_load(db + j, left) + g, left);
	}
}

static void kernel_norm_back(enum drpc_act act, size_t rows, size_t n, const float *y,
			     const float *xhat, size_t ld_y, const float *inv, const float *gamma,
			     float *dy, size_t ld_dy, float *db, float *dgamma, float *dbeta)
{
	if (db) {
		memset(db, 0, n * sizeof(*db));
		memset(dgamma, 0, n * sizeof(*dgamma));
		memset(dbeta, 0, n * sizeof(*dbeta));
	}
	for (size_t r = 0; r < rows; r++) {
		const float *row = y + r * ld_y, *hat = xhat + r * ld_y;
		float *grad = dy + r * ld_dy;

		if (act == DRPC_ACT_RELU)
			norm_back_row(DRPC_ACT_RELU, n, row, hat, inv[r], gamma, grad, db, dgamma,
				      dbeta);
		else if (act == DRPC_ACT_TANH)
			norm_back_row(DRPC_ACT_TANH, n, row, hat, inv[r], gamma, grad, db, dgamma,
				      dbeta);
		else
			norm_back_row(DRPC_ACT_NONE, n, row, hat, inv[r], gamma, grad, db, dgamma,
				      dbeta);
	}
}
