// SPDX-License-Identifier: Apache-2.0
#include "agent/execute/cgroupfs.h"

#include <errno.h>
#include <sched.h>
#include <sys/fanotify.h>
#include <sys/mount.h>

#include "agent/execute/cgroupfs_parse.h"
#include "tests/unit/agent/execute/fixture.h"

#define BOTH (DRPC_LIMIT_CPU | DRPC_LIMIT_MEMORY)
#define MIB  DRPC_MIB
#define NONE DRPC_UNLIMITED

static struct fixture fx;
static struct drpc_cgroupfs cg;
static char why[192];

static void setup(void)
{
	fixture_open(&fx);
	fixture_cgroup(&fx, "/web");
	cg = DRPC_CGROUPFS_CLOSED;
}

static void teardown(void)
{
	drpc_cgroupfs_close(&cg);
	fixture_close(&fx);
}

TestSuite(cgroupfs, .init = setup, .fini = teardown);

static void open_web(void)
{
	cr_assert_eq(drpc_cgroupfs_open(fx.fd, "/web", 0, &cg, why, sizeof(why)), 0, "%s", why);
}

static int apply(uint64_t quota, uint64_t burst, uint64_t high, uint64_t max)
{
	struct drpc_cgroupfs_change change = {
		.what = BOTH,
		.target = limits_of(quota, burst, high, max),
		.memory_margin_bytes = 4 * MIB,
	};

	return drpc_cgroupfs_apply(&cg, &change, NULL, why, sizeof(why));
}

static void expect(const char *cpu, const char *burst, const char *high, const char *max)
{
	cr_expect_str_eq(fixture_get(&fx, "/web", "cpu.max"), cpu);
	cr_expect_str_eq(fixture_get(&fx, "/web", "cpu.max.burst"), burst);
	cr_expect_str_eq(fixture_get(&fx, "/web", "memory.high"), high);
	cr_expect_str_eq(fixture_get(&fx, "/web", "memory.max"), max);
}

Test(cgroupfs, parse)
{
	uint64_t a, b;

	cr_expect_eq(drpc_cgroupfs_parse_value("max\n", &a), 0);
	cr_expect_eq(a, NONE);
	cr_expect_eq(drpc_cgroupfs_parse_value("18446744073709551614", &a), 0);
	cr_expect_eq(a, UINT64_MAX - 1);
	cr_expect_eq(drpc_cgroupfs_parse_cpu_max("50000 100000\n7\n", &a, &b), 0);
	cr_expect(a == 50000 && b == 100000);
	a = b = 1;
	static const char *const bad[] = {"",
					  "\n",
					  " 1",
					  "-1",
					  "1 2",
					  "maximal",
					  "0x10",
					  "1k",
					  "18446744073709551615",
					  "18446744073709551616",
					  "99999999999999999999999"};
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(bad); i++)
		cr_expect_eq(drpc_cgroupfs_parse_value(bad[i], &a), -EBADMSG, "%s", bad[i]);
	static const char *const bad_max[] = {"50000",	   "max",   "max ",	    "50000  1",
					      "50000 max", "1 2 3", "50000\t100000"};
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(bad_max); i++)
		cr_expect_eq(drpc_cgroupfs_parse_cpu_max(bad_max[i], &a, &b), -EBADMSG, "%s",
			     bad_max[i]);
	cr_expect(a == 1 && b == 1, "outputs are untouched on failure");
}

Test(cgroupfs, writes_what_differs_and_reads_it_back)
{
	struct drpc_limits now = {0};

	open_web();
	cr_expect_eq(cg.writable, BOTH);
	cr_expect_eq(apply(50000, 10000, 48 * MIB, 64 * MIB), 4, "%s", why);
	expect("50000 100000", "10000", "50331648", "67108864");
	cr_expect_eq(apply(50000, 10000, 48 * MIB, 64 * MIB), 0, "nothing to do");
	cr_expect_eq(apply(60000, 10000, 48 * MIB, 64 * MIB), 1);
	cr_expect_eq(drpc_cgroupfs_read(&cg, BOTH, &now, why, sizeof(why)), 0);
	cr_expect_eq(now.cpu_quota_usec, 60000);
	cr_expect_eq(now.mem_high_bytes, 48 * MIB);
	cr_expect_eq(apply(NONE, 0, NONE, NONE), 4, "%s", why);
	expect("max 100000", "0", "max", "max");
}

