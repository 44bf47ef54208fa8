// SPDX-License-Identifier: Apache-2.0
/* `drpc-sim import`: a trace into the historical database, and what is in there. */
#include <argp.h>
#include <stdio.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "tools/sim/sim.h"
#include "workload/history.h"

#define SHOWN_GAPS 10

struct arguments {
	const char *data, *history, *name;
	enum drpc_trace_format format;
	double step_s;
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	char *end;

	switch (key) {
	case 'd':
		a->data = arg;
		return 0;
	case 'H':
		a->history = arg;
		return 0;
	case 'n':
		if (!*arg || strlen(arg) >= DRPC_SERIES_NAME_BYTES)
			argp_error(state, "--name: '%s', expected 1 to 63 characters", arg);
		a->name = arg;
		return 0;
	case 'f':
		if (drpc_trace_format_parse(arg, &a->format) < 0)
			argp_error(state, "--format: '%s', expected " DRPC_TRACE_FORMATS, arg);
		return 0;
	case 's':
		a->step_s = strtod(arg, &end);
		if (end == arg || *end || !(a->step_s > 0 && a->step_s < 1e9))
			argp_error(state, "--step: '%s', expected seconds", arg);
		return 0;
	case ARGP_KEY_END:
		if (!a->data || !a->history)
			argp_error(state, "expected --data FILE and --history FILE");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* The first gaps one by one; of a trace of one machine, which is where they are looked at. */
static void print_gaps(struct drpc_history *history, const char *machine)
{
	_cleanup_free_ struct drpc_gap *gaps = NULL;
	const ssize_t n = drpc_history_gaps(history, machine, 0, INT64_MAX, &gaps);

	for (ssize_t i = 0; i < n && i < SHOWN_GAPS; i++)
		printf("  gap after %.3f s: %zu points missing until %.3f s\n",
		       (double)gaps[i].from_ms / 1000, gaps[i].missing,
		       (double)gaps[i].to_ms / 1000);
	if (n > SHOWN_GAPS)
		printf("  and %zd more\n", n - SHOWN_GAPS);
}

static int run(const struct arguments *a)
{
	struct drpc_history_report r = {0};
	struct drpc_history *history = NULL;
	char **machines = NULL;
	ssize_t n = 0;
	int err = drpc_history_open(a->history, true, &history);

	if (!err)
		err = drpc_history_import(history, a->data, a->format, a->step_s, a->name, &r);
	if (!err) {
		printf("%s: %s, %lu rows of %lu machines: %lu values added, %lu were there already, "
		       "%lu not measured\n",
		       a->data, drpc_trace_format_name(r.trace.format), (unsigned long)r.trace.rows,
		       (unsigned long)r.machines, (unsigned long)r.added,
		       (unsigned long)r.duplicates, (unsigned long)r.trace.missing_values);
		printf("%lu gaps, %lu points missing in them\n", (unsigned long)r.gaps,
		       (unsigned long)r.missing);
		n = drpc_history_machines(history, &machines);
	}
	if (n == 1)
		print_gaps(history, machines[0]);
	for (ssize_t i = 0; i < n; i++)
		free(machines[i]);
	free((void *)machines);
	drpc_history_free(&history);
	return err;
}

int sim_import(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{"data", 'd', "FILE", 0, "a trace (docs/workload.md), - for standard input", 0},
		{"history", 'H', "FILE", 0, "the database; made where it is not there", 0},
		{"name", 'n', "NAME", 0,
		 "of the machine, where the trace names none (default trace)", 0},
		{"format", 'f', "NAME", 0, DRPC_TRACE_FORMATS " (default auto)", 0},
		{"step", 's', "SECONDS", 0, "a row, of a table without a time column", 0},
		{0},
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_option,
		.doc = "Streams a trace into the historical database, all of it or, where a line breaks a "
		       "rule, nothing. What is there already stays as it is.",
	};
	struct arguments a = {.name = "trace"};

	argp_parse(&argp, argc, argv, 0, NULL, &a);
	return run(&a) < 0;
}
