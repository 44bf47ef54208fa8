// SPDX-License-Identifier: Apache-2.0
/*
 * drpc-teacher: learning, offline so far: `distil` makes a policy from the reactive planner,
 * `evaluate` measures one.
 */
#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "nn/policy_file.h"
#include "teacher/distil.h"
#include "teacher/reward.h"

/* Of the groups of states one in so many is held out, where no file is named for it. */
#define HOLD_OUT_EVERY 5

struct arguments {
	struct drpc_distil_config config;
	struct drpc_states states, held_out; /* to teach on; to compare on */
	struct drpc_states teacher, student; /* what came of either's actions */
	const char *policy;
	bool note;
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

/* The loader has said what is wrong. */
static void load(const char *path, struct drpc_states *states)
{
	if (drpc_states_load(path, states) < 0)
		exit(1);
}

static error_t parse_distil(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;

	switch (key) {
	case 'o':
		a->policy = arg;
		return 0;
	case 'd':
		a->config.data = arg;
		return 0;
	case 'g':
		a->config.source = arg;
		return 0;
	case 'H':
		load(arg, &a->held_out);
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
		load(arg, &a->states);
		return 0;
	case ARGP_KEY_END:
		if (a->states.count == 0 || !a->policy)
			argp_error(state, "expected states files, and --out FILE");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse_evaluate(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;

	switch (key) {
	case 't':
		load(arg, &a->teacher);
		return 0;
	case 'u':
		load(arg, &a->student);
		return 0;
	case 'n':
		a->note = true;
		return 0;
	case ARGP_KEY_ARG:
		if (!a->policy)
			a->policy = arg;
		else
			load(arg, &a->held_out);
		return 0;
	case ARGP_KEY_END:
		if (a->held_out.count == 0)
			argp_error(state, "expected a policy file, and files of states");
		if ((a->teacher.count == 0) != (a->student.count == 0))
			argp_error(state, "--teacher-run and --student-run go together");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* --- what is printed -------------------------------------------------------------------------- */

static void print_moves(const char *what, uint64_t moves[DRPC_MOVES][DRPC_MOVES])
{
	static const char *const names[] = {"down", "none", "up"};

	for (int t = 0; t < DRPC_MOVES; t++) {
		printf("  %-9s %-10s", t == 0 ? what : "", names[t]);
		for (int s = 0; s < DRPC_MOVES; s++)
			printf(" %9llu", (unsigned long long)moves[t][s]);
		printf("\n");
	}
}

static void print(struct drpc_imitation_report *report)
{
	printf("held out                      %zu states\n", report->pairs);
	printf("mean squared error            %.4f\n", report->mse);
	printf("decisions that differ         %.2f %% of the states\n", report->differ * 100);
	printf("  replicas %.2f %%, CPU %.2f %%, memory %.2f %%\n",
	       report->differ_in[DRPC_OUT_REPLICAS] * 100, report->differ_in[DRPC_OUT_CPU] * 100,
	       report->differ_in[DRPC_OUT_MEMORY] * 100);
	printf("one up where the other down   %llu\n",
	       (unsigned long long)drpc_imitation_opposed(report));
	printf("\n  output    reactive    student: down   none        up\n");
	print_moves("replicas", report->moves[DRPC_OUT_REPLICAS]);
	print_moves("CPU", report->moves[DRPC_OUT_CPU]);
	print_moves("memory", report->moves[DRPC_OUT_MEMORY]);
}

/* --- commands --------------------------------------------------------------------------------- */

static void free_states(struct arguments *a)
{
	drpc_states_free(&a->states);
	drpc_states_free(&a->held_out);
	drpc_states_free(&a->teacher);
	drpc_states_free(&a->student);
}

/* How the program was called, for the provenance. */
static void join(int argc, char **argv, char *to, size_t size)
{
	size_t at = 0;

	to[0] = '\0';
	for (int i = 0; i < argc && at < size; i++) {
		drpc_strcpy(to + at, size - at, i ? " " : "");
		at += strlen(to + at);
		drpc_strcpy(to + at, size - at, argv[i]);
		at += strlen(to + at);
	}
}

static int distil(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{"out", 'o', "FILE", 0, "the policy file to write", 0},
		{"held-out", 'H', "FILE", 0,
		 "states to compare on, not to teach on; may be repeated (default: every fifth deployment)",
		 0},
		{"profile", 'p', "NAME", 0, "node (ten features, default) or paper (five)", 0},
		{"rounds", 'r', "N", 0, "rounds of imitation (default 200)", 0},
		{"variations", 'v', "N", 0, "of each state, labelled too (default 8)", 0},
		{"seed", 's', "N", 0, "default 1", 0},
		{"data", 'd', "TEXT", 0, "what was recorded, for the policy's provenance", 1},
		{"source", 'g', "TEXT", 0, "which state of the source code: git describe", 1},
		{0},
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_distil,
		.args_doc = "STATES.csv...",
		.doc = "Teaches a student what the reactive planner answers to states that "
		       "`drpc-agent --record-states` wrote down.",
	};
	struct arguments a = {.config = drpc_distil_defaults()};
	struct drpc_imitation_report report;
	char command[DRPC_POLICY_TEXT_BYTES];
	int r = 0;

	join(argc, argv, command, sizeof(command));
	argp_parse(&argp, argc, argv, 0, NULL, &a);
	a.config.command = command;
	if (a.held_out.count == 0)
		r = drpc_states_split(&a.states, HOLD_OUT_EVERY, &a.held_out);
	if (r == 0)
		r = drpc_distil_reactive(&a.config, &a.states, &a.held_out, a.policy, &report);
	if (r == 0) {
		printf("taught on                     %zu states\n", a.states.count);
		print(&report);
	}
	free_states(&a);
	return r < 0;
}

/* Rewards of both in the same runs, and the figures into the file where that is asked for. */
static int judge(const struct arguments *a, const struct drpc_policy_info *info,
		 const struct drpc_imitation_report *report)
{
	const struct drpc_reward_params params = drpc_reward_defaults();
	const double teacher = drpc_reward_mean(&params, &a->teacher);
	const double student = drpc_reward_mean(&params, &a->student);
	struct drpc_policy_info noted = *info;

	if (a->teacher.count > 0) {
		printf("\nreward, reactive acting       %.4f over %zu states\n", teacher,
		       a->teacher.count);
		printf("reward, student acting        %.4f over %zu states\n", student,
		       a->student.count);
		printf("student / teacher             %.4f\n", student / teacher);
	}
	if (!a->note)
		return 0;
	noted.reward = (float)student;
	noted.report = (struct drpc_policy_report){
		.states = report->pairs,
		.differ = (float)report->differ,
		.opposed = drpc_imitation_opposed(report),
		.reward_ratio = (float)(student / teacher),
	};
	for (int i = 0; i < DRPC_OUT_COUNT; i++)
		noted.report.differ_in[i] = (float)report->differ_in[i];
	return drpc_policy_file_note(a->policy, &noted);
}

static int evaluate(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{"teacher-run", 't', "FILE", 0,
		 "states recorded while the reactive planner acted; may be repeated", 0},
		{"student-run", 'u', "FILE", 0,
		 "states recorded while the policy acted in the same runs; may be repeated", 0},
		{"note", 'n', NULL, 0, "write the figures into the policy file", 0},
		{0},
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_evaluate,
		.args_doc = "POLICY STATES.csv...",
		.doc = "Compares a policy's decisions with the reactive planner's over states that it "
		       "was not taught on, and the rewards of runs in which either acted.",
	};
	struct arguments a = {0};
	struct drpc_imitation_report report;
	struct drpc_policy_net *net = NULL;
	int r;

	argp_parse(&argp, argc, argv, 0, NULL, &a);
	r = drpc_policy_file_load(a.policy, &net);
	if (r == 0)
		r = drpc_distil_compare(net, &a.held_out, &report);
	if (r == 0) {
		print(&report);
		printf("\nat no border of the rules       %.2f %% of the states differ\n",
		       drpc_distil_clear(net, &a.held_out) * 100);
		r = judge(&a, drpc_policy_net_info(net), &report);
	}
	drpc_policy_net_free(&net);
	free_states(&a);
	return r < 0;
}

static const char usage[] =
	"usage: drpc-teacher COMMAND [options]; drpc-teacher COMMAND --help\n\n"
	"  distil     make a policy file from the reactive planner and recorded states\n"
	"  evaluate   a policy beside the reactive planner: decisions, and rewards\n\n"
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
	if (argc >= 2 && strcmp(argv[1], "evaluate") == 0)
		return evaluate(argc - 1, argv + 1);
	fputs(usage, stderr);
	return 2;
}
