// SPDX-License-Identifier: Apache-2.0
#include "agent/execute/journal.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "agent/execute/journal_format.h"
#include "tests/unit/agent/execute/fixture.h"

static struct fixture fx;
static struct drpc_journal *journal;

static void setup(void)
{
	fixture_open(&fx);
	journal = NULL;
}

static void teardown(void)
{
	drpc_journal_free(&journal);
	fixture_close(&fx);
}

TestSuite(journal, .init = setup, .fini = teardown);

static struct drpc_journal_record record_of(int i)
{
	struct drpc_journal_record r = {
		.cgroup_id = 1000U + (unsigned int)i,
		.cgroup_dev = 38,
		.boot_id = "boot",
		.what = DRPC_LIMIT_CPU | DRPC_JOURNAL_FILES,
		.original = limits_of(50000U + (unsigned int)i, 7, DRPC_UNLIMITED, 1U << 30),
		.realtime_ns = 1795510316000000000ULL,
	};

	snprintf(r.id, sizeof(r.id), "id%d", i);
	snprintf(r.name, sizeof(r.name), "name \"%d\"\t\xc3\xa9", i);
	snprintf(r.cgroup, sizeof(r.cgroup), "/docker/id%d", i);
	return r;
}

static void expect_same(const struct drpc_journal_record *a, const struct drpc_journal_record *b)
{
	cr_assert(a && b);
	cr_expect_str_eq(a->id, b->id);
	cr_expect_str_eq(a->name, b->name);
	cr_expect_str_eq(a->cgroup, b->cgroup);
	cr_expect_eq(a->cgroup_id, b->cgroup_id);
	cr_expect_eq(a->cgroup_dev, b->cgroup_dev);
	cr_expect_str_eq(a->boot_id, b->boot_id);
	cr_expect_eq(a->what, b->what);
	cr_expect(drpc_limits_equal(&a->original, &b->original));
	cr_expect_eq(memcmp(&a->engine, &b->engine, sizeof(a->engine)), 0);
	cr_expect_eq(a->realtime_ns, b->realtime_ns);
}

static void reopen(void)
{
	drpc_journal_free(&journal);
	cr_assert_eq(drpc_journal_open(fx.journal, &journal), 0);
}

static const struct drpc_journal_record *find(int i)
{
	struct drpc_journal_record r = record_of(i);

	return drpc_journal_find(journal, r.id, r.cgroup);
}

static int add(int i)
{
	struct drpc_journal_record r = record_of(i);

	return drpc_journal_add(journal, &r, 1);
}

static int close_record(int i)
{
	struct drpc_journal_record r = record_of(i);

	return drpc_journal_close_record(journal, r.id, r.cgroup, "restored");
}

static void put_file(const char *path, const char *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, data, len), (ssize_t)len);
	close(fd);
}

Test(journal, remembers)
{
	struct drpc_journal_record r[3] = {record_of(0), record_of(1), record_of(2)};

	r[1].what |= DRPC_LIMIT_MEMORY | DRPC_JOURNAL_ENGINE;
	r[1].engine = (struct drpc_runtime_limits){
		.nano_cpus = 500000000, .memory_bytes = 1 << 26, .memory_swap_bytes = -1};
	reopen();
	cr_expect_eq(drpc_journal_add(journal, r, 3), 0);
	reopen();
	cr_expect_eq(drpc_journal_count(journal), 3);
	for (int i = 0; i < 3; i++)
		expect_same(find(i), &r[i]);
	cr_expect_eq(close_record(1), 0);
	cr_expect_eq(close_record(1), -ENOENT);
	reopen();
	cr_expect_eq(drpc_journal_count(journal), 2);
	cr_expect_null(find(1));
	cr_expect_eq(close_record(0), 0);
	cr_expect_eq(close_record(2), 0);
	reopen();
	cr_expect_eq(drpc_journal_count(journal), 0);
}

