// SPDX-License-Identifier: Apache-2.0
/*
 * What measuring costs, dispatch included: everything is timed with the programs attached and
 * without, in turns within one run, and compared by medians.
 *
 *   exchange  one thread plays both ends of a connection (write, read, write, read), so that nothing
 *             but the path itself is timed: CPU time in the 10th percentile of batches of 500
 *   switch    two processes hand a byte to and fro on one CPU
 *   servers   nginx and redis at saturation: CPU a request, throughput; and CPU a request with
 *             latency programs that return at once: what the kernel takes for calling them, below
 *             which no tool at these hooks can go
 *   agent     the real drpc-agent beside redis at 10,000 and 100,000 requests/s; its memory with
 *             100 containers
 */
#include <argp.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "agent/monitor/discover.h"
#include "agent/monitor/kernel.h"
#include "lib/log.h"
#include "lib/util.h"
#include "tools/bench/agent_run.h"
#include "tools/bench/bench.h"
#include "tools/bench/exchange.h"
#include "tools/bench/server.h"

#define BATCH	   500
#define BATCHES	   400
#define ROUNDS_MAX 32
#define SERVER_CPU 0
#define CLIENT_CPU 1

static const struct drpc_kernel_options latency_alone = {.latency = true, .cgroup_root_fd = -1};
static const struct drpc_kernel_options everything = {
	.latency = true,
	.sched = true,
	.memory = true,
	.lifecycle = true,
	.edges = true,
	.cgroup_iter = true,
	.cgroup_root_fd = -1,
};
static const struct drpc_kernel_options hooks_alone = {
	.latency = true, .hooks_alone = true, .cgroup_root_fd = -1};
static const struct drpc_kernel_options sched_alone = {.sched = true, .cgroup_root_fd = -1};

struct options {
	unsigned int rounds;
	struct drpc_kernel_options programs; /* what runs beside the servers */
	bool paths, server[2], agent;	     /* SERVER_NGINX, SERVER_REDIS */
};

/* --- with and without, in turns --------------------------------------------------------------- */

struct compared {
	double without, with; /* medians */
};

/*
 * Measures `what` in turns: without, with, without, with, ... Every "with" loads the programs anew
 * and tracks `cgroup_id`. *ret gets the medians of `fields` figures that one measurement gives.
 */
static int in_turns(const struct drpc_kernel_options *options, uint64_t cgroup_id,
		    unsigned int rounds, int (*what)(void *arg, double *ret_values), void *arg,
		    size_t fields, struct compared *ret)
{
	static double values[4][2][ROUNDS_MAX];

	for (unsigned int i = 0; i < 2 * rounds; i++) {
		struct drpc_kernel *kernel = NULL;
		double figures[4] = {0};
		uint32_t slot;
		int r = 0;

		if (i % 2 == 1) {
			r = drpc_kernel_open(options, &kernel);
			if (r == 0)
				r = drpc_kernel_track(kernel, cgroup_id, &slot);
		}
		if (r == 0)
			r = what(arg, figures);
		drpc_kernel_close(&kernel);
		if (r < 0)
			return r;
		for (size_t f = 0; f < fields; f++)
			values[f][i % 2][i / 2] = figures[f];
	}
	for (size_t f = 0; f < fields; f++) {
		ret[f].without = bench_median(values[f][0], rounds);
		ret[f].with = bench_median(values[f][1], rounds);
	}
	return 0;
}

/* --- own cgroup ------------------------------------------------------------------------------- */

struct own_cgroup {
	char path[320], before[512];
	uint64_t id;
};

/* Into a cgroup of our own, so that the programs count us as a container. */
static int own_cgroup_enter(struct own_cgroup *own)
{
	_cleanup_free_ char *procs = NULL, *cgroup = NULL;
	struct drpc_discover discover;
	struct stat st;
	char *line;
	int r = drpc_discover_init(&discover, NULL);

	if (r < 0)
		return r;
	if (drpc_read_file_at(AT_FDCWD, "/proc/self/cgroup", 65536, &cgroup) < 0)
		return -EIO;
	line = strstr(cgroup, "0::");
	if (!line)
		return -ENOTSUP;
	line[strcspn(line, "\n")] = '\0';
	snprintf(own->before, sizeof(own->before), "%s%.200s/cgroup.procs", discover.mount,
		 line + 3);
	snprintf(own->path, sizeof(own->path), "%s/drpc-bench-self-%d", discover.mount,
		 (int)getpid());
	if (mkdir(own->path, 0755) < 0 || stat(own->path, &st) < 0)
		return drpc_err(-errno, "bench: cgroup %s", own->path);
	own->id = st.st_ino;
	if (asprintf(&procs, "%s/cgroup.procs", own->path) < 0)
		return -ENOMEM;
	return drpc_write_file_at(AT_FDCWD, procs, "0");
}

