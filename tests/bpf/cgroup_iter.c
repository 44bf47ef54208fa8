// SPDX-License-Identifier: Apache-2.0
/*
 * The cgroup iterator's counters against the cgroup files: usage and pressure everywhere, throttling
 * and memory where cgroup2 has the controllers; each rung; and how long a pass takes.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "include/drpc/cgroup_abi.h"
#include "lib/util.h"
#include "tests/bpf/lib/cg.h"
#include "tests/lib/tap.h"

static bool near(uint64_t a, uint64_t b, uint64_t slack)
{
	return (a > b ? a - b : b - a) <= slack;
}

static bool scan(struct drpc_kernel *kernel, uint32_t slot, struct drpc_cgroup_counters *ret)
{
	return drpc_kernel_scan_cgroups(kernel) == 0 && drpc_kernel_cgroup(kernel, slot, ret);
}

static uint32_t track(struct drpc_kernel *kernel, const char *name)
{
	uint32_t slot;

	if (drpc_kernel_track(kernel, cg_id(name), &slot) < 0)
		cg_die("cannot track");
	return slot;
}

static void untrack(struct drpc_kernel *kernel, const char *name, uint32_t slot)
{
	drpc_kernel_untrack(kernel, cg_id(name), slot);
}

/* --- usage and pressure ----------------------------------------------------------------------- */

static void compare_usage(struct drpc_kernel *kernel, uint32_t slot, const char *name,
			  const char *what)
{
	struct drpc_cgroup_counters got, truth;

	/* The iterator first: reading the file flushes what the iterator has to find by itself. */
	if (!scan(kernel, slot, &got) || !cg_files(name, &truth)) {
		tap_ok(false, "%s: can be read", what);
		return;
	}
	printf("# %s: %llu usec, file %llu\n", what, (unsigned long long)got.cpu_usage_usec,
	       (unsigned long long)truth.cpu_usage_usec);
	tap_ok((got.valid & DRPC_CG_CPU) && truth.cpu_usage_usec > 10000 &&
		       near(got.cpu_usage_usec, truth.cpu_usage_usec, 1000),
	       "%s: CPU usage is the file's", what);
}

/* A removed cgroup's last bit of usage comes when it is gone for good, a moment later. */
static void settle(struct drpc_kernel *kernel, uint32_t slot, const char *name)
{
	struct drpc_cgroup_counters got, truth;

	for (int i = 0; i < 100; i++) {
		cg_sleep_ms(50);
		if (scan(kernel, slot, &got) && cg_files(name, &truth) &&
		    got.cpu_usage_usec == truth.cpu_usage_usec)
			return;
	}
}

static void compare_pressure(struct drpc_kernel *kernel, uint32_t slot, const char *name)
{
	struct drpc_cgroup_counters got, truth, again;

	if (!cg_files(name, &truth) || !(truth.valid & DRPC_CG_PSI_CPU)) {
		tap_skip("no cpu.pressure in this kernel", "pressure is the file's");
		return;
	}
	/* The file is brought up to date every 2 s; once nothing runs it stands still. */
	for (int i = 0; i < 5; i++) {
		cg_sleep_ms(2100);
		if (!cg_files(name, &again))
			break;
		if (i && again.cpu_some_usec == truth.cpu_some_usec)
			break;
		truth = again;
	}
	if (!scan(kernel, slot, &got))
		cg_die("scan");
	printf("# cpu some %llu full %llu usec, file %llu %llu; mem %llu, %llu; io %llu, %llu\n",
	       (unsigned long long)got.cpu_some_usec, (unsigned long long)got.cpu_full_usec,
	       (unsigned long long)truth.cpu_some_usec, (unsigned long long)truth.cpu_full_usec,
	       (unsigned long long)got.mem_some_usec, (unsigned long long)truth.mem_some_usec,
	       (unsigned long long)got.io_some_usec, (unsigned long long)truth.io_some_usec);
	/* Weighted by microseconds where the kernel weighs by jiffies. */
	tap_ok((got.valid & DRPC_CG_PSI_CPU) && truth.cpu_some_usec > 50000 &&
		       near(got.cpu_some_usec, truth.cpu_some_usec,
			    truth.cpu_some_usec / 50 + 4000),
	       "CPU pressure, some, is the file's");
	tap_ok(near(got.cpu_full_usec, truth.cpu_full_usec, truth.cpu_full_usec / 50 + 4000),
	       "CPU pressure, full, is the file's");
	tap_ok((got.valid & DRPC_CG_PSI_MEM) &&
		       near(got.mem_some_usec, truth.mem_some_usec, 4000) &&
		       near(got.mem_full_usec, truth.mem_full_usec, 4000),
	       "memory pressure is the file's");
	tap_ok((got.valid & DRPC_CG_PSI_IO) && near(got.io_some_usec, truth.io_some_usec, 4000) &&
		       near(got.io_full_usec, truth.io_full_usec, 4000),
	       "I/O pressure is the file's");
}