Test(journal, the_older_original_stands)
{
	struct drpc_journal_record r = record_of(0), later = record_of(0);

	reopen();
	cr_assert_eq(drpc_journal_add(journal, &r, 1), 0);
	later.what |= DRPC_LIMIT_MEMORY | DRPC_JOURNAL_ENGINE;
	later.original = limits_of(9999, 0, 5U << 20, 6U << 20);
	later.engine.memory_bytes = 123;
	cr_assert_eq(drpc_journal_add(journal, &later, 1), 0);
	reopen();
	cr_assert_eq(drpc_journal_count(journal), 1);
	cr_expect_eq(find(0)->original.cpu_quota_usec, 50000, "the CPU limit is ours by now");
	cr_expect_eq(find(0)->original.mem_max_bytes, 6U << 20, "memory is new");
	cr_expect_eq(find(0)->engine.memory_bytes, 123);
	cr_expect_eq(find(0)->what, later.what);

	/* A restart of the container: what the engine was told is in its new limits already. */
	later.cgroup_id++;
	later.original = limits_of(8888, 0, 1, 1);
	later.engine.memory_bytes = 456;
	cr_assert_eq(drpc_journal_add(journal, &later, 1), 0);
	cr_expect_eq(find(0)->original.cpu_quota_usec, 50000);
	cr_expect_eq(find(0)->engine.memory_bytes, 123);
	cr_expect_eq(find(0)->cgroup_id, later.cgroup_id);
}

Test(journal, files_of_a_cgroup_went_with_it)
{
	struct drpc_journal_record r = record_of(0), later = record_of(0);

	reopen();
	cr_assert_eq(drpc_journal_add(journal, &r, 1), 0);
	later.cgroup_id++;
	later.original.cpu_quota_usec = 70000;
	cr_assert_eq(drpc_journal_add(journal, &later, 1), 0);
	cr_expect_eq(find(0)->original.cpu_quota_usec, 70000, "of the new cgroup");
	drpc_strcpy(later.boot_id, sizeof(later.boot_id), "other");
	later.original.cpu_quota_usec = 80000;
	cr_assert_eq(drpc_journal_add(journal, &later, 1), 0);
	cr_expect_eq(find(0)->original.cpu_quota_usec, 80000, "of the new boot");
}

Test(journal, twice_in_one_batch)
{
	struct drpc_journal_record r[2] = {record_of(0), record_of(0)};

	r[1].original.cpu_quota_usec = 1234;
	reopen();
	cr_assert_eq(drpc_journal_add(journal, r, 2), 0);
	reopen();
	cr_assert_eq(drpc_journal_count(journal), 1);
	cr_expect_eq(find(0)->original.cpu_quota_usec, 50000);
}

/* Cut off at every byte: all whole lines count, nothing crashes, and it can be written to. */
Test(journal, cut_anywhere_keeps_what_came_before)
{
	_cleanup_free_ char *text = NULL;
	size_t ends[6], header = strlen(DRPC_JOURNAL_HEADER);
	ssize_t len;

	reopen();
	for (int i = 0; i < 6; i++) {
		struct stat st;

		cr_assert_eq(add(i), 0);
		cr_assert_eq(stat(fx.journal, &st), 0);
		ends[i] = (size_t)st.st_size;
	}
	len = drpc_read_file_at(AT_FDCWD, fx.journal, 1 << 20, &text);
	cr_assert_eq((size_t)len, ends[5]);
	drpc_journal_free(&journal);
	for (size_t cut = 0; cut <= (size_t)len; cut++) {
		size_t expected = 0;

		put_file(fx.journal, text, cut);
		cr_assert_eq(drpc_journal_open(fx.journal, &journal), 0, "cut at %zu", cut);
		/* A line that lacks its newline alone is whole. */
		while (expected < 6 && cut >= ends[expected] - 1)
			expected++;
		cr_assert_eq(drpc_journal_count(journal), cut < header ? 0 : expected, "cut at %zu",
			     cut);
		for (size_t i = 0; i < expected; i++) {
			struct drpc_journal_record r = record_of((int)i);

			expect_same(find((int)i), &r);
		}
		cr_assert_eq(add(77), 0);
		reopen();
		cr_assert_eq(drpc_journal_count(journal), expected + 1, "cut at %zu", cut);
		drpc_journal_free(&journal);
	}
}

/* A damaged line in the middle costs itself alone, and the file is kept for whoever looks. */
Test(journal, any_flipped_byte_costs_one_line_at_most)
{
	_cleanup_free_ char *text = NULL;
	size_t header = strlen(DRPC_JOURNAL_HEADER);
	ssize_t len;

	reopen();
	for (int i = 0; i < 3; i++)
		cr_assert_eq(add(i), 0);
	drpc_journal_free(&journal);
	len = drpc_read_file_at(AT_FDCWD, fx.journal, 1 << 20, &text);
	for (size_t at = header; at < (size_t)len; at++) {
		size_t count;

		text[at] ^= 0x15;
		put_file(fx.journal, text, (size_t)len);
		text[at] ^= 0x15;
		cr_assert_eq(drpc_journal_open(fx.journal, &journal), 0, "at %zu", at);
		count = drpc_journal_count(journal);
		/* A newline that is lost joins two lines. */
		cr_assert_geq(count, text[at] == '\n' && at + 1 < (size_t)len ? 1 : 2, "at %zu",
			      at);
		drpc_journal_free(&journal);
	}
}

