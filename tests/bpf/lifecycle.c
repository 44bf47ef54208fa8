// SPDX-License-Identifier: Apache-2.0
/*
 * Cgroups that are made and removed, processes that end: the events, their order, their paths; what
 * does not fit into the ring buffer is counted.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/util.h"
#include "tests/bpf/lib/cg.h"
#include "tests/lib/tap.h"

#define EVENTS_MAX 4096

struct seen {
	enum drpc_event_kind kind;
	uint64_t cgroup_id, time_ns;
	uint32_t pid, slot;
	char path[600]; /* "?" where the event had none */
};

static struct seen seen[EVENTS_MAX];
static int n_seen;

/* Keeps the events of this test's folder, and those of processes. */
static void on_event(const struct drpc_event *event, void *unused)
{
	struct seen *s = &seen[n_seen];
	size_t len = strlen(cg_base());

	(void)unused;
	if (n_seen == EVENTS_MAX)
		return;
	if (event->path && event->path[0] && strncmp(event->path, cg_base(), len) != 0)
		return;
	*s = (struct seen){event->kind, event->cgroup_id, event->time_ns,
			   event->pid,	event->slot,	  "?"};
	if (event->path)
		drpc_strcpy(s->path, sizeof(s->path), event->path);
	n_seen++;
}

static void forget(struct drpc_kernel *kernel)
{
	drpc_kernel_consume(kernel, on_event, NULL);
	n_seen = 0;
}

static uint64_t lost(const struct drpc_kernel *kernel)
{
	struct drpc_kernel_stats stats;

	drpc_kernel_stats(kernel, &stats);
	return stats.lost_events;
}

static bool is(int i, enum drpc_event_kind kind, uint64_t id, const char *name)
{
	char path[600];

	snprintf(path, sizeof(path), "%s/%s", cg_base(), name);
	if (i < n_seen && seen[i].kind == kind && seen[i].cgroup_id == id &&
	    !strcmp(seen[i].path, path))
		return true;
	if (i < n_seen)
		printf("# event %d: kind %d id %llu path %s\n", i, seen[i].kind,
		       (unsigned long long)seen[i].cgroup_id, seen[i].path);
	return false;
}

static int count(enum drpc_event_kind kind)
{
	int n = 0;

	for (int i = 0; i < n_seen; i++)
		n += seen[i].kind == kind;
	return n;
}

static void test_order(struct drpc_kernel *kernel)
{
	uint64_t a, b;

	forget(kernel);
	a = cg_make("a");
	b = cg_make("a/b c\x1b[31m\"\xc3\xa9");
	cg_remove("a/b c\x1b[31m\"\xc3\xa9");
	cg_remove("a");
	drpc_kernel_consume(kernel, on_event, NULL);
	tap_ok(n_seen == 4, "two cgroups made and removed are four events (%d)", n_seen);
	tap_ok(is(0, DRPC_EVENT_CGROUP_NEW, a, "a"), "made: id and path");
	tap_ok(is(1, DRPC_EVENT_CGROUP_NEW, b, "a/b c\x1b[31m\"\xc3\xa9"),
	       "made: blanks, escapes and quotes in a name pass unharmed");
	tap_ok(is(2, DRPC_EVENT_CGROUP_GONE, b, "a/b c\x1b[31m\"\xc3\xa9"),
	       "removed: the inner one");
	tap_ok(is(3, DRPC_EVENT_CGROUP_GONE, a, "a"), "removed: the outer one");
	for (int i = 1; i < n_seen; i++)
		if (seen[i].time_ns < seen[i - 1].time_ns)
			a = 0;
	tap_ok(a != 0, "times rise");
}

