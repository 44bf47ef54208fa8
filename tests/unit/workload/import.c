// SPDX-License-Identifier: Apache-2.0
#include "workload/import.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/util.h"

#define ROWS_MAX 16

struct seen {
	size_t rows;
	char names[ROWS_MAX][DRPC_SERIES_NAME_BYTES];
	int64_t time_ms[ROWS_MAX];
	float first[ROWS_MAX], last[ROWS_MAX];
	size_t columns;
	char column[DRPC_SERIES_NAME_BYTES];
};

static int note(void *arg, const struct drpc_trace_row *row)
{
	struct seen *seen = arg;

	if (seen->rows < ROWS_MAX) {
		drpc_strcpy(seen->names[seen->rows], sizeof(seen->names[0]), row->name);
		seen->time_ms[seen->rows] = row->time_ms;
		seen->first[seen->rows] = row->values[0];
		seen->last[seen->rows] = row->values[row->columns - 1];
	}
	seen->columns = row->columns;
	drpc_strcpy(seen->column, sizeof(seen->column), row->names[row->columns - 1]);
	seen->rows++;
	return 0;
}

static struct seen seen;
static struct drpc_trace_report report;

static int parse(const char *text, enum drpc_trace_format format, double step_s)
{
	const struct drpc_trace_sink sink = {.on_row = note, .arg = &seen};

	seen = (struct seen){0};
	return drpc_trace_parse(text, strlen(text), "t.csv", format, step_s, &sink, &report);
}

TestSuite(import, .init = cr_redirect_stderr);

Test(import, machine_usage_as_alibaba_wrote_it)
{
	cr_assert_eq(parse("m_1932,386640,41,92,,,43.04,33.08,5\n"
			   "m_1932,386650,43,92,2.5,3,43.05,33.09,-1\r\n"
			   "m_7,0,0,1,,,,,101\n",
			   DRPC_TRACE_AUTO, 0),
		     0);
	cr_expect_eq(report.format, DRPC_TRACE_MACHINE);
	cr_expect_eq(seen.rows, 3);
	cr_expect_eq(seen.columns, 7);
	cr_expect_str_eq(seen.column, "disk_io_percent");
	cr_expect_str_eq(seen.names[2], "m_7");
	cr_expect_eq(seen.time_ms[1], 386650000);
	cr_expect_eq(seen.first[1], 43.0f);
	cr_expect_eq(seen.last[0], 5.0f);
	cr_expect(isnan(seen.last[1]) && isnan(seen.last[2]), "marks of abnormal values");
	/* 2 + 1 + (2 + 2 + 1) */
	cr_expect_eq(report.missing_values, 2 + 1 + 5);
	cr_expect_eq(report.lines, 3);
}

Test(import, container_usage_as_alibaba_wrote_it)
{
	cr_assert_eq(parse("c_1,m_2556,386640.5,7,74,1.2,0.3,0,0.07,0.06,4\n", DRPC_TRACE_AUTO, 0),
		     0);
	cr_expect_eq(report.format, DRPC_TRACE_CONTAINER);
	cr_expect_str_eq(seen.names[0], "c_1");
	cr_expect_eq(seen.time_ms[0], 386640500);
	cr_expect_eq(seen.columns, 8);
	cr_expect_eq(seen.first[0], 7.0f);
	cr_expect_eq(seen.last[0], 4.0f);
}

Test(import, tables_by_their_header)
{
	cr_assert_eq(parse("t_s,cpu_util_percent,disk\n0,1.5,2\n300, 2.5 ,\n", DRPC_TRACE_AUTO, 0),
		     0);
	cr_expect_eq(report.format, DRPC_TRACE_TABLE);
	cr_expect_eq(seen.rows, 2);
	cr_expect_eq(seen.time_ms[1], 300000);
	cr_expect_eq(seen.first[1], 2.5f);
	cr_expect(isnan(seen.last[1]));
	cr_assert_eq(parse("\xef\xbb\xbfmachine,time,cpu\nm_1,5,1e1\n", DRPC_TRACE_AUTO, 0), 0);
	cr_expect_str_eq(seen.names[0], "m_1");
	cr_expect_eq(seen.first[0], 10.0f);
	/* A first column without a name counts steps. */
	cr_assert_eq(parse(",requests\n0,300\n2,400\n", DRPC_TRACE_AUTO, 300), 0);
	cr_expect_eq(seen.time_ms[1], 600000);
}

