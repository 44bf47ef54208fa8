// SPDX-License-Identifier: Apache-2.0
#include "sim/policies/critical.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"

#define NONE	 UINT32_MAX
#define CONSTANT 1e-24 /* variance as a share of the squared mean */

static void mark(const struct drpc_sim_span *spans, const uint32_t *child, const uint32_t *sibling,
		 uint32_t i, bool *on)
{
	uint32_t last = NONE;

	on[i] = true;
	for (uint32_t c = child[i]; c != NONE; c = sibling[c]) {
		if (last == NONE || spans[c].end_ns > spans[last].end_ns)
			last = c;
	}
	if (last == NONE)
		return;
	for (uint32_t c = child[i]; c != NONE; c = sibling[c]) {
		if (c == last || spans[c].end_ns <= spans[last].start_ns)
			mark(spans, child, sibling, c, on);
	}
}

int drpc_critical_path(const struct drpc_sim_span *spans, size_t n, uint32_t base, bool *ret_on)
{
	uint32_t child[DRPC_CRITICAL_SPANS], sibling[DRPC_CRITICAL_SPANS];

	if (n > DRPC_CRITICAL_SPANS)
		return -E2BIG;
	memset(ret_on, 0, n * sizeof(*ret_on));
	for (size_t i = 0; i < n; i++)
		child[i] = sibling[i] = NONE;
	for (size_t i = n; i-- > 1;) {
		const uint32_t parent = spans[i].parent - base;

		if (parent >= i) /* of another request */
			continue;
		sibling[i] = child[parent];
		child[parent] = (uint32_t)i;
	}
	if (n)
		mark(spans, child, sibling, 0, ret_on);
	return 0;
}

/* Children stand in the order in which they began, so that one sweep finds what they cover. */
double drpc_critical_self_ns(const struct drpc_sim_span *spans, size_t n, uint32_t base, size_t i)
{
	uint64_t covered = 0, until = spans[i].start_ns;

	for (size_t c = i + 1; c < n; c++) {
		const uint64_t end = DRPC_MIN(spans[c].end_ns, spans[i].end_ns);
		const uint64_t begin = DRPC_MAX(spans[c].start_ns, until);

		if (spans[c].parent - base != i || end <= begin)
			continue;
		covered += end - begin;
		until = end;
	}
	return (double)(spans[i].end_ns - spans[i].start_ns - covered);
}

double drpc_critical_pearson(const double *x, const double *y, size_t n)
{
	double mx = 0, my = 0, xx = 0, yy = 0, xy = 0;

	for (size_t i = 0; i < n; i++) {
		mx += x[i] / (double)n;
		my += y[i] / (double)n;
	}
	for (size_t i = 0; i < n; i++) {
		xx += (x[i] - mx) * (x[i] - mx);
		yy += (y[i] - my) * (y[i] - my);
		xy += (x[i] - mx) * (y[i] - my);
	}
	/* What is constant but for the means' rounding goes with nothing. */
	if (xx <= CONSTANT * (double)n * mx * mx || yy <= CONSTANT * (double)n * my * my)
		return 0;
	return xy / sqrt(xx * yy);
}

/* --- a window ----------------------------------------------------------------------------------- */

/* Own time and whole time of each request, by service: [service][request]. */
struct times {
	size_t services, requests;
	double *own, *whole;
	size_t *count;
};

static void add_request(struct times *t, const struct drpc_sim_span *spans, size_t n, uint32_t base)
{
	bool on[DRPC_CRITICAL_SPANS];
	size_t before[DRPC_CRITICAL_SPANS]; /* requests of the span's service before this one */
	const double whole = (double)(spans[0].end_ns - spans[0].start_ns);

	if (drpc_critical_path(spans, n, base, on) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		if (spans[i].service < t->services)
			before[i] = t->count[spans[i].service];
	}
	for (size_t i = 0; i < n; i++) {
		const uint16_t s = spans[i].service;
		double *own;

		if (!on[i] || s >= t->services)
			continue;
		own = &t->own[s * t->requests + before[i]];
		if (t->count[s] == before[i]) {
			*own = 0;
			t->whole[s * t->requests + before[i]] = whole;
			t->count[s]++;
		}
		*own += drpc_critical_self_ns(spans, n, base, i);
	}
}

static int compare_numbers(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static struct drpc_critical_features features_of(double *own, const double *whole, size_t n)
{
	struct drpc_critical_features f = {.requests = n, .congestion = 1};

	if (n == 0)
		return f;
	f.importance = drpc_critical_pearson(own, whole, n);
	qsort(own, n, sizeof(*own), compare_numbers);
	if (own[(n - 1) / 2] > 0)
		f.congestion = own[(size_t)(0.99 * (double)(n - 1) + 0.5)] / own[(n - 1) / 2];
	return f;
}

static size_t request_length(const struct drpc_sim_span *spans, size_t n, size_t from)
{
	size_t end = from + 1;

	while (end < n && spans[end].parent != DRPC_SIM_NO_PARENT)
		end++;
	return end - from;
}

int drpc_critical_window(const struct drpc_sim_span *spans, size_t n, size_t services,
			 struct drpc_critical_features *ret)
{
	struct times t = {.services = services};
	int err = 0;

	for (size_t i = 0; i < n; i++)
		t.requests += spans[i].parent == DRPC_SIM_NO_PARENT;
	t.own = calloc(services * t.requests + 1, sizeof(*t.own));
	t.whole = calloc(services * t.requests + 1, sizeof(*t.whole));
	t.count = calloc(services + 1, sizeof(*t.count));
	if (!t.own || !t.whole || !t.count)
		err = -ENOMEM;
	for (size_t i = 0, length; i < n && !err; i += length) {
		length = request_length(spans, n, i);
		add_request(&t, spans + i, length, (uint32_t)i);
	}
	for (size_t s = 0; s < services && !err; s++)
		ret[s] = features_of(t.own + s * t.requests, t.whole + s * t.requests, t.count[s]);
	free(t.own);
	free(t.whole);
	free(t.count);
	return err;
}
