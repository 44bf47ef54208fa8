/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ridge autoregression on a grid (grid.h): how far column 0 will be from its last value in 1..horizons
 * steps, linear in the lags of all columns and the time of day. Lags count relative to the last value,
 * so that a level that drifts away from what was seen in training does no harm; column 0's last value
 * itself is there too. Inputs are standardised. The penalty on a coefficient is lambda, or, where a
 * `decay` is given, lambda × (1 + lag / decay), and `others` times that for columns other than 0: what
 * is long ago or of something else has to prove more.
 */
#pragma once

#include <stddef.h>

#include "workload/grid.h"

#define DRPC_RIDGE_MAX_HORIZONS	 16
#define DRPC_RIDGE_MAX_LAGS	 64
#define DRPC_RIDGE_MAX_HARMONICS 8

struct drpc_ridge_spec {
	size_t lags; /* 2..DRPC_RIDGE_MAX_LAGS */
	size_t horizons;
	unsigned int harmonics; /* of the day */
	double decay;		/* in steps; 0: all lags alike */
	double others;		/* 1: all columns alike */
};

struct drpc_ridge {
	struct drpc_ridge_spec spec;
	size_t columns;
	size_t inputs;
	double *mean;	/* [inputs] */
	double *scale;	/* [inputs] */
	double *weight; /* [inputs + 1][horizons]; the last row is the intercept */
};

/* The equations of a fit, for solving with one penalty after another. */
struct drpc_ridge_system;

/* -EINVAL for a specification out of bounds, -ENODATA without anchors, -ENOMEM; logged. */
int drpc_ridge_prepare(const struct drpc_ridge_spec *spec, const struct drpc_grid *grid,
		       const size_t *anchors, size_t n, struct drpc_ridge_system **ret);
void drpc_ridge_system_free(struct drpc_ridge_system **system);

/* A penalty for each horizon. -EDOM where the equations have no solution, -ENOMEM; logged. */
int drpc_ridge_solve(struct drpc_ridge_system *system, const double *lambdas,
		     struct drpc_ridge *ret);

/* ret [horizons]: the change from the last value. */
void drpc_ridge_run(const struct drpc_ridge *ridge, const struct drpc_grid *grid, size_t anchor,
		    double *ret);
void drpc_ridge_done(struct drpc_ridge *ridge);
