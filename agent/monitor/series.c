// SPDX-License-Identifier: Apache-2.0
#include "agent/monitor/series.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"

#define CELLS ((uint32_t)(DRPC_HIST_COUNT * DRPC_HIST_BUCKETS))

/* One second of traffic, sparse. */
struct second {
	struct drpc_window_scalars scalars;
	uint32_t n;
	struct {
		uint32_t cell; /* kind * DRPC_HIST_BUCKETS + bucket */
		uint32_t count;
	} cells[];
};

/* A window as decisions remember it: everything but the histograms other than TOTAL. */
struct recent {
	struct drpc_window_scalars scalars;
	uint32_t *total_hist; /* NULL where there was no traffic */
};

/* What exists from the first traffic on. */
struct traffic {
	struct drpc_slot_shard base; /* counters at the end of the last window */
	struct drpc_window window;   /* the last window */
	struct drpc_window second;   /* the present second so far */
	struct drpc_total total;
	/*
	 * A response that goes on moves its count to a higher bucket, so a bucket can fall between
	 * two windows. What was given out already cannot be taken back: it is owed, and the
	 * bucket's next counts pay for it.
	 */
	uint32_t owed[DRPC_HIST_COUNT][DRPC_HIST_BUCKETS];
	uint32_t recent_hist[DRPC_RECENT_WINDOWS][DRPC_HIST_BUCKETS];
	struct second *history[DRPC_HISTORY_SEC]; /* ring; NULL for a second without traffic */
	uint32_t history_at;
};

struct drpc_series {
	uint64_t windows;   /* pushed so far, without the one that set the base */
	uint64_t last_ns;   /* end of the last window; 0 before the base */
	uint64_t second_ns; /* start of the present second */
	struct drpc_cgroup_counters cg_base;
	struct drpc_slot_shard *first_base; /* counters found at the start, until traffic moves */
	struct recent recent[DRPC_RECENT_WINDOWS]; /* ring, by windows % size */
	struct traffic *traffic;
};

int drpc_series_new(struct drpc_series **ret)
{
	struct drpc_series *series = calloc(1, sizeof(*series));

	if (!series)
		return -ENOMEM;
	*ret = series;
	return 0;
}

static void traffic_free(struct traffic *traffic)
{
	if (!traffic)
		return;
	for (size_t i = 0; i < DRPC_HISTORY_SEC; i++)
		free(traffic->history[i]);
	free(traffic);
}

void drpc_series_free(struct drpc_series **series)
{
	if (!*series)
		return;
	traffic_free((*series)->traffic);
	free((*series)->first_base);
	free(*series);
	*series = NULL;
}

size_t drpc_series_bytes(const struct drpc_series *series)
{
	size_t bytes = sizeof(*series);

	if (series->first_base)
		bytes += sizeof(*series->first_base);
	if (!series->traffic)
		return bytes;
	bytes += sizeof(*series->traffic);
	for (size_t i = 0; i < DRPC_HISTORY_SEC; i++) {
		const struct second *second = series->traffic->history[i];

		if (second)
			bytes += sizeof(*second) + second->n * sizeof(second->cells[0]);
	}
	return bytes;
}

/* --- adding up -------------------------------------------------------------------------------- */

/* Of two windows, one after the other: totals add up, levels are as the later one has them. */
static void counters_add(struct drpc_cgroup_counters *into, const struct drpc_cgroup_counters *cg)
{
	drpc_cgroup_totals_add(into, cg);
	into->mem_current_bytes = cg->mem_current_bytes;
	into->mem_working_set_bytes = cg->mem_working_set_bytes;
	into->valid = cg->valid;
}

