// SPDX-License-Identifier: Apache-2.0
/* Caller -> callee relations, and exemplars of slow turns. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/hist.h"
#include "lib/util.h"
#include "tests/bpf/lib/cg.h"
#include "tests/bpf/lib/conn.h"
#include "tests/lib/tap.h"

#define MSEC DRPC_NSEC_PER_MSEC

static struct drpc_kernel *kernel;
static uint32_t front, back;

/* The edge from `caller` to an address, zeroes where there is none. */
static struct drpc_edge edge_to(uint32_t caller, const char *address, uint16_t port)
{
	static struct drpc_edge edges[64], none;
	size_t n = drpc_kernel_edges(kernel, edges, DRPC_ARRAY_SIZE(edges));
	char want[64];

	snprintf(want, sizeof(want), strchr(address, ':') ? "[%s]:%u" : "%s:%u", address, port);
	for (size_t i = 0; i < DRPC_MIN(n, DRPC_ARRAY_SIZE(edges)); i++)
		if (edges[i].caller_slot == caller && !strcmp(edges[i].address, want))
			return edges[i];
	return none;
}

static void test_edge(const char *listen_address, const char *address)
{
	struct conn c = conn_open_at("back", "front", listen_address, address);
	struct drpc_edge edge;
	uint64_t begin = drpc_now_ns();

	for (int i = 0; i < 100; i++)
		conn_exchange(&c, 100, 300);
	for (int i = 0; i < 3; i++) {
		conn_say(c.client, 100);
		conn_hear(c.server, 100);
		cg_sleep_ms(5);
		conn_say(c.server, 100);
		conn_hear(c.client, 100);
	}
	edge = edge_to(front, address, c.port);
	tap_ok(edge.count == 103 && edge.failures == 0, "%s: every request of the caller", address);
	tap_ok(edge.callee_slot == back, "%s: the callee is known by its address", address);
	tap_ok(drpc_hist_count(edge.hist) == 103 && edge.sum_ns >= 15 * MSEC &&
		       edge.sum_ns <= drpc_now_ns() - begin,
	       "%s: and how long they took", address);
	tap_ok(drpc_hist_quantile_ns(edge.hist, 0.99) >= 5e6 * 0.95 &&
		       drpc_hist_quantile_ns(edge.hist, 0.5) < 4e6,
	       "%s: the slow ones apart from the fast ones", address);
	conn_close(&c);
}

static void test_in_parts(void)
{
	struct conn c = conn_open("back", "front");
	struct drpc_edge edge;

	for (int i = 0; i < 10; i++) {
		conn_say(c.client, 100); /* one request in two writes, answered in two */
		conn_say(c.client, 100);
		conn_hear(c.server, 200);
		conn_say(c.server, 100);
		cg_sleep_ms(2);
		conn_say(c.server, 100);
		conn_hear(c.client, 200);
	}
	edge = edge_to(front, "127.0.0.1", c.port);
	tap_ok(edge.count == 10 && edge.sum_ns < 15 * MSEC,
	       "in parts: one request each, to the first byte of the answer");
	conn_close(&c);
}

/* Client, proxy and backend: two turns and an edge for each request. */
static void test_proxy(void)
{
	struct conn_meter at_front = conn_mark(kernel, front), at_back = conn_mark(kernel, back);
	struct conn in = conn_open("front", NULL), out = conn_open("back", "front");
	struct drpc_slot_shard f, b;
	struct drpc_edge edge;

	for (int i = 0; i < 50; i++) {
		conn_say(in.client, 80);
		conn_hear(in.server, 80);
		conn_exchange(&out, 80, 500);
		conn_say(in.server, 500);
		conn_hear(in.client, 500);
	}
	f = conn_since(&at_front);
	b = conn_since(&at_back);
	edge = edge_to(front, "127.0.0.1", out.port);
	tap_ok(f.turns == 50 && f.seen == 50 && b.turns == 50 && b.seen == 50,
	       "a proxy is a server to its client and no server to its backend");
	tap_ok(edge.count == 50, "and a caller of its backend");
	tap_ok(edge.sum_ns >= b.sum_ns[DRPC_HIST_SERVICE] &&
		       edge.sum_ns <= f.sum_ns[DRPC_HIST_SERVICE],
	       "an edge is longer than the callee's service, shorter than the caller's");
	conn_close(&in);
	conn_close(&out);
}

