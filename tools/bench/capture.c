// SPDX-License-Identifier: Apache-2.0
/*
 * What the latency programs capture of nginx and redis at 50, 90 and 120 % of their capacity, and
 * how far their percentiles are from two witnesses: the wire (wire.h) and the load client. Server
 * on CPU 0; client, witness and everything else on CPU 1. Each witness has a run of its own: the
 * wire takes time that the client would miss.
 *
 * The client is a witness only where the queue is the server's: by a server as cheap as redis with
 * GET it is the client that is busy all the time, and most of what it sees is its own queue. So
 * both servers have a second, dearer request (server.h).
 *
 * Capacity is what a closed loop over all connections reaches with the programs loaded. Above it
 * an open loop only makes the queue at the client longer, so at 120 % all connections are busy all
 * the time, and the client's latency counts from the request's write.
 */
#include <argp.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "agent/monitor/kernel.h"
#include "lib/hist.h"
#include "lib/log.h"
#include "lib/util.h"
#include "tools/bench/bench.h"
#include "tools/bench/exchange.h"
#include "tools/bench/server.h"
#include "tools/bench/wire.h"

#define SERVER_CPU 0
#define CLIENT_CPU 1

#define CAPACITY_RUNS 4

struct options {
	unsigned int connections, sample_bits;
	double seconds;
};

struct counted {
	struct drpc_slot_shard before, after;
	uint32_t hist[DRPC_HIST_COUNT][DRPC_HIST_BUCKETS];
};

static void counted_take(struct drpc_kernel *kernel, uint32_t slot, struct counted *c)
{
	drpc_kernel_read_slot(kernel, slot, &c->after);
	for (size_t k = 0; k < DRPC_HIST_COUNT; k++) {
		for (size_t b = 0; b < DRPC_HIST_BUCKETS; b++)
			c->hist[k][b] = c->after.hist[k][b] - c->before.hist[k][b];
	}
}

static double error_ratio(double measured, double truth)
{
	return truth > 0 ? fabs(measured / truth - 1) : NAN;
}

static void report_capture(struct bench_report *report, const char *server, unsigned int load,
			   const struct counted *c, const struct exchange_result *client)
{
	uint64_t turns = c->after.turns - c->before.turns;
	uint64_t sum = c->after.sum_ns[DRPC_HIST_TOTAL] - c->before.sum_ns[DRPC_HIST_TOTAL];
	uint64_t queue = c->after.sum_ns[DRPC_HIST_QUEUE] - c->before.sum_ns[DRPC_HIST_QUEUE];

	bench_add(report, "ratio",
		  client->answered ? (double)turns / (double)client->answered : NAN,
		  "%s_%u_capture_ratio", server, load);
	for (size_t d = 0; d < DRPC_DROP_COUNT; d++) {
		uint64_t n = c->after.dropped[d] - c->before.dropped[d];

		if (n > 0)
			bench_note(report, "  %s %u %%: %lu turns dropped, reason %zu", server,
				   load, n, d);
	}
	bench_add(report, "ratio", sum ? (double)queue / (double)sum : NAN, "%s_%u_queue_share",
		  server, load);
}

/* Our percentiles against a witness's; `which` is "" or "client_". */
static void report_errors(struct bench_report *report, const char *server, unsigned int load,
			  const struct counted *c, const char *which, double *truth_ns,
			  size_t truth_count)
{
	static const struct {
		const char *name;
		double q;
	} quantiles[] = {{"p50", 0.50}, {"p99", 0.99}};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(quantiles); i++) {
		const char *name = quantiles[i].name;
		double q = quantiles[i].q;
		double ours = drpc_hist_quantile_ns(c->hist[DRPC_HIST_TOTAL], q);
		double truth = bench_percentile(truth_ns, truth_count, q);

		bench_note(report, "  %s: ours %.1f us, %s %.1f us", name, ours / 1e3,
			   *which ? "client" : "wire", truth / 1e3);
		bench_add(report, "ratio", error_ratio(ours, truth), "%s_%u_%s_%serror_ratio",
			  server, load, name, which);
	}
}

struct bed {
	struct drpc_kernel *kernel;
	const struct server *server;
	uint32_t slot;
	const struct options *options;
	struct bench_report *report;
};

