/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instruction sets: the kernels of nn/ are built for several, and the best that the processor has
 * is taken the first time one is needed. DRPC_ISA=base|avx2|avx512 in the environment holds it to
 * one of them (for tests and comparisons).
 *
 * Matrices are row-major; `ld` is the distance between rows in floats. n need not be a multiple of
 * anything; nothing outside the named elements is read or written.
 */
#pragma once

#include <stddef.h>

struct drpc_rng;
struct drpc_rnn_packed;
struct drpc_student;

#define DRPC_LN_EPS 1e-5f

enum drpc_act {
	DRPC_ACT_NONE,
	DRPC_ACT_RELU,
	DRPC_ACT_TANH,
};

/* Which operand is transposed: C [m][n] = A [m][k] B [k][n], A [m][k] B [n][k], A [k][m] B [k][n]. */
enum drpc_gemm_op {
	DRPC_GEMM_NN,
	DRPC_GEMM_NT,
	DRPC_GEMM_TN,
};

/* One Adam(W) step; optim.h computes it. p = p keep - step m / (sqrt(v) v_scale + eps). */
struct drpc_adam_step {
	float beta1, beta2, eps;
	float keep;	  /* 1 - lr decay */
	float step;	  /* lr / (1 - beta1^t) */
	float v_scale;	  /* 1 / sqrt(1 - beta2^t) */
	float grad_scale; /* clipping; else 1 */
	float tau;	  /* target averaging; unused without a target */
};

struct drpc_isa {
	const char *name;
	size_t lanes; /* floats a vector: 4, 8, 16 */

	/* drpc_student_forward(), drpc_student_forward_batch() */
	void (*student)(const struct drpc_student *student, const float *state, float *ret);
	void (*student_batch)(const struct drpc_student *student, size_t rows, const float *states,
			      float *ret);

	/* drpc_rng_normal(), without moving the state on */
	void (*normal)(const struct drpc_rng *rng, float sigma, size_t n, float *ret);

	/* C = op(A) op(B) + beta C; beta 0 does not read C */
	void (*gemm)(enum drpc_gemm_op op, size_t m, size_t n, size_t k, const float *a, size_t lda,
		     const float *b, size_t ldb, float beta, float *c, size_t ldc);

	/* C = relu(A [m][k] B [k][n] + bias) */
	void (*gemm_bias_relu)(size_t m, size_t n, size_t k, const float *a, size_t lda,
			       const float *b, size_t ldb, const float *bias, float *c, size_t ldc);
	/* C = A [m][k] B [n][k] where y [m][n] > 0, else 0; db [n] = sum of C's rows, or NULL */
	void (*gemm_back_relu)(size_t m, size_t n, size_t k, const float *a, size_t lda,
			       const float *b, size_t ldb, const float *y, size_t ldy, float *c,
			       size_t ldc, float *db);

	/* y [rows][n] = act(y + b) */
	void (*bias_act)(enum drpc_act act, size_t rows, size_t n, float *y, size_t ld,
			 const float *b);
	/* dy [rows][n] *= act'(y), told from act's output; db [n] = sum of the rows, or NULL */
	void (*act_back)(enum drpc_act act, size_t rows, size_t n, const float *y, size_t ld_y,
			 float *dy, size_t ld_dy, float *db);
	/* xhat = (y + b - mean) inv, y = act(xhat gamma + beta); inv [rows] = 1 / std. xhat may be
	 * y where nobody needs it afterwards */
	void (*norm_act)(enum drpc_act act, size_t rows, size_t n, float *y, size_t ld,
			 const float *b, const float *gamma, const float *beta, float *xhat,
			 float *inv);
	/* dy becomes the gradient before b was added; db, dgamma, dbeta [n], or all NULL */
	void (*norm_back)(enum drpc_act act, size_t rows, size_t n, const float *y,
			  const float *xhat, size_t ld_y, const float *inv, const float *gamma,
			  float *dy, size_t ld_dy, float *db, float *dgamma, float *dbeta);

	/* p, m, v [n], and target += tau (p - target) where there is one */
	void (*adam)(const struct drpc_adam_step *step, size_t n, float *p, const float *g,
		     float *m, float *v, float *target);
	void (*average)(float tau, size_t n, const float *p, float *target);
	double (*sum_squares)(size_t n, const float *x);
	/* ret [rows][n] = clip(a + clip(noise, ±noise_clip), ±1); noise is dense, NULL copies a */
	void (*smooth)(size_t rows, size_t n, const float *a, size_t lda, const float *noise,
		       float noise_clip, float *ret, size_t ld);
	/* ret [rows][n]: row r is at from[r] */
	void (*gather)(size_t rows, size_t n, const float *const *from, float *ret, size_t ld);

	/* x [groups][units][n] → mean [groups][n], max [groups][n], and the first unit that has it */
	void (*pool)(size_t groups, size_t units, size_t n, const float *x, size_t ld, float *mean,
		     float *max, int *argmax, size_t ld_pool);
	/* dx = dmean / units, and dmax where the unit had the maximum */
	void (*pool_back)(size_t groups, size_t units, size_t n, const float *dmean,
			  const float *dmax, const int *argmax, size_t ld_pool, float *dx,
			  size_t ld);
	/* y [groups][units][n] += v [groups][n] */
	void (*group_add)(size_t groups, size_t units, size_t n, float *y, size_t ld,
			  const float *v);
	/* v [groups][n] = sum over units of y [groups][units][n] */
	void (*group_sum)(size_t groups, size_t units, size_t n, const float *y, size_t ld,
			  float *v);

	/* Gates, see kernels_rnn.h */
	void (*gru_gates)(size_t rows, size_t h, float *gx, float *gh, const float *bx,
			  const float *bh, const float *prev, float *ret);
	void (*gru_gates_back)(size_t rows, size_t h, float *gx, const float *gh, const float *prev,
			       float *dh, float *dgh);
	void (*lstm_gates)(size_t rows, size_t h, float *gates, const float *b, const float *c_prev,
			   float *c, float *ret);
	void (*lstm_gates_back)(size_t rows, size_t h, float *gates, const float *c_prev,
				const float *c, const float *dh, float *dc);
	/* One series through packed weights; h and c hold `pad` floats */
	void (*gru_infer)(const struct drpc_rnn_packed *net, size_t steps, const float *x,
			  float *h);
	void (*lstm_infer)(const struct drpc_rnn_packed *net, size_t steps, const float *x,
			   float *h, float *c);
};

/* Never NULL; the same for the life of the process. Safe from any thread. */
const struct drpc_isa *drpc_isa(void);

/* The kernels of one set by name, NULL where this build or this processor lacks it. */
const struct drpc_isa *drpc_isa_named(const char *name);