Test(journal, damaged_file_is_kept_aside)
{
	char path[128];
	_cleanup_free_ char *text = NULL;
	char *hit;

	reopen();
	for (int i = 0; i < 3; i++)
		cr_assert_eq(add(i), 0);
	drpc_journal_free(&journal);
	ssize_t len = drpc_read_file_at(AT_FDCWD, fx.journal, 1 << 20, &text);
	hit = strstr(text, "id1");
	*hit = 'X';
	put_file(fx.journal, text, (size_t)len);
	reopen();
	cr_expect_eq(drpc_journal_count(journal), 2);
	cr_expect_eq(drpc_journal_compact(journal), 0);
	snprintf(path, sizeof(path), "%s.damaged", fx.journal);
	cr_expect_eq(access(path, F_OK), 0);
}

Test(journal, foreign_files_are_left_alone)
{
	static const struct {
		const char *text;
		int expected;
	} cases[] = {
		{"#!/bin/sh\n", -EBADMSG},
		{"drpc-journal 3\n{}\n", -EPROTONOSUPPORT},
		{"drpc-journal 12\n", -EPROTONOSUPPORT},
		{"drpc", 0}, /* torn while it was new */
		{"", 0},
		{"drpc-journal 1\n", 0}, /* of the version before */
		{"drpc-journal 2\n", 0},
	};
	char dir[96];

	snprintf(dir, sizeof(dir), "%s/state", fx.dir);
	cr_assert_eq(mkdir(dir, 0700), 0);
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *after = NULL;

		put_file(fx.journal, cases[i].text, strlen(cases[i].text));
		cr_expect_eq(drpc_journal_open(fx.journal, &journal), cases[i].expected, "%s",
			     cases[i].text);
		drpc_journal_free(&journal);
		cr_assert_geq(drpc_read_file_at(AT_FDCWD, fx.journal, 4096, &after), 0);
		cr_expect_str_eq(after, cases[i].expected ? cases[i].text : DRPC_JOURNAL_HEADER);
	}
}

Test(journal, one_at_a_time)
{
	struct drpc_journal *second = NULL;
	int status;
	pid_t pid;

	reopen();
	cr_expect_eq(drpc_journal_open(fx.journal, &second), -EBUSY);
	cr_expect_null(second);
	pid = fork();
	if (pid == 0)
		_exit(drpc_journal_open(fx.journal, &second) == -EBUSY ? 0 : 1);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(status, 0);
}

Test(journal, full_disk)
{
	char dir[96];
	int n = 0, r, filler;
	char block[4096] = {0};
	struct stat st;

	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		cr_skip_test("mount namespaces are not permitted");
	snprintf(dir, sizeof(dir), "%s/state", fx.dir);
	cr_assert_eq(mkdir(dir, 0700), 0);
	cr_assert_eq(mount("none", dir, "tmpfs", 0, "size=64k"), 0);
	reopen();
	cr_assert_eq(add(1), 0);
	snprintf(dir, sizeof(dir), "%s/state/filler", fx.dir);
	filler = open(dir, O_WRONLY | O_CREAT, 0600);
	while (write(filler, block, sizeof(block)) > 0)
		;
	while ((r = add(100 + n)) == 0)
		cr_assert_lt(++n, 1000);
	cr_expect_eq(r, -ENOSPC);
	cr_expect_null(find(100 + n), "what is not durable is not there");
	cr_expect_eq(add(100 + n), -ENOSPC, "and still not");
	reopen();
	cr_expect_eq(drpc_journal_count(journal), (size_t)n + 1);
	cr_expect_not_null(find(1));
	/* A torn line on a full disk: nothing that was promised is out of reach. */
	drpc_journal_free(&journal);
	cr_assert_eq(stat(fx.journal, &st), 0);
	cr_assert_eq(truncate(fx.journal, st.st_size - 5), 0);
	reopen();
	cr_expect_eq(drpc_journal_count(journal), (size_t)n);
	cr_expect_not_null(find(1));
	n--;
	/* The last one can be closed on a full disk. */
	close(filler);
	unlink(dir);
	for (int i = 0; i < n; i++)
		cr_expect_eq(close_record(100 + i), 0);
	filler = open(dir, O_WRONLY | O_CREAT, 0600);
	while (write(filler, block, sizeof(block)) > 0)
		;
	cr_expect_eq(close_record(1), 0);
	unlink(dir);
	close(filler);
	cr_expect_eq(add(5), 0, "room again");
	reopen();
	cr_expect_eq(drpc_journal_count(journal), 1);
	drpc_journal_free(&journal);
	*strrchr(dir, '/') = '\0';
	umount2(dir, MNT_DETACH);
}

