// SPDX-License-Identifier: Apache-2.0
/* Adding to the history: one transaction each. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "workload/history.h"
#include "workload/history_internal.h"

/* The step of a machine is its most frequent distance; half a step late is late, not missing. */
static const char mark_gaps[] =
	"WITH point AS (SELECT DISTINCT time_ms FROM value WHERE machine = ?1),"
	" distance AS (SELECT time_ms AS to_ms, lag(time_ms) OVER (ORDER BY time_ms) AS from_ms"
	"   FROM point),"
	" step AS (SELECT to_ms - from_ms AS ms FROM distance WHERE from_ms IS NOT NULL"
	"   GROUP BY ms ORDER BY count(*) DESC, ms LIMIT 1)"
	" INSERT INTO gap SELECT ?1, from_ms, to_ms, (to_ms - from_ms + ms / 2) / ms - 1"
	" FROM distance, step WHERE 2 * (to_ms - from_ms) >= 3 * ms";

struct adder {
	struct drpc_history *history;
	const char *default_name;
	sqlite3_stmt *insert;
	struct drpc_history_report report;
	/* The machine of the last row: files are often sorted by it. */
	char machine[DRPC_SERIES_NAME_BYTES];
	int64_t machine_id;
	const char *const *names; /* which resource_id[] belong to */
	int64_t resource_id[DRPC_SERIES_MAX_COLUMNS];
};

static int id_of(const struct adder *adder, const char *table, const char *name, int64_t *ret)
{
	const struct drpc_history *history = adder->history;
	sqlite3_stmt *stmt = NULL;
	int64_t id = 0;
	char sql[96];
	int err, code;

	snprintf(sql, sizeof(sql), "INSERT OR IGNORE INTO %s (name) VALUES (?1)", table);
	for (int pass = 0; pass < 2; pass++) {
		err = history_prepare(history, sql, &stmt);
		if (err)
			return err;
		sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
		code = sqlite3_step(stmt);
		if (code == SQLITE_ROW)
			id = sqlite3_column_int64(stmt, 0);
		sqlite3_finalize(stmt);
		if (code != (pass ? SQLITE_ROW : SQLITE_DONE))
			return history_fail(history, code, "add to it");
		snprintf(sql, sizeof(sql), "SELECT id FROM %s WHERE name = ?1", table);
	}
	*ret = id;
	return 0;
}

/* Machines of this import are collected in a table of the connection's own: 4,000 or a million. */
static int take_machine(struct adder *adder, const char *name)
{
	char sql[96];
	int err;

	if (adder->machine[0] && !strcmp(adder->machine, name))
		return 0;
	err = id_of(adder, "machine", name, &adder->machine_id);
	if (err)
		return err;
	drpc_strcpy(adder->machine, sizeof(adder->machine), name);
	snprintf(sql, sizeof(sql), "INSERT OR IGNORE INTO temp.touched VALUES (%ld)",
		 (long)adder->machine_id);
	return history_run(adder->history, sql, "add to it");
}

static int take_resources(struct adder *adder, const char *const *names, size_t n)
{
	int err = 0;

	for (size_t i = 0; !err && i < n && adder->names != names; i++)
		err = id_of(adder, "resource", names[i], &adder->resource_id[i]);
	if (!err)
		adder->names = names;
	return err;
}

static int add_value(struct adder *adder, int64_t time_ms, size_t column, float value)
{
	int code;

	sqlite3_reset(adder->insert);
	sqlite3_bind_int64(adder->insert, 1, adder->machine_id);
	sqlite3_bind_int64(adder->insert, 2, time_ms);
	sqlite3_bind_int64(adder->insert, 3, adder->resource_id[column]);
	sqlite3_bind_double(adder->insert, 4, (double)value);
	code = sqlite3_step(adder->insert);
	if (code != SQLITE_DONE)
		return history_fail(adder->history, code, "add to it");
	if (sqlite3_changes(adder->history->db))
		adder->report.added++;
	else
		adder->report.duplicates++;
	return 0;
}

static int add_row(void *arg, const struct drpc_trace_row *row)
{
	struct adder *adder = arg;
	int err = take_machine(adder, *row->name ? row->name : adder->default_name);

	if (!err)
		err = take_resources(adder, row->names, row->columns);
	for (size_t i = 0; !err && i < row->columns; i++) {
		if (isfinite(row->values[i]))
			err = add_value(adder, row->time_ms, i, row->values[i]);
	}
	return err;
}

