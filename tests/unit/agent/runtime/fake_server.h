/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTP server on a unix socket, one thread a connection, that answers by a table and misbehaves
 * as it is told to.
 */
#pragma once

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/util.h"

#define SERVER_ROUTES	   24
#define SERVER_CONNECTIONS 64

enum server_mode {
	SERVER_ANSWER,
	SERVER_SILENT,	/* takes the request and says nothing */
	SERVER_GARBAGE, /* says something that is no HTTP */
	SERVER_CUT,	/* closes in the middle of the body */
	SERVER_ENDLESS, /* a body without end */
	SERVER_HEADERS, /* headers without end */
	SERVER_DRIP,	/* one byte every 100 ms */
	SERVER_STREAM,	/* chunked: the body, then whatever server_push() gives */
};

struct server_route {
	const char *prefix; /* "POST /v1.41/containers/abc/update" */
	enum server_mode mode;
	int status;
	const char *body;
};

struct server {
	char path[64];
	int listener;
	pthread_t acceptor;
	pthread_t threads[SERVER_CONNECTIONS];
	size_t thread_count;

	pthread_mutex_t lock; /* of what follows */
	struct server_route routes[SERVER_ROUTES];
	size_t route_count;
	int fds[SERVER_CONNECTIONS]; /* open ones */
	int stream_fd;		     /* the last SERVER_STREAM connection; -1 */
	char last_body[16384];	     /* of the last POST */
	char log[4096];		     /* of POST and DELETE: "METHOD path\n" each */
	unsigned int requests;
	unsigned int in_flight, in_flight_most;
	unsigned int hold_ms; /* every answer takes so long */
	bool stop;
};

struct server_connection {
	struct server *server;
	int fd;
};

static inline void server_send(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		data += n;
		len -= (size_t)n;
	}
}

static inline void server_chunk(int fd, const char *text)
{
	char head[32];

	snprintf(head, sizeof(head), "%zx\r\n", strlen(text));
	server_send(fd, head, strlen(head));
	server_send(fd, text, strlen(text));
	server_send(fd, "\r\n", 2);
}

static inline bool server_stopping(struct server *s)
{
	bool stop;

	pthread_mutex_lock(&s->lock);
	stop = s->stop;
	pthread_mutex_unlock(&s->lock);
	return stop;
}

/* Until the other side closes, or the server stops. */
static inline void server_wait_close(struct server *s, int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char c;

	while (!server_stopping(s)) {
		if (poll(&p, 1, 20) > 0 && recv(fd, &c, 1, 0) <= 0)
			return;
	}
}

static inline void server_misbehave(struct server *s, int fd, const struct server_route *r)
{
	static const char block[4096] = {[0 ... 4095] = 'x'};
	char head[128];

	switch (r->mode) {
	case SERVER_GARBAGE:
		server_send(fd, "\x16\x03\x01 what?\r\n\r\n", 12);
		break;
	case SERVER_CUT:
		snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
			 strlen(r->body));
		server_send(fd, head, strlen(head));
		server_send(fd, r->body, strlen(r->body) / 2);
		break;
	case SERVER_ENDLESS:
		server_send(fd, "HTTP/1.1 200 OK\r\n\r\n", 19);
		while (!server_stopping(s) &&
		       send(fd, block, sizeof(block), MSG_NOSIGNAL) == sizeof(block))
			;
		break;
	case SERVER_HEADERS:
		server_send(fd, "HTTP/1.1 200 OK\r\n", 17);
		while (!server_stopping(s) && send(fd, "X-Y: z\r\n", 8, MSG_NOSIGNAL) == 8)
			;
		break;
	case SERVER_DRIP:
		server_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", 41);
		while (!server_stopping(s) && send(fd, "x", 1, MSG_NOSIGNAL) == 1)
			usleep(100000);
		break;
	default:
		server_wait_close(s, fd);
		break;
	}
}

static inline void server_stream(struct server *s, int fd, const struct server_route *r)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

	server_send(fd, head, sizeof(head) - 1);
	if (r->body)
		server_chunk(fd, r->body);
	pthread_mutex_lock(&s->lock);
	s->stream_fd = fd;
	pthread_mutex_unlock(&s->lock);
	server_wait_close(s, fd);
	pthread_mutex_lock(&s->lock);
	if (s->stream_fd == fd)
		s->stream_fd = -1;
	pthread_mutex_unlock(&s->lock);
}

static inline void server_answer(int fd, const struct server_route *r)
{
	char head[160];
	const char *body = r->body ? r->body : "";

	snprintf(
		head, sizeof(head),
		"HTTP/1.1 %d Status\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
		r->status ? r->status : 200, strlen(body));
	server_send(fd, head, strlen(head));
	server_send(fd, body, strlen(body));
}

/* One request with its body into `buf`; false at the end of the connection. */
static inline bool server_read(struct server *s, int fd, char *buf, size_t size, char **ret_body)
{
	size_t len = 0, want = 0;
	char *end = NULL;

	while (!end || len < want) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t n;

		if (server_stopping(s))
			return false;
		if (poll(&p, 1, 20) <= 0)
			continue;
		n = recv(fd, buf + len, size - 1 - len, 0);
		if (n <= 0)
			return false;
		len += (size_t)n;
		buf[len] = '\0';
		end = strstr(buf, "\r\n\r\n");
		if (end) {
			const char *cl = strcasestr(buf, "Content-Length:");

			want = (size_t)(end + 4 - buf) + (cl ? strtoul(cl + 15, NULL, 10) : 0);
			*ret_body = end + 4;
		}
	}
	return true;
}

