// SPDX-License-Identifier: Apache-2.0
/* drpc: the command line. Each subcommand has a file of its own. */
#include <stdio.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "tools/drpc/cli.h"

static const struct drpc_command commands[] = {
	{"doctor", "", "Tell what this kernel and host allow, and what to do about the rest.", "r",
	 0, 0, drpc_cmd_doctor},
	{"ls", "", "List the containers with their latency, limits and pressure.", "", 0, 0,
	 drpc_cmd_ls},
	{"top", "", "Watch the containers live (keys: q quit, s sort, p pause the view).", "1n", 0,
	 0, drpc_cmd_top},
	{"hist", "CONTAINER", "Show a container's latency histogram.", "cSw", 1, 1, drpc_cmd_hist},
	{"explain", "DEPLOYMENT", "Tell why each limit was changed, or was not.", "an", 1, 1,
	 drpc_cmd_explain},
	{"edges", "", "List who calls whom, how often and how fast.", "n", 0, 0, drpc_cmd_edges},
	{"record", "", "Take down what the containers do, for drpc-sim fit.", "oifq", 0, 0,
	 drpc_cmd_record},
	{"recommend", "[DEPLOYMENT]",
	 "Tell what each deployment needs against what it has, by what was seen so far.", "F", 0, 1,
	 drpc_cmd_recommend},
	{"pause", "[DEPLOYMENT]",
	 "Stop acting on a deployment, or on all; limits stay as they are.", "", 0, 1,
	 drpc_cmd_pause},
	{"resume", "[DEPLOYMENT]", "Act again after pause or restore.", "", 0, 1, drpc_cmd_resume},
	{"restore", "[DEPLOYMENT]",
	 "Put original limits back and pause; without an agent, from the journal.", "Jq", 0, 1,
	 drpc_cmd_restore},
};

static void print_help(FILE *out)
{
	fprintf(out, "usage: drpc COMMAND [OPTION]... [ARGUMENT]\n\n"
		     "Latency, pressure and limits of the containers on this node.\n\n");
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(commands); i++) {
		char left[40];

		snprintf(left, sizeof(left), "%s %s", commands[i].name, commands[i].args);
		fprintf(out, "  %-22s %s\n", left, commands[i].summary);
	}
	fprintf(out,
		"\ndrpc COMMAND --help tells more. Exit status: 0 done, 1 failed, 2 wrong usage.\n");
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	/* Libraries may speak up in a command's own words only. */
	drpc_log_set_level(DRPC_LOG_WARN);
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
		print_help(stdout);
		return DRPC_EXIT_DONE;
	}
	if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
		printf("drpc %s\n", DRPC_VERSION);
		return DRPC_EXIT_DONE;
	}
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(commands); i++) {
		struct drpc_cli cli = {0};
		int status;

		if (strcmp(name, commands[i].name) != 0)
			continue;
		status = drpc_cli_parse(&commands[i], argc - 1, argv + 1, &cli);
		return status >= 0 ? status : commands[i].run(&cli);
	}
	if (name[0] == '\0')
		print_help(stderr);
	else
		fprintf(stderr, "drpc: there is no command '%s'; see drpc --help\n", name);
	return DRPC_EXIT_USAGE;
}
