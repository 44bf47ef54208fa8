// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "lib/util.h"
#include "tools/drpc/cli.h"
#include "tools/drpc/client.h"
#include "tools/drpc/table.h"

static const struct drpc_column columns[] = {
	{"CALLER", false, 10, 0}, {"CALLEE", false, 10, 0}, {"ADDRESS", false, 8, 3},
	{"CALLS", true, 0, 0},	  {"FAILED", true, 0, 2},   {"MEAN", true, 0, 4},
	{"P50", true, 0, 1},	  {"P99", true, 0, 0},
};

static void print_edges(struct drpc_cli *cli, struct json_object *list)
{
	size_t n = json_object_array_length(list);
	struct drpc_table *table;
	char text[64];

	if (cli->count > 0)
		n = DRPC_MIN(n, (size_t)cli->count);
	if (drpc_table_new(columns, DRPC_ARRAY_SIZE(columns), &table) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		struct json_object *e = json_object_array_get_idx(list, i);
		const char *caller = drpc_field_string(e, "caller");
		const char *callee = drpc_field_string(e, "callee");
		double failures = drpc_field_number(e, "failures");

		drpc_table_row(table);
		drpc_table_cell(table, DRPC_BOLD, caller[0] ? caller : "(gone)");
		drpc_table_cell(table, callee[0] ? DRPC_BOLD : DRPC_DIM,
				callee[0] ? callee : "outside");
		drpc_table_cell(table, DRPC_PLAIN, drpc_field_string(e, "address"));
		drpc_format_count(text, sizeof(text), drpc_field_number(e, "count"));
		drpc_table_cell(table, DRPC_PLAIN, text);
		drpc_format_count(text, sizeof(text), failures);
		drpc_table_cell(table, failures > 0 ? DRPC_WARN : DRPC_DIM, text);
		drpc_format_ms(text, sizeof(text), drpc_field_number(e, "mean_ms"));
		drpc_table_cell(table, DRPC_PLAIN, text);
		drpc_format_ms(text, sizeof(text), drpc_field_number(e, "p50_ms"));
		drpc_table_cell(table, DRPC_PLAIN, text);
		drpc_format_ms(text, sizeof(text), drpc_field_number(e, "p99_ms"));
		drpc_table_cell(table, DRPC_PLAIN, text);
	}
	drpc_table_print(table, &cli->term);
	drpc_table_free(&table);
}

int drpc_cmd_edges(struct drpc_cli *cli)
{
	struct drpc_client *client;
	struct json_object *list;
	int status = DRPC_EXIT_DONE;

	if (drpc_client_new(cli->socket, &client) < 0)
		return drpc_cli_fail("edges", "out of memory");
	if (drpc_client_get(client, "/v1/edges", &list) < 0) {
		status = drpc_cli_fail("edges", "%s", drpc_client_why(client));
		drpc_client_free(&client);
		return status;
	}
	if (cli->json)
		drpc_cli_print_json(list);
	else if (json_object_array_length(list) == 0)
		puts("No call between containers was seen yet.");
	else
		print_edges(cli, list);
	json_object_put(list);
	drpc_client_free(&client);
	return status;
}
