// SPDX-License-Identifier: Apache-2.0
/* Services, who calls whom and how often, and what comes from outside. */
#include "fit/model.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"

/*
 * Calls on a connection whose beginning was not seen are not told as an edge: where almost all of a
 * service's requests come by edges, the rest is taken for such calls.
 */
#define UNSEEN_SHARE  0.1
#define EDGE_LEAST    0.001 /* calls a request; less is no part of the application */
#define OUTSIDE_LEAST 0.01
#define WHOLE	      0.03 /* of a whole number of calls a request */
#define CALM	      0.02 /* share of periods throttled */
#define OVERLAP	      0.95

struct edge {
	uint32_t caller, callee; /* of model->services */
	double count, sum_s;	 /* calls; those of calm points with their time */
	double calm_count;
	bool cut;
};

struct graph {
	struct edge *edges;
	size_t n;
	uint32_t *place; /* data's service → model's, UINT32_MAX: left out */
	double *inbound; /* by model's service: calls by edges */
};

/* --- services ----------------------------------------------------------------------------------- */

static uint64_t requests_of(const struct drpc_fit_data *d, size_t service)
{
	uint64_t n = 0;

	for (size_t p = 0; p < d->n_points; p++)
		n += d->points[p].stats[service].requests;
	return n;
}

static void take_limits(const struct drpc_fit_data *d, struct drpc_fit_service *s)
{
	const struct drpc_recorded *r = d->recorded;
	int64_t last = 0;

	s->cpu_limit_least = INFINITY;
	for (size_t i = 0; i < r->n_samples; i++) {
		const struct drpc_recording_sample *x = &r->samples[i];

		if (d->service_of[x->container] != s->source)
			continue;
		s->replicas = x->time_ms == last ? s->replicas + 1 : 1;
		last = x->time_ms;
		s->cpu_limit_cores = x->cpu_limit_cores;
		s->memory_limit_bytes = (double)x->limit_bytes;
		if (x->cpu_limit_cores > 0) {
			s->cpu_limit_least = fmin(s->cpu_limit_least, x->cpu_limit_cores);
			s->cpu_limit_most = fmax(s->cpu_limit_most, x->cpu_limit_cores);
		}
	}
	if (s->cpu_limit_most <= 0)
		s->cpu_limit_least = 0;
}

static void take_points(const struct drpc_fit_data *d, struct drpc_fit_service *s)
{
	uint64_t errors = 0;

	for (size_t p = 0; p < d->n_points; p++) {
		const struct drpc_fit_stat *stat = &d->points[p].stats[s->source];

		errors += stat->errors;
		s->busy_most = fmax(s->busy_most, stat->busy_max);
	}
	s->errors = (double)errors / (double)(errors + s->requests);
}

void drpc_fit_name(const char *deployment, char *room)
{
	size_t n = 0;

	for (; n < DRPC_FIT_NAME_MAX && deployment[n]; n++) {
		const char c = deployment[n];
		const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
		const bool digit = c >= '0' && c <= '9';

		room[n] = '-';
		if (letter || (n > 0 && (digit || c == '_' || c == '/')))
			room[n] = c;
	}
	if (n && room[0] == '-')
		room[0] = 's';
	room[n] = '\0';
}

/* The name, with a number where two would be the same. */
static void take_name(const struct drpc_fit_model *m, const char *deployment,
		      struct drpc_fit_service *s)
{
	char base[DRPC_FIT_NAME_MAX + 1];
	unsigned int number = 1;

	drpc_fit_name(deployment, base);
	drpc_strcpy(s->name, sizeof(s->name), base);
	for (size_t i = 0; i < m->n; i++) {
		if (strcmp(m->services[i].name, s->name) != 0)
			continue;
		number++;
		snprintf(s->name, sizeof(s->name), "%.*s-%u", DRPC_FIT_NAME_MAX - 12, base, number);
		i = SIZE_MAX; /* from the beginning: the new one may be there, too */
	}
}

