// SPDX-License-Identifier: Apache-2.0
#include "tools/bench/agent_run.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "agent/monitor/discover.h"
#include "agent/monitor/kernel.h"
#include "lib/log.h"
#include "lib/util.h"
#include "tools/bench/exchange.h"
#include "tools/bench/server.h"

#define CONTAINERS  100
#define MANY	    1000
#define PASSES	    301
#define RUN_SECONDS 5

struct agent_run {
	pid_t pid;
	char folder[64];
};

/* The agent that was built with us. */
static int agent_path(char *ret, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", ret, size - 16);
	char *slash;

	if (n < 0)
		return -errno;
	ret[n] = '\0';
	slash = strrchr(ret, '/');
	snprintf(slash + 1, size - (size_t)(slash + 1 - ret), "drpc-agent");
	return access(ret, X_OK) < 0 ? drpc_err(-errno, "bench: %s", ret) : 0;
}

static int agent_start(const char *root, struct agent_run *ret)
{
	struct agent_run run = {.folder = "/tmp/drpc-bench-XXXXXX"};
	char path[512], socket[128], journal[128];
	int r = agent_path(path, sizeof(path));

	if (r < 0)
		return r;
	if (!mkdtemp(run.folder))
		return -errno;
	snprintf(socket, sizeof(socket), "%s/sock", run.folder);
	snprintf(journal, sizeof(journal), "%s/journal", run.folder);
	run.pid = fork();
	if (run.pid < 0) {
		r = -errno;
		rmdir(run.folder);
		return drpc_err(r, "bench: cannot start drpc-agent");
	}
	if (run.pid == 0) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		dup2(null, STDERR_FILENO);
		execl(path, "drpc-agent", "--cgroup-root", root, "--socket", socket, "--journal",
		      journal, "--engine", "none", NULL);
		_exit(127);
	}
	for (int i = 0; i < 100; i++) {
		usleep(50000);
		if (access(socket, F_OK) == 0) {
			usleep(1000000); /* settled */
			*ret = run;
			return 0;
		}
	}
	kill(run.pid, SIGKILL);
	waitpid(run.pid, NULL, 0);
	return drpc_err(-ETIMEDOUT, "bench: drpc-agent did not start");
}

static void agent_stop(struct agent_run *run)
{
	_cleanup_free_ char *command = NULL;

	kill(run->pid, SIGTERM);
	waitpid(run->pid, NULL, 0);
	/* The folder is ours, from mkdtemp(). NOLINTNEXTLINE(cert-env33-c) */
	if (asprintf(&command, "rm -rf '%s'", run->folder) > 0 && system(command) != 0)
		drpc_warn("bench: cannot remove %s, ignoring", run->folder);
}

