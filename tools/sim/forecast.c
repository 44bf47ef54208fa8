// SPDX-License-Identifier: Apache-2.0
/* `drpc-sim forecast`: a predictor trained on a series and judged on its last fifth. */
#include <argp.h>
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/util.h"
#include "tools/sim/sim.h"
#include "tools/sim/source.h"
#include "workload/forecaster.h"

#define DEFAULT_STEP_S 300

enum {
	OPT_TARGET = 256,
	OPT_STEP,
	OPT_SCALE,
	OPT_FORMAT,
	OPT_JSON,
};

struct arguments {
	struct sim_source source;
	struct drpc_forecaster_config config;
	const char *target;
	double step_s, scale;
	bool json;
};

static const struct argp_option options[] = {
	{"data", 'd', "FILE", 0, "a trace (docs/workload.md), - for standard input, or a history",
	 0},
	{"model", 'm', "gru|lstm", 0, "the recurrent cell (default gru)", 0},
	{"machine", 'M', "NAME", 0, "which one, where FILE holds several", 0},
	{"target", OPT_TARGET, "COLUMN", 0,
	 "what to forecast (default the first that begins with cpu, else the first)", 0},
	{"step", OPT_STEP, "SECONDS", 0, "distance of two horizons (default 300)", 0},
	{"scale", OPT_SCALE, "X", 0,
	 "to the 0-1 scale (default 0.01 for percents, else 1 / the largest value)", 0},
	{"format", OPT_FORMAT, "NAME", 0, "of the trace: " DRPC_TRACE_FORMATS " (default auto)", 0},
	{"seed", 's', "N", 0, "of the networks (default 1)", 0},
	{"json", OPT_JSON, NULL, 0, "one object", 0},
	{0},
};

