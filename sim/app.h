/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An application and its cluster, as docs/simulator.md's files describe them: immutable while
 * simulations run on it, so that many may share one.
 *
 * An operation is what a service does for one kind of call: a list of steps, one after another. A
 * step may call other operations, in parallel. Operations call each other without cycles, hence a
 * request is a tree of calls of bounded size.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/policy.h"
#include "sim/random.h"

#define DRPC_SIM_WORKERS_MAX 4096
#define DRPC_SIM_DEPTH_MAX   64 /* calls below calls */

enum drpc_sim_step_kind {
	DRPC_SIM_STEP_CPU,  /* work: `time` of one core */
	DRPC_SIM_STEP_WAIT, /* time that needs no CPU: a disk, a remote party */
	DRPC_SIM_STEP_FAIL, /* ends the operation with an error, with a probability */
	DRPC_SIM_STEP_CALL, /* calls, all at the same time */
};

struct drpc_sim_step {
	enum drpc_sim_step_kind kind;
	struct drpc_sim_dist time;    /* CPU, WAIT */
	double probability;	      /* FAIL */
	uint32_t first_call, n_calls; /* CALL: of app->calls */
};

/* A place that calls an operation: a step of another one, or a request class. */
struct drpc_sim_call_site {
	uint32_t operation, service; /* called */
	double probability;	     /* that it is called at all */
	uint64_t timeout_ns;	     /* of one attempt; 0 for none */
	uint32_t timeout_class;	     /* sites of the same timeout */
	uint32_t retries;	     /* further attempts after a failed one */
	uint64_t backoff_ns;	     /* before the first of them; doubles */
	bool optional;		     /* its failure is not the caller's */
	size_t line;		     /* of the file */
};

struct drpc_sim_operation {
	char *name; /* "service.operation" */
	uint32_t service;
	uint32_t first_step, n_steps;
	size_t line;
};

enum drpc_sim_balance {
	DRPC_SIM_ROUND_ROBIN,
	DRPC_SIM_LEAST, /* the replica with the fewest calls */
};

struct drpc_sim_service {
	char *name;
	size_t line;
	uint32_t replicas, min_replicas, max_replicas;
	double cpu_cores, min_cpu_cores, max_cpu_cores; /* 0: no limit */
	double cpu_burst_ns;				/* cpu.max.burst */
	double memory_bytes, min_memory_bytes, max_memory_bytes;
	uint32_t workers;  /* calls that a replica handles at the same time */
	uint32_t queue;	   /* that may wait for a worker in it; the next is refused */
	bool holds_worker; /* a call keeps its worker while it waits for others */
	bool optional;	   /* may be switched off */
	enum drpc_sim_balance balance;

	/* Memory of a replica: base + per call in it, which cannot be reclaimed, and a cache that
	 * grows by each call up to its size, which can: at the price of slower work. */
	double memory_base_bytes, memory_per_call_bytes;
	double cache_bytes, cache_per_call_bytes;
	double reclaim_slowdown; /* CPU time × (1 + this) where the whole cache is missing */

	struct drpc_sim_dist startup;	 /* from its start until it serves */
	double warmup_ns, warmup_factor; /* CPU time × factor at first, falling to 1 */
	double drain_ns;		 /* a replica that goes is killed after this */
};

struct drpc_sim_node {
	char *name;
	double cpu_cores, memory_bytes;
};

struct drpc_sim_class {
	char *name;
	uint32_t site; /* of app->calls */
	double share;
};

struct drpc_sim_app {
	char *name;
	double slo_ns; /* objective on p99 */

	struct drpc_sim_node *nodes;
	uint32_t n_nodes;
	struct drpc_sim_dist network; /* one way, between two services; mean 0 for none */
	double cfs_tick_ns;	      /* of the scheduler; 0: bandwidth is kept to the letter */
	double cpu_overcommit;	      /* Σ CPU limits on a node may be so many times its cores */
	double restart_ns, restart_max_ns; /* before a killed replica starts again; doubles */

	struct drpc_sim_service *services;
	uint32_t n_services;
	struct drpc_sim_operation *operations;
	uint32_t n_operations;
	struct drpc_sim_step *steps;
	uint32_t n_steps;
	struct drpc_sim_call_site *calls;
	uint32_t n_calls;
	struct drpc_sim_class *classes;
	uint32_t n_classes;

	/* Found out by drpc_sim_app_check(). */
	struct drpc_sim_edge *edges; /* between services */
	size_t n_edges;
	uint64_t *timeouts; /* class → duration */
	uint32_t n_timeouts;
	double *demand_ns;	 /* CPU time of a request of the mix at each service */
	double *class_demand_ns; /* [classes][services] of a request of each class */
	double *visits;		 /* calls of a request of the mix at each service */
	double calls_per_request;
};

/*
 * Reads a file. Logs "FILE:LINE: rule" and returns -EINVAL for what docs/simulator.md does not
 * allow. `cluster_path` (NULL: none) holds a `cluster:` that replaces the file's own.
 */
int drpc_sim_app_load(const char *path, const char *cluster_path, struct drpc_sim_app **ret);

/* The same of a text, with the complaint in `why`. */
int drpc_sim_app_parse(const char *text, size_t len, const char *name, struct drpc_sim_app **ret,
		       char *why, size_t why_size);

/*
 * What no single line shows: cycles, paths without end, replicas that have no room. Fills what is
 * found out. Returns 0, or -EINVAL with *ret_line and the rule in `why`, or -ENOMEM.
 */
int drpc_sim_app_check(struct drpc_sim_app *app, size_t *ret_line, char *why, size_t why_size);

void drpc_sim_app_free(struct drpc_sim_app **app);