static bool psi_here(const char *name)
{
	struct drpc_cgroup_counters c;

	return cg_files(name, &c) && (c.valid & DRPC_CG_PSI_CPU);
}

/*
 * Every 100 ms under load: usage is between what the file says before and after, pressure rises by
 * what passed, and nothing ever falls.
 */
static void test_windows(struct drpc_kernel *kernel, uint32_t slot)
{
	struct drpc_cgroup_counters last = {0}, before, now, after;
	int fresh = 0, pressing = 0, fell = 0;

	for (int i = 0; i <= 10; i++) {
		if (!cg_files("box", &before) || !scan(kernel, slot, &now) ||
		    !cg_files("box", &after))
			cg_die("scan");
		fresh += i && now.cpu_usage_usec >= before.cpu_usage_usec &&
			 now.cpu_usage_usec <= after.cpu_usage_usec;
		pressing += i && now.cpu_some_usec > last.cpu_some_usec + 20000;
		fell += now.cpu_usage_usec < last.cpu_usage_usec ||
			now.cpu_some_usec < last.cpu_some_usec;
		last = now;
		cg_sleep_ms(100);
	}
	tap_ok(fresh == 10 && !fell, "usage is fresh in each window of 100 ms (%d of 10)", fresh);
	if (psi_here("box"))
		tap_ok(pressing >= 8, "so is pressure, which the file tells every 2 s (%d of 10)",
		       pressing);
}

static void test_cpu(struct drpc_kernel *kernel)
{
	struct drpc_cgroup_counters c;
	uint32_t slot, inner;
	pid_t pids[4];

	cg_make("box");
	cg_make("box/a");
	cg_make("box/a/b");
	slot = track(kernel, "box");
	for (int i = 0; i < 2; i++)
		pids[i] = cg_spawn("box/a/b", 0, cg_burn, NULL);
	test_windows(kernel, slot);
	for (int i = 0; i < 2; i++)
		cg_stop(pids[i]);
	compare_usage(kernel, slot, "box", "processes two levels below");
	compare_pressure(kernel, slot, "box");

	/* Two containers, one in the other; only the inner one's processes run. */
	inner = track(kernel, "box/a");
	for (int i = 0; i < 2; i++)
		kill(pids[i], SIGCONT);
	cg_sleep_ms(200);
	for (int i = 0; i < 2; i++)
		cg_stop(pids[i]);
	compare_usage(kernel, slot, "box", "the outer of two");
	compare_usage(kernel, inner, "box/a", "the inner of two");
	untrack(kernel, "box/a", inner);
	tap_ok(scan(kernel, slot, &c) && !drpc_kernel_cgroup(kernel, inner, &c),
	       "an untracked cgroup has no counters");

	for (int i = 0; i < 2; i++)
		cg_kill(pids[i]);
	cg_remove("box/a/b");
	settle(kernel, slot, "box");
	compare_usage(kernel, slot, "box", "after a cgroup below went");
	cg_remove("box/a");
	tap_ok(!drpc_kernel_cgroup(kernel, 0, &c), "the slot of all others has none");
	untrack(kernel, "box", slot);
	cg_remove("box");

	cg_make("gone");
	slot = track(kernel, "gone");
	cg_remove("gone");
	tap_ok(drpc_kernel_scan_cgroups(kernel) == 0 && !drpc_kernel_cgroup(kernel, slot, &c),
	       "a removed cgroup has none");
}