static void scalars_add(struct drpc_window_scalars *into, const struct drpc_window_scalars *w)
{
	if (into->end_ns == 0)
		into->start_ns = w->start_ns;
	into->start_ns = DRPC_MIN(into->start_ns, w->start_ns);
	into->end_ns = DRPC_MAX(into->end_ns, w->end_ns);
	into->turns += w->turns;
	into->seen += w->seen;
	into->errors += w->errors;
	into->resets += w->resets;
	into->accepts += w->accepts;
	into->inflight = w->inflight;
	for (size_t i = 0; i < DRPC_DROP_COUNT; i++)
		into->dropped[i] += w->dropped[i];
	for (size_t i = 0; i < DRPC_HIST_COUNT; i++)
		into->sum_ns[i] += w->sum_ns[i];
	counters_add(&into->cg, &w->cg);
}

static void hist_add(uint32_t into[DRPC_HIST_BUCKETS], const uint32_t hist[DRPC_HIST_BUCKETS])
{
	for (size_t b = 0; b < DRPC_HIST_BUCKETS; b++)
		into[b] += hist[b];
}

void drpc_window_add(struct drpc_window *into, const struct drpc_window *window)
{
	scalars_add(&into->s, &window->s);
	for (size_t k = 0; k < DRPC_HIST_COUNT; k++)
		hist_add(into->hist[k], window->hist[k]);
}

double drpc_window_coverage(const struct drpc_window *window)
{
	uint64_t lost = window->s.dropped[DRPC_DROP_NO_STORAGE] +
			window->s.dropped[DRPC_DROP_MOVED] + window->s.dropped[DRPC_DROP_CLOCK];

	if (window->s.seen + lost == 0)
		return 1;
	return 1 - (double)DRPC_MIN(lost, window->s.seen) / (double)DRPC_MAX(window->s.seen, lost);
}

/* --- taking a window -------------------------------------------------------------------------- */

static uint64_t delta(uint64_t now, uint64_t before)
{
	/* A cgroup that was made anew under the same name begins at zero again. */
	return now >= before ? now - before : now;
}

static void cgroup_delta(struct drpc_cgroup_counters *out, const struct drpc_cgroup_counters *now,
			 const struct drpc_cgroup_counters *before)
{
	/* A source that appears or fails in between has no difference to give. */
	uint32_t both = now->valid & before->valid;

	*out = (struct drpc_cgroup_counters){.valid = both | (now->valid & DRPC_CG_MEM)};
	if (both & DRPC_CG_CPU)
		out->cpu_usage_usec = delta(now->cpu_usage_usec, before->cpu_usage_usec);
	if (both & DRPC_CG_THROTTLE) {
		out->nr_periods = delta(now->nr_periods, before->nr_periods);
		out->nr_throttled = delta(now->nr_throttled, before->nr_throttled);
		out->throttled_usec = delta(now->throttled_usec, before->throttled_usec);
	}
	if (both & DRPC_CG_PSI_CPU) {
		out->cpu_some_usec = delta(now->cpu_some_usec, before->cpu_some_usec);
		out->cpu_full_usec = delta(now->cpu_full_usec, before->cpu_full_usec);
	}
	if (both & DRPC_CG_PSI_MEM) {
		out->mem_some_usec = delta(now->mem_some_usec, before->mem_some_usec);
		out->mem_full_usec = delta(now->mem_full_usec, before->mem_full_usec);
	}
	if (both & DRPC_CG_PSI_IO) {
		out->io_some_usec = delta(now->io_some_usec, before->io_some_usec);
		out->io_full_usec = delta(now->io_full_usec, before->io_full_usec);
	}
	if (both & DRPC_CG_OOM)
		out->oom_kills = delta(now->oom_kills, before->oom_kills);
	out->mem_current_bytes = now->mem_current_bytes;
	out->mem_working_set_bytes = now->mem_working_set_bytes;
}

/* The window's share of one bucket's movement, after paying what is owed. */
static uint32_t settle(uint32_t *owed, uint32_t now, uint32_t before)
{
	int32_t moved = (int32_t)(now - before);
	uint32_t paid;

	if (moved <= 0) {
		*owed += (uint32_t)-moved;
		return 0;
	}
	paid = DRPC_MIN(*owed, (uint32_t)moved);
	*owed -= paid;
	return (uint32_t)moved - paid;
}

