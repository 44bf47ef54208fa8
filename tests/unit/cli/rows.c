// SPDX-License-Identifier: Apache-2.0
#include "tools/drpc/rows.h"

#include <criterion/criterion.h>
#include <json-c/json.h>

#include "lib/util.h"
#include "tests/unit/cli/paper.h"

static const char list_text[] =
	"[{\"id\": \"1\", \"name\": \"web-1\", \"deployment\": \"shop/web\", \"mode\": \"act\","
	"  \"rate_rps\": 411.2, \"error_rate\": 0.02, \"p50_ms\": 12.1, \"p99_ms\": 243.0,"
	"  \"slo_p99_ms\": 200, \"queue_share\": 0.62, \"cpu_usage_cores\": 0.48,"
	"  \"cpu_limit_cores\": 0.5, \"throttled_share\": 0.44, \"cpu_pressure\": 0.3,"
	"  \"memory_usage_mib\": 61, \"memory_limit_mib\": 128, \"memory_pressure\": 0,"
	"  \"replicas\": 2, \"coverage\": 0.9995, \"last_action\": \"CPU 0.40 -> 0.50\"},"
	" {\"name\": \"web-2\", \"deployment\": \"shop/web\", \"mode\": \"act\", \"rate_rps\": 500,"
	"  \"cpu_usage_cores\": 0.2, \"slo_p99_ms\": 200, \"p99_ms\": 20, \"coverage\": 1,"
	"  \"replicas\": 2, \"last_action\": \"CPU 0.40 -> 0.50\"},"
	" {\"name\": \"batch\", \"deployment\": \"batch\", \"mode\": \"off\", \"coverage\": 1,"
	"  \"p99_ms\": 9000, \"cpu_usage_cores\": 1.9, \"replicas\": 1, \"last_action\": \"\"}]";

static const struct paper *draw(enum drpc_sort sort, int width)
{
	struct json_object *list = json_tokener_parse(list_text);
	struct drpc_term term = paper_term(width);
	static struct paper paper;
	struct drpc_table *table;

	memset(&paper, 0, sizeof(paper));
	cr_assert_eq(drpc_rows_new(list, sort, &table), 0);
	drpc_table_emit(table, &term, width, 0, paper_emit, &paper);
	drpc_table_free(&table);
	json_object_put(list);
	return &paper;
}

/* The first word of each line behind the titles. */
static void in_order(const struct paper *paper, const char *a, const char *b, const char *c)
{
	const char *names[] = {a, b, c}, *line = strchr(paper->text, '\n') + 1;

	for (size_t i = 0; i < 3; i++) {
		cr_expect_eq(strncmp(line, names[i], strlen(names[i])), 0, "%s", paper->text);
		line = strchr(line, '\n') + 1;
	}
}

Test(rows, sorting)
{
	in_order(draw(DRPC_SORT_NAME, 0), "batch", "web-1", "web-2");
	in_order(draw(DRPC_SORT_RATE, 0), "web-2", "web-1", "batch");
	in_order(draw(DRPC_SORT_CPU, 0), "batch", "web-1", "web-2");
	/* Against the objective first, those without one behind. */
	in_order(draw(DRPC_SORT_P99, 0), "web-1", "web-2", "batch");
}

Test(rows, everything_where_there_is_room)
{
	const struct paper *paper = draw(DRPC_SORT_NAME, 0);

	cr_expect_not_null(strstr(paper->text, "shop/web"));
	cr_expect_not_null(strstr(paper->text, "243 ms"));
	cr_expect_not_null(strstr(paper->text, "44%"));
	cr_expect_not_null(strstr(paper->text, "128M"));
	cr_expect_not_null(strstr(paper->text, "99.9%"), "coverage is rounded down");
	cr_expect_not_null(strstr(paper->text, "CPU 0.40 -> 0.50"));
}

Test(rows, what_matters_in_80_columns)
{
	const struct paper *paper = draw(DRPC_SORT_NAME, 80);

	cr_expect_leq(paper_width(paper), 80);
	for (size_t i = 0; i < 6; i++) {
		static const char *const titles[] = {"REQ/S", "P99", "SLO", "QUEUE", "THR", "MEM"};

		cr_expect_not_null(strstr(paper->text, titles[i]), "%s", titles[i]);
	}
	cr_expect_leq(paper_width(draw(DRPC_SORT_NAME, 40)), 40);
}

Test(rows, red_is_what_missed_its_bounds)
{
	const struct paper *paper = draw(DRPC_SORT_NAME, 0);

	/* Error rate, p99 over the objective, throttling. */
	cr_expect_str_eq(paper->bad, "2.0%243 ms44%");
}

Test(rows, an_action_is_told_once_a_deployment)
{
	struct json_object *list = json_tokener_parse(list_text);
	struct drpc_term term = paper_term(0);
	static struct paper paper;

	drpc_rows_actions(list, 0, 10, &term, paper_emit, &paper);
	cr_expect_str_eq(paper.text, "shop/web: CPU 0.40 -> 0.50\n");
	memset(&paper, 0, sizeof(paper));
	drpc_rows_actions(list, 12, 10, &term, paper_emit, &paper);
	cr_expect_str_eq(paper.text, "shop/web: C…\n");
	json_object_put(list);
}

Test(rows, no_list)
{
	struct json_object *o = json_tokener_parse("{}");
	struct drpc_table *table;

	cr_assert_eq(drpc_rows_new(o, DRPC_SORT_NAME, &table), 0);
	cr_expect_eq(drpc_table_rows(table), 0);
	drpc_table_free(&table);
	json_object_put(o);
}