/* --- at rest ---------------------------------------------------------------------------------- */

static bool at_rest(struct drpc_kernel *kernel, uint32_t slot)
{
	if (drpc_kernel_scan_cgroups(kernel) < 0)
		cg_die("scan");
	return drpc_kernel_cgroup_at_rest(kernel, slot);
}

/* Of `passes` passes, how many find the cgroup at rest; the longest run of those to *ret_run. */
static int rests(struct drpc_kernel *kernel, uint32_t slot, int passes, int *ret_run)
{
	int rests = 0, run = 0;

	*ret_run = 0;
	for (int i = 0; i < passes; i++) {
		bool rest = at_rest(kernel, slot);

		run = rest ? run + 1 : 0;
		rests += rest;
		*ret_run = DRPC_MAX(*ret_run, run);
	}
	return rests;
}

/* Until pressure on its way to the totals has arrived there, which takes the kernel 2 s. */
static bool comes_to_rest(struct drpc_kernel *kernel, uint32_t slot)
{
	int run;

	for (int i = 0; i < 100; i++) {
		if (rests(kernel, slot, 2 * DRPC_CGROUP_REST, &run) >= DRPC_CGROUP_REST)
			return true;
		cg_sleep_ms(100);
	}
	return false;
}

/* Works for less than a tick of the clock, whenever it is told to go on. */
static void work(void *unused)
{
	(void)unused;
	for (;;) {
		volatile unsigned int n = 0;

		while (n < 100000)
			n++;
		kill(getpid(), SIGSTOP);
	}
}

static void work_once(pid_t pid)
{
	int status;

	kill(pid, SIGCONT);
	waitpid(pid, &status, WUNTRACED);
}

static void test_rest(struct drpc_kernel *kernel)
{
	struct drpc_cgroup_counters got, truth;
	int run, n, awake = 0, inner_awake = 0, status;
	uint32_t slot, beside;
	uint64_t beside_id;
	pid_t pid, inner;

	cg_make("rest");
	cg_make("rest/in");
	beside_id = cg_make("beside");
	slot = track(kernel, "rest");
	beside = track(kernel, "beside");
	pid = cg_spawn("rest", -1, work, NULL);
	inner = cg_spawn("rest/in", -1, work, NULL);
	waitpid(pid, &status, WUNTRACED);
	waitpid(inner, &status, WUNTRACED);
	tap_ok(comes_to_rest(kernel, slot), "a container whose processes sleep is at rest");
	n = rests(kernel, slot, 8 * DRPC_CGROUP_REST, &run);
	tap_ok(n >= 7 * (DRPC_CGROUP_REST - 1) && run == DRPC_CGROUP_REST - 1,
	       "and read all the same each %d passes (at rest in %d of %d)", DRPC_CGROUP_REST, n,
	       8 * DRPC_CGROUP_REST);
	for (int i = 0; i < 10; i++) {
		comes_to_rest(kernel, slot);
		work_once(pid);
		awake += !at_rest(kernel, slot) && drpc_kernel_cgroup(kernel, slot, &got) &&
			 cg_files("rest", &truth) && got.cpu_usage_usec == truth.cpu_usage_usec;
		work_once(inner);
		inner_awake += !at_rest(kernel, slot) && drpc_kernel_cgroup(kernel, slot, &got) &&
			       cg_files("rest", &truth) &&
			       got.cpu_usage_usec == truth.cpu_usage_usec;
	}
	tap_ok(awake == 10, "less than a millisecond of work ends it (%d of 10)", awake);
	tap_ok(inner_awake == 10, "so does work in a cgroup within (%d of 10)", inner_awake);
	/* The walk has other places now, and a new cgroup within one at rest. */
	comes_to_rest(kernel, slot);
	cg_make("rest/a");
	kill(inner, SIGCONT);
	kill(inner, SIGKILL);
	waitpid(inner, &status, 0);
	inner = cg_spawn("rest/a", -1, work, NULL);
	waitpid(inner, &status, WUNTRACED);
	at_rest(kernel, slot);
	tap_ok(scan(kernel, slot, &got) && cg_files("rest", &truth) &&
		       got.cpu_usage_usec == truth.cpu_usage_usec,
	       "cgroups that come within: usage is the file's, a pass later");
	cg_kill(pid);
	cg_kill(inner);
	tap_ok(comes_to_rest(kernel, beside) && drpc_kernel_cgroup(kernel, beside, &got) &&
		       (got.valid & DRPC_CG_CPU),
	       "one without processes is at rest and has its counters");
	cg_remove("beside");
	tap_ok(!at_rest(kernel, beside) && !drpc_kernel_cgroup(kernel, beside, &got),
	       "one that was removed at rest has none");
	drpc_kernel_untrack(kernel, beside_id, beside);
	untrack(kernel, "rest", slot);
	cg_remove("rest/in");
	cg_remove("rest/a");
	cg_remove("rest");
}