Test(journal, stays_small)
{
	struct stat st;

	reopen();
	cr_assert_eq(add(0), 0);
	for (int i = 0; i < 2000; i++) {
		cr_assert_eq(add(1 + i % 7), 0);
		cr_assert_eq(close_record(1 + i % 7), 0);
	}
	cr_assert_eq(stat(fx.journal, &st), 0);
	cr_expect_lt(st.st_size, 400 * 1024);
	reopen();
	cr_expect_eq(drpc_journal_count(journal), 1);
	cr_expect_not_null(find(0));
}

/* A process killed at a random instant: whatever it was told is recorded, is recorded. */
Test(journal, kill_9_loses_nothing_that_was_promised, .timeout = 120)
{
	for (int round = 0; round < 60; round++) {
		int pipe_fd[2], promised = 0, status;
		struct timespec nap = {0, (round * 37 % 50) * 100000};
		char byte;
		pid_t pid;

		unlink(fx.journal);
		cr_assert_eq(pipe(pipe_fd), 0);
		pid = fork();
		if (pid == 0) {
			if (drpc_journal_open(fx.journal, &journal) < 0)
				_exit(1);
			for (int i = 0; i < 100000; i++) {
				if (add(i) < 0 || write(pipe_fd[1], "x", 1) != 1)
					_exit(1);
				/* Compaction, too, at any instant. */
				if (i % 5 == 4 && drpc_journal_compact(journal) < 0)
					_exit(1);
			}
			_exit(0);
		}
		close(pipe_fd[1]);
		cr_assert_eq(read(pipe_fd[0], &byte, 1), 1);
		promised = 1;
		nanosleep(&nap, NULL);
		kill(pid, SIGKILL);
		cr_assert_eq(waitpid(pid, &status, 0), pid);
		cr_assert(WIFSIGNALED(status));
		while (read(pipe_fd[0], &byte, 1) == 1)
			promised++;
		close(pipe_fd[0]);
		reopen();
		cr_assert_geq(drpc_journal_count(journal), (size_t)promised);
		for (int i = 0; i < promised; i++) {
			struct drpc_journal_record r = record_of(i);

			expect_same(find(i), &r);
		}
		drpc_journal_free(&journal);
	}
}

Test(journal, lines_are_strict)
{
	struct drpc_journal_record r = record_of(0);
	struct drpc_journal_line parsed;
	char line[DRPC_JOURNAL_LINE_MAX];
	int n = drpc_journal_format_open(&r, line);

	cr_assert_gt(n, 0);
	cr_expect_eq(drpc_journal_parse_line(line, (size_t)n - 1, &parsed), 0);
	expect_same(&parsed.record, &r);
	for (int len = 0; len < n - 1; len++)
		cr_expect_eq(drpc_journal_parse_line(line, (size_t)len, &parsed), -EBADMSG);
	/* The longest names there can be, all of them to be escaped. */
	memset(r.id, '\x01', sizeof(r.id) - 1);
	memset(r.name, '"', sizeof(r.name) - 1);
	memset(r.cgroup, '\x1f', sizeof(r.cgroup) - 1);
	r.what = DRPC_LIMIT_CPU | DRPC_LIMIT_MEMORY | DRPC_JOURNAL_FILES | DRPC_JOURNAL_ENGINE;
	r.original = limits_of(UINT64_MAX - 1, UINT64_MAX - 1, UINT64_MAX - 1, UINT64_MAX - 1);
	r.engine.nano_cpus = INT64_MIN;
	n = drpc_journal_format_open(&r, line);
	cr_assert_gt(n, 0);
	cr_expect_eq(drpc_journal_parse_line(line, (size_t)n - 1, &parsed), 0);
	expect_same(&parsed.record, &r);
}

