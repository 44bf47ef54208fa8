// SPDX-License-Identifier: Apache-2.0
/*
 * The simulator's speed on one core, in events dispatched per second of CPU time: one M/M/1 queue,
 * TrainTicket with quotas, timeouts, memory, network, observation and spans, and layered applications of
 * 40 and 400 services under the same load per service, whose costs per event are compared in turns.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/util.h"
#include "sim/sim.h"
#include "tools/bench/bench.h"

#define ROUNDS	  5
#define LAYERS	  4
#define TRAIN_RPS 500.0

static const char mm1[] =
	"name: mm1\nslo-p99: 1s\ncluster: {nodes: [{cpu: 8, memory: 64Gi}]}\nservices:\n"
	"  s: {cpu: none, workers: 1, queue: none, operations: {x: [cpu: 1ms exponential]}}\n"
	"requests: {all: {to: s.x}}\n";

/* Events per second of CPU time over some simulated seconds; negative: an errno. */
static double speed(struct drpc_sim *sim, double seconds)
{
	const uint64_t end = drpc_sim_now_ns(sim) + (uint64_t)(seconds * 1e9);
	const uint64_t events = drpc_sim_result(sim).events, begin = bench_thread_cpu_ns();
	const struct drpc_sim_obs *obs;
	double ns;
	int r;

	do {
		r = drpc_sim_step(sim, end, &obs);
	} while (r > 0 && drpc_sim_now_ns(sim) < end);
	if (r < 0)
		return r;
	ns = (double)(bench_thread_cpu_ns() - begin);
	return (double)(drpc_sim_result(sim).events - events) / ns * 1e9;
}

static int make(const struct drpc_sim_app *app, const struct drpc_sim_piece *piece,
		const struct drpc_sim_needs *needs, struct drpc_sim **ret)
{
	const struct drpc_sim_config config = {
		.load = {.pieces = piece, .n_pieces = 1}, .seed = 1, .needs = *needs};

	return drpc_sim_new(app, &config, ret);
}

/* The median of some rounds after one that warms up. */
static int measure(const struct drpc_sim_app *app, double rps, double seconds,
		   const struct drpc_sim_needs *needs, double *ret)
{
	const struct drpc_sim_piece piece = {1e9, rps, rps};
	double rounds[ROUNDS];
	struct drpc_sim *sim = NULL;
	int err = make(app, &piece, needs, &sim);

	for (int i = -1; i < ROUNDS && !err; i++) {
		const double s = speed(sim, seconds);

		if (s < 0.0)
			err = (int)s;
		else if (i >= 0)
			rounds[i] = s;
	}
	drpc_sim_free(&sim);
	if (!err)
		*ret = bench_median(rounds, ROUNDS);
	return err;
}

/* --- layers of services, each calling two of the next ------------------------------------------- */

