// SPDX-License-Identifier: Apache-2.0
#include "tests/bpf/lib/cg.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "agent/monitor/cgroup_files.h"
#include "agent/monitor/discover.h"
#include "lib/util.h"

#define PATH_BYTES 4096

static struct drpc_discover where;
static char base[64];
static pid_t owner;

void cg_die(const char *fmt, ...)
{
	va_list args;

	printf("Bail out! ");
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf(": %s\n", strerror(errno));
	fflush(stdout);
	exit(1);
}

static void skip_all(const char *why)
{
	printf("1..0 # SKIP %s\n", why);
	exit(0);
}

void cg_begin(void)
{
	if (geteuid() != 0)
		skip_all("not root");
	if (drpc_discover_init(&where, NULL) < 0)
		skip_all("no cgroup2 file system");
	owner = getpid();
	snprintf(base, sizeof(base), "/drpc-test-%d", owner);
	if (mkdir(cg_path(""), 0755) < 0)
		skip_all("cgroups cannot be made here");
	atexit(cg_end);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
	(void)st;
	(void)walk;
	if (type == FTW_DP)
		rmdir(path);
	return 0;
}

void cg_end(void)
{
	if (getpid() != owner)
		return;
	for (int i = 0; i < 50 && access(cg_path(""), F_OK) == 0; i++) {
		nftw(cg_path(""), remove_one, 16, FTW_DEPTH | FTW_PHYS);
		cg_sleep_ms(20); /* processes take a moment to leave */
	}
}

const char *cg_mount(void)
{
	return where.mount;
}

const char *cg_base(void)
{
	return base;
}

const char *cg_path(const char *name)
{
	static char path[PATH_BYTES];

	snprintf(path, sizeof(path), "%s%s%s%s", where.mount, base, *name ? "/" : "", name);
	return path;
}

/* A file of a cgroup. */
static const char *file_path(const char *name, const char *file)
{
	static char path[PATH_BYTES + 64];

	snprintf(path, sizeof(path), "%s/%s", cg_path(name), file);
	return path;
}

uint64_t cg_id(const char *name)
{
	struct stat st;

	if (stat(cg_path(name), &st) < 0)
		cg_die("stat %s", cg_path(name));
	return st.st_ino;
}

uint64_t cg_make(const char *name)
{
	if (mkdir(cg_path(name), 0755) < 0)
		cg_die("mkdir %s", cg_path(name));
	return cg_id(name);
}

void cg_remove(const char *name)
{
	/* The last process may have been reaped and not yet have left. */
	for (int i = 0; i < 100; i++) {
		if (rmdir(cg_path(name)) == 0)
			return;
		if (errno != EBUSY)
			break;
		cg_sleep_ms(10);
	}
	cg_die("rmdir %s", cg_path(name));
}

static bool put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

void cg_write(const char *name, const char *file, const char *text)
{
	if (!put(file_path(name, file), text))
		cg_die("write %s to %s of %s", text, file, name);
}

bool cg_enable(const char *controller)
{
	char path[512], text[64];

	snprintf(text, sizeof(text), "+%s", controller);
	snprintf(path, sizeof(path), "%s/cgroup.subtree_control", where.mount);
	put(path, text);
	return put(file_path("", "cgroup.subtree_control"), text);
}

pid_t cg_spawn(const char *name, int cpu, void (*fn)(void *), void *arg)
{
	const char *path = file_path(name, "cgroup.procs");
	int ready[2];
	pid_t pid;
	char c;

	if (pipe2(ready, O_CLOEXEC) < 0)
		cg_die("pipe");
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		cg_die("fork");
	if (pid == 0) {
		cpu_set_t set;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		CPU_ZERO(&set);
		CPU_SET(cpu < 0 ? 0 : cpu, &set);
		if (!put(path, "0") || (cpu >= 0 && sched_setaffinity(0, sizeof(set), &set) < 0))
			_exit(111);
		if (write(ready[1], "", 1) != 1)
			_exit(111);
		fn(arg);
		_exit(0);
	}
	close(ready[1]);
	if (read(ready[0], &c, 1) != 1)
		cg_die("a process cannot enter %s", path);
	close(ready[0]);
	return pid;
}

void cg_burn(void *unused)
{
	volatile unsigned int spin = 0;

	(void)unused;
	for (;;)
		spin++;
}

/* A stopping task tells its parent before it leaves the CPU. */
static void wait_off_cpu(pid_t pid)
{
	char path[64], last[128] = "";

	snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
	for (int i = 0; i < 100; i++) {
		_cleanup_free_ char *now = NULL;

		cg_sleep_ms(50);
		if (drpc_read_file_at(AT_FDCWD, path, sizeof(last) - 1, &now) < 0 ||
		    !strcmp(now, last))
			return;
		drpc_strcpy(last, sizeof(last), now);
	}
}

