// SPDX-License-Identifier: Apache-2.0
/* The cgroup tree, how limits can be changed, and who is there to talk to. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "agent/monitor/discover.h"
#include "agent/runtime/engine.h"
#include "lib/util.h"
#include "tools/drpc/client.h"
#include "tools/drpc/doctor.h"

#define GROUP_CGROUPS  "Cgroups and limits"
#define GROUP_SERVICES "Services"
#define ENGINE_WAIT_MS 3000

/* --- the tree --------------------------------------------------------------------------------- */

static bool has_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = text; (at = strstr(at, word)); at += len) {
		if ((at == text || at[-1] == ' ') &&
		    (at[len] == ' ' || at[len] == '\n' || !at[len]))
			return true;
	}
	return false;
}

enum drpc_cgroup_mode drpc_cgroup_mode_of(const char *controllers)
{
	if (!controllers)
		return DRPC_CGROUPS_V1;
	return has_word(controllers, "cpu") && has_word(controllers, "memory")
		       ? DRPC_CGROUPS_V2
		       : DRPC_CGROUPS_HYBRID;
}

struct scan {
	struct drpc_discover discover;
	char sample[1024]; /* folder of the first container; "" for none */
	bool writable;	   /* its cpu.max and memory.max may be written */
};

static void on_found(const struct drpc_cgroup_found *found, void *arg)
{
	struct scan *scan = arg;
	char path[1100];

	if (scan->sample[0] != '\0')
		return;
	snprintf(scan->sample, sizeof(scan->sample), "%s%s", scan->discover.mount, found->path);
	snprintf(path, sizeof(path), "%s/cpu.max", scan->sample);
	scan->writable = access(path, W_OK) == 0;
	snprintf(path, sizeof(path), "%s/memory.max", scan->sample);
	scan->writable = scan->writable && access(path, W_OK) == 0;
}

static enum drpc_cgroup_mode check_mode(struct drpc_doctor *doctor, const struct scan *scan,
					bool mounted)
{
	_cleanup_free_ char *controllers = NULL;
	enum drpc_cgroup_mode mode;
	char path[300];

	if (mounted) {
		snprintf(path, sizeof(path), "%s/cgroup.controllers", scan->discover.mount);
		if (drpc_read_file_at(AT_FDCWD, path, 4096, &controllers) < 0)
			controllers = NULL;
	}
	mode = drpc_cgroup_mode_of(controllers);
	switch (mode) {
	case DRPC_CGROUPS_V2:
		drpc_doctor_add(doctor, GROUP_CGROUPS, "cgroup mode", DRPC_FINDING_OK, "v2 at %s",
				scan->discover.mount);
		break;
	case DRPC_CGROUPS_HYBRID:
		drpc_finding_say(
			drpc_doctor_add(doctor, GROUP_CGROUPS, "cgroup mode", DRPC_FINDING_DEGRADED,
					"hybrid: v2 at %s, cpu and memory on v1",
					scan->discover.mount),
			"limits can be changed by the engine's update call alone, about 20 ms a change; there is no memory.high",
			"boot with systemd.unified_cgroup_hierarchy=1 for v2");
		break;
	default:
		drpc_finding_say(
			drpc_doctor_add(doctor, GROUP_CGROUPS, "cgroup mode", DRPC_FINDING_MISSING,
					"v1 alone"),
			"containers cannot be told apart in the kernel, there is no pressure",
			"boot with systemd.unified_cgroup_hierarchy=1, or mount cgroup2 beside v1: mount -t cgroup2 none /sys/fs/cgroup/unified");
	}
	return mode;
}

static void check_limits(struct drpc_doctor *doctor, const struct scan *scan,
			 enum drpc_cgroup_mode mode, bool engine)
{
	struct statvfs fs;
	bool read_only = statvfs(scan->discover.mount, &fs) == 0 && (fs.f_flag & ST_RDONLY);
	bool files = mode == DRPC_CGROUPS_V2 && !read_only &&
		     (scan->sample[0] ? scan->writable : access(scan->discover.mount, W_OK) == 0);
	const char *why = mode != DRPC_CGROUPS_V2 ? "cpu and memory are not on cgroup v2"
			  : read_only		  ? "the cgroup file system is mounted read-only"
						  : "this user may not write them";

