/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a scaling policy sees of a running simulation and what it may do to it.
 *
 * A policy is made once a run, called at the end of each of its periods with what was observed of
 * that period (or of an earlier one, where its metrics lag), and acts through the functions below.
 * It never sees the simulator's inside: no queue, no demand, no future. Everything is a function of
 * seed and calls: a policy that draws random numbers seeds them from its parameters' seed.
 *
 * Times are nanoseconds of simulated time since the start of the run. CPU is in cores, memory in
 * bytes. "Limit" is per replica, all replicas of a service have the same. All pointers are borrowed
 * until decide() returns.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "include/drpc/hist.h"

struct drpc_sim;

/* --- observation -------------------------------------------------------------------------------- */

/* One CFS period of 100 ms of a service, all its replicas together (needs.period_samples). */
struct drpc_sim_period {
	float usage_cores; /* mean over the period, sum over replicas */
	float throttled;   /* replicas throttled at some time of the period, as a share, 0..1 */
};

/* One service over the interval. */
struct drpc_sim_service_obs {
	const char *name;
	uint32_t index; /* the same for the whole run, 0 .. services - 1 */

	/* Replicas at the interval's end; `wanted` is what was last asked for. */
	uint32_t wanted, ready, starting, pending, draining;
	uint32_t min_replicas, max_replicas; /* as the application's file says */
	bool optional;			     /* may go to no replicas: brownout */

	double cpu_limit_cores; /* of one replica */
	double memory_limit_bytes;
	uint32_t cpu_weight; /* cpu.weight, 1..10000, usually 100 */

	double cpu_usage_cores;	   /* mean over the interval, sum over replicas */
	double replica_seconds;	   /* Σ replicas × seconds that they were up in the interval */
	double cpu_utilisation;	   /* usage / Σ limits over the interval, 0 without replicas */
	double memory_bytes;	   /* working set at the interval's end, sum over replicas */
	double memory_peak_bytes;  /* of the fullest replica in the interval */
	double memory_utilisation; /* memory_bytes / Σ limits at the interval's end */
	uint64_t periods, throttled_periods; /* nr_periods and nr_throttled of cpu.stat, summed */
	double throttled_ratio; /* the one over the other, 0 where there was no period */
	double cpu_pressure;	/* PSI cpu some: share of the interval, mean replica, 0..1 */
	double memory_pressure; /* PSI memory some, likewise */

	uint64_t requests; /* calls that ended in the interval, errors included */
	uint64_t errors;   /* of those: failed, refused, killed */
	double rate_rps;   /* calls that arrived, per second */
	double mean_ns;	   /* latency: from arrival at the service to its answer */
	double p50_ns, p99_ns;
	double queue_share;   /* share of that latency spent waiting for a worker, 0..1 */
	uint32_t concurrency; /* calls in the service at the interval's end, queued ones too */
	uint32_t oom_kills;   /* in the interval */
	const uint32_t *hist; /* DRPC_HIST_BUCKETS counts of the interval; to merge intervals */

	/* The last periods, oldest first; only where needs.period_samples, at most its number. */
	const struct drpc_sim_period *samples;
	size_t n_samples;
};

/* One request class over the interval, as its users see it. */
struct drpc_sim_class_obs {
	const char *name;
	uint64_t requests; /* that ended */
	uint64_t failures; /* of those: errors, timeouts, refusals */
	double rate_rps;   /* that arrived, per second */
	double mean_ns, p99_ns;
};

struct drpc_sim_node_obs {
	const char *name;
	double cpu_cores, memory_bytes;			    /* capacity */
	double cpu_allocated_cores, memory_allocated_bytes; /* Σ limits of what runs there */
	double cpu_usage_cores, memory_usage_bytes;	    /* mean of the interval; at its end */
};

/* One visit of a sampled request to a service (needs.span_every). */
struct drpc_sim_span {
	uint64_t request;  /* number of the request in the run */
	uint64_t start_ns; /* the caller sent it */
	uint64_t end_ns;   /* the caller had its answer */
	uint32_t parent;   /* index of the caller's span, DRPC_SIM_NO_PARENT at the root */
	uint16_t service;
	uint16_t class_;
	bool ok;
};
#define DRPC_SIM_NO_PARENT UINT32_MAX

struct drpc_sim_obs {
	uint64_t begin_ns, end_ns; /* the interval */
	uint64_t now_ns;	   /* end_ns + lag */

	const struct drpc_sim_service_obs *services;
	size_t n_services;
	const struct drpc_sim_node_obs *nodes;
	size_t n_nodes;
	const struct drpc_sim_class_obs *classes;
	size_t n_classes;

	/* End to end, all classes together. */
	uint64_t arrived, ended, failed;
	double rate_rps;
	double mean_ns, p50_ns, p99_ns; /* of those that ended well */
	double slo_ns;			/* the application's objective on p99 */
	const uint32_t *hist;