void cg_stop(pid_t pid)
{
	int status;

	kill(pid, SIGSTOP);
	if (waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status))
		cg_die("process %d does not stop", pid);
	wait_off_cpu(pid);
}

void cg_kill(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

bool cg_files(const char *name, struct drpc_cgroup_counters *ret)
{
	struct drpc_cgroup_roots roots = DRPC_CGROUP_ROOTS_NONE;
	struct drpc_cgroup_files *files = NULL;
	char path[4096];
	bool ok;

	snprintf(path, sizeof(path), "%s%s%s", base, *name ? "/" : "", name);
	if (drpc_cgroup_roots_open(&roots) < 0)
		return false;
	ok = drpc_cgroup_files_open(&roots, &(struct drpc_cgroup_paths){.v2 = path}, &files) == 0 &&
	     drpc_cgroup_files_read(files, ret) == 0;
	drpc_cgroup_files_close(&files);
	drpc_cgroup_roots_close(&roots);
	return ok;
}

bool cg_schedstat(pid_t pid, uint64_t *ret_wait_ns, uint64_t *ret_switches)
{
	_cleanup_free_ char *text = NULL;
	char path[64], *at;
	uint64_t n[3] = {0};

	snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
	if (drpc_read_file_at(AT_FDCWD, path, 256, &text) < 0)
		return false;
	/* "on the CPU, waiting, switch-ins" */
	at = text;
	for (int i = 0; i < 3; i++)
		n[i] = strtoull(at, &at, 10);
	if (n[2] == 0)
		return false;
	*ret_wait_ns = n[1];
	*ret_switches = n[2];
	return true;
}

bool cg_emulated(void)
{
	_cleanup_free_ char *text = NULL;

	return drpc_read_file_at(AT_FDCWD, "/proc/cpuinfo", DRPC_MIB, &text) > 0 &&
	       strstr(text, "QEMU");
}

bool cg_kernel_before(unsigned int major, unsigned int minor)
{
	struct utsname name;
	char *end;
	unsigned long here;

	if (uname(&name) < 0)
		return false;
	here = strtoul(name.release, &end, 10);
	if (here != major)
		return here < major;
	return *end == '.' && strtoul(end + 1, NULL, 10) < minor;
}

void cg_sleep_ms(unsigned int ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	while (nanosleep(&ts, &ts) < 0 && errno == EINTR) {}
}

struct drpc_kernel *cg_open(struct drpc_kernel_options options)
{
	struct drpc_kernel *kernel = NULL;

	if (!options.max_containers)
		options.max_containers = 16;
	if (options.cgroup_root_fd == 0)
		options.cgroup_root_fd = -1;
	if (access("/sys/kernel/btf/vmlinux", R_OK) < 0)
		skip_all("this kernel has no BTF");
	return drpc_kernel_open(&options, &kernel) < 0 ? NULL : kernel;
}

/* --- what the kernel would allow --------------------------------------------------------------- */

bool cg_can_trace(enum bpf_attach_type type, const char *name)
{
	const struct bpf_insn nothing[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = type);
	_cleanup_close_ int program = -1, link = -1;
	int id = libbpf_find_vmlinux_btf_id(name, type);

	if (id <= 0)
		return false;
	opts.attach_btf_id = (uint32_t)id;
	program = bpf_prog_load(BPF_PROG_TYPE_TRACING, "nothing", "Dual BSD/GPL", nothing,
				DRPC_ARRAY_SIZE(nothing), &opts);
	if (program < 0)
		return false;
	link = bpf_raw_tracepoint_open(NULL, program);
	return link >= 0;
}

bool cg_can_measure_latency(bool by_tracepoints)
{
	return cg_can_trace(BPF_TRACE_RAW_TP, "tcp_probe") &&
	       cg_can_trace(BPF_TRACE_RAW_TP, "inet_sock_set_state") &&
	       (by_tracepoints ? cg_can_trace(BPF_TRACE_RAW_TP, "sock_recv_length") &&
					 cg_can_trace(BPF_TRACE_RAW_TP, "sock_send_length")
			       : cg_can_trace(BPF_TRACE_FEXIT, "tcp_recvmsg") &&
					 cg_can_trace(BPF_TRACE_FEXIT, "tcp_sendmsg"));
}

const char *cg_rung(const struct drpc_kernel *kernel, const char *need)
{
	size_t n;
	const struct drpc_hook_status *hooks = drpc_kernel_hooks(kernel, &n);

	for (size_t i = 0; i < n; i++) {
		if (!strcmp(hooks[i].need, need))
			return hooks[i].rung;
	}
	return "";
}

void cg_show(const struct drpc_kernel *kernel)
{
	size_t n;
	const struct drpc_hook_status *hooks = drpc_kernel_hooks(kernel, &n);

	for (size_t i = 0; i < n; i++)
		printf("# %s: %s%s%s\n", hooks[i].need, hooks[i].working ? hooks[i].rung : "none",
		       *hooks[i].reason ? "; " : "", hooks[i].reason);
}
