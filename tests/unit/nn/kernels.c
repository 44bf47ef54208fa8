// SPDX-License-Identifier: Apache-2.0
/* Each kernel of each instruction set against the plainest loops, at widths that leave tails. */
#include "nn/isa.h"

#include "tests/unit/nn/near.h"

#define ROWS 9
#define LD   83

static const size_t widths[] = {1, 3, 4, 7, 8, 15, 16, 20, 33, 64, 65, 79};

static const struct drpc_isa *set(int i)
{
	static const char *const names[] = {"base", "avx2", "avx512"};

	return drpc_isa_named(names[i]);
}

#define for_each_set_and_width(isa, n)                                         \
	for (int set_i = 0; set_i < 3; set_i++)                                \
		for (const struct drpc_isa *isa = set(set_i); isa; isa = NULL) \
			for (size_t w_i = 0, n = widths[0];                    \
			     w_i < sizeof(widths) / sizeof(widths[0]); n = widths[++w_i % 12])

static double act(enum drpc_act a, double x)
{
	return a == DRPC_ACT_TANH ? tanh(x) : a == DRPC_ACT_RELU && x < 0 ? 0 : x;
}

static double slope(enum drpc_act a, double y)
{
	return a == DRPC_ACT_TANH ? 1 - y * y : a == DRPC_ACT_RELU && y <= 0 ? 0 : 1;
}

Test(kernels, bias_and_activation_forth_and_back)
{
	for_each_set_and_width(isa, n) for (enum drpc_act a = DRPC_ACT_NONE; a <= DRPC_ACT_TANH;
					    a++)
	{
		float *y = fresh(ROWS * LD, 1), *b = fresh(n, 2), *dy = fresh(ROWS * LD, 3);
		float *db = fresh(n, 4);
		double want[ROWS * LD], want_dy[ROWS * LD], want_db[LD] = {0};

		for (size_t i = 0; i < ROWS * LD; i++) {
			const size_t j = i % LD;

			want[i] = j < n ? act(a, (double)y[i] + (double)b[j]) : (double)y[i];
			want_dy[i] = (double)dy[i] * (j < n ? slope(a, want[i]) : 1);
			if (j < n)
				want_db[j] += want_dy[i];
		}
		isa->bias_act(a, ROWS, n, y, LD, b);
		assert_near(ROWS * LD, y, want, 1e-6);
		isa->act_back(a, ROWS, n, y, LD, dy, LD, db);
		assert_near(ROWS * LD, dy, want_dy, 1e-6);
		/* Nine terms of either sign: what they cancel to is smaller than they are. */
		assert_near(n, db, want_db, 1e-5);
		free(y);
		free(b);
		free(dy);
		free(db);
	}
}

struct norm {
	double y[ROWS * LD], xhat[ROWS * LD], inv[ROWS], dx[ROWS * LD];
	double db[LD], dgamma[LD], dbeta[LD];
};

static void naive_norm(enum drpc_act a, size_t n, const float *y, const float *b,
		       const float *gamma, const float *beta, const float *dy, struct norm *ret)
{
	*ret = (struct norm){0};
	for (size_t r = 0; r < ROWS; r++) {
		double x[LD], mean = 0, var = 0, g[LD], mean_g = 0, mean_gx = 0;
		double *out = ret->y + r * LD, *hat = ret->xhat + r * LD;

		for (size_t j = 0; j < n; j++) {
			x[j] = (double)y[r * LD + j] + (double)b[j];
			mean += x[j] / (double)n;
		}
		for (size_t j = 0; j < n; j++)
			var += (x[j] - mean) * (x[j] - mean) / (double)n;
		ret->inv[r] = 1 / sqrt(var + 1e-5);
		for (size_t j = 0; j < n; j++) {
			hat[j] = (x[j] - mean) * ret->inv[r];
			out[j] = act(a, hat[j] * (double)gamma[j] + (double)beta[j]);
			g[j] = (double)dy[r * LD + j] * slope(a, out[j]);
			ret->dgamma[j] += g[j] * hat[j];
			ret->dbeta[j] += g[j];
			g[j] *= (double)gamma[j];
			mean_g += g[j] / (double)n;
			mean_gx += g[j] * hat[j] / (double)n;
		}
		for (size_t j = 0; j < n; j++) {
			ret->dx[r * LD + j] = ret->inv[r] * (g[j] - mean_g - hat[j] * mean_gx);
			ret->db[j] += ret->dx[r * LD + j];
		}
	}
}

