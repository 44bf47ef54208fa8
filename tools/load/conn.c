// SPDX-License-Identifier: Apache-2.0
/* A connection: made, used for one request at a time, replaced when it is of no more use. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "lib/log.h"
#include "lib/util.h"
#include "tools/load/worker.h"

#define BACKOFF_MIN_NS (10 * DRPC_NSEC_PER_MSEC)
#define BACKOFF_MAX_NS DRPC_NSEC_PER_SEC
#define BUFFER_BYTES   (64UL * 1024)

static void watch(struct load_worker *worker, struct load_conn *conn, int op, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = conn};

	/* Fails for want of memory only; the connection attempt or the request then times out. */
	epoll_ctl(worker->epoll, op, conn->fd, &event);
}

static void close_fd(struct load_conn *conn)
{
	if (conn->fd >= 0)
		close(conn->fd);
	conn->fd = -1;
}

/* Leaves the current state: lists and counts are right again. */
static void leave(struct load_worker *worker, struct load_conn *conn)
{
	struct load_lane *lane = &worker->lanes[conn->lane];

	switch (conn->state) {
	case LOAD_CONN_DOWN:
		break;
	case LOAD_CONN_CONNECTING:
		lane->connecting--;
		break;
	case LOAD_CONN_IDLE:
	case LOAD_CONN_BUSY:
		load_list_remove(conn);
		lane->up--;
		worker->unready++;
		break;
	}
	close_fd(conn);
	conn->state = LOAD_CONN_DOWN;
}

static void retry_at(struct load_worker *worker, struct load_conn *conn, uint64_t at_ns)
{
	conn->retry_ns = at_ns;
	worker->next_scan_ns = DRPC_MIN(worker->next_scan_ns, at_ns);
}

static void back_off(struct load_worker *worker, struct load_conn *conn, uint64_t now_ns)
{
	/* ± 25 %, so that connections which failed together do not come back together. */
	double factor = 0.75 + 0.5 * drpc_rng_uniform(&worker->jitter);

	conn->backoff_ns = DRPC_CLAMP(conn->backoff_ns * 2, BACKOFF_MIN_NS, BACKOFF_MAX_NS);
	retry_at(worker, conn, now_ns + (uint64_t)((double)conn->backoff_ns * factor));
}

static void now_idle(struct load_worker *worker, struct load_conn *conn)
{
	struct load_lane *lane = &worker->lanes[conn->lane];

	conn->state = LOAD_CONN_IDLE;
	load_list_append(&lane->idle, conn);
}

static void now_up(struct load_worker *worker, struct load_conn *conn)
{
	struct load_lane *lane = &worker->lanes[conn->lane];

	if (conn->state == LOAD_CONN_CONNECTING)
		lane->connecting--;
	lane->up++;
	worker->unready--;
	worker->connects++;
	conn->tried = 0;
	conn->served = false;
	conn->want_write = false;
	now_idle(worker, conn);
}

static enum drpc_load_failure connect_failure(int error)
{
	return error == ETIMEDOUT ? DRPC_LOAD_TIMEOUT : DRPC_LOAD_REFUSED;
}

/* The attempt failed: the next address at once, or all of them again later. */
static void attempt_failed(struct load_worker *worker, struct load_conn *conn, int error,
			   uint64_t now_ns)
{
	struct load_lane *lane = &worker->lanes[conn->lane];

	leave(worker, conn);
	lane->reason = connect_failure(error);
	lane->error = error;
	conn->address = (conn->address + 1) % lane->target->count;
	if (++conn->tried < lane->target->count) {
		retry_at(worker, conn, now_ns);
		return;
	}
	conn->tried = 0;
	back_off(worker, conn, now_ns);
	if (worker->shared->start_ns && lane->told != error) {
		lane->told = error;
		drpc_warn("%s: cannot connect: %s, trying again", lane->target->name,
			  strerror(error));
	}
	load_lane_check_down(worker, lane, now_ns);
}

