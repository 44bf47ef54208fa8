/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers a person or a planner can use, from the windows of a container or of a deployment's
 * replicas together. Shares are 0..1; what does not exist (no requests, no limit, no source) is 0
 * unless said otherwise.
 */
#pragma once

#include "agent/container.h"
#include "agent/monitor/sample.h"

struct drpc_view {
	uint64_t turns;	 /* in the span looked at */
	double span_sec; /* length of that span */
	double rate_rps;
	double error_rate; /* turns without an answer / turns seen */
	double mean_ms, p50_ms, p99_ms;
	double queue_share; /* queue time / total time */
	double coverage;    /* drpc_window_coverage() */
	double inflight;
	double cpu_usage_cores;
	double throttled_share;	 /* throttled periods / periods */
	double cpu_pressure;	 /* PSI some */
	double memory_usage_mib; /* working set */
	double memory_pressure;
};

/* From a window and the counters of the cgroup in it. */
void drpc_view_window(const struct drpc_window *window, struct drpc_view *ret);

/*
 * A container as `ls` and `top` show it: requests of the last `span_ns`, CPU, memory and pressure of
 * the last second.
 */
void drpc_view_container(const struct drpc_container *container, uint64_t now_ns, uint64_t span_ns,
			 struct drpc_view *ret);
