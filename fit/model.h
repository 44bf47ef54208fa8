/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An application as a recording shows it: what can be read off directly (graph, CPU time a request,
 * memory, limits), and the parameters that a search finds (fit/search.h).
 *
 * An agent does not see inside requests: a service has one operation, and its requests are one mix.
 */
#pragma once

#include <stdio.h>

#include "fit/data.h"

/* --- lines through points ----------------------------------------------------------------------- */

struct drpc_fit_line {
	double slope, intercept;
	double slope_error; /* standard */
	double residual;    /* root of the weighted mean square */
	bool through_zero;  /* x varies too little to tell an intercept, or it came out negative */
};

/*
 * Least squares with Huber's weights, so that some points that are off do not matter. The intercept
 * is at least 0; it is 0 where x spreads less than `spread` (largest ÷ smallest). n may be 0.
 */
struct drpc_fit_line drpc_fit_line(const double *x, const double *y, const double *weight, size_t n,
				   double spread);

/* --- the model ---------------------------------------------------------------------------------- */

#define DRPC_FIT_NAME_MAX 100

struct drpc_fit_call {
	uint32_t callee; /* of model->services */
	double per_request;
	double mean_ns; /* as the caller sees it, where nothing was throttled */
};

struct drpc_fit_service {
	char name[DRPC_FIT_NAME_MAX + 1]; /* as drpc_fit_name() makes it, each once */
	uint32_t source;		  /* of data->names */
	uint64_t requests;

	/* As recorded; limits those of the end. */
	uint32_t replicas;
	double cpu_limit_cores, cpu_limit_least, cpu_limit_most; /* 0: none */
	double memory_limit_bytes;
	double outside_share; /* of its requests: not from a service of this recording */
	double errors;	      /* requests without an answer, as a share */
	struct drpc_fit_call *calls;
	size_t n_calls;
	bool parallel, order_known;

	struct drpc_fit_line cpu; /* x requests a second, y cores */
	double memory_base_bytes, memory_per_call_bytes, cache_bytes, cache_per_call_bytes;
	bool cache_grew;

	/* What the search finds. */
	double cv; /* of the CPU time of a request */
	bool exponential;
	double wait_ns; /* of a request, without CPU */
	bool wait_exponential;
	double after;	  /* share of the CPU time that comes behind waits and calls */
	uint32_t workers; /* busy while requests waited; 0: no limit shows */
	double busy_most; /* calls worked on in a replica at the same time, at the most */
	double distance;  /* of the simulated from the recorded, see fit/replay.h */
};

struct drpc_fit_model {
	const struct drpc_fit_data *data; /* borrowed */
	const char *name;		  /* borrowed */
	double slo_ns;
	double network_ns; /* one way */
	struct drpc_fit_service *services;
	size_t n;
	uint32_t *order;     /* of services: a callee comes before its callers */
	double *outside_rps; /* points × services: requests from outside */
	size_t cut_edges;    /* calls that would have closed a circle, left out */
	size_t idle;	     /* deployments without a request, left out */
};

/*
 * Everything but the search. `slo_ns` 0: the lowest objective recorded of a service that is called
 * from outside; -EINVAL (logged) where there is none.
 */
int drpc_fit_model_make(const struct drpc_fit_data *data, const char *path, const char *name,
			double slo_ns, struct drpc_fit_model *ret);
void drpc_fit_model_release(struct drpc_fit_model *model);

/* A deployment's name as an application file may hold it: what is no letter, digit, `_`, `-` or `/`
 * becomes `-`. `room` is at least DRPC_FIT_NAME_MAX + 1. */
void drpc_fit_name(const char *deployment, char *room);

/* CPU time of a request; always over 0. */
double drpc_fit_demand_ns(const struct drpc_fit_service *s);

/* CPU, memory and workers of all services (model.c calls it). */
int drpc_fit_resources(const struct drpc_fit_data *data, struct drpc_fit_model *model);

/* Whether requests waited so long that they waited for a worker, not for the CPU: of `requests` that
 * took total_ns together, queue_ns of it before they were read. */
bool drpc_fit_all_busy(double requests, double queue_ns, double total_ns);

/* The application file; whoever reads it back gets this model. Returns 0 or -EIO. */
int drpc_fit_model_write(const struct drpc_fit_model *model, FILE *out);
