// SPDX-License-Identifier: Apache-2.0
#include "fit/recording.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"

static char folder[32], path[64];
static const struct drpc_recording_node node = {2, 4ULL << 30, 4000000};

static void setup(void)
{
	cr_redirect_stderr();
	strcpy(folder, "/tmp/drpc-test-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/r.db", folder);
}

static void teardown(void)
{
	unlink(path);
	rmdir(folder);
}

TestSuite(recording, .init = setup, .fini = teardown);

#define TEXT(s) ((char[]){s})

static const struct drpc_recording_container containers[] = {
	{TEXT("aaaa"), TEXT("web-1"), TEXT("web"), 2e8},
	{TEXT("bbbb"), TEXT("db-1"), TEXT("db"), 0},
};

/* Interval number i, with a request of each. */
static int add(struct drpc_recording *recording, int i)
{
	struct drpc_recording_sample samples[2] = {
		{.container = 0,
		 .time_ms = 1000 + i * 1000,
		 .span_s = 1,
		 .requests = 5,
		 .cpu_usec = 7,
		 .periods = 10,
		 .throttled = 3,
		 .cpu_limit_cores = 0.25,
		 .total_ns = 50},
		{.container = 1, .time_ms = 1000 + i * 1000, .span_s = 1, .memory_bytes = 99},
	};
	const struct drpc_recording_edge edge = {.caller = 0,
						 .callee = 1,
						 .time_ms = 1000 + i * 1000,
						 .address = "10.0.0.1:80",
						 .count = 5,
						 .sum_ns = 40};
	const struct drpc_recording_interval interval = {containers, 2, samples, 2, &edge, 1};

	samples[0].hist[88] = 3;
	samples[0].hist[91] = 2;
	return drpc_recording_add(recording, &interval);
}

static void make(int intervals)
{
	struct drpc_recording *recording = NULL;

	cr_assert_eq(drpc_recording_open(path, &node, &recording), 0);
	for (int i = 0; i < intervals; i++)
		cr_assert_eq(add(recording, i), 0);
	drpc_recording_free(&recording);
	cr_assert_null(recording);
	drpc_recording_free(&recording);
}

static void sql(const char *text)
{
	sqlite3 *db;

	cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
	cr_assert_eq(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK, "%s", sqlite3_errmsg(db));
	sqlite3_close(db);
}

Test(recording, what_was_added_is_read)
{
	struct drpc_recorded r;

	make(3);
	cr_assert_eq(drpc_recorded_load(path, &r), 0);
	cr_expect_eq(r.node.cpu_cores, 2);
	cr_expect_eq(r.node.tick_ns, 4000000);
	cr_assert_eq(r.n_containers, 2);
	cr_expect_str_eq(r.containers[0].deployment, "web");
	cr_expect_eq(r.containers[0].slo_ns, 2e8);
	cr_assert_eq(r.n_samples, 6);
	cr_expect_eq(r.samples[2].time_ms, 2000);
	cr_expect_eq(r.samples[2].container, 0);
	cr_expect_eq(r.samples[2].throttled, 3);
	cr_expect_eq(r.samples[2].cpu_limit_cores, 0.25);
	cr_expect_eq(r.samples[2].hist[88], 3);
	cr_expect_eq(r.samples[2].hist[91], 2);
	cr_expect_eq(r.samples[3].memory_bytes, 99);
	cr_assert_eq(r.n_edges, 3);
	cr_expect_eq(r.edges[1].callee, 1);
	cr_expect_eq(r.edges[1].count, 5);
	cr_expect_str_eq(r.edges[1].address, "10.0.0.1:80");
	drpc_recorded_release(&r);
	cr_expect_eq(r.n_samples, 0);
}

Test(recording, a_file_is_added_to)
{
	struct drpc_recording *recording = NULL;
	struct drpc_recorded r;

	make(2);
	cr_assert_eq(drpc_recording_open(path, &node, &recording), 0);
	cr_expect_eq(add(recording, 7), 0);
	drpc_recording_free(&recording);
	cr_assert_eq(drpc_recorded_load(path, &r), 0);
	cr_expect_eq(r.n_samples, 6);
	cr_expect_eq(r.n_containers, 2, "known again by id");
	drpc_recorded_release(&r);
}