/* User and system time of all its threads, in seconds. */
static double agent_cpu_sec(const struct agent_run *run)
{
	_cleanup_free_ char *path = NULL, *text = NULL;
	unsigned long user = 0, system = 0;
	char *after;

	if (asprintf(&path, "/proc/%d/stat", run->pid) < 0 ||
	    drpc_read_file_at(AT_FDCWD, path, 4096, &text) <= 0)
		return NAN;
	after = strrchr(text, ')');
	if (!after || sscanf(after + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
			     &user, &system) != 2)
		return NAN;
	return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static double agent_status_mib(const struct agent_run *run, const char *field)
{
	_cleanup_free_ char *path = NULL, *text = NULL;
	char *at;

	if (asprintf(&path, "/proc/%d/status", run->pid) < 0 ||
	    drpc_read_file_at(AT_FDCWD, path, 65536, &text) <= 0)
		return NAN;
	at = strstr(text, field);
	return at ? strtod(at + strlen(field), NULL) / 1024 : NAN;
}

static int measure_cpu(const struct agent_run *run, const struct server *server, double rate,
		       const char *name, struct bench_report *report)
{
	struct exchange exchange = {
		.port = server->port,
		.connections = 128,
		.request = server->request,
		.request_len = server->request_len,
		.response_len = server->response_len,
		.rate = rate,
		.seconds = RUN_SECONDS,
	};
	struct exchange_result result;
	double before = agent_cpu_sec(run);
	int r = exchange_run(&exchange, &result);

	if (r < 0)
		return r;
	bench_note(report, "%s: %.0f requests/s were reached", name,
		   (double)result.answered / result.seconds);
	bench_add(report, "mcpu", (agent_cpu_sec(run) - before) / result.seconds * 1000, "%s",
		  name);
	exchange_result_free(&result);
	return 0;
}

static int measure_busy(int server_cpu, const char *parent, struct bench_report *report)
{
	struct agent_run run = {0};
	struct server server;
	int r = server_start(SERVER_REDIS, server_cpu, &server);

	if (r < 0)
		return r;
	r = agent_start(parent, &run);
	if (r == 0) {
		r = measure_cpu(&run, &server, 10000, "agent_mcpu_10k", report);
		if (r == 0)
			r = measure_cpu(&run, &server, 100000, "agent_mcpu_100k", report);
		agent_stop(&run);
	}
	server_stop(&server);
	return r;
}

static int make_containers(const char *parent, int count)
{
	char path[400];
	int r = mkdir(parent, 0755) < 0 ? -errno : 0;

	for (int i = 0; i < count && r == 0; i++) {
		snprintf(path, sizeof(path), "%s/container-%d", parent, i);
		r = mkdir(path, 0755) < 0 ? -errno : 0;
	}
	return r;
}

static void remove_containers(const char *parent, int count)
{
	char path[400];

	for (int i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s/container-%d", parent, i);
		rmdir(path);
	}
	rmdir(parent);
}

static int measure_memory(const char *parent, struct bench_report *report)
{
	struct agent_run run = {0};
	int r = make_containers(parent, CONTAINERS);

	if (r == 0)
		r = agent_start(parent, &run);
	if (r == 0) {
		double cpu = agent_cpu_sec(&run);

		usleep(RUN_SECONDS * 1000000);
		bench_note(report, "agent with %d idle containers: %.1f MiB, peak %.1f, %.1f mCPU",
			   CONTAINERS, agent_status_mib(&run, "VmRSS:"),
			   agent_status_mib(&run, "VmHWM:"),
			   (agent_cpu_sec(&run) - cpu) / RUN_SECONDS * 1000);
		bench_add(report, "MiB", agent_status_mib(&run, "VmRSS:"), "agent_rss_mib");
		bench_add(report, "MiB", agent_status_mib(&run, "VmHWM:"), "agent_rss_peak_mib");
		agent_stop(&run);
	}
	remove_containers(parent, CONTAINERS);
	return r;
}

/* One pass of the cgroup iterator, by itself, one after the other: the caches are warm. */
static int measure_pass(const char *parent, struct bench_report *report)
{
	static double took_us[PASSES];
	struct drpc_kernel_options options = {.cgroup_iter = true, .cgroup_root_fd = -1};
	struct drpc_kernel *kernel = NULL;
	char path[400];
	int r = drpc_kernel_open(&options, &kernel);

	for (int i = 0; i < MANY && r == 0; i++) {
		struct stat st;
		uint32_t slot;

		snprintf(path, sizeof(path), "%s/container-%d", parent, i);
		r = stat(path, &st) < 0 ? -errno : drpc_kernel_track(kernel, st.st_ino, &slot);
	}
	for (int i = 0; i < PASSES && r == 0; i++) {
		uint64_t from = drpc_now_ns();

		r = drpc_kernel_scan_cgroups(kernel);
		took_us[i] = (double)(drpc_now_ns() - from) / 1e3;
	}
	if (r == 0)
		bench_add(report, "us", bench_median(took_us, PASSES), "iter_pass_%d_us", MANY);
	drpc_kernel_close(&kernel);
	return r;
}

static int measure_many(const char *parent, struct bench_report *report)
{
	struct agent_run run = {0};
	int r = make_containers(parent, MANY);

	if (r == 0)
		r = measure_pass(parent, report);
	if (r == 0)
		r = agent_start(parent, &run);
	if (r == 0) {
		double cpu = agent_cpu_sec(&run);

		usleep(2 * RUN_SECONDS * 1000000);
		bench_add(report, "mcpu", (agent_cpu_sec(&run) - cpu) / (2 * RUN_SECONDS) * 1000,
			  "agent_%d_cgroups_mcpu", MANY);
		agent_stop(&run);
	}
	remove_containers(parent, MANY);
	return r;
}

int bench_agent(int server_cpu, struct bench_report *report)
{
	struct drpc_discover discover;
	char parent[300];
	int r = drpc_discover_init(&discover, NULL);

	if (r < 0)
		return r;
	server_parent_cgroup(discover.mount, parent, sizeof(parent));
	r = measure_busy(server_cpu, parent, report);
	if (r == 0)
		r = measure_memory(parent, report);
	return r < 0 ? r : measure_many(parent, report);
}
