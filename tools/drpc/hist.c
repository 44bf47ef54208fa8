// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/util.h"
#include "tools/drpc/cli.h"
#include "tools/drpc/client.h"
#include "tools/drpc/picture.h"

/* Lines of a picture besides the histogram's rows. */
#define PICTURE_LINES 14

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal)
{
	(void)signal;
	interrupted = 1;
}

static void print_csv(struct json_object *hist)
{
	static const char *const phases[] = {"total", "queue", "service", "send"};

	puts("phase,le_ms,count");
	for (size_t p = 0; p < DRPC_ARRAY_SIZE(phases); p++) {
		struct json_object *phase = NULL, *list = NULL, *le = NULL, *count = NULL;

		json_object_object_get_ex(hist, phases[p], &phase);
		if (!json_object_object_get_ex(phase, "buckets", &list))
			continue;
		for (size_t i = 0; i < json_object_array_length(list); i++) {
			struct json_object *bucket = json_object_array_get_idx(list, i);

			if (json_object_object_get_ex(bucket, "le_ms", &le) &&
			    json_object_object_get_ex(bucket, "count", &count))
				printf("%s,%s,%s\n", phases[p], json_object_get_string(le),
				       json_object_get_string(count));
		}
	}
	fflush(stdout);
}

static void draw(struct drpc_cli *cli, struct json_object *hist, struct json_object *container)
{
	const struct drpc_picture picture = {
		.hist = hist,
		.container = container,
		.since_sec = cli->since_sec,
		.width = cli->term.width > 0 ? cli->term.width : 80,
		.max_rows = cli->term.tty ? cli->term.height - PICTURE_LINES : 16,
	};

	/* From the top; what is left of the last frame goes. One write, so that nothing flickers. */
	if (cli->watch && cli->term.tty)
		fputs("\033[H\033[2J", stdout);
	drpc_picture_emit(&picture, &cli->term, drpc_emit_stdout, &cli->term);
	fflush(stdout);
}

/* One frame: 0 or a negative errno of the client. */
static int show(struct drpc_cli *cli, struct drpc_client *client)
{
	struct json_object *hist = NULL, *container = NULL;
	_cleanup_free_ char *path = NULL, *detail_path = NULL;
	char since[48] = "/hist";
	int r;

	if (cli->since_sec > 0)
		snprintf(since, sizeof(since), "/hist?since=%.3f", cli->since_sec);
	path = drpc_client_path(client, "/v1/containers/", cli->args[0], since);
	detail_path = drpc_client_path(client, "/v1/containers/", cli->args[0], "");
	if (!path || !detail_path)
		return -ENOMEM;
	r = drpc_client_get(client, path, &hist);
	if (r < 0)
		return r;
	if (cli->json) {
		drpc_cli_print_json(hist);
	} else if (cli->csv) {
		print_csv(hist);
	} else {
		/* Without it there is a picture all the same, without the objective. */
		if (drpc_client_get(client, detail_path, &container) < 0)
			container = NULL;
		draw(cli, hist, container);
		json_object_put(container);
	}
	json_object_put(hist);
	return 0;
}

static int watch(struct drpc_cli *cli, struct drpc_client *client)
{
	const struct sigaction action = {.sa_handler = on_interrupt};
	static char buffer[64 * 1024];
	int r = 0;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	while (!interrupted) {
		r = show(cli, client);
		if (r == -ECONNREFUSED) {
			/* An agent that restarts is waited for. */
			fprintf(stderr, "drpc hist: waiting for the agent on %s\n", cli->socket);
		} else if (r < 0) {
			break;
		}
		nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
	}
	return r == -ECONNREFUSED ? 0 : r;
}

int drpc_cmd_hist(struct drpc_cli *cli)
{
	struct drpc_client *client;
	int r;

	if (drpc_client_new(cli->socket, &client) < 0)
		return drpc_cli_fail("hist", "out of memory");
	/* A view that goes on is of what goes on. */
	if (cli->watch && cli->since_sec == 0)
		cli->since_sec = 10;
	r = cli->watch ? watch(cli, client) : show(cli, client);
	if (r < 0)
		drpc_cli_fail("hist", "%s%s",
			      r == -ENOMEM ? "out of memory" : drpc_client_why(client),
			      r == -ENOENT ? "; 'drpc ls' lists them" : "");
	drpc_client_free(&client);
	return r < 0 ? DRPC_EXIT_FAILED : DRPC_EXIT_DONE;
}
