/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a planner sees and says: the state vector of one deployment and its three outputs.
 *
 * The paper's profile is the first five features, the node profile is all ten (docs/algorithm in
 * the README's words: what eBPF and PSI give the node for free). A policy file names its features,
 * so both run through the same code.
 */
#pragma once

enum drpc_feature {
	DRPC_F_CPU_UTIL,     /* CPU usage / CPU limit of the mean replica, 0.. */
	DRPC_F_MEM_UTIL,     /* working set / memory limit of the mean replica, 0.. */
	DRPC_F_REPLICAS,     /* replicas that serve */
	DRPC_F_RATE,	     /* requests per second / 1000, all replicas together */
	DRPC_F_RATE_PRED,    /* predicted requests per second / 1000 */
	DRPC_F_P99_SLO,	     /* p99 / objective; 0 where there was no request */
	DRPC_F_QUEUE_SHARE,  /* socket-queue time / total time, 0..1 */
	DRPC_F_CPU_PRESSURE, /* PSI cpu some, share of the window, 0..1 */
	DRPC_F_THROTTLED,    /* throttled periods / periods of the window, 0..1 */
	DRPC_F_MEM_PRESSURE, /* PSI memory some, share of the window, 0..1 */
	DRPC_F_COUNT,
};

#define DRPC_F_PAPER_COUNT 5 /* DRPC_F_CPU_UTIL .. DRPC_F_RATE_PRED */

enum drpc_output {
	DRPC_OUT_REPLICAS, /* "horizontal" in the paper */
	DRPC_OUT_CPU,
	DRPC_OUT_MEMORY,
	DRPC_OUT_COUNT,
};

/* An output counts only where |x| exceeds this (paper Alg. 2). */
#define DRPC_DEAD_BAND 0.5f

/* Names as policy files, explain and metrics spell them; index = enum value. */
static const char *const drpc_feature_names[DRPC_F_COUNT] = {
	"cpu_util",	"mem_util",    "replicas",     "rate_krps",	  "rate_pred_krps",
	"p99_over_slo", "queue_share", "cpu_pressure", "throttled_share", "mem_pressure",
};