static inline struct server_route server_find(struct server *s, const char *request,
					      const char *body)
{
	struct server_route r = {.status = 404, .body = "{\"message\":\"page not found\"}"};

	pthread_mutex_lock(&s->lock);
	s->requests++;
	s->in_flight++;
	if (s->in_flight > s->in_flight_most)
		s->in_flight_most = s->in_flight;
	if (strncmp(request, "POST", 4) == 0)
		drpc_strcpy(s->last_body, sizeof(s->last_body), body);
	if (strncmp(request, "GET", 3) != 0 && strlen(s->log) < sizeof(s->log) - 512)
		snprintf(s->log + strlen(s->log), 512, "%.*s\n",
			 (int)strcspn(request, "\r\n") - (int)strlen(" HTTP/1.1"), request);
	for (size_t i = 0; i < s->route_count; i++) {
		size_t len = strlen(s->routes[i].prefix);

		if (strncmp(request, s->routes[i].prefix, len) == 0 && strchr(" ?", request[len])) {
			r = s->routes[i];
			break;
		}
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

static inline void *server_connection_main(void *arg)
{
	struct server_connection *c = arg;
	struct server *s = c->server;
	char buf[32768], *body = NULL;
	bool keep = true;

	while (keep && server_read(s, c->fd, buf, sizeof(buf), &body)) {
		struct server_route r = server_find(s, buf, body);
		unsigned int hold_ms;

		pthread_mutex_lock(&s->lock);
		hold_ms = s->hold_ms;
		pthread_mutex_unlock(&s->lock);
		usleep(hold_ms * 1000);
		keep = r.mode == SERVER_ANSWER;
		pthread_mutex_lock(&s->lock);
		s->in_flight--;
		pthread_mutex_unlock(&s->lock);
		if (r.mode == SERVER_ANSWER)
			server_answer(c->fd, &r);
		else if (r.mode == SERVER_STREAM)
			server_stream(s, c->fd, &r);
		else
			server_misbehave(s, c->fd, &r);
	}
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < SERVER_CONNECTIONS; i++) {
		if (s->fds[i] == c->fd)
			s->fds[i] = -1;
	}
	close(c->fd);
	pthread_mutex_unlock(&s->lock);
	free(c);
	return NULL;
}

static inline void *server_accept_main(void *arg)
{
	struct server *s = arg;

	while (!server_stopping(s)) {
		struct pollfd p = {.fd = s->listener, .events = POLLIN};
		struct server_connection *c;
		int fd;

		if (poll(&p, 1, 20) <= 0)
			continue;
		fd = accept(s->listener, NULL, NULL);
		if (fd < 0)
			continue;
		if (s->thread_count == SERVER_CONNECTIONS) {
			close(fd);
			continue;
		}
		c = malloc(sizeof(*c));
		*c = (struct server_connection){s, fd};
		pthread_mutex_lock(&s->lock);
		s->fds[s->thread_count] = fd;
		pthread_mutex_unlock(&s->lock);
		pthread_create(&s->threads[s->thread_count++], NULL, server_connection_main, c);
	}
	return NULL;
}

static inline void server_start(struct server *s, const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	memset(s, 0, sizeof(*s));
	pthread_mutex_init(&s->lock, NULL);
	snprintf(s->path, sizeof(s->path), "%s", path);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	s->stream_fd = -1;
	for (size_t i = 0; i < SERVER_CONNECTIONS; i++)
		s->fds[i] = -1;
	unlink(path);
	s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert(s->listener >= 0);
	if (bind(s->listener, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(s->listener, 64) < 0)
		assert(!"a socket to listen on");
	pthread_create(&s->acceptor, NULL, server_accept_main, s);
}

static inline void server_stop(struct server *s)
{
	if (s->listener < 0)
		return;
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	for (size_t i = 0; i < SERVER_CONNECTIONS; i++) {
		if (s->fds[i] >= 0)
			shutdown(s->fds[i], SHUT_RDWR);
	}
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->acceptor, NULL);
	for (size_t i = 0; i < s->thread_count; i++)
		pthread_join(s->threads[i], NULL);
	close(s->listener);
	s->listener = -1;
	unlink(s->path);
	pthread_mutex_destroy(&s->lock);
}

/* Adds a route or changes the one of this prefix. Strings must outlive the server. */
static inline void server_route(struct server *s, const char *prefix, enum server_mode mode,
				int status, const char *body)
{
	size_t i = 0;

	pthread_mutex_lock(&s->lock);
	while (i < s->route_count && strcmp(s->routes[i].prefix, prefix) != 0)
		i++;
	s->routes[i] = (struct server_route){prefix, mode, status, body};
	if (i == s->route_count)
		s->route_count++;
	pthread_mutex_unlock(&s->lock);
}

/* Sends text down the stream; false where nobody listens yet. */
static inline bool server_push(struct server *s, const char *text)
{
	bool open;

	pthread_mutex_lock(&s->lock);
	open = s->stream_fd >= 0;
	if (open)
		server_chunk(s->stream_fd, text);
	pthread_mutex_unlock(&s->lock);
	return open;
}

static inline void server_cut_stream(struct server *s)
{
	pthread_mutex_lock(&s->lock);
	if (s->stream_fd >= 0)
		shutdown(s->stream_fd, SHUT_RDWR);
	pthread_mutex_unlock(&s->lock);
}

static inline void server_last_body(struct server *s, char *ret, size_t size)
{
	pthread_mutex_lock(&s->lock);
	drpc_strcpy(ret, size, s->last_body);
	pthread_mutex_unlock(&s->lock);
}

/* Since the last call. */
static inline void server_log(struct server *s, char *ret, size_t size)
{
	pthread_mutex_lock(&s->lock);
	drpc_strcpy(ret, size, s->log);
	s->log[0] = '\0';
	pthread_mutex_unlock(&s->lock);
}
