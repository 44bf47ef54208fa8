// SPDX-License-Identifier: Apache-2.0
/* Asking the history. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "workload/history.h"
#include "workload/history_internal.h"

static int find_machine(const struct drpc_history *history, const char *name, int64_t *ret)
{
	sqlite3_stmt *stmt = NULL;
	int err = history_prepare(history, "SELECT id FROM machine WHERE name = ?1", &stmt), code;

	if (err)
		return err;
	sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
	code = sqlite3_step(stmt);
	if (code == SQLITE_ROW)
		*ret = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	if (code == SQLITE_DONE)
		return drpc_err(-ENOENT, "%s: no machine '%s' in it", history->path, name);
	return code == SQLITE_ROW ? 0 : history_fail(history, code, "read it");
}

/* Which resources, and which column each one is. */
struct columns {
	size_t n;
	int64_t id[DRPC_SERIES_MAX_COLUMNS];
	char name[DRPC_SERIES_MAX_COLUMNS][DRPC_SERIES_NAME_BYTES];
};

static int all_resources(const struct drpc_history *history, int64_t machine, int64_t from_ms,
			 int64_t to_ms, struct columns *ret)
{
	sqlite3_stmt *stmt = NULL;
	int err = history_prepare(
		history,
		"SELECT id, name FROM resource WHERE id IN (SELECT DISTINCT resource"
		" FROM value WHERE machine = ?1 AND time_ms >= ?2 AND time_ms < ?3)"
		" ORDER BY name",
		&stmt);
	int code = SQLITE_DONE;

	if (err)
		return err;
	sqlite3_bind_int64(stmt, 1, machine);
	sqlite3_bind_int64(stmt, 2, from_ms);
	sqlite3_bind_int64(stmt, 3, to_ms);
	while (!err && (code = sqlite3_step(stmt)) == SQLITE_ROW) {
		if (ret->n == DRPC_SERIES_MAX_COLUMNS) {
			err = drpc_err(-E2BIG, "%s: more than %d resources: name those to read",
				       history->path, DRPC_SERIES_MAX_COLUMNS);
			break;
		}
		ret->id[ret->n] = sqlite3_column_int64(stmt, 0);
		drpc_strcpy(ret->name[ret->n], sizeof(ret->name[0]),
			    (const char *)sqlite3_column_text(stmt, 1));
		ret->n++;
	}
	if (!err && code != SQLITE_DONE)
		err = history_fail(history, code, "read it");
	sqlite3_finalize(stmt);
	return err;
}

static int named_resource(const struct drpc_history *history, const char *name, struct columns *ret)
{
	sqlite3_stmt *stmt = NULL;
	int err = history_prepare(history, "SELECT id FROM resource WHERE name = ?1", &stmt), code;

	if (err)
		return err;
	sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
	code = sqlite3_step(stmt);
	if (code == SQLITE_ROW)
		ret->id[ret->n] = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	if (code == SQLITE_DONE)
		return drpc_err(-ENOENT, "%s: no resource '%s' in it", history->path, name);
	if (code != SQLITE_ROW)
		return history_fail(history, code, "read it");
	drpc_strcpy(ret->name[ret->n++], sizeof(ret->name[0]), name);
	return 0;
}

/* Values come by time, then by resource: a point is complete when the time changes. */
static int read_points(const struct drpc_history *history, sqlite3_stmt *stmt,
		       const struct columns *columns, struct drpc_series *series)
{
	float values[DRPC_SERIES_MAX_COLUMNS];
	bool any = false;
	int64_t time_ms = 0;
	int code, err = 0;

	while (!err && (code = sqlite3_step(stmt)) == SQLITE_ROW) {
		const int64_t at_ms = sqlite3_column_int64(stmt, 0);
		const int64_t resource = sqlite3_column_int64(stmt, 1);

		for (size_t i = 0; i < columns->n; i++) {
			if (columns->id[i] != resource)
				continue;
			if (any && at_ms != time_ms)
				err = drpc_series_add(series, time_ms, values);
			for (size_t k = 0; k < columns->n && (!any || at_ms != time_ms); k++)
				values[k] = NAN;
			time_ms = at_ms;
			any = true;
			values[i] = (float)sqlite3_column_double(stmt, 2);
		}
	}
	if (!err && any)
		err = drpc_series_add(series, time_ms, values);
	if (err)
		return drpc_err(err, "%s: %zu points", history->path, series->count);
	return code == SQLITE_DONE ? 0 : history_fail(history, code, "read it");
}

