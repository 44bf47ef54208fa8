// SPDX-License-Identifier: Apache-2.0
#include "fit/data.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/hist.h"
#include "lib/log.h"
#include "lib/util.h"

/* An agent looks at limits every two seconds: those of the time before a change are in doubt. */
#define LIMITS_AGE_MS 2000
#define SETTLING_MS   1000
#define RATE_SIGMAS   4.0
#define RATE_SHARE    0.3
#define EDGES_MAX     100000

/* All samples of one time. */
struct moment {
	size_t first, n;
	int64_t time_ms;
	double span_s, requests; /* requests: of the service that has most */
	bool changed, shifted, gap, skipped;
};

/* --- services and edges ------------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int find_services(struct drpc_fit_data *d)
{
	const size_t n = d->recorded->n_containers;
	size_t services = 0;

	d->names = calloc(n + 1, sizeof(*d->names));
	d->service_of = calloc(n + 1, sizeof(*d->service_of));
	if (!d->names || !d->service_of)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		d->names[i] = d->recorded->containers[i].deployment;
	qsort((void *)d->names, n, sizeof(*d->names), compare_names);
	for (size_t i = 0; i < n; i++) {
		if (!services || strcmp(d->names[services - 1], d->names[i]) != 0)
			d->names[services++] = d->names[i];
	}
	d->n_services = services;
	for (size_t i = 0; i < n; i++) {
		const char *const key = d->recorded->containers[i].deployment;
		const char **found = bsearch((const void *)&key, (const void *)d->names, services,
					     sizeof(*d->names), compare_names);

		d->service_of[i] = (uint32_t)(found - d->names);
	}
	return 0;
}

/* The place of an edge between services; made where it is new. SIZE_MAX: none, or no room. */
static size_t edge_at(struct drpc_fit_data *d, const struct drpc_recording_edge *e)
{
	struct drpc_fit_pair pair;

	if (e->callee == DRPC_RECORDING_OUTSIDE)
		return SIZE_MAX;
	pair.caller = d->service_of[e->caller];
	pair.callee = d->service_of[e->callee];
	for (size_t i = 0; i < d->n_edges; i++) {
		if (d->edges[i].caller == pair.caller && d->edges[i].callee == pair.callee)
			return i;
	}
	if (d->n_edges == EDGES_MAX)
		return SIZE_MAX;
	d->edges[d->n_edges] = pair;
	return d->n_edges++;
}

static int find_edges(struct drpc_fit_data *d)
{
	const struct drpc_recorded *r = d->recorded;
	const size_t most = DRPC_MIN(r->n_edges, (size_t)EDGES_MAX);

	d->edges = calloc(most + 1, sizeof(*d->edges));
	if (!d->edges)
		return -ENOMEM;
	for (size_t i = 0; i < r->n_edges; i++)
		edge_at(d, &r->edges[i]);
	return 0;
}

/* --- moments ------------------------------------------------------------------------------------ */

static double busiest(const struct drpc_fit_data *d, const struct moment *m, double *sums)
{
	double most = 0.0;

	for (size_t i = m->first; i < m->first + m->n; i++)
		sums[d->service_of[d->recorded->samples[i].container]] = 0.0;
	for (size_t i = m->first; i < m->first + m->n; i++) {
		const struct drpc_recording_sample *s = &d->recorded->samples[i];

		sums[d->service_of[s->container]] += (double)s->requests;
		most = fmax(most, sums[d->service_of[s->container]]);
	}
	return most;
}

static bool same_conditions(const struct drpc_recorded *r, const struct moment *a,
			    const struct moment *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		const struct drpc_recording_sample *x = &r->samples[a->first + i];
		const struct drpc_recording_sample *y = &r->samples[b->first + i];

		if (x->container != y->container || x->cpu_limit_cores != y->cpu_limit_cores ||
		    x->limit_bytes != y->limit_bytes)
			return false;
	}
	return true;
}

static struct moment *find_moments(const struct drpc_fit_data *d, size_t *ret_n)
{
	const struct drpc_recorded *r = d->recorded;
	struct moment *moments = calloc(r->n_samples + 1, sizeof(*moments));
	_cleanup_free_ double *sums = calloc(d->n_services + 1, sizeof(*sums));
	size_t n = 0;

