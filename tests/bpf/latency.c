// SPDX-License-Identifier: Apache-2.0
/*
 * Turns on real connections: what is counted, and how long it says they took, on every rung of the
 * ladder that this kernel has. The phases of a turn are bracketed by the test's own clock, taken
 * before and after the calls that begin and end them, so the bounds are exact.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/hist.h"
#include "lib/util.h"
#include "tests/bpf/lib/cg.h"
#include "tests/bpf/lib/conn.h"
#include "tests/lib/tap.h"

static struct drpc_kernel *kernel;
static uint32_t slot;
static const char *rung;

/* A phase that began in [begin.from, begin.to] and ended in [end.from, end.to]. */
struct moment {
	uint64_t from, to;
};

static bool lasted(uint64_t ns, struct moment begin, struct moment end)
{
	return ns >= end.from - begin.to && ns <= end.to - begin.from;
}

static void show(const struct drpc_slot_shard *c)
{
	printf("# seen %llu turns %llu unread %llu dropped %llu accepts %llu resets %llu; sums us: total %llu queue %llu service %llu send %llu accept %llu\n",
	       (unsigned long long)c->seen, (unsigned long long)c->turns,
	       (unsigned long long)c->unread, (unsigned long long)conn_dropped(c),
	       (unsigned long long)c->accepts, (unsigned long long)c->resets,
	       (unsigned long long)c->sum_ns[DRPC_HIST_TOTAL] / 1000,
	       (unsigned long long)c->sum_ns[DRPC_HIST_QUEUE] / 1000,
	       (unsigned long long)c->sum_ns[DRPC_HIST_SERVICE] / 1000,
	       (unsigned long long)c->sum_ns[DRPC_HIST_SEND] / 1000,
	       (unsigned long long)c->sum_ns[DRPC_HIST_ACCEPT] / 1000);
}

static void ok_counts(const struct drpc_slot_shard *c, uint64_t turns, const char *what)
{
	bool ok =
		c->turns == turns && c->seen == turns && conn_dropped(c) == 0 && conn_consistent(c);

	if (!ok)
		show(c);
	tap_ok(ok, "%s: %s: each turn counted once", rung, what);
}

#define TIMED(moment, call)                    \
	do {                                   \
		(moment).from = drpc_now_ns(); \
		call;                          \
		(moment).to = drpc_now_ns();   \
	} while (0)

static void test_phases(void)
{
	struct conn c = conn_open("srv", NULL);
	struct conn_meter m = conn_mark(kernel, slot);
	struct moment sent, read, first, last;
	struct drpc_slot_shard got;
	bool one;

	TIMED(sent, conn_say(c.client, 100));
	cg_sleep_ms(8);
	TIMED(read, conn_hear(c.server, 100));
	cg_sleep_ms(4);
	TIMED(first, conn_say(c.server, 100));
	cg_sleep_ms(2);
	TIMED(last, conn_say(c.server, 100));
	got = conn_since(&m);
	ok_counts(&got, 1, "a turn");
	tap_ok(lasted(got.sum_ns[DRPC_HIST_QUEUE], sent, read), "%s: queue: arrival to read", rung);
	tap_ok(lasted(got.sum_ns[DRPC_HIST_SERVICE], read, first),
	       "%s: service: read to first byte", rung);
	tap_ok(lasted(got.sum_ns[DRPC_HIST_SEND], first, last), "%s: send: first to last byte",
	       rung);
	tap_ok(lasted(got.sum_ns[DRPC_HIST_TOTAL], sent, last), "%s: total: arrival to last byte",
	       rung);
	one = true;
	for (int kind = DRPC_HIST_TOTAL; kind <= DRPC_HIST_SEND; kind++)
		one &= got.hist[kind][drpc_hist_index(got.sum_ns[kind])] == 1;
	tap_ok(one, "%s: and the buckets hold what the sums say", rung);
	conn_close(&c);
}

static void test_keep_alive(void)
{
	struct conn c = conn_open("srv", NULL);
	struct conn_meter m = conn_mark(kernel, slot);
	struct drpc_slot_shard got;

	for (int i = 0; i < 1000; i++)
		conn_exchange(&c, 100 + (size_t)i % 7 * 300, 1 + (size_t)i % 5 * 1000);
	got = conn_since(&m);
	ok_counts(&got, 1000, "1000 keep-alive exchanges");
	tap_ok(got.accepts == 0 && got.resets == 0, "%s: no connection more", rung);
	conn_close(&c);
}

