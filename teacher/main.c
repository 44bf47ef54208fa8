// SPDX-License-Identifier: Apache-2.0
/* drpc-teacher: learning, offline so far: `distil` makes a policy from the reactive planner. */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "teacher/distil.h"

#define FILES_MAX 64

struct arguments {
	struct drpc_distil_config config;
	const char *files[FILES_MAX];
	size_t file_count;
	const char *out, *data;
};

static unsigned int number(struct argp_state *state, const char *what, const char *arg,
			   unsigned long least, unsigned long most)
{
	char *end;
	unsigned long n = strtoul(arg, &end, 10);

	if (end == arg || *end || n < least || n > most)
		argp_error(state, "%s: '%s', expected a number from %lu to %lu", what, arg, least,
			   most);
	return (unsigned int)n;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;

	switch (key) {
	case 'o':
		a->out = arg;
		return 0;
	case 'd':
		a->data = arg;
		return 0;
	case 'p':
		if (strcmp(arg, "node") == 0)
			a->config.n_inputs = DRPC_F_COUNT;
		else if (strcmp(arg, "paper") == 0)
			a->config.n_inputs = DRPC_F_PAPER_COUNT;
		else
			argp_error(state, "--profile: '%s', expected node or paper", arg);
		return 0;
	case 'r':
		a->config.rounds = number(state, "--rounds", arg, 1, 10000);
		return 0;
	case 's':
		a->config.seed = number(state, "--seed", arg, 0, 4294967295UL);
		return 0;
	case 'v':
		a->config.variations = number(state, "--variations", arg, 0, 1000);
		return 0;
	case ARGP_KEY_ARG:
		if (a->file_count == FILES_MAX)
			argp_error(state, "more than %d files", FILES_MAX);
		a->files[a->file_count++] = arg;
		return 0;
	case ARGP_KEY_END:
		if (a->file_count == 0 || !a->out)
			argp_error(state, "expected states files, and --out FILE");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void print(const struct drpc_imitation_report *report, size_t states)
{
	printf("states                        %zu, the last %zu held out\n", states, report->pairs);
	printf("mean squared error, held out  %.4f\n", report->mse);
	printf("decisions that differ         %.2f %% of the states\n", report->differ * 100);
	printf("  replicas %.2f %%, CPU %.2f %%, memory %.2f %%\n",
	       report->differ_in[DRPC_OUT_REPLICAS] * 100, report->differ_in[DRPC_OUT_CPU] * 100,
	       report->differ_in[DRPC_OUT_MEMORY] * 100);
}

static int distil(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{"out", 'o', "FILE", 0, "the policy file to write", 0},
		{"data", 'd', "TEXT", 0, "what was recorded, for the policy's provenance", 0},
		{"profile", 'p', "NAME", 0, "node (ten features, default) or paper (five)", 0},
		{"rounds", 'r', "N", 0, "rounds of imitation (default 40)", 0},
		{"variations", 'v', "N", 0, "of each state, labelled too (default 8)", 0},
		{"seed", 's', "N", 0, "default 1", 0},
		{0},
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_option,
		.args_doc = "STATES.csv...",
		.doc = "Teaches a student what the reactive planner answers to states that "
		       "`drpc-agent --record-states` wrote down.",
	};
	struct arguments a = {.config = drpc_distil_defaults(), .data = "recorded states"};
	struct drpc_imitation_report report;
	struct drpc_states states = {0};
	int r = 0;

	argp_parse(&argp, argc, argv, 0, NULL, &a);
	for (size_t i = 0; i < a.file_count && r == 0; i++)
		r = drpc_states_load(a.files[i], &states);
	if (r == 0)
		r = drpc_distil_reactive(&a.config, &states, a.data, a.out, &report);
	if (r == 0)
		print(&report, states.count);
	drpc_states_free(&states);
	return r < 0;
}

static const char usage[] =
	"usage: drpc-teacher COMMAND [options]; drpc-teacher COMMAND --help\n\n"
	"  distil   make a policy file from the reactive planner and recorded states\n\n"
	"Exit status: 0 done, 1 failed, 2 wrong usage.\n";

int main(int argc, char **argv)
{
	argp_err_exit_status = 2;
	if (argc >= 2 && strcmp(argv[1], "--version") == 0) {
		printf("drpc-teacher %s\n", DRPC_VERSION);
		return 0;
	}
	if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		fputs(usage, stdout);
		return 0;
	}
	if (argc >= 2 && strcmp(argv[1], "distil") == 0)
		return distil(argc - 1, argv + 1);
	fputs(usage, stderr);
	return 2;
}
