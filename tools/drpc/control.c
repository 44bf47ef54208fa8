// SPDX-License-Identifier: Apache-2.0
/* pause, resume, restore: what changes something. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/execute/replicas.h"
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

/* Copies go and what was stopped starts. Calls that are still under way afterwards end with the
 * runtime, so that *ret is to be freed after it. */
static int restore_replicas(const struct drpc_restore_config *config, struct drpc_replicas **ret,
			    struct drpc_restore_report *report)
{
	const struct drpc_replicas_config replicas = {.journal = config->journal,
						      .runtime = config->runtime};
	size_t n = drpc_journal_scale_count(config->journal);
	int r;

	if (n == 0)
		return 0;
	if (!config->runtime) {
		report->waiting = (unsigned int)n;
		drpc_strcpy(report->why, sizeof(report->why), "no container engine was found");
		return -EAGAIN;
	}
	r = drpc_replicas_new(&replicas, ret);
	return r < 0 ? r : drpc_replicas_restore_all(*ret, ENGINE_MS, report);
}

struct report {
	struct drpc_restore_report limits, replicas;
};

/* What restoring needs besides the journal: the cgroup mount, and an engine where there is one. */
static int restore_from(struct drpc_journal *journal, struct report *report)
{
	struct drpc_restore_config config = {.cgroup_fd = -1, .journal = journal};
	struct drpc_replicas *replicas = NULL;
	struct drpc_discover discover;
	char socket[256];
	int r, limits;

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
	/* Where more serve, less is asked of each: replicas come before limits. */
	r = restore_replicas(&config, &replicas, &report->replicas);
	limits = drpc_restore_all(&config, ENGINE_MS, &report->limits);
	drpc_runtime_free(&config.runtime);
	drpc_replicas_free(&replicas);
	close(config.cgroup_fd);
	return r < 0 ? r : limits;
}

static void print_report(struct drpc_cli *cli, const struct report *report)
{
	const struct drpc_restore_report *limits = &report->limits, *replicas = &report->replicas;
	struct json_object *o;

	if (cli->json) {
		o = json_object_new_object();
		json_object_object_add(o, "restored", json_object_new_int64(limits->restored));
		json_object_object_add(o, "gone", json_object_new_int64(limits->gone));
		json_object_object_add(o, "waiting", json_object_new_int64(limits->waiting));
		json_object_object_add(o, "failed", json_object_new_int64(limits->failed));
		json_object_object_add(o, "replicas_restored",
				       json_object_new_int64(replicas->restored));
		json_object_object_add(o, "replicas_waiting",
				       json_object_new_int64(replicas->waiting));
		drpc_cli_print_json(o);
		json_object_put(o);
		return;
	}
	if (cli->quiet && limits->restored + limits->gone + replicas->restored == 0)
		return;
	printf("restored %u container%s from the journal", limits->restored,
	       limits->restored == 1 ? "" : "s");
	if (limits->gone > 0)
		printf(", %u %s gone meanwhile", limits->gone, limits->gone == 1 ? "is" : "are");
	if (replicas->restored > 0)
		printf(", replicas of %u deployment%s", replicas->restored,
		       replicas->restored == 1 ? "" : "s");
	putchar('\n');
}

static int fail(const struct report *report, int r)
{
	const struct drpc_restore_report *limits = &report->limits, *replicas = &report->replicas;
	unsigned int n = limits->waiting + limits->failed;

	if (replicas->waiting > 0)
		return drpc_cli_fail(
			"restore",
			"the replicas of %u deployment%s and %u container%s could not be restored: %s; the journal keeps them, try again",
			replicas->waiting, replicas->waiting == 1 ? "" : "s", n, n == 1 ? "" : "s",
			replicas->why);
	return drpc_cli_fail(
		"restore",
		"%u container%s could not be restored: %s; the journal keeps %s, try again", n,
		n == 1 ? "" : "s", limits->why[0] ? limits->why : strerror(-r),
		n == 1 ? "it" : "them");
}

static int restore_offline(struct drpc_cli *cli)
{
	struct report report = {0};
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
	if (drpc_journal_count(journal) + drpc_journal_scale_count(journal) > 0)
		r = restore_from(journal, &report);
	drpc_journal_free(&journal);
	if (r == 0 || report.limits.restored + report.limits.gone + report.replicas.restored > 0)
		print_report(cli, &report);
	return r < 0 ? fail(&report, r) : DRPC_EXIT_DONE;
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
