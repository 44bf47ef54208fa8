// SPDX-License-Identifier: Apache-2.0
#include "tools/drpc/rows.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"
#include "tools/drpc/cli.h"

static const struct drpc_column columns[] = {
	{"CONTAINER", false, 10, 0},
	{"DEPLOYMENT", false, 8, 16},
	{"MODE", false, 0, 10},
	{"REQ/S", true, 0, 0},
	{"ERR", true, 0, 12},
	{"P50", true, 0, 7},
	{"P99", true, 0, 0},
	{"SLO", true, 0, 3},
	{"QUEUE", true, 0, 5},
	{"CPU", true, 0, 1},
	{"LIMIT", true, 0, 1},
	{"THR", true, 0, 4},
	{"CPU PSI", true, 0, 11},
	{"MEM", true, 0, 2},
	{"LIMIT", true, 0, 2},
	{"MEM PSI", true, 0, 13},
	{"REPL", true, 0, 8},
	{"COV", true, 0, 14},
	{"LAST ACTION", false, 24, 15},
};

const char *drpc_sort_name(enum drpc_sort sort)
{
	static const char *const names[DRPC_SORT_COUNT] = {"name", "rate", "p99", "cpu"};

	return sort < DRPC_SORT_COUNT ? names[sort] : "?";
}

/* --- order ------------------------------------------------------------------------------------ */

static double sort_key(struct json_object *c, enum drpc_sort sort)
{
	double slo = drpc_field_number(c, "slo_p99_ms"), p99 = drpc_field_number(c, "p99_ms");

	switch (sort) {
	case DRPC_SORT_RATE:
		return drpc_field_number(c, "rate_rps");
	case DRPC_SORT_CPU:
		return drpc_field_number(c, "cpu_usage_cores");
	case DRPC_SORT_P99:
		/* Those with an objective before those without, however slow. */
		return slo > 0 ? 1e9 + p99 / slo : p99;
	default:
		return 0;
	}
}

static int compare(const void *a, const void *b, void *arg)
{
	struct json_object *x = *(struct json_object *const *)a;
	struct json_object *y = *(struct json_object *const *)b;
	enum drpc_sort sort = *(const enum drpc_sort *)arg;
	double kx = sort_key(x, sort), ky = sort_key(y, sort);

	if (kx != ky)
		return kx < ky ? 1 : -1;
	return strcmp(drpc_field_string(x, "name"), drpc_field_string(y, "name"));
}

/* --- cells ------------------------------------------------------------------------------------ */

typedef void (*format_fn)(char *dst, size_t size, double value);

static void add(struct drpc_table *table, struct json_object *c, const char *key, format_fn format,
		enum drpc_color color)
{
	char text[64];

	format(text, sizeof(text), drpc_field_number(c, key));
	drpc_table_cell(table, color, text);
}

/* Red from `bad` on, yellow from `warn` on. */
static enum drpc_color grade(double value, double warn, double bad)
{
	return value >= bad ? DRPC_BAD : value >= warn ? DRPC_WARN : DRPC_PLAIN;
}

static enum drpc_color p99_color(struct json_object *c)
{
	double slo = drpc_field_number(c, "slo_p99_ms"), p99 = drpc_field_number(c, "p99_ms");

	if (slo <= 0 || p99 <= 0)
		return DRPC_PLAIN;
	return p99 > slo ? DRPC_BAD : p99 > 0.8 * slo ? DRPC_WARN : DRPC_GOOD;
}

static enum drpc_color mode_color(const char *mode)
{
	if (strcmp(mode, "act") == 0)
		return DRPC_GOOD;
	return strcmp(mode, "paused") == 0 ? DRPC_WARN : DRPC_DIM;
}