	/* Whole requests only, spans of one request together, a parent before its children. */
	const struct drpc_sim_span *spans;
	size_t n_spans;
};

/* --- call graph --------------------------------------------------------------------------------- */

/* `caller` may call `callee`. Service graphs may have cycles; the graph of operations has none. */
struct drpc_sim_edge {
	uint32_t caller, callee;
	double calls; /* expected per call of the caller, over its operations, mean */
};

const struct drpc_sim_edge *drpc_sim_edges(const struct drpc_sim *sim, size_t *ret_n);
uint32_t drpc_sim_service_count(const struct drpc_sim *sim);
const char *drpc_sim_service_name(const struct drpc_sim *sim, uint32_t service);
/* Index of a service by name, or -ENOENT. */
int drpc_sim_service_find(const struct drpc_sim *sim, const char *name);

/* --- actions ------------------------------------------------------------------------------------ */
/*
 * Each returns 0 or a negative errno (-EINVAL outside the file's bounds or not finite, -ENOENT for
 * an unknown service). Each that changes something counts as one action of the run. Limits take
 * effect at once (as a write to the cgroup does), a memory limit below what cannot be reclaimed
 * ends in an OOM kill as in the kernel; new replicas serve after their start-up delay; replicas that
 * go drain first. What the nodes have no room for stays `pending` until they do.
 */
int drpc_sim_set_replicas(struct drpc_sim *sim, uint32_t service, uint32_t replicas);
int drpc_sim_set_cpu_limit(struct drpc_sim *sim, uint32_t service, double cores);
int drpc_sim_set_memory_limit(struct drpc_sim *sim, uint32_t service, double bytes);
int drpc_sim_set_cpu_weight(struct drpc_sim *sim, uint32_t service, uint32_t weight);
/* Switches an optional service off and on again; -EINVAL for one that is not optional. */
int drpc_sim_set_brownout(struct drpc_sim *sim, uint32_t service, bool off);

/* --- anomalies (FIRM trains under them) --------------------------------------------------------- */

enum drpc_sim_anomaly {
	DRPC_SIM_ANOMALY_CPU, /* a neighbour on the service's nodes takes `intensity` of the cores */
	DRPC_SIM_ANOMALY_MEMORY, /* `intensity` of the memory limit is taken in each replica */
	DRPC_SIM_ANOMALY_CACHE, /* memory bandwidth, LLC: each call costs (1 + intensity) as much CPU */
	DRPC_SIM_ANOMALY_NETWORK, /* each call of the service takes `intensity` × 10 ms longer */
};

/* From now on for `duration_ns`; intensity 0..1. Several may run at once; they add up. */
int drpc_sim_inject(struct drpc_sim *sim, uint32_t service, enum drpc_sim_anomaly kind,
		    double intensity, uint64_t duration_ns);

/* --- policy ------------------------------------------------------------------------------------- */

/* `key=value` pairs of the command line or of a training run. */
struct drpc_sim_params {
	const char *const *pairs;
	size_t n_pairs;
	uint64_t seed;
};

/* The value of a key, NULL where it is not there. */
const char *drpc_sim_param(const struct drpc_sim_params *params, const char *key);
/* Its number; *ret keeps its default where the key is not there. -EINVAL, logged, for no number. */
int drpc_sim_param_number(const struct drpc_sim_params *params, const char *key, double *ret);
/* Refuses, with a logged error, keys that are not in the NULL-terminated list. */
int drpc_sim_params_check(const struct drpc_sim_params *params, const char *const *known);

/* What the simulator keeps ready for the policy. */
struct drpc_sim_needs {
	uint64_t
		period_ns; /* between decisions, and the length of an interval; multiple of 100 ms */
	uint64_t lag_ns;   /* how old an observation is when it is shown */
	uint32_t period_samples; /* so many of the last 100 ms periods, 0 for none */
	uint32_t span_every;	 /* spans of every so many-th request, 0 for none */
};

struct drpc_sim_policy {
	const char *name;
	const char *help;	     /* one line */
	struct drpc_sim_needs needs; /* defaults; create() may change them by parameters */

	/* Before the run begins; limits and replicas are those of the application's file, and may be
	 * changed by actions already (time 0, new replicas are ready at once). */
	int (*create)(struct drpc_sim *sim, const struct drpc_sim_params *params,
		      struct drpc_sim_needs *needs, void **ret);
	/* A negative errno ends the run. NULL for a policy that never acts. */
	int (*decide)(void *self, struct drpc_sim *sim, const struct drpc_sim_obs *obs);
	void (*destroy)(void *self); /* NULL-safe */
	/* Numbers that were learned, of one that decides; NULL where nothing is. */
	size_t (*parameters)(const void *self);
};

/* The policies of this library; the programs' tables (tools/sim/policies.c) name them all. */
extern const struct drpc_sim_policy drpc_sim_policy_static;
