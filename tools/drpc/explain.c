// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"
#include "tools/drpc/cli.h"
#include "tools/drpc/client.h"
#include "tools/drpc/words.h"

/* The newest `count` of the list, or of what was applied, as a new reference. */
static struct json_object *newest(struct json_object *list, bool applied, unsigned int count)
{
	struct json_object *cut = json_object_new_array();

	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *decision = json_object_array_get_idx(list, i);

		if (json_object_array_length(cut) == count)
			break;
		if (!applied || drpc_field_bool(decision, "applied"))
			json_object_array_add(cut, json_object_get(decision));
	}
	return cut;
}

static void print_words(struct drpc_cli *cli, struct json_object *list)
{
	size_t n = json_object_array_length(list);

	if (n == 0 && cli->applied)
		puts("Nothing was changed yet; without --applied it is told why.");
	else if (n == 0)
		puts("No decision yet: the mode is off, there was no window to decide on, or the limits cannot be read (drpc doctor).");
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			putchar('\n');
		drpc_words_decision(json_object_array_get_idx(list, i), &cli->term,
				    drpc_emit_stdout, &cli->term);
	}
	fflush(stdout);
}

int drpc_cmd_explain(struct drpc_cli *cli)
{
	struct json_object *list = NULL, *shown;
	_cleanup_free_ char *path = NULL;
	struct drpc_client *client;
	int r;

	if (drpc_client_new(cli->socket, &client) < 0)
		return drpc_cli_fail("explain", "out of memory");
	path = drpc_client_path(client, "/v1/deployments/", cli->args[0], "/explain");
	r = path ? drpc_client_get(client, path, &list) : -ENOMEM;
	if (r < 0) {
		drpc_cli_fail("explain", "%s%s", drpc_client_why(client),
			      r == -ENOENT ? "; 'drpc ls' lists them" : "");
		drpc_client_free(&client);
		return DRPC_EXIT_FAILED;
	}
	/* In words, the last few are what a person reads; programs get all. */
	shown = newest(list, cli->applied, cli->count ? cli->count : cli->json ? UINT32_MAX : 10);
	if (cli->json)
		drpc_cli_print_json(shown);
	else
		print_words(cli, shown);
	json_object_put(shown);
	json_object_put(list);
	drpc_client_free(&client);
	return DRPC_EXIT_DONE;
}