static void own_cgroup_leave(struct own_cgroup *own)
{
	if (drpc_write_file_at(AT_FDCWD, own->before, "0") < 0 || rmdir(own->path) < 0)
		drpc_warn("bench: cgroup %s stays behind, ignoring", own->path);
}

/* --- one thread, both ends -------------------------------------------------------------------- */

static int connected_pair(int fds[2])
{
	struct sockaddr_in where = {.sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(where);
	_cleanup_close_ int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1;

	fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || fds[0] < 0 || bind(listener, (struct sockaddr *)&where, len) < 0 ||
	    listen(listener, 1) < 0 || getsockname(listener, (struct sockaddr *)&where, &len) < 0 ||
	    connect(fds[0], (struct sockaddr *)&where, len) < 0)
		return -errno;
	fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fds[1] < 0)
		return -errno;
	setsockopt(fds[0], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fds[1], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return 0;
}

static int exchange_once(const int fds[2])
{
	char buf[64] = {0};

	return write(fds[0], buf, sizeof(buf)) == sizeof(buf) &&
			       read(fds[1], buf, sizeof(buf)) == sizeof(buf) &&
			       write(fds[1], buf, sizeof(buf)) == sizeof(buf) &&
			       read(fds[0], buf, sizeof(buf)) == sizeof(buf)
		       ? 0
		       : -EIO;
}

static int time_exchange(void *arg, double *ret_values)
{
	static double batches[BATCHES];
	int fds[2] = {-1, -1};
	int r = connected_pair(fds);

	(void)arg;
	for (size_t b = 0; b < BATCHES && r == 0; b++) {
		uint64_t start = bench_thread_cpu_ns();

		for (size_t i = 0; i < BATCH && r == 0; i++)
			r = exchange_once(fds);
		batches[b] = (double)(bench_thread_cpu_ns() - start) / BATCH;
	}
	ret_values[0] = bench_percentile(batches, BATCHES, 0.10);
	drpc_closep(&fds[0]);
	drpc_closep(&fds[1]);
	return r;
}

/* --- a pair that switches --------------------------------------------------------------------- */

static void echo_until_closed(int in, int out)
{
	char byte;

	while (read(in, &byte, 1) == 1) {
		if (write(out, &byte, 1) != 1)
			break;
	}
	_exit(0);
}

static int time_switch(void *arg, double *ret_values)
{
	static double batches[BATCHES];
	int to[2], from[2];
	char byte = 0;
	pid_t child;

	(void)arg;
	if (pipe2(to, O_CLOEXEC) < 0 || pipe2(from, O_CLOEXEC) < 0)
		return -errno;
	child = fork();
	if (child == 0) {
		close(to[1]);
		close(from[0]);
		echo_until_closed(to[0], from[1]);
	}
	for (size_t b = 0; b < BATCHES; b++) {
		uint64_t start = drpc_now_ns();

		for (size_t i = 0; i < BATCH; i++) {
			if (write(to[1], &byte, 1) != 1 || read(from[0], &byte, 1) != 1)
				return -EIO;
		}
		/* There and back are two switches. */
		batches[b] = (double)(drpc_now_ns() - start) / (2 * BATCH);
	}
	for (int i = 0; i < 2; i++) {
		close(to[i]);
		close(from[i]);
	}
	waitpid(child, NULL, 0);
	ret_values[0] = bench_percentile(batches, BATCHES, 0.10);
	return 0;
}

/* --- servers at saturation -------------------------------------------------------------------- */

static int time_server(void *arg, double *ret_values)
{
	const struct server *server = arg;
	struct exchange exchange = {
		.port = server->port,
		.connections = 128,
		.request = server->request,
		.request_len = server->request_len,
		.response_len = server->response_len,
		.seconds = 1.5,
	};
	struct exchange_result result;
	uint64_t cpu_ns = server_cpu_ns(server);
	int r = exchange_run(&exchange, &result);

	if (r < 0)
		return r;
	ret_values[0] = (double)(server_cpu_ns(server) - cpu_ns) / (double)result.answered;
	ret_values[1] = (double)result.answered / result.seconds;
	exchange_result_free(&result);
	return 0;
}

static int measure_server(enum server_kind kind, const struct options *o,
			  struct bench_report *report)
{
	const char *name = server_name(kind);
	struct compared compared[2], hooks[2] = {0};
	struct server server;
	int r = server_start(kind, SERVER_CPU, &server);

	if (r < 0)
		return r;
	r = in_turns(&o->programs, server.cgroup_id, o->rounds, time_server, &server, 2, compared);
	if (r == 0)
		r = in_turns(&hooks_alone, server.cgroup_id, o->rounds, time_server, &server, 2,
			     hooks);
	server_stop(&server);
	if (r < 0)
		return r;
	bench_note(report, "%s: %.2f us a request without, %.2f with; %.0f requests/s, %.0f", name,
		   compared[0].without / 1e3, compared[0].with / 1e3, compared[1].without,
		   compared[1].with);
	bench_add(report, "ratio", compared[0].with / compared[0].without, "%s_cpu_ratio", name);
	bench_add(report, "ratio", compared[1].with / compared[1].without, "%s_throughput_ratio",
		  name);
	bench_add(report, "ratio", hooks[0].with / hooks[0].without, "%s_cpu_ratio_hooks_alone",
		  name);
	return 0;
}

