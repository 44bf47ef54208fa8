// SPDX-License-Identifier: Apache-2.0
/*
 * What each I/O path yields: the table at the top of bpf/latency.bpf.c, line by line.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/if_ether.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/hist.h"
#include "lib/util.h"
#include "tests/bpf/lib/cg.h"
#include "tests/bpf/lib/conn.h"
#include "tests/lib/tap.h"

#define MSEC DRPC_NSEC_PER_MSEC

static struct drpc_kernel *kernel;
static uint32_t slot;

static void ok_turns(const struct drpc_slot_shard *c, uint64_t turns, const char *what)
{
	bool ok =
		c->turns == turns && c->seen == turns && conn_dropped(c) == 0 && conn_consistent(c);

	if (!ok)
		printf("# seen %llu turns %llu unread %llu dropped %llu\n",
		       (unsigned long long)c->seen, (unsigned long long)c->turns,
		       (unsigned long long)c->unread, (unsigned long long)conn_dropped(c));
	tap_ok(ok, "%s: each turn counted once", what);
}

static void test_calls(void)
{
	struct conn c = conn_open("srv", NULL);
	struct conn_meter m = conn_mark(kernel, slot);
	struct drpc_slot_shard got;
	char buf[64] = "";
	struct iovec iov = {buf, sizeof(buf)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	conn_say(c.client, 64);
	(void)!recv(c.server, buf, sizeof(buf), 0);
	(void)!send(c.server, buf, sizeof(buf), 0);
	conn_say(c.client, 64);
	(void)!recvmsg(c.server, &msg, 0);
	(void)!sendmsg(c.server, &msg, 0);
	conn_say(c.client, 64);
	(void)!readv(c.server, &iov, 1);
	(void)!writev(c.server, &iov, 1);
	got = conn_since(&m);
	ok_turns(&got, 3, "recv/send, recvmsg/sendmsg, readv/writev");
	conn_close(&c);
}

static void test_peek(void)
{
	struct conn c = conn_open("srv", NULL);
	struct conn_meter m = conn_mark(kernel, slot);
	struct drpc_slot_shard got;
	char buf[64];

	conn_say(c.client, 64);
	(void)!recv(c.server, buf, sizeof(buf), MSG_PEEK);
	got = conn_since(&m);
	tap_ok(got.seen == 0, "a look at the data (MSG_PEEK) is no read");
	cg_sleep_ms(5);
	conn_hear(c.server, 64);
	conn_say(c.server, 64);
	got = conn_since(&m);
	ok_turns(&got, 1, "read after a look");
	tap_ok(got.sum_ns[DRPC_HIST_QUEUE] >= 5 * MSEC, "which waited until it was read");
	conn_close(&c);
}

static void test_sendfile(void)
{
	struct conn c = conn_open("srv", NULL);
	struct conn_meter m = conn_mark(kernel, slot);
	struct drpc_slot_shard got;
	int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	for (int i = 0; i < 10; i++) {
		off_t at = 0;

		conn_say(c.client, 64);
		conn_hear(c.server, 64);
		conn_say(c.server, 200); /* header, then file: as web servers do */
		if (sendfile(c.server, file, &at, 8192) != 8192)
			cg_die("sendfile");
		conn_hear(c.client, 8392);
	}
	got = conn_since(&m);
	ok_turns(&got, 10, "header by write, body by sendfile");
	tap_ok(got.sum_ns[DRPC_HIST_SEND] > 0, "and the body is part of the response");

	m = conn_mark(kernel, slot);
	for (int i = 0; i < 10; i++) {
		off_t at = 0;

		conn_say(c.client, 64);
		conn_hear(c.server, 64);
		if (sendfile(c.server, file, &at, 8192) != 8192)
			cg_die("sendfile");
		conn_hear(c.client, 8192);
	}
	got = conn_since(&m);
	ok_turns(&got, 10, "nothing but sendfile");
	close(file);
	conn_close(&c);
}

