// SPDX-License-Identifier: Apache-2.0
/*
 * On a folder of plain files that looks like a cgroup: what is there, what is not, what is nonsense.
 * Real cgroups, and removed ones, are tested in tests/bpf/cgroup_iter.c and at the end of this file.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/monitor/cgroup_files.h"
#include "agent/monitor/discover.h"
#include "lib/util.h"

static char top[64];
static struct drpc_cgroup_roots roots;

static int open_root(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", top, name);
	cr_assert_eq(mkdir(path, 0755), 0);
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static void setup(void)
{
	strcpy(top, "/tmp/drpc-cgroup-files-XXXXXX");
	cr_assert(mkdtemp(top));
	roots.v2 = open_root("v2");
	roots.v1_cpu = open_root("cpu");
	roots.v1_memory = open_root("memory");
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
	(void)st;
	(void)type;
	(void)walk;
	return remove(path);
}

static void teardown(void)
{
	drpc_cgroup_roots_close(&roots);
	cr_assert(roots.v2 == -1 && roots.v1_cpu == -1 && roots.v1_memory == -1);
	nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

TestSuite(cgroup_files, .init = setup, .fini = teardown);

static void make(const char *folder)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", top, folder);
	cr_assert_eq(mkdir(path, 0755), 0, "%s", path);
}

static void put_bytes(const char *file, const char *bytes, size_t len)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", top, file);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, bytes, len), (ssize_t)len);
	close(fd);
}

static void put(const char *file, const char *text)
{
	put_bytes(file, text, strlen(text));
}

static struct drpc_cgroup_files *open_box(void)
{
	struct drpc_cgroup_files *files = NULL;

	cr_assert_eq(
		drpc_cgroup_files_open(&roots, &(struct drpc_cgroup_paths){.v2 = "/box"}, &files),
		0);
	return files;
}

static void make_v2_box(void)
{
	make("v2/box");
	put("v2/box/cpu.stat", "usage_usec 1000\nuser_usec 600\nsystem_usec 400\nnr_periods 30\n"
			       "nr_throttled 20\nthrottled_usec 10\n");
	put("v2/box/cpu.pressure",
	    "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 total=2\n");
	put("v2/box/memory.pressure", "some avg10=0.00 total=3\nfull avg10=0.00 total=4\n");
	put("v2/box/io.pressure", "some avg10=0.00 total=5\nfull avg10=0.00 total=6\n");
	put("v2/box/memory.current", "1000000\n");
	put("v2/box/memory.stat", "anon 1\nfile 2\ninactive_anon 7\ninactive_file 400000\n");
	put("v2/box/memory.events", "low 0\nhigh 0\nmax 0\noom 9\noom_kill 3\n");
}

Test(cgroup_files, all_of_v2)
{
	struct drpc_cgroup_files *files;
	struct drpc_cgroup_counters c;

	make_v2_box();
	files = open_box();
	cr_assert_eq(drpc_cgroup_files_read(files, &c), 0);
	cr_assert_eq(c.valid, 0x7f);
	cr_assert_eq(c.cpu_usage_usec, 1000);
	cr_assert_eq(c.nr_throttled, 20);
	cr_assert(c.cpu_some_usec == 1 && c.cpu_full_usec == 2);
	cr_assert(c.mem_some_usec == 3 && c.mem_full_usec == 4);
	cr_assert(c.io_some_usec == 5 && c.io_full_usec == 6);
	cr_assert_eq(c.mem_current_bytes, 1000000);
	cr_assert_eq(c.mem_working_set_bytes, 600000);
	cr_assert_eq(c.oom_kills, 3);

	put("v2/box/cpu.stat", "usage_usec 2000\n");
	cr_assert_eq(drpc_cgroup_files_read(files, &c), 0);
	cr_assert_eq(c.cpu_usage_usec, 2000, "descriptors stay open, values are new");
	cr_assert_eq(c.valid & DRPC_CG_THROTTLE, 0);
	drpc_cgroup_files_close(&files);
	cr_assert_null(files);
	drpc_cgroup_files_close(&files);
}

Test(cgroup_files, nothing_there)
{
	struct drpc_cgroup_files *files;
	struct drpc_cgroup_counters c;
	struct drpc_limits limits;

	make("v2/box");
	files = open_box();
	cr_assert_eq(drpc_cgroup_files_read(files, &c), 0);
	cr_assert_eq(c.valid, 0);
	cr_assert_eq(drpc_cgroup_files_limits(files, &limits), 0);
	cr_assert(limits.cpu_quota_usec == DRPC_UNLIMITED &&
		  limits.mem_max_bytes == DRPC_UNLIMITED &&
		  limits.mem_high_bytes == DRPC_UNLIMITED && limits.cpu_period_usec == 100000 &&
		  limits.cpu_burst_usec == 0);
	drpc_cgroup_files_close(&files);
}

Test(cgroup_files, no_such_cgroup)
{
	struct drpc_cgroup_files *files = NULL;

	cr_assert_eq(
		drpc_cgroup_files_open(&roots, &(struct drpc_cgroup_paths){.v2 = "/no"}, &files),
		-ENOENT);
	cr_assert_null(files);
}

Test(cgroup_files, paths_stay_inside)
{
	static const char *const bad[] = {"..", "/../x", "a/../../b", "/box/.."};
	struct drpc_cgroup_files *files = NULL;
	char from[128];

	make("v2/box");
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(bad); i++)
		cr_assert_eq(drpc_cgroup_files_open(
				     &roots, &(struct drpc_cgroup_paths){.v2 = bad[i]}, &files),
			     -EINVAL, "%s", bad[i]);
	snprintf(from, sizeof(from), "%s/v2/link", top);
	cr_assert_eq(symlink("/etc", from), 0);
	cr_assert_lt(
		drpc_cgroup_files_open(&roots, &(struct drpc_cgroup_paths){.v2 = "link"}, &files),
		0);
	snprintf(from, sizeof(from), "%s/v2/..box", top);
	cr_assert_eq(mkdir(from, 0755), 0);
	cr_assert_eq(
		drpc_cgroup_files_open(&roots, &(struct drpc_cgroup_paths){.v2 = "..box"}, &files),
		0, "two dots that begin a name are a name");
	drpc_cgroup_files_close(&files);
}

Test(cgroup_files, nonsense_in_every_file)
{
	static const char *const names[] = {"cpu.stat",	     "cpu.pressure",   "memory.pressure",
					    "io.pressure",   "memory.current", "memory.stat",
					    "memory.events", "cpu.max",	       "cpu.max.burst",
					    "memory.max",    "memory.high"};
	unsigned int seed = 7;

	make("v2/box");
	for (int round = 0; round < 50; round++) {
		struct drpc_cgroup_files *files;
		struct drpc_cgroup_counters c;
		struct drpc_limits limits;
		char file[64];

		for (size_t i = 0; i < DRPC_ARRAY_SIZE(names); i++) {
			size_t len = (size_t)(rand_r(&seed) % 40000);
			char *bytes = malloc(len + 1);

			for (size_t k = 0; k < len; k++)
				bytes[k] = (char)rand_r(&seed);
			snprintf(file, sizeof(file), "v2/box/%s", names[i]);
			put_bytes(file, bytes, len);
			free(bytes);
		}
		files = open_box();
		cr_assert_eq(drpc_cgroup_files_read(files, &c), 0);
		cr_assert_eq(c.valid & ~(uint32_t)DRPC_CG_MEM, 0);
		cr_assert_geq(drpc_cgroup_files_limits(files, &limits), 0);
		drpc_cgroup_files_close(&files);
	}
}

Test(cgroup_files, negative_and_huge)
{
	struct drpc_cgroup_files *files;
	struct drpc_cgroup_counters c;

	make_v2_box();
	put("v2/box/cpu.stat", "usage_usec -1\nnr_periods 1\nnr_throttled -3\nthrottled_usec 4\n");
	put("v2/box/memory.current", "5000\n");
	put("v2/box/memory.stat", "inactive_file 18446744073709551615\n");
	put("v2/box/memory.events", "oom_kill 99999999999999999999\n");
	put("v2/box/io.pressure", "some avg10=0.00 total=-7\n");
	files = open_box();
	cr_assert_eq(drpc_cgroup_files_read(files, &c), 0);
	cr_assert_eq(c.valid, DRPC_CG_MEM | DRPC_CG_PSI_CPU | DRPC_CG_PSI_MEM);
	cr_assert_eq(c.mem_current_bytes, 5000);
	cr_assert_eq(c.mem_working_set_bytes, 0, "never below nothing");
	drpc_cgroup_files_close(&files);
}

Test(cgroup_files, without_memory_stat_all_is_in_use)
{
	struct drpc_cgroup_files *files;
	struct drpc_cgroup_counters c;

	make("v2/box");
	put("v2/box/memory.current", "4096\n");
	files = open_box();
	cr_assert_eq(drpc_cgroup_files_read(files, &c), 0);
	cr_assert_eq(c.valid, DRPC_CG_MEM);
	cr_assert_eq(c.mem_working_set_bytes, 4096);
	drpc_cgroup_files_close(&files);
}

static void make_hybrid_box(void)
{
	make("v2/box");
	put("v2/box/cpu.stat", "usage_usec 1000\nuser_usec 600\nsystem_usec 400\n");
	put("v2/box/cpu.pressure", "some avg10=0.00 total=1\nfull avg10=0.00 total=2\n");
	make("cpu/box");
	put("cpu/box/cpu.stat", "nr_periods 30\nnr_throttled 20\nthrottled_time 10999\n");
	make("memory/box");
	put("memory/box/memory.usage_in_bytes", "1000000\n");
	put("memory/box/memory.stat", "inactive_file 1\ntotal_inactive_file 250000\n");
	put("memory/box/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n");
}

Test(cgroup_files, hybrid)
{
	struct drpc_cgroup_files *files;
	struct drpc_cgroup_counters c;

	make_hybrid_box();
	files = open_box();
	cr_assert_eq(drpc_cgroup_files_read(files, &c), 0);
	cr_assert_eq(c.valid,
		     DRPC_CG_CPU | DRPC_CG_THROTTLE | DRPC_CG_PSI_CPU | DRPC_CG_MEM | DRPC_CG_OOM);
	cr_assert_eq(c.throttled_usec, 10);
	cr_assert_eq(c.mem_working_set_bytes, 750000);
	cr_assert_eq(c.oom_kills, 5);
	drpc_cgroup_files_close(&files);
}

Test(cgroup_files, hybrid_at_other_paths)
{
	struct drpc_cgroup_paths paths = {.v2 = "/box", .v1_cpu = "/elsewhere", .v1_memory = "/"};
	struct drpc_cgroup_files *files = NULL;
	struct drpc_cgroup_counters c;

	make_hybrid_box();
	make("cpu/elsewhere");
	put("cpu/elsewhere/cpu.stat", "nr_periods 1\nnr_throttled 1\nthrottled_time 1000\n");
	put("memory/memory.usage_in_bytes", "777\n");
	cr_assert_eq(drpc_cgroup_files_open(&roots, &paths, &files), 0);
	cr_assert_eq(drpc_cgroup_files_read(files, &c), 0);
	cr_assert_eq(c.nr_periods, 1);
	cr_assert_eq(c.valid & DRPC_CG_MEM, 0, "the whole machine's memory is no container's");
	drpc_cgroup_files_close(&files);
}

Test(cgroup_files, limits_v2)
{
	struct drpc_cgroup_files *files;
	struct drpc_limits limits;

	make_v2_box();
	make("cpu/box"); /* v2 comes first where both are there */
	put("cpu/box/cpu.cfs_quota_us", "1\n");
	put("cpu/box/cpu.cfs_period_us", "2\n");
	put("v2/box/cpu.max", "25000 50000\n");
	put("v2/box/cpu.max.burst", "3000\n");
	put("v2/box/memory.max", "max\n");
	put("v2/box/memory.high", "8388608\n");
	files = open_box();
	cr_assert_eq(drpc_cgroup_files_limits(files, &limits),
		     DRPC_CGROUP_LIMITS_CPU | DRPC_CGROUP_LIMITS_MEM);
	cr_assert_eq(drpc_cgroup_files_on_v1(files), 0);
	cr_assert_eq(limits.cpu_quota_usec, 25000);
	cr_assert_eq(limits.cpu_period_usec, 50000);
	cr_assert_eq(limits.cpu_burst_usec, 3000);
	cr_assert_eq(limits.mem_max_bytes, DRPC_UNLIMITED);
	cr_assert_eq(limits.mem_high_bytes, 8388608);
	drpc_cgroup_files_close(&files);
}

