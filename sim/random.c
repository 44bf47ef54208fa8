// SPDX-License-Identifier: Apache-2.0
#include "sim/random.h"

#include <math.h>
#include <stddef.h>

#define LN2 0x1.62e42fefa39efp-1

/* log(c) for c in 1..2 by the series of 2 atanh((c - 1) / (c + 1)): additions and products alone. */
static double series_log(double c)
{
	const double y = (c - 1.0) / (c + 1.0), y2 = y * y;
	double sum = 0.0, term = y;

	for (int k = 1; k < 60; k += 2) {
		sum += term / k;
		term *= y2;
	}
	return 2.0 * sum;
}

void drpc_sim_tables_init(struct drpc_sim_tables *tables)
{
	double root = 2.0;

	for (int i = 0; i < DRPC_SIM_CELLS; i++) {
		const double middle = 1.0 + (i + 0.5) / DRPC_SIM_CELLS;

		tables->inverse[i] = 1.0 / middle;
		tables->log[i] = series_log(middle);
	}
	for (int i = 0; i < DRPC_SIM_POWERS; i++)
		tables->power[i] = 1.0;
	/* 2^(i / 64) from the square roots of 2, which IEEE 754 rounds exactly. */
	for (int bit = DRPC_SIM_POWERS / 2; bit > 0; bit /= 2) {
		root = sqrt(root);
		for (int i = 0; i < DRPC_SIM_POWERS; i++)
			tables->power[i] *= i & bit ? root : 1.0;
	}
}

double drpc_sim_exp(const struct drpc_sim_tables *t, double x)
{
	const double scaled = x * (DRPC_SIM_POWERS / LN2);
	const int64_t n = (int64_t)(scaled + (scaled < 0 ? -0.5 : 0.5));
	const double r = x - (double)n * (LN2 / DRPC_SIM_POWERS);
	const int64_t cell = n & (DRPC_SIM_POWERS - 1), e = (n - cell) / DRPC_SIM_POWERS;
	const double poly = 1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6 + r * (1.0 / 24))));
	const uint64_t bits = (uint64_t)(e + 1023) << 52;
	double power;

	memcpy(&power, &bits, sizeof(power));
	return power * t->power[cell] * poly;
}

static double ratio(const double num[8], const double den[8], double x)
{
	double a = num[7], b = den[7];

	for (int i = 6; i >= 0; i--) {
		a = a * x + num[i];
		b = b * x + den[i];
	}
	return a / b;
}

/* Wichura, Algorithm AS 241, Applied Statistics 37 (1988): PPND16. */
double drpc_sim_normal_quantile(const struct drpc_sim_tables *t, double p)
{
	static const double a[8] = {3.3871328727963666080e0,  1.3314166789178437745e+2,
				    1.9715909503065514427e+3, 1.3731693765509461125e+4,
				    4.5921953931549871457e+4, 6.7265770927008700853e+4,
				    3.3430575583588128105e+4, 2.5090809287301226727e+3};
	static const double b[8] = {1.0,
				    4.2313330701600911252e+1,
				    6.8718700749205790830e+2,
				    5.3941960214247511077e+3,
				    2.1213794301586595867e+4,
				    3.9307895800092710610e+4,
				    2.8729085735721942674e+4,
				    5.2264952788528545610e+3};
	static const double c[8] = {1.42343711074968357734e0,  4.63033784615654529590e0,
				    5.76949722146069140550e0,  3.64784832476320460504e0,
				    1.27045825245236838258e0,  2.41780725177450611770e-1,
				    2.27238449892691845833e-2, 7.74545014278341407640e-4};
	static const double d[8] = {1.0,
				    2.05319162663775882187e0,
				    1.67638483018380384940e0,
				    6.89767334985100004550e-1,
				    1.48103976427480074590e-1,
				    1.51986665636164571966e-2,
				    5.47593808499534494600e-4,
				    1.05075007164441684324e-9};
	static const double e[8] = {6.65790464350110377720e0,  5.46378491116411436990e0,
				    1.78482653991729133580e0,  2.96560571828504891230e-1,
				    2.65321895265761230930e-2, 1.24266094738807843860e-3,
				    2.71155556874348757815e-5, 2.01033439929228813265e-7};
	static const double f[8] = {1.0,
				    5.99832206555887937690e-1,
				    1.36929880922735805310e-1,
				    1.48753612908506148525e-2,
				    7.86869131145613259100e-4,
				    1.84631831751005468180e-5,
				    1.42151175831644588870e-7,
				    2.04426310338993978564e-15};
	const double q = p - 0.5;
	double r, x;

	if (fabs(q) <= 0.425)
		return q * ratio(a, b, 0.180625 - q * q);
	r = sqrt(-drpc_sim_log(t, q < 0 ? p : 1.0 - p));
	x = r <= 5.0 ? ratio(c, d, r - 1.6) : ratio(e, f, r - 5.0);
	return q < 0 ? -x : x;
}