Test(cgroupfs, memory_in_whole_pages)
{
	open_web();
	cr_expect_eq(apply(NONE, 0, 48 * MIB + 5, 64 * MIB + 4095), 2, "%s", why);
	expect("max 100000", "0", "50331648", "67108864");
	cr_expect_eq(apply(NONE, 0, INT64_MAX, INT64_MAX), 2, "the kernel shows this as max: %s",
		     why);
	expect("max 100000", "0", "max", "max");
}

Test(cgroupfs, wrong_limits_are_refused_untouched)
{
	open_web();
	cr_expect_eq(apply(999, 0, NONE, NONE), -EINVAL);
	cr_expect_eq(apply(50000, 50001, NONE, NONE), -EINVAL);
	cr_expect_eq(apply(50000, 0, 0, NONE), -EINVAL);
	cr_expect_eq(apply(50000, 0, NONE, 4095), -EINVAL, "less than a page is none");
	expect("max 100000", "0", "max", "max");
}

Test(cgroupfs, memory_max_keeps_clear_of_the_use)
{
	struct drpc_cgroupfs_change change = {
		.what = DRPC_LIMIT_MEMORY,
		.target = limits_of(NONE, 0, NONE, 8 * MIB),
		.memory_margin_bytes = 4 * MIB,
		.force = true,
	};

	open_web();
	cr_expect_eq(apply(50000, 0, 12 * MIB, 13 * MIB), -EBUSY);
	cr_expect_not_null(strstr(why, "10 MiB in use and 4 MiB margin"), "%s", why);
	expect("max 100000", "0", "max", "max");
	cr_expect_eq(apply(NONE, 0, 12 * MIB, 14 * MIB), 2, "%s", why);
	cr_expect_eq(drpc_cgroupfs_apply(&cg, &change, NULL, why, sizeof(why)), 2,
		     "an original limit goes back all the same: %s", why);
	fixture_put(&fx, "/web", "memory.current", "nonsense\n");
	cr_expect_eq(apply(NONE, 0, NONE, 6 * MIB), -EBADMSG);
	cr_expect_eq(apply(NONE, 0, NONE, 64 * MIB), 1, "growing needs no look at the use: %s",
		     why);
}

Test(cgroupfs, no_burst_file)
{
	open_web();
	drpc_cgroupfs_close(&cg);
	unlinkat(fx.fd, "web/cpu.max.burst", 0);
	open_web();
	cr_expect_eq(cg.writable, BOTH);
	cr_expect_eq(apply(50000, 10000, NONE, NONE), 1, "%s", why);
	cr_expect_str_eq(fixture_get(&fx, "/web", "cpu.max"), "50000 100000");
}

Test(cgroupfs, no_controller)
{
	struct drpc_cgroupfs_change change = {.what = DRPC_LIMIT_CPU,
					      .target = limits_of(50000, 0, NONE, NONE)};

	unlinkat(fx.fd, "web/memory.high", 0);
	unlinkat(fx.fd, "web/memory.max", 0);
	open_web();
	cr_expect_eq(cg.readable, DRPC_LIMIT_CPU);
	cr_expect_eq(cg.writable, DRPC_LIMIT_CPU);
	cr_expect_eq(cg.write_err, -EOPNOTSUPP);
	cr_expect_eq(apply(50000, 0, NONE, NONE), -EOPNOTSUPP);
	cr_expect_str_eq(fixture_get(&fx, "/web", "cpu.max"), "max 100000", "all or nothing");
	cr_expect_eq(drpc_cgroupfs_apply(&cg, &change, NULL, why, sizeof(why)), 1, "%s", why);
}

