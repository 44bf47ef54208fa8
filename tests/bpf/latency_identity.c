// SPDX-License-Identifier: Apache-2.0
/*
 * Whose turn it is: nested cgroups, the cap, containers that come and go, address families, and
 * connections that were open before the programs.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/hist.h"
#include "tests/bpf/lib/cg.h"
#include "tests/bpf/lib/conn.h"
#include "tests/lib/tap.h"

static struct drpc_kernel *kernel;

static void ok_turns(const struct conn_meter *meter, uint64_t turns, const char *what)
{
	struct drpc_slot_shard c = conn_since(meter);
	bool ok =
		c.turns == turns && c.seen == turns && conn_dropped(&c) == 0 && conn_consistent(&c);

	if (!ok)
		printf("# seen %llu turns %llu dropped %llu\n", (unsigned long long)c.seen,
		       (unsigned long long)c.turns, (unsigned long long)conn_dropped(&c));
	tap_ok(ok, "%s", what);
}

static void exchanges(const struct conn *c, int n)
{
	for (int i = 0; i < n; i++)
		conn_exchange(c, 50, 50);
}

static void test_nested(void)
{
	uint32_t outer, inner;
	struct conn_meter m, in;
	struct conn c;

	cg_make("pod");
	cg_make("pod/app");
	cg_make("pod/app/worker");
	outer = conn_track(kernel, "pod");
	m = conn_mark(kernel, outer);
	c = conn_open("pod/app/worker", NULL);
	exchanges(&c, 5);
	ok_turns(&m, 5, "a cgroup inside a container counts for the container");
	inner = conn_track(kernel, "pod/app");
	in = conn_mark(kernel, inner);
	exchanges(&c, 3);
	ok_turns(&in, 3, "the nearest tracked one, once it is tracked itself");
	ok_turns(&m, 5, "and no longer for the outer one");
	drpc_kernel_untrack(kernel, cg_id("pod/app"), inner);
	exchanges(&c, 2);
	ok_turns(&m, 7, "the outer one again after that");
	drpc_kernel_untrack(kernel, cg_id("pod"), outer);
	conn_close(&c);
}

static void test_coming_and_going(void)
{
	struct conn c, idle;
	struct conn_meter m, other;
	struct drpc_slot_shard got;
	uint32_t slot, next;

	cg_make("late");
	c = conn_open("late", NULL);
	idle = conn_open("late", NULL);
	conn_say(idle.client, 50); /* waits in the socket, from before it was tracked */
	exchanges(&c, 4);
	cg_sleep_ms(50);
	slot = conn_track(kernel, "late");
	m = conn_mark(kernel, slot);
	exchanges(&c, 4);
	ok_turns(&m, 4, "a connection older than its container's slot counts from then on");
	got = conn_since(&m);
	tap_ok(got.sum_ns[DRPC_HIST_TOTAL] < 50000000, "with no stamp from before");
	conn_close(&idle);

	m = conn_mark(kernel, slot);
	conn_say(c.client, 50);
	conn_hear(c.server, 50);
	drpc_kernel_untrack(kernel, cg_id("late"), slot);
	conn_say(c.server, 50);
	conn_hear(c.client, 50);
	got = conn_since(&m);
	tap_ok(got.seen == 1 && got.dropped[DRPC_DROP_MOVED] == 1 && got.turns == 0,
	       "a turn open while its container leaves: dropped, moved");
	exchanges(&c, 3);
	got = conn_since(&m);
	tap_ok(got.seen == 1, "then nothing is counted");

	slot = conn_track(kernel, "late");
	conn_say(c.client, 50);
	conn_hear(c.server, 50);
	drpc_kernel_untrack(kernel, cg_id("late"), slot);
	/* Slots are given out in turn: go once around to get the same one for another cgroup. */
	cg_make("next");
	do {
		next = conn_track(kernel, "next");
		if (next != slot)
			drpc_kernel_untrack(kernel, cg_id("next"), next);
	} while (next != slot);
	other = conn_mark(kernel, next);
	conn_say(c.server, 50);
	conn_hear(c.client, 50);
	got = conn_since(&other);
	tap_ok(got.seen == 0 && got.turns == 0 && conn_dropped(&got) == 0,
	       "and a slot's next owner hears nothing of the last one's turns");
	drpc_kernel_untrack(kernel, cg_id("next"), next);
	conn_close(&c);
}

