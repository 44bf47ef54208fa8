/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The historical database: what was measured of which machine, when, of which resource. SQLite; one
 * row a value, so that a time that comes again changes nothing; gaps marked at each import.
 *
 * Whatever adds is one transaction: all of it is there and on the disk afterwards, or nothing. Opening
 * refuses files of other programs and of newer versions. -EBUSY: another process writes; -ENOSPC: the
 * disk, or the limit, is full. Everything is logged, with the file's name.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "workload/import.h"
#include "workload/series.h"

#define DRPC_HISTORY_VERSION 1

struct drpc_history;

/*
 * Opens, and makes with `create`. -ENOENT where it is not there, -EPROTONOSUPPORT for a file that is
 * no history or of a newer version, -EBUSY, -EACCES, -EIO.
 */
int drpc_history_open(const char *path, bool create, struct drpc_history **ret);
void drpc_history_free(struct drpc_history **history);

/* Whether a file is an SQLite database, by its first bytes. */
bool drpc_history_is(const char *path);

/* The most bytes its file may have; adding more is -ENOSPC. */
int drpc_history_limit(struct drpc_history *history, uint64_t bytes);

struct drpc_history_report {
	struct drpc_trace_report trace;
	uint64_t added;	     /* values */
	uint64_t duplicates; /* values that were there already, and stayed as they were */
	uint64_t machines;   /* in the import */
	uint64_t gaps;	     /* of those machines, in all they have now */
	uint64_t missing;    /* points that lie in them */
};

/* Streams a trace into it (import.h); rows without a machine's name get `name`. */
int drpc_history_import(struct drpc_history *history, const char *path,
			enum drpc_trace_format format, double step_s, const char *name,
			struct drpc_history_report *ret);

/* Adds a series under its name. `ret` may be NULL. */
int drpc_history_add(struct drpc_history *history, const struct drpc_series *series,
		     struct drpc_history_report *ret);

/*
 * What is known of a machine in from_ms <= time < to_ms, ascending, a column a resource; of all
 * resources, in the order of their names, where n is 0. -ENODATA for nothing, -ENOENT for a machine or
 * resource that is not there, -E2BIG for more than DRPC_SERIES_MAX_COLUMNS.
 */
int drpc_history_query(struct drpc_history *history, const char *machine,
		       const char *const *resources, size_t n, int64_t from_ms, int64_t to_ms,
		       struct drpc_series *ret);

/* Marked gaps that overlap the range, ascending; the caller frees. How many, or an errno. */
ssize_t drpc_history_gaps(struct drpc_history *history, const char *machine, int64_t from_ms,
			  int64_t to_ms, struct drpc_gap **ret);

/* Names, ascending; the caller frees each and the list. How many, or an errno. */
ssize_t drpc_history_machines(struct drpc_history *history, char ***ret);