Test(import, rates_a_second)
{
	cr_assert_eq(parse("# requests\n189\n\n188.5 # busy\n0\n", DRPC_TRACE_AUTO, 0), 0);
	cr_expect_eq(report.format, DRPC_TRACE_RATE);
	cr_expect_eq(seen.rows, 3);
	cr_expect_eq(seen.time_ms[2], 2000);
	cr_expect_eq(seen.first[1], 188.5f);
	cr_expect_str_eq(seen.column, "requests_per_s");
}

/* Every rule: what it says, and the line it names. */
Test(import, errors_name_file_line_and_rule)
{
	static const struct {
		const char *text, *says;
		enum drpc_trace_format format;
	} cases[] = {
		{"m_1,10,1,2,3,4,5,6,7\nm_1,20,-1,2,3,4,5,6,7\n",
		 "t.csv:2: cpu_util_percent '-1': expected no negative value", DRPC_TRACE_AUTO},
		{"m_1,10,x,2,3,4,5,6,7\n", "t.csv:1: cpu_util_percent 'x': expected a number",
		 DRPC_TRACE_MACHINE},
		{"m_1,10,nan,2,3,4,5,6,7\n", "t.csv:1: cpu_util_percent 'nan': expected a number",
		 DRPC_TRACE_MACHINE},
		{"m_1,10,0x1,2,3,4,5,6,7\n", "expected a number", DRPC_TRACE_MACHINE},
		{"m_1,10,1e999,2,3,4,5,6,7\n", "expected a number", DRPC_TRACE_MACHINE},
		{"m_1,10,1,2,3,4,5,6,1e16\n", "expected at most 1e15", DRPC_TRACE_MACHINE},
		{"m_1,10,1,2,3,4,5,6\n",
		 "t.csv:1: number of columns '8': expected 9 of them (machine)",
		 DRPC_TRACE_MACHINE},
		{"m_1,10,1,2,3,4,5,6,7\n\nm_1,10,1\n", "t.csv:3: number of columns '3'",
		 DRPC_TRACE_AUTO},
		{"m_1,-5,1,2,3,4,5,6,7\n", "t.csv:1: time '-5'", DRPC_TRACE_MACHINE},
		{"m_1,soon,1,2,3,4,5,6,7\n", "t.csv:1: time 'soon'", DRPC_TRACE_MACHINE},
		{",10,1,2,3,4,5,6,7\n", "t.csv:1: name ''", DRPC_TRACE_MACHINE},
		{"m 1,10,1,2,3,4,5,6,7\n", "t.csv:1: name 'm 1'", DRPC_TRACE_MACHINE},
		{"c_1,m_1,10,1,2,3\n", "expected 11 of them (container)", DRPC_TRACE_CONTAINER},
		{"1,2,3\n", "t.csv:1: line '1,2,3': expected a header, 9 columns", DRPC_TRACE_AUTO},
		{"cpu,mem\n1,2\n", "t.csv:1: header 'cpu,mem': expected a time column",
		 DRPC_TRACE_AUTO},
		{"t_s\n1\n", "expected a time column", DRPC_TRACE_TABLE},
		{"t_s,cpu,cpu\n1,2,3\n", "t.csv:1: column 'cpu': expected a name", DRPC_TRACE_AUTO},
		{"t_s,,cpu\n1,2,3\n", "t.csv:1: column ''", DRPC_TRACE_TABLE},
		{"t_s,a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q\n", "at most 16 columns", DRPC_TRACE_TABLE},
		{",requests\n0,1\n", "expected a step in seconds", DRPC_TRACE_AUTO},
		{"t_s,cpu\n0,\"1\"\n", "t.csv:2: cpu '\"1\"': expected a number", DRPC_TRACE_AUTO},
		{"5\n-6\n", "t.csv:2: requests_per_s '-6': expected no negative", DRPC_TRACE_AUTO},
		{"5\n6,7\n", "t.csv:2: number of columns '2'", DRPC_TRACE_AUTO},
	};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(cases); i++) {
		int err = parse(cases[i].text, cases[i].format, 0);

		cr_expect_eq(err, -EINVAL, "%s: %d", cases[i].text, err);
	}
	fflush(stderr);
	FILE *said = cr_get_redirected_stderr();
	char line[512];

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(cases); i++) {
		cr_assert_not_null(fgets(line, sizeof(line), said));
		cr_expect_not_null(strstr(line, cases[i].says), "'%s' lacks '%s'", line,
				   cases[i].says);
	}
}