static void test_families(void)
{
	static const struct {
		const char *listen, *connect, *what;
	} cases[] = {
		{"127.0.0.1", "127.0.0.1", "IPv4"},
		{"::1", "::1", "IPv6"},
		{"::", "127.0.0.1", "IPv4 to a server on ::"},
	};
	uint32_t slot;
	int probe = socket(AF_INET6, SOCK_STREAM, 0);

	cg_make("families");
	slot = conn_track(kernel, "families");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct conn_meter m = conn_mark(kernel, slot);
		struct conn c;

		if (probe < 0 && strchr(cases[i].listen, ':')) {
			tap_skip("no IPv6 here", cases[i].what);
			continue;
		}
		c = conn_open_at("families", NULL, cases[i].listen, cases[i].connect);
		exchanges(&c, 6);
		ok_turns(&m, 6, cases[i].what);
		conn_close(&c);
	}
	close(probe);
	drpc_kernel_untrack(kernel, cg_id("families"), slot);
}

static void test_over_cap(void)
{
	struct drpc_kernel *small =
		cg_open((struct drpc_kernel_options){.latency = true, .max_containers = 2});
	uint32_t slots[4];
	struct conn_meter m;
	struct conn c;
	char name[16];

	for (int i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "cap%d", i);
		cg_make(name);
		slots[i] = conn_track(small, name);
	}
	tap_ok(slots[0] != DRPC_SLOT_OTHER && slots[1] != DRPC_SLOT_OTHER &&
		       slots[2] == DRPC_SLOT_OTHER && slots[3] == DRPC_SLOT_OTHER,
	       "over the cap everything shares the other slot");
	m = conn_mark(small, DRPC_SLOT_OTHER);
	for (int i = 2; i < 4; i++) {
		snprintf(name, sizeof(name), "cap%d", i);
		c = conn_open(name, NULL);
		exchanges(&c, 3);
		conn_close(&c);
	}
	ok_turns(&m, 6, "and is counted there");
	drpc_kernel_untrack(small, cg_id("cap0"), slots[0]);
	tap_ok(conn_track(small, "cap0") == slots[0], "a slot set free is given out again");
	drpc_kernel_close(&small);
}

/* --- open before ------------------------------------------------------------------------------ */

#define OPEN_BEFORE 40

static bool can_seed(void)
{
	return *cg_rung(kernel, "open connections");
}

static void test_seeding(void)
{
	struct conn c[OPEN_BEFORE];
	uint16_t port = 0;
	int listener = conn_listen("old", "127.0.0.1", &port);
	struct conn_meter m;
	uint32_t slot;
	int seeded;

	for (int i = 0; i < OPEN_BEFORE; i++) {
		c[i].client = conn_connect("old", "127.0.0.1", port);
		c[i].server = accept(listener, NULL, NULL);
	}
	conn_exchange(&c[0], 50, 50);
	conn_say(c[1].client, 50); /* waits while the programs come */
	kernel = cg_open((struct drpc_kernel_options){.latency = true});
	slot = conn_track(kernel, "old");
	m = conn_mark(kernel, slot);
	conn_exchange(&c[0], 50, 50);
	ok_turns(&m, 0, "a connection from before the programs is not seen");
	if (!can_seed()) {
		tap_skip("no socket iterator", "seeding");
	} else {
		seeded = drpc_kernel_seed_sockets(kernel, 0);
		tap_ok(seeded == OPEN_BEFORE, "seeding takes in the server ends: %d of %d", seeded,
		       OPEN_BEFORE);
		conn_hear(c[1].server, 50);
		conn_say(c[1].server, 50);
		conn_hear(c[1].client, 50);
		ok_turns(&m, 1, "with the request that was waiting");
		for (int i = 0; i < OPEN_BEFORE; i++)
			conn_exchange(&c[i], 50, 50);
		ok_turns(&m, 1 + OPEN_BEFORE, "then each of them counts");
		tap_ok(drpc_kernel_seed_sockets(kernel, 0) == 0, "a second time finds nothing new");
	}
	for (int i = 0; i < OPEN_BEFORE; i++)
		conn_close(&c[i]);
	close(listener);
	drpc_kernel_close(&kernel);
}

