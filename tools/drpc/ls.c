// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "tools/drpc/cli.h"
#include "tools/drpc/client.h"
#include "tools/drpc/rows.h"

typedef void (*print_fn)(struct drpc_cli *cli, struct json_object *element);

static void print_list(struct drpc_cli *cli, struct json_object *status, const char *key,
		       print_fn print)
{
	struct json_object *list;

	if (!json_object_object_get_ex(status, key, &list) ||
	    !json_object_is_type(list, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(list); i++)
		print(cli, json_object_array_get_idx(list, i));
}

/* One that has no replica any more is in no other line. */
static void print_scaled(struct drpc_cli *cli, struct json_object *s)
{
	const char *doing = drpc_field_string(s, "doing");

	printf("%s%s: %.0f replicas (%.0f copies, %.0f stopped)%s%s · %s%s\n",
	       drpc_color(&cli->term, DRPC_DIM), drpc_field_string(s, "deployment"),
	       drpc_field_number(s, "replicas"), drpc_field_number(s, "copies"),
	       drpc_field_number(s, "stopped"), doing[0] ? ", " : "", doing,
	       drpc_field_string(s, "last_action"), drpc_color(&cli->term, DRPC_PLAIN));
}

static void print_problem(struct drpc_cli *cli, struct json_object *p)
{
	printf("%s%s: %s%s\n", drpc_color(&cli->term, DRPC_WARN),
	       drpc_field_string(p, "deployment"), drpc_field_string(p, "problem"),
	       drpc_color(&cli->term, DRPC_PLAIN));
}

/* Labels that were refused: their owner must hear of it where they look. */
static void print_status(struct drpc_cli *cli, struct drpc_client *client)
{
	struct json_object *status;

	if (drpc_client_get(client, "/v1/status", &status) < 0)
		return;
	print_list(cli, status, "scaled", print_scaled);
	print_list(cli, status, "problems", print_problem);
	json_object_put(status);
}

int drpc_cmd_ls(struct drpc_cli *cli)
{
	struct drpc_client *client;
	struct json_object *list;
	struct drpc_table *table;
	int status = DRPC_EXIT_DONE;

	if (drpc_client_new(cli->socket, &client) < 0)
		return drpc_cli_fail("ls", "out of memory");
	if (drpc_client_get(client, "/v1/containers", &list) < 0) {
		status = drpc_cli_fail("ls", "%s", drpc_client_why(client));
		drpc_client_free(&client);
		return status;
	}
	if (cli->json) {
		drpc_cli_print_json(list);
	} else if (json_object_array_length(list) == 0) {
		puts("The agent sees no container. 'drpc doctor' tells where it looks.");
	} else if (drpc_rows_new(list, DRPC_SORT_NAME, &table) < 0) {
		status = drpc_cli_fail("ls", "out of memory");
	} else {
		drpc_table_print(table, &cli->term);
		drpc_table_free(&table);
		print_status(cli, client);
	}
	json_object_put(list);
	drpc_client_free(&client);
	return status;
}
