// SPDX-License-Identifier: Apache-2.0
/* `drpc-sim evaluate`: one policy, one application, one load, one seed. */
#include <argp.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "tools/load/schedule.h"
#include "tools/sim/record.h"
#include "tools/sim/sim.h"

#define PARAMS_MAX	64
#define DEFAULT_SECONDS 600.0
#define DEFAULT_EVERY	10.0

enum { KEY_REPEAT = 0x100, KEY_SCALE, KEY_JSON, KEY_UNIFORM, KEY_SERIES, KEY_EVERY, KEY_HISTOGRAM };

struct arguments {
	const char *app, *cluster, *policy, *model, *trace, *rate, *mix, *series, *histogram;
	const char *pairs[PARAMS_MAX];
	size_t n_pairs;
	double seconds, warmup, scale, every;
	uint64_t seed;
	bool json, repeat, uniform;
};

static uint64_t seed(struct argp_state *state, const char *arg)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(arg, &end, 10);
	if (end == arg || *end || errno || *arg == '-')
		argp_error(state, "--seed: '%s', expected a whole number", arg);
	return value;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;

	switch (key) {
	case 'a':
		a->app = arg;
		return 0;
	case 'c':
		a->cluster = arg;
		return 0;
	case 'p':
		a->policy = arg;
		return 0;
	case 'P':
		if (a->n_pairs == PARAMS_MAX)
			argp_error(state, "--param: at most %d", PARAMS_MAX);
		a->pairs[a->n_pairs++] = arg;
		return 0;
	case 'M':
		a->model = arg;
		return 0;
	case 't':
		a->trace = arg;
		return 0;
	case 'r':
		a->rate = arg;
		return 0;
	case 'm':
		a->mix = arg;
		return 0;
	case 's':
		a->seed = seed(state, arg);
		return 0;
	case 'S':
		a->seconds = sim_number(state, "--seconds", arg, 0.001);
		return 0;
	case 'w':
		a->warmup = sim_number(state, "--warmup", arg, 0);
		return 0;
	case KEY_SCALE:
		a->scale = sim_number(state, "--scale", arg, 0);
		return 0;
	case KEY_REPEAT:
		a->repeat = true;
		return 0;
	case KEY_UNIFORM:
		a->uniform = true;
		return 0;
	case KEY_SERIES:
		a->series = arg;
		return 0;
	case KEY_HISTOGRAM:
		a->histogram = arg;
		return 0;
	case KEY_EVERY:
		a->every = sim_number(state, "--every", arg, 0.001);
		return 0;
	case KEY_JSON:
		a->json = true;
		return 0;
	case ARGP_KEY_END:
		if (!a->app)
			argp_error(state, "expected --app FILE");
		if (!a->trace == !a->rate)
			argp_error(state, "expected --trace FILE, or --rate RATE");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void show_progress(void *arg, double done)
{
	(void)arg;
	fprintf(stderr, "\r%3.0f %% ", done * 100);
	if (done >= 1.0)
		fputs("\r      \r", stderr);
	fflush(stderr);
}

static int read_load(const struct arguments *a, struct drpc_schedule *schedule)
{
	int err = a->trace ? drpc_schedule_load(schedule, a->trace, a->scale)
			   : drpc_schedule_parse(schedule, "--rate", a->rate);

	if (err)
		return err;
	return drpc_schedule_finish(schedule, a->seconds, DEFAULT_SECONDS, a->repeat);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int evaluate(const struct arguments *a, const struct drpc_sim_policy *policy,
		    const struct drpc_sim_app *app, const struct drpc_schedule *schedule)
{
	_cleanup_free_ struct drpc_sim_piece *pieces = sim_pieces(schedule);
	_cleanup_free_ double *shares = NULL;
	const struct drpc_sim_params params = {a->pairs, a->n_pairs, a->seed};
	const double seconds = drpc_schedule_duration_s(schedule);
	struct drpc_sim_config config = {
		.load = {.pieces = pieces, .n_pieces = schedule->count, .uniform = a->uniform},
		.seed = a->seed,
		.warmup_s = a->warmup,
	};
	struct drpc_sim_watch watch = {0};
	struct sim_case c = {.policy = policy->name,
			     .app = app->name,
			     .trace = a->trace ? base_name(a->trace) : a->rate,
			     .seed = a->seed,
			     .watch = &watch};
	struct sim_recording *recording = NULL;
	struct drpc_sim_result result;
	uint64_t begin = drpc_now_ns();
	int err = pieces ? 0 : -ENOMEM;

	if (!err && a->warmup >= seconds)
		err = drpc_err(-EINVAL, "--warmup: %g s are not less than the run's %g", a->warmup,
			       seconds);
	if (!err && a->mix)
		err = sim_mix(app, a->mix, schedule->count, &shares);
	config.load.shares = shares;
	if (!err && (a->series || a->histogram)) {
		err = sim_recording_new(app, a->series, a->every, a->histogram, &recording);
		if (!err)
			watch = sim_recording_watch(recording);
	}
	if (!err)
		err = drpc_sim_evaluate_watched(app, &config, policy, &params, seconds,
						isatty(STDERR_FILENO) ? show_progress : NULL, NULL,
						&watch, &result);
	if (!err && recording)
		err = sim_recording_keep(recording);
	sim_recording_free(&recording);
	if (err)
		return err;
	c.wall_seconds = (double)(drpc_now_ns() - begin) * 1e-9;
	if (a->json) {
		struct json_object *o = sim_result_json(&c, &result);

		printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY));
		json_object_put(o);
	} else {
		sim_result_print(&c, &result);
	}
	return 0;
}

