// SPDX-License-Identifier: Apache-2.0
#include "fit/search.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"

#define DEFAULT_CALLS  150000.0
#define DEFAULT_POINTS 16
#define DEFAULT_ROUNDS 3
#define SEEDS_MOST     8
#define SECONDS_LEAST  5.0
#define FULL	       0.97 /* of a limit: a queue then tells how long it was, not how it is served */
#define REQUESTS_LEAST 100 /* of a service at a point, to have a distribution */
#define CV_MOST	       4.0
#define STEPS	       7    /* of a line search; each leaves 62 % of what was in question */
#define SHOWS	       0.98 /* of the distance without it, for a parameter to be believed */
#define GOLDEN	       0.6180339887498949

struct search {
	struct drpc_fit_model *m;
	const struct drpc_fit_effort *effort;
	size_t *points; /* those simulated */
	size_t n_points;
	struct drpc_fit_replay replay;
	struct drpc_fit_simulated *room; /* by service */
	double *distances;		 /* by service, of the last trial */
	size_t trials, trials_expected;
};

/* --- one point ---------------------------------------------------------------------------------- */

static int make_app(const struct drpc_fit_model *m, struct drpc_sim_app **ret)
{
	_cleanup_free_ char *text = NULL;
	char why[512] = "";
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	int err;

	if (!out)
		return -ENOMEM;
	err = drpc_fit_model_write(m, out);
	if (fclose(out) != 0 || err)
		return -ENOMEM;
	err = drpc_sim_app_parse(text, size, "fit", ret, why, sizeof(why));
	return err == -EINVAL ? drpc_err(err, "what was recorded makes no application: %s", why)
			      : err;
}

static int simulate(const struct drpc_fit_model *m, struct drpc_sim_app *app, size_t point,
		    const struct drpc_fit_replay *replay, struct drpc_fit_simulated *ret)
{
	_cleanup_free_ uint32_t *place = calloc(m->n + 1, sizeof(*place));

	if (!place)
		return -ENOMEM;
	for (size_t i = 0; i < m->n; i++)
		place[i] = m->services[i].source;
	return drpc_fit_simulate(app, &m->data->points[point], place, m->outside_rps + point * m->n,
				 replay, ret);
}

int drpc_fit_model_simulate(const struct drpc_fit_model *model, size_t point,
			    const struct drpc_fit_replay *replay, struct drpc_fit_simulated *ret)
{
	struct drpc_sim_app *app = NULL;
	int err = make_app(model, &app);

	if (!err)
		err = simulate(model, app, point, replay, ret);
	drpc_sim_app_free(&app);
	return err;
}

/* --- a trial ------------------------------------------------------------------------------------ */

/* Latencies, and the share of throttled periods beside them. */
static double distance_at(const struct drpc_fit_stat *stat, const struct drpc_fit_simulated *s)
{
	const double recorded = stat->periods ? (double)stat->throttled / (double)stat->periods : 0;
	const double simulated = s->periods ? (double)s->throttled / (double)s->periods : 0;

	return drpc_fit_distance(stat->hist, s->hist) + fabs(recorded - simulated);
}

/* Mean over the points, for each service; the sum over them in *ret. */
static int try(struct search *s, double *ret)
{
	struct drpc_sim_app *app = NULL;
	int err = make_app(s->m, &app);

	for (size_t i = 0; i < s->m->n; i++)
		s->distances[i] = 0;
	for (size_t p = 0; p < s->n_points && !err; p++) {
		const struct drpc_fit_point *point = &s->m->data->points[s->points[p]];

		err = simulate(s->m, app, s->points[p], &s->replay, s->room);
		for (size_t i = 0; i < s->m->n && !err; i++) {
			const struct drpc_fit_stat *stat = &point->stats[s->m->services[i].source];

			if (stat->requests >= REQUESTS_LEAST)
				s->distances[i] +=
					distance_at(stat, &s->room[i]) / (double)s->n_points;
		}
	}
	drpc_sim_app_free(&app);
	*ret = 0;
	for (size_t i = 0; i < s->m->n; i++)
		*ret += s->distances[i];
	s->trials++;
	if (s->effort->progress)
		s->effort->progress(s->effort->arg,
				    fmin(1, (double)s->trials / (double)s->trials_expected));
	return err;
}

/* --- which points ------------------------------------------------------------------------------- */

static double fullness(const struct drpc_fit_model *m, const struct drpc_fit_point *p)
{
	double most = 0;

	for (size_t i = 0; i < m->n; i++) {
		const struct drpc_fit_stat *s = &p->stats[m->services[i].source];
		const double limit = s->cpu_limit_cores * s->replica_s;

		if (limit > 0)
			most = fmax(most, s->cpu_s / limit);
		if (drpc_fit_all_busy((double)s->requests, s->queue_s * 1e9, s->total_s * 1e9))
			most = fmax(most, 1);
	}
	return most;
}

struct candidate {
	size_t point;
	double full;
};

static int compare_candidates(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->full != y->full)
		return x->full < y->full ? -1 : 1;
	return x->point < y->point ? -1 : x->point > y->point;
}

