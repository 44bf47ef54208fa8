// SPDX-License-Identifier: Apache-2.0
#include "tools/load/stats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"

const char *const drpc_load_failure_names[DRPC_LOAD_FAILURES] = {
	[DRPC_LOAD_STATUS] = "status",	   [DRPC_LOAD_TIMEOUT] = "timeout",
	[DRPC_LOAD_REFUSED] = "refused",   [DRPC_LOAD_RESET] = "reset",
	[DRPC_LOAD_PROTOCOL] = "protocol",
};

const double drpc_load_quantiles[DRPC_LOAD_QUANTILES] = {0.50, 0.66, 0.75,  0.80,  0.90,
							 0.95, 0.99, 0.999, 0.9999};
const char *const drpc_load_quantile_names[DRPC_LOAD_QUANTILES] = {
	"p50", "p66", "p75", "p80", "p90", "p95", "p99", "p999", "p9999"};

void drpc_load_bin_reset(struct drpc_load_bin *bin)
{
	memset(&bin->counts, 0, sizeof(bin->counts));
	drpc_hdr_reset(&bin->due);
	drpc_hdr_reset(&bin->sent);
}

static void counts_merge(struct drpc_load_counts *into, const struct drpc_load_counts *from)
{
	into->due += from->due;
	into->sent += from->sent;
	into->ok += from->ok;
	for (unsigned int i = 0; i < DRPC_LOAD_FAILURES; i++)
		into->failed[i] += from->failed[i];
	into->unfinished += from->unfinished;
	into->slo_misses += from->slo_misses;
	into->body_bytes += from->body_bytes;
}

void drpc_load_bin_merge(struct drpc_load_bin *into, const struct drpc_load_bin *from)
{
	counts_merge(&into->counts, &from->counts);
	drpc_hdr_merge(&into->due, &from->due);
	drpc_hdr_merge(&into->sent, &from->sent);
}

uint64_t drpc_load_failed(const struct drpc_load_counts *counts)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < DRPC_LOAD_FAILURES; i++)
		sum += counts->failed[i];
	return sum;
}

void drpc_load_summarize(const struct drpc_hdr *hdr, struct drpc_load_summary *summary)
{
	summary->count = hdr->count;
	summary->mean_ms = drpc_hdr_mean_ns(hdr) / 1e6;
	summary->max_ms = (double)hdr->max_ns / 1e6;
	for (unsigned int i = 0; i < DRPC_LOAD_QUANTILES; i++)
		summary->quantile_ms[i] = drpc_hdr_quantile_ns(hdr, drpc_load_quantiles[i]) / 1e6;
}

/* --- the seconds of all threads ------------------------------------------------------------- */

struct drpc_load_series {
	pthread_mutex_t lock;
	unsigned int threads;
	uint64_t *given; /* seconds each thread has handed over */
	struct drpc_load_row *rows;
	size_t final; /* rows that all threads have contributed to */
	size_t capacity;
	struct drpc_load_bin total;
	struct drpc_load_bin **bins; /* of the rows that are not final; NULL before and after */
};

int drpc_load_series_new(unsigned int threads, struct drpc_load_series **ret)
{
	struct drpc_load_series *series = calloc(1, sizeof(*series));

	if (!series)
		return -ENOMEM;
	series->given = calloc(threads, sizeof(*series->given));
	if (!series->given) {
		free(series);
		return -ENOMEM;
	}
	series->threads = threads;
	drpc_load_bin_reset(&series->total);
	pthread_mutex_init(&series->lock, NULL);
	*ret = series;
	return 0;
}

void drpc_load_series_free(struct drpc_load_series **series)
{
	struct drpc_load_series *s = *series;

	if (!s)
		return;
	for (size_t i = 0; i < s->capacity; i++)
		free(s->bins[i]);
	pthread_mutex_destroy(&s->lock);
	free(s->bins);
	free(s->rows);
	free(s->given);
	free(s);
	*series = NULL;
}

