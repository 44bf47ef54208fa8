// SPDX-License-Identifier: Apache-2.0
/*
 * A hybrid machine: cpu and memory controllers on v1 hierarchies, the container's cgroup2 folder
 * without them. The iterator finds its v1 cgroups through its processes; the files are v1's.
 *
 * The hierarchies are mounted for the test, and only where there are none: a machine that has them
 * keeps its own, untouched.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/monitor/cgroup_files.h"
#include "lib/util.h"
#include "tests/bpf/lib/cg.h"
#include "tests/lib/tap.h"

static char v1_cpu[64], v1_memory[64];

static bool write_file(const char *path, const char *text)
{
	return drpc_write_file_at(AT_FDCWD, path, text) == 0;
}

static const char *v1_path(const char *mount_point, const char *name, const char *file)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s%s/%s%s%s", mount_point, cg_base(), name, *file ? "/" : "",
		 file);
	return path;
}

static bool mount_v1(const char *controller, char *ret_folder, size_t size)
{
	snprintf(ret_folder, size, "/tmp/drpc-test-%s-XXXXXX", controller);
	if (!mkdtemp(ret_folder))
		return false;
	for (int i = 0; i < 50; i++) {
		if (mount("none", ret_folder, "cgroup", 0, controller) == 0)
			return true;
		if (errno != EBUSY)
			break;
		cg_sleep_ms(100); /* removed cgroups may hold the controller for a moment */
	}
	rmdir(ret_folder);
	ret_folder[0] = '\0';
	return false;
}

static bool make_v1(const char *mount_point, const char *name)
{
	return !*mount_point ||
	       ((mkdir(v1_path(mount_point, "", ""), 0755) == 0 || errno == EEXIST) &&
		mkdir(v1_path(mount_point, name, ""), 0755) == 0);
}

static bool controller_is_back(const char *controller)
{
	_cleanup_free_ char *text = NULL;
	char path[512], *save = NULL;

	snprintf(path, sizeof(path), "%s/cgroup.controllers", cg_mount());
	if (drpc_read_file_at(AT_FDCWD, path, 4096, &text) < 0)
		return false;
	for (char *w = strtok_r(text, " \n", &save); w; w = strtok_r(NULL, " \n", &save))
		if (!strcmp(w, controller))
			return true;
	return false;
}

/* A hierarchy ends at its unmounting only if its removed cgroups are gone for good by then. */
static void unmake_v1(const char *controller, char *mount_point, const char *name)
{
	if (!*mount_point)
		return;
	rmdir(v1_path(mount_point, name, ""));
	rmdir(v1_path(mount_point, "", ""));
	for (int i = 0; i < 10; i++) {
		cg_sleep_ms(500);
		umount(mount_point);
		for (int k = 0; k < 20 && !controller_is_back(controller); k++)
			cg_sleep_ms(50);
		if (controller_is_back(controller))
			break;
		mount("none", mount_point, "cgroup", 0, controller);
	}
	rmdir(mount_point);
}

/*
 * Takes the controllers off cgroup2. The memory controller stays as long as a page is charged to a
 * cgroup, and newer kernels may have it on cgroup2 alone: then the CPU controller goes alone.
 */
static bool make_hybrid(void)
{
	_cleanup_free_ char *mounts = NULL;
	char path[512];

	if (drpc_read_file_at(AT_FDCWD, "/proc/mounts", DRPC_MIB, &mounts) < 0 ||
	    strstr(mounts, " cgroup "))
		return false;
	snprintf(path, sizeof(path), "%s/cgroup.subtree_control", cg_mount());
	write_file(path, "-cpu -memory");
	write_file("/proc/sys/vm/drop_caches", "3");
	if (!mount_v1("cpu", v1_cpu, sizeof(v1_cpu)))
		return false;
	if (!mount_v1("memory", v1_memory, sizeof(v1_memory)))
		printf("# memory stays on cgroup2: %s\n", strerror(errno));
	return true;
}