/* Waits for a CPU that a busier one has, without ever getting it. */
static void test_starved(struct drpc_kernel *kernel)
{
	struct sched_param first = {.sched_priority = 1};
	struct drpc_cgroup_counters before, after;
	pid_t hog, starved;
	uint32_t slot;
	bool rest;
	int status;

	cg_make("starved");
	cg_make("hog");
	slot = track(kernel, "starved");
	starved = cg_spawn("starved", 0, work, NULL);
	waitpid(starved, &status, WUNTRACED);
	comes_to_rest(kernel, slot);
	if (!psi_here("starved")) {
		tap_skip("no cpu.pressure in this kernel", "who starves is not at rest");
		goto out;
	}
	hog = cg_spawn("hog", 0, cg_burn, NULL);
	if (sched_setscheduler(hog, SCHED_FIFO, &first) < 0) {
		tap_skip("no real-time priority here", "who starves is not at rest");
		cg_kill(hog);
		goto out;
	}
	drpc_kernel_cgroup(kernel, slot, &before);
	kill(starved, SIGCONT);
	cg_sleep_ms(100);
	rest = at_rest(kernel, slot);
	drpc_kernel_cgroup(kernel, slot, &after);
	cg_kill(hog);
	printf("# %llu usec of pressure, %llu of CPU\n",
	       (unsigned long long)(after.cpu_some_usec - before.cpu_some_usec),
	       (unsigned long long)(after.cpu_usage_usec - before.cpu_usage_usec));
	tap_ok(!rest && after.cpu_some_usec > before.cpu_some_usec + 50000,
	       "who starves is not at rest");
out:
	cg_kill(starved);
	untrack(kernel, "starved", slot);
	cg_remove("hog");
	cg_remove("starved");
}

/* --- throttling ------------------------------------------------------------------------------- */