static int series_reserve(struct drpc_load_series *s, size_t count)
{
	size_t capacity = DRPC_MAX(s->capacity * 2, DRPC_MAX(count, 64));
	void *p;

	if (count <= s->capacity)
		return 0;
	p = reallocarray(s->rows, capacity, sizeof(*s->rows));
	if (!p)
		return -ENOMEM;
	s->rows = p;
	p = reallocarray(s->bins, capacity, sizeof(*s->bins));
	if (!p)
		return -ENOMEM;
	s->bins = p;
	memset(s->bins + s->capacity, 0, (capacity - s->capacity) * sizeof(*s->bins));
	s->capacity = capacity;
	return 0;
}

static void series_settle(struct drpc_load_series *s, size_t row)
{
	struct drpc_load_row *r = &s->rows[row];

	for (unsigned int t = 0; t < s->threads; t++) {
		if (s->given[t] <= row)
			return;
	}
	memset(r, 0, sizeof(*r));
	r->second = row;
	r->counts = s->bins[row]->counts;
	drpc_load_summarize(&s->bins[row]->due, &r->due);
	drpc_load_summarize(&s->bins[row]->sent, &r->sent);
	free(s->bins[row]);
	s->bins[row] = NULL;
	s->final = row + 1;
}

int drpc_load_series_add(struct drpc_load_series *series, unsigned int thread,
			 const struct drpc_load_bin *bin)
{
	size_t row;
	int err;

	pthread_mutex_lock(&series->lock);
	row = series->given[thread];
	err = series_reserve(series, row + 1);
	if (!err && !series->bins[row]) {
		series->bins[row] = malloc(sizeof(*bin));
		if (series->bins[row])
			drpc_load_bin_reset(series->bins[row]);
		else
			err = -ENOMEM;
	}
	if (!err) {
		drpc_load_bin_merge(series->bins[row], bin);
		drpc_load_bin_merge(&series->total, bin);
		series->given[thread]++;
		series_settle(series, row);
	}
	pthread_mutex_unlock(&series->lock);
	return err;
}

bool drpc_load_series_row(struct drpc_load_series *series, size_t index, struct drpc_load_row *ret)
{
	bool found;

	pthread_mutex_lock(&series->lock);
	found = index < series->final;
	if (found)
		*ret = series->rows[index];
	pthread_mutex_unlock(&series->lock);
	return found;
}

void drpc_load_series_total(struct drpc_load_series *series, struct drpc_load_bin *ret)
{
	pthread_mutex_lock(&series->lock);
	*ret = series->total;
	pthread_mutex_unlock(&series->lock);
}

/* --- the open seconds of one thread --------------------------------------------------------- */

static int window_grow(struct drpc_load_window *window, uint64_t count)
{
	size_t size = DRPC_MAX(window->size * 2, 8);
	struct drpc_load_open *ring;

	while (size < count)
		size *= 2;
	ring = malloc(size * sizeof(*ring));
	if (!ring)
		return -ENOMEM;
	for (uint64_t s = window->first; s < window->first + window->count; s++)
		ring[s % size] = window->ring[s % window->size];
	free(window->ring);
	window->ring = ring;
	window->size = size;
	return 0;
}

struct drpc_load_open *drpc_load_window_at(struct drpc_load_window *window, uint64_t second)
{
	uint64_t count = second - window->first + 1;

	if (count > window->size && window_grow(window, count))
		return NULL;
	while (window->count < count) {
		struct drpc_load_open *next;

		next = &window->ring[(window->first + window->count) % window->size];
		drpc_load_bin_reset(&next->bin);
		next->open = 0;
		window->count++;
	}
	return &window->ring[second % window->size];
}

int drpc_load_window_close(struct drpc_load_window *window, uint64_t now_second, bool all,
			   struct drpc_load_series *series, unsigned int thread)
{
	/* A second without any request is a row too. */
	if (now_second > window->first && !window->count &&
	    !drpc_load_window_at(window, now_second - 1))
		return -ENOMEM;
	while (window->count) {
		struct drpc_load_open *oldest = &window->ring[window->first % window->size];
		int err;

		if (!all && (oldest->open || window->first >= now_second))
			break;
		err = drpc_load_series_add(series, thread, &oldest->bin);
		if (err)
			return err;
		window->first++;
		window->count--;
	}
	return 0;
}

void drpc_load_window_release(struct drpc_load_window *window)
{
	free(window->ring);
	memset(window, 0, sizeof(*window));
}