static void traffic_delta(struct traffic *t, const struct drpc_slot_shard *now)
{
	const struct drpc_slot_shard *before = &t->base;
	struct drpc_window_scalars *s = &t->window.s;
	struct drpc_total *total = &t->total;

	s->turns = now->turns - before->turns;
	s->seen = now->seen - before->seen;
	s->resets = now->resets - before->resets;
	s->accepts = now->accepts - before->accepts;
	for (size_t i = 0; i < DRPC_DROP_COUNT; i++) {
		s->dropped[i] = now->dropped[i] - before->dropped[i];
		total->dropped[i] += s->dropped[i];
	}
	s->errors = s->dropped[DRPC_DROP_CLOSED] + s->dropped[DRPC_DROP_RESET];
	total->turns += s->turns;
	total->seen += s->seen;
	total->errors += s->errors;
	total->resets += s->resets;
	total->accepts += s->accepts;
	total->unread += now->unread - before->unread;
	total->oom_kills += now->oom_kills - before->oom_kills;
	for (size_t k = 0; k < DRPC_HIST_COUNT; k++) {
		s->sum_ns[k] = now->sum_ns[k] - before->sum_ns[k];
		total->sum_ns[k] += s->sum_ns[k];
		for (size_t b = 0; b < DRPC_HIST_BUCKETS; b++) {
			uint32_t n = settle(&t->owed[k][b], now->hist[k][b], before->hist[k][b]);

			t->window.hist[k][b] = n;
			total->hist[k][b] += n;
		}
	}
	t->base = *now;
}

static int64_t inflight(const struct drpc_slot_shard *slot)
{
	int64_t open = (int64_t)(slot->seen - slot->turns);

	for (size_t i = 0; i < DRPC_DROP_COUNT; i++)
		open -= (int64_t)slot->dropped[i];
	return DRPC_MAX(open, 0);
}

static uint32_t *cell_at(struct drpc_window *window, uint32_t cell)
{
	return &window->hist[cell / DRPC_HIST_BUCKETS][cell % DRPC_HIST_BUCKETS];
}

/* Packs the present second away and begins the next. */
static int second_close(struct drpc_series *series, uint64_t now_ns)
{
	struct traffic *t = series->traffic;
	struct second *record = NULL;
	uint32_t n = 0;

	series->second_ns = now_ns;
	if (!t)
		return 0;
	for (uint32_t cell = 0; cell < CELLS; cell++)
		n += *cell_at(&t->second, cell) != 0;
	if (n > 0 || t->second.s.seen > 0) {
		record = malloc(sizeof(*record) + n * sizeof(record->cells[0]));
		if (!record)
			return -ENOMEM;
		record->scalars = t->second.s;
		record->n = 0;
		for (uint32_t cell = 0; cell < CELLS; cell++) {
			uint32_t count = *cell_at(&t->second, cell);

			if (count == 0)
				continue;
			record->cells[record->n].cell = cell;
			record->cells[record->n++].count = count;
		}
	}
	free(t->history[t->history_at]);
	t->history[t->history_at] = record;
	t->history_at = (t->history_at + 1) % DRPC_HISTORY_SEC;
	memset(&t->second, 0, sizeof(t->second));
	return 0;
}

/* The first traffic ever: make room for it. */
static int traffic_begin(struct drpc_series *series)
{
	struct traffic *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	if (series->first_base)
		t->base = *series->first_base;
	free(series->first_base);
	series->first_base = NULL;
	series->traffic = t;
	return 0;
}

/* Keeps a base that is not all zero: a slot that somebody else had before. */
static int base_set(struct drpc_series *series, const struct drpc_slot_shard *slot)
{
	if (!slot)
		return 0;
	series->first_base = malloc(sizeof(*slot));
	if (!series->first_base)
		return -ENOMEM;
	*series->first_base = *slot;
	return 0;
}