static void test_long_path(struct drpc_kernel *kernel)
{
	char name[3 * 201] = "";
	uint64_t id[3];

	forget(kernel);
	for (int i = 0; i < 3; i++) {
		size_t len = strlen(name);

		if (i)
			name[len++] = '/';
		memset(name + len, 'x', 200);
		name[len + 200] = '\0';
		id[i] = cg_make(name);
	}
	drpc_kernel_consume(kernel, on_event, NULL);
	tap_ok(n_seen == 3 && strlen(seen[1].path) == strlen(cg_base()) + 1 + 401,
	       "a path of some 400 bytes comes whole");
	tap_ok(n_seen == 3 && seen[2].cgroup_id == id[2] && seen[2].path[0] == '\0',
	       "one too long comes empty, not cut, with its id");
	for (int i = 2; i >= 0; i--) {
		name[i * 201 + 200] = '\0';
		cg_remove(name);
	}
}

/* Makes and removes n cgroups without reading events: all must be seen or counted as lost. */
static void test_burst(struct drpc_kernel *kernel, int n, const char *prefix, bool loss)
{
	char name[260];
	uint64_t before;
	int made;

	forget(kernel);
	before = lost(kernel);
	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "%s%d", prefix, i);
		cg_make(name);
	}
	drpc_kernel_consume(kernel, on_event, NULL);
	made = count(DRPC_EVENT_CGROUP_NEW);
	printf("# %d made: %d seen, %llu lost\n", n, made,
	       (unsigned long long)(lost(kernel) - before));
	tap_ok((uint64_t)made + (lost(kernel) - before) == (uint64_t)n,
	       "burst of %d: seen and lost make up all", n);
	tap_ok((lost(kernel) > before) == loss, "burst of %d: %s", n,
	       loss ? "the ring buffer overflows, and says so" : "none is lost");
	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "%s%d", prefix, i);
		cg_remove(name);
		if (i % 100 == 0)
			drpc_kernel_consume(kernel, on_event, NULL);
	}
	drpc_kernel_consume(kernel, on_event, NULL);
	tap_ok(count(DRPC_EVENT_CGROUP_GONE) == n, "burst of %d: all are seen to go", n);
}