static double number(struct argp_state *state, const char *flag, const char *arg)
{
	char *end;
	const double value = strtod(arg, &end);

	if (end == arg || *end || !(value > 0 && isfinite(value)))
		argp_error(state, "%s: '%s', expected a number above 0", flag, arg);
	return value;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	char *end;

	switch (key) {
	case 'd':
		a->source.path = arg;
		return 0;
	case 'm':
		if (strcmp(arg, "gru") != 0 && strcmp(arg, "lstm") != 0)
			argp_error(state, "--model: '%s', expected gru or lstm", arg);
		a->config.cell = strcmp(arg, "gru") ? DRPC_RNN_LSTM : DRPC_RNN_GRU;
		return 0;
	case 'M':
		a->source.machine = arg;
		return 0;
	case OPT_TARGET:
		a->target = arg;
		return 0;
	case OPT_STEP:
		a->step_s = number(state, "--step", arg);
		return 0;
	case OPT_SCALE:
		a->scale = number(state, "--scale", arg);
		return 0;
	case OPT_FORMAT:
		if (drpc_trace_format_parse(arg, &a->source.format) < 0)
			argp_error(state, "--format: '%s', expected " DRPC_TRACE_FORMATS, arg);
		return 0;
	case 's':
		a->config.seed = strtoull(arg, &end, 10);
		if (end == arg || *end || *arg == '-')
			argp_error(state, "--seed: '%s', expected a number from 0", arg);
		return 0;
	case OPT_JSON:
		a->json = true;
		return 0;
	case ARGP_KEY_END:
		if (!a->source.path)
			argp_error(state, "expected --data FILE");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const char *choose_target(const struct drpc_series *series)
{
	for (size_t i = 0; i < series->columns; i++) {
		if (!strncasecmp(series->names[i], "cpu", 3))
			return series->names[i];
	}
	return series->names[0];
}

/* The largest value of what is not held out: the held-out part must not set the scale. */
static double choose_scale(const struct drpc_series *series, const char *target)
{
	const ssize_t column = drpc_series_column(series, target);
	const size_t n = (size_t)(0.8 * (double)series->count);
	double most = 0;

	if (column < 0 || strstr(target, "percent") || strstr(target, "pct"))
		return 0.01;
	for (size_t i = 0; i < n; i++) {
		const float value = drpc_series_at(series, i, (size_t)column);

		if (isfinite(value))
			most = fmax(most, (double)value);
	}
	return most > 0 ? 1 / most : 1;
}

static void on_progress(void *arg, double share)
{
	(void)arg;
	fprintf(stderr, "\r\033[K%3.0f %% trained", share * 100);
}

/* --- output --------------------------------------------------------------------------------- */

static void add_list(struct json_object *object, const char *key, const double *values,
		     double divide)
{
	struct json_object *list = json_object_new_array();

	for (size_t h = 0; h < DRPC_FORECASTER_HORIZONS; h++) {
		const double value = values[h] / divide;

		json_object_array_add(list, isfinite(value) ? json_object_new_double(value) : NULL);
	}
	json_object_object_add(object, key, list);
}

static void print_json(const struct arguments *a, const struct drpc_forecaster_report *r)
{
	const double square = r->range * r->range;
	struct json_object *object = json_object_new_object();
	double minutes[DRPC_FORECASTER_HORIZONS];

	for (size_t h = 0; h < DRPC_FORECASTER_HORIZONS; h++)
		minutes[h] = (double)(h + 1) * a->step_s / 60;
	json_object_object_add(
		object, "model",
		json_object_new_string(a->config.cell == DRPC_RNN_GRU ? "gru" : "lstm"));
	json_object_object_add(object, "data", json_object_new_string(a->source.path));
	add_list(object, "horizons_min", minutes, 1);
	add_list(object, "mse_fraction", r->errors.model, 1);
	add_list(object, "mse_minmax", r->errors.model, square);
	add_list(object, "persistence_fraction", r->errors.persistence, 1);
	add_list(object, "persistence_minmax", r->errors.persistence, square);
	add_list(object, "seasonal_fraction", r->errors.seasonal, 1);
	add_list(object, "ridge_fraction", r->errors.ridge, 1);
	printf("%s\n", json_object_to_json_string_ext(
			       object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(object);
}

static void print_row(const char *name, const double *errors, const double *persistence)
{
	printf("  %-22s", name);
	for (size_t h = 0; h < DRPC_FORECASTER_HORIZONS; h++)
		printf("  %.6f %5.1f %%", errors[h], errors[h] / persistence[h] * 100);
	putchar('\n');
}

static void print_text(const struct arguments *a, const struct drpc_forecaster_report *r,
		       const char *target)
{
	const struct drpc_forecaster_errors *e = &r->errors;
	const char *cell = a->config.cell == DRPC_RNN_GRU ? "gru" : "lstm";
	char name[48];

	printf("%s of %s: %zu windows to train on, %zu held out; mean squared error on the 0-1 scale, "
	       "and as a share of persistence\n",
	       target, a->source.path, r->trained, r->held_out);
	printf("  %-22s", "minutes ahead");
	for (size_t h = 0; h < DRPC_FORECASTER_HORIZONS; h++)
		printf("  %16.4g", (double)(h + 1) * a->step_s / 60);
	putchar('\n');
	print_row(cell, e->model, e->persistence);
	snprintf(name, sizeof(name), "  its networks alone");
	print_row(name, e->network, e->persistence);
	snprintf(name, sizeof(name), "  its linear path");
	print_row(name, e->linear, e->persistence);
	print_row("ridge", e->ridge, e->persistence);
	print_row("persistence", e->persistence, e->persistence);
	print_row("the day before", e->seasonal, e->persistence);
	printf("chosen before the held-out part: %zu epochs, networks count %.0f %%, penalty %g; on the "
	       "folds %.1f %% of persistence, the linear path alone %.1f %%\n",
	       r->epochs, r->network_share * 100, r->linear_penalty, r->fold_model * 100,
	       r->fold_linear * 100);
}

static int run(struct arguments *a)
{
	struct drpc_forecaster_report report;
	struct drpc_series series = {0};
	struct drpc_grid grid = {0};
	const char *target;
	int err = sim_source_load(&a->source, &series);

	if (err)
		return err;
	target = a->target ? a->target : choose_target(&series);
	err = drpc_grid_make(&series, target, a->step_s,
			     a->scale > 0 ? a->scale : choose_scale(&series, target), &grid);
	if (!err)
		err = drpc_forecaster_judge(&grid, &a->config, &report);
	if (a->config.on_progress)
		fputs("\r\033[K", stderr);
	if (!err && a->json)
		print_json(a, &report);
	else if (!err)
		print_text(a, &report, target);
	drpc_grid_done(&grid);
	drpc_series_done(&series);
	return err;
}

int sim_forecast(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse_option,
		.doc = "Trains a predictor on the first four fifths of a series and prints its errors "
		       "on the last fifth beside those of persistence, the day before and ridge "
		       "autoregression.",
	};
	struct arguments a = {.config = drpc_forecaster_defaults(DRPC_RNN_GRU),
			      .step_s = DEFAULT_STEP_S};

	argp_parse(&argp, argc, argv, 0, NULL, &a);
	a.source.step_s = a.step_s;
	if (isatty(STDERR_FILENO))
		a.config.on_progress = on_progress;
	return run(&a) < 0;
}