/* The touched machines' gaps anew, over all that is known of them now. */
static int mark(struct adder *adder)
{
	struct drpc_history *history = adder->history;
	sqlite3_stmt *machines = NULL, *gaps = NULL, *sums = NULL;
	int code = SQLITE_ERROR;
	int err = history_run(history,
			      "DELETE FROM gap WHERE machine IN (SELECT id FROM temp.touched)",
			      "mark its gaps");

	if (!err)
		err = history_prepare(history, "SELECT id FROM temp.touched", &machines);
	if (!err)
		err = history_prepare(history, mark_gaps, &gaps);
	while (!err && (code = sqlite3_step(machines)) == SQLITE_ROW) {
		sqlite3_reset(gaps);
		sqlite3_bind_int64(gaps, 1, sqlite3_column_int64(machines, 0));
		code = sqlite3_step(gaps);
		if (code != SQLITE_DONE)
			err = history_fail(history, code, "mark its gaps");
		adder->report.machines++;
	}
	if (!err && code != SQLITE_DONE)
		err = history_fail(history, code, "mark its gaps");
	if (!err)
		err = history_prepare(history,
				      "SELECT count(*), total(missing) FROM gap"
				      " WHERE machine IN (SELECT id FROM temp.touched)",
				      &sums);
	if (!err && sqlite3_step(sums) == SQLITE_ROW) {
		adder->report.gaps = (uint64_t)sqlite3_column_int64(sums, 0);
		adder->report.missing = (uint64_t)sqlite3_column_int64(sums, 1);
	}
	sqlite3_finalize(machines);
	sqlite3_finalize(gaps);
	sqlite3_finalize(sums);
	return err;
}

static int begin(struct adder *adder)
{
	int err = history_run(adder->history,
			      "CREATE TEMP TABLE IF NOT EXISTS touched (id INTEGER PRIMARY KEY);"
			      "DELETE FROM temp.touched; BEGIN IMMEDIATE",
			      "begin to add to it");

	if (err)
		return err;
	err = history_prepare(adder->history, "INSERT OR IGNORE INTO value VALUES (?1, ?2, ?3, ?4)",
			      &adder->insert);
	if (err)
		sqlite3_exec(adder->history->db, "ROLLBACK", NULL, NULL, NULL);
	return err;
}

static int end(struct adder *adder, int err, struct drpc_history_report *ret)
{
	sqlite3 *db = adder->history->db;

	if (!err)
		err = mark(adder);
	sqlite3_finalize(adder->insert);
	if (!err)
		err = history_run(adder->history, "COMMIT", "finish adding to it");
	/* A full disk may have rolled back by itself. */
	if (err && !sqlite3_get_autocommit(db))
		sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	if (!err && ret)
		*ret = adder->report;
	return err;
}

int drpc_history_import(struct drpc_history *history, const char *path,
			enum drpc_trace_format format, double step_s, const char *name,
			struct drpc_history_report *ret)
{
	struct adder adder = {.history = history, .default_name = name};
	const struct drpc_trace_sink sink = {.on_row = add_row, .arg = &adder};
	int err = begin(&adder);

	if (err)
		return err;
	err = drpc_trace_read(path, format, step_s, &sink, &adder.report.trace);
	return end(&adder, err, ret);
}

int drpc_history_add(struct drpc_history *history, const struct drpc_series *series,
		     struct drpc_history_report *ret)
{
	struct adder adder = {.history = history, .default_name = series->name};
	const char *names[DRPC_SERIES_MAX_COLUMNS] = {NULL};
	int err;

	if (!series->name[0])
		return drpc_err(-EINVAL, "%s: a series without a name cannot be added",
				history->path);
	for (size_t i = 0; i < series->columns; i++)
		names[i] = series->names[i];
	err = begin(&adder);
	if (err)
		return err;
	for (size_t i = 0; !err && i < series->count; i++) {
		const struct drpc_trace_row row = {.name = series->name,
						   .time_ms = series->time_ms[i],
						   .columns = series->columns,
						   .names = names,
						   .values = series->values + i * series->columns};

		err = add_row(&adder, &row);
		adder.report.trace.rows++;
	}
	return end(&adder, err, ret);
}
