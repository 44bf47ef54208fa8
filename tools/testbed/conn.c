// SPDX-License-Identifier: Apache-2.0
/* What one connection of the server carries: requests in, answers out. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "lib/util.h"
#include "tools/testbed/server_internal.h"

#define DATA_MIN_BYTES 1024
/* Room for a head that is one byte too long, which is what makes it too long. */
#define DATA_MAX_BYTES (TB_REQUEST_HEAD_MAX + 1)

#define CONNECTION_CLOSE "Connection: close\r\n"

/* Sends all of it, waiting for a slow client up to the socket's time-out in all. */
static bool send_all(struct tb_server *server, int fd, struct iovec *iov, size_t n)
{
	uint64_t until_ns = drpc_now_ns() + server->options->client_timeout_ns;

	while (n) {
		struct msghdr message = {.msg_iov = iov, .msg_iovlen = n};
		ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);

		if (sent < 0 && errno != EINTR)
			return false;
		while (n && sent >= 0 && (size_t)sent >= iov->iov_len) {
			sent -= (ssize_t)iov->iov_len;
			iov++;
			n--;
		}
		if (n && sent > 0) {
			iov->iov_base = (char *)iov->iov_base + sent;
			iov->iov_len -= (size_t)sent;
		}
		if (n && drpc_now_ns() > until_ns)
			return false;
	}
	return true;
}

static bool send_filler(struct tb_server *server, int fd, uint64_t len)
{
	while (len) {
		struct iovec iov = {server->filler, DRPC_MIN(len, sizeof(server->filler))};

		len -= iov.iov_len;
		if (!send_all(server, fd, &iov, 1))
			return false;
	}
	return true;
}

/* Head and the first part of the body in one piece, the rest of the filler behind it. */
static bool send_answer(struct tb_server *server, int fd, const struct tb_answer *answer,
			const char *connection, bool head_only)
{
	uint64_t len = answer->text ? strlen(answer->text) : answer->body_len;
	uint64_t first = answer->text ? len : DRPC_MIN(len, sizeof(server->filler));
	struct iovec iov[2];
	char head[512], extra[128] = "";
	int n;

	if (answer->reason)
		snprintf(extra, sizeof(extra), "X-Drpc-Reason: %s\r\n", answer->reason);
	else if (answer->missing)
		snprintf(extra, sizeof(extra), "X-Drpc-Degraded: %u\r\n", answer->missing);
	n = snprintf(head, sizeof(head),
		     "HTTP/1.1 %d %s\r\nServer: drpc-testbed\r\nContent-Type: %s\r\n"
		     "Content-Length: %" PRIu64 "\r\n%s%s\r\n",
		     answer->status, tb_status_phrase(answer->status), answer->type, len, extra,
		     connection);
	iov[0] = (struct iovec){head, (size_t)n};
	iov[1] = (struct iovec){answer->text ? answer->text : server->filler, first};
	if (!send_all(server, fd, iov, head_only || !first ? 1 : 2))
		return false;
	return head_only || send_filler(server, fd, len - first);
}

/*
 * Closes so that the answer arrives: what the client still sends would otherwise turn into a reset
 * that overtakes it.
 */
static bool linger(struct tb_conn *conn)
{
	shutdown(conn->fd, SHUT_WR);
	conn->phase = TB_CONN_LINGER;
	conn->begun_ns = drpc_now_ns();
	conn->len = 0;
	return true;
}

static bool refuse(struct tb_server *server, struct tb_conn *conn, int status)
{
	struct tb_stats *stats = &server->service->stats;
	struct tb_answer answer = {.status = status, .type = "text/plain"};

	atomic_fetch_add(status == 408 ? &stats->slow_requests : &stats->bad_requests, 1);
	return send_answer(server, conn->fd, &answer, CONNECTION_CLOSE, false) && linger(conn);
}

/* Drops `n` bytes from the front of the data. */
static void consume(struct tb_conn *conn, size_t n)
{
	conn->len -= n;
	memmove(conn->data, conn->data + n, conn->len);
	conn->scanned = 0;
	/* Idle connections keep a small buffer only. */
	if (!conn->len && conn->size > DATA_MIN_BYTES) {
		free(conn->data);
		conn->data = NULL;
		conn->size = 0;
	}
}

/* --- a request ------------------------------------------------------------------------------ */

static bool respond(struct tb_worker *worker, struct tb_conn *conn)
{
	struct tb_server *server = worker->server;
	const char *connection = "";
	struct tb_answer answer;
	bool keep_alive, sent;

	tb_service_handle(server->service, worker->caller, &conn->request, &answer);
	/* Looked at after the work: a drain that began meanwhile counts. */
	keep_alive = conn->request.keep_alive && !atomic_load(&server->service->draining);
	/* An old client that asked for it wants to be told. */
	if (!keep_alive)
		connection = CONNECTION_CLOSE;
	else if (conn->request.framing.keep_alive)
		connection = "Connection: keep-alive\r\n";
	sent = send_answer(server, conn->fd, &answer, connection, conn->request.head);
	if (!sent)
		atomic_fetch_add(&server->service->stats.broken_answers, 1);
	free(answer.text);
	if (!sent)
		return false;
	consume(conn, conn->head_len);
	conn->phase = TB_CONN_HEAD;
	conn->continued = false;
	conn->begun_ns = drpc_now_ns();
	return keep_alive || linger(conn);
}

