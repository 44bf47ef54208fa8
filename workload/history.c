// SPDX-License-Identifier: Apache-2.0
#include "workload/history.h"

#include <errno.h>
#include <math.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "workload/history_internal.h"

/* "drpc" */
#define APPLICATION_ID 0x64727063
#define BUSY_MS	       2000
#define MAGIC	       "SQLite format 3"

static const char schema[] =
	"CREATE TABLE machine (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
	"CREATE TABLE resource (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
	"CREATE TABLE value ("
	"  machine INTEGER NOT NULL REFERENCES machine (id),"
	"  time_ms INTEGER NOT NULL,"
	"  resource INTEGER NOT NULL REFERENCES resource (id),"
	"  value REAL NOT NULL,"
	"  PRIMARY KEY (machine, time_ms, resource)) WITHOUT ROWID;"
	"CREATE TABLE gap ("
	"  machine INTEGER NOT NULL REFERENCES machine (id),"
	"  from_ms INTEGER NOT NULL,"
	"  to_ms INTEGER NOT NULL,"
	"  missing INTEGER NOT NULL,"
	"  PRIMARY KEY (machine, from_ms)) WITHOUT ROWID;";

/* --- SQLite's results as errnos ------------------------------------------------------------- */

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

int history_fail(const struct drpc_history *history, int code, const char *doing)
{
	const int err = errno_of(code);

	if (err == -EBUSY)
		return drpc_err(err, "%s: cannot %s: another process is using it, try again later",
				history->path, doing);
	if (err == -ENOSPC)
		return drpc_err(err,
				"%s: cannot %s: its disk or its limit is full; nothing was changed",
				history->path, doing);
	if (err == -EPROTONOSUPPORT)
		return drpc_err(err, "%s: cannot %s: it is damaged or no history database",
				history->path, doing);
	return drpc_err(err, "%s: cannot %s: %s", history->path, doing,
			sqlite3_errmsg(history->db));
}

int history_run(const struct drpc_history *history, const char *sql, const char *doing)
{
	const int code = sqlite3_exec(history->db, sql, NULL, NULL, NULL);

	return code == SQLITE_OK ? 0 : history_fail(history, code, doing);
}

int history_prepare(const struct drpc_history *history, const char *sql, sqlite3_stmt **ret)
{
	const int code = sqlite3_prepare_v2(history->db, sql, -1, ret, NULL);

	return code == SQLITE_OK ? 0 : history_fail(history, code, "read it");
}

/* --- opening -------------------------------------------------------------------------------- */

static int pragma(const struct drpc_history *history, const char *sql, int64_t *ret)
{
	sqlite3_stmt *stmt = NULL;
	int err = history_prepare(history, sql, &stmt), code;

	if (err)
		return err;
	code = sqlite3_step(stmt);
	if (code == SQLITE_ROW)
		*ret = sqlite3_column_int64(stmt, 0);
	else
		err = history_fail(history, code, "open it");
	sqlite3_finalize(stmt);
	return err;
}

static int make_schema(const struct drpc_history *history)
{
	char sql[128];
	int err = history_run(history, schema, "make its tables");

	snprintf(sql, sizeof(sql), "PRAGMA application_id = %d; PRAGMA user_version = %d;",
		 APPLICATION_ID, DRPC_HISTORY_VERSION);
	return err ? err : history_run(history, sql, "make its tables");
}

/* In a transaction, so that two that make it at once do not both. */
static int check_schema(const struct drpc_history *history, bool create)
{
	int64_t application = 0, version = 0, tables = 0;
	int err = pragma(history, "PRAGMA application_id", &application);

	if (!err)
		err = pragma(history, "PRAGMA user_version", &version);
	if (!err)
		err = pragma(history, "SELECT count(*) FROM sqlite_master", &tables);
	if (err)
		return err;
	if (!application && !tables && create)
		return make_schema(history);
	if (application != APPLICATION_ID)
		return drpc_err(-EPROTONOSUPPORT,
				"%s: is a database of another program, not a history",
				history->path);
	if (version != DRPC_HISTORY_VERSION)
		return drpc_err(
			-EPROTONOSUPPORT,
			"%s: is a history of version %ld, this program knows version %d: use the newer program",
			history->path, (long)version, DRPC_HISTORY_VERSION);
	return 0;
}

static int open_db(struct drpc_history *history, bool create)
{
	const int flags = SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE : 0);
	const int code = sqlite3_open_v2(history->path, &history->db, flags, NULL);
	int err;

	if (code != SQLITE_OK)
		return history_fail(history, code, "open it");
	sqlite3_busy_timeout(history->db, BUSY_MS);
	err = history_run(history, "PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF",
			  "open it");
	if (!err)
		err = history_run(history, create ? "BEGIN IMMEDIATE" : "BEGIN", "open it");
	if (err)
		return err;
	err = check_schema(history, create);
	if (err)
		sqlite3_exec(history->db, "ROLLBACK", NULL, NULL, NULL);
	else
		err = history_run(history, "COMMIT", "open it");
	return err;
}

int drpc_history_open(const char *path, bool create, struct drpc_history **ret)
{
	struct drpc_history *history = calloc(1, sizeof(*history));
	int err;

	if (!history)
		return drpc_err(-ENOMEM, "%s", path);
	history->path = strdup(path);
	err = history->path ? open_db(history, create) : -ENOMEM;
	if (err)
		drpc_history_free(&history);
	else
		*ret = history;
	return err;
}

void drpc_history_free(struct drpc_history **history)
{
	if (!*history)
		return;
	sqlite3_close((*history)->db);
	free((*history)->path);
	free(*history);
	*history = NULL;
}

bool drpc_history_is(const char *path)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	char magic[sizeof(MAGIC)] = "";

	return file && fread(magic, 1, sizeof(magic), file) == sizeof(magic) &&
	       !memcmp(magic, MAGIC, sizeof(magic));
}

int drpc_history_limit(struct drpc_history *history, uint64_t bytes)
{
	int64_t page_bytes = 0, pages = 0;
	uint64_t page;
	char sql[64];
	int err = pragma(history, "PRAGMA page_size", &page_bytes);

	if (err)
		return err;
	page = page_bytes > 0 ? (uint64_t)page_bytes : 4096;
	snprintf(sql, sizeof(sql), "PRAGMA max_page_count = %lu",
		 (unsigned long)DRPC_MAX(bytes / page, 1));
	return pragma(history, sql, &pages);
}