#define ANON_BYTES (24 * DRPC_MIB)

static void enter_v1(const char *name)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", getpid());
	if (!write_file(v1_path(v1_cpu, name, "cgroup.procs"), pid) ||
	    (*v1_memory && !write_file(v1_path(v1_memory, name, "cgroup.procs"), pid)))
		_exit(1);
}

static void live(void *name)
{
	char *p;

	enter_v1(name);
	p = mmap(NULL, ANON_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (size_t i = 0; i < ANON_BYTES; i += 4096)
		p[i] = 1;
	cg_burn(NULL);
}

static void check_memory(const char *rung, const struct drpc_cgroup_counters *got,
			 const struct drpc_cgroup_counters *truth)
{
	tap_ok((got->valid & truth->valid & DRPC_CG_MEM) &&
		       truth->mem_current_bytes >= ANON_BYTES &&
		       got->mem_current_bytes + DRPC_MIB >= truth->mem_current_bytes &&
		       got->mem_current_bytes <= truth->mem_current_bytes + DRPC_MIB &&
		       got->mem_working_set_bytes + DRPC_MIB >= truth->mem_working_set_bytes &&
		       got->mem_working_set_bytes <= truth->mem_working_set_bytes + DRPC_MIB,
	       "%s: so are memory and working set", rung);
	tap_ok((got->valid & truth->valid & DRPC_CG_OOM) && got->oom_kills == truth->oom_kills,
	       "%s: so are OOM kills", rung);
}

static void test_container(const char *force, const char *rung)
{
	struct drpc_cgroup_counters got, truth;
	struct drpc_kernel *kernel =
		cg_open((struct drpc_kernel_options){.cgroup_iter = true, .force_rung = force});
	uint32_t slot, other;
	pid_t pid, odd;

	if (!kernel) {
		if (cg_kernel_before(6, 1))
			tap_skip("kernels before 6.1 have no such iterator", rung);
		else
			tap_ok(false, "%s: the kernel takes the programs", rung);
		return;
	}
	cg_make("box");
	cg_make("odd");
	if (!make_v1(v1_cpu, "box") || !make_v1(v1_memory, "box"))
		cg_die("v1 cgroups");
	write_file(v1_path(v1_cpu, "box", "cpu.cfs_quota_us"), "20000");
	if (drpc_kernel_track(kernel, cg_id("box"), &slot) < 0 ||
	    drpc_kernel_track(kernel, cg_id("odd"), &other) < 0)
		cg_die("cannot track");
	pid = cg_spawn("box", -1, live, (void *)"box");
	odd = cg_spawn("odd", -1, live, (void *)"box"); /* in v1 cgroups of another name */
	cg_sleep_ms(1500);
	cg_stop(pid);
	cg_stop(odd);
	cg_sleep_ms(300);

	if (drpc_kernel_scan_cgroups(kernel) < 0 || !drpc_kernel_cgroup(kernel, slot, &got) ||
	    !cg_files("box", &truth))
		cg_die("scan");
	printf("# periods %llu throttled %llu for %llu usec, memory %llu KiB, working set %llu\n",
	       (unsigned long long)got.nr_periods, (unsigned long long)got.nr_throttled,
	       (unsigned long long)got.throttled_usec,
	       (unsigned long long)got.mem_current_bytes / 1024,
	       (unsigned long long)got.mem_working_set_bytes / 1024);
	tap_ok((got.valid & truth.valid & DRPC_CG_THROTTLE) && truth.nr_throttled >= 5 &&
		       got.nr_periods >= truth.nr_periods - 1 &&
		       got.nr_periods <= truth.nr_periods &&
		       got.nr_throttled == truth.nr_throttled &&
		       got.throttled_usec == truth.throttled_usec,
	       "%s: throttling is that of the v1 cgroup", rung);
	if (*v1_memory)
		check_memory(rung, &got, &truth);
	else
		tap_skip("no v1 memory hierarchy here", "memory is that of the v1 cgroup");
	tap_ok(drpc_kernel_cgroup(kernel, other, &got) && (got.valid & DRPC_CG_CPU) &&
		       !(got.valid & (DRPC_CG_MEM | DRPC_CG_THROTTLE)),
	       "%s: a v1 cgroup of another name is not taken for the container's", rung);

	cg_kill(pid);
	cg_kill(odd);
	cg_sleep_ms(100);
	drpc_kernel_close(&kernel);
	cg_remove("box");
	cg_remove("odd");
	rmdir(v1_path(v1_cpu, "box", ""));
	if (*v1_memory)
		rmdir(v1_path(v1_memory, "box", ""));
}

static void test_limits(void)
{
	struct drpc_cgroup_roots roots = DRPC_CGROUP_ROOTS_NONE;
	struct drpc_cgroup_files *files = NULL;
	struct drpc_limits limits;
	int all = DRPC_CGROUP_LIMITS_CPU | (*v1_memory ? DRPC_CGROUP_LIMITS_MEM : 0);
	char cpu[256], memory[256], path[128];
	pid_t pid;

	cg_make("box");
	if (!make_v1(v1_cpu, "box") || !make_v1(v1_memory, "box"))
		cg_die("v1 cgroups");
	pid = cg_spawn("box", -1, live, (void *)"box");
	cg_sleep_ms(100);
	snprintf(path, sizeof(path), "%s/box", cg_base());
	tap_ok(drpc_cgroup_v1_paths(pid, cpu, memory, sizeof(cpu)) == 0 && !strcmp(cpu, path) &&
		       !strcmp(memory, *v1_memory ? path : ""),
	       "a process tells its v1 paths");
	if (drpc_cgroup_roots_open(&roots) < 0 ||
	    drpc_cgroup_files_open(
		    &roots,
		    &(struct drpc_cgroup_paths){.v2 = path, .v1_cpu = cpu, .v1_memory = memory},
		    &files) < 0)
		cg_die("files");
	tap_ok(drpc_cgroup_files_limits(files, &limits) == all &&
		       drpc_cgroup_files_on_v1(files) == all &&
		       limits.cpu_quota_usec == DRPC_UNLIMITED &&
		       limits.cpu_period_usec == 100000 && limits.mem_max_bytes == DRPC_UNLIMITED,
	       "v1's words for no limit are understood");
	write_file(v1_path(v1_cpu, "box", "cpu.cfs_quota_us"), "50000");
	if (*v1_memory)
		write_file(v1_path(v1_memory, "box", "memory.limit_in_bytes"), "268435456");
	tap_ok(drpc_cgroup_files_limits(files, &limits) == all && limits.cpu_quota_usec == 50000 &&
		       limits.mem_max_bytes == (*v1_memory ? 256 * DRPC_MIB : DRPC_UNLIMITED) &&
		       limits.mem_high_bytes == DRPC_UNLIMITED,
	       "and its limits");
	cg_kill(pid);
	cg_sleep_ms(100);
	drpc_cgroup_files_close(&files);
	drpc_cgroup_roots_close(&roots);
	cg_remove("box");
}

static void unmake_hybrid(void)
{
	unmake_v1("cpu", v1_cpu, "box");
	unmake_v1("memory", v1_memory, "box");
	tap_ok(cg_enable("cpu") && cg_enable("memory"), "cgroup2 has its controllers back");
}

int main(void)
{
	cg_begin();
	if (make_hybrid()) {
		test_container(NULL, "best rung");
		test_container("cgroup=probe reads", "rung of probe reads");
		test_limits();
		unmake_hybrid();
	} else {
		tap_skip("this machine's hierarchies are in use", "counters from v1 cgroups");
	}
	return tap_done();
}
