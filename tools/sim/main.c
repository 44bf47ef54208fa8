// SPDX-License-Identifier: Apache-2.0
/* drpc-sim: a simulated application on a simulated cluster, and what is judged on it. */
#include <argp.h>
#include <stdio.h>
#include <string.h>

#include "lib/util.h"
#include "tools/sim/sim.h"

/* A sub-command is a file of this folder and a line here. */
static const struct sim_command commands[] = {
	{"check", "whether an application's file is right, and what its requests need", sim_check},
	{"evaluate", "one policy on one application, load and seed", sim_evaluate},
	{"compare", "all policies on a suite of traces and some seeds", sim_compare},
	{"tune", "trains the policies that drpc is compared with", sim_tune},
	{"fit", "an application file of what drpc record wrote", sim_fit},
	{"forecast", "a predictor trained on a series and judged on its last fifth", sim_forecast},
	{"import", "a trace into the historical database", sim_import},
	{"generate", "a trace: diurnal, bursty, flash crowds, noisy, a drifting mix", sim_generate},
	{"train", "a teacher on simulated episodes, and its students", sim_train},
	{NULL, NULL, NULL},
};

static void usage(FILE *out)
{
	fprintf(out, "usage: drpc-sim COMMAND [options]; drpc-sim COMMAND --help\n\n");
	for (const struct sim_command *c = commands; c->name; c++)
		fprintf(out, "  %-9s %s\n", c->name, c->help);
	fprintf(out, "\nExit status: 0 done, 1 failed, 2 wrong usage.\n");
}

int main(int argc, char **argv)
{
	argp_err_exit_status = 2;
	if (argc >= 2 && strcmp(argv[1], "--version") == 0) {
		printf("drpc-sim %s\n", DRPC_VERSION);
		return 0;
	}
	if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		usage(stdout);
		return 0;
	}
	for (const struct sim_command *c = commands; c->name && argc >= 2; c++) {
		if (strcmp(c->name, argv[1]) == 0)
			return c->run(argc - 1, argv + 1);
	}
	if (argc >= 2)
		fprintf(stderr, "drpc-sim: there is no command '%s'\n\n", argv[1]);
	usage(stderr);
	return 2;
}
