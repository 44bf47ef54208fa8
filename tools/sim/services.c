// SPDX-License-Identifier: Apache-2.0
#include "tools/sim/services.h"

#include <math.h>

#include "nn/rng.h"

#define LAYERS	  4
#define CALLS	  2 /* of a service */
#define LEAST_MS  2.0
#define MOST_MS	  8.0
#define USE	  0.6 /* of the limits at the rate that they are made for */
#define LEAST_CPU 0.2
#define NODE_CPUS 8

/* A service of the next layer; two callers share it evenly. */
static unsigned int callee(unsigned int at, unsigned int width, unsigned int k)
{
	return k == 0 ? at : (at * 3 + 1) % width;
}

static void write_service(FILE *to, unsigned int i, unsigned int width, double work_ms)
{
	const unsigned int layer = i / width, at = i % width;
	const double rps = SIM_SERVICES_RPS * pow(CALLS, layer);
	const double cores = fmax(ceil(rps * work_ms * 1e-3 / USE * 100) / 100, LEAST_CPU);

	fprintf(to, "  s%u:\n    cpu: %.0fm\n    operations: {x: [cpu: %.0fus lognormal 0.7", i,
		cores * 1000, work_ms * 1000);
	if (layer + 1 < LAYERS) {
		fputs(", call: [", to);
		for (unsigned int k = 0; k < CALLS; k++)
			fprintf(to, "%ss%u.x", k ? ", " : "",
				(layer + 1) * width + callee(at, width, k));
		fputs("]", to);
	}
	fputs("]}\n", to);
}

void sim_services_write(FILE *to, unsigned int services, uint64_t seed)
{
	const unsigned int width = services / LAYERS, n = width * LAYERS;
	struct drpc_rng rng = drpc_rng_make(seed, 1);

	fprintf(to,
		"# %u services; limits fit %g requests a second, %g for each service of the first layer.\n"
		"name: services-%u\nslo-p99: 1s\n"
		"cluster:\n  nodes:\n    - {name: machine, count: %u, cpu: %d, memory: 32Gi}\n"
		"  network: 200us exponential\n  cfs-tick: 4ms\n  restart: 1s\n  restart-max: 60s\n"
		"defaults:\n  max-replicas: 3\n  min-cpu: 20m\n  max-cpu: 2\n  memory: 128Mi\n"
		"  min-memory: 48Mi\n  max-memory: 512Mi\n  memory-base: 32Mi\n"
		"  memory-per-call: 200Ki\n  cache: 32Mi\n  cache-per-call: 16Ki\n"
		"  reclaim-slowdown: 2\n  call-timeout: 2s\nservices:\n",
		n, SIM_SERVICES_RPS * width, SIM_SERVICES_RPS, n, (n + 15) / 16, NODE_CPUS);
	for (unsigned int i = 0; i < n; i++)
		write_service(to, i, width,
			      LEAST_MS + (MOST_MS - LEAST_MS) * drpc_rng_uniform(&rng));
	fputs("requests:\n", to);
	for (unsigned int i = 0; i < width; i++)
		fprintf(to, "  r%u: {to: s%u.x, timeout: 5s}\n", i, i);
}
