// SPDX-License-Identifier: Apache-2.0
#include "tools/bench/exchange.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "lib/log.h"
#include "lib/util.h"

#define EVENTS	    128
#define LATENCY_MAX (8U << 20)
#define DRAIN_NS    (2 * DRPC_NSEC_PER_SEC)

struct connection {
	int fd;
	uint64_t sent_ns;
	size_t missing; /* bytes of the answer; 0: free */
};

struct run {
	const struct exchange *exchange;
	struct exchange_result *result;
	struct connection *connections;
	unsigned int *free_list, free_count;
	int epoll_fd;
	uint64_t start_ns, due_ns, end_ns, seed;
};

static int dial(uint16_t port)
{
	struct sockaddr_in where = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&where, sizeof(where)) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

int exchange_response_len(uint16_t port, const char *request, size_t request_len, size_t *ret)
{
	_cleanup_close_ int fd = dial(port);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char buf[65536];
	size_t len = 0;

	if (fd < 0)
		return fd;
	if (write(fd, request, request_len) != (ssize_t)request_len)
		return -EIO;
	while (poll(&p, 1, 200) > 0) {
		ssize_t n = read(fd, buf, sizeof(buf));

		if (n <= 0)
			break;
		len += (size_t)n;
	}
	if (len == 0)
		return drpc_err(-EPROTO, "bench: the server on port %u gave no answer", port);
	*ret = len;
	return 0;
}

/* Exponential gaps: arrivals of independent users. */
static uint64_t next_gap(struct run *run)
{
	double u;

	run->seed = run->seed * 6364136223846793005ULL + 1442695040888963407ULL;
	u = ((double)(run->seed >> 11) + 0.5) / 9007199254740992.0;
	return (uint64_t)(-log(u) / run->exchange->rate * 1e9);
}

static int ask(struct run *run)
{
	struct connection *c = &run->connections[run->free_list[--run->free_count]];

	c->sent_ns = drpc_now_ns();
	c->missing = run->exchange->response_len;
	if (write(c->fd, run->exchange->request, run->exchange->request_len) !=
	    (ssize_t)run->exchange->request_len)
		return -EIO;
	run->result->sent++;
	return 0;
}

/* Sends what is due. */
static int ask_due(struct run *run, uint64_t now_ns)
{
	int r = 0;

	if (run->exchange->rate == 0) {
		while (r == 0 && run->free_count > 0 && now_ns < run->end_ns)
			r = ask(run);
		return r;
	}
	while (r == 0 && run->free_count > 0 && run->due_ns <= now_ns &&
	       run->due_ns < run->end_ns) {
		run->result->late += now_ns - run->due_ns > DRPC_NSEC_PER_MSEC;
		run->due_ns += next_gap(run);
		r = ask(run);
	}
	return r;
}

static int take_answer(struct run *run, unsigned int index)
{
	struct connection *c = &run->connections[index];
	char buf[65536];
	ssize_t n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0 || (size_t)n > c->missing)
		return -EPROTO;
	c->missing -= (size_t)n;
	if (c->missing > 0)
		return 0;
	if (run->result->answered < LATENCY_MAX)
		run->result->latency_ns[run->result->answered++] =
			(double)(drpc_now_ns() - c->sent_ns);
	run->free_list[run->free_count++] = index;
	return 0;
}

static int wait_and_take(struct run *run, uint64_t now_ns)
{
	struct epoll_event events[EVENTS];
	struct timespec timeout = {0};
	int n;

	/* Nothing due for a while: sleep until it is, or an answer comes. */
	if (run->exchange->rate == 0 || run->free_count == 0 || run->due_ns >= run->end_ns)
		timeout.tv_nsec = 50 * (long)DRPC_NSEC_PER_MSEC;
	else if (run->due_ns > now_ns)
		timeout.tv_nsec = (long)DRPC_MIN(run->due_ns - now_ns, 50 * DRPC_NSEC_PER_MSEC);
	n = epoll_pwait2(run->epoll_fd, events, EVENTS, &timeout, NULL);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n; i++) {
		int r = take_answer(run, events[i].data.u32);

		if (r < 0)
			return r;
	}
	return 0;
}

static int loop(struct run *run)
{
	const unsigned int all = run->exchange->connections;
	int r = 0;

	run->start_ns = run->due_ns = drpc_now_ns();
	run->end_ns = run->start_ns + (uint64_t)(run->exchange->seconds * 1e9);
	while (r == 0) {
		uint64_t now_ns = drpc_now_ns();

		if (now_ns >= run->end_ns && run->free_count == all)
			break;
		if (now_ns >= run->end_ns + DRAIN_NS)
			return drpc_err(-ETIMEDOUT, "bench: %u requests were not answered",
					all - run->free_count);
		r = ask_due(run, now_ns);
		if (r == 0)
			r = wait_and_take(run, drpc_now_ns());
	}
	run->result->seconds = (double)(drpc_now_ns() - run->start_ns) / 1e9;
	return r < 0 ? drpc_err(r, "bench: a connection broke or an answer had another size") : 0;
}

static int open_connections(struct run *run)
{
	for (unsigned int i = 0; i < run->exchange->connections; i++) {
		struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
		int fd = dial(run->exchange->port);

		if (fd < 0)
			return drpc_err(fd, "bench: connecting to port %u", run->exchange->port);
		run->connections[i].fd = fd;
		if (epoll_ctl(run->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
			return -errno;
		run->free_list[run->free_count++] = i;
	}
	return 0;
}

int exchange_run(const struct exchange *exchange, struct exchange_result *ret)
{
	struct run run = {.exchange = exchange, .result = ret, .seed = exchange->seed + 1};
	int r = -ENOMEM;

	*ret = (struct exchange_result){.latency_ns = malloc(LATENCY_MAX * sizeof(double))};
	run.connections = calloc(exchange->connections, sizeof(*run.connections));
	run.free_list = calloc(exchange->connections, sizeof(*run.free_list));
	run.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	for (unsigned int i = 0; run.connections && i < exchange->connections; i++)
		run.connections[i].fd = -1;
	if (ret->latency_ns && run.connections && run.free_list && run.epoll_fd >= 0) {
		r = open_connections(&run);
		if (r == 0)
			r = loop(&run);
	}
	for (unsigned int i = 0; run.connections && i < exchange->connections; i++)
		drpc_closep(&run.connections[i].fd);
	drpc_closep(&run.epoll_fd);
	free(run.connections);
	free(run.free_list);
	if (r < 0)
		exchange_result_free(ret);
	return r;
}

void exchange_result_free(struct exchange_result *result)
{
	free(result->latency_ns);
	result->latency_ns = NULL;
}