static int make_services(struct drpc_fit_model *m, struct graph *g)
{
	const struct drpc_fit_data *d = m->data;

	m->services = calloc(d->n_services + 1, sizeof(*m->services));
	m->order = calloc(d->n_services + 1, sizeof(*m->order));
	g->place = calloc(d->n_services + 1, sizeof(*g->place));
	g->inbound = calloc(d->n_services + 1, sizeof(*g->inbound));
	if (!m->services || !m->order || !g->place || !g->inbound)
		return -ENOMEM;
	for (size_t i = 0; i < d->n_services; i++) {
		struct drpc_fit_service *s = &m->services[m->n];

		g->place[i] = UINT32_MAX;
		s->requests = requests_of(d, i);
		if (!s->requests) {
			m->idle++;
			continue;
		}
		s->source = (uint32_t)i;
		take_name(m, d->names[i], s);
		g->place[i] = (uint32_t)m->n++;
		take_limits(d, s);
		take_points(d, s);
	}
	return 0;
}

/* --- edges -------------------------------------------------------------------------------------- */

static bool is_calm(const struct drpc_fit_model *m, const struct drpc_fit_point *p)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct drpc_fit_stat *s = &p->stats[m->services[i].source];

		if ((double)s->throttled > CALM * (double)s->periods)
			return false;
	}
	return true;
}

static int make_edges(const struct drpc_fit_model *m, struct graph *g)
{
	const struct drpc_fit_data *d = m->data;

	g->edges = calloc(d->n_edges + 1, sizeof(*g->edges));
	if (!g->edges)
		return -ENOMEM;
	for (size_t i = 0; i < d->n_edges; i++) {
		struct edge e = {.caller = g->place[d->edges[i].caller],
				 .callee = g->place[d->edges[i].callee]};

		if (e.caller == UINT32_MAX || e.callee == UINT32_MAX || e.caller == e.callee)
			continue;
		for (size_t p = 0; p < d->n_points; p++) {
			const struct drpc_fit_flow *f = &d->points[p].flows[i];

			e.count += (double)f->count;
			if (is_calm(m, &d->points[p])) {
				e.calm_count += (double)f->count;
				e.sum_s += f->sum_s;
			}
		}
		if (e.count >= EDGE_LEAST * (double)m->services[e.caller].requests && e.count > 0)
			g->edges[g->n++] = e;
	}
	return 0;
}

/* Whether `to` can be reached from `from` by edges that are not cut. */
static bool reaches(const struct graph *g, uint32_t from, uint32_t to, uint8_t *seen)
{
	if (from == to)
		return true;
	if (seen[from])
		return false;
	seen[from] = 1;
	for (size_t i = 0; i < g->n; i++) {
		if (g->edges[i].caller == from && !g->edges[i].cut &&
		    reaches(g, g->edges[i].callee, to, seen))
			return true;
	}
	return false;
}

static int busiest_first(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;

	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	return x->caller != y->caller ? (x->caller < y->caller ? -1 : 1)
				      : (x->callee < y->callee ? -1 : x->callee > y->callee);
}

/* A request that comes back to a service is another operation there, which nobody can tell apart:
 * the rarer call of a circle is left out. */
static int cut_circles(struct drpc_fit_model *m, struct graph *g)
{
	_cleanup_free_ uint8_t *seen = calloc(m->n + 1, 1);

	if (!seen)
		return -ENOMEM;
	qsort(g->edges, g->n, sizeof(*g->edges), busiest_first);
	for (size_t i = 0; i < g->n; i++)
		g->edges[i].cut = true;
	for (size_t i = 0; i < g->n; i++) {
		memset(seen, 0, m->n);
		if (reaches(g, g->edges[i].callee, g->edges[i].caller, seen)) {
			drpc_warn(
				"fit: %s calls %s in a circle, which a fit cannot tell apart, ignoring",
				m->services[g->edges[i].caller].name,
				m->services[g->edges[i].callee].name);
			m->cut_edges++;
		} else {
			g->edges[i].cut = false;
			g->inbound[g->edges[i].callee] += g->edges[i].count;
		}
	}
	return 0;
}

/* Callees before callers. */
static void put_in_order(struct drpc_fit_model *m, const struct graph *g, uint32_t service,
			 uint8_t *placed, size_t *n)
{
	if (placed[service])
		return;
	placed[service] = 1;
	for (size_t i = 0; i < g->n; i++) {
		if (!g->edges[i].cut && g->edges[i].caller == service)
			put_in_order(m, g, g->edges[i].callee, placed, n);
	}
	m->order[(*n)++] = service;
}

