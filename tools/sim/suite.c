// SPDX-License-Identifier: Apache-2.0
#include "tools/sim/suite.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "tools/load/schedule.h"
#include "tools/sim/sim.h"
#include "workload/generate.h"

#define PEAK_USE       0.6
#define TRACE_SECONDS  1800.0
#define WARMUP_SECONDS 300.0 /* at the trace's first rate */
#define TRAIN_TRACES   2     /* of each kind, with generator seeds from 1 on */
#define TRAIN_SEED     1
#define HELD_OUT_SEED  1001 /* one of each kind */
#define KINDS	       (DRPC_GENERATE_DRIFT + 1)
#define PAPER_LEAST    200.0 /* requests a second, TrainTicket's in the paper */
#define PAPER_MOST     800.0
#define PAPER_RAMP     60.0
#define PAPER_BEFORE   60.0
#define PAPER_AFTER    240.0

double sim_peak_rps(const struct drpc_sim_app *app, const double *shares)
{
	double least = INFINITY, whole = 0;

	for (uint32_t c = 0; c < app->n_classes; c++)
		whole += shares ? shares[c] : app->classes[c].share;
	for (uint32_t i = 0; i < app->n_services; i++) {
		const struct drpc_sim_service *s = &app->services[i];
		const double limit_ns = s->replicas * s->cpu_cores * 1e9;
		double demand_ns = 0;

		for (uint32_t c = 0; c < app->n_classes; c++)
			demand_ns += (shares ? shares[c] : app->classes[c].share) / whole *
				     app->class_demand_ns[(size_t)c * app->n_services + i];
		if (limit_ns > 0 && demand_ns > 0)
			least = fmin(least, limit_ns / demand_ns);
	}
	return isfinite(least) ? floor(PEAK_USE * least + 1e-6) : 100;
}

/* --- generated ---------------------------------------------------------------------------------- */

/* The user types' columns as weights of the application's classes; NULL where it has others. */
static double *take_shares(const struct drpc_series *series, const struct drpc_sim_app *app,
			   size_t lead)
{
	double *shares = calloc((lead + series->count) * app->n_classes, sizeof(*shares));

	for (uint32_t c = 0; c < app->n_classes && shares; c++) {
		const ssize_t column = drpc_series_column(series, app->classes[c].name);

		if (column < 1) {
			free(shares);
			return NULL;
		}
		for (size_t i = 0; i < lead + series->count; i++)
			shares[i * app->n_classes + c] = (double)drpc_series_at(
				series, i < lead ? 0 : i - lead, (size_t)column);
	}
	return shares;
}

/* A generated rate is a share of what the file's limits carry under the mix of that second. */
static int generate(enum drpc_generate_kind kind, uint64_t seed, const char *split,
		    const struct drpc_sim_app *app, struct sim_workload *ret)
{
	struct drpc_generate_config config = drpc_generate_defaults(kind);
	struct drpc_series series = {0};
	double top = 0;
	int err;

	config.seed = seed;
	config.duration_s = TRACE_SECONDS;
	config.period_s = TRACE_SECONDS; /* a day's wave in half an hour */
	err = drpc_generate(&config, NULL, &series);
	if (err)
		return err;
	for (size_t i = 0; i < series.count; i++)
		top = fmax(top, (double)drpc_series_at(&series, i, 0));
	ret->n = series.count + 1;
	ret->pieces = calloc(ret->n, sizeof(*ret->pieces));
	ret->shares = kind == DRPC_GENERATE_DRIFT ? take_shares(&series, app, 1) : NULL;
	for (size_t i = 0; ret->pieces && i < ret->n; i++) {
		const double *shares = ret->shares ? ret->shares + i * app->n_classes : NULL;
		const double rate = sim_peak_rps(app, shares) / top *
				    (double)drpc_series_at(&series, i ? i - 1 : 0, 0);

		ret->pieces[i] =
			(struct drpc_sim_piece){i ? config.step_s : WARMUP_SECONDS, rate, rate};
	}
	ret->warmup = WARMUP_SECONDS;
	ret->seconds = WARMUP_SECONDS + TRACE_SECONDS;
	snprintf(ret->name, sizeof(ret->name), "%s-%s-%llu", split, drpc_generate_kind_name(kind),
		 (unsigned long long)seed);
	drpc_series_done(&series);
	return ret->pieces ? 0 : -ENOMEM;
}