/* Rows of n from a matrix with rows LD apart, the rest zero as in the naive result. */
static void clear_rest(size_t n, float *x)
{
	for (size_t i = 0; i < ROWS * LD; i++) {
		if (i % LD >= n)
			x[i] = 0;
	}
}

Test(kernels, layer_norm_forth_and_back)
{
	static struct norm want;

	for_each_set_and_width(isa, n) for (enum drpc_act a = DRPC_ACT_NONE; a <= DRPC_ACT_TANH;
					    a++)
	{
		float *y = fresh(ROWS * LD, 1), *b = fresh(n, 2), *gamma = fresh(n, 3);
		float *beta = fresh(n, 4), *dy = fresh(ROWS * LD, 5), *xhat = fresh(ROWS * LD, 6);
		float db[LD], dgamma[LD], dbeta[LD], inv[ROWS];

		/* One number a row has no deviation: everything is 0 or beta. */
		naive_norm(a, n, y, b, gamma, beta, dy, &want);
		isa->norm_act(a, ROWS, n, y, LD, b, gamma, beta, xhat, inv);
		isa->norm_back(a, ROWS, n, y, xhat, LD, inv, gamma, dy, LD, db, dgamma, dbeta);
		clear_rest(n, y);
		clear_rest(n, dy);
		assert_near(ROWS * LD, y, want.y, 2e-6);
		if (n > 1) {
			assert_near(ROWS, inv, want.inv, 2e-6);
			assert_near(ROWS * LD, dy, want.dx, 1e-5);
			assert_near(n, dgamma, want.dgamma, 5e-6);
		}
		assert_near(n, dbeta, want.dbeta, 2e-6);
		free(y);
		free(b);
		free(gamma);
		free(beta);
		free(dy);
		free(xhat);
	}
}

Test(kernels, adam_with_decay_clipping_and_target)
{
	const struct drpc_adam_step s = {.beta1 = 0.9f,
					 .beta2 = 0.999f,
					 .eps = 1e-8f,
					 .keep = 0.99f,
					 .step = 0.01f,
					 .v_scale = 20.0f,
					 .grad_scale = 0.5f,
					 .tau = 0.1f};

	for_each_set_and_width(isa, n) for (int with_target = 0; with_target < 2; with_target++)
	{
		float *p = fresh(n, 1), *g = fresh(n, 2), *m = fresh(n, 3), *v = fresh(n, 4);
		float *t = fresh(n, 5);
		double want_p[LD], want_m[LD], want_v[LD], want_t[LD];

		for (size_t i = 0; i < n; i++) {
			const double grad = 0.5 * (double)g[i];

			v[i] *= v[i];
			want_m[i] = 0.9 * (double)m[i] + 0.1 * grad;
			want_v[i] = 0.999 * (double)v[i] + 0.001 * grad * grad;
			want_p[i] = 0.99 * (double)p[i] -
				    0.01 * want_m[i] / (sqrt(want_v[i]) * 20 + 1e-8);
			want_t[i] = (double)t[i] + 0.1 * (want_p[i] - (double)t[i]);
		}
		isa->adam(&s, n, p, g, m, v, with_target ? t : NULL);
		assert_near(n, p, want_p, 1e-6);
		assert_near(n, m, want_m, 1e-6);
		assert_near(n, v, want_v, 1e-5);
		if (with_target)
			assert_near(n, t, want_t, 1e-6);
		free(p);
		free(g);
		free(m);
		free(v);
		free(t);
	}
}

Test(kernels, adam_moments_never_become_subnormal)
{
	const struct drpc_adam_step s = {.beta1 = 0.9f,
					 .beta2 = 0.9f,
					 .eps = 1e-8f,
					 .keep = 1,
					 .step = 1e-3f,
					 .v_scale = 1,
					 .grad_scale = 1};
	float p[5] = {1, 1, 1, 1, 1}, g[5] = {0}, m[5] = {1, 1, 1, 1, 1}, v[5] = {1, 1, 1, 1, 1};

	for (int i = 0; i < 2000; i++) {
		drpc_isa()->adam(&s, 5, p, g, m, v, NULL);
		cr_assert(m[4] == 0 || fpclassify(m[4]) == FP_NORMAL);
		cr_assert(v[0] == 0 || fpclassify(v[0]) == FP_NORMAL);
	}
	cr_assert_eq(m[0], 0);
}

