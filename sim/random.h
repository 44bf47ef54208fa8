/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random numbers of a simulation: counters mixed by SplitMix64's finaliser.
 *
 * As with nn/rng.h's Philox a draw is a function of (seed, stream, index) alone, but a Philox block
 * costs as much time as an event may (ten rounds, 15 to 20 ns; this is 2). Every call of a request
 * draws from a stream of its own, derived from the seed and the request's number: what a request
 * wants from a service does not depend on what other requests or a scaling policy did before, and
 * two policies under the same seed are compared on the same requests.
 *
 * Logarithm and exponential are our own: libm's differ in the last bit between processors (it
 * chooses by fused multiply-add), and a run must come out the same everywhere.
 */
#pragma once

#include <stdint.h>
#include <string.h>

#define DRPC_SIM_GOLDEN 0x9e3779b97f4a7c15ULL
#define DRPC_SIM_CELLS	128 /* of the logarithm's table */
#define DRPC_SIM_POWERS 64  /* of the exponential's */

struct drpc_sim_tables {
	double inverse[DRPC_SIM_CELLS]; /* 1 / middle of a cell of 1..2 */
	double log[DRPC_SIM_CELLS];	/* log(middle) */
	double power[DRPC_SIM_POWERS];	/* 2^(i / 64) */
};

void drpc_sim_tables_init(struct drpc_sim_tables *tables);

static inline uint64_t drpc_sim_mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

/* A stream of its own for each (seed, number). */
static inline uint64_t drpc_sim_stream(uint64_t seed, uint64_t number)
{
	return drpc_sim_mix(seed ^ drpc_sim_mix(number * DRPC_SIM_GOLDEN + 1));
}

static inline uint64_t drpc_sim_next(uint64_t *stream)
{
	*stream += DRPC_SIM_GOLDEN;
	return drpc_sim_mix(*stream);
}

/* Uniform in (0, 1): its logarithm is finite, and so is that of 1 minus it. */
static inline double drpc_sim_uniform(uint64_t *stream)
{
	return ((double)(drpc_sim_next(stream) >> 12) + 0.5) * 0x1p-52;
}

/* log(x) for normal positive x, within 1e-12 of it. */
static inline double drpc_sim_log(const struct drpc_sim_tables *t, double x)
{
	uint64_t bits;
	double m, r;
	int cell;

	memcpy(&bits, &x, sizeof(bits));
	cell = (int)(bits >> 45) & (DRPC_SIM_CELLS - 1);
	const double e = (double)((int)(bits >> 52) - 1023);
	bits = (bits & 0x000fffffffffffffULL) | 0x3ff0000000000000ULL;
	memcpy(&m, &bits, sizeof(m));
	r = m * t->inverse[cell] - 1.0;
	return e * 0x1.62e42fefa39efp-1 + t->log[cell] +
	       r * (1.0 + r * (-0.5 + r * (1.0 / 3.0 - r * 0.25)));
}

/* exp(x) for |x| < 600, within 1e-12 of it relatively. */
double drpc_sim_exp(const struct drpc_sim_tables *t, double x);

/* The standard normal's quantile (algorithm AS 241, 16 digits). */
double drpc_sim_normal_quantile(const struct drpc_sim_tables *t, double p);

/* Exponential with mean 1. */
static inline double drpc_sim_exponential(const struct drpc_sim_tables *t, uint64_t *stream)
{
	return -drpc_sim_log(t, drpc_sim_uniform(stream));
}

/* --- distributions of times --------------------------------------------------------------------- */

enum drpc_sim_dist_kind {
	DRPC_SIM_CONSTANT,
	DRPC_SIM_EXPONENTIAL,
	DRPC_SIM_LOGNORMAL, /* by mean and coefficient of variation */
	DRPC_SIM_UNIFORM,   /* between two bounds */
	DRPC_SIM_PARETO,    /* by mean and tail index > 1 */
};

struct drpc_sim_dist {
	enum drpc_sim_dist_kind kind;
	double mean_ns;
	double a,
		b; /* lognormal: sigma, exp(-sigma²/2); uniform: low, width; pareto: scale, -1/index */
};

struct drpc_sim_dist drpc_sim_constant(double mean_ns);
struct drpc_sim_dist drpc_sim_exponential_dist(double mean_ns);
struct drpc_sim_dist drpc_sim_lognormal(double mean_ns, double cv);
struct drpc_sim_dist drpc_sim_uniform_dist(double low_ns, double high_ns);
struct drpc_sim_dist drpc_sim_pareto(double mean_ns, double index);
/* E[x²], for theory; infinite for a Pareto of index <= 2. */
double drpc_sim_second_moment(const struct drpc_sim_dist *d);

/* The rarer kinds of drpc_sim_draw(). */
double drpc_sim_draw_other(const struct drpc_sim_tables *t, const struct drpc_sim_dist *d,
			   uint64_t *stream);

static inline double drpc_sim_draw(const struct drpc_sim_tables *t, const struct drpc_sim_dist *d,
				   uint64_t *stream)
{
	if (d->kind == DRPC_SIM_CONSTANT)
		return d->mean_ns;
	if (d->kind == DRPC_SIM_EXPONENTIAL)
		return d->mean_ns * drpc_sim_exponential(t, stream);
	return drpc_sim_draw_other(t, d, stream);
}