static void test_splice(void)
{
	struct conn c = conn_open("srv", NULL);
	struct conn_meter m = conn_mark(kernel, slot);
	struct drpc_slot_shard got;
	int ends[2];

	if (pipe(ends) < 0)
		cg_die("pipe");
	for (int i = 0; i < 10; i++) {
		conn_say(c.client, 64);
		cg_sleep_ms(2);
		if (splice(c.server, NULL, ends[1], NULL, 64, 0) != 64 ||
		    splice(ends[0], NULL, c.server, NULL, 64, 0) != 64)
			cg_die("splice");
		conn_hear(c.client, 64);
	}
	got = conn_since(&m);
	ok_turns(&got, 10, "splice from and to the socket");
	tap_ok(got.unread == 10 && got.sum_ns[DRPC_HIST_QUEUE] == 0 &&
		       got.sum_ns[DRPC_HIST_TOTAL] >= 20 * MSEC,
	       "whose queue share is not known, their whole time is");
	close(ends[0]);
	close(ends[1]);
	conn_close(&c);
}

static int uring_do(struct io_uring *ring, int fd, char *buf, unsigned int bytes, bool out)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct io_uring_cqe *cqe;
	int r;

	if (out)
		io_uring_prep_send(sqe, fd, buf, bytes, 0);
	else
		io_uring_prep_recv(sqe, fd, buf, bytes, 0);
	r = io_uring_submit_and_wait(ring, 1);
	if (r < 0 || io_uring_wait_cqe(ring, &cqe) < 0)
		return r;
	r = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return r;
}

static void test_uring(void)
{
	struct conn c = conn_open("srv", NULL);
	struct conn_meter m = conn_mark(kernel, slot);
	struct drpc_slot_shard got;
	struct io_uring ring;
	char buf[64] = "";

	if (io_uring_queue_init(4, &ring, 0) < 0) {
		tap_skip("io_uring is not allowed here", "io_uring");
		conn_close(&c);
		return;
	}
	for (int i = 0; i < 20; i++) {
		conn_say(c.client, 64);
		if (uring_do(&ring, c.server, buf, 64, false) != 64 ||
		    uring_do(&ring, c.server, buf, 64, true) != 64)
			cg_die("io_uring");
		conn_hear(c.client, 64);
	}
	got = conn_since(&m);
	ok_turns(&got, 20, "io_uring");
	tap_ok(got.unread == 0, "with their reads");
	io_uring_queue_exit(&ring);
	conn_close(&c);
}

/* --- responses that do not fit the send buffer ------------------------------------------------ */

#define LARGE (3U << 20)

struct reader {
	int fd;
	unsigned int pause_ms; /* before it starts, and again in the middle */
};

static void *slow_reader(void *arg)
{
	const struct reader *r = arg;

	cg_sleep_ms(r->pause_ms);
	conn_hear(r->fd, LARGE / 2);
	cg_sleep_ms(r->pause_ms);
	conn_hear(r->fd, LARGE - LARGE / 2);
	return NULL;
}