static double unseen_scale(const struct drpc_fit_service *s, double inbound)
{
	const double all = (double)s->requests;

	return inbound > 0 && inbound >= (1 - UNSEEN_SHARE) * all ? all / inbound : 1;
}

static double near_whole(double calls)
{
	const double whole = round(calls);

	return whole >= 1 && fabs(calls - whole) <= WHOLE ? whole : calls;
}

static int make_calls(struct drpc_fit_model *m, const struct graph *g)
{
	for (size_t i = 0; i < m->n; i++) {
		struct drpc_fit_service *s = &m->services[i];
		const double scale = unseen_scale(s, g->inbound[i]);

		s->outside_share = fmax(0, 1 - scale * g->inbound[i] / (double)s->requests);
		if (s->outside_share < OUTSIDE_LEAST)
			s->outside_share = 0;
		s->calls = calloc(g->n + 1, sizeof(*s->calls));
		if (!s->calls)
			return -ENOMEM;
		for (size_t k = 0; k < g->n; k++) {
			const struct edge *e = &g->edges[k];

			if (e->cut || e->caller != i)
				continue;
			s->calls[s->n_calls++] = (struct drpc_fit_call){
				.callee = e->callee,
				.per_request = near_whole(e->count *
							  unseen_scale(&m->services[e->callee],
								       g->inbound[e->callee]) /
							  (double)s->requests),
				.mean_ns = e->calm_count > 0 ? e->sum_s / e->calm_count * 1e9 : 0};
		}
	}
	return 0;
}

/* --- what the times tell ------------------------------------------------------------------------ */

/* Mean latency at calm points, by `which`; 0 where there is none. */
static double calm_mean_ns(const struct drpc_fit_model *m, uint32_t source, bool service_only)
{
	double sum = 0, n = 0;

	for (size_t p = 0; p < m->data->n_points; p++) {
		const struct drpc_fit_stat *s = &m->data->points[p].stats[source];

		if (!is_calm(m, &m->data->points[p]))
			continue;
		sum += service_only ? s->service_s : s->total_s;
		n += (double)s->requests;
	}
	return n > 0 ? sum / n * 1e9 : 0;
}

/* Calls whose times together are longer than the caller's must overlap; otherwise nobody can tell
 * calls at the same time from calls in turn and less waiting. */
static void tell_order(const struct drpc_fit_model *m, struct drpc_fit_service *s)
{
	const double whole = calm_mean_ns(m, s->source, true);
	double calls = 0;

	for (size_t i = 0; i < s->n_calls; i++)
		calls += s->calls[i].per_request * s->calls[i].mean_ns;
	s->parallel =
		s->n_calls > 1 && whole > 0 && OVERLAP * (calls + drpc_fit_demand_ns(s)) > whole;
	s->order_known = s->n_calls < 2 || s->parallel;
}

/* What the caller waits longer than the callee takes, half of it each way. */
static double network_ns(const struct drpc_fit_model *m, const struct graph *g)
{
	double sum = 0, n = 0;

	for (size_t i = 0; i < g->n; i++) {
		const struct edge *e = &g->edges[i];
		const double callee = calm_mean_ns(m, m->services[e->callee].source, false);

		if (e->cut || e->calm_count <= 0 || callee <= 0)
			continue;
		sum += e->calm_count * (e->sum_s / e->calm_count * 1e9 - callee);
		n += e->calm_count;
	}
	return n > 0 ? fmax(0, sum / n / 2) : 0;
}

/* What must be waiting, where nothing is throttled: the search begins there. */
static void first_guess(const struct drpc_fit_model *m, struct drpc_fit_service *s)
{
	double rest = calm_mean_ns(m, s->source, true) - drpc_fit_demand_ns(s), longest = 0,
	       sum = 0;

	for (size_t i = 0; i < s->n_calls; i++) {
		const double one = s->calls[i].per_request * s->calls[i].mean_ns;

		sum += one;
		longest = fmax(longest, one);
	}
	rest -= s->parallel ? longest : sum;
	s->wait_ns = fmax(0, rest);
	s->cv = 0.5;
	s->after = 0.05;
}

