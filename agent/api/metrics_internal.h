/* SPDX-License-Identifier: Apache-2.0 */
/* Between metrics.c, which collects, and metrics_families.c, which knows the names. */
#pragma once

#include "agent/api/exposition.h"
#include "agent/api/metrics.h"
#include "agent/monitor/series.h"

/* What is exposed of one container, or of `other`. */
struct metrics_row {
	const char *container, *deployment;
	const struct drpc_total *total; /* NULL: there never was a request */
	struct drpc_cgroup_counters cg;
	double inflight, coverage;
	double cpu_limit_cores, memory_limit_bytes; /* NAN: none */
	size_t containers;			    /* in this row */
};

struct drpc_metrics {
	size_t cap, own;	  /* containers with series of their own: at most, and now */
	struct metrics_row *rows; /* DRPC_METRICS_CONTAINERS + 1, scratch of one exposition */
	struct metrics_row gone;  /* what containers of `other` counted before they went */
	struct drpc_total gone_total, other_total;
	uint64_t requests[6]; /* answered, by the first digit of the status */
};

void drpc_metrics_containers(struct drpc_expo *expo, const struct metrics_row *rows, size_t count);
void drpc_metrics_deployments(struct drpc_expo *expo, const struct drpc_agent *agent);
void drpc_metrics_agent(struct drpc_expo *expo, const struct drpc_metrics *metrics,
			const struct drpc_agent *agent);