static void test_request_in_parts(void)
{
	struct conn c = conn_open("srv", NULL);
	struct conn_meter m = conn_mark(kernel, slot);
	struct moment sent, read, answered;
	struct drpc_slot_shard got;

	TIMED(sent, conn_say(c.client, 4000));
	cg_sleep_ms(2);
	TIMED(read, conn_hear(c.server, 1000));
	conn_hear(c.server, 3000);
	conn_say(c.client, 4000); /* the rest of it comes later */
	cg_sleep_ms(3);
	conn_hear(c.server, 4000);
	TIMED(answered, conn_say(c.server, 10));
	got = conn_since(&m);
	ok_counts(&got, 1, "a request read in three parts");
	tap_ok(lasted(got.sum_ns[DRPC_HIST_QUEUE], sent, read) &&
		       lasted(got.sum_ns[DRPC_HIST_SERVICE], read, answered),
	       "%s: its first part begins it", rung);
	TIMED(sent, conn_say(c.client, 10));
	m = conn_mark(kernel, slot);
	TIMED(read, conn_hear(c.server, 10));
	conn_say(c.server, 10);
	got = conn_since(&m);
	tap_ok(lasted(got.sum_ns[DRPC_HIST_QUEUE], sent, read),
	       "%s: and leaves no stamp to the next one", rung);
	conn_close(&c);
}

static void test_pipelined(void)
{
	struct conn c = conn_open("srv", NULL);
	struct conn_meter m = conn_mark(kernel, slot);
	struct moment sent, first, second;
	struct drpc_slot_shard got;

	TIMED(sent, conn_say(c.client, 200)); /* two requests in one segment */
	TIMED(first, conn_hear(c.server, 100));
	cg_sleep_ms(5);
	conn_say(c.server, 50);
	TIMED(second, conn_hear(c.server, 100));
	conn_say(c.server, 50);
	got = conn_since(&m);
	ok_counts(&got, 2, "two pipelined requests read one by one");
	tap_ok(got.sum_ns[DRPC_HIST_QUEUE] >= (first.from - sent.to) + (second.from - sent.to) &&
		       got.sum_ns[DRPC_HIST_QUEUE] <=
			       (first.to - sent.from) + (second.to - sent.from),
	       "%s: the second waited since both came", rung);
	conn_close(&c);
}

static void test_drops(void)
{
	struct conn c = conn_open("srv", NULL);
	struct conn_meter m = conn_mark(kernel, slot);
	struct drpc_slot_shard got;

	conn_say(c.client, 10);
	conn_hear(c.server, 10);
	got = conn_since(&m);
	tap_ok(got.seen == 1 && conn_inflight(&got) == 1, "%s: a turn read is in flight", rung);
	conn_close(&c);
	got = conn_since(&m);
	tap_ok(got.dropped[DRPC_DROP_CLOSED] == 1 && conn_inflight(&got) == 0 && got.turns == 0,
	       "%s: closed before the answer: dropped, closed", rung);

	c = conn_open("srv", NULL);
	m = conn_mark(kernel, slot);
	conn_say(c.client, 10);
	conn_hear(c.server, 10);
	conn_abort(&c.client);
	got = conn_since(&m);
	tap_ok(got.dropped[DRPC_DROP_RESET] == 1 && conn_inflight(&got) == 0 && got.resets == 1,
	       "%s: reset by the client: dropped, reset", rung);
	conn_close(&c);

	c = conn_open("srv", NULL);
	m = conn_mark(kernel, slot);
	conn_say(c.client, 10);
	conn_hear(c.server, 10);
	conn_abort(&c.server);
	got = conn_since(&m);
	tap_ok(got.dropped[DRPC_DROP_RESET] == 1 && conn_inflight(&got) == 0 && got.resets == 1,
	       "%s: reset by the server: dropped, reset", rung);
	conn_close(&c);

	c = conn_open("srv", NULL);
	m = conn_mark(kernel, slot);
	conn_exchange(&c, 10, 10);
	conn_say(c.client, 10); /* arrives, is never read: no turn began */
	conn_abort(&c.client);
	got = conn_since(&m);
	tap_ok(got.seen == 1 && got.turns == 1 && got.resets == 1,
	       "%s: what was never read is no turn", rung);
	conn_close(&c);
}

static void test_half_close(void)
{
	struct conn c = conn_open("srv", NULL);
	struct conn_meter m = conn_mark(kernel, slot);
	struct drpc_slot_shard got;
	char byte;

	conn_say(c.client, 10);
	shutdown(c.client, SHUT_WR);
	conn_hear(c.server, 10);
	if (read(c.server, &byte, 1) != 0)
		cg_die("no end of file");
	conn_say(c.server, 10);
	got = conn_since(&m);
	ok_counts(&got, 1, "answer after the client's half-close");
	conn_close(&c);
}

/* A server's bytes that nobody asked for do not stretch the last turn. */
static void test_unasked(void)
{
	struct conn c = conn_open("srv", NULL);
	struct conn_meter m = conn_mark(kernel, slot);
	struct drpc_slot_shard got;

	conn_say(c.server, 10); /* a greeting */
	conn_hear(c.client, 10);
	got = conn_since(&m);
	tap_ok(got.seen == 0 && got.turns == 0, "%s: a greeting is no turn", rung);
	conn_exchange(&c, 10, 10);
	cg_sleep_ms(1200);
	conn_say(c.server, 10);
	got = conn_since(&m);
	tap_ok(got.turns == 1 && got.sum_ns[DRPC_HIST_TOTAL] < 500 * DRPC_NSEC_PER_MSEC,
	       "%s: a message long after the answer is no part of it", rung);
	conn_close(&c);
}

