// SPDX-License-Identifier: Apache-2.0
#include "fit/recording.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fit/recording_internal.h"
#include "lib/log.h"
#include "lib/util.h"

/* "drec" */
#define APPLICATION_ID 0x64726563
#define BUSY_MS	       2000

static const char schema[] =
	"CREATE TABLE node (cpu_cores REAL NOT NULL, memory_bytes INTEGER NOT NULL,"
	"  tick_ns INTEGER NOT NULL);"
	"CREATE TABLE container (id INTEGER PRIMARY KEY, cgroup TEXT NOT NULL UNIQUE,"
	"  name TEXT NOT NULL, deployment TEXT NOT NULL, slo_ns REAL NOT NULL);"
	"CREATE TABLE sample ("
	"  time_ms INTEGER NOT NULL, container INTEGER NOT NULL REFERENCES container (id),"
	"  span_s REAL NOT NULL, requests INTEGER NOT NULL, errors INTEGER NOT NULL,"
	"  seen INTEGER NOT NULL, lost INTEGER NOT NULL, in_flight INTEGER NOT NULL,"
	"  total_ns INTEGER NOT NULL, queue_ns INTEGER NOT NULL, service_ns INTEGER NOT NULL,"
	"  send_ns INTEGER NOT NULL, cpu_usec INTEGER NOT NULL, periods INTEGER NOT NULL,"
	"  throttled INTEGER NOT NULL, throttled_usec INTEGER NOT NULL,"
	"  cpu_limit_cores REAL NOT NULL, memory_bytes INTEGER NOT NULL,"
	"  working_set_bytes INTEGER NOT NULL, limit_bytes INTEGER NOT NULL,"
	"  oom_kills INTEGER NOT NULL, latency TEXT NOT NULL,"
	"  PRIMARY KEY (time_ms, container)) WITHOUT ROWID;"
	"CREATE TABLE edge ("
	"  time_ms INTEGER NOT NULL, caller INTEGER NOT NULL REFERENCES container (id),"
	"  callee INTEGER REFERENCES container (id), address TEXT NOT NULL,"
	"  count INTEGER NOT NULL, failures INTEGER NOT NULL, sum_ns INTEGER NOT NULL,"
	"  PRIMARY KEY (time_ms, caller, address)) WITHOUT ROWID;";

/* --- SQLite's results as errnos ----------------------------------------------------------------- */

static int errno_of(int code)
{
	switch (code & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_NOTADB:
	case SQLITE_CORRUPT:
		return -EPROTONOSUPPORT;
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_CANTOPEN:
		return -ENOENT;
	default:
		return -EIO;
	}
}

int recording_fail(const struct drpc_recording *recording, int code, const char *doing)
{
	const int err = errno_of(code);

	if (err == -EBUSY)
		return drpc_err(err, "%s: cannot %s: another process is using it, try again later",
				recording->path, doing);
	if (err == -ENOSPC)
		return drpc_err(
			err,
			"%s: cannot %s: its disk or its limit is full; what was recorded before is kept",
			recording->path, doing);
	if (err == -EPROTONOSUPPORT)
		return drpc_err(err, "%s: cannot %s: it is damaged or no recording",
				recording->path, doing);
	return drpc_err(err, "%s: cannot %s: %s", recording->path, doing,
			sqlite3_errmsg(recording->db));
}

int recording_run(const struct drpc_recording *recording, const char *sql, const char *doing)
{
	const int code = sqlite3_exec(recording->db, sql, NULL, NULL, NULL);

	return code == SQLITE_OK ? 0 : recording_fail(recording, code, doing);
}

int recording_prepare(const struct drpc_recording *recording, const char *sql, sqlite3_stmt **ret)
{
	const int code = sqlite3_prepare_v2(recording->db, sql, -1, ret, NULL);

	return code == SQLITE_OK ? 0 : recording_fail(recording, code, "read it");
}

/* --- opening ------------------------------------------------------------------------------------ */

