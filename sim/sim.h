/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulator: discrete events, one application, one run. docs/simulator.md tells the model.
 *
 * A simulation is made from an application (borrowed, shared, immutable), a load and a seed, and is
 * stepped from decision to decision; actions (sim/policy.h) come between the steps. The same
 * application, load, seed, needs and actions give the same run, bit for bit. One thread a
 * simulation; simulations share nothing but the application.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/app.h"
#include "sim/policy.h"

/* A piece of load in which the rate runs linearly from one value to another. */
struct drpc_sim_piece {
	double duration_s, from_rps, to_rps;
};

/* When requests arrive; all borrowed for the simulation's life. After its last piece none come. */
struct drpc_sim_load {
	const struct drpc_sim_piece *pieces;
	size_t n_pieces;
	/* n_pieces × classes weights of the request classes; NULL: the application's shares. */
	const double *shares;
	bool uniform; /* evenly spaced arrivals instead of a Poisson process */
};

struct drpc_sim_config {
	struct drpc_sim_load load;
	uint64_t seed;
	double warmup_s;	     /* at the start, not counted in the result */
	struct drpc_sim_needs needs; /* of whoever watches; period_ns 0: no intervals */
	uint32_t calls_max;	     /* at the same time; 0: 1 Mi */
};

/* Why a request failed. */
enum drpc_sim_failure {
	DRPC_SIM_FAILED_ERROR,	 /* an operation failed, or one below it */
	DRPC_SIM_FAILED_TIMEOUT, /* the user gave up */
	DRPC_SIM_FAILED_REFUSED, /* a queue was full, or no replica served */
	DRPC_SIM_FAILED_KILLED,	 /* its replica ran out of memory */
	DRPC_SIM_FAILURES,
};

struct drpc_sim_result {
	/* Of the time after the warm-up. arrived = succeeded + failed + open at the end - open then. */
	uint64_t arrived, succeeded, failed;
	uint64_t failures[DRPC_SIM_FAILURES]; /* by cause, of the last attempt */
	uint64_t open;			      /* requests on their way at the end */
	double measured_s;
	double mean_ms, p50_ms, p66_ms, p75_ms, p80_ms, p90_ms, p95_ms, p99_ms, p9999_ms;
	double max_ms;
	double slo_violation_rate; /* requests that failed or took longer than the objective */
	double cpu_cores_mean;	   /* Σ limits of the replicas that are up */
	double cpu_used_cores_mean;
	double memory_mib_mean; /* Σ limits */
	double memory_used_mib_mean;
	double replicas_mean;
	uint64_t oom_kills, actions;
	uint64_t calls, events; /* of the whole run */
	double sim_seconds;
};

/* Returns 0, -EINVAL (logged: what), -ENOMEM. */
int drpc_sim_new(const struct drpc_sim_app *app, const struct drpc_sim_config *config,
		 struct drpc_sim **ret);
void drpc_sim_free(struct drpc_sim **sim);

/* Changes the needs before the first step: a policy's create() may have found others. */
int drpc_sim_set_needs(struct drpc_sim *sim, const struct drpc_sim_needs *needs);

/* Runs until `time_ns`, through any intervals. Returns 0, or -ENOBUFS (logged) where more calls are
 * open than calls_max. */
int drpc_sim_run(struct drpc_sim *sim, uint64_t time_ns);

/*
 * Runs to the next decision, at most until `end_ns`. Returns 1 with the observation (valid until
 * the next step), 0 where the end was reached before it, or a negative errno as drpc_sim_run().
 */
int drpc_sim_step(struct drpc_sim *sim, uint64_t end_ns, const struct drpc_sim_obs **ret);

uint64_t drpc_sim_now_ns(const struct drpc_sim *sim);
const struct drpc_sim_app *drpc_sim_app(const struct drpc_sim *sim);
struct drpc_sim_result drpc_sim_result(struct drpc_sim *sim);

/* Sum over the run of a service: cpu.stat of all its replicas. */
struct drpc_sim_cpu_stat {
	double usage_ns;
	uint64_t periods, throttled;
};
struct drpc_sim_cpu_stat drpc_sim_cpu_stat(struct drpc_sim *sim, uint32_t service);

/*
 * How long the requests took that ended well after the warm-up: counts of DRPC_SIM_LATENCY_BUCKETS
 * buckets of 1.1 %, until the next step. The first begins at 0, the last has no end.
 */
#define DRPC_SIM_LATENCY_BUCKETS 2432
const uint32_t *drpc_sim_latencies(const struct drpc_sim *sim);
double drpc_sim_latency_bucket_ns(unsigned int bucket); /* where it begins */
/* A quantile of such counts, which may be the difference of two; 0 of none. */
double drpc_sim_latency_quantile_ns(const uint32_t *counts, double q);

/* --- a policy's run ----------------------------------------------------------------------------- */

/* Looks at a run from outside, and what is found out about the policy on the way. */
struct drpc_sim_watch {
	double every_s; /* 0: never */
	/* At the end of the warm-up, each every_s after it, and at the run's end; what happens in the
	 * run stays the same. A negative errno ends it. */
	int (*look)(void *arg, struct drpc_sim *sim);
	void *arg;

	/* Found out. */
	uint64_t decisions;
	double decide_cpu_s; /* CPU time of all of them */
	size_t parameters;   /* of what decides; 0: it has none, or does not tell */
};

/* Makes the simulation and the policy, runs them for `seconds`, and tells the result. `progress`
 * (NULL: none) is called with the share done, now and then. */
int drpc_sim_evaluate(const struct drpc_sim_app *app, const struct drpc_sim_config *config,
		      const struct drpc_sim_policy *policy, const struct drpc_sim_params *params,
		      double seconds, void (*progress)(void *arg, double done), void *arg,
		      struct drpc_sim_result *ret);

/* The same, watched. */
int drpc_sim_evaluate_watched(const struct drpc_sim_app *app, const struct drpc_sim_config *config,
			      const struct drpc_sim_policy *policy,
			      const struct drpc_sim_params *params, double seconds,
			      void (*progress)(void *arg, double done), void *arg,
			      struct drpc_sim_watch *watch, struct drpc_sim_result *ret);