Test(cgroupfs, gone_and_replaced)
{
	struct stat st;

	cr_assert_eq(fstatat(fx.fd, "web", &st, 0), 0);
	cr_expect_eq(drpc_cgroupfs_open(fx.fd, "/nobody", 0, &cg, why, sizeof(why)), -ENODEV);
	cr_expect_eq(drpc_cgroupfs_open(fx.fd, "/web", st.st_ino + 1, &cg, why, sizeof(why)),
		     -ENODEV);
	cr_expect_not_null(strstr(why, "another has its name"), "%s", why);
	cr_expect_eq(drpc_cgroupfs_open(fx.fd, "/web", st.st_ino, &cg, why, sizeof(why)), 0);
}

Test(cgroupfs, nonsense_in_the_files)
{
	open_web();
	fixture_put(&fx, "/web", "cpu.max", "a lot\x1b[2J\n");
	cr_expect_eq(apply(50000, 0, NONE, NONE), -EBADMSG);
	cr_expect_null(strchr(why, '\x1b'), "shown without its control characters");
	fixture_put(&fx, "/web", "cpu.max", "");
	cr_expect_eq(apply(50000, 0, NONE, NONE), -EBADMSG);
	cr_expect_str_eq(fixture_get(&fx, "/web", "cpu.max"), "");
}

Test(cgroupfs, read_only_file_system)
{
	char path[96];

	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		cr_skip_test("mount namespaces are not permitted");
	snprintf(path, sizeof(path), "%s/cgroup", fx.dir);
	cr_assert_eq(mount(path, path, NULL, MS_BIND, NULL), 0);
	cr_assert_eq(mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);
	int fd = open(path, O_RDONLY | O_DIRECTORY);
	cr_assert_eq(drpc_cgroupfs_open(fd, "/web", 0, &cg, why, sizeof(why)), 0);
	close(fd);
	cr_expect_eq(cg.readable, BOTH);
	cr_expect_eq(cg.writable, 0);
	cr_expect_eq(apply(50000, 0, NONE, NONE), -EROFS);
	cr_expect_not_null(strstr(why, "read-only"), "%s", why);
	umount2(path, MNT_DETACH);
}

Test(cgroupfs, not_permitted)
{
	if (geteuid() == 0 && seteuid(65534) < 0)
		cr_skip_test("cannot become another user");
	cr_assert_eq(drpc_cgroupfs_open(fx.fd, "/web", 0, &cg, why, sizeof(why)), 0, "%s", why);
	cr_expect_eq(apply(50000, 0, NONE, NONE), -EACCES);
	cr_expect_eq(seteuid(getuid()), 0);
}

/* Makes the writes of one file fail while the others work. */
static void break_file(const char *file)
{
	char path[64];

	snprintf(path, sizeof(path), "web/%s", file);
	for (int f = 0; f < DRPC_CGROUPFS_FILES; f++) {
		static const char *const names[] = {"cpu.max", "cpu.max.burst", "memory.high",
						    "memory.max"};
		int read_only;

		if (strcmp(names[f], file) != 0)
			continue;
		read_only = openat(fx.fd, path, O_RDONLY);
		cr_assert_geq(read_only, 0);
		cr_assert_eq(dup3(read_only, cg.fd[f], O_CLOEXEC), cg.fd[f]);
		close(read_only);
	}
}

