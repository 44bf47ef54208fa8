// SPDX-License-Identifier: Apache-2.0
/* CPU time a request, and memory: lines through what was recorded. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "fit/model.h"
#include "lib/util.h"

#define ROUNDS	    5
#define HUBER	    1.5 /* residuals beyond so many standard ones count less */
#define LEAST_CPU   1e3 /* ns of a request; the simulator takes no 0 */
#define RATE_SPREAD 1.4
#define IDLE_SHARE \
	0.1 /* of all CPU time; the simulator has no idle use, a little goes to requests */
#define CALLS_RANGE 4.0 /* calls at the same time must differ by so many to tell what one needs */
#define CERTAIN	    4.0 /* standard errors */
#define CACHE_LEAST (4.0 * (double)DRPC_MIB)

/*
 * Requests that wait for longer than a throttled period lasts wait for a worker. The interval's limit
 * is then all workers' time: from reading a request to answering it.
 */
#define WAIT_NS	       80e6
#define WAIT_SHARE     0.3 /* of their latency */
#define WAIT_REQUESTS  5
#define WAIT_INTERVALS 3

/* --- lines -------------------------------------------------------------------------------------- */

static void solve(const double *x, const double *y, const double *w, size_t n, bool zero,
		  struct drpc_fit_line *l)
{
	double sw = 0, sx = 0, sy = 0, sxx = 0, sxy = 0;

	for (size_t i = 0; i < n; i++) {
		sw += w[i];
		sx += w[i] * x[i];
		sy += w[i] * y[i];
		sxx += w[i] * x[i] * x[i];
		sxy += w[i] * x[i] * y[i];
	}
	if (zero) {
		l->slope = sxx > 0 ? sxy / sxx : 0;
		l->intercept = 0;
		return;
	}
	l->slope = (sw * sxy - sx * sy) / (sw * sxx - sx * sx);
	l->intercept = (sy - l->slope * sx) / sw;
}

static double rest(const struct drpc_fit_line *l, double x, double y)
{
	return y - l->intercept - l->slope * x;
}

