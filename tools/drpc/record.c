// SPDX-License-Identifier: Apache-2.0
/* `drpc record`: the measurements of a running application, interval by interval, into a file. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <time.h>

#include "fit/recording.h"
#include "lib/util.h"
#include "tools/drpc/cli.h"
#include "tools/drpc/client.h"
#include "tools/drpc/record_snapshot.h"

#define DEFAULT_INTERVAL_SEC 1.0
#define LEAST_INTERVAL_SEC   0.4 /* two windows of the agent */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal)
{
	(void)signal;
	interrupted = 1;
}

struct recorder {
	struct drpc_cli *cli;
	struct drpc_client *client;
	struct drpc_recording *file;
	struct drpc_snapshot last;
	bool waiting; /* for an agent that has gone */
	uint64_t intervals, requests;
	size_t containers;
};

/* The agent's node is this one: its socket is here. */
static struct drpc_recording_node this_node(void)
{
	struct drpc_recording_node node = {.cpu_cores = get_nprocs()};
	struct timespec tick;
	struct sysinfo info;

	if (sysinfo(&info) == 0)
		node.memory_bytes = (uint64_t)info.totalram * info.mem_unit;
	/* The coarse clock moves with the scheduler's tick. */
	if (clock_getres(CLOCK_MONOTONIC_COARSE, &tick) == 0 && tick.tv_sec == 0)
		node.tick_ns = (uint64_t)tick.tv_nsec;
	return node;
}

/* -ECONNREFUSED and -ETIMEDOUT: the agent is away. */
static int look(struct recorder *r, struct drpc_snapshot *ret)
{
	struct json_object *totals;
	char why[160];
	int err = drpc_client_get(r->client, "/v1/totals", &totals);

	if (err == -ENOENT) {
		drpc_cli_fail("record", "the agent knows no totals: it is older than this program");
		return -EPROTO;
	}
	if (err < 0) {
		if (!r->waiting)
			drpc_cli_fail("record", "%s", drpc_client_why(r->client));
		return err;
	}
	err = drpc_snapshot_parse(totals, ret, why, sizeof(why));
	json_object_put(totals);
	if (err < 0)
		drpc_cli_fail("record", "%s", why);
	return err;
}

static void tell(const struct recorder *r)
{
	if (!isatty(STDERR_FILENO) || r->cli->quiet)
		return;
	fprintf(stderr, "\r%llu intervals, %zu containers, %llu requests ",
		(unsigned long long)r->intervals, r->containers, (unsigned long long)r->requests);
	fflush(stderr);
}

static int write_down(struct recorder *r, const struct drpc_snapshot *now)
{
	struct drpc_recording_interval interval;
	int err = drpc_snapshot_interval(&r->last, now, &interval);

	if (err < 0)
		return drpc_cli_fail("record", "out of memory"), err;
	if (interval.n_samples)
		err = drpc_recording_add(r->file, &interval);
	if (!err && interval.n_samples) {
		r->intervals++;
		r->containers = DRPC_MAX(r->containers, interval.n_samples);
		for (size_t i = 0; i < interval.n_samples; i++)
			r->requests += interval.samples[i].requests;
	}
	drpc_snapshot_interval_release(&interval);
	return err;
}

/* One interval: 0, or an errno that ends the recording. */
static int step(struct recorder *r)
{
	struct drpc_snapshot now = {0};
	int err = look(r, &now);

	if (err == -ECONNREFUSED || err == -ETIMEDOUT) {
		/* An agent that restarts is waited for; what it counted meanwhile nobody knows. */
		r->waiting = true;
		drpc_snapshot_release(&r->last);
		return 0;
	}
	if (err < 0)
		return err;
	r->waiting = false;
	err = write_down(r, &now);
	drpc_snapshot_release(&r->last);
	r->last = now;
	tell(r);
	return err;
}

static void sleep_until(uint64_t time_ns)
{
	const struct timespec t = {(time_t)(time_ns / DRPC_NSEC_PER_SEC),
				   (long)(time_ns % DRPC_NSEC_PER_SEC)};

	while (!interrupted && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

static int run(struct recorder *r, double interval_sec)
{
	const uint64_t interval_ns = (uint64_t)(interval_sec * 1e9);
	uint64_t next = drpc_now_ns(), end = UINT64_MAX;
	int err = look(r, &r->last);

	if (r->cli->for_sec > 0)
		end = next + (uint64_t)(r->cli->for_sec * 1e9);
	while (!err && !interrupted && next < end) {
		next += interval_ns;
		sleep_until(next);
		if (interrupted)
			break;
		err = step(r);
		/* After a suspension the past is not made up for. */
		if (drpc_now_ns() > next + interval_ns)
			next = drpc_now_ns();
	}
	return err;
}

int drpc_cmd_record(struct drpc_cli *cli)
{
	const struct sigaction action = {.sa_handler = on_interrupt};
	const double interval = cli->interval_sec > 0 ? cli->interval_sec : DEFAULT_INTERVAL_SEC;
	const struct drpc_recording_node node = this_node();
	struct recorder r = {.cli = cli};
	int err;

	if (!cli->out) {
		drpc_cli_fail("record", "expected --out FILE; see drpc record --help");
		return DRPC_EXIT_USAGE;
	}
	if (interval < LEAST_INTERVAL_SEC || interval > 3600) {
		drpc_cli_fail("record", "--interval: expected 400ms to 60m");
		return DRPC_EXIT_USAGE;
	}
	if (drpc_client_new(cli->socket, &r.client) < 0)
		return drpc_cli_fail("record", "out of memory");
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	/* The file first: a recording that cannot be kept is not begun. */
	err = drpc_recording_open(cli->out, &node, &r.file);
	if (!err)
		err = run(&r, interval);
	tell(&r);
	if (isatty(STDERR_FILENO) && r.intervals)
		fputc('\n', stderr);
	if (!r.intervals && !err)
		err = drpc_cli_fail(
			"record",
			"nothing was recorded: no container was there for two looks in a row");
	else if (r.intervals && !cli->quiet)
		printf("%s: %llu intervals of up to %zu containers, %llu requests\n", cli->out,
		       (unsigned long long)r.intervals, r.containers,
		       (unsigned long long)r.requests);
	drpc_snapshot_release(&r.last);
	drpc_recording_free(&r.file);
	drpc_client_free(&r.client);
	return err ? DRPC_EXIT_FAILED : DRPC_EXIT_DONE;
}