static void add_row(struct drpc_table *table, struct json_object *c)
{
	const char *mode = drpc_field_string(c, "mode");
	double coverage = drpc_field_number(c, "coverage");
	char text[32];

	drpc_table_row(table);
	drpc_table_cell(table, DRPC_BOLD, drpc_field_string(c, "name"));
	drpc_table_cell(table, DRPC_PLAIN, drpc_field_string(c, "deployment"));
	drpc_table_cell(table, mode_color(mode), mode);
	add(table, c, "rate_rps", drpc_format_rate, DRPC_PLAIN);
	add(table, c, "error_rate", drpc_format_share,
	    grade(drpc_field_number(c, "error_rate"), 1e-9, 0.01));
	add(table, c, "p50_ms", drpc_format_ms, DRPC_PLAIN);
	add(table, c, "p99_ms", drpc_format_ms, p99_color(c));
	add(table, c, "slo_p99_ms", drpc_format_ms, DRPC_DIM);
	add(table, c, "queue_share", drpc_format_share,
	    grade(drpc_field_number(c, "queue_share"), 0.5, 0.8));
	add(table, c, "cpu_usage_cores", drpc_format_cores, DRPC_PLAIN);
	add(table, c, "cpu_limit_cores", drpc_format_cores, DRPC_PLAIN);
	add(table, c, "throttled_share", drpc_format_share,
	    grade(drpc_field_number(c, "throttled_share"), 0.05, 0.25));
	add(table, c, "cpu_pressure", drpc_format_share,
	    grade(drpc_field_number(c, "cpu_pressure"), 0.25, 0.5));
	add(table, c, "memory_usage_mib", drpc_format_mib, DRPC_PLAIN);
	add(table, c, "memory_limit_mib", drpc_format_mib, DRPC_PLAIN);
	add(table, c, "memory_pressure", drpc_format_share,
	    grade(drpc_field_number(c, "memory_pressure"), 0.05, 0.2));
	snprintf(text, sizeof(text), "%.0f", drpc_field_number(c, "replicas"));
	drpc_table_cell(table, DRPC_PLAIN, text);
	/* Rounded down: 100 % means all of it. */
	snprintf(text, sizeof(text), "%.*f%%", coverage < 1 ? 1 : 0,
		 (double)(long)(coverage * 1000) / 10);
	drpc_table_cell(table, coverage < 0.999 ? DRPC_WARN : DRPC_PLAIN, text);
	drpc_table_cell(table, DRPC_DIM, drpc_field_string(c, "last_action"));
}

int drpc_rows_new(struct json_object *containers, enum drpc_sort sort, struct drpc_table **ret)
{
	size_t n = json_object_is_type(containers, json_type_array)
			   ? json_object_array_length(containers)
			   : 0;
	_cleanup_free_ struct json_object **order = calloc(n + 1, sizeof(*order));
	struct drpc_table *table;
	int r;

	if (!order)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		order[i] = json_object_array_get_idx(containers, i);
	qsort_r(order, n, sizeof(*order), compare, &sort);
	r = drpc_table_new(columns, DRPC_ARRAY_SIZE(columns), &table);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		add_row(table, order[i]);
	*ret = table;
	return 0;
}

void drpc_rows_actions(struct json_object *containers, int width, size_t max,
		       const struct drpc_term *term, drpc_emit_fn emit, void *arg)
{
	size_t n = json_object_array_length(containers), given = 0;

	for (size_t i = 0; i < n && given < max; i++) {
		struct json_object *c = json_object_array_get_idx(containers, i);
		const char *deployment = drpc_field_string(c, "deployment");
		const char *action = drpc_field_string(c, "last_action");
		char line[512], fitted[512];
		bool told = action[0] == '\0';

		/* Replicas have the same last action: it is told once. */
		for (size_t j = 0; j < i && !told; j++)
			told = strcmp(drpc_field_string(json_object_array_get_idx(containers, j),
							"deployment"),
				      deployment) == 0;
		if (told)
			continue;
		snprintf(line, sizeof(line), "%s: %s", deployment, action);
		drpc_text_fit(term, line, width > 0 ? width : (int)sizeof(line), fitted,
			      sizeof(fitted));
		emit(arg, DRPC_PLAIN, fitted);
		emit(arg, DRPC_PLAIN, "\n");
		given++;
	}
}
