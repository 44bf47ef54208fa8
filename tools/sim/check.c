// SPDX-License-Identifier: Apache-2.0
/* `drpc-sim check`: whether an application's file is right, and what its requests need. */
#include <argp.h>
#include <stdio.h>

#include "lib/util.h"
#include "tools/sim/sim.h"

struct arguments {
	const char *app, *cluster;
	double rate;
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	char *end;

	switch (key) {
	case 'a':
		a->app = arg;
		return 0;
	case 'c':
		a->cluster = arg;
		return 0;
	case 'r':
		a->rate = strtod(arg, &end);
		if (end == arg || *end || !(a->rate >= 0.0 && a->rate < 1e9))
			argp_error(state, "--rate: '%s', expected requests a second", arg);
		return 0;
	case ARGP_KEY_END:
		if (!a->app)
			argp_error(state, "expected --app FILE");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void print_services(const struct drpc_sim_app *app, double rate)
{
	double used = 0.0, limits = 0.0, memory = 0.0, cores = 0.0, node_memory = 0.0;

	printf("%-32s %9s %10s %10s %9s %7s\n", "service", "calls", "CPU", "limit", "used", "use");
	printf("%-32s %9s %10s %10s %9s %7s\n", "", "/request", "ms/request", "cores", "cores", "");
	for (uint32_t i = 0; i < app->n_services; i++) {
		const struct drpc_sim_service *s = &app->services[i];
		const double use = app->demand_ns[i] * 1e-9 * rate;
		const double limit = s->replicas * s->cpu_cores;
		char shown[32] = "none", share[16] = "";

		if (limit > 0.0) {
			snprintf(shown, sizeof(shown), "%u x %.2f", s->replicas, s->cpu_cores);
			snprintf(share, sizeof(share), "%.0f %%", use / limit * 100);
		}
		printf("%-32s %9.3f %10.3f %10s %9.3f %7s\n", s->name, app->visits[i],
		       app->demand_ns[i] * 1e-6, shown, use, share);
		used += use;
		limits += limit;
		memory += s->replicas * s->memory_bytes;
	}
	for (uint32_t i = 0; i < app->n_nodes; i++) {
		cores += app->nodes[i].cpu_cores;
		node_memory += app->nodes[i].memory_bytes;
	}
	printf("\n%s: %u services, %u operations, %zu edges between services, %.1f calls a request\n",
	       app->name, app->n_services, app->n_operations, app->n_edges, app->calls_per_request);
	printf("at %.0f requests/s: %.1f cores used, limits of %.1f, nodes have %.1f; memory limits "
	       "%.1f GiB, nodes have %.1f\n",
	       rate, used, limits, cores, memory / 0x1p30, node_memory / 0x1p30);
}

int sim_check(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{"app", 'a', "FILE", 0, "the application", 0},
		{"cluster", 'c', "FILE", 0, "a cluster instead of the file's own", 0},
		{"rate", 'r', "N", 0, "requests a second to tell the use for (default 100)", 0},
		{0},
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_option,
		.doc = "Reads an application's file and prints what a request of its mix needs.",
	};
	struct arguments a = {.rate = 100};
	struct drpc_sim_app *app = NULL;

	argp_parse(&argp, argc, argv, 0, NULL, &a);
	if (drpc_sim_app_load(a.app, a.cluster, &app) < 0)
		return 1;
	print_services(app, a.rate);
	drpc_sim_app_free(&app);
	return 0;
}