Test(import, nothing_in_it)
{
	cr_expect_eq(parse("", DRPC_TRACE_AUTO, 0), -ENODATA);
	cr_expect_eq(parse("\n# nothing\n", DRPC_TRACE_AUTO, 0), -ENODATA);
	cr_expect_eq(parse("t_s,cpu\n", DRPC_TRACE_AUTO, 0), -ENODATA);
	cr_expect_eq(drpc_trace_read("/nowhere/at/all", DRPC_TRACE_AUTO, 0,
				     &(struct drpc_trace_sink){.on_row = note, .arg = &seen},
				     &report),
		     -ENOENT);
}

Test(import, nul_bytes_and_endless_lines_are_refused)
{
	const struct drpc_trace_sink sink = {.on_row = note, .arg = &seen};
	char *endless = malloc(100000);

	cr_expect_eq(
		drpc_trace_parse("5\n6\0007\n", 7, "t.csv", DRPC_TRACE_AUTO, 0, &sink, &report),
		-EINVAL);
	memset(endless, '7', 100000);
	cr_expect_eq(drpc_trace_parse(endless, 100000, "t.csv", DRPC_TRACE_AUTO, 0, &sink, &report),
		     -EINVAL);
	free(endless);
}

static int stop(void *arg, const struct drpc_trace_row *row)
{
	(void)arg;
	return row->line == 2 ? -ECANCELED : 0;
}

Test(import, the_sink_can_end_it)
{
	const struct drpc_trace_sink sink = {.on_row = stop};

	report.rows = 77;
	cr_expect_eq(drpc_trace_parse("5\n6\n7\n", 6, "t.csv", DRPC_TRACE_AUTO, 0, &sink, &report),
		     -ECANCELED);
	cr_expect_eq(report.rows, 77, "untouched on failure");
}

static int count(void *arg, const struct drpc_trace_row *row)
{
	(void)row;
	++*(uint64_t *)arg;
	return 0;
}

static long peak_kib(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_maxrss;
}

/* 64 MB pass through without the process growing by more than 4. */
Test(import, streams_in_bounded_memory)
{
	char path[] = "/tmp/drpc-trace-XXXXXX";
	const int fd = mkstemp(path);
	FILE *file = fdopen(fd, "w");
	uint64_t rows = 0;
	const struct drpc_trace_sink sink = {.on_row = count, .arg = &rows};
	const uint64_t want = 1500000;
	long before;

	for (uint64_t i = 0; i < want; i++)
		fprintf(file, "m_%lu,%lu,41,92,1.25,2.5,43.04,33.08,5\n", (unsigned long)i % 4000,
			(unsigned long)i / 4000 * 10);
	fclose(file);
	before = peak_kib();
	cr_assert_eq(drpc_trace_read(path, DRPC_TRACE_AUTO, 0, &sink, &report), 0);
	unlink(path);
	cr_expect_eq(rows, want);
	cr_expect_gt(report.bytes, 56 * DRPC_MIB);
	cr_expect_lt(peak_kib() - before, 4096);
}

Test(import, one_machine_of_several)
{
	char path[] = "/tmp/drpc-trace-XXXXXX";
	const int fd = mkstemp(path);
	static const char text[] = "machine,t_s,cpu\na,0,1\nb,0,5\na,20,3\na,10,2\na,10,9\n";
	struct drpc_series series = {0};

	cr_assert_eq(write(fd, text, sizeof(text) - 1), (ssize_t)sizeof(text) - 1);
	close(fd);
	cr_expect_eq(drpc_trace_load(path, DRPC_TRACE_AUTO, 0, NULL, &series, NULL), -EINVAL);
	cr_expect_eq(drpc_trace_load(path, DRPC_TRACE_AUTO, 0, "c", &series, NULL), -ENOENT);
	cr_assert_eq(drpc_trace_load(path, DRPC_TRACE_AUTO, 0, "a", &series, &report), 0);
	cr_expect_eq(report.rows, 5);
	/* In order of time, the first of two. */
	cr_assert_eq(series.count, 3);
	for (size_t i = 0; i < 3; i++) {
		cr_expect_eq(series.time_ms[i], (int64_t)i * 10000);
		cr_expect_eq(drpc_series_at(&series, i, 0), (float)i + 1);
	}
	drpc_series_done(&series);
	unlink(path);
}
