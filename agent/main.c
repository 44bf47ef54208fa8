// SPDX-License-Identifier: Apache-2.0
/* drpc-agent: reads options and the configuration file, runs the agent. */
#include <argp.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/node.h"
#include "lib/log.h"
#include "lib/util.h"

const char *argp_program_version = "drpc-agent " DRPC_VERSION;

struct arguments {
	const char *config, *states;
	/* Options that override the file, as key and value, in order. */
	struct {
		const char *key, *value;
	} overrides[16];
	size_t override_count;
	bool check, debug;
};

enum {
	OPT_MODE = 256,
	OPT_CGROUP_ROOT,
	OPT_SOCKET,
	OPT_JOURNAL,
	OPT_PLANNER,
	OPT_POLICY,
	OPT_ENGINE,
	OPT_LISTEN,
	OPT_STATES,
	OPT_CHECK,
	OPT_DEBUG,
};

static const struct argp_option options[] = {
	{"config", 'c', "FILE", 0, "configuration (default: " DRPC_CONFIG_PATH ", if it is there)",
	 0},
	{"mode", OPT_MODE, "MODE", 0, "off, recommend or act, for what the file leaves open", 0},
	{"cgroup-root", OPT_CGROUP_ROOT, "DIR", 0,
	 "look after this cgroup2 subtree alone; its direct children count as containers too", 0},
	{"planner", OPT_PLANNER, "NAME", 0, "reactive or student", 0},
	{"policy", OPT_POLICY, "FILE", 0, "policy file of the student", 0},
	{"engine", OPT_ENGINE, "SOCKET", 0, "the engine's API socket; 'none' for no engine", 0},
	{"socket", OPT_SOCKET, "PATH", 0, "the agent's own API socket", 0},
	{"listen", OPT_LISTEN, "ADDR:PORT", 0, "serve metrics and the API there too, read-only", 0},
	{"journal", OPT_JOURNAL, "FILE", 0, "journal of original limits", 0},
	{"record-states", OPT_STATES, "FILE", 0,
	 "append the states behind decisions to this CSV file, to teach a student on", 0},
	{"check", OPT_CHECK, NULL, 0, "check the configuration and exit", 0},
	{"debug", OPT_DEBUG, NULL, 0, "log details", 0},
	{0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	static const struct {
		int key;
		const char *name;
	} overrides[] = {
		{OPT_MODE, "mode"},	  {OPT_CGROUP_ROOT, "cgroup_root"},
		{OPT_SOCKET, "socket"},	  {OPT_JOURNAL, "journal"},
		{OPT_PLANNER, "planner"}, {OPT_POLICY, "policy_file"},
		{OPT_ENGINE, "engine"},	  {OPT_LISTEN, "listen"},
	};
	struct arguments *arguments = state->input;

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(overrides); i++) {
		size_t n = arguments->override_count;

		if (overrides[i].key != key)
			continue;
		if (n == DRPC_ARRAY_SIZE(arguments->overrides))
			argp_error(state, "too many options");
		arguments->overrides[n].key = overrides[i].name;
		arguments->overrides[n].value = arg;
		arguments->override_count++;
		return 0;
	}
	switch (key) {
	case 'c':
		arguments->config = arg;
		return 0;
	case OPT_STATES:
		arguments->states = arg;
		return 0;
	case OPT_CHECK:
		arguments->check = true;
		return 0;
	case OPT_DEBUG:
		arguments->debug = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "unexpected argument '%s'", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.doc = "The drpc node agent: measures the containers of this node and, where it may, moves "
	       "their CPU and memory limits so that their objectives hold on no more than they need."
	       "\vWithout a configuration file it measures and recommends, and writes nothing. Stop "
	       "it with SIGTERM: every limit is then put back as it was found.",
};

/* Built-in settings, the file's over them, the command line's over both. */
static int load_config(const struct arguments *arguments, struct drpc_config *ret)
{
	uint64_t mcpu = 0, bytes = 0;
	char why[512];
	int r;

	drpc_node_size(&mcpu, &bytes);
	if (arguments->config || access(DRPC_CONFIG_PATH, F_OK) == 0) {
		r = drpc_config_load(arguments->config ? arguments->config : DRPC_CONFIG_PATH, mcpu,
				     bytes, ret);
		if (r < 0)
			return r;
	} else {
		drpc_config_defaults(ret, mcpu, bytes);
	}
	for (size_t i = 0; i < arguments->override_count; i++) {
		r = drpc_config_set(ret, arguments->overrides[i].key, arguments->overrides[i].value,
				    why, sizeof(why));
		if (r < 0) {
			drpc_error("command line: %s", why);
			return r;
		}
	}
	r = drpc_config_check(ret, why, sizeof(why));
	if (r < 0)
		drpc_error("configuration: %s", why);
	return r;
}

int main(int argc, char **argv)
{
	struct arguments arguments = {0};
	struct drpc_config config = {0};
	struct drpc_agent *agent = NULL;
	int r;

	/* Large blocks go back to the kernel when freed, and threads share the heap: memory stays
	 * what is in use. */
	mallopt(M_MMAP_THRESHOLD, 64 * 1024);
	mallopt(M_ARENA_MAX, 1);
	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &arguments);
	if (arguments.debug)
		drpc_log_set_level(DRPC_LOG_DEBUG);

	r = load_config(&arguments, &config);
	if (r < 0) {
		drpc_config_free(&config);
		return 2;
	}
	if (arguments.check) {
		puts("configuration is valid");
		drpc_config_free(&config);
		return 0;
	}

	r = drpc_agent_start(&config, arguments.states, &agent);
	if (r == 0)
		r = drpc_agent_run(agent);
	drpc_agent_stop(&agent);
	drpc_config_free(&config);
	return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