/* A container's first process, of a pid namespace of its own; it makes another inside if `nest`. */
static void first_process(void *nest)
{
	pid_t pid = fork();

	if (pid == 0) {
		if (nest && (unshare(CLONE_NEWPID) < 0 || (pid = fork()) < 0))
			_exit(1);
		if (nest && pid)
			waitpid(pid, NULL, 0);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	cg_sleep_ms(100);
}

static void container(void *arg)
{
	/* The pid namespace is for children: the first of them is the container's first process, and
	 * its parent must be outside, as a runtime's shim is. */
	pid_t pid;
	char path[5000];
	int fd;

	if (unshare(CLONE_NEWPID) < 0)
		_exit(1);
	pid = fork();
	if (pid == 0) {
		snprintf(path, sizeof(path), "%s/cgroup.procs", cg_path("box"));
		fd = open(path, O_WRONLY);
		if (fd < 0 || write(fd, "0", 1) != 1)
			_exit(1);
		first_process(arg);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

static void test_exit(struct drpc_kernel *kernel)
{
	int with_pid = 0, empty = 0;
	uint64_t id;
	uint32_t slot;
	pid_t pid;

	cg_make("shim");
	id = cg_make("box");
	if (drpc_kernel_track(kernel, id, &slot) < 0)
		cg_die("cannot track");
	forget(kernel);
	pid = cg_spawn("shim", -1, container, (void *)1);
	waitpid(pid, NULL, 0);
	drpc_kernel_consume(kernel, on_event, NULL);
	for (int i = 0; i < n_seen; i++) {
		if (seen[i].kind != DRPC_EVENT_EXIT)
			continue;
		tap_ok(seen[i].cgroup_id == id && seen[i].slot == slot,
		       "the end of a container names its cgroup and slot");
		with_pid += seen[i].pid != 0;
		empty += seen[i].pid == 0;
	}
	tap_ok(with_pid == 1,
	       "the first process ends once; namespaces inside are not the container's");
	tap_ok(empty == 1, "the cgroup is told to be empty");
	drpc_kernel_untrack(kernel, id, slot);
	forget(kernel);
	pid = cg_spawn("shim", -1, container, NULL);
	waitpid(pid, NULL, 0);
	drpc_kernel_consume(kernel, on_event, NULL);
	tap_ok(count(DRPC_EVENT_EXIT) == 0, "who is not tracked ends unseen");
	cg_remove("box");
	cg_remove("shim");
}

static void test_root(void)
{
	struct drpc_kernel *kernel;
	int fd;

	cg_make("mine");
	fd = open(cg_path("mine"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	kernel = cg_open((struct drpc_kernel_options){.lifecycle = true, .cgroup_root_fd = fd});
	if (!kernel)
		cg_die("cannot load");
	forget(kernel);
	cg_make("mine/in");
	cg_make("out");
	cg_remove("out");
	cg_remove("mine/in");
	drpc_kernel_consume(kernel, on_event, NULL);
	tap_ok(n_seen == 2 && strstr(seen[0].path, "/mine/in") && strstr(seen[1].path, "/mine/in"),
	       "an agent under a root sees that subtree alone");
	drpc_kernel_close(&kernel);
	close(fd);
	cg_remove("mine");
}

/* Only where the machine has no v1 hierarchies that this would be one more of. */
static void test_v1(struct drpc_kernel *kernel)
{
	const char *what = "a v1 hierarchy's cgroups are not reported";
	_cleanup_free_ char *mounts = NULL;
	char folder[] = "/tmp/drpc-test-v1-XXXXXX", inner[64];

	if (drpc_read_file_at(AT_FDCWD, "/proc/mounts", DRPC_MIB, &mounts) < 0 ||
	    strstr(mounts, " cgroup ") || !mkdtemp(folder)) {
		tap_skip("v1 hierarchies are in use here", what);
		return;
	}
	if (mount("none", folder, "cgroup", 0, "none,name=drpctest") < 0) {
		tap_skip("cannot mount one", what);
		rmdir(folder);
		return;
	}
	forget(kernel);
	snprintf(inner, sizeof(inner), "%s/x", folder);
	mkdir(inner, 0755);
	rmdir(inner);
	drpc_kernel_consume(kernel, on_event, NULL);
	tap_ok(n_seen == 0, "%s", what);
	umount(folder);
	rmdir(folder);
}

static void test_release_rung(void)
{
	struct drpc_kernel *kernel = cg_open((struct drpc_kernel_options){
		.lifecycle = true, .force_rung = "lifecycle=cgroup_release"});
	uint64_t id;

	if (!kernel)
		cg_die("cannot load");
	tap_ok(!strcmp(cg_rung(kernel, "container removed"), "tp_btf/cgroup_release"),
	       "the second rung is taken when forced");
	forget(kernel);
	id = cg_make("late");
	cg_remove("late");
	for (int i = 0; i < 500 && n_seen < 2; i++) {
		cg_sleep_ms(20);
		drpc_kernel_consume(kernel, on_event, NULL);
	}
	tap_ok(is(0, DRPC_EVENT_CGROUP_NEW, id, "late") &&
		       is(1, DRPC_EVENT_CGROUP_GONE, id, "late"),
	       "and reports the removal");
	drpc_kernel_close(&kernel);
}

int main(void)
{
	static char longish[200];
	struct drpc_kernel *kernel;

	cg_begin();
	kernel = cg_open((struct drpc_kernel_options){.lifecycle = true});
	if (!tap_ok(kernel, "the programs load"))
		return tap_done();
	cg_show(kernel);
	test_order(kernel);
	test_long_path(kernel);
	test_burst(kernel, 500, "c", false);
	memset(longish, 'y', sizeof(longish) - 1);
	test_burst(kernel, 1500, longish, true);
	test_exit(kernel);
	test_v1(kernel);
	drpc_kernel_close(&kernel);
	test_root();
	test_release_rung();
	return tap_done();
}