static void test_failures(void)
{
	struct conn c = conn_open("back", "front");
	uint16_t port = c.port;
	struct drpc_edge edge;

	conn_exchange(&c, 10, 10);
	conn_say(c.client, 10);
	conn_hear(c.server, 10);
	conn_abort(&c.server);
	edge = edge_to(front, "127.0.0.1", port);
	tap_ok(edge.count == 1 && edge.failures == 1, "a reset before the answer is a failure");
	conn_close(&c);
	tap_ok(conn_connect("front", "127.0.0.1", port) == -1 && errno == ECONNREFUSED,
	       "a port where nobody listens any more");
	edge = edge_to(front, "127.0.0.1", port);
	tap_ok(edge.count == 1 && edge.failures == 2, "refused is a failure too");
	tap_ok(edge_to(back, "127.0.0.1", port).failures == 0, "and the caller's alone");
}

static void test_outside(void)
{
	struct conn c = conn_open(NULL, "front");
	struct drpc_edge edge;

	conn_exchange(&c, 10, 10);
	edge = edge_to(front, "127.0.0.1", c.port);
	tap_ok(edge.count == 1 && edge.callee_slot == UINT32_MAX,
	       "a callee that is no container stays an address");
	conn_close(&c);
}

/* The answer comes while the caller is still writing its request. */
static void *write_large(void *arg)
{
	conn_say(*(int *)arg, 1 << 20);
	return NULL;
}