Test(kernels, averages_sums_and_smoothing)
{
	for_each_set_and_width(isa, n)
	{
		float *p = fresh(n, 1), *t = fresh(n, 2), *a = fresh(ROWS * LD, 3);
		float *noise = fresh(ROWS * n, 4), *out = fresh(ROWS * LD, 5);
		const float *from[ROWS];
		double want_t[LD], want_a[ROWS * LD], sum = 0;

		for (size_t i = 0; i < n; i++) {
			want_t[i] = (double)t[i] + 0.005 * ((double)p[i] - (double)t[i]);
			sum += (double)p[i] * (double)p[i];
		}
		for (size_t i = 0; i < ROWS * LD; i++) {
			want_a[i] = (double)out[i];
			if (i % LD < n) {
				const double e = (double)noise[i / LD * n + i % LD];

				want_a[i] = (double)a[i] + fmax(-0.5, fmin(0.5, e));
				want_a[i] = fmax(-1, fmin(1, want_a[i]));
			}
		}
		cr_assert_float_eq(isa->sum_squares(n, p), sum, 1e-5 * sum);
		isa->average(0.005f, n, p, t);
		assert_near(n, t, want_t, 1e-6);
		isa->smooth(ROWS, n, a, LD, noise, 0.5f, out, LD);
		assert_near(ROWS * LD, out, want_a, 1e-6);
		a[0] = NAN;
		isa->smooth(ROWS, n, a, LD, noise, 0.5f, out, LD);
		cr_assert(isnan(out[0]));
		a[0] = 3;
		isa->smooth(ROWS, n, a, LD, NULL, 0.5f, out, LD);
		for (size_t i = 0; i < ROWS * LD; i++)
			cr_assert_eq(out[i], i % LD < n ? a[i] : (float)want_a[i]);
		for (size_t r = 0; r < ROWS; r++)
			from[r] = a + (r * 5 % ROWS) * LD;
		isa->gather(ROWS, n, from, out, LD);
		for (size_t i = 0; i < ROWS * LD; i++)
			cr_assert_eq(out[i], i % LD < n ? from[i / LD][i % LD] : (float)want_a[i]);
		free(out);
		free(p);
		free(t);
		free(a);
		free(noise);
	}
}

Test(kernels, long_sums_of_squares_lose_nothing)
{
	const size_t n = 1000003;
	float *x = malloc(n * sizeof(*x));

	for (size_t i = 0; i < n; i++)
		x[i] = 0.1f;
	cr_assert_float_eq(drpc_isa()->sum_squares(n, x), 10000.03, 0.01);
	x[n - 1] = NAN;
	cr_assert(isnan(drpc_isa()->sum_squares(n, x)));
	free(x);
}

Test(kernels, pools_forth_and_back)
{
	const size_t groups = 3, units = 3;

	for_each_set_and_width(isa, n)
	{
		float *x = fresh(ROWS * LD, 1), *dx = fresh(ROWS * LD, 2),
		      *dmean = fresh(3 * LD, 3);
		float *dmax = fresh(3 * LD, 4), *mean = fresh(3 * LD, 5), *max = fresh(3 * LD, 6);
		float *v = fresh(3 * n, 7), *sum = fresh(3 * n, 8);
		int *who = calloc(3 * LD, sizeof(*who));

		isa->pool(groups, units, n, x, LD, mean, max, who, LD);
		isa->pool_back(groups, units, n, dmean, dmax, who, LD, dx, LD);
		isa->group_sum(groups, units, n, x, LD, sum);
		for (size_t g = 0; g < groups; g++) {
			for (size_t j = 0; j < n; j++) {
				const float *at = x + g * units * LD + j;
				size_t best = 0;
				double total = 0;

				for (size_t u = 0; u < units; u++) {
					total += (double)at[u * LD];
					best = at[u * LD] > at[best * LD] ? u : best;
				}
				cr_assert_float_eq((double)mean[g * LD + j], total / 3, 1e-6);
				cr_assert_float_eq((double)sum[g * n + j], total, 1e-6);
				cr_assert_eq(max[g * LD + j], at[best * LD]);
				cr_assert_eq(who[g * n + j], (int)best);
				for (size_t u = 0; u < units; u++)
					cr_assert_float_eq(
						(double)dx[(g * units + u) * LD + j],
						(double)dmean[g * LD + j] / 3 +
							(u == best ? (double)dmax[g * LD + j] : 0),
						1e-6);
			}
		}
		for (size_t i = 0; i < ROWS * LD; i++)
			dx[i] = x[i];
		isa->group_add(groups, units, n, x, LD, v);
		for (size_t i = 0; i < ROWS * LD; i++)
			cr_assert_eq(x[i],
				     i % LD < n ? dx[i] + v[i / LD / units * n + i % LD] : dx[i]);
		free(x);
		free(dx);
		free(dmean);
		free(dmax);
		free(mean);
		free(max);
		free(v);
		free(sum);
		free(who);
	}
}