static char *layered(unsigned int services)
{
	const unsigned int width = services / LAYERS;
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	fprintf(f,
		"name: layered\nslo-p99: 1s\n"
		"cluster: {nodes: [{count: %u, cpu: 8, memory: 16Gi}], network: 200us exponential}\n"
		"defaults: {replicas: 2, cpu: 500m, memory: 128Mi, memory-per-call: 100Ki,\n"
		"  call-timeout: 2s}\nservices:\n",
		services / 8);
	for (unsigned int i = 0; i < services; i++) {
		const unsigned int layer = i / width, at = i % width, next = (layer + 1) * width;

		fprintf(f, "  s%u: {operations: {x: [cpu: 1ms lognormal 0.7", i);
		if (layer + 1 < LAYERS)
			fprintf(f, ", call: [s%u.x, s%u.x]", next + at,
				next + (at * 3 + 1) % width);
		fputs("]}}\n", f);
	}
	fputs("requests:\n", f);
	for (unsigned int i = 0; i < width; i++)
		fprintf(f, "  r%u: {to: s%u.x, timeout: 5s}\n", i, i);
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static int parse(const char *text, struct drpc_sim_app **ret)
{
	char why[512];
	int err = drpc_sim_app_parse(text, strlen(text), "built in", ret, why, sizeof(why));

	if (err < 0)
		fprintf(stderr, "drpc-bench sim: %s\n", why);
	return err;
}

static int layered_sim(unsigned int services, const struct drpc_sim_piece *piece,
		       struct drpc_sim_app **ret_app, struct drpc_sim **ret)
{
	static const struct drpc_sim_needs needs = {.period_ns = 1000000000};
	_cleanup_free_ char *text = layered(services);
	int err = text ? parse(text, ret_app) : -ENOMEM;

	return err ? err : make(*ret_app, piece, &needs, ret);
}

/* Both kinds in turns, so that a machine that is busy at times is busy for both. */
static int compare_sizes(struct bench_report *report)
{
	static const unsigned int sizes[] = {40, 400};
	struct drpc_sim_piece pieces[2];
	struct drpc_sim_app *apps[2] = {NULL, NULL};
	struct drpc_sim *sims[2] = {NULL, NULL};
	double costs[2][ROUNDS], ratios[ROUNDS];
	int err = 0;

	for (int k = 0; k < 2 && !err; k++) {
		/* Ten requests a second at each service of the first layer. */
		const double rps = 10.0 * sizes[k] / LAYERS;

		pieces[k] = (struct drpc_sim_piece){1e9, rps, rps};
		err = layered_sim(sizes[k], &pieces[k], &apps[k], &sims[k]);
	}
	for (int i = -1; i < ROUNDS && !err; i++) {
		for (int k = 0; k < 2 && !err; k++) {
			const double s = speed(sims[k], 8000.0 / sizes[k]);

			if (s < 0.0)
				err = (int)s;
			else if (i >= 0)
				costs[k][i] = 1e9 / s;
		}
		if (i >= 0 && !err)
			ratios[i] = costs[1][i] / costs[0][i];
	}
	for (int k = 0; k < 2; k++) {
		if (!err)
			bench_add(report, "ns", bench_median(costs[k], ROUNDS),
				  "layered_%u_ns_per_event", sizes[k]);
		drpc_sim_free(&sims[k]);
		drpc_sim_app_free(&apps[k]);
	}
	if (!err)
		bench_add(report, "ratio", bench_median(ratios, ROUNDS), "cost_ratio_400_40");
	return err;
}

static int train_ticket(const char *path, struct bench_report *report)
{
	static const struct drpc_sim_needs needs = {
		.period_ns = 1000000000, .period_samples = 50, .span_every = 100};
	struct drpc_sim_app *app = NULL;
	double value = NAN;
	int err = drpc_sim_app_load(path, NULL, &app);

	if (!err)
		err = measure(app, TRAIN_RPS, 40, &needs, &value);
	bench_add(report, "1/s", value, "trainticket_events_per_s");
	drpc_sim_app_free(&app);
	return err;
}

int bench_sim(int argc, char **argv, struct bench_report *report)
{
	static const struct drpc_sim_needs none = {0};
	const char *path = argc > 1 ? argv[1] : "deploy/apps/train-ticket.yaml";
	struct drpc_sim_app *app = NULL;
	double value;
	int err;

	if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
		fprintf(strcmp(argv[1], "--help") == 0 ? stdout : stderr,
			"usage: drpc-bench sim [TRAIN-TICKET.yaml]\n");
		return strcmp(argv[1], "--help") == 0 ? 0 : -EINVAL;
	}
	bench_pin(0);
	err = parse(mm1, &app);
	if (!err)
		err = measure(app, 800, 2000, &none, &value);
	drpc_sim_app_free(&app);
	if (!err) {
		bench_add(report, "1/s", value, "mm1_events_per_s");
		err = train_ticket(path, report);
	}
	return err ? err : compare_sizes(report);
}