static void large_response(bool blocking, unsigned int pause_ms, const char *what)
{
	static char body[LARGE];
	struct conn c = conn_open("srv", NULL);
	struct conn_meter m = conn_mark(kernel, slot);
	struct reader reader = {c.client, pause_ms};
	struct drpc_slot_shard got;
	pthread_t thread;
	uint64_t begin, took;
	size_t sent = 0;
	int small = 65536;

	setsockopt(c.server, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	setsockopt(c.client, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	conn_say(c.client, 64);
	conn_hear(c.server, 64);
	pthread_create(&thread, NULL, slow_reader, &reader);
	if (!blocking)
		fcntl(c.server, F_SETFL, O_NONBLOCK);
	begin = drpc_now_ns();
	while (sent < LARGE) {
		ssize_t n = write(c.server, body + sent, LARGE - sent);

		if (n > 0)
			sent += (size_t)n;
		else if (errno == EAGAIN)
			cg_sleep_ms(1);
		else
			cg_die("write");
	}
	took = drpc_now_ns() - begin;
	pthread_join(thread, NULL);
	got = conn_since(&m);
	ok_turns(&got, 1, what);
	printf("# %s: write took %llu ms; service %llu us, send %llu us\n", what,
	       (unsigned long long)(took / MSEC),
	       (unsigned long long)got.sum_ns[DRPC_HIST_SERVICE] / 1000,
	       (unsigned long long)got.sum_ns[DRPC_HIST_SEND] / 1000);
	tap_ok(got.sum_ns[DRPC_HIST_SEND] > took * 9 / 10 &&
		       got.sum_ns[DRPC_HIST_SERVICE] < took / 10,
	       "%s: the time it takes to send is send time", what);
	conn_exchange(&c, 10, 10);
	got = conn_since(&m);
	ok_turns(&got, 2, "and the next one is a turn of its own");
	conn_close(&c);
}

/* --- segments that bring nothing new ---------------------------------------------------------- */

static uint32_t sum16(const void *data, size_t len, uint32_t sum)
{
	const uint8_t *at = data;

	for (size_t i = 0; i < len; i++)
		sum += (uint32_t)at[i] << (i % 2 ? 0 : 8);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* Over the pseudo header too: loopback leaves checksums undone. */
static void tcp_checksum(const struct iphdr *ip, struct tcphdr *tcp, size_t len)
{
	uint32_t sum = sum16(&ip->saddr, 8, (uint32_t)len + IPPROTO_TCP);

	tcp->check = 0;
	tcp->check = htons((uint16_t)~sum16(tcp, len, sum));
}

/* The next packet with data to `port` that the tap sees; its bytes. */
static size_t tap_packet(int packets, uint16_t port, uint8_t *packet, size_t size)
{
	for (;;) {
		const struct iphdr *ip = (const struct iphdr *)packet;
		const struct tcphdr *tcp = (const struct tcphdr *)(packet + sizeof(*ip));
		ssize_t n = recv(packets, packet, size, 0);

		if (n < 0)
			cg_die("no packet was seen");
		if ((size_t)n > sizeof(*ip) + sizeof(*tcp) && ip->ihl == 5 &&
		    ip->protocol == IPPROTO_TCP && tcp->dest == htons(port) &&
		    (size_t)n > sizeof(*ip) + tcp->doff * 4UL)
			return (size_t)n;
	}
}

/* The same request arrives a second time, long answered: nobody waits for it. */
static void test_retransmission(void)
{
	_Alignas(8) uint8_t packet[2048];
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval patience = {.tv_sec = 2};
	struct conn c = conn_open("srv", NULL);
	int packets = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_IP));
	int raw = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	struct conn_meter m = conn_mark(kernel, slot);
	struct iphdr *ip = (struct iphdr *)packet;
	struct tcphdr *tcp = (struct tcphdr *)(packet + sizeof(*ip));
	struct drpc_slot_shard got;
	size_t len;

	if (packets < 0 || raw < 0)
		cg_die("raw sockets");
	setsockopt(packets, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	conn_exchange(&c, 64, 64);
	len = tap_packet(packets, c.port, packet, sizeof(packet));
	tcp_checksum(ip, tcp, len - sizeof(*ip));
	if (sendto(raw, packet, len, 0, (struct sockaddr *)&to, sizeof(to)) != (ssize_t)len)
		cg_die("sendto");
	cg_sleep_ms(300);
	conn_exchange(&c, 64, 64);
	got = conn_since(&m);
	ok_turns(&got, 2, "a request that arrives twice");
	tap_ok(got.sum_ns[DRPC_HIST_QUEUE] < 100 * MSEC, "and no queue until the next one: %llu us",
	       (unsigned long long)got.sum_ns[DRPC_HIST_QUEUE] / 1000);
	close(packets);
	close(raw);
	conn_close(&c);
}

int main(void)
{
	cg_begin();
	cg_make("srv");
	kernel = cg_open((struct drpc_kernel_options){.latency = true});
	if (!kernel) {
		cg_no_latency("I/O paths");
		return tap_done();
	}
	cg_show(kernel);
	slot = conn_track(kernel, "srv");
	test_calls();
	test_peek();
	test_sendfile();
	test_splice();
	test_uring();
	test_retransmission();
	large_response(false, 100, "3 MiB, nonblocking");
	large_response(true, 100, "3 MiB in one blocking write");
	large_response(false, 1300, "3 MiB, the reader stalls for longer than a second");
	drpc_kernel_close(&kernel);
	return tap_done();
}
