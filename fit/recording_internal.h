/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of a recording share: opening, and SQLite's results as errnos. */
#pragma once

#include <sqlite3.h>

#include "fit/recording.h"

struct drpc_recording {
	sqlite3 *db;
	char *path;
};

/* Opens a file that must be a recording, or is empty and `node` (not NULL) makes it one. */
int recording_open(const char *path, const struct drpc_recording_node *node,
		   struct drpc_recording *ret);
void recording_close(struct drpc_recording *recording);

/* Logs "PATH: cannot DOING: why" and returns the errno for a result of SQLite. */
int recording_fail(const struct drpc_recording *recording, int code, const char *doing);
int recording_run(const struct drpc_recording *recording, const char *sql, const char *doing);
int recording_prepare(const struct drpc_recording *recording, const char *sql, sqlite3_stmt **ret);
