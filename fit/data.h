/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A recording seen as an application: containers joined to services, intervals to points.
 *
 * A point is a stretch of time in which nothing was changed: the same containers under the same
 * limits, at a load that stays as it is. It is what a fit compares, and what it is compared at.
 */
#pragma once

#include "fit/recording.h"

#define DRPC_FIT_POINT_LEAST_S 3.0
#define DRPC_FIT_POINT_MOST_S  60.0

/* One service at one point, all its replicas together. */
struct drpc_fit_stat {
	double replica_s; /* Σ replicas × seconds */
	uint64_t requests, errors, seen, lost;
	double cpu_s;
	uint64_t periods, throttled;
	double total_s, queue_s, service_s;
	double busy_max;	/* calls worked on in a replica, mean of its busiest interval */
	double cpu_limit_cores; /* of a replica, mean; 0: none */
	uint64_t hist[DRPC_HIST_BUCKETS];
};

/* Calls of an edge at one point. */
struct drpc_fit_flow {
	uint64_t count, failures;
	double sum_s;
};

struct drpc_fit_point {
	int64_t begin_ms, end_ms;
	double seconds;		     /* of its intervals that count: those around a change do not */
	struct drpc_fit_stat *stats; /* by service */
	struct drpc_fit_flow *flows; /* by edge */
};

struct drpc_fit_pair {
	uint32_t caller, callee; /* services */
};

struct drpc_fit_data {
	const struct drpc_recorded *recorded; /* borrowed */
	const char **names; /* of the services: deployments, ascending; borrowed */
	size_t n_services;
	uint32_t *service_of; /* by container */
	struct drpc_fit_pair *edges;
	size_t n_edges;
	struct drpc_fit_point *points;
	size_t n_points;
	double dispersion; /* variance ÷ mean of the busiest service's requests in an interval */
};

/* -ENODATA (logged) where there is no point. */
int drpc_fit_data_make(const struct drpc_recorded *recorded, const char *path,
		       struct drpc_fit_data *ret);
void drpc_fit_data_release(struct drpc_fit_data *data);

static inline double drpc_fit_rate(const struct drpc_fit_point *p, size_t service)
{
	return (double)p->stats[service].requests / p->seconds;
}

/* Quantile of such a histogram, in ns, as lib/hist.h interpolates it; 0 where it is empty. */
double drpc_fit_quantile_ns(const uint64_t hist[DRPC_HIST_BUCKETS], double q);
