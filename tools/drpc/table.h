/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table that fits the terminal: columns are as wide as what they hold; where that is too much,
 * those that may shrink do so, then the least important columns are left out.
 */
#pragma once

#include "tools/drpc/term.h"

struct drpc_column {
	const char *title;
	bool right;   /* numbers */
	int min;      /* may shrink to so many columns; 0: it does not shrink */
	int priority; /* left out first where this is highest; 0: never left out */
};

struct drpc_table;

int drpc_table_new(const struct drpc_column *columns, size_t count, struct drpc_table **ret);
void drpc_table_free(struct drpc_table **table);

/* Begins a row; cells follow in the order of the columns. Memory that runs out loses cells. */
void drpc_table_row(struct drpc_table *table);
void drpc_table_cell(struct drpc_table *table, enum drpc_color color, const char *text);

size_t drpc_table_rows(const struct drpc_table *table);

/* Receives the finished table piece by piece; "\n" ends a line. */
typedef void (*drpc_emit_fn)(void *arg, enum drpc_color color, const char *text);

/* Lays it out in `width` columns (0: as many as it takes) and gives it out, at most `max_rows`
 * rows (0: all). */
void drpc_table_emit(const struct drpc_table *table, const struct drpc_term *term, int width,
		     size_t max_rows, drpc_emit_fn emit, void *arg);

/* To standard output in colour. */
void drpc_table_print(const struct drpc_table *table, const struct drpc_term *term);

/* A drpc_emit_fn to standard output; arg is the struct drpc_term. */
void drpc_emit_stdout(void *arg, enum drpc_color color, const char *text);