Test(recording, another_nodes_file_is_refused)
{
	const struct drpc_recording_node other = {8, 4ULL << 30, 4000000};
	struct drpc_recording *recording = NULL;

	make(1);
	cr_expect_eq(drpc_recording_open(path, &other, &recording), -EEXIST);
	cr_expect_null(recording);
}

Test(recording, other_files_are_refused)
{
	struct drpc_recording *recording = NULL;
	struct drpc_recorded r;
	FILE *f;

	cr_expect_eq(drpc_recorded_load(path, &r), -ENOENT, "nothing is made by reading");
	f = fopen(path, "w");
	fputs("no database at all, but long enough to be looked at", f);
	fclose(f);
	cr_expect_eq(drpc_recording_open(path, &node, &recording), -EPROTONOSUPPORT);
	cr_expect_eq(drpc_recorded_load(path, &r), -EPROTONOSUPPORT);
	unlink(path);
	sql("CREATE TABLE somebody (x)");
	cr_expect_eq(drpc_recording_open(path, &node, &recording), -EPROTONOSUPPORT);
	unlink(path);
	make(1);
	sql("PRAGMA user_version = 2");
	cr_expect_eq(drpc_recording_open(path, &node, &recording), -EPROTONOSUPPORT);
	cr_expect_eq(drpc_recorded_load(path, &r), -EPROTONOSUPPORT);
}

Test(recording, nothing_recorded)
{
	struct drpc_recorded r;

	make(0);
	cr_expect_eq(drpc_recorded_load(path, &r), -ENODATA);
}

Test(recording, a_full_disk_keeps_what_was_there)
{
	struct drpc_recording *recording = NULL;
	struct drpc_recorded r;
	int i, err = 0;

	cr_assert_eq(drpc_recording_open(path, &node, &recording), 0);
	cr_assert_eq(drpc_recording_limit(recording, 64 << 10), 0);
	for (i = 0; i < 10000 && !err; i++)
		err = add(recording, i);
	cr_expect_eq(err, -ENOSPC);
	drpc_recording_free(&recording);
	cr_assert_eq(drpc_recorded_load(path, &r), 0);
	cr_expect_eq(r.n_samples, 2 * (size_t)(i - 1), "all of an interval, or nothing");
	drpc_recorded_release(&r);
}

static void is_refused(const char *change)
{
	struct drpc_recorded r;

	unlink(path);
	make(2);
	sql(change);
	cr_expect_eq(drpc_recorded_load(path, &r), -EINVAL, "%s", change);
}

Test(recording, what_cannot_be_is_refused)
{
	is_refused("UPDATE sample SET cpu_usec = -1");
	is_refused("UPDATE sample SET requests = 'many'");
	is_refused("UPDATE sample SET span_s = 0");
	is_refused("UPDATE sample SET span_s = 1e9");
	is_refused("UPDATE sample SET cpu_limit_cores = -0.5");
	is_refused("UPDATE sample SET throttled = 11");
	is_refused("UPDATE sample SET container = 9 WHERE container = 1");
	is_refused("UPDATE sample SET latency = '88:3' WHERE container = 1");
	is_refused("UPDATE sample SET latency = '88:3 91' WHERE container = 1");
	is_refused("UPDATE sample SET latency = '91:2 88:3' WHERE container = 1");
	is_refused("UPDATE sample SET latency = '210:5' WHERE container = 1");
	is_refused("UPDATE sample SET latency = '88:-5' WHERE container = 1");
	is_refused("UPDATE sample SET latency = 'x' WHERE container = 1");
	is_refused("UPDATE edge SET callee = 9");
	is_refused("UPDATE edge SET sum_ns = -1");
	is_refused("UPDATE node SET cpu_cores = 0");
	is_refused("DELETE FROM node");
	is_refused("UPDATE container SET deployment = ''");
	is_refused("UPDATE container SET slo_ns = -1");
}

Test(recording, columns_that_are_not_there_are_told)
{
	struct drpc_recorded r;

	make(1);
	sql("ALTER TABLE edge DROP COLUMN sum_ns");
	cr_expect_lt(drpc_recorded_load(path, &r), 0);
	sql("DROP TABLE sample");
	cr_expect_lt(drpc_recorded_load(path, &r), 0);
}
