// SPDX-License-Identifier: Apache-2.0
/* A recording as it is read: every figure is looked at, for a fit believes what it is given. */
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fit/recording_internal.h"
#include "lib/log.h"
#include "lib/util.h"

struct loading {
	struct drpc_recording file;
	struct drpc_recorded *out;
	int64_t *ids; /* container's number in the file, by its place */
};

/* --- rows --------------------------------------------------------------------------------------- */

/* Calls `fn` for every row of a query. */
static int each_row(struct loading *l, const char *sql, int (*fn)(struct loading *, sqlite3_stmt *))
{
	sqlite3_stmt *stmt = NULL;
	int err = recording_prepare(&l->file, sql, &stmt), code = SQLITE_ROW;

	while (!err && (code = sqlite3_step(stmt)) == SQLITE_ROW)
		err = fn(l, stmt);
	if (!err && code != SQLITE_DONE)
		err = recording_fail(&l->file, code, "read it");
	sqlite3_finalize(stmt);
	return err;
}

/* Room for n rows of a table; none is -ENODATA. */
static int room(struct loading *l, const char *table, size_t size, void **ret, size_t *ret_n)
{
	sqlite3_stmt *stmt = NULL;
	char sql[64];
	int64_t n;
	int err;

	snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", table);
	err = recording_prepare(&l->file, sql, &stmt);
	if (err)
		return err;
	n = sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : -1;
	sqlite3_finalize(stmt);
	if (n < 0)
		return drpc_err(-EPROTONOSUPPORT, "%s: cannot read table %s", l->file.path, table);
	if (n > DRPC_RECORDING_MAX_ROWS)
		return drpc_err(-E2BIG, "%s: %lld rows of table %s, at most %d are read",
				l->file.path, (long long)n, table, DRPC_RECORDING_MAX_ROWS);
	*ret = calloc((size_t)n + 1, size);
	*ret_n = (size_t)n;
	return *ret ? 0 : drpc_err(-ENOMEM, "%s", l->file.path);
}

static int wrong(struct loading *l, sqlite3_stmt *stmt, const char *table, const char *rule)
{
	return drpc_err(-EINVAL, "%s: table %s, time_ms %lld: %s", l->file.path, table,
			(long long)sqlite3_column_int64(stmt, 0), rule);
}

static char *copy_text(sqlite3_stmt *stmt, int column)
{
	const unsigned char *text = sqlite3_column_text(stmt, column);

	return strdup(text ? (const char *)text : "");
}

static int take_node(struct loading *l, sqlite3_stmt *stmt)
{
	struct drpc_recording_node *node = &l->out->node;

	node->cpu_cores = sqlite3_column_double(stmt, 0);
	node->memory_bytes = (uint64_t)sqlite3_column_int64(stmt, 1);
	node->tick_ns = (uint64_t)sqlite3_column_int64(stmt, 2);
	if (!(node->cpu_cores > 0 && node->cpu_cores < 1e6) || sqlite3_column_int64(stmt, 1) <= 0 ||
	    node->tick_ns > 100000000)
		return drpc_err(-EINVAL,
				"%s: table node: expected CPUs, memory and a tick up to 100 ms",
				l->file.path);
	return 0;
}

static int take_container(struct loading *l, sqlite3_stmt *stmt)
{
	const size_t at = l->out->n_containers++;
	struct drpc_recording_container *c = &l->out->containers[at];

	assert(l->ids); /* made before any container is read */
	l->ids[at] = sqlite3_column_int64(stmt, 0);
	c->id = copy_text(stmt, 1);
	c->name = copy_text(stmt, 2);
	c->deployment = copy_text(stmt, 3);
	c->slo_ns = sqlite3_column_double(stmt, 4);
	if (!c->id || !c->name || !c->deployment)
		return drpc_err(-ENOMEM, "%s", l->file.path);
	if (!c->deployment[0] || !(c->slo_ns >= 0 && c->slo_ns < 1e15))
		return drpc_err(
			-EINVAL,
			"%s: table container, id %lld: expected a deployment and an objective of at least 0",
			l->file.path, (long long)l->ids[at]);
	return 0;
}