	doctor->can_act = files || engine;
	if (files)
		drpc_doctor_add(doctor, GROUP_CGROUPS, "changing limits", DRPC_FINDING_OK,
				"by the cgroup's files");
	else if (engine)
		drpc_finding_say(drpc_doctor_add(doctor, GROUP_CGROUPS, "changing limits",
						 DRPC_FINDING_DEGRADED,
						 "by the engine's update call (files: %s)", why),
				 "slower, and only for the engine's containers", "");
	else
		drpc_finding_say(drpc_doctor_add(doctor, GROUP_CGROUPS, "changing limits",
						 DRPC_FINDING_MISSING,
						 "neither files (%s) nor an engine", why),
				 "drpc can measure and recommend, not act",
				 read_only ? "mount it writable: mount -o remount,rw /sys/fs/cgroup"
					   : "run as root, or start the container engine");
}

/* Whether an engine answers; its finding goes to the services, after the tree. */
static bool ask_engine(char *text, size_t size, enum drpc_finding_state *state)
{
	struct drpc_runtime *runtime = NULL;
	char socket[256];
	bool ready;
	int r;

	*state = DRPC_FINDING_DEGRADED;
	r = drpc_engine_find(NULL, socket, sizeof(socket));
	if (r < 0) {
		snprintf(text, size, "none");
		return false;
	}
	r = drpc_engine_new(socket, NULL, NULL, &runtime);
	if (r == 0)
		r = drpc_runtime_wait_ready(runtime, ENGINE_WAIT_MS);
	ready = r == 0;
	if (ready) {
		*state = DRPC_FINDING_OK;
		snprintf(text, size, "%s %s at %s", runtime->kind, runtime->version, socket);
	} else {
		snprintf(text, size, "%s: %s", socket,
			 runtime && runtime->why[0] ? runtime->why : strerror(-r));
	}
	drpc_runtime_free(&runtime);
	return ready;
}

void drpc_doctor_cgroups(struct drpc_doctor *doctor, struct drpc_cli *cli)
{
	enum drpc_finding_state engine_state;
	enum drpc_cgroup_mode mode;
	struct scan scan = {0};
	char engine[512];
	int found = 0;
	bool mounted, answers;

	mounted = drpc_discover_init(&scan.discover, cli->cgroup_root) == 0;
	if (mounted)
		found = drpc_discover_scan(&scan.discover, on_found, &scan);
	mode = check_mode(doctor, &scan, mounted);
	answers = ask_engine(engine, sizeof(engine), &engine_state);
	if (mounted)
		drpc_finding_say(
			drpc_doctor_add(doctor, GROUP_CGROUPS, "containers",
					found > 0 ? DRPC_FINDING_OK : DRPC_FINDING_DEGRADED,
					"%d found", DRPC_MAX(found, 0)),
			found > 0 ? "" : "there is nothing to look at yet",
			found > 0
				? ""
				: "start a container, or name a part of the tree by --cgroup-root");
	check_limits(doctor, &scan, mode, answers);
	drpc_finding_say(drpc_doctor_add(doctor, GROUP_SERVICES, "container engine", engine_state,
					 "%s", engine),
			 answers ? ""
				 : "containers are named by their cgroup; no labels, no replicas",
			 answers ? "" : "start the engine, or ignore this where there is none");
}

/* --- the agent -------------------------------------------------------------------------------- */

/* Which planner decides, and from which file where it is a network. */
static void agent_answers(struct drpc_doctor *doctor, struct json_object *status)
{
	struct json_object *policy = json_object_object_get(status, "policy");

	drpc_doctor_add(
		doctor, GROUP_SERVICES, "agent", DRPC_FINDING_OK,
		"version %s, up %.0f s, %.0f containers, planner %s%s%s%s%.16s",
		drpc_field_string(status, "version"), drpc_field_number(status, "uptime_sec"),
		drpc_field_number(status, "containers"), drpc_field_string(status, "planner"),
		policy ? ", policy " : "", policy ? drpc_field_string(policy, "file") : "",
		policy ? ", SHA-256 " : "", policy ? drpc_field_string(policy, "sha256") : "");
}

void drpc_doctor_services(struct drpc_doctor *doctor, struct drpc_cli *cli)
{
	struct json_object *status = NULL;
	struct drpc_client *client;
	int r;

	if (drpc_client_new(cli->socket, &client) < 0)
		return;
	r = drpc_client_get(client, "/v1/status", &status);
	if (r == 0)
		agent_answers(doctor, status);
	else if (r == -ECONNREFUSED)
		drpc_finding_say(drpc_doctor_add(doctor, GROUP_SERVICES, "agent",
						 DRPC_FINDING_DEGRADED, "not running"),
				 "nothing is measured or changed now",
				 "systemctl start drpc-agent, or run drpc-agent");
	else
		drpc_finding_say(drpc_doctor_add(doctor, GROUP_SERVICES, "agent",
						 DRPC_FINDING_DEGRADED, "does not answer"),
				 drpc_client_why(client), "");
	json_object_put(status);
	drpc_client_free(&client);
}