	if (!moments || !sums) {
		free(moments);
		return NULL;
	}
	for (size_t i = 0; i < r->n_samples; i++) {
		if (!n || moments[n - 1].time_ms != r->samples[i].time_ms)
			moments[n++] =
				(struct moment){.first = i, .time_ms = r->samples[i].time_ms};
		moments[n - 1].n++;
		moments[n - 1].span_s = fmax(moments[n - 1].span_s, r->samples[i].span_s);
	}
	for (size_t i = 0; i < n; i++)
		moments[i].requests = busiest(d, &moments[i], sums);
	*ret_n = n;
	return moments;
}

static void find_changes(const struct drpc_recorded *r, struct moment *m, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		const double since_s = (double)(m[i].time_ms - m[i - 1].time_ms) * 1e-3;

		m[i].gap = since_s > 1.5 * m[i].span_s + 0.2;
		m[i].changed = !same_conditions(r, &m[i - 1], &m[i]);
	}
	for (size_t i = 0; i < n; i++) {
		if (!m[i].changed)
			continue;
		for (size_t j = i; j-- > 0 && m[i].time_ms - m[j].time_ms <
						      LIMITS_AGE_MS + (int64_t)(m[i].span_s * 1e3);)
			m[j].skipped = true;
		for (size_t j = i; j < n && m[j].time_ms - m[i].time_ms < SETTLING_MS; j++)
			m[j].skipped = true;
	}
}

/* --- points ------------------------------------------------------------------------------------- */

static void add_sample(struct drpc_fit_stat *stat, const struct drpc_recording_sample *s)
{
	stat->replica_s += s->span_s;
	stat->requests += s->requests;
	stat->errors += s->errors;
	stat->seen += s->seen;
	stat->lost += s->lost;
	stat->cpu_s += (double)s->cpu_usec * 1e-6;
	stat->periods += s->periods;
	stat->throttled += s->throttled;
	stat->total_s += (double)s->total_ns * 1e-9;
	stat->queue_s += (double)s->queue_ns * 1e-9;
	stat->service_s += (double)s->service_ns * 1e-9;
	stat->busy_max = fmax(stat->busy_max, (double)s->service_ns * 1e-9 / s->span_s);
	stat->cpu_limit_cores += s->cpu_limit_cores * s->span_s;
	for (size_t b = 0; b < DRPC_HIST_BUCKETS; b++)
		stat->hist[b] += s->hist[b];
}

static void add_moment(const struct drpc_fit_data *d, struct drpc_fit_point *p,
		       const struct moment *m)
{
	p->seconds += m->span_s;
	for (size_t i = m->first; i < m->first + m->n; i++) {
		const struct drpc_recording_sample *s = &d->recorded->samples[i];

		add_sample(&p->stats[d->service_of[s->container]], s);
	}
}

/* Edges of the times of a point's moments. */
static void add_flows(struct drpc_fit_data *d, struct drpc_fit_point *p, const struct moment *m,
		      size_t *at)
{
	const struct drpc_recorded *r = d->recorded;

	while (*at < r->n_edges && r->edges[*at].time_ms < m->time_ms)
		(*at)++;
	for (; *at < r->n_edges && r->edges[*at].time_ms == m->time_ms; (*at)++) {
		const struct drpc_recording_edge *e = &r->edges[*at];
		const size_t edge = edge_at(d, e);

		if (edge == SIZE_MAX)
			continue;
		p->flows[edge].count += e->count;
		p->flows[edge].failures += e->failures;
		p->flows[edge].sum_s += (double)e->sum_ns * 1e-9;
	}
}

static void point_free(struct drpc_fit_point *p)
{
	free(p->stats);
	free(p->flows);
	*p = (struct drpc_fit_point){0};
}

static int point_begin(struct drpc_fit_data *d, const struct moment *m)
{
	struct drpc_fit_point *p = &d->points[d->n_points];

	p->stats = calloc(d->n_services + 1, sizeof(*p->stats));
	p->flows = calloc(d->n_edges + 1, sizeof(*p->flows));
	p->begin_ms = m->time_ms - (int64_t)(m->span_s * 1e3);
	d->n_points++;
	return p->stats && p->flows ? 0 : -ENOMEM;
}