static int compare_ids(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static bool find_container(const struct loading *l, int64_t id, uint32_t *ret)
{
	const int64_t *found =
		bsearch(&id, l->ids, l->out->n_containers, sizeof(*l->ids), compare_ids);

	if (found)
		*ret = (uint32_t)(found - l->ids);
	return found != NULL;
}

/* Counts of the text, which must be in order; false for anything else. */
static bool read_hist(const char *text, uint32_t hist[DRPC_HIST_BUCKETS], uint64_t *ret_count)
{
	unsigned long last = 0;
	bool first = true;

	*ret_count = 0;
	while (*text) {
		char *end;
		unsigned long bucket, count;

		bucket = strtoul(text, &end, 10);
		if (end == text || *end != ':' || bucket >= DRPC_HIST_BUCKETS ||
		    (!first && bucket <= last))
			return false;
		text = end + 1;
		count = strtoul(text, &end, 10);
		if (end == text || count == 0 || count > UINT32_MAX || (*end && *end != ' '))
			return false;
		hist[bucket] = (uint32_t)count;
		*ret_count += count;
		last = bucket;
		first = false;
		text = *end ? end + 1 : end;
	}
	return true;
}

/* Columns 3 to 15 and 17 to 20 of a sample, in the schema's order. */
static bool read_counters(sqlite3_stmt *stmt, struct drpc_recording_sample *s)
{
	uint64_t *const counters[] = {
		&s->requests,	    &s->errors,	  &s->seen,	    &s->lost,
		&s->in_flight,	    &s->total_ns, &s->queue_ns,	    &s->service_ns,
		&s->send_ns,	    &s->cpu_usec, &s->periods,	    &s->throttled,
		&s->throttled_usec, NULL,	  &s->memory_bytes, &s->working_set_bytes,
		&s->limit_bytes,    &s->oom_kills};

	for (int i = 0; i < (int)DRPC_ARRAY_SIZE(counters); i++) {
		const sqlite3_int64 value = sqlite3_column_int64(stmt, 3 + i);

		if (!counters[i])
			continue;
		if (value < 0 || sqlite3_column_type(stmt, 3 + i) != SQLITE_INTEGER)
			return false;
		*counters[i] = (uint64_t)value;
	}
	return true;
}

static int take_sample(struct loading *l, sqlite3_stmt *stmt)
{
	struct drpc_recording_sample *s = &l->out->samples[l->out->n_samples++];
	const unsigned char *text = sqlite3_column_text(stmt, 21);
	uint64_t count = 0;

	s->time_ms = sqlite3_column_int64(stmt, 0);
	s->span_s = sqlite3_column_double(stmt, 2);
	s->cpu_limit_cores = sqlite3_column_double(stmt, 16);
	if (!find_container(l, sqlite3_column_int64(stmt, 1), &s->container))
		return wrong(l, stmt, "sample", "its container is not in the file");
	if (!(s->span_s > 0 && s->span_s <= 3600))
		return wrong(l, stmt, "sample", "span_s: expected more than 0 and at most an hour");
	if (!(s->cpu_limit_cores >= 0 && s->cpu_limit_cores < 1e6))
		return wrong(l, stmt, "sample", "cpu_limit_cores: expected at least 0");
	if (!read_counters(stmt, s))
		return wrong(l, stmt, "sample", "a counter is negative or no whole number");
	if (s->throttled > s->periods)
		return wrong(l, stmt, "sample", "more periods throttled than there were");
	if (!text || !read_hist((const char *)text, s->hist, &count))
		return wrong(l, stmt, "sample",
			     "latency: expected BUCKET:COUNT pairs in order, joined by blanks");
	if (count != s->requests)
		return wrong(l, stmt, "sample", "latency counts other than its requests");
	return 0;
}

static int take_edge(struct loading *l, sqlite3_stmt *stmt)
{
	struct drpc_recording_edge *e = &l->out->edges[l->out->n_edges++];
	const unsigned char *address = sqlite3_column_text(stmt, 3);

	e->time_ms = sqlite3_column_int64(stmt, 0);
	e->callee = DRPC_RECORDING_OUTSIDE;
	if (!find_container(l, sqlite3_column_int64(stmt, 1), &e->caller) ||
	    (sqlite3_column_type(stmt, 2) != SQLITE_NULL &&
	     !find_container(l, sqlite3_column_int64(stmt, 2), &e->callee)))
		return wrong(l, stmt, "edge", "its container is not in the file");
	drpc_strcpy(e->address, sizeof(e->address), address ? (const char *)address : "");
	for (int i = 4; i < 7; i++) {
		if (sqlite3_column_int64(stmt, i) < 0)
			return wrong(l, stmt, "edge", "a counter is negative");
	}
	e->count = (uint64_t)sqlite3_column_int64(stmt, 4);
	e->failures = (uint64_t)sqlite3_column_int64(stmt, 5);
	e->sum_ns = (uint64_t)sqlite3_column_int64(stmt, 6);
	return 0;
}

/* --- all of it ---------------------------------------------------------------------------------- */

static int load_all(struct loading *l)
{
	struct drpc_recorded *out = l->out;
	size_t n = 0;
	int err = each_row(l, "SELECT cpu_cores, memory_bytes, tick_ns FROM node", take_node);

	if (!err && out->node.cpu_cores <= 0)
		err = drpc_err(-EINVAL, "%s: table node: is empty", l->file.path);
	if (!err)
		err = room(l, "container", sizeof(*out->containers), (void **)&out->containers, &n);
	if (!err) {
		l->ids = calloc(n + 1, sizeof(*l->ids));
		err = l->ids ? 0 : drpc_err(-ENOMEM, "%s", l->file.path);
	}
	if (!err)
		err = each_row(
			l, "SELECT id, cgroup, name, deployment, slo_ns FROM container ORDER BY id",
			take_container);
	if (!err)
		err = room(l, "sample", sizeof(*out->samples), (void **)&out->samples, &n);
	if (!err)
		err = each_row(l, "SELECT * FROM sample ORDER BY time_ms, container", take_sample);
	if (!err)
		err = room(l, "edge", sizeof(*out->edges), (void **)&out->edges, &n);
	if (!err)
		err = each_row(l,
			       "SELECT time_ms, caller, callee, address, count, failures, sum_ns "
			       "FROM edge ORDER BY time_ms, caller, address",
			       take_edge);
	return err;
}

int drpc_recorded_load(const char *path, struct drpc_recorded *ret)
{
	struct drpc_recorded out = {0};
	struct loading l = {.out = &out};
	int err = recording_open(path, NULL, &l.file);

	if (err)
		return err;
	/* One moment of the file: a recording may go on meanwhile. */
	err = recording_run(&l.file, "BEGIN", "read it");
	if (!err)
		err = load_all(&l);
	if (!err && out.n_samples == 0)
		err = drpc_err(-ENODATA, "%s: nothing was recorded in it", path);
	free(l.ids);
	recording_close(&l.file);
	if (err)
		drpc_recorded_release(&out);
	else
		*ret = out;
	return err;
}

void drpc_recorded_release(struct drpc_recorded *recorded)
{
	for (size_t i = 0; i < recorded->n_containers; i++) {
		free(recorded->containers[i].id);
		free(recorded->containers[i].name);
		free(recorded->containers[i].deployment);
	}
	free(recorded->containers);
	free(recorded->samples);
	free(recorded->edges);
	*recorded = (struct drpc_recorded){0};
}