struct drpc_sim_dist drpc_sim_constant(double mean_ns)
{
	return (struct drpc_sim_dist){.kind = DRPC_SIM_CONSTANT, .mean_ns = mean_ns};
}

struct drpc_sim_dist drpc_sim_exponential_dist(double mean_ns)
{
	return (struct drpc_sim_dist){.kind = DRPC_SIM_EXPONENTIAL, .mean_ns = mean_ns};
}

struct drpc_sim_dist drpc_sim_lognormal(double mean_ns, double cv)
{
	const double sigma = sqrt(log1p(cv * cv));

	return (struct drpc_sim_dist){.kind = DRPC_SIM_LOGNORMAL,
				      .mean_ns = mean_ns,
				      .a = sigma,
				      .b = exp(-0.5 * sigma * sigma)};
}

struct drpc_sim_dist drpc_sim_uniform_dist(double low_ns, double high_ns)
{
	return (struct drpc_sim_dist){.kind = DRPC_SIM_UNIFORM,
				      .mean_ns = 0.5 * (low_ns + high_ns),
				      .a = low_ns,
				      .b = high_ns - low_ns};
}

struct drpc_sim_dist drpc_sim_pareto(double mean_ns, double index)
{
	return (struct drpc_sim_dist){.kind = DRPC_SIM_PARETO,
				      .mean_ns = mean_ns,
				      .a = mean_ns * (index - 1.0) / index,
				      .b = -1.0 / index};
}

double drpc_sim_second_moment(const struct drpc_sim_dist *d)
{
	const double m2 = d->mean_ns * d->mean_ns;

	switch (d->kind) {
	case DRPC_SIM_CONSTANT:
		return m2;
	case DRPC_SIM_EXPONENTIAL:
		return 2.0 * m2;
	case DRPC_SIM_LOGNORMAL:
		return m2 * exp(d->a * d->a);
	case DRPC_SIM_UNIFORM:
		return m2 + d->b * d->b / 12.0;
	case DRPC_SIM_PARETO:
		return d->b <= -0.5 ? INFINITY : d->a * d->a / (1.0 + 2.0 * d->b);
	}
	return m2;
}

double drpc_sim_draw_other(const struct drpc_sim_tables *t, const struct drpc_sim_dist *d,
			   uint64_t *stream)
{
	const double u = drpc_sim_uniform(stream);

	switch (d->kind) {
	case DRPC_SIM_LOGNORMAL:
		return d->mean_ns * d->b * drpc_sim_exp(t, d->a * drpc_sim_normal_quantile(t, u));
	case DRPC_SIM_UNIFORM:
		return d->a + d->b * u;
	case DRPC_SIM_PARETO:
		return d->a * drpc_sim_exp(t, d->b * drpc_sim_log(t, u));
	default:
		return d->mean_ns;
	}
}