static int query(const struct drpc_history *history, const char *name, int64_t machine,
		 const struct columns *columns, int64_t from_ms, int64_t to_ms,
		 struct drpc_series *ret)
{
	const char *names[DRPC_SERIES_MAX_COLUMNS];
	struct drpc_series series;
	sqlite3_stmt *stmt = NULL;
	int err = history_prepare(history,
				  "SELECT time_ms, resource, value FROM value WHERE machine = ?1"
				  " AND time_ms >= ?2 AND time_ms < ?3 ORDER BY time_ms, resource",
				  &stmt);

	if (err)
		return err;
	sqlite3_bind_int64(stmt, 1, machine);
	sqlite3_bind_int64(stmt, 2, from_ms);
	sqlite3_bind_int64(stmt, 3, to_ms);
	for (size_t i = 0; i < columns->n; i++)
		names[i] = columns->name[i];
	drpc_series_init(&series, name, names, columns->n);
	err = read_points(history, stmt, columns, &series);
	sqlite3_finalize(stmt);
	if (!err && !series.count)
		err = drpc_err(-ENODATA, "%s: nothing of '%s' in that range", history->path, name);
	if (err)
		drpc_series_done(&series);
	else
		*ret = series;
	return err;
}

int drpc_history_query(struct drpc_history *history, const char *machine,
		       const char *const *resources, size_t n, int64_t from_ms, int64_t to_ms,
		       struct drpc_series *ret)
{
	struct columns columns = {0};
	int64_t id = 0;
	int err = find_machine(history, machine, &id);

	if (err)
		return err;
	if (n > DRPC_SERIES_MAX_COLUMNS)
		return drpc_err(-E2BIG, "%s: %zu resources, expected at most %d", history->path, n,
				DRPC_SERIES_MAX_COLUMNS);
	for (size_t i = 0; !err && i < n; i++)
		err = named_resource(history, resources[i], &columns);
	if (!err && !n)
		err = all_resources(history, id, from_ms, to_ms, &columns);
	if (!err && !columns.n)
		err = drpc_err(-ENODATA, "%s: nothing of '%s' in that range", history->path,
			       machine);
	return err ? err : query(history, machine, id, &columns, from_ms, to_ms, ret);
}

ssize_t drpc_history_gaps(struct drpc_history *history, const char *machine, int64_t from_ms,
			  int64_t to_ms, struct drpc_gap **ret)
{
	_cleanup_free_ struct drpc_gap *gaps = NULL;
	sqlite3_stmt *stmt = NULL;
	int64_t id = 0;
	size_t n = 0;
	int code = SQLITE_DONE, err = find_machine(history, machine, &id);

	if (!err)
		err = history_prepare(history,
				      "SELECT from_ms, to_ms, missing FROM gap WHERE machine = ?1"
				      " AND to_ms > ?2 AND from_ms < ?3 ORDER BY from_ms",
				      &stmt);
	if (err)
		return err;
	sqlite3_bind_int64(stmt, 1, id);
	sqlite3_bind_int64(stmt, 2, from_ms);
	sqlite3_bind_int64(stmt, 3, to_ms);
	while (!err && (code = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct drpc_gap *more = reallocarray(gaps, n + 1, sizeof(*gaps));

		if (!more) {
			err = drpc_err(-ENOMEM, "%s: %zu gaps", history->path, n);
			break;
		}
		gaps = more;
		gaps[n++] = (struct drpc_gap){.from_ms = sqlite3_column_int64(stmt, 0),
					      .to_ms = sqlite3_column_int64(stmt, 1),
					      .missing = (size_t)sqlite3_column_int64(stmt, 2)};
	}
	if (!err && code != SQLITE_DONE)
		err = history_fail(history, code, "read it");
	sqlite3_finalize(stmt);
	if (err)
		return err;
	*ret = drpc_steal(&gaps);
	return (ssize_t)n;
}

static void free_names(char **names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	free((void *)names);
}

ssize_t drpc_history_machines(struct drpc_history *history, char ***ret)
{
	sqlite3_stmt *stmt = NULL;
	char **names = NULL;
	size_t n = 0;
	int code = SQLITE_DONE;
	int err = history_prepare(history, "SELECT name FROM machine ORDER BY name", &stmt);

	while (!err && (code = sqlite3_step(stmt)) == SQLITE_ROW) {
		char **more = (char **)reallocarray((void *)names, n + 1, sizeof(*names));
		char *name = strdup((const char *)sqlite3_column_text(stmt, 0));

		if (more)
			names = more;
		if (more && name)
			names[n++] = name;
		else
			err = drpc_err(-ENOMEM, "%s: %zu machines", history->path, n);
		if (err)
			free(name);
	}
	if (!err && code != SQLITE_DONE)
		err = history_fail(history, code, "read it");
	sqlite3_finalize(stmt);
	if (err) {
		free_names(names, n);
		return err;
	}
	*ret = names;
	return (ssize_t)n;
}