static int ask(const struct drpc_recording *recording, const char *sql, int64_t *ret)
{
	sqlite3_stmt *stmt = NULL;
	int err = recording_prepare(recording, sql, &stmt), code;

	if (err)
		return err;
	code = sqlite3_step(stmt);
	if (code == SQLITE_ROW)
		*ret = sqlite3_column_int64(stmt, 0);
	else
		err = recording_fail(recording, code, "open it");
	sqlite3_finalize(stmt);
	return err;
}

static int make_schema(const struct drpc_recording *recording,
		       const struct drpc_recording_node *node)
{
	char sql[256];
	int err = recording_run(recording, schema, "make its tables");

	if (err)
		return err;
	snprintf(sql, sizeof(sql),
		 "INSERT INTO node VALUES (%.6g, %llu, %llu);"
		 "PRAGMA application_id = %d; PRAGMA user_version = %d;",
		 node->cpu_cores, (unsigned long long)node->memory_bytes,
		 (unsigned long long)node->tick_ns, APPLICATION_ID, DRPC_RECORDING_VERSION);
	return recording_run(recording, sql, "make its tables");
}

/* Two nodes in one file would be fitted as one. */
static int check_node(const struct drpc_recording *recording,
		      const struct drpc_recording_node *node)
{
	char sql[160];
	int64_t same = 0;
	int err;

	snprintf(
		sql, sizeof(sql),
		"SELECT count(*) FROM node WHERE abs(cpu_cores - %.6g) < 0.01 AND memory_bytes = %llu",
		node->cpu_cores, (unsigned long long)node->memory_bytes);
	err = ask(recording, sql, &same);
	if (err || same == 1)
		return err;
	return drpc_err(-EEXIST,
			"%s: was recorded on another node than this one: record into another file",
			recording->path);
}

/* In a transaction, so that two that make it at once do not both. */
static int check_schema(const struct drpc_recording *recording,
			const struct drpc_recording_node *node)
{
	int64_t application = 0, version = 0, tables = 0;
	int err = ask(recording, "PRAGMA application_id", &application);

	if (!err)
		err = ask(recording, "PRAGMA user_version", &version);
	if (!err)
		err = ask(recording, "SELECT count(*) FROM sqlite_master", &tables);
	if (err)
		return err;
	if (!application && !tables && node)
		return make_schema(recording, node);
	if (application != APPLICATION_ID)
		return drpc_err(-EPROTONOSUPPORT,
				"%s: is a database of another program, not a recording",
				recording->path);
	if (version != DRPC_RECORDING_VERSION)
		return drpc_err(
			-EPROTONOSUPPORT,
			"%s: is a recording of version %ld, this program knows version %d: use the newer program",
			recording->path, (long)version, DRPC_RECORDING_VERSION);
	return node ? check_node(recording, node) : 0;
}

static int open_db(struct drpc_recording *recording, const struct drpc_recording_node *node)
{
	const int flags = node ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
	const int code = sqlite3_open_v2(recording->path, &recording->db, flags, NULL);
	int err;

	if (code != SQLITE_OK)
		return recording_fail(recording, code, "open it");
	sqlite3_busy_timeout(recording->db, BUSY_MS);
	err = recording_run(recording, "PRAGMA synchronous = NORMAL", "open it");
	if (!err)
		err = recording_run(recording, node ? "BEGIN IMMEDIATE" : "BEGIN", "open it");
	if (err)
		return err;
	err = check_schema(recording, node);
	if (err)
		sqlite3_exec(recording->db, "ROLLBACK", NULL, NULL, NULL);
	else
		err = recording_run(recording, "COMMIT", "open it");
	return err;
}

int recording_open(const char *path, const struct drpc_recording_node *node,
		   struct drpc_recording *ret)
{
	int err;

	*ret = (struct drpc_recording){.path = strdup(path)};
	if (!ret->path)
		return drpc_err(-ENOMEM, "%s", path);
	err = open_db(ret, node);
	if (err)
		recording_close(ret);
	return err;
}