static void test_throttle(struct drpc_kernel *kernel)
{
	const char *what = "throttling is the file's";
	struct drpc_cgroup_counters got, truth;
	uint32_t slot;
	pid_t pid;

	if (!cg_enable("cpu")) {
		tap_skip("no cpu controller on cgroup2", what);
		return;
	}
	cg_make("tight");
	slot = track(kernel, "tight");
	cg_write("tight", "cpu.max", "20000 100000");
	pid = cg_spawn("tight", -1, cg_burn, NULL);
	cg_sleep_ms(1500);
	cg_kill(pid);
	cg_sleep_ms(300);
	if (!scan(kernel, slot, &got) || !cg_files("tight", &truth))
		cg_die("scan");
	printf("# periods %llu throttled %llu for %llu usec, file %llu %llu %llu\n",
	       (unsigned long long)got.nr_periods, (unsigned long long)got.nr_throttled,
	       (unsigned long long)got.throttled_usec, (unsigned long long)truth.nr_periods,
	       (unsigned long long)truth.nr_throttled, (unsigned long long)truth.throttled_usec);
	tap_ok((got.valid & truth.valid & DRPC_CG_THROTTLE) && truth.nr_throttled >= 5 &&
		       near(got.nr_periods, truth.nr_periods, 1) &&
		       got.nr_throttled == truth.nr_throttled &&
		       got.throttled_usec == truth.throttled_usec,
	       "%s", what);
	untrack(kernel, "tight", slot);
	cg_remove("tight");
}

/* --- memory ----------------------------------------------------------------------------------- */

#define ANON_BYTES (24 * DRPC_MIB)
#define FILE_BYTES (16 * DRPC_MIB)

/* Memory of its own, and a file read through twice: that part is cache, and inactive at first. */
static void hold_memory(void *arg)
{
	char *p =
		mmap(NULL, ANON_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = open(arg, O_RDONLY);
	static char buf[65536];
	size_t sum = 0;
	ssize_t n;

	for (size_t i = 0; i < ANON_BYTES; i += 4096)
		p[i] = 1;
	/* What is in the cache already would be charged to whoever brought it there. */
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	while (sum < FILE_BYTES && (n = read(fd, buf, sizeof(buf))) > 0)
		sum += (size_t)n;
	kill(getpid(), SIGSTOP);
}

static void too_much(void *unused)
{
	char *p = mmap(NULL, 256 * DRPC_MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);

	(void)unused;
	for (size_t i = 0; i < 256 * DRPC_MIB; i += 4096)
		p[i] = 1;
}

/* A file on a file system with a page cache whose pages can be given back: a big library will do. */
static const char *some_file(void)
{
	static const char *const files[] = {
		"/usr/lib/x86_64-linux-gnu/libLLVM-14.so.1", "/usr/lib/llvm-14/lib/libLLVM-14.so",
		"/usr/lib/x86_64-linux-gnu/libopenblas.so.0", "/proc/self/exe"};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(files); i++)
		if (access(files[i], R_OK) == 0)
			return files[i];
	return "/dev/null";
}

static void test_memory(struct drpc_kernel *kernel)
{
	struct drpc_cgroup_counters got, truth;
	uint32_t slot;
	int status;
	pid_t pid;

	if (!cg_enable("memory")) {
		tap_skip("no memory controller on cgroup2",
			 "memory and working set are the files'");
		tap_skip("no memory controller on cgroup2", "OOM kills are the file's");
		return;
	}
	cg_make("big");
	slot = track(kernel, "big");
	pid = cg_spawn("big", -1, hold_memory, (void *)some_file());
	waitpid(pid, &status, WUNTRACED);
	if (!scan(kernel, slot, &got) || !cg_files("big", &truth))
		cg_die("scan");
	printf("# current %llu KiB, working set %llu; files %llu, %llu\n",
	       (unsigned long long)got.mem_current_bytes / 1024,
	       (unsigned long long)got.mem_working_set_bytes / 1024,
	       (unsigned long long)truth.mem_current_bytes / 1024,
	       (unsigned long long)truth.mem_working_set_bytes / 1024);
	tap_ok((got.valid & truth.valid & DRPC_CG_MEM) && truth.mem_current_bytes >= ANON_BYTES &&
		       near(got.mem_current_bytes, truth.mem_current_bytes, DRPC_MIB),
	       "memory is the file's");
	tap_ok(truth.mem_working_set_bytes < truth.mem_current_bytes &&
		       near(got.mem_working_set_bytes, truth.mem_working_set_bytes, DRPC_MIB),
	       "working set is the files'");
	cg_kill(pid);

	cg_write("big", "memory.max", "32M");
	pid = cg_spawn("big", -1, too_much, NULL);
	waitpid(pid, &status, 0);
	if (!scan(kernel, slot, &got) || !cg_files("big", &truth))
		cg_die("scan");
	tap_ok((got.valid & truth.valid & DRPC_CG_OOM) && WIFSIGNALED(status) &&
		       truth.oom_kills == 1 && got.oom_kills == 1,
	       "OOM kills are the file's (%llu)", (unsigned long long)got.oom_kills);
	untrack(kernel, "big", slot);
	cg_remove("big");
}