void load_conn_open(struct load_worker *worker, struct load_conn *conn, uint64_t now_ns)
{
	struct load_lane *lane = &worker->lanes[conn->lane];
	const struct drpc_target_address *a = &lane->target->addresses[conn->address];
	const int one = 1;
	int err = 0;

	conn->fd = socket(a->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (conn->fd < 0) {
		attempt_failed(worker, conn, errno, now_ns);
		return;
	}
	if (a->addr.ss_family != AF_UNIX)
		setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(conn->fd, (const struct sockaddr *)&a->addr, a->len))
		err = errno;
	if (err && err != EINPROGRESS) {
		attempt_failed(worker, conn, err, now_ns);
		return;
	}
	if (!err) {
		watch(worker, conn, EPOLL_CTL_ADD, EPOLLIN);
		now_up(worker, conn);
		return;
	}
	conn->state = LOAD_CONN_CONNECTING;
	lane->connecting++;
	conn->deadline_ns = now_ns + worker->shared->config->timeout_ns;
	worker->next_scan_ns = DRPC_MIN(worker->next_scan_ns, conn->deadline_ns);
	watch(worker, conn, EPOLL_CTL_ADD, EPOLLOUT);
}

void load_conn_replace(struct load_worker *worker, struct load_conn *conn, uint64_t now_ns)
{
	struct load_lane *lane = &worker->lanes[conn->lane];

	leave(worker, conn);
	if (conn->served) {
		conn->backoff_ns = 0;
		load_conn_open(worker, conn, now_ns);
		return;
	}
	lane->reason = DRPC_LOAD_RESET;
	back_off(worker, conn, now_ns);
	load_lane_check_down(worker, lane, now_ns);
}

void load_conn_scan(struct load_worker *worker, uint64_t now_ns)
{
	if (!worker->unready || now_ns < worker->next_scan_ns)
		return;
	worker->next_scan_ns = UINT64_MAX;
	for (unsigned int i = 0; i < worker->conn_count; i++) {
		struct load_conn *conn = &worker->conns[i];

		if (conn->state == LOAD_CONN_DOWN && conn->retry_ns <= now_ns)
			load_conn_open(worker, conn, now_ns);
		else if (conn->state == LOAD_CONN_CONNECTING && conn->deadline_ns <= now_ns)
			attempt_failed(worker, conn, ETIMEDOUT, now_ns);
		if (conn->state == LOAD_CONN_DOWN)
			worker->next_scan_ns = DRPC_MIN(worker->next_scan_ns, conn->retry_ns);
		else if (conn->state == LOAD_CONN_CONNECTING)
			worker->next_scan_ns = DRPC_MIN(worker->next_scan_ns, conn->deadline_ns);
	}
}

/* --- requests ------------------------------------------------------------------------------- */

static void request_failed(struct load_worker *worker, struct load_conn *conn,
			   enum drpc_load_failure failure)
{
	uint64_t now_ns = drpc_now_ns();

	load_settle_failure(worker, &conn->pending, conn->sent_ns, now_ns, failure);
	load_conn_replace(worker, conn, now_ns);
}

static void flush(struct load_worker *worker, struct load_conn *conn)
{
	while (conn->out_len) {
		ssize_t n = send(conn->fd, conn->out, conn->out_len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			/* A server may have answered and closed without reading: 413, say. */
			conn->out_len = 0;
			conn->response.framing.close = true;
			break;
		}
		conn->out += n;
		conn->out_len -= (size_t)n;
	}
	if (conn->want_write != (conn->out_len > 0)) {
		conn->want_write = conn->out_len > 0;
		watch(worker, conn, EPOLL_CTL_MOD,
		      EPOLLIN | (conn->want_write ? (uint32_t)EPOLLOUT : 0));
	}
}