static void test_accept(void)
{
	bool hooked = strstr(cg_rung(kernel, "accept wait"), "inet_csk_accept");
	struct conn_meter m = conn_mark(kernel, slot);
	struct moment came, sent, taken, read;
	struct drpc_slot_shard got;
	struct conn c = {-1, -1, 0};
	int listener = conn_listen("srv", "127.0.0.1", &c.port);

	TIMED(came, c.client = conn_connect(NULL, "127.0.0.1", c.port));
	cg_sleep_ms(3);
	TIMED(sent, conn_say(c.client, 10));
	cg_sleep_ms(3);
	TIMED(taken, c.server = accept(listener, NULL, NULL));
	TIMED(read, conn_hear(c.server, 10));
	conn_say(c.server, 10);
	got = conn_since(&m);
	ok_counts(&got, 1, "a request before accept");
	tap_ok(got.accepts == 1 && drpc_hist_count(got.hist[DRPC_HIST_ACCEPT]) == 1,
	       "%s: a connection accepted", rung);
	tap_ok(hooked ? lasted(got.sum_ns[DRPC_HIST_ACCEPT], came, taken)
		      : lasted(got.sum_ns[DRPC_HIST_ACCEPT], sent, read),
	       "%s: accept wait %s", rung, hooked ? "to accept()" : "as the first request felt it");
	tap_ok(lasted(got.sum_ns[DRPC_HIST_QUEUE], sent, read), "%s: which is queue time too",
	       rung);
	conn_close(&c);
	close(listener);
}

static void serve_forked(void *arg)
{
	int listener = *(int *)arg, fd = accept(listener, NULL, NULL);

	if (fork() == 0) {
		for (int i = 0; i < 50; i++) {
			conn_hear(fd, 100);
			conn_say(fd, 100);
		}
		_exit(0);
	}
	close(fd);
	wait(NULL);
}

static void test_forked(void)
{
	struct conn_meter m = conn_mark(kernel, slot);
	struct drpc_slot_shard got;
	uint16_t port = 0;
	int listener = conn_listen("srv", "127.0.0.1", &port), client;
	pid_t pid = cg_spawn("srv", -1, serve_forked, &listener);

	client = conn_connect(NULL, "127.0.0.1", port);
	for (int i = 0; i < 50; i++) {
		conn_say(client, 100);
		conn_hear(client, 100);
	}
	waitpid(pid, NULL, 0);
	got = conn_since(&m);
	ok_counts(&got, 50, "answers from a forked child");
	close(client);
	close(listener);
}

/* Client and server race on two CPUs: the next request may arrive before our send hook has run. */
#define RACE_TURNS 20000

static void *race_server(void *arg)
{
	const struct conn *c = arg;

	for (int i = 0; i < RACE_TURNS; i++) {
		conn_hear(c->server, 64);
		conn_say(c->server, 64);
	}
	return NULL;
}

static void test_race(void)
{
	struct conn c[4];
	pthread_t thread[4];
	struct conn_meter m = conn_mark(kernel, slot);
	struct drpc_slot_shard got;
	int turns = cg_emulated() ? RACE_TURNS / 20 : RACE_TURNS;

	for (int i = 0; i < 4; i++)
		c[i] = conn_open("srv", NULL);
	for (int i = 0; i < 4; i++)
		pthread_create(&thread[i], NULL, race_server, &c[i]);
	for (int n = 0; n < turns; n++) {
		for (int i = 0; i < 4; i++)
			conn_say(c[i].client, 64);
		for (int i = 0; i < 4; i++)
			conn_hear(c[i].client, 64);
	}
	for (int i = 0; turns < RACE_TURNS && i < 4; i++)
		pthread_cancel(thread[i]);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	got = conn_since(&m);
	ok_counts(&got, 4ULL * (uint64_t)turns, "client and server racing");
	for (int i = 0; i < 4; i++)
		conn_close(&c[i]);
}

static void run(const char *force)
{
	struct drpc_kernel_options options = {.latency = true, .force_rung = force};
	struct drpc_kernel_stats stats;

	rung = force + strlen("latency=");
	kernel = cg_open(options);
	if (!kernel) {
		if (cg_can_measure_latency(strcmp(rung, "tp_btf") == 0))
			tap_ok(false, "%s: the kernel has the hooks, and takes the programs", rung);
		else
			tap_skip("this kernel lacks the hooks of this rung", rung);
		return;
	}
	cg_show(kernel);
	slot = conn_track(kernel, "srv");
	tap_ok(strstr(cg_rung(kernel, "application read"), rung) &&
		       strstr(cg_rung(kernel, "application wrote"), rung),
	       "%s: the forced rung holds", rung);
	test_phases();
	test_keep_alive();
	test_request_in_parts();
	test_pipelined();
	test_drops();
	test_half_close();
	test_unasked();
	test_accept();
	test_forked();
	test_race();
	drpc_kernel_stats(kernel, &stats);
	printf("# %llu runs missed\n", (unsigned long long)stats.missed_runs);
	drpc_kernel_close(&kernel);
}

int main(void)
{
	cg_begin();
	cg_make("srv");
	run("latency=tp_btf");
	run("latency=fexit");
	return tap_done();
}