/* --- how long ---------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void test_speed(uint32_t cgroups, double target_us, double limit_us)
{
	struct drpc_kernel *kernel = cg_open((struct drpc_kernel_options){
		.cgroup_iter = true, .max_containers = cgroups, .map_budget_bytes = 32 * DRPC_MIB});
	struct drpc_cgroup_counters c;
	struct drpc_kernel_stats stats;
	uint32_t got = 0;
	uint64_t took[101];
	char name[32];

	if (!kernel)
		cg_die("cannot load");
	for (uint32_t i = 0; i < cgroups; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		cg_make(name);
		track(kernel, name);
	}
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(took); i++) {
		uint64_t from = drpc_now_ns();

		if (drpc_kernel_scan_cgroups(kernel) < 0)
			cg_die("scan");
		took[i] = drpc_now_ns() - from;
	}
	for (uint32_t slot = 1; slot <= cgroups; slot++)
		got += drpc_kernel_cgroup(kernel, slot, &c);
	qsort(took, DRPC_ARRAY_SIZE(took), sizeof(*took), by_value);
	drpc_kernel_stats(kernel, &stats);
	printf("# %u cgroups: a pass takes %.0f us (target %.0f), maps %llu KiB\n", cgroups,
	       (double)took[50] / 1e3, target_us, (unsigned long long)stats.map_bytes / 1024);
	tap_ok(got == cgroups, "all of %u cgroups are met in one pass", cgroups);
	if (cg_emulated())
		tap_skip("software emulation", "a pass is quick");
	else
		tap_ok((double)took[50] <= limit_us * 1e3, "%u cgroups: a pass under %.0f us",
		       cgroups, limit_us);
	for (uint32_t i = 0; i < cgroups; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		cg_remove(name);
	}
	drpc_kernel_close(&kernel);
}

static void test_rung(const char *force, const char *name)
{
	struct drpc_kernel *kernel =
		cg_open((struct drpc_kernel_options){.cgroup_iter = true, .force_rung = force});

	if (!kernel) {
		if (cg_kernel_before(6, 1))
			tap_skip("kernels before 6.1 have no such iterator", name);
		else
			tap_ok(false, "%s: the kernel takes the programs", name);
		return;
	}
	cg_show(kernel);
	test_cpu(kernel);
	test_rest(kernel);
	test_starved(kernel);
	test_throttle(kernel);
	test_memory(kernel);
	drpc_kernel_close(&kernel);
}

static void test_files_rung(void)
{
	struct drpc_cgroup_counters c;
	struct drpc_kernel *kernel = cg_open((struct drpc_kernel_options){
		.cgroup_iter = true, .lifecycle = true, .force_rung = "cgroup=files"});

	if (!kernel)
		cg_die("cannot load");
	tap_ok(drpc_kernel_scan_cgroups(kernel) == -ENOTSUP && !drpc_kernel_cgroup(kernel, 1, &c) &&
		       !strcmp(cg_rung(kernel, "cgroup counters"), ""),
	       "without the iterator the caller is sent to the files");
	drpc_kernel_close(&kernel);
}

int main(void)
{
	cg_begin();
	test_rung(NULL, "best rung");
	test_rung("cgroup=probe reads", "rung of probe reads");
	test_files_rung();
	/* The targets are for a quiet machine; the limits tell a lost optimisation from a busy one. */
	test_speed(100, 23, 100);
	test_speed(1000, 150, 1000);
	return tap_done();
}