/* --- outside ------------------------------------------------------------------------------------ */

static int make_outside(struct drpc_fit_model *m)
{
	const struct drpc_fit_data *d = m->data;

	m->outside_rps = calloc(d->n_points * m->n + 1, sizeof(*m->outside_rps));
	if (!m->outside_rps)
		return -ENOMEM;
	for (size_t p = 0; p < d->n_points; p++) {
		for (size_t i = 0; i < m->n; i++)
			m->outside_rps[p * m->n + i] =
				m->services[i].outside_share > 0
					? drpc_fit_rate(&d->points[p], m->services[i].source)
					: 0;
		/* Less what the others call. */
		for (size_t i = 0; i < m->n; i++) {
			const struct drpc_fit_service *s = &m->services[i];
			const double rate = drpc_fit_rate(&d->points[p], s->source);

			for (size_t k = 0; k < s->n_calls; k++) {
				double *to = &m->outside_rps[p * m->n + s->calls[k].callee];

				*to = fmax(0, *to - rate * s->calls[k].per_request);
			}
		}
	}
	return 0;
}

static int find_slo(struct drpc_fit_model *m, const char *path)
{
	const struct drpc_recorded *r = m->data->recorded;

	for (size_t i = 0; i < m->n && m->slo_ns <= 0; i++) {
		if (m->services[i].outside_share <= 0)
			continue;
		for (size_t c = 0; c < r->n_containers; c++) {
			const double slo = r->containers[c].slo_ns;

			if (m->data->service_of[c] == m->services[i].source && slo > 0)
				m->slo_ns = m->slo_ns > 0 ? fmin(m->slo_ns, slo) : slo;
		}
	}
	if (m->slo_ns > 0)
		return 0;
	return drpc_err(
		-EINVAL,
		"%s: no objective was recorded of a service that is called from outside: give one by --slo",
		path);
}

static int check_entries(const struct drpc_fit_model *m, const char *path)
{
	if (!m->n)
		return drpc_err(-ENODATA, "%s: no request was recorded", path);
	for (size_t i = 0; i < m->n; i++) {
		if (m->services[i].outside_share > 0)
			return 0;
	}
	return drpc_err(-EINVAL, "%s: every service is called by another one, none from outside",
			path);
}

static int make(struct drpc_fit_model *m, struct graph *g, const char *path)
{
	_cleanup_free_ uint8_t *placed = NULL;
	size_t n = 0;
	int err = make_services(m, g);

	if (!err)
		err = make_edges(m, g);
	if (!err)
		err = cut_circles(m, g);
	if (!err)
		err = make_calls(m, g);
	if (!err)
		err = check_entries(m, path);
	if (!err)
		err = drpc_fit_resources(m->data, m);
	if (!err)
		err = make_outside(m);
	if (!err)
		err = find_slo(m, path);
	placed = calloc(m->n + 1, 1);
	if (err || !placed)
		return err ? err : -ENOMEM;
	for (uint32_t i = 0; i < m->n; i++)
		put_in_order(m, g, i, placed, &n);
	m->network_ns = network_ns(m, g);
	for (size_t i = 0; i < m->n; i++) {
		tell_order(m, &m->services[i]);
		first_guess(m, &m->services[i]);
	}
	return 0;
}

int drpc_fit_model_make(const struct drpc_fit_data *data, const char *path, const char *name,
			double slo_ns, struct drpc_fit_model *ret)
{
	struct drpc_fit_model m = {.data = data, .name = name, .slo_ns = slo_ns};
	struct graph g = {0};
	int err = make(&m, &g, path);

	free(g.edges);
	free(g.place);
	free(g.inbound);
	if (err == -ENOMEM)
		drpc_err(err, "%s", path);
	if (err)
		drpc_fit_model_release(&m);
	else
		*ret = m;
	return err;
}

void drpc_fit_model_release(struct drpc_fit_model *model)
{
	for (size_t i = 0; i < model->n; i++)
		free(model->services[i].calls);
	free(model->services);
	free(model->order);
	free(model->outside_rps);
	*model = (struct drpc_fit_model){0};
}