static int generate_all(const char *split, uint64_t first, size_t each,
			const struct drpc_sim_app *app, struct sim_suite *suite)
{
	suite->workloads = calloc(KINDS * each, sizeof(*suite->workloads));
	if (!suite->workloads)
		return -ENOMEM;
	for (size_t k = 0; k < each; k++) {
		for (size_t kind = 0; kind < KINDS; kind++) {
			int err = generate((enum drpc_generate_kind)kind, first + k * KINDS + kind,
					   split, app, &suite->workloads[suite->n]);

			suite->n++;
			if (err)
				return err;
		}
	}
	return 0;
}

static int make_paper(struct sim_suite *suite)
{
	const struct drpc_sim_piece pieces[] = {
		{WARMUP_SECONDS + PAPER_BEFORE, PAPER_LEAST, PAPER_LEAST},
		{PAPER_RAMP, PAPER_LEAST, PAPER_MOST},
		{PAPER_AFTER, PAPER_MOST, PAPER_MOST},
	};
	struct sim_workload *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	suite->workloads = w;
	suite->n = 1;
	*w = (struct sim_workload){
		.name = "paper-200-800",
		.pieces = malloc(sizeof(pieces)),
		.n = DRPC_ARRAY_SIZE(pieces),
		.seconds = WARMUP_SECONDS + PAPER_BEFORE + PAPER_RAMP + PAPER_AFTER,
		.warmup = WARMUP_SECONDS,
	};
	if (!w->pieces)
		return -ENOMEM;
	memcpy(w->pieces, pieces, sizeof(pieces));
	return 0;
}

int sim_suite_make(const char *name, const struct drpc_sim_app *app, struct sim_suite *ret)
{
	struct sim_suite suite = {0};
	int err;

	if (strcmp(name, "paper") == 0)
		err = make_paper(&suite);
	else if (strcmp(name, "held-out") == 0)
		err = generate_all(name, HELD_OUT_SEED, 1, app, &suite);
	else if (strcmp(name, "train") == 0)
		err = generate_all(name, TRAIN_SEED, TRAIN_TRACES, app, &suite);
	else
		err = drpc_err(-EINVAL, "--suite: there is no '%s', expected paper or held-out",
			       name);
	if (err) {
		sim_suite_done(&suite);
		return err;
	}
	*ret = suite;
	return 0;
}

/* --- from a file -------------------------------------------------------------------------------- */

int sim_suite_load(const char *path, double scale, double warmup, struct sim_suite *ret)
{
	struct drpc_schedule schedule = {0};
	const char *slash = strrchr(path, '/');
	struct sim_workload *w = NULL;
	int err = drpc_schedule_load(&schedule, path, scale);

	if (!err)
		err = drpc_schedule_finish(&schedule, 0, 0, false);
	if (!err && warmup >= drpc_schedule_duration_s(&schedule))
		err = drpc_err(-EINVAL, "--warmup: %g s are not less than the %g of %s", warmup,
			       drpc_schedule_duration_s(&schedule), path);
	if (!err) {
		w = calloc(1, sizeof(*w));
		if (w)
			w->pieces = sim_pieces(&schedule);
		err = w && w->pieces ? 0 : -ENOMEM;
	}
	if (!err) {
		drpc_strcpy(w->name, sizeof(w->name), slash ? slash + 1 : path);
		w->n = schedule.count;
		w->seconds = drpc_schedule_duration_s(&schedule);
		w->warmup = warmup;
		*ret = (struct sim_suite){.workloads = w, .n = 1};
	} else {
		free(w);
	}
	drpc_schedule_release(&schedule);
	return err;
}

void sim_suite_done(struct sim_suite *suite)
{
	for (size_t i = 0; i < suite->n; i++) {
		free(suite->workloads[i].pieces);
		free(suite->workloads[i].shares);
	}
	free(suite->workloads);
	*suite = (struct sim_suite){0};
}

void sim_suite_cut(struct sim_suite *suite, double seconds)
{
	for (size_t i = 0; i < suite->n; i++) {
		struct sim_workload *w = &suite->workloads[i];

		w->seconds = fmin(w->seconds, seconds);
		if (w->warmup >= w->seconds)
			w->warmup = w->seconds / 2;
	}
}

static uint64_t mix(uint64_t hash, const void *data, size_t bytes)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < bytes; i++)
		hash = (hash ^ p[i]) * 0x100000001b3ULL;
	return hash;
}

uint64_t sim_workload_digest(const struct sim_workload *w, uint32_t classes)
{
	uint64_t hash = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < w->n; i++)
		hash = mix(hash, &w->pieces[i], sizeof(w->pieces[i]));
	if (w->shares)
		hash = mix(hash, w->shares, w->n * classes * sizeof(*w->shares));
	hash = mix(hash, &w->seconds, sizeof(w->seconds));
	return mix(hash, &w->warmup, sizeof(w->warmup));
}
