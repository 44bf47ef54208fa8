/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FIRM's extraction: the critical path of a request's spans, and what a window of them says about each
 * service: how its time goes with the whole (relative importance) and how uneven it is (congestion
 * intensity). docs/baselines.md
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/policy.h"

#define DRPC_CRITICAL_SPANS 512 /* of one request */

/*
 * Marks the spans on the critical path of one request: the root, of each span on it the child that
 * returned last, and the children that had returned before that one began. Parents are indices in
 * `spans` plus `base`; a parent stands before its children. -E2BIG for more than DRPC_CRITICAL_SPANS.
 */
int drpc_critical_path(const struct drpc_sim_span *spans, size_t n, uint32_t base, bool *ret_on);

/* A span's own time: its duration without what its children cover. */
double drpc_critical_self_ns(const struct drpc_sim_span *spans, size_t n, uint32_t base, size_t i);

double drpc_critical_pearson(const double *x, const double *y,
			     size_t n); /* 0 where one is constant */

struct drpc_critical_features {
	size_t requests;   /* whose critical path the service was on */
	double importance; /* Pearson(T_i, T_CP) */
	double congestion; /* p99 / p50 of T_i, at least 1 */
};

/* All of a window, by service. 0 or -ENOMEM. */
int drpc_critical_window(const struct drpc_sim_span *spans, size_t n, size_t services,
			 struct drpc_critical_features *ret);