void recording_close(struct drpc_recording *recording)
{
	sqlite3_close(recording->db);
	free(recording->path);
	*recording = (struct drpc_recording){0};
}

int drpc_recording_open(const char *path, const struct drpc_recording_node *node,
			struct drpc_recording **ret)
{
	struct drpc_recording *recording = calloc(1, sizeof(*recording));
	int err;

	if (!recording)
		return drpc_err(-ENOMEM, "%s", path);
	err = recording_open(path, node, recording);
	if (err)
		free(recording);
	else
		*ret = recording;
	return err;
}

void drpc_recording_free(struct drpc_recording **recording)
{
	if (!*recording)
		return;
	recording_close(*recording);
	free(*recording);
	*recording = NULL;
}

int drpc_recording_limit(struct drpc_recording *recording, uint64_t bytes)
{
	int64_t page_bytes = 0, pages = 0;
	uint64_t page;
	char sql[64];
	int err = ask(recording, "PRAGMA page_size", &page_bytes);

	if (err)
		return err;
	page = page_bytes > 0 ? (uint64_t)page_bytes : 4096;
	snprintf(sql, sizeof(sql), "PRAGMA max_page_count = %lu",
		 (unsigned long)DRPC_MAX(bytes / page, 1));
	return ask(recording, sql, &pages);
}

/* --- adding ------------------------------------------------------------------------------------- */

struct statements {
	sqlite3_stmt *find, *container, *sample, *edge;
};

static int prepare_all(const struct drpc_recording *recording, struct statements *st)
{
	int err = recording_prepare(recording, "SELECT id FROM container WHERE cgroup = ?",
				    &st->find);

	if (!err)
		err = recording_prepare(
			recording,
			"INSERT INTO container (cgroup, name, deployment, slo_ns) VALUES (?, ?, ?, ?) "
			"ON CONFLICT (cgroup) DO UPDATE SET name = excluded.name, "
			"deployment = excluded.deployment, slo_ns = excluded.slo_ns",
			&st->container);
	if (!err)
		err = recording_prepare(recording,
					"INSERT OR REPLACE INTO sample VALUES "
					"(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
					&st->sample);
	if (!err)
		err = recording_prepare(
			recording, "INSERT OR REPLACE INTO edge VALUES (?,?,?,?,?,?,?)", &st->edge);
	return err;
}

static int done(const struct drpc_recording *recording, sqlite3_stmt *stmt)
{
	const int code = sqlite3_step(stmt);
	const int err =
		code == SQLITE_DONE ? 0 : recording_fail(recording, code, "add an interval");

	sqlite3_reset(stmt);
	return err;
}

static int add_container(const struct drpc_recording *recording, const struct statements *st,
			 const struct drpc_recording_container *c, int64_t *ret_id)
{
	int err, code;

	sqlite3_bind_text(st->container, 1, c->id, -1, SQLITE_STATIC);
	sqlite3_bind_text(st->container, 2, c->name, -1, SQLITE_STATIC);
	sqlite3_bind_text(st->container, 3, c->deployment, -1, SQLITE_STATIC);
	sqlite3_bind_double(st->container, 4, c->slo_ns);
	err = done(recording, st->container);
	if (err)
		return err;
	sqlite3_bind_text(st->find, 1, c->id, -1, SQLITE_STATIC);
	code = sqlite3_step(st->find);
	if (code == SQLITE_ROW)
		*ret_id = sqlite3_column_int64(st->find, 0);
	else
		err = recording_fail(recording, code, "add an interval");
	sqlite3_reset(st->find);
	return err;
}

/* "88:3 91:12" into `text`, which has room for every bucket. */
static void write_hist(const uint32_t hist[DRPC_HIST_BUCKETS], char *text, size_t size)
{
	size_t at = 0;

	text[0] = '\0';
	for (unsigned int b = 0; b < DRPC_HIST_BUCKETS; b++) {
		if (hist[b])
			at += (size_t)snprintf(text + at, size - at, "%s%u:%u", at ? " " : "", b,
					       hist[b]);
	}
}

