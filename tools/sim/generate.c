// SPDX-License-Identifier: Apache-2.0
/*
 * `drpc-sim generate`: a trace of the project's own or of a machine's recorded load, as a table or as a
 * rate a second; or an application of many services.
 */
#include <argp.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "tools/sim/points.h"
#include "tools/sim/services.h"
#include "tools/sim/sim.h"
#include "tools/sim/source.h"
#include "workload/generate.h"
#include "workload/replay.h"

enum {
	OPT_PEAK = 256,
	OPT_NOISE,
	OPT_PERIOD,
	OPT_BURST,
	OPT_GAP,
	OPT_STEP,
	OPT_USERS,
	OPT_RATES,
	OPT_HISTORY,
	OPT_MACHINE,
	OPT_RESOURCE,
	OPT_PROFILE,
	OPT_SPEED,
	OPT_SERVICES,
};

/* Options that are one number each, and where it goes; 0: not given. */
struct arguments {
	struct drpc_generate_config given;
	enum drpc_generate_kind kind;
	bool seeded, rates;
	struct drpc_user_mix mix;
	struct sim_source recorded; /* path NULL: a generated one */
	const char *resource, *profile;
	double speed;
	unsigned int services; /* 0: a trace */
};

static double *place(struct arguments *a, int key)
{
	switch (key) {
	case 'd':
		return &a->given.duration_s;
	case 'r':
		return &a->given.mean_rps;
	case OPT_STEP:
		return &a->given.step_s;
	case OPT_PEAK:
		return &a->given.peak;
	case OPT_NOISE:
		return &a->given.noise;
	case OPT_PERIOD:
		return &a->given.period_s;
	case OPT_BURST:
		return &a->given.burst_s;
	case OPT_GAP:
		return &a->given.gap_s;
	case OPT_SPEED:
		return &a->speed;
	default:
		return NULL;
	}
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	double *number = place(a, key);
	char *end;

	if (number) {
		*number = strtod(arg, &end);
		if (end == arg || *end || !(*number >= 0 && isfinite(*number)))
			argp_error(state, "'%s', expected a number", arg);
		return 0;
	}
	switch (key) {
	case 'k':
		if (drpc_generate_kind_parse(arg, &a->kind) < 0)
			argp_error(state, "--kind: '%s', expected " DRPC_GENERATE_KINDS, arg);
		return 0;
	case 's':
		a->given.seed = strtoull(arg, &end, 10);
		a->seeded = true;
		if (end == arg || *end || *arg == '-')
			argp_error(state, "--seed: '%s', expected a number from 0", arg);
		return 0;
	case OPT_USERS:
		drpc_user_mix_done(&a->mix);
		if (drpc_user_mix_parse("--users", arg, &a->mix) < 0)
			argp_failure(state, 2, 0, "--users is not right");
		return 0;
	case OPT_RATES:
		a->rates = true;
		return 0;
	case OPT_HISTORY:
		a->recorded.path = arg;
		return 0;
	case OPT_MACHINE:
		a->recorded.machine = arg;
		return 0;
	case OPT_RESOURCE:
		a->resource = arg;
		return 0;
	case OPT_PROFILE:
		a->profile = arg;
		return 0;
	case OPT_SERVICES:
		a->services =
			(unsigned int)sim_number(state, "--services", arg, SIM_SERVICES_LEAST);
		if (a->services > SIM_SERVICES_MOST)
			argp_error(state, "--services: at most %d", SIM_SERVICES_MOST);
		return 0;
	case ARGP_KEY_END:
		if (!a->recorded.path && (a->profile || a->resource || a->recorded.machine))
			argp_error(state, "--machine, --resource and --profile go with --history");
		if (a->recorded.path && a->given.duration_s >= 0)
			argp_error(state, "--history: it lasts as long as what was recorded");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void print(const struct drpc_series *series, bool rates)
{
	if (!rates) {
		printf("t_s");
		for (size_t c = 0; c < series->columns; c++)
			printf(",%s", series->names[c]);
		putchar('\n');
	}
	for (size_t i = 0; i < series->count; i++) {
		if (!rates)
			printf("%.15g,", (double)series->time_ms[i] / 1000);
		printf("%.7g", (double)drpc_series_at(series, i, 0));
		for (size_t c = 1; c < series->columns && !rates; c++)
			printf(",%.6g", (double)drpc_series_at(series, i, c));
		putchar('\n');
	}
}

static struct drpc_generate_config settle(struct arguments *a)
{
	static const int keys[] = {'d',	      'r',	  OPT_STEP,  OPT_PEAK,
				   OPT_NOISE, OPT_PERIOD, OPT_BURST, OPT_GAP};
	struct arguments with = {.given = drpc_generate_defaults(a->kind)};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(keys); i++) {
		const double number = *place(a, keys[i]);

		if (number >= 0)
			*place(&with, keys[i]) = number;
	}
	if (a->seeded)
		with.given.seed = a->given.seed;
	return with.given;
}

/* --- from what was recorded ---------------------------------------------------------------------- */

static ssize_t find_resource(const struct arguments *a, const struct drpc_series *recorded)
{
	ssize_t column = 0;

	if (a->resource) {
		column = drpc_series_column(recorded, a->resource);
	} else {
		for (size_t i = recorded->columns; i-- > 0;)
			column = strncmp(recorded->names[i], "cpu", 3) == 0 ? (ssize_t)i : column;
	}
	if (column < 0)
		return drpc_err(-ENOENT, "%s: there is no '%s' of this machine", a->recorded.path,
				a->resource);
	return column;
}

static int replay(struct arguments *a, struct drpc_series *ret)
{
	struct drpc_profile *profile = a->profile ? calloc(1, sizeof(*profile)) : NULL;
	struct drpc_series recorded = {0};
	struct drpc_replay_report report;
	int err = sim_source_load(&a->recorded, &recorded);
	const ssize_t column = err ? 0 : find_resource(a, &recorded);
	struct drpc_replay_config config = {
		.column = (size_t)column,
		.profile = profile,
		.speed = a->speed > 0 ? a->speed : 1,
		.step_s = a->given.step_s > 0 ? a->given.step_s : 1,
		.mean_rps = a->given.mean_rps > 0 ? a->given.mean_rps : 0,
	};

	if (!err && column < 0)
		err = (int)column;
	if (!err && a->profile)
		err = profile ? sim_points_profile(a->profile, profile) : -ENOMEM;
	if (!err)
		err = drpc_replay(&recorded, &config, a->mix.types ? &a->mix : NULL, ret, &report);
	if (!err)
		drpc_info(
			"%s: %s, %zu points, %zu gaps in which %zu are missing; %zu steps of %g s",
			a->recorded.path, recorded.names[column], report.points, report.gaps,
			report.bridged, ret->count, config.step_s);
	drpc_series_done(&recorded);
	free(profile);
	return err;
}

int sim_generate(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{"kind", 'k', "NAME", 0, DRPC_GENERATE_KINDS " (default diurnal)", 0},
		{"duration", 'd', "SECONDS", 0, "default 3600", 0},
		{"rate", 'r', "N", 0, "mean requests/s (default 200)", 0},
		{"step", OPT_STEP, "SECONDS", 0, "default 1", 0},
		{"peak", OPT_PEAK, "X", 0, "height of a burst over what is normal (default 4)", 0},
		{"noise", OPT_NOISE, "X", 0, "relative deviation (default 0.05, noisy 0.3)", 0},
		{"period", OPT_PERIOD, "SECONDS", 0, "of the day's wave (default 86400)", 0},
		{"burst", OPT_BURST, "SECONDS", 0, "mean length of a burst (default 60)", 0},
		{"gap", OPT_GAP, "SECONDS", 0, "mean time between two (default 540)", 0},
		{"users", OPT_USERS, "MIX", 0, "user types and shares: " DRPC_USERS_FORM, 0},
		{"rates", OPT_RATES, NULL, 0,
		 "rates alone, a line a step, for drpc-load --rate-file", 0},
		{"history", OPT_HISTORY, "FILE", 0,
		 "instead: the load that a machine's recorded utilisation stands for", 0},
		{"machine", OPT_MACHINE, "NAME", 0, "which one, where FILE holds several", 0},
		{"resource", OPT_RESOURCE, "NAME", 0, "default the first that begins with cpu", 0},
		{"profile", OPT_PROFILE, "FILE", 0,
		 "measured points, a line LOAD,..,UTILISATION each, which a perceptron is fitted to; without it the load is proportional and --rate its mean",
		 0},
		{"speed", OPT_SPEED, "X", 0, "recorded seconds that pass in one (default 1)", 0},
		{"services", OPT_SERVICES, "N", 0,
		 "instead of a trace: an application of N services in layers", 0},
		{"seed", 's', "N", 0, "default 1", 0},
		{0},
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_option,
		.doc = "Prints a trace, generated or from the history of a machine: time, requests a "
		       "second, the user types' shares.",
	};
	struct arguments a = {.given = {.duration_s = -1,
					.step_s = -1,
					.mean_rps = -1,
					.peak = -1,
					.noise = -1,
					.period_s = -1,
					.burst_s = -1,
					.gap_s = -1},
			      .speed = -1};
	struct drpc_generate_config config;
	struct drpc_series series = {0};
	int err;

	argp_parse(&argp, argc, argv, 0, NULL, &a);
	if (a.services) {
		sim_services_write(stdout, a.services, a.seeded ? a.given.seed : 1);
		return fflush(stdout) != 0;
	}
	config = settle(&a);
	err = a.recorded.path ? replay(&a, &series)
			      : drpc_generate(&config, a.mix.types ? &a.mix : NULL, &series);
	if (!err)
		print(&series, a.rates);
	drpc_series_done(&series);
	drpc_user_mix_done(&a.mix);
	return err ? 1 : fflush(stdout) != 0;
}
