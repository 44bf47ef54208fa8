/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Points of a recording, simulated: the same limits, replicas and rates on a model, and how far what
 * comes out is from what was recorded.
 */
#pragma once

#include "fit/model.h"
#include "sim/sim.h"

/* One service at one point, as simulated. */
struct drpc_fit_simulated {
	uint64_t requests, periods, throttled;
	double cpu_s, seconds;
	uint64_t hist[DRPC_HIST_BUCKETS];
};

struct drpc_fit_replay {
	uint64_t seed;
	unsigned int seeds; /* so many runs are added up */
	double seconds;	    /* of each; 0: as long as the point was */
	/* Instead of a Poisson process at the rates that were recorded; pieces NULL: none. */
	struct drpc_sim_load load;
};

/*
 * Simulates a point. `place` tells for each service of the application its place in the data, or
 * UINT32_MAX; `outside_rps` the rate of requests to it from outside (not used with a load of its
 * own). The application is changed for the time of the call: limits and replicas are the point's,
 * memory has no bounds. ret has room for all services of the application.
 */
int drpc_fit_simulate(struct drpc_sim_app *app, const struct drpc_fit_point *point,
		      const uint32_t *place, const double *outside_rps,
		      const struct drpc_fit_replay *replay, struct drpc_fit_simulated *ret);

/*
 * How far two histograms are apart: the mean over all requests of |ln| of the ratio of the latencies
 * of the same rank, those of the rare ones counting more, as much as their number allows to be told
 * apart. 0.1 is some 10 % throughout. 0 where one is empty.
 */
double drpc_fit_distance(const uint64_t a[DRPC_HIST_BUCKETS], const uint64_t b[DRPC_HIST_BUCKETS]);

/* What a point says of a service, recorded and simulated. Latencies in ms. */
struct drpc_fit_figures {
	double p50_ms, p99_ms, mean_rps, throttled, cpu_cores;
};
struct drpc_fit_figures drpc_fit_recorded_figures(const struct drpc_fit_point *point,
						  uint32_t source);
struct drpc_fit_figures drpc_fit_simulated_figures(const struct drpc_fit_simulated *s);
