// SPDX-License-Identifier: Apache-2.0
/* pause, resume, restore: what changes something. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/execute/restore.h"
#include "agent/monitor/discover.h"
#include "agent/runtime/engine.h"
#include "lib/util.h"
#include "tools/drpc/cli.h"
#include "tools/drpc/client.h"

#define ENGINE_MS 20000

/* --- through the agent ------------------------------------------------------------------------ */

/* 0 and *ret, or the client's error (told, unless there is no agent and `offline` may do it). */
static int ask_agent(struct drpc_cli *cli, const char *command, bool offline,
		     struct json_object **ret)
{
	struct json_object *body = json_object_new_object();
	struct drpc_client *client;
	char path[32];
	int r;

	if (cli->n_args > 0)
		json_object_object_add(body, "deployment", json_object_new_string(cli->args[0]));
	snprintf(path, sizeof(path), "/v1/%s", command);
	r = drpc_client_new(cli->socket, &client);
	if (r == 0) {
		r = drpc_client_post(client, path, body, ret);
		if (r < 0 && !(offline && r == -ECONNREFUSED))
			drpc_cli_fail(command, "%s", drpc_client_why(client));
		drpc_client_free(&client);
	}
	json_object_put(body);
	return r;
}

static int pause_or_resume(struct drpc_cli *cli, const char *command, const char *done)
{
	struct json_object *answer = NULL;

	if (ask_agent(cli, command, false, &answer) < 0)
		return DRPC_EXIT_FAILED;
	if (cli->json)
		drpc_cli_print_json(answer);
	else
		printf("%s: %s\n", cli->n_args > 0 ? cli->args[0] : "all deployments", done);
	json_object_put(answer);
	return DRPC_EXIT_DONE;
}

int drpc_cmd_pause(struct drpc_cli *cli)
{
	return pause_or_resume(
		cli, "pause",
		"paused; limits stay as they are (drpc restore puts the original ones back)");
}

int drpc_cmd_resume(struct drpc_cli *cli)
{
	return pause_or_resume(cli, "resume", "resumed");
}

/* --- restore without an agent ----------------------------------------------------------------- */

/* What restoring needs besides the journal: the cgroup mount, and an engine where there is one. */
static int restore_from(struct drpc_journal *journal, struct drpc_restore_report *report)
{
	struct drpc_restore_config config = {.cgroup_fd = -1, .journal = journal};
	struct drpc_discover discover;
	char socket[256];
	int r;

	r = drpc_discover_init(&discover, NULL);
	if (r < 0)
		return r;
	config.cgroup_fd = open(discover.mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (config.cgroup_fd < 0)
		return -errno;
	/* Without an engine, what was set by files is put back all the same. */
	if (drpc_engine_find(NULL, socket, sizeof(socket)) == 0 &&
	    drpc_engine_new(socket, NULL, NULL, &config.runtime) < 0)
		config.runtime = NULL;
	r = drpc_restore_all(&config, ENGINE_MS, report);
	drpc_runtime_free(&config.runtime);
	close(config.cgroup_fd);
	return r;
}

static void print_report(struct drpc_cli *cli, const struct drpc_restore_report *report)
{
	struct json_object *o;

	if (cli->json) {
		o = json_object_new_object();
		json_object_object_add(o, "restored", json_object_new_int64(report->restored));
		json_object_object_add(o, "gone", json_object_new_int64(report->gone));
		json_object_object_add(o, "waiting", json_object_new_int64(report->waiting));
		json_object_object_add(o, "failed", json_object_new_int64(report->failed));
		drpc_cli_print_json(o);
		json_object_put(o);
		return;
	}
	if (cli->quiet && report->restored + report->gone == 0)
		return;
	printf("restored %u container%s from the journal", report->restored,
	       report->restored == 1 ? "" : "s");
	if (report->gone > 0)
		printf(", %u %s gone meanwhile", report->gone, report->gone == 1 ? "is" : "are");
	putchar('\n');
}

static int restore_offline(struct drpc_cli *cli)
{
	struct drpc_restore_report report = {0};
	struct drpc_journal *journal;
	int r;

	if (cli->n_args > 0)
		return drpc_cli_fail(
			"restore",
			"no agent answers on %s, and the journal knows containers, not deployments: without a name everything is restored",
			cli->socket);
	if (access(cli->journal, F_OK) < 0 && errno == ENOENT) {
		if (cli->json)
			print_report(cli, &report);
		else if (!cli->quiet)
			printf("nothing to restore: no agent answers, and there is no journal at %s\n",
			       cli->journal);
		return DRPC_EXIT_DONE;
	}
	r = drpc_journal_open(cli->journal, &journal);
	if (r < 0)
		return DRPC_EXIT_FAILED; /* told by the journal */
	r = drpc_journal_count(journal) > 0 ? restore_from(journal, &report) : 0;
	drpc_journal_free(&journal);
	if (r == 0 || report.restored + report.gone > 0)
		print_report(cli, &report);
	if (r < 0)
		return drpc_cli_fail(
			"restore",
			"%u container%s could not be restored: %s; the journal keeps %s, try again",
			report.waiting + report.failed,
			report.waiting + report.failed == 1 ? "" : "s",
			report.why[0] ? report.why : strerror(-r),
			report.waiting + report.failed == 1 ? "it" : "them");
	return DRPC_EXIT_DONE;
}

int drpc_cmd_restore(struct drpc_cli *cli)
{
	struct json_object *answer = NULL;
	double restored;
	int r;

	r = ask_agent(cli, "restore", true, &answer);
	if (r == -ECONNREFUSED)
		return restore_offline(cli);
	if (r < 0)
		return DRPC_EXIT_FAILED;
	restored = drpc_field_number(answer, "restored");
	if (cli->json)
		drpc_cli_print_json(answer);
	else if (!cli->quiet || restored > 0)
		printf("restored %.0f container%s; paused, so that it stays so (drpc resume%s%s)\n",
		       restored, restored == 1 ? "" : "s", cli->n_args > 0 ? " " : "",
		       cli->n_args > 0 ? cli->args[0] : "");
	json_object_put(answer);
	return DRPC_EXIT_DONE;
}