/* --- all of it -------------------------------------------------------------------------------- */

static int measure_paths(unsigned int rounds, struct bench_report *report)
{
	struct own_cgroup own;
	struct compared c = {0};
	int r = own_cgroup_enter(&own);

	if (r < 0)
		return r;
	r = in_turns(&latency_alone, own.id, rounds, time_exchange, NULL, 1, &c);
	if (r == 0) {
		bench_note(report, "exchange: %.3f us without, %.3f with the latency programs",
			   c.without / 1e3, c.with / 1e3);
		bench_add(report, "us", (c.with - c.without) / 1e3, "exchange_latency_added_us");
		r = in_turns(&everything, own.id, rounds, time_exchange, NULL, 1, &c);
	}
	if (r == 0) {
		bench_add(report, "us", (c.with - c.without) / 1e3, "exchange_all_added_us");
		r = in_turns(&sched_alone, own.id, rounds, time_switch, NULL, 1, &c);
	}
	if (r == 0) {
		bench_note(report, "switch: %.0f ns without, %.0f with", c.without, c.with);
		bench_add(report, "ns", c.with - c.without, "sched_hook_ns");
	}
	own_cgroup_leave(&own);
	return r;
}

/* `text` holds names out of `names`, separated by commas; sets what belongs to each. */
static bool choose(char *text, const char *const *names, bool *const *what)
{
	char *rest = NULL;

	for (char *name = strtok_r(text, ",", &rest); name; name = strtok_r(NULL, ",", &rest)) {
		size_t i = 0;

		while (names[i] && strcmp(names[i], name) != 0)
			i++;
		if (!names[i])
			return false;
		*what[i] = true;
	}
	return true;
}

static bool choose_programs(char *text, struct drpc_kernel_options *p)
{
	static const char *const names[] = {"latency", "edges",	    "sched", "memory",
					    "cgroups", "lifecycle", NULL};
	bool *const what[] = {&p->latency, &p->edges,	    &p->sched,
			      &p->memory,  &p->cgroup_iter, &p->lifecycle};

	*p = (struct drpc_kernel_options){.cgroup_root_fd = -1};
	return choose(text, names, what);
}

static bool choose_parts(char *text, struct options *o)
{
	static const char *const names[] = {"paths", "nginx", "redis", "agent", NULL};
	bool *const what[] = {&o->paths, &o->server[SERVER_NGINX], &o->server[SERVER_REDIS],
			      &o->agent};

	o->paths = o->agent = o->server[SERVER_NGINX] = o->server[SERVER_REDIS] = false;
	return choose(text, names, what);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case 'r':
		o->rounds = (unsigned int)atoi(arg);
		if (o->rounds < 1 || o->rounds > ROUNDS_MAX)
			argp_error(state, "--rounds: a number from 1 to %d", ROUNDS_MAX);
		return 0;
	case 'p':
		if (!choose_programs(arg, &o->programs))
			argp_error(state, "--programs: out of latency,edges,sched,memory,cgroups,"
					  "lifecycle");
		return 0;
	case 'o':
		if (!choose_parts(arg, o))
			argp_error(state, "--only: out of paths,nginx,redis,agent");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int bench_overhead(int argc, char **argv, struct bench_report *report)
{
	static const struct argp_option options[] = {
		{"rounds", 'r', "N", 0, "times with and without (default 9)", 0},
		{"programs", 'p', "LIST", 0,
		 "what is loaded beside nginx and redis, out of "
		 "latency,edges,sched,memory,cgroups,lifecycle (default: everything)",
		 0},
		{"only", 'o', "LIST", 0, "measure out of paths,nginx,redis,agent (default: all)",
		 0},
		{0},
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_option,
		.doc = "What measuring costs, with and without in turns. Needs root, nginx and "
		       "redis-server, and drpc-agent beside drpc-bench.",
	};
	struct options o = {
		.rounds = 9,
		.programs = everything,
		.paths = true,
		.server = {true, true},
		.agent = true,
	};
	int r = 0;

	if (argp_parse(&argp, argc, argv, 0, NULL, &o) != 0)
		return -EINVAL;
	bench_pin(CLIENT_CPU);
	if (o.paths)
		r = measure_paths(o.rounds, report);
	for (int kind = SERVER_NGINX; kind <= SERVER_REDIS && r == 0; kind++) {
		if (o.server[kind])
			r = measure_server((enum server_kind)kind, &o, report);
	}
	if (r == 0 && o.agent)
		r = bench_agent(SERVER_CPU, report);
	return r;
}
