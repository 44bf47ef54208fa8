// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "tools/drpc/cli.h"
#include "tools/drpc/client.h"
#include "tools/drpc/rows.h"

/* Labels that were refused: their owner must hear of it where they look. */
static void print_problems(struct drpc_cli *cli, struct drpc_client *client)
{
	struct json_object *status, *problems;

	if (drpc_client_get(client, "/v1/status", &status) < 0)
		return;
	if (json_object_object_get_ex(status, "problems", &problems) &&
	    json_object_is_type(problems, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(problems); i++) {
			struct json_object *p = json_object_array_get_idx(problems, i);

			printf("%s%s: %s%s\n", drpc_color(&cli->term, DRPC_WARN),
			       drpc_field_string(p, "deployment"), drpc_field_string(p, "problem"),
			       drpc_color(&cli->term, DRPC_PLAIN));
		}
	}
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
		print_problems(cli, client);
	}
	json_object_put(list);
	drpc_client_free(&client);
	return status;
}
