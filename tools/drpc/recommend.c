// SPDX-License-Identifier: Apache-2.0
#include "tools/drpc/recommend.h"

#include <errno.h>

#include "tools/drpc/cli.h"
#include "tools/drpc/client.h"

static int fetch(struct drpc_cli *cli, struct json_object **ret)
{
	struct drpc_client *client;
	int r;

	if (drpc_client_new(cli->socket, &client) < 0)
		return drpc_cli_fail("recommend", "out of memory");
	r = drpc_client_get(client, "/v1/use", ret);
	if (r < 0)
		drpc_cli_fail("recommend", "%s", drpc_client_why(client));
	drpc_client_free(&client);
	return r < 0 ? DRPC_EXIT_FAILED : DRPC_EXIT_DONE;
}

int drpc_cmd_recommend(struct drpc_cli *cli)
{
	const char *format = cli->format ? cli->format : cli->json ? "json" : "text";
	const char *name = cli->n_args > 0 ? cli->args[0] : NULL;
	struct drpc_recommendation *list = NULL;
	struct json_object *use = NULL;
	int status = fetch(cli, &use), r;
	size_t n = 0;

	if (status != DRPC_EXIT_DONE)
		return status;
	r = drpc_recommend_all(use, name, &list, &n);
	if (r == -ENOENT)
		status = drpc_cli_fail(
			"recommend",
			"there is no deployment '%s' that has run since the agent began to look; 'drpc ls' lists them",
			name);
	else if (r < 0)
		status = drpc_cli_fail("recommend", "out of memory");
	else if (!drpc_recommend_print(format, list, n, &cli->term, stdout))
		status = DRPC_EXIT_USAGE;
	drpc_recommendations_free(&list, n);
	json_object_put(use);
	return status;
}