/* The names of the policies below the options. */
static char *filter(int key, const char *text, void *input)
{
	char *out = NULL;
	size_t size = 0;
	FILE *f;

	(void)input;
	if (key != ARGP_KEY_HELP_POST_DOC)
		return (char *)text;
	f = open_memstream(&out, &size);
	if (!f)
		return (char *)text;
	fputs("Policies:\n", f);
	for (const struct drpc_sim_policy *const *p = sim_policies; *p; p++)
		fprintf(f, "  %s: %s\n", (*p)->name, (*p)->help);
	fclose(f);
	return out;
}

/* The option as a pair in `room`. */
static int model_pair(struct arguments *a, char *room, size_t size)
{
	const int n = snprintf(room, size, "model=%s", a->model);

	if (n < 0 || (size_t)n >= size || a->n_pairs == PARAMS_MAX)
		return drpc_err(-E2BIG, "--model: at most %d parameters, and a shorter name",
				PARAMS_MAX);
	a->pairs[a->n_pairs++] = room;
	return 0;
}

int sim_evaluate(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{"app", 'a', "FILE", 0, "the application", 0},
		{"cluster", 'c', "FILE", 0, "a cluster instead of the file's own", 0},
		{"policy", 'p', "NAME", 0, "who scales (default static)", 0},
		{"param", 'P', "KEY=VALUE", 0, "a parameter of the policy; may be repeated", 0},
		{"model", 'M', "FILE", 0, "what the policy learned, as --param model=FILE", 0},
		{"trace", 't', "FILE", 0, "requests a second, one line a second", 0},
		{"rate", 'r', "RATE", 0,
		 "instead: a rate, or pieces RATE@DURATION and FROM:TO@DURATION joined by commas",
		 0},
		{"scale", KEY_SCALE, "X", 0, "the trace's rates times X (default 1)", 0},
		{"repeat", KEY_REPEAT, NULL, 0, "a load shorter than --seconds starts again", 0},
		{"mix", 'm', "CLASS=SHARE,..", 0, "shares of the request classes", 0},
		{"uniform", KEY_UNIFORM, NULL, 0, "evenly spaced arrivals, not a Poisson process",
		 0},
		{"seed", 's', "N", 0, "default 1", 0},
		{"seconds", 'S', "S", 0, "to simulate (default: the load's length, or 600)", 0},
		{"warmup", 'w', "S", 0, "of these at the start that do not count (default 0)", 0},
		{"series", KEY_SERIES, "FILE", 0, "a table of the run, a line each --every seconds",
		 0},
		{"every", KEY_EVERY, "S", 0, "default 10", 0},
		{"histogram", KEY_HISTOGRAM, "FILE", 0, "a table of how long requests took", 0},
		{"json", KEY_JSON, NULL, 0, "print one JSON object", 0},
		{0},
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_option,
		.doc = "Runs an application under a load while a policy scales it.\v",
		.help_filter = filter,
	};
	struct arguments a = {.policy = "static", .seed = 1, .scale = 1.0, .every = DEFAULT_EVERY};
	const struct drpc_sim_policy *policy;
	struct drpc_schedule schedule = {0};
	struct drpc_sim_app *app = NULL;
	char model[4096];
	int err;

	argp_parse(&argp, argc, argv, 0, NULL, &a);
	if (a.model && model_pair(&a, model, sizeof(model)) < 0)
		return 2;
	policy = sim_policy_find(a.policy);
	if (!policy)
		return 2;
	err = read_load(&a, &schedule);
	if (!err)
		err = drpc_sim_app_load(a.app, a.cluster, &app);
	if (!err)
		err = evaluate(&a, policy, app, &schedule);
	drpc_sim_app_free(&app);
	drpc_schedule_release(&schedule);
	return err < 0;
}