struct elsewhere {
	int ready[2], go[2];
};

/* A pair of sockets in a network namespace of its own; one exchange a byte from the parent. */
static void live_elsewhere(void *arg)
{
	struct elsewhere *e = arg;
	struct ifreq up = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	struct conn c = {-1, -1, 0};
	int control, listener;
	char byte = 0;

	close(e->go[1]);
	close(e->ready[0]);
	if (unshare(CLONE_NEWNET) < 0)
		_exit(2);
	control = socket(AF_INET, SOCK_DGRAM, 0);
	if (ioctl(control, SIOCSIFFLAGS, &up) < 0)
		_exit(3);
	/* Home is here: the process was put into its cgroup already. */
	listener = conn_listen("old", "127.0.0.1", &c.port);
	conn_enter("old");
	c.client = conn_connect("old", "127.0.0.1", c.port);
	c.server = accept(listener, NULL, NULL);
	if (write(e->ready[1], &byte, 1) != 1)
		_exit(4);
	while (read(e->go[0], &byte, 1) == 1) {
		conn_exchange(&c, 50, 50);
		if (write(e->ready[1], &byte, 1) != 1)
			_exit(5);
	}
	_exit(0);
}

static void test_seeding_elsewhere(void)
{
	struct elsewhere e;
	struct conn_meter m;
	uint32_t slot;
	char byte = 0;
	pid_t pid;

	if (pipe2(e.ready, O_CLOEXEC) < 0 || pipe2(e.go, O_CLOEXEC) < 0)
		cg_die("pipe");
	pid = cg_spawn("old", -1, live_elsewhere, &e);
	close(e.go[0]);
	close(e.ready[1]);
	if (read(e.ready[0], &byte, 1) != 1) {
		tap_skip("no network namespaces here", "seeding in a network namespace");
		waitpid(pid, NULL, 0);
		return;
	}
	kernel = cg_open((struct drpc_kernel_options){.latency = true});
	slot = conn_track(kernel, "old");
	m = conn_mark(kernel, slot);
	if (can_seed()) {
		tap_ok(drpc_kernel_seed_sockets(kernel, 0) == 0, "not found from our namespace");
		tap_ok(drpc_kernel_seed_sockets(kernel, pid) == 1, "found in the process's own");
		if (write(e.go[1], &byte, 1) != 1 || read(e.ready[0], &byte, 1) != 1)
			cg_die("the other namespace");
		ok_turns(&m, 1, "and it counts");
		tap_ok(drpc_kernel_seed_sockets(kernel, 0x3fffffff) == -ENOENT,
		       "a process that has ended is told as such");
	}
	close(e.go[1]);
	waitpid(pid, NULL, 0);
	close(e.ready[0]);
	drpc_kernel_close(&kernel);
}

int main(void)
{
	cg_begin();
	cg_make("old");
	kernel = cg_open((struct drpc_kernel_options){.latency = true});
	if (!kernel) {
		cg_no_latency("identity");
		return tap_done();
	}
	cg_show(kernel);
	test_nested();
	test_coming_and_going();
	test_families();
	test_over_cap();
	drpc_kernel_close(&kernel);
	test_seeding();
	test_seeding_elsewhere();
	return tap_done();
}