/* One that is too short to say anything goes. */
static void point_end(struct drpc_fit_data *d)
{
	struct drpc_fit_point *p;

	if (!d->n_points)
		return;
	p = &d->points[d->n_points - 1];
	if (p->seconds < DRPC_FIT_POINT_LEAST_S) {
		point_free(p);
		d->n_points--;
		return;
	}
	assert(p->stats);
	for (size_t i = 0; i < d->n_services; i++) {
		if (p->stats[i].replica_s > 0.0)
			p->stats[i].cpu_limit_cores /= p->stats[i].replica_s;
	}
}

/* Whether the load of a moment is another than that of the point so far. */
static bool is_other_load(const struct moment *m, double mean_rate)
{
	const double expected = mean_rate * m->span_s;

	return fabs(m->requests - expected) >
	       RATE_SIGMAS * sqrt(expected + 1.0) + RATE_SHARE * expected;
}

static int cut_points(struct drpc_fit_data *d, struct moment *m, size_t n)
{
	double requests = 0.0, seconds = 0.0, ratio = 0.0;
	size_t edge = 0, ratios = 0;

	d->points = calloc(n + 1, sizeof(*d->points));
	if (!d->points)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const bool full = seconds >= DRPC_FIT_POINT_MOST_S;

		m[i].shifted = seconds > 0.0 && is_other_load(&m[i], requests / seconds);
		if (i == 0 || m[i].gap || m[i].changed || m[i].shifted || full) {
			point_end(d);
			if (point_begin(d, &m[i]) < 0)
				return -ENOMEM;
			requests = seconds = 0.0;
		}
		if (seconds > 0.0) {
			const double expected = requests / seconds * m[i].span_s;

			ratio += pow(m[i].requests - expected, 2) / fmax(expected, 1.0);
			ratios++;
		}
		requests += m[i].requests;
		seconds += m[i].span_s;
		/* The load changed somewhere in it. */
		if (m[i].skipped || m[i].shifted)
			continue;
		d->points[d->n_points - 1].end_ms = m[i].time_ms;
		add_moment(d, &d->points[d->n_points - 1], &m[i]);
		add_flows(d, &d->points[d->n_points - 1], &m[i], &edge);
	}
	point_end(d);
	d->dispersion = ratios ? ratio / (double)ratios : 1.0;
	return 0;
}

int drpc_fit_data_make(const struct drpc_recorded *recorded, const char *path,
		       struct drpc_fit_data *ret)
{
	struct drpc_fit_data d = {.recorded = recorded};
	_cleanup_free_ struct moment *moments = NULL;
	size_t n = 0;
	int err = find_services(&d);

	if (!err)
		err = find_edges(&d);
	if (!err) {
		moments = find_moments(&d, &n);
		err = moments ? 0 : -ENOMEM;
	}
	if (!err) {
		find_changes(recorded, moments, n);
		err = cut_points(&d, moments, n);
	}
	if (err)
		drpc_err(err, "%s", path);
	else if (!d.n_points)
		err = drpc_err(
			-ENODATA,
			"%s: nothing stayed as it was for %.0f s: record longer, with load and limits held for a while",
			path, DRPC_FIT_POINT_LEAST_S);
	if (err)
		drpc_fit_data_release(&d);
	else
		*ret = d;
	return err;
}

void drpc_fit_data_release(struct drpc_fit_data *data)
{
	for (size_t i = 0; i < data->n_points; i++)
		point_free(&data->points[i]);
	free(data->points);
	free((void *)data->names);
	free(data->service_of);
	free(data->edges);
	*data = (struct drpc_fit_data){0};
}

double drpc_fit_quantile_ns(const uint64_t hist[DRPC_HIST_BUCKETS], double q)
{
	uint32_t narrow[DRPC_HIST_BUCKETS];
	uint64_t most = 0;
	unsigned int shift = 0;

	for (size_t b = 0; b < DRPC_HIST_BUCKETS; b++)
		most = DRPC_MAX(most, hist[b]);
	while (most >> shift > UINT32_MAX)
		shift++;
	for (size_t b = 0; b < DRPC_HIST_BUCKETS; b++)
		narrow[b] = (uint32_t)(hist[b] >> shift);
	return drpc_hist_quantile_ns(narrow, q);
}
