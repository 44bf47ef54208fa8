// SPDX-License-Identifier: Apache-2.0
/*
 * The hands of tests/e2e/{engine,podman}.sh: acts on real containers through the executor, as the agent does.
 *
 *   engine_actor SOCKET MOUNT JOURNAL list
 *   engine_actor SOCKET MOUNT JOURNAL show ID
 *   engine_actor SOCKET MOUNT JOURNAL act|hold MCPU MIB ID...
 *   engine_actor SOCKET MOUNT JOURNAL scale DEPLOYMENT COUNT
 *   engine_actor SOCKET MOUNT JOURNAL restore
 *   engine_actor SOCKET MOUNT JOURNAL events COUNT
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/execute/executor.h"
#include "agent/execute/replicas.h"
#include "agent/runtime/engine.h"
#include "lib/util.h"

#define WAIT_MS	       20000
#define CONTAINERS_MAX 8

static struct drpc_runtime *rt;
static int mount_fd = -1;
static const char *journal_path;
static bool done;
static int result;
static struct drpc_container container; /* the last that was inspected */
static unsigned int events_left;

static void on_event(void *arg, const struct drpc_runtime_event *event)
{
	static const char *const names[] = {"start", "die", "update", "destroy"};

	(void)arg;
	if (event->kind > DRPC_RUNTIME_DESTROY || events_left == 0)
		return;
	printf("%s %s\n", names[event->kind], event->name);
	fflush(stdout);
	done = --events_left == 0;
}

static void on_list(void *arg, int err, const char *why, const struct drpc_runtime_container *list,
		    size_t n)
{
	(void)arg;
	done = true;
	result = err;
	if (err)
		fprintf(stderr, "list: %s\n", why);
	for (size_t i = 0; i < n; i++)
		printf("%s %s/%s/%u %zu labels %s\n", list[i].name, list[i].project,
		       list[i].service, list[i].number, list[i].label_count,
		       list[i].address_count ? list[i].addresses[0] : "-");
}

/* The cgroup of a process, from its "0::" line. */
static int cgroup_of(int pid, struct drpc_container *c)
{
	char path[64], line[DRPC_PATH_MAX + 8];
	_cleanup_fclose_ FILE *f = NULL;
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "0::/", 4) != 0)
			continue;
		drpc_strcpy(c->cgroup, sizeof(c->cgroup), line + 3);
		if (fstatat(mount_fd, line + 4, &st, 0) < 0)
			return -errno;
		c->cgroup_id = st.st_ino;
		return 0;
	}
	return -ENOENT;
}

static void on_container(void *arg, int err, const char *why,
			 const struct drpc_runtime_container *c)
{
	(void)arg;
	done = true;
	result = err;
	if (err) {
		fprintf(stderr, "inspect: %s\n", why);
		return;
	}
	drpc_strcpy(container.id, sizeof(container.id), c->id);
	drpc_strcpy(container.name, sizeof(container.name), c->name);
	container.init_pid = c->pid;
	container.engine_known = true;
	result = cgroup_of(c->pid, &container);
	printf("nano %" PRId64 " quota %" PRId64 " period %" PRId64 " memory %" PRId64
	       " swap %" PRId64 " %s\n",
	       c->limits.nano_cpus, c->limits.cpu_quota_usec, c->limits.cpu_period_usec,
	       c->limits.memory_bytes, c->limits.memory_swap_bytes,
	       c->running ? "running" : "stopped");
}

static int inspect(const char *id)
{
	done = false;
	if (drpc_runtime_inspect(rt, id, on_container, NULL) < 0 ||
	    drpc_runtime_wait(rt, &done, WAIT_MS) < 0)
		return 1;
	return result < 0;
}

/* Until the container's limits are in force and the engine agrees, or something failed. */
static int wait_settled(struct drpc_executor *ex, const struct drpc_container *c)
{
	struct drpc_executor_status status = {0};
	uint64_t end = drpc_now_ns() + WAIT_MS * DRPC_NSEC_PER_MSEC;
	bool never = false;

	do {
		drpc_executor_tick(ex, drpc_now_ns());
		drpc_runtime_wait(rt, &never, 10);
		if (!drpc_executor_status(ex, c->cgroup_id, &status))
			return 1;
	} while ((status.pending || !status.engine_told) && !status.err && drpc_now_ns() < end);
	printf("%s by %s: %s\n", c->name, drpc_via_name(status.via),
	       status.err	     ? status.why
	       : !status.engine_told ? "the engine was not told in time"
				     : "in force");
	return status.err != 0 || !status.engine_told;
}