Test(cgroup_files, limits_v1)
{
	struct drpc_cgroup_files *files;
	struct drpc_limits limits;

	make_hybrid_box();
	put("cpu/box/cpu.cfs_quota_us", "-1\n");
	put("cpu/box/cpu.cfs_period_us", "100000\n");
	put("memory/box/memory.limit_in_bytes", "9223372036854771712\n");
	files = open_box();
	cr_assert_eq(drpc_cgroup_files_limits(files, &limits),
		     DRPC_CGROUP_LIMITS_CPU | DRPC_CGROUP_LIMITS_MEM);
	cr_assert_eq(drpc_cgroup_files_on_v1(files),
		     DRPC_CGROUP_LIMITS_CPU | DRPC_CGROUP_LIMITS_MEM);
	cr_assert_eq(limits.cpu_quota_usec, DRPC_UNLIMITED);
	cr_assert_eq(limits.mem_max_bytes, DRPC_UNLIMITED);
	put("cpu/box/cpu.cfs_quota_us", "150000\n");
	put("memory/box/memory.limit_in_bytes", "268435456\n");
	drpc_cgroup_files_limits(files, &limits);
	cr_assert_eq(limits.cpu_quota_usec, 150000);
	cr_assert_eq(limits.mem_max_bytes, 268435456);
	drpc_cgroup_files_close(&files);
}

