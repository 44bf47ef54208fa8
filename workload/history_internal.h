/* SPDX-License-Identifier: Apache-2.0 */
/* What history.c, history_add.c and history_query.c share. */
#pragma once

#include <sqlite3.h>

struct drpc_history {
	char *path;
	sqlite3 *db;
};

/* The errno of a result of SQLite's, logged: "FILE: cannot DOING: …". */
int history_fail(const struct drpc_history *history, int code, const char *doing);
int history_run(const struct drpc_history *history, const char *sql, const char *doing);
int history_prepare(const struct drpc_history *history, const char *sql, sqlite3_stmt **ret);