/* --- replicas --------------------------------------------------------------------------------- */

static struct drpc_journal_scale scale_of(const char *deployment, size_t stopped)
{
	struct drpc_journal_scale s = {.stopped_count = stopped, .realtime_ns = 7};

	drpc_strcpy(s.deployment, sizeof(s.deployment), deployment);
	for (size_t i = 0; i < stopped; i++) {
		snprintf(s.stopped[i].id, sizeof(s.stopped[i].id), "%064zu", i);
		snprintf(s.stopped[i].name, sizeof(s.stopped[i].name), "shop-front-%zu", i);
	}
	return s;
}

Test(journal, replicas)
{
	struct drpc_journal_scale two = scale_of("shop/front", 2), none = scale_of("ads \"\\", 0);
	struct drpc_journal_scale most = scale_of("shop/front", DRPC_JOURNAL_STOPPED_MAX);
	const struct drpc_journal_scale *found;
	struct drpc_journal_record limits = record_of(1);

	cr_assert_eq(drpc_journal_open(fx.journal, &journal), 0);
	cr_assert_eq(drpc_journal_scale_put(journal, &two), 0);
	cr_assert_eq(drpc_journal_scale_put(journal, &none), 0);
	cr_assert_eq(drpc_journal_add(journal, &limits, 1), 0);
	reopen();
	cr_assert_eq(drpc_journal_scale_count(journal), 2);
	cr_expect_eq(drpc_journal_count(journal), 1);
	found = drpc_journal_scale_find(journal, "shop/front");
	cr_assert_not_null(found);
	cr_expect_eq(memcmp(found, &two, sizeof(two)), 0);
	cr_expect_not_null(drpc_journal_scale_find(journal, "ads \"\\"));

	cr_assert_eq(drpc_journal_scale_put(journal, &most), 0, "in place of the older one");
	cr_expect_eq(drpc_journal_scale_count(journal), 2);
	cr_assert_eq(drpc_journal_compact(journal), 0);
	reopen();
	found = drpc_journal_scale_find(journal, "shop/front");
	cr_assert_not_null(found);
	cr_expect_eq(memcmp(found, &most, sizeof(most)), 0);

	cr_expect_eq(drpc_journal_scale_close(journal, "shop/front", "restored"), 0);
	cr_expect_eq(drpc_journal_scale_close(journal, "shop/front", "restored"), -ENOENT);
	cr_expect_eq(drpc_journal_close_record(journal, limits.id, limits.cgroup, "gone"), 0);
	reopen();
	cr_expect_eq(drpc_journal_scale_count(journal), 1, "limits that go leave replicas alone");
	cr_expect_eq(drpc_journal_scale_close(journal, "ads \"\\", "restored"), 0);
	reopen();
	cr_expect_eq(drpc_journal_count(journal) + drpc_journal_scale_count(journal), 0);
}

Test(journal, of_the_version_before)
{
	_cleanup_free_ char *text = NULL;
	struct drpc_journal_record limits = record_of(1);
	struct drpc_journal_scale scale = scale_of("shop/front", 1);
	ssize_t len;

	cr_assert_eq(drpc_journal_open(fx.journal, &journal), 0);
	cr_assert_eq(drpc_journal_add(journal, &limits, 1), 0);
	drpc_journal_free(&journal);
	len = drpc_read_file_at(AT_FDCWD, fx.journal, 1 << 20, &text);
	cr_assert_gt(len, 0);
	memcpy(text, DRPC_JOURNAL_HEADER_1, strlen(DRPC_JOURNAL_HEADER_1));
	put_file(fx.journal, text, (size_t)len);
	reopen();
	cr_expect_eq(drpc_journal_count(journal), 1, "its records hold");
	cr_assert_eq(drpc_journal_scale_put(journal, &scale), 0);
	free(drpc_steal(&text));
	cr_assert_gt(drpc_read_file_at(AT_FDCWD, fx.journal, 1 << 20, &text), 0);
	cr_expect_eq(strncmp(text, DRPC_JOURNAL_HEADER, strlen(DRPC_JOURNAL_HEADER)), 0,
		     "a version that knows no replicas must not read this");
	reopen();
	cr_expect_eq(drpc_journal_count(journal), 1);
	cr_expect_eq(drpc_journal_scale_count(journal), 1);
}