/* One run beside the wire (NULL: the client alone). */
static int run_load(const struct bed *bed, struct wire *wire, double rate, unsigned int load)
{
	static struct counted counted;
	const char *name = server_name(bed->server->kind);
	struct exchange_result client;
	struct exchange exchange = {
		.port = bed->server->port,
		.connections = bed->options->connections,
		.request = bed->server->request,
		.request_len = bed->server->request_len,
		.response_len = bed->server->response_len,
		.rate = rate,
		.seconds = bed->options->seconds,
		.seed = load,
	};
	int r;

	if (wire)
		wire_reset(wire);
	drpc_kernel_read_slot(bed->kernel, bed->slot, &counted.before);
	r = exchange_run(&exchange, &client);
	if (r < 0)
		return r;
	counted_take(bed->kernel, bed->slot, &counted);
	bench_note(bed->report, "%s at %u %%: %.0f requests/s", name, load,
		   (double)client.answered / client.seconds);
	if (wire) {
		double *wire_ns;
		uint64_t lost;
		size_t n = wire_take(wire, &wire_ns, &lost);

		bench_note(bed->report, "  %zu turns on the wire, %lu packets lost", n, lost);
		report_capture(bed->report, name, load, &counted, &client);
		report_errors(bed->report, name, load, &counted, "", wire_ns, n);
	} else {
		report_errors(bed->report, name, load, &counted, "client_", client.latency_ns,
			      client.answered);
	}
	exchange_result_free(&client);
	return 0;
}

static int run_loads(const struct bed *bed, bool with_wire, double capacity)
{
	static const unsigned int loads[] = {50, 90, 120};
	struct wire *wire = NULL;
	int r = 0;

	if (with_wire)
		r = wire_open(bed->server->port, bed->options->sample_bits, &wire);
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(loads) && r == 0; i++)
		r = run_load(bed, wire, capacity * loads[i] / 100, loads[i]);
	wire_close(&wire);
	return r;
}

/* The best of some runs: whatever else ran meanwhile only made it less. */
static int capacity(const struct server *server, const struct options *o, double *ret_rate)
{
	struct exchange exchange = {
		.port = server->port,
		.connections = o->connections,
		.request = server->request,
		.request_len = server->request_len,
		.response_len = server->response_len,
		.seconds = 1,
	};

	*ret_rate = 0;
	for (int i = 0; i < CAPACITY_RUNS; i++) {
		struct exchange_result closed;
		int r = exchange_run(&exchange, &closed);

		if (r < 0)
			return r;
		*ret_rate = DRPC_MAX(*ret_rate, (double)closed.answered / closed.seconds);
		exchange_result_free(&closed);
	}
	return 0;
}

static int run_server(struct drpc_kernel *kernel, enum server_kind kind, const struct options *o,
		      struct bench_report *report)
{
	struct server server;
	struct bed bed = {.kernel = kernel, .server = &server, .options = o, .report = report};
	double rate;
	int r;

	r = server_start(kind, SERVER_CPU, &server);
	if (r < 0)
		return r;
	r = drpc_kernel_track(kernel, server.cgroup_id, &bed.slot);
	if (r == 0)
		r = capacity(&server, o, &rate);
	if (r == 0)
		r = run_loads(&bed, true, rate);
	if (r == 0)
		r = run_loads(&bed, false, rate);
	server_stop(&server);
	return r;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case 'c':
		o->connections = (unsigned int)atoi(arg);
		if (o->connections < 1 || o->connections > 1000)
			argp_error(state, "--connections: a number from 1 to 1000");
		return 0;
	case 's':
		o->seconds = atof(arg);
		if (!(o->seconds >= 0.5 && o->seconds <= 600))
			argp_error(state, "--seconds: a number from 0.5 to 600");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int bench_capture(int argc, char **argv, struct bench_report *report)
{
	static const struct argp_option options[] = {
		{"connections", 'c', "N", 0, "keep-alive connections (default 128)", 0},
		{"seconds", 's', "S", 0, "length of each run (default 5)", 0},
		{0},
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_option,
		.doc = "Capture of nginx and redis at 50, 90 and 120 % load, against the wire and "
		       "the client, with a cheap and a dear request each. Needs root, nginx and redis-server.",
	};
	struct drpc_kernel_options kernel_options = {.latency = true, .cgroup_root_fd = -1};
	struct options o = {.connections = 128, .sample_bits = 2, .seconds = 5};
	struct drpc_kernel *kernel;
	int r;

	if (argp_parse(&argp, argc, argv, 0, NULL, &o) != 0)
		return -EINVAL;
	r = drpc_kernel_open(&kernel_options, &kernel);
	if (r < 0)
		return drpc_err(r, "bench: the latency programs cannot be loaded here");
	bench_pin(CLIENT_CPU);
	for (int kind = 0; kind < SERVER_COUNT && r == 0; kind++)
		r = run_server(kernel, (enum server_kind)kind, &o, report);
	drpc_kernel_close(&kernel);
	return r;
}