static int act(unsigned long mcpu, unsigned long mib, int n, char **ids, bool hold)
{
	struct drpc_executor_config config = {
		.cgroup_fd = mount_fd,
		.runtime = rt,
		.memory_margin_bytes = DRPC_MIB,
		.settle_ns = DRPC_NSEC_PER_SEC / 10,
	};
	struct drpc_container containers[CONTAINERS_MAX];
	struct drpc_target targets[CONTAINERS_MAX];
	struct drpc_apply_result results[CONTAINERS_MAX];
	struct drpc_executor *ex = NULL;
	int r = 0;

	if (n > CONTAINERS_MAX || drpc_journal_open(journal_path, &config.journal) < 0 ||
	    drpc_executor_new(&config, &ex) < 0)
		return 1;
	for (int i = 0; i < n; i++) {
		if (inspect(ids[i]))
			return 1;
		containers[i] = container;
		targets[i] = (struct drpc_target){
			.container = &containers[i],
			.what = DRPC_LIMIT_CPU | DRPC_LIMIT_MEMORY,
			.limits = {.mem_high_bytes = DRPC_UNLIMITED,
				   .mem_max_bytes = mib * DRPC_MIB},
		};
		drpc_limits_set_cpu_mcpu(&targets[i].limits, mcpu);
	}
	if (drpc_executor_apply(ex, targets, (size_t)n, drpc_now_ns(), results))
		fprintf(stderr, "apply: something failed\n");
	for (int i = 0; i < n; i++)
		r |= wait_settled(ex, &containers[i]);
	fflush(stdout);
	if (hold)
		pause(); /* to be killed */
	drpc_runtime_free(&rt);
	drpc_executor_free(&ex);
	drpc_journal_free(&config.journal);
	return r;
}

static void on_scaled(void *arg, const char *deployment, int err, const char *why)
{
	(void)arg;
	printf("%s: %s\n", deployment, err ? why : "done");
	done = true;
	result = err;
}

static int scale(const char *deployment, unsigned long count)
{
	struct drpc_replicas_config config = {
		.runtime = rt,
		.ready_timeout_ns = WAIT_MS * DRPC_NSEC_PER_MSEC,
		.drain_timeout_ns = DRPC_NSEC_PER_SEC,
		.stop_grace_sec = 2,
		.on_done = on_scaled,
	};
	const struct drpc_limits none = {0};
	struct drpc_replicas *replicas = NULL;
	bool never = false;

	if (drpc_journal_open(journal_path, &config.journal) < 0 ||
	    drpc_replicas_new(&config, &replicas) < 0)
		return 1;
	done = drpc_replicas_scale(replicas, deployment, (uint32_t)count, &none, 0) < 0;
	result = done ? -1 : 0;
	while (!done) {
		drpc_replicas_tick(replicas, drpc_now_ns());
		drpc_runtime_wait(rt, &never, 10);
	}
	drpc_runtime_free(&rt);
	drpc_replicas_free(&replicas);
	drpc_journal_free(&config.journal);
	return result < 0;
}

static int restore(void)
{
	struct drpc_restore_config config = {.cgroup_fd = mount_fd, .runtime = rt};
	struct drpc_replicas_config scaled = {.runtime = rt};
	struct drpc_restore_report report = {0};
	struct drpc_replicas *replicas = NULL;
	int r;

	if (drpc_journal_open(journal_path, &config.journal) < 0)
		return 1;
	scaled.journal = config.journal;
	if (drpc_journal_scale_count(config.journal) > 0 &&
	    drpc_replicas_new(&scaled, &replicas) == 0) {
		drpc_replicas_restore_all(replicas, WAIT_MS, &report);
		printf("%u deployments restored, %u waiting %s\n", report.restored, report.waiting,
		       report.why);
	}
	r = drpc_restore_all(&config, WAIT_MS, &report);
	printf("%u restored, %u gone, %u waiting, %u failed %s\n", report.restored, report.gone,
	       report.waiting, report.failed, report.why);
	drpc_runtime_free(&rt);
	drpc_replicas_free(&replicas);
	drpc_journal_free(&config.journal);
	return r != 0;
}

static int run(int argc, char **argv)
{
	const char *command = argv[4];

	if (strcmp(command, "list") == 0) {
		if (drpc_runtime_list(rt, on_list, NULL) < 0 ||
		    drpc_runtime_wait(rt, &done, WAIT_MS) < 0)
			return 1;
		return result < 0;
	}
	if (strcmp(command, "show") == 0 && argc > 5)
		return inspect(argv[5]);
	if ((strcmp(command, "act") == 0 || strcmp(command, "hold") == 0) && argc > 7)
		return act(strtoul(argv[5], NULL, 10), strtoul(argv[6], NULL, 10), argc - 7,
			   argv + 7, command[0] == 'h');
	if (strcmp(command, "scale") == 0 && argc > 6)
		return scale(argv[5], strtoul(argv[6], NULL, 10));
	if (strcmp(command, "restore") == 0)
		return restore();
	if (strcmp(command, "events") == 0 && argc > 5) {
		events_left = (unsigned int)strtoul(argv[5], NULL, 10);
		return drpc_runtime_wait(rt, &done, WAIT_MS) < 0;
	}
	return 2;
}

int main(int argc, char **argv)
{
	int r;

	if (argc < 5)
		return 2;
	journal_path = argv[3];
	mount_fd = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mount_fd < 0 || drpc_engine_new(argv[1], on_event, NULL, &rt) < 0)
		return 1;
	if (drpc_runtime_wait_ready(rt, WAIT_MS) < 0)
		fprintf(stderr, "engine: %s\n", rt->why);
	r = run(argc, argv);
	drpc_runtime_free(&rt);
	close(mount_fd);
	return r;
}
