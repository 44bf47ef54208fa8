// SPDX-License-Identifier: Apache-2.0
/* drpc-testbed: one small static binary that plays an HTTP/1.1 service. */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#include "lib/log.h"
#include "lib/util.h"
#include "tools/testbed/server.h"

#define TICK_NS (100 * DRPC_NSEC_PER_MSEC)

/* Blocks what main waits for, before any thread inherits its mask. */
static void block_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	pthread_sigmask(SIG_BLOCK, set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static void raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* Ticks until the drain that the first signal began is over; a second signal ends it at once. */
static void serve(struct tb_server *server, const sigset_t *signals)
{
	const struct timespec tick = {0, (long)TICK_NS};
	bool draining = false;

	while (!tb_server_drained(server)) {
		int signal = sigtimedwait(signals, NULL, &tick);

		if (signal > 0 && draining) {
			drpc_warn("stopped while draining: connections are lost");
			return;
		}
		if (signal > 0) {
			draining = true;
			tb_server_drain(server);
		}
		tb_server_tick(server);
	}
}

static int run(const struct tb_options *options, const sigset_t *signals)
{
	struct tb_service service;
	struct tb_server *server;
	int err;

	err = tb_service_init(&service, options);
	if (err)
		return 1;
	err = tb_server_new(&service, &server);
	if (!err) {
		drpc_info("listening on port %u, %u workers", tb_server_port(server),
			  options->workers);
		serve(server, signals);
		tb_server_free(&server);
		drpc_info("served %lu requests",
			  (unsigned long)atomic_load(&service.stats.requests));
	}
	tb_service_release(&service);
	return err ? 1 : 0;
}

int main(int argc, char **argv)
{
	static struct tb_options options;
	sigset_t signals;
	int status = 0;
	int err = tb_options_parse(&options, argc, argv);

	if (err) {
		if (err == -EINVAL)
			fputs("drpc-testbed --help shows all options.\n", stderr);
		status = err == -EINVAL ? 2 : 1;
	} else if (options.help) {
		fputs(tb_options_help, stdout);
	} else if (options.version) {
		puts("drpc-testbed " DRPC_VERSION);
	} else {
		/* Many threads, little memory. */
		mallopt(M_ARENA_MAX, 2);
		block_signals(&signals);
		raise_descriptors();
		status = run(&options, &signals);
	}
	tb_options_release(&options);
	return status;
}