static void test_early_answer(void)
{
	struct conn c = conn_open("back", "front");
	int small = 16384;
	pthread_t thread;
	struct drpc_edge edge;
	uint64_t begin = drpc_now_ns(), took;

	setsockopt(c.client, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	setsockopt(c.server, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	pthread_create(&thread, NULL, write_large, &c.client);
	conn_hear(c.server, 100);
	cg_sleep_ms(5);
	conn_say(c.server, 10);
	took = drpc_now_ns() - begin;
	conn_hear(c.server, (1 << 20) - 100);
	pthread_join(thread, NULL);
	conn_hear(c.client, 10);
	edge = edge_to(front, "127.0.0.1", c.port);
	tap_ok(edge.count == 1 && edge.sum_ns <= took,
	       "answered while the request was being written: once, and no longer than it took");
	conn_close(&c);
}

/* More addresses than the table holds; then the caller goes and makes room for others. */
#define EDGES_MAX 4096

static void test_full_table(void)
{
	const unsigned int tried = EDGES_MAX + 100;
	struct drpc_kernel_stats before, after;
	uint32_t churn, next;
	struct drpc_edge edge;
	struct conn c;
	size_t have;

	cg_make("churn");
	churn = conn_track(kernel, "churn");
	have = drpc_kernel_edges(kernel, NULL, 0);
	drpc_kernel_stats(kernel, &before);
	for (unsigned int i = 0; i < tried; i++) {
		char address[32];

		/* Nobody listens on the discard port of these. */
		snprintf(address, sizeof(address), "127.1.%u.%u", i / 200, i % 200 + 1);
		if (conn_connect("churn", address, 9) != -1)
			cg_die("somebody listens on %s", address);
	}
	drpc_kernel_stats(kernel, &after);
	tap_ok(drpc_kernel_edges(kernel, NULL, 0) == EDGES_MAX, "the table takes what it holds");
	tap_ok(after.lost_edges - before.lost_edges == have + tried - EDGES_MAX,
	       "and the rest is counted as lost: %llu",
	       (unsigned long long)(after.lost_edges - before.lost_edges));
	drpc_kernel_untrack(kernel, cg_id("churn"), churn);
	tap_ok(drpc_kernel_edges(kernel, NULL, 0) == have, "a caller takes its edges with it");

	cg_make("heir");
	next = conn_track(kernel, "heir");
	c = conn_open("back", "heir");
	conn_exchange(&c, 10, 10);
	edge = edge_to(next, "127.0.0.1", c.port);
	tap_ok(edge.count == 1 && edge.failures == 0 && drpc_hist_count(edge.hist) == 1 &&
		       drpc_kernel_edges(kernel, NULL, 0) == have + 1,
	       "and whoever comes next begins at zero");
	conn_close(&c);
}

/* Caller and callee on two CPUs: the response may be there before the send hook has run. */
#define RACE_TURNS 20000

static void *answer(void *arg)
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
	int turns = cg_emulated() ? RACE_TURNS / 20 : RACE_TURNS;
	struct conn c = conn_open("back", "front");
	struct conn_meter m = conn_mark(kernel, back);
	struct drpc_slot_shard got;
	struct drpc_edge edge;
	pthread_t thread;
	uint64_t begin = drpc_now_ns();

	pthread_create(&thread, NULL, answer, &c);
	for (int i = 0; i < turns; i++) {
		conn_say(c.client, 64);
		conn_hear(c.client, 64);
	}
	if (turns < RACE_TURNS)
		pthread_cancel(thread);
	pthread_join(thread, NULL);
	got = conn_since(&m);
	edge = edge_to(front, "127.0.0.1", c.port);
	printf("# race: caller %llu ns a request, callee %llu\n",
	       (unsigned long long)(edge.sum_ns / edge.count),
	       (unsigned long long)(got.sum_ns[DRPC_HIST_TOTAL] / got.turns));
	tap_ok(edge.count == (uint64_t)turns && got.turns == (uint64_t)turns,
	       "caller and callee racing: each request counted once");
	tap_ok(edge.sum_ns <= drpc_now_ns() - begin, "and none longer than it took");
	conn_close(&c);
}

/* --- exemplars -------------------------------------------------------------------------------- */

struct heard {
	unsigned int slow;
	struct drpc_event last;
	char peer[64];
};

static void on_event(const struct drpc_event *event, void *arg)
{
	struct heard *heard = arg;

	if (event->kind != DRPC_EVENT_SLOW)
		return;
	heard->slow++;
	heard->last = *event;
	drpc_strcpy(heard->peer, sizeof(heard->peer), event->peer ? event->peer : "");
}

static void slow_turn(const struct conn *c, unsigned int ms)
{
	conn_say(c->client, 10);
	conn_hear(c->server, 10);
	cg_sleep_ms(ms);
	conn_say(c->server, 10);
	conn_hear(c->client, 10);
}

#define SLOW_MS 150 /* far above what a turn takes on the slowest machine */

static void test_exemplars(void)
{
	struct conn c = conn_open("back", NULL);
	struct heard heard = {0};
	struct drpc_kernel_stats stats;

	slow_turn(&c, SLOW_MS);
	drpc_kernel_consume(kernel, on_event, &heard);
	tap_ok(heard.slow == 0, "no exemplars unless they are asked for");
	drpc_kernel_set_slow(kernel, back, SLOW_MS * MSEC);
	slow_turn(&c, 0);
	drpc_kernel_consume(kernel, on_event, &heard);
	tap_ok(heard.slow == 0, "none of a fast turn");
	slow_turn(&c, SLOW_MS);
	drpc_kernel_consume(kernel, on_event, &heard);
	tap_ok(heard.slow == 1 && heard.last.slot == back &&
		       heard.last.cgroup_id == cg_id("back") &&
		       heard.last.duration_ns >= SLOW_MS * MSEC &&
		       heard.last.time_ns <= drpc_now_ns(),
	       "one of a slow turn: whose, and how long");
	tap_ok(!strncmp(heard.peer, "127.0.0.1:", 10), "and for whom: %s", heard.peer);
	drpc_kernel_set_slow(kernel, back, 1000); /* everything */
	cg_sleep_ms(15);
	heard.slow = 0;
	for (int i = 0; i < 2000; i++)
		conn_exchange(&c, 10, 10);
	drpc_kernel_consume(kernel, on_event, &heard);
	drpc_kernel_stats(kernel, &stats);
	tap_ok(heard.slow >= 1 && heard.slow < 200 && stats.lost_events == 0,
	       "a flood is cut to one in 10 ms a CPU: %u of 2000", heard.slow);
	drpc_kernel_set_slow(kernel, back, 0);
	cg_sleep_ms(15);
	heard.slow = 0;
	slow_turn(&c, SLOW_MS);
	drpc_kernel_consume(kernel, on_event, &heard);
	tap_ok(heard.slow == 0, "and none once that is taken back");
	conn_close(&c);
}

int main(void)
{
	int v6 = socket(AF_INET6, SOCK_STREAM, 0);

	cg_begin();
	cg_make("front");
	cg_make("back");
	kernel = cg_open((struct drpc_kernel_options){.latency = true, .edges = true});
	if (!kernel) {
		cg_no_latency("edges");
		return tap_done();
	}
	cg_show(kernel);
	front = conn_track(kernel, "front");
	back = conn_track(kernel, "back");
	test_edge("127.0.0.1", "127.0.0.1");
	if (v6 >= 0) {
		test_edge("::1", "::1");
		test_edge("::", "127.0.0.1");
	}
	test_in_parts();
	test_proxy();
	test_failures();
	test_outside();
	test_race();
	test_early_answer();
	test_full_table();
	test_exemplars();
	drpc_kernel_close(&kernel);
	close(v6);
	return tap_done();
}