/* The request with the user's header in it, in the connection's own memory. */
static bool compose(struct load_worker *worker, struct load_conn *conn)
{
	const struct drpc_load_request *r = conn->pending.request;
	const char *class = worker->shared->config->workload->classes[r->class].name;
	size_t need = r->len + sizeof(DRPC_USER_HEADER ": -4294967295\r\n") + strlen(class);
	int n;

	if (conn->own_size < need) {
		char *own = realloc(conn->own, need);

		if (!own)
			return false;
		conn->own = own;
		conn->own_size = need;
	}
	memcpy(conn->own, r->text, r->user_at);
	n = snprintf(conn->own + r->user_at, need - r->user_at, DRPC_USER_HEADER ": %s-%u\r\n",
		     class, conn->pending.user);
	memcpy(conn->own + r->user_at + n, r->text + r->user_at, r->len - r->user_at);
	conn->out = conn->own;
	conn->out_len = r->len + (size_t)n;
	return true;
}

void load_conn_send(struct load_worker *worker, struct load_conn *conn,
		    const struct load_pending *pending)
{
	struct load_lane *lane = &worker->lanes[conn->lane];

	load_list_remove(conn);
	load_list_append(&lane->busy, conn);
	conn->state = LOAD_CONN_BUSY;
	conn->pending = *pending;
	conn->out = pending->request->text;
	conn->out_len = pending->request->len;
	drpc_http_response_init(&conn->response, pending->request->is_head);
	conn->sent_ns = drpc_now_ns();
	if (pending->user && !compose(worker, conn)) {
		worker->error = -ENOMEM;
		request_failed(worker, conn, DRPC_LOAD_RESET);
		return;
	}
	flush(worker, conn);
}

/* The response is complete; `excess`: bytes came behind it that nobody asked for. */
static void answered(struct load_worker *worker, struct load_conn *conn, bool excess)
{
	struct load_lane *lane = &worker->lanes[conn->lane];
	bool reusable = !excess && !conn->out_len && drpc_http_response_reusable(&conn->response);
	uint64_t now_ns = drpc_now_ns();

	load_settle_answer(worker, &conn->pending, conn->sent_ns, now_ns, &conn->response);
	conn->served = true;
	conn->backoff_ns = 0;
	if (!reusable) {
		load_conn_replace(worker, conn, now_ns);
		return;
	}
	load_list_remove(conn);
	now_idle(worker, conn);
	load_lane_dispatch(worker, lane, now_ns);
}

static void received(struct load_worker *worker, struct load_conn *conn, size_t len)
{
	ssize_t used = drpc_http_response_feed(&conn->response, worker->buffer, len);

	if (used < 0)
		request_failed(worker, conn, DRPC_LOAD_PROTOCOL);
	else if (conn->response.done)
		answered(worker, conn, (size_t)used < len);
}

static void readable(struct load_worker *worker, struct load_conn *conn)
{
	ssize_t n;

	do {
		n = recv(conn->fd, worker->buffer, BUFFER_BYTES, 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return;
	if (conn->state == LOAD_CONN_IDLE) {
		/* Closed while idle, or words nobody asked for: either way of no more use. */
		load_conn_replace(worker, conn, drpc_now_ns());
	} else if (n > 0) {
		received(worker, conn, (size_t)n);
	} else if (n == 0 && !drpc_http_response_eof(&conn->response)) {
		answered(worker, conn, false);
	} else {
		request_failed(worker, conn, DRPC_LOAD_RESET);
	}
}

static void connected(struct load_worker *worker, struct load_conn *conn)
{
	socklen_t len = sizeof(int);
	int error = 0;

	if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len))
		error = errno;
	if (error) {
		attempt_failed(worker, conn, error, drpc_now_ns());
		return;
	}
	watch(worker, conn, EPOLL_CTL_MOD, EPOLLIN);
	now_up(worker, conn);
	load_lane_dispatch(worker, &worker->lanes[conn->lane], drpc_now_ns());
}

void load_conn_event(struct load_worker *worker, struct load_conn *conn, uint32_t events)
{
	/* An event may be left over from before this batch closed the socket. */
	if (conn->fd < 0)
		return;
	if (conn->state == LOAD_CONN_CONNECTING) {
		connected(worker, conn);
		return;
	}
	if ((events & EPOLLOUT) && conn->state == LOAD_CONN_BUSY)
		flush(worker, conn);
	if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		readable(worker, conn);
}
