// SPDX-License-Identifier: Apache-2.0
#include "tools/drpc/table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"

#define COLUMNS_MAX 24
#define GAP	    2
#define CELL_MAX    512

struct cell {
	char *text;
	enum drpc_color color;
};

struct drpc_table {
	struct drpc_column columns[COLUMNS_MAX];
	size_t n_columns;
	struct cell *cells; /* rows of n_columns */
	size_t rows, at;    /* `at`: next cell of the last row */
	size_t capacity;    /* in rows */
};

int drpc_table_new(const struct drpc_column *columns, size_t count, struct drpc_table **ret)
{
	struct drpc_table *table;

	if (count > COLUMNS_MAX)
		return -E2BIG;
	table = calloc(1, sizeof(*table));
	if (!table)
		return -ENOMEM;
	memcpy(table->columns, columns, count * sizeof(*columns));
	table->n_columns = count;
	*ret = table;
	return 0;
}

void drpc_table_free(struct drpc_table **table)
{
	if (!*table)
		return;
	for (size_t i = 0; i < (*table)->rows * (*table)->n_columns; i++)
		free((*table)->cells[i].text);
	free((*table)->cells);
	free(*table);
	*table = NULL;
}

void drpc_table_row(struct drpc_table *table)
{
	if (table->rows == table->capacity) {
		size_t capacity = DRPC_MAX((size_t)16, 2 * table->capacity);
		struct cell *bigger =
			reallocarray(table->cells, capacity * table->n_columns, sizeof(*bigger));

		if (!bigger) {
			table->at = table->n_columns;
			return;
		}
		table->cells = bigger;
		table->capacity = capacity;
	}
	memset(&table->cells[table->rows * table->n_columns], 0,
	       table->n_columns * sizeof(struct cell));
	table->rows++;
	table->at = 0;
}

void drpc_table_cell(struct drpc_table *table, enum drpc_color color, const char *text)
{
	struct cell *cell;

	if (table->rows == 0 || table->at >= table->n_columns)
		return;
	cell = &table->cells[(table->rows - 1) * table->n_columns + table->at++];
	cell->color = color;
	cell->text = strdup(text);
}

size_t drpc_table_rows(const struct drpc_table *table)
{
	return table->rows;
}

static const struct cell *cell_at(const struct drpc_table *table, size_t row, size_t column)
{
	return &table->cells[row * table->n_columns + column];
}

static const char *text_at(const struct drpc_table *table, size_t row, size_t column)
{
	const char *text = cell_at(table, row, column)->text;

	return text ? text : "";
}

/* --- layout ----------------------------------------------------------------------------------- */

static int total_width(const int *widths, size_t n)
{
	int sum = -GAP;

	for (size_t c = 0; c < n; c++)
		sum += widths[c] >= 0 ? widths[c] + GAP : 0;
	return sum;
}

/* Takes what is too much from the columns that may shrink, the widest first. */
static int shrink(const struct drpc_table *table, int *widths, int excess)
{
	while (excess > 0) {
		size_t widest = table->n_columns;

		for (size_t c = 0; c < table->n_columns; c++) {
			if (table->columns[c].min > 0 && widths[c] > table->columns[c].min &&
			    (widest == table->n_columns || widths[c] > widths[widest]))
				widest = c;
		}
		if (widest == table->n_columns)
			break;
		widths[widest]--;
		excess--;
	}
	return excess;
}

/* Fills in the width of each column, -1 for those left out. */
static void lay_out(const struct drpc_table *table, int width, int *widths)
{
	int natural[COLUMNS_MAX] = {0};

	for (size_t c = 0; c < table->n_columns; c++) {
		natural[c] = drpc_text_width(table->columns[c].title);
		for (size_t r = 0; r < table->rows; r++)
			natural[c] = DRPC_MAX(natural[c], drpc_text_width(text_at(table, r, c)));
	}
	memcpy(widths, natural, sizeof(natural));
	for (;;) {
		size_t least = table->n_columns;

		if (width <= 0 ||
		    shrink(table, widths, total_width(widths, table->n_columns) - width) <= 0)
			return;
		for (size_t c = 0; c < table->n_columns; c++) {
			if (widths[c] >= 0 && table->columns[c].priority > 0 &&
			    (least == table->n_columns ||
			     table->columns[c].priority > table->columns[least].priority))
				least = c;
		}
		if (least == table->n_columns)
			return;
		/* Without it, the others may not have to shrink as much. */
		for (size_t c = 0; c < table->n_columns; c++)
			widths[c] = widths[c] < 0 || c == least ? -1 : natural[c];
	}
}

static void emit_cell(const struct drpc_table *table, const struct drpc_term *term, size_t column,
		      int width, bool last, enum drpc_color color, const char *text,
		      drpc_emit_fn emit, void *arg)
{
	char fitted[CELL_MAX], padding[CELL_MAX];
	int pad;

	drpc_text_fit(term, text, width, fitted, sizeof(fitted));
	pad = DRPC_CLAMP(width - drpc_text_width(fitted), 0, CELL_MAX - GAP - 1);
	snprintf(padding, sizeof(padding), "%*s", pad, "");
	if (table->columns[column].right)
		emit(arg, DRPC_PLAIN, padding);
	emit(arg, color, fitted);
	if (!table->columns[column].right && !last)
		emit(arg, DRPC_PLAIN, padding);
	if (!last)
		emit(arg, DRPC_PLAIN, "  ");
}

void drpc_table_emit(const struct drpc_table *table, const struct drpc_term *term, int width,
		     size_t max_rows, drpc_emit_fn emit, void *arg)
{
	size_t rows = max_rows ? DRPC_MIN(max_rows, table->rows) : table->rows;
	size_t last = 0;
	int widths[COLUMNS_MAX];

	lay_out(table, width, widths);
	for (size_t c = 0; c < table->n_columns; c++)
		last = widths[c] >= 0 ? c : last;
	for (size_t c = 0; c < table->n_columns; c++) {
		if (widths[c] >= 0)
			emit_cell(table, term, c, widths[c], c == last, DRPC_TITLE,
				  table->columns[c].title, emit, arg);
	}
	emit(arg, DRPC_PLAIN, "\n");
	for (size_t r = 0; r < rows; r++) {
		for (size_t c = 0; c < table->n_columns; c++) {
			if (widths[c] >= 0)
				emit_cell(table, term, c, widths[c], c == last,
					  cell_at(table, r, c)->color, text_at(table, r, c), emit,
					  arg);
		}
		emit(arg, DRPC_PLAIN, "\n");
	}
}

void drpc_emit_stdout(void *arg, enum drpc_color color, const char *text)
{
	const struct drpc_term *term = arg;

	if (text[0] == '\0')
		return;
	if (color == DRPC_PLAIN)
		fputs(text, stdout);
	else
		printf("%s%s%s", drpc_color(term, color), text, drpc_color(term, DRPC_PLAIN));
}

void drpc_table_print(const struct drpc_table *table, const struct drpc_term *term)
{
	struct drpc_term copy = *term;

	drpc_table_emit(table, term, term->width, 0, drpc_emit_stdout, &copy);
	fflush(stdout);
}