static int add_sample(const struct drpc_recording *recording, sqlite3_stmt *stmt, int64_t id,
		      const struct drpc_recording_sample *s)
{
	const uint64_t counters[] = {s->requests,      s->errors,   s->seen,	 s->lost,
				     s->in_flight,     s->total_ns, s->queue_ns, s->service_ns,
				     s->send_ns,       s->cpu_usec, s->periods,	 s->throttled,
				     s->throttled_usec};
	char text[DRPC_HIST_BUCKETS * 16];
	int at = 1;

	write_hist(s->hist, text, sizeof(text));
	sqlite3_bind_int64(stmt, at++, s->time_ms);
	sqlite3_bind_int64(stmt, at++, id);
	sqlite3_bind_double(stmt, at++, s->span_s);
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(counters); i++)
		sqlite3_bind_int64(stmt, at++, (sqlite3_int64)counters[i]);
	sqlite3_bind_double(stmt, at++, s->cpu_limit_cores);
	sqlite3_bind_int64(stmt, at++, (sqlite3_int64)s->memory_bytes);
	sqlite3_bind_int64(stmt, at++, (sqlite3_int64)s->working_set_bytes);
	sqlite3_bind_int64(stmt, at++, (sqlite3_int64)s->limit_bytes);
	sqlite3_bind_int64(stmt, at++, (sqlite3_int64)s->oom_kills);
	sqlite3_bind_text(stmt, at, text, -1, SQLITE_TRANSIENT);
	return done(recording, stmt);
}

static int add_edge(const struct drpc_recording *recording, sqlite3_stmt *stmt, const int64_t *ids,
		    const struct drpc_recording_edge *e)
{
	sqlite3_bind_int64(stmt, 1, e->time_ms);
	sqlite3_bind_int64(stmt, 2, ids[e->caller]);
	if (e->callee == DRPC_RECORDING_OUTSIDE)
		sqlite3_bind_null(stmt, 3);
	else
		sqlite3_bind_int64(stmt, 3, ids[e->callee]);
	sqlite3_bind_text(stmt, 4, e->address, -1, SQLITE_STATIC);
	sqlite3_bind_int64(stmt, 5, (sqlite3_int64)e->count);
	sqlite3_bind_int64(stmt, 6, (sqlite3_int64)e->failures);
	sqlite3_bind_int64(stmt, 7, (sqlite3_int64)e->sum_ns);
	return done(recording, stmt);
}

static int add_all(const struct drpc_recording *recording, const struct statements *st,
		   const struct drpc_recording_interval *interval)
{
	_cleanup_free_ int64_t *ids = calloc(interval->n_containers + 1, sizeof(*ids));
	int err = ids ? 0 : -ENOMEM;

	for (size_t i = 0; i < interval->n_containers && !err; i++)
		err = add_container(recording, st, &interval->containers[i], &ids[i]);
	for (size_t i = 0; i < interval->n_samples && !err; i++)
		err = add_sample(recording, st->sample, ids[interval->samples[i].container],
				 &interval->samples[i]);
	for (size_t i = 0; i < interval->n_edges && !err; i++)
		err = add_edge(recording, st->edge, ids, &interval->edges[i]);
	return err;
}

int drpc_recording_add(struct drpc_recording *recording,
		       const struct drpc_recording_interval *interval)
{
	struct statements st = {0};
	int err = recording_run(recording, "BEGIN IMMEDIATE", "add an interval");

	if (err)
		return err;
	err = prepare_all(recording, &st);
	if (!err)
		err = add_all(recording, &st, interval);
	sqlite3_finalize(st.find);
	sqlite3_finalize(st.container);
	sqlite3_finalize(st.sample);
	sqlite3_finalize(st.edge);
	if (!err)
		err = recording_run(recording, "COMMIT", "add an interval");
	if (err)
		sqlite3_exec(recording->db, "ROLLBACK", NULL, NULL, NULL);
	return err;
}
