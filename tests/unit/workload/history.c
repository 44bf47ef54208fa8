// SPDX-License-Identifier: Apache-2.0
#include "workload/history.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/util.h"

static char dir[64], db[96], csv[96];
static struct drpc_history *history;
static struct drpc_history_report report;

static void setup(void)
{
	cr_redirect_stderr();
	drpc_strcpy(dir, sizeof(dir), "/tmp/drpc-history-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(db, sizeof(db), "%s/h.db", dir);
	snprintf(csv, sizeof(csv), "%s/t.csv", dir);
	cr_assert_eq(drpc_history_open(db, true, &history), 0);
}

static void teardown(void)
{
	char command[96];

	drpc_history_free(&history);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	cr_assert_eq(system(command), 0);
}

TestSuite(history, .init = setup, .fini = teardown);

static void put(const char *text)
{
	FILE *file = fopen(csv, "w");

	fputs(text, file);
	fclose(file);
}

static int import(const char *text)
{
	put(text);
	return drpc_history_import(history, csv, DRPC_TRACE_AUTO, 0, "trace", &report);
}

static uint64_t values_in(const char *path)
{
	sqlite3_stmt *stmt;
	sqlite3 *raw;
	uint64_t n;

	cr_assert_eq(sqlite3_open(path, &raw), SQLITE_OK);
	cr_assert_eq(sqlite3_prepare_v2(raw, "SELECT count(*) FROM value", -1, &stmt, NULL), 0);
	cr_assert_eq(sqlite3_step(stmt), SQLITE_ROW);
	n = (uint64_t)sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	sqlite3_close(raw);
	return n;
}

Test(history, the_same_again_changes_nothing)
{
	static const char text[] = "machine,t_s,cpu,mem\na,0,1,2\na,10,3,4\nb,0,5,\n";

	cr_assert_eq(import(text), 0);
	cr_expect_eq(report.added, 5);
	cr_expect_eq(report.duplicates, 0);
	cr_expect_eq(report.machines, 2);
	cr_assert_eq(import(text), 0);
	cr_expect_eq(report.added, 0);
	cr_expect_eq(report.duplicates, 5);
	cr_expect_eq(values_in(db), 5);
	/* What is there stays: another value at the same time is none. */
	cr_assert_eq(import("machine,t_s,cpu\na,0,99\na,20,6\n"), 0);
	cr_expect_eq(report.added, 1);
	cr_expect_eq(report.duplicates, 1);
}

Test(history, queries_by_range_and_resource)
{
	struct drpc_series series = {0};
	const char *mem = "mem";

	cr_assert_eq(import("machine,t_s,cpu,mem\na,20,3,\na,0,1,2\na,10,2,4\nb,0,9,9\n"), 0);
	cr_assert_eq(drpc_history_query(history, "a", NULL, 0, 0, 20000, &series), 0);
	cr_assert_eq(series.count, 2, "to is not part of it");
	cr_expect_eq(series.columns, 2);
	cr_expect_str_eq(series.names[0], "cpu");
	cr_expect_eq(drpc_series_at(&series, 1, 0), 2.0f);
	cr_expect_eq(drpc_series_at(&series, 1, 1), 4.0f);
	drpc_series_done(&series);
	cr_assert_eq(drpc_history_query(history, "a", &mem, 1, 5000, INT64_MAX, &series), 0);
	cr_expect_eq(series.count, 1);
	cr_expect_eq(series.time_ms[0], 10000);
	drpc_series_done(&series);
	cr_assert_eq(drpc_history_query(history, "a", NULL, 0, 0, INT64_MAX, &series), 0);
	cr_expect_eq(series.count, 3);
	cr_expect(isnan(drpc_series_at(&series, 2, 1)), "not measured");
	drpc_series_done(&series);
	cr_expect_eq(drpc_history_query(history, "z", NULL, 0, 0, 1, &series), -ENOENT);
	cr_expect_eq(drpc_history_query(history, "a", (const char *[]){"disk"}, 1, 0, 1, &series),
		     -ENOENT);
	cr_expect_eq(drpc_history_query(history, "a", NULL, 0, 50000, 60000, &series), -ENODATA);
}

Test(history, gaps_are_marked_and_close_again)
{
	struct drpc_gap *gaps = NULL;

	cr_assert_eq(import("machine,t_s,cpu\na,0,1\na,10,1\na,20,1\na,60,1\na,70,1\na,84,1\n"), 0);
	cr_expect_eq(report.gaps, 1, "14 s are late, 40 s are a gap");
	cr_expect_eq(report.missing, 3);
	cr_assert_eq(drpc_history_gaps(history, "a", 0, INT64_MAX, &gaps), 1);
	cr_expect_eq(gaps[0].from_ms, 20000);
	cr_expect_eq(gaps[0].to_ms, 60000);
	cr_expect_eq(gaps[0].missing, 3);
	free(gaps);
	gaps = NULL;
	cr_expect_eq(drpc_history_gaps(history, "a", 60000, INT64_MAX, &gaps), 0);
	free(gaps);
	cr_assert_eq(import("machine,t_s,cpu\na,30,1\na,40,1\na,50,1\n"), 0);
	cr_expect_eq(report.gaps, 0, "what came later closed it");
}

Test(history, a_bad_line_leaves_nothing_behind)
{
	cr_assert_eq(import("machine,t_s,cpu\na,0,1\n"), 0);
	cr_expect_eq(import("machine,t_s,cpu\nb,0,1\nb,10,2\nb,20,-3\n"), -EINVAL);
	cr_expect_eq(values_in(db), 1);
	char **names = NULL;

	cr_assert_eq(drpc_history_machines(history, &names), 1, "no machine either");
	free(names[0]);
	free((void *)names);
	cr_assert_eq(import("machine,t_s,cpu\nb,0,1\n"), 0, "and it goes on");
}

Test(history, survives_closing)
{
	struct drpc_series series = {0};

	cr_assert_eq(import("5\n6\n"), 0);
	drpc_history_free(&history);
	cr_assert_eq(drpc_history_open(db, false, &history), 0);
	cr_assert_eq(drpc_history_query(history, "trace", NULL, 0, 0, INT64_MAX, &series), 0);
	cr_expect_eq(series.count, 2);
	cr_expect_str_eq(series.names[0], "requests_per_s");
	/* And a series goes the same way. */
	drpc_strcpy(series.name, sizeof(series.name), "copy");
	cr_assert_eq(drpc_history_add(history, &series, &report), 0);
	cr_expect_eq(report.added, 2);
	drpc_series_done(&series);
}

static void sql(const char *path, const char *text)
{
	sqlite3 *raw;

	cr_assert_eq(sqlite3_open(path, &raw), SQLITE_OK);
	cr_assert_eq(sqlite3_exec(raw, text, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(raw);
}

Test(history, foreign_files_are_refused_and_stay)
{
	struct drpc_history *other = NULL;
	char path[96];
	struct stat st;

	put("t_s,cpu\n0,1\n0123456789012345678901234567890123456789\n");
	cr_assert_eq(stat(csv, &st), 0);
	cr_expect_eq(drpc_history_open(csv, true, &other), -EPROTONOSUPPORT);
	cr_expect_not(drpc_history_is(csv));
	cr_expect(drpc_history_is(db));
	const off_t size = st.st_size;

	cr_assert_eq(stat(csv, &st), 0);
	cr_expect_eq(st.st_size, size);
	snprintf(path, sizeof(path), "%s/other.db", dir);
	sql(path, "CREATE TABLE mail (x)");
	cr_expect_eq(drpc_history_open(path, true, &other), -EPROTONOSUPPORT);
	snprintf(path, sizeof(path), "%s/none.db", dir);
	cr_expect_eq(drpc_history_open(path, false, &other), -ENOENT);
	cr_expect_null(other);
}

Test(history, a_newer_version_is_refused)
{
	struct drpc_history *other = NULL;

	drpc_history_free(&history);
	sql(db, "PRAGMA user_version = 2");
	cr_expect_eq(drpc_history_open(db, true, &other), -EPROTONOSUPPORT);
	cr_expect_null(other);
}

Test(history, a_full_disk_changes_nothing)
{
	FILE *file;

	cr_assert_eq(import("5\n6\n"), 0);
	file = fopen(csv, "w");
	for (int i = 0; i < 20000; i++)
		fprintf(file, "m_%d,%d,1,2,3,4,5,6,7\n", i % 7, i * 10);
	fclose(file);
	cr_assert_eq(drpc_history_limit(history, 200 << 10), 0);
	cr_expect_eq(drpc_history_import(history, csv, DRPC_TRACE_AUTO, 0, "x", &report), -ENOSPC);
	cr_expect_eq(values_in(db), 2);
	cr_assert_eq(drpc_history_limit(history, 100 << 20), 0);
	cr_expect_eq(drpc_history_import(history, csv, DRPC_TRACE_AUTO, 0, "x", &report), 0);
	cr_expect_eq(report.added, 7 * 20000);
}

Test(history, another_writer_is_told)
{
	sqlite3 *raw;

	cr_assert_eq(sqlite3_open(db, &raw), SQLITE_OK);
	cr_assert_eq(sqlite3_exec(raw, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	cr_expect_eq(import("5\n"), -EBUSY);
	cr_assert_eq(sqlite3_exec(raw, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(raw);
	cr_expect_eq(import("5\n"), 0);
}