/* The head is complete: what of the body has to be read before it is served? */
static bool begin_body(struct tb_server *server, struct tb_conn *conn)
{
	const struct drpc_http_framing *framing = &conn->request.framing;
	enum drpc_http_body_kind kind = DRPC_HTTP_BODY_NONE;
	uint64_t length = 0;

	if (framing->chunked) {
		kind = DRPC_HTTP_BODY_CHUNKED;
	} else if (framing->content_length > 0) {
		kind = DRPC_HTTP_BODY_LENGTH;
		length = (uint64_t)framing->content_length;
	}
	if (length > server->options->max_body_bytes)
		return refuse(server, conn, 413);
	drpc_http_body_init(&conn->body, kind, length);
	conn->phase = TB_CONN_BODY;
	return true;
}

/* Takes what is there of the body away from behind the head. Returns 1 where it is complete. */
static int take_body(struct tb_server *server, struct tb_conn *conn)
{
	size_t have = conn->len - conn->head_len;
	bool complete;
	ssize_t used;

	used = drpc_http_body_feed(&conn->body, conn->data + conn->head_len, have, &complete);
	if (used < 0)
		return -400;
	if (conn->body.bytes > server->options->max_body_bytes)
		return -413;
	conn->len -= (size_t)used;
	memmove(conn->data + conn->head_len, conn->data + conn->head_len + used,
		have - (size_t)used);
	return complete;
}

static bool send_continue(struct tb_server *server, struct tb_conn *conn)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct iovec iov = {(void *)text, sizeof(text) - 1};

	if (!conn->request.expect_continue || conn->continued)
		return true;
	conn->continued = true;
	return send_all(server, conn->fd, &iov, 1);
}

/* The path points into the data, which may have moved while the body came in. */
static void find_path_again(struct tb_conn *conn)
{
	size_t scanned = 0;

	tb_request_parse(&conn->request, conn->data, conn->head_len, &scanned);
}

/* Goes on with what has been received, as far as it goes. Returns false to close. */
static bool advance(struct tb_worker *worker, struct tb_conn *conn)
{
	struct tb_server *server = worker->server;

	while (conn->len && conn->phase != TB_CONN_LINGER) {
		int n;

		if (conn->phase == TB_CONN_HEAD) {
			n = tb_request_parse(&conn->request, conn->data, conn->len, &conn->scanned);
			if (n < 0)
				return refuse(server, conn, -n);
			if (!n)
				return true;
			conn->head_len = (size_t)n;
			if (!begin_body(server, conn))
				return false;
			continue;
		}
		n = take_body(server, conn);
		if (n < 0)
			return refuse(server, conn, -n);
		if (!n)
			return send_continue(server, conn);
		if (conn->body.kind != DRPC_HTTP_BODY_NONE)
			find_path_again(conn);
		if (!respond(worker, conn))
			return false;
	}
	return true;
}

/* --- receiving ------------------------------------------------------------------------------ */

static bool make_room(struct tb_conn *conn)
{
	size_t size = conn->size ? conn->size * 2 : DATA_MIN_BYTES;
	char *data;

	if (conn->len < conn->size)
		return true;
	size = DRPC_MIN(size, DATA_MAX_BYTES + DATA_MIN_BYTES);
	if (size <= conn->size)
		return false;
	data = realloc(conn->data, size);
	if (!data)
		return false;
	conn->data = data;
	conn->size = size;
	return true;
}

static bool throw_away(struct tb_conn *conn)
{
	char trash[4096];
	ssize_t n;

	if (drpc_now_ns() - conn->begun_ns > TB_LINGER_NS)
		return false;
	n = recv(conn->fd, trash, sizeof(trash), MSG_DONTWAIT);
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

bool tb_conn_turn(struct tb_worker *worker, struct tb_conn *conn)
{
	ssize_t n;

	if (conn->phase == TB_CONN_LINGER)
		return throw_away(conn);
	if (!make_room(conn))
		return false;
	n = recv(conn->fd, conn->data + conn->len, conn->size - conn->len, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0) {
		/* The client has gone, or the tick has found it too slow in the middle of a request. */
		if (conn->len && atomic_load(&conn->expired))
			return refuse(worker->server, conn, 408);
		return false;
	}
	if (!conn->len)
		conn->begun_ns = drpc_now_ns();
	conn->len += (size_t)n;
	return advance(worker, conn);
}