/* From empty to full, evenly. */
static int choose_points(struct search *s)
{
	const struct drpc_fit_data *d = s->m->data;
	const size_t most = s->effort->points ? s->effort->points : DEFAULT_POINTS;
	_cleanup_free_ struct candidate *all = calloc(d->n_points + 1, sizeof(*all));
	size_t n = 0;

	s->points = calloc(d->n_points + 1, sizeof(*s->points));
	if (!all || !s->points)
		return -ENOMEM;
	for (size_t p = 0; p < d->n_points; p++) {
		const double full = fullness(s->m, &d->points[p]);
		double rate = 0;

		for (size_t i = 0; i < s->m->n; i++)
			rate += s->m->outside_rps[p * s->m->n + i];
		if (rate > 0 && full < FULL)
			all[n++] = (struct candidate){p, full};
	}
	if (!n)
		return drpc_err(
			-ENODATA,
			"every recorded stretch was overloaded or idle: record one with load and with room");
	qsort(all, n, sizeof(*all), compare_candidates);
	s->n_points = DRPC_MIN(n, most);
	for (size_t i = 0; i < s->n_points; i++)
		s->points[i] = all[s->n_points > 1 ? i * (n - 1) / (s->n_points - 1) : 0].point;
	return 0;
}

/* How long and how often, by what a trial may cost. */
static void choose_length(struct search *s)
{
	const double most = s->effort->calls > 0 ? s->effort->calls : DEFAULT_CALLS;
	double calls = 0, longest = 0;

	for (size_t p = 0; p < s->n_points; p++) {
		const struct drpc_fit_point *point = &s->m->data->points[s->points[p]];

		for (size_t i = 0; i < s->m->n; i++)
			calls += (double)point->stats[s->m->services[i].source].requests;
		longest = fmax(longest, point->seconds);
	}
	s->replay = (struct drpc_fit_replay){.seed = s->effort->seed, .seeds = 1};
	if (calls > most)
		s->replay.seconds = fmax(SECONDS_LEAST, longest * most / calls);
	else
		s->replay.seeds = (unsigned int)fmin(SEEDS_MOST, floor(most / fmax(calls, 1)));
}

/* --- one parameter ------------------------------------------------------------------------------ */

/* Golden sections of [low, high]; the value stays where nothing in it is better. */
static int line(struct search *s, double *value, double low, double high)
{
	double best = *value, best_at, x[2] = {0}, f[2] = {INFINITY, INFINITY};
	int err = try(s, &best_at);

	x[0] = high - GOLDEN * (high - low);
	x[1] = low + GOLDEN * (high - low);
	for (int i = 0; i < 2 && !err; i++) {
		*value = x[i];
		err = try(s, &f[i]);
	}
	for (int step = 0; step < STEPS && !err; step++) {
		const int worse = f[0] <= f[1] ? 1 : 0, better = 1 - worse;

		if (f[better] < best_at) {
			best_at = f[better];
			best = x[better];
		}
		if (worse)
			high = x[1];
		else
			low = x[0];
		x[worse] = x[better];
		f[worse] = f[better];
		x[better] = worse ? high - GOLDEN * (high - low) : low + GOLDEN * (high - low);
		*value = x[better];
		err = try(s, &f[better]);
	}
	for (int i = 0; i < 2 && !err; i++) {
		if (f[i] < best_at) {
			best_at = f[i];
			best = x[i];
		}
	}
	*value = best;
	return err;
}

/* A switch is thrown where that is clearly better. */
static int flip(struct search *s, bool *value)
{
	double with = 0, without = 0;
	int err = try(s, &without);

	if (err)
		return err;
	*value = !*value;
	err = try(s, &with);
	if (err || with > SHOWS * without)
		*value = !*value;
	return err;
}

static int search_service(struct search *s, struct drpc_fit_service *service, unsigned int round)
{
	const double demand = drpc_fit_demand_ns(service);
	/* The first round looks everywhere, the next ones nearby. */
	const double near = round ? 0.4 : 1;
	const double reach = fmax(service->wait_ns, 0.3 * demand) * near;
	int err = line(s, &service->wait_ns, fmax(0, service->wait_ns - reach),
		       service->wait_ns + reach);

	if (!err)
		err = round ? line(s, &service->cv, fmax(0, service->cv - 0.3), service->cv + 0.3)
			    : line(s, &service->cv, 0, CV_MOST / 2);
	if (!err && round == 0 && service->cv > 0.9 * CV_MOST / 2)
		err = line(s, &service->cv, CV_MOST / 2, CV_MOST);
	if (!err && round && (service->n_calls || service->wait_ns > 0.05 * demand))
		err = line(s, &service->after, 0, 0.9);
	if (!err && round)
		err = flip(s, &service->exponential);
	if (!err && round && service->wait_ns > 0.1 * demand)
		err = flip(s, &service->wait_exponential);
	return err;
}

int drpc_fit_search(struct drpc_fit_model *model, const struct drpc_fit_effort *effort)
{
	const unsigned int rounds = effort->rounds ? effort->rounds : DEFAULT_ROUNDS;
	struct search s = {.m = model, .effort = effort};
	double all;
	int err = choose_points(&s);

	s.room = calloc(model->n + 1, sizeof(*s.room));
	s.distances = calloc(model->n + 1, sizeof(*s.distances));
	if (!err && (!s.room || !s.distances))
		err = -ENOMEM;
	if (!err)
		choose_length(&s);
	s.trials_expected =
		model->n * ((size_t)rounds * 3 * (STEPS + 3) + (size_t)(rounds - 1) * 4) + 1;
	for (unsigned int round = 0; round < rounds && !err; round++) {
		for (size_t i = 0; i < model->n && !err; i++)
			err = search_service(&s, &model->services[model->order[i]], round);
	}
	if (!err)
		err = try(&s, &all);
	for (size_t i = 0; i < model->n && !err; i++)
		model->services[i].distance = s.distances[i];
	free(s.points);
	free(s.room);
	free(s.distances);
	return err;
}
