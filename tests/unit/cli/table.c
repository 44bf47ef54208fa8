// SPDX-License-Identifier: Apache-2.0
#include "tools/drpc/table.h"

#include <criterion/criterion.h>
#include <errno.h>

#include "lib/util.h"
#include "tests/unit/cli/paper.h"

static const struct drpc_column columns[] = {
	{"NAME", false, 6, 0}, {"RATE", true, 0, 0}, {"NOTE", false, 0, 2}, {"MORE", true, 0, 1}};

static struct drpc_table *make(void)
{
	static const char *const cells[][4] = {{"web", "411", "note", "1"},
					       {"a-long-name", "5", "longer", "22"}};
	struct drpc_table *table = NULL;

	cr_assert_eq(drpc_table_new(columns, DRPC_ARRAY_SIZE(columns), &table), 0);
	for (size_t r = 0; r < DRPC_ARRAY_SIZE(cells); r++) {
		drpc_table_row(table);
		for (size_t c = 0; c < 4; c++)
			drpc_table_cell(table, DRPC_PLAIN, cells[r][c]);
	}
	return table;
}

static void shows(int width, size_t max_rows, const char *expected)
{
	struct drpc_term term = paper_term(width);
	struct drpc_table *table = make();
	static struct paper paper;

	memset(&paper, 0, sizeof(paper));
	drpc_table_emit(table, &term, width, max_rows, paper_emit, &paper);
	cr_expect_str_eq(paper.text, expected);
	cr_expect(width == 0 || paper_width(&paper) <= width);
	drpc_table_free(&table);
	cr_expect_null(table);
}

Test(table, as_wide_as_it_takes)
{
	shows(0, 0,
	      "NAME         RATE  NOTE    MORE\n"
	      "web           411  note       1\n"
	      "a-long-name     5  longer    22\n");
}

Test(table, shrinks_first)
{
	shows(27, 0,
	      "NAME     RATE  NOTE    MORE\n"
	      "web       411  note       1\n"
	      "a-long…     5  longer    22\n");
}

Test(table, then_leaves_out_what_matters_least)
{
	shows(24, 0,
	      "NAME         RATE  MORE\n"
	      "web           411     1\n"
	      "a-long-name     5    22\n");
	shows(12, 0,
	      "NAME    RATE\n"
	      "web      411\n"
	      "a-lon…     5\n");
}

Test(table, rows_are_bounded)
{
	shows(0, 1,
	      "NAME         RATE  NOTE    MORE\n"
	      "web           411  note       1\n");
}

Test(table, a_row_that_is_short_and_one_that_is_long)
{
	struct drpc_term term = paper_term(0);
	static struct paper paper;
	struct drpc_table *table;

	cr_assert_eq(drpc_table_new(columns, 2, &table), 0);
	drpc_table_cell(table, DRPC_PLAIN, "before any row");
	drpc_table_row(table);
	drpc_table_row(table);
	for (int i = 0; i < 5; i++)
		drpc_table_cell(table, DRPC_PLAIN, "x");
	cr_expect_eq(drpc_table_rows(table), 2);
	drpc_table_emit(table, &term, 0, 0, paper_emit, &paper);
	cr_expect_str_eq(paper.text, "NAME  RATE\n          \nx        x\n");
	drpc_table_free(&table);
}

Test(table, bounds)
{
	struct drpc_column many[100] = {0};
	struct drpc_table *table = NULL;

	cr_expect_eq(drpc_table_new(many, 100, &table), -E2BIG);
	cr_expect_null(table);
	drpc_table_free(&table);
}
