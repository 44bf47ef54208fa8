// SPDX-License-Identifier: Apache-2.0
/* `drpc-sim fit`: a recording becomes an application file, or judges one that there is. */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fit/search.h"
#include "lib/log.h"
#include "lib/util.h"
#include "tools/load/schedule.h"
#include "tools/load/units.h"
#include "tools/sim/fit_report.h"
#include "tools/sim/sim.h"

enum { KEY_SLO = 0x100, KEY_AGAINST, KEY_JSON, KEY_UNIFORM, KEY_SEED, KEY_SEEDS };

#define JUDGE_SEEDS 20
#define TABLE_SEEDS 5
#define SEEDS_MOST  10000

struct arguments {
	const char *recording, *out, *name, *against, *rate;
	uint64_t slo_ns;
	double seed, seeds;
	bool json, uniform;
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;

	switch (key) {
	case 'r':
		a->recording = arg;
		return 0;
	case 'o':
		a->out = arg;
		return 0;
	case 'n':
		a->name = arg;
		return 0;
	case KEY_SLO:
		if (!drpc_parse_duration_ns(arg, &a->slo_ns) || !a->slo_ns)
			argp_error(state, "--slo: '%s', expected " DRPC_DURATION_FORM, arg);
		return 0;
	case KEY_AGAINST:
		a->against = arg;
		return 0;
	case 'R':
		a->rate = arg;
		return 0;
	case KEY_UNIFORM:
		a->uniform = true;
		return 0;
	case KEY_SEED:
		a->seed = sim_number(state, "--seed", arg, 0);
		return 0;
	case KEY_SEEDS:
		a->seeds = sim_number(state, "--seeds", arg, 1);
		if (a->seeds > SEEDS_MOST)
			argp_error(state, "--seeds: '%s', at most %d", arg, SEEDS_MOST);
		return 0;
	case KEY_JSON:
		a->json = true;
		return 0;
	case ARGP_KEY_END:
		if (!a->recording)
			argp_error(state, "expected --recording FILE");
		if (!a->out == !a->against)
			argp_error(state, "expected --out FILE, or --against FILE");
		if (a->rate && !a->against)
			argp_error(state, "--rate is for --against");
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

/* --- the file ----------------------------------------------------------------------------------- */

static int write_text(const struct arguments *a, const struct drpc_fit_model *m, FILE *out)
{
	const struct drpc_fit_data *d = m->data;
	double seconds = 0;

	for (size_t p = 0; p < d->n_points; p++)
		seconds += d->points[p].seconds;
	fprintf(out,
		"# Made by drpc-sim fit from %s: %zu services, %zu stretches, %.0f s.\n"
		"# Not in the recording, hence not here: paths of requests (each service has one\n"
		"# operation), timeouts and retries, start-up times, what a lack of memory costs.\n",
		a->recording, m->n, d->n_points, seconds);
	if (d->dispersion > 2)
		fprintf(out,
			"# Arrivals came in bursts (variance of their number %.1f times the mean): those\n"
			"# within an interval are taken for differences between requests.\n",
			d->dispersion);
	if (m->idle)
		fprintf(out, "# Left out: %zu deployments without a request.\n", m->idle);
	if (m->cut_edges)
		fprintf(out, "# Left out: %zu calls that would close a circle.\n", m->cut_edges);
	return drpc_fit_model_write(m, out);
}

/* All of it or nothing: a name of its own first. */
static int write_file(const struct arguments *a, const struct drpc_fit_model *m)
{
	_cleanup_free_ char *new = NULL;
	FILE *out;
	int err, fd;

	if (asprintf(&new, "%s.XXXXXX", a->out) < 0)
		return drpc_err(-ENOMEM, "%s", a->out);
	fd = mkostemp(new, O_CLOEXEC);
	if (fd < 0)
		return drpc_err(-errno, "cannot make %s", new);
	out = fdopen(fd, "w");
	if (!out) {
		close(fd);
		unlink(new);
		return drpc_err(-ENOMEM, "%s", a->out);
	}
	err = write_text(a, m, out);
	if (fflush(out) != 0 || fsync(fd) < 0 || fchmod(fd, 0644) < 0)
		err = -errno;
	if (fclose(out) != 0 && !err)
		err = -errno;
	if (!err && rename(new, a->out) < 0)
		err = -errno;
	if (err) {
		unlink(new);
		return drpc_err(err, "cannot write %s", a->out);
	}
	return 0;
}

/* --- fit ---------------------------------------------------------------------------------------- */

static int report_fit(const struct arguments *a, const struct drpc_fit_model *m)
{
	_cleanup_free_ struct drpc_fit_simulated *room = calloc(m->n + 1, sizeof(*room));
	const struct drpc_fit_replay replay = {.seed = (uint64_t)a->seed + 1, .seeds = TABLE_SEEDS};
	struct sim_fit_report *report;
	int err = room ? sim_fit_report_new(a->json, &report) : -ENOMEM;

	if (err)
		return err;
	for (size_t p = 0; p < m->data->n_points && !err; p++) {
		err = drpc_fit_model_simulate(m, p, &replay, room);
		for (size_t i = 0; i < m->n && !err; i++)
			sim_fit_report_add(report, &m->data->points[p], m->services[i].source,
					   m->services[i].name, &room[i]);
	}
	sim_fit_report_end(&report);
	return err;
}

static int fit(const struct arguments *a, const struct drpc_fit_data *d)
{
	const struct drpc_fit_effort effort = {
		.seed = (uint64_t)a->seed,
		.progress = isatty(STDERR_FILENO) ? show_progress : NULL,
	};
	char name[DRPC_FIT_NAME_MAX + 1];
	struct drpc_fit_model m;
	int err;

	drpc_fit_name(a->name, name);
	err = drpc_fit_model_make(d, a->recording, name[0] ? name : "app", (double)a->slo_ns, &m);
	if (err)
		return err;
	err = drpc_fit_search(&m, &effort);
	if (!err)
		err = write_file(a, &m);
	if (!err)
		err = report_fit(a, &m);
	drpc_fit_model_release(&m);
	return err;
}

/* --- judge -------------------------------------------------------------------------------------- */

struct judged {
	const struct arguments *arguments;
	const struct drpc_fit_model *model; /* of the recording: who is called from outside */
	struct drpc_sim_app *app;
	uint32_t *place;    /* by the application's services: the data's */
	uint32_t *in_model; /* the model's */
	double *outside;
	struct drpc_fit_simulated *room;
};

static int match_services(struct judged *j)
{
	const struct drpc_fit_model *m = j->model;
	size_t found = 0;

	for (uint32_t i = 0; i < j->app->n_services; i++) {
		j->place[i] = j->in_model[i] = UINT32_MAX;
		for (uint32_t k = 0; k < m->n; k++) {
			if (strcmp(m->services[k].name, j->app->services[i].name) != 0)
				continue;
			j->in_model[i] = k;
			j->place[i] = m->services[k].source;
			found++;
		}
	}
	if (found)
		return 0;
	return drpc_err(-EINVAL, "%s: none of the services of %s was recorded",
			j->arguments->recording, j->arguments->against);
}

/* A load of its own, as long as a point and its warming up. */
static int read_load(const struct arguments *a, double seconds, struct drpc_schedule *schedule)
{
	int err = drpc_schedule_parse(schedule, "--rate", a->rate);

	return err ? err : drpc_schedule_finish(schedule, seconds, seconds, true);
}

static int judge_point(struct judged *j, size_t p, struct sim_fit_report *report)
{
	const struct drpc_fit_point *point = &j->model->data->points[p];
	struct drpc_fit_replay replay = {.seed = (uint64_t)j->arguments->seed + 1,
					 .seeds = (unsigned int)j->arguments->seeds};
	_cleanup_free_ struct drpc_sim_piece *pieces = NULL;
	struct drpc_schedule schedule = {0};
	int err = 0;

	for (uint32_t i = 0; i < j->app->n_services; i++)
		j->outside[i] = j->in_model[i] == UINT32_MAX
					? 0
					: j->model->outside_rps[p * j->model->n + j->in_model[i]];
	if (j->arguments->rate) {
		err = read_load(j->arguments, point->seconds + 5, &schedule);
		pieces = err ? NULL : sim_pieces(&schedule);
		if (!err && !pieces)
			err = -ENOMEM;
		replay.load = (struct drpc_sim_load){.pieces = pieces,
						     .n_pieces = schedule.count,
						     .uniform = j->arguments->uniform};
	}
	if (!err)
		err = drpc_fit_simulate(j->app, point, j->place, j->outside, &replay, j->room);
	for (uint32_t i = 0; i < j->app->n_services && !err; i++) {
		if (j->place[i] != UINT32_MAX)
			sim_fit_report_add(report, point, j->place[i], j->app->services[i].name,
					   &j->room[i]);
	}
	drpc_schedule_release(&schedule);
	return err;
}

static int judge(const struct arguments *a, const struct drpc_fit_data *d)
{
	struct drpc_fit_model m = {0};
	struct judged j = {.arguments = a, .model = &m};
	struct sim_fit_report *report = NULL;
	int err = drpc_sim_app_load(a->against, NULL, &j.app);

	/* The objective is the application's. */
	if (!err)
		err = drpc_fit_model_make(d, a->recording, "recorded", j.app->slo_ns, &m);
	if (!err) {
		j.place = calloc(j.app->n_services + 1, sizeof(*j.place));
		j.in_model = calloc(j.app->n_services + 1, sizeof(*j.in_model));
		j.outside = calloc(j.app->n_services + 1, sizeof(*j.outside));
		j.room = calloc(j.app->n_services + 1, sizeof(*j.room));
		err = j.place && j.in_model && j.outside && j.room ? match_services(&j) : -ENOMEM;
	}
	if (!err)
		err = sim_fit_report_new(a->json, &report);
	for (size_t p = 0; p < d->n_points && !err; p++)
		err = judge_point(&j, p, report);
	if (report)
		sim_fit_report_end(&report);
	free(j.place);
	free(j.in_model);
	free(j.outside);
	free(j.room);
	drpc_fit_model_release(&m);
	drpc_sim_app_free(&j.app);
	return err;
}

/* --- both --------------------------------------------------------------------------------------- */

/* "shop" of "dir/shop.db" */
static void name_of(const char *path, char *name, size_t size)
{
	const char *slash = strrchr(path, '/');
	char *dot;

	drpc_strcpy(name, size, slash ? slash + 1 : path);
	dot = strchr(name, '.');
	if (dot && dot != name)
		*dot = '\0';
}

int sim_fit(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{"recording", 'r', "FILE", 0, "what drpc record wrote", 0},
		{"out", 'o', "FILE", 0, "the application file to make", 0},
		{"name", 'n', "NAME", 0, "of the application (default: the recording's)", 0},
		{"slo", KEY_SLO, "TIME", 0, "objective on p99 (default: as recorded)", 0},
		{"against", KEY_AGAINST, "FILE", 0,
		 "instead: simulate the recorded stretches with this application", 0},
		{"rate", 'R', "RATE", 0,
		 "for --against: requests/s, or pieces over and over, in place of a Poisson process at the rates recorded",
		 0},
		{"uniform", KEY_UNIFORM, NULL, 0,
		 "for --rate: evenly spaced, not a Poisson process", 0},
		{"seed", KEY_SEED, "N", 0, "of the simulations (default 1)", 0},
		{"seeds", KEY_SEEDS, "N", 0, "for --against: so many runs added up (default 20)",
		 0},
		{"json", KEY_JSON, NULL, 0, "print JSON", 0},
		{0},
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_option,
		.doc = "Makes an application file of a recording, or judges a file by one, and "
		       "prints for each stretch of it what was recorded and what is simulated.",
	};
	struct arguments a = {.seed = 1, .seeds = JUDGE_SEEDS};
	struct drpc_recorded recorded = {0};
	struct drpc_fit_data data = {0};
	char name[DRPC_FIT_NAME_MAX + 1];
	int err;

	argp_parse(&argp, argc, argv, 0, NULL, &a);
	name_of(a.recording, name, sizeof(name));
	if (!a.name)
		a.name = name;
	err = drpc_recorded_load(a.recording, &recorded);
	if (!err)
		err = drpc_fit_data_make(&recorded, a.recording, &data);
	if (!err)
		err = a.against ? judge(&a, &data) : fit(&a, &data);
	drpc_fit_data_release(&data);
	drpc_recorded_release(&recorded);
	return err != 0;
}