Test(cgroup_files, own_v1_paths)
{
	char cpu[256] = "x", memory[256] = "x";

	cr_assert_eq(drpc_cgroup_v1_paths(getpid(), cpu, memory, sizeof(cpu)), 0);
	cr_assert(cpu[0] == '\0' || cpu[0] == '/');
	cr_assert_eq(drpc_cgroup_v1_paths(0x3fffffff, cpu, memory, sizeof(cpu)), -ESRCH);
}

/* A real cgroup that goes: an error, also once another has its name. */
Test(cgroup_files, removed_cgroup)
{
	struct drpc_cgroup_roots real = DRPC_CGROUP_ROOTS_NONE;
	struct drpc_cgroup_files *files = NULL;
	struct drpc_cgroup_counters c;
	struct drpc_limits limits;
	struct drpc_discover where;
	char name[64], path[512];

	if (geteuid() != 0 || drpc_discover_init(&where, NULL) < 0 ||
	    drpc_cgroup_roots_open(&real) < 0)
		cr_skip_test("not root, or no cgroup2 here");
	snprintf(name, sizeof(name), "/drpc-unit-%d", getpid());
	snprintf(path, sizeof(path), "%s%s", where.mount, name);
	if (mkdir(path, 0755) < 0) {
		drpc_cgroup_roots_close(&real);
		cr_skip_test("cgroups cannot be made here");
	}
	cr_expect_eq(drpc_cgroup_files_open(&real, &(struct drpc_cgroup_paths){.v2 = name}, &files),
		     0);
	cr_expect_eq(drpc_cgroup_files_read(files, &c), 0);
	cr_expect(c.valid & DRPC_CG_CPU);
	rmdir(path);
	cr_expect_eq(drpc_cgroup_files_read(files, &c), -ENODEV);
	cr_expect_eq(drpc_cgroup_files_limits(files, &limits), -ENODEV);
	cr_expect_eq(mkdir(path, 0755), 0);
	cr_expect_eq(drpc_cgroup_files_read(files, &c), -ENODEV);
	rmdir(path);
	drpc_cgroup_files_close(&files);
	drpc_cgroup_roots_close(&real);
}