static int compare_doubles(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* 1.48 × the median of what is left: a standard deviation that outliers do not move. */
static double scale_of(const struct drpc_fit_line *l, const double *x, const double *y, size_t n,
		       double *room)
{
	for (size_t i = 0; i < n; i++)
		room[i] = fabs(rest(l, x[i], y[i]));
	qsort(room, n, sizeof(*room), compare_doubles);
	return 1.4826 * room[n / 2];
}

static void errors_of(const double *x, const double *y, const double *w, size_t n,
		      struct drpc_fit_line *l)
{
	double sw = 0, square = 0, mean = 0, spread = 0;

	for (size_t i = 0; i < n; i++) {
		sw += w[i];
		mean += w[i] * x[i];
		square += w[i] * pow(rest(l, x[i], y[i]), 2);
	}
	mean = l->through_zero ? 0 : mean / sw;
	for (size_t i = 0; i < n; i++)
		spread += w[i] * pow(x[i] - mean, 2);
	l->residual = sqrt(square / sw);
	if (n > 2 && spread > 0)
		l->slope_error = sqrt(square / spread / (double)(n - 2));
}

struct drpc_fit_line drpc_fit_line(const double *x, const double *y, const double *weight, size_t n,
				   double spread)
{
	struct drpc_fit_line l = {.through_zero = true};
	_cleanup_free_ double *w = calloc(2 * n + 1, sizeof(*w));
	double least = INFINITY, most = 0;

	if (!n || !w)
		return l;
	for (size_t i = 0; i < n; i++) {
		least = fmin(least, x[i]);
		most = fmax(most, x[i]);
		w[i] = weight ? weight[i] : 1;
	}
	l.through_zero = n < 3 || most <= least * spread || most <= 0;
	for (int round = 0; round < ROUNDS; round++) {
		double scale;

		solve(x, y, w, n, l.through_zero, &l);
		if (l.intercept < 0) {
			l.through_zero = true;
			solve(x, y, w, n, true, &l);
		}
		scale = scale_of(&l, x, y, n, w + n);
		for (size_t i = 0; i < n && scale > 0; i++) {
			const double off = fabs(rest(&l, x[i], y[i])) / scale;

			w[i] = (weight ? weight[i] : 1) * (off > HUBER ? HUBER / off : 1);
		}
	}
	errors_of(x, y, w, n, &l);
	return l;
}

/* --- CPU ---------------------------------------------------------------------------------------- */

double drpc_fit_demand_ns(const struct drpc_fit_service *s)
{
	return fmax(s->cpu.slope * 1e9, LEAST_CPU);
}

static void fit_cpu(const struct drpc_fit_data *d, struct drpc_fit_service *s, double *room)
{
	double *x = room, *y = room + d->n_points, *w = room + 2 * d->n_points;
	double sum = 0;
	size_t n = 0;

	for (size_t p = 0; p < d->n_points; p++) {
		const struct drpc_fit_stat *stat = &d->points[p].stats[s->source];

		if (stat->replica_s <= 0)
			continue;
		x[n] = drpc_fit_rate(&d->points[p], s->source);
		y[n] = stat->cpu_s / d->points[p].seconds;
		sum += y[n];
		w[n++] = d->points[p].seconds;
	}
	s->cpu = drpc_fit_line(x, y, w, n, RATE_SPREAD);
	if (s->cpu.intercept * (double)n < IDLE_SHARE * sum)
		s->cpu = drpc_fit_line(x, y, w, n, INFINITY);
}

/* --- memory ------------------------------------------------------------------------------------- */

struct memory {
	double *calls, *bytes, *cache;
	size_t n;
	double calls_least, calls_most, cache_first, requests_until_full;
};

static void collect(const struct drpc_fit_data *d, uint32_t service, struct memory *m)
{
	const struct drpc_recorded *r = d->recorded;
	double served = 0, largest = 0;

	m->calls_least = INFINITY;
	for (size_t i = 0; i < r->n_samples; i++) {
		const struct drpc_recording_sample *s = &r->samples[i];
		double cache;

		if (d->service_of[s->container] != service)
			continue;
		cache = s->memory_bytes > s->working_set_bytes
				? (double)(s->memory_bytes - s->working_set_bytes)
				: 0;
		served += (double)s->requests;
		if (!m->n)
			m->cache_first = cache;
		if (cache > 1.05 * largest) {
			largest = cache;
			m->requests_until_full = served;
		}
		m->calls[m->n] = (double)s->in_flight;
		m->bytes[m->n] = (double)s->working_set_bytes;
		m->cache[m->n] = cache;
		m->calls_least = fmin(m->calls_least, m->calls[m->n]);
		m->calls_most = fmax(m->calls_most, m->calls[m->n]);
		m->n++;
	}
}

static void fit_memory(const struct drpc_fit_data *d, struct drpc_fit_service *s, struct memory *m)
{
	struct drpc_fit_line line;

	*m = (struct memory){.calls = m->calls, .bytes = m->bytes, .cache = m->cache};
	collect(d, s->source, m);
	if (!m->n)
		return;
	line = drpc_fit_line(m->calls, m->bytes, NULL, m->n, 1);
	qsort(m->bytes, m->n, sizeof(*m->bytes), compare_doubles);
	qsort(m->cache, m->n, sizeof(*m->cache), compare_doubles);
	s->memory_base_bytes = m->bytes[m->n / 2];
	if (m->calls_most - m->calls_least >= CALLS_RANGE && !line.through_zero &&
	    line.slope > CERTAIN * line.slope_error) {
		s->memory_base_bytes = line.intercept;
		s->memory_per_call_bytes = line.slope;
	}
	s->cache_bytes = m->cache[m->n - 1 - m->n / 20];
	if (s->cache_bytes < CACHE_LEAST) {
		s->memory_base_bytes += s->cache_bytes;
		s->cache_bytes = 0;
		return;
	}
	s->cache_grew = m->cache_first < 0.8 * s->cache_bytes && m->requests_until_full > 0;
	s->cache_per_call_bytes =
		s->cache_grew ? (s->cache_bytes - m->cache_first) / m->requests_until_full
			      : s->cache_bytes / fmax((double)s->requests, 1);
}

/* --- workers ------------------------------------------------------------------------------------ */

bool drpc_fit_all_busy(double requests, double queue_ns, double total_ns)
{
	return requests >= WAIT_REQUESTS && queue_ns >= WAIT_NS * requests &&
	       queue_ns >= WAIT_SHARE * total_ns;
}

static void fit_workers(const struct drpc_fit_data *d, struct drpc_fit_service *s, double *busy)
{
	const struct drpc_recorded *r = d->recorded;
	size_t n = 0;

	for (size_t i = 0; i < r->n_samples; i++) {
		const struct drpc_recording_sample *x = &r->samples[i];

		if (d->service_of[x->container] == s->source &&
		    drpc_fit_all_busy((double)x->requests, (double)x->queue_ns,
				      (double)x->total_ns))
			busy[n++] = (double)x->service_ns * 1e-9 / x->span_s;
	}
	if (n < WAIT_INTERVALS)
		return;
	qsort(busy, n, sizeof(*busy), compare_doubles);
	s->workers = (uint32_t)fmax(1, round(busy[n / 2]));
}

int drpc_fit_resources(const struct drpc_fit_data *data, struct drpc_fit_model *model)
{
	const size_t samples = data->recorded->n_samples + 1;
	_cleanup_free_ double *room = calloc(3 * data->n_points + 1, sizeof(*room));
	_cleanup_free_ double *rows = calloc(3 * samples, sizeof(*rows));
	struct memory m;

	if (!room || !rows)
		return -ENOMEM;
	m = (struct memory){.calls = rows, .bytes = rows + samples, .cache = rows + 2 * samples};
	for (size_t i = 0; i < model->n; i++) {
		fit_cpu(data, &model->services[i], room);
		fit_memory(data, &model->services[i], &m);
		fit_workers(data, &model->services[i], rows);
	}
	return 0;
}