int drpc_series_push(struct drpc_series *series, uint64_t now_ns,
		     const struct drpc_slot_shard *slot, const struct drpc_cgroup_counters *cg)
{
	struct recent *recent = &series->recent[series->windows % DRPC_RECENT_WINDOWS];
	struct traffic *t;
	int r;

	if (series->last_ns == 0) {
		series->last_ns = series->second_ns = now_ns;
		series->cg_base = *cg;
		return base_set(series, slot);
	}
	if (slot && !series->traffic) {
		r = traffic_begin(series);
		if (r < 0)
			return r;
	}
	t = series->traffic;
	if (now_ns - series->second_ns >= DRPC_NSEC_PER_SEC) {
		r = second_close(series, now_ns);
		if (r < 0)
			return r;
	}

	memset(recent, 0, sizeof(*recent));
	if (t) {
		memset(&t->window.s, 0, sizeof(t->window.s));
		/* Writes every bucket of the window; an idle window's histograms are never read. */
		if (slot)
			traffic_delta(t, slot);
		t->window.s.inflight = inflight(&t->base);
		recent->scalars = t->window.s;
	}
	recent->scalars.start_ns = series->last_ns;
	recent->scalars.end_ns = now_ns;
	cgroup_delta(&recent->scalars.cg, cg, &series->cg_base);
	series->cg_base = *cg;
	series->last_ns = now_ns;
	if (t) {
		t->window.s = recent->scalars;
		if (slot) {
			uint32_t *hist = t->recent_hist[series->windows % DRPC_RECENT_WINDOWS];

			memcpy(hist, t->window.hist[DRPC_HIST_TOTAL],
			       sizeof(t->window.hist[DRPC_HIST_TOTAL]));
			recent->total_hist = hist;
			drpc_window_add(&t->second, &t->window);
		}
	}
	series->windows++;
	return 0;
}

/* --- reading ---------------------------------------------------------------------------------- */

bool drpc_series_last(const struct drpc_series *series, struct drpc_window_scalars *ret)
{
	if (series->windows == 0)
		return false;
	*ret = series->recent[(series->windows - 1) % DRPC_RECENT_WINDOWS].scalars;
	return true;
}

size_t drpc_series_recent(const struct drpc_series *series, uint64_t since_ns,
			  struct drpc_window *ret)
{
	size_t have = (size_t)DRPC_MIN(series->windows, (uint64_t)DRPC_RECENT_WINDOWS);
	size_t used = 0;

	memset(ret, 0, sizeof(*ret));
	for (size_t back = have; back > 0; back--) {
		const struct recent *w =
			&series->recent[(series->windows - back) % DRPC_RECENT_WINDOWS];

		if (w->scalars.start_ns < since_ns)
			continue;
		scalars_add(&ret->s, &w->scalars);
		if (w->total_hist)
			hist_add(ret->hist[DRPC_HIST_TOTAL], w->total_hist);
		used++;
	}
	return used;
}

void drpc_series_since(const struct drpc_series *series, uint64_t since_ns, struct drpc_window *ret)
{
	const struct traffic *t = series->traffic;

	memset(ret, 0, sizeof(*ret));
	if (!t)
		return;
	for (size_t i = 0; i < DRPC_HISTORY_SEC; i++) {
		const struct second *second = t->history[(t->history_at + i) % DRPC_HISTORY_SEC];

		if (!second || second->scalars.end_ns <= since_ns)
			continue;
		scalars_add(&ret->s, &second->scalars);
		for (uint32_t c = 0; c < second->n; c++)
			*cell_at(ret, second->cells[c].cell) += second->cells[c].count;
	}
	if (t->second.s.end_ns > since_ns)
		drpc_window_add(ret, &t->second);
}

uint64_t drpc_series_end_ns(const struct drpc_series *series)
{
	return series->last_ns;
}

const struct drpc_cgroup_counters *drpc_series_counters(const struct drpc_series *series)
{
	return &series->cg_base;
}

const struct drpc_total *drpc_series_total(const struct drpc_series *series)
{
	return series->traffic ? &series->traffic->total : NULL;
}