Test(cgroupfs, a_failure_in_the_middle_is_taken_back)
{
	static const char *const files[] = {"cpu.max", "cpu.max.burst", "memory.high",
					    "memory.max"};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(files); i++) {
		open_web();
		cr_assert_geq(apply(50000, 10000, 48 * MIB, 64 * MIB), 0, "%s", why);
		break_file(files[i]);
		/* Up with everything, then down with everything. */
		cr_expect_eq(apply(90000, 20000, 80 * MIB, 96 * MIB), -EBADF, "%s", files[i]);
		expect("50000 100000", "10000", "50331648", "67108864");
		cr_expect_eq(apply(20000, 5000, 20 * MIB, 30 * MIB), -EBADF, "%s", files[i]);
		expect("50000 100000", "10000", "50331648", "67108864");
		cr_expect_not_null(strstr(why, files[i]), "%s", why);
		drpc_cgroupfs_close(&cg);
	}
}

/* A write that is taken and has no effect: the file says afterwards what it said before. */
Test(cgroupfs, what_is_not_read_back_is_a_failure)
{
	open_web();
	cr_assert_eq(apply(50000, 10000, 48 * MIB, 64 * MIB), 4, "%s", why);
	cr_assert_eq(fcntl(cg.fd[DRPC_CGROUPFS_MEM_MAX], F_SETFL, O_APPEND), 0);
	cr_expect_eq(apply(60000, 10000, 48 * MIB, 80 * MIB), -EIO);
	cr_expect_not_null(strstr(why, "wrote \"83886080\", read back \"67108864\""), "%s", why);
	expect("50000 100000", "10000", "50331648", "67108864");
}

/* --- the order of writes ---------------------------------------------------------------------- */

/* Stands between apply and the files: each write as it comes, by fanotify on the folder. */
static int watch_begin(void)
{
	static const char *const files[] = {"cpu.max", "cpu.max.burst", "memory.high",
					    "memory.max"};
	int fan = fanotify_init(FAN_CLASS_CONTENT, O_RDONLY);
	char path[128];

	if (fan < 0)
		cr_skip_test("fanotify is not permitted");
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/cgroup/web/%s", fx.dir, files[i]);
		if (fanotify_mark(fan, FAN_MARK_ADD, FAN_MODIFY, AT_FDCWD, path) < 0)
			cr_skip_test("fanotify cannot watch this file system");
	}
	return fan;
}

/* "cpu.max memory.high ": the files in the order in which they were written. */
static const char *watch_end(int fan)
{
	static char order[256];
	char buf[4096];
	struct fanotify_event_metadata *m = (void *)buf;
	ssize_t len = read(fan, buf, sizeof(buf));
	size_t end = 0;

	order[0] = '\0';
	for (; FAN_EVENT_OK(m, len); m = FAN_EVENT_NEXT(m, len)) {
		char proc[64], target[256];
		ssize_t n;

		snprintf(proc, sizeof(proc), "/proc/self/fd/%d", m->fd);
		n = readlink(proc, target, sizeof(target) - 1);
		cr_assert_gt(n, 0);
		target[n] = '\0';
		end += (size_t)snprintf(order + end, sizeof(order) - end, "%s ",
					strrchr(target, '/') + 1);
		close(m->fd);
	}
	close(fan);
	return order;
}

Test(cgroupfs, no_state_on_the_way_is_refused_by_the_kernel)
{
	int fan;

	open_web();
	fan = watch_begin();
	cr_assert_eq(apply(50000, 10000, 48 * MIB, 64 * MIB), 4, "%s", why);
	cr_expect_str_eq(watch_end(fan), "cpu.max cpu.max.burst memory.high memory.max ",
			 "coming down: memory.high leads");
	fan = watch_begin();
	cr_assert_eq(apply(90000, 60000, 80 * MIB, 96 * MIB), 4, "%s", why);
	cr_expect_str_eq(watch_end(fan), "cpu.max cpu.max.burst memory.max memory.high ",
			 "growing: the burst may exceed the old quota");
	fan = watch_begin();
	cr_assert_eq(apply(40000, 20000, 40 * MIB, 50 * MIB), 4, "%s", why);
	cr_expect_str_eq(watch_end(fan), "cpu.max.burst cpu.max memory.high memory.max ",
			 "shrinking: the old burst exceeds the new quota");
}
