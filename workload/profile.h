/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A load profile: what utilisation a load leads to, fitted to measured points with a perceptron of
 * three layers, and back: which load leads to a utilisation. Seeded; the same seed and points give
 * the same profile.
 *
 * The way back needs a curve that does not fall. Whether the fitted one is such is found out and told;
 * where it falls, the way back goes by its upper envelope (the smallest load that reaches the
 * utilisation).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DRPC_PROFILE_GRID 1024

struct drpc_profile {
	double load_min, load_max;
	double envelope[DRPC_PROFILE_GRID +
			1]; /* over loads that are even in their transformed scale */
	double curve[DRPC_PROFILE_GRID + 1]; /* the fitted curve there */
	bool monotone;	   /* the curve never falls by more than 0.5 % of its height */
	double worst_fall; /* how far it does, in utilisation */
	double rmse;	   /* at the points, in utilisation */
	double worst_error;
};

/*
 * Fits to n points. -EINVAL (logged) for fewer than 4, values that are not finite or negative, or
 * loads that are all the same; -EDOM where training diverged; -ENOMEM.
 */
int drpc_profile_fit(const double *load, const double *utilisation, size_t n, uint64_t seed,
		     struct drpc_profile *ret);

/* The utilisation at a load; at either end of the fitted range outside of it. */
double drpc_profile_utilisation(const struct drpc_profile *profile, double load);

/* The smallest load that leads to a utilisation; at either end of the fitted range outside of it. */
double drpc_profile_load(const struct drpc_profile *profile, double utilisation);
