// SPDX-License-Identifier: Apache-2.0
/* The server's sockets and threads: connections come and go, workers take their events. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "lib/log.h"
#include "lib/util.h"
#include "tools/testbed/server_internal.h"

#define STACK_BYTES (256UL * 1024)

/* Marks the listener and the eventfd among the events. */
static char listener_mark, stop_mark;

/* --- connections ---------------------------------------------------------------------------- */

static void arm(struct tb_server *server, struct tb_conn *conn, int op)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.ptr = conn};
	uint64_t now_ns = drpc_now_ns();
	bool idle = conn->phase == TB_CONN_HEAD && !conn->len;
	int fd = conn->fd;
	uint64_t deadline_ns = conn->begun_ns + server->options->client_timeout_ns;

	if (idle)
		deadline_ns = now_ns + server->options->keepalive_ns;
	else if (conn->phase == TB_CONN_LINGER)
		deadline_ns = conn->begun_ns + TB_LINGER_NS;
	atomic_store(&conn->idle, idle);
	atomic_store(&conn->deadline_ns, deadline_ns);
	/* From the call on another worker may have it: it is not looked at any more. */
	epoll_ctl(server->epoll, op, fd, &event);
}

static void arm_listener(struct tb_server *server)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.ptr = &listener_mark};

	/* Refused once a drain has taken the listener out of the set. */
	epoll_ctl(server->epoll, EPOLL_CTL_MOD, server->listener, &event);
}

static void conn_close(struct tb_server *server, struct tb_conn *conn)
{
	bool resume;

	pthread_mutex_lock(&server->lock);
	conn->prev->next = conn->next;
	conn->next->prev = conn->prev;
	server->conn_count--;
	resume = server->accept_paused;
	server->accept_paused = false;
	close(conn->fd);
	pthread_mutex_unlock(&server->lock);
	atomic_fetch_sub(&server->service->stats.connections, 1);
	free(conn->data);
	free(conn);
	if (resume)
		arm_listener(server);
}

static void conn_open(struct tb_server *server, int fd)
{
	uint64_t timeout_ns = server->options->client_timeout_ns;
	struct timeval tv = {(time_t)(timeout_ns / DRPC_NSEC_PER_SEC),
			     (suseconds_t)(timeout_ns % DRPC_NSEC_PER_SEC / 1000)};
	struct tb_conn *conn = calloc(1, sizeof(*conn));
	const int one = 1;

	if (!conn) {
		close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	conn->fd = fd;
	conn->begun_ns = drpc_now_ns();
	pthread_mutex_lock(&server->lock);
	conn->prev = server->conns.prev;
	conn->next = &server->conns;
	conn->prev->next = conn;
	server->conns.prev = conn;
	server->conn_count++;
	pthread_mutex_unlock(&server->lock);
	atomic_fetch_add(&server->service->stats.connections, 1);
	atomic_fetch_add(&server->service->stats.accepted, 1);
	arm(server, conn, EPOLL_CTL_ADD);
}

/* Takes one connection from the backlog. Returns false where there is none, or none can be had. */
static bool accept_one(struct tb_server *server)
{
	int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0) {
		/* Out of descriptors or memory: they wait in the backlog; try again, but not at once. */
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			usleep(10000);
		return errno == EINTR || errno == ECONNABORTED;
	}
	conn_open(server, fd);
	return true;
}

static void accept_turn(struct tb_server *server)
{
	bool full;

	accept_one(server);
	pthread_mutex_lock(&server->lock);
	full = server->conn_count >= server->options->max_connections;
	server->accept_paused = full;
	pthread_mutex_unlock(&server->lock);
	if (!full)
		arm_listener(server);
}

/* --- workers -------------------------------------------------------------------------------- */

static void *worker_main(void *arg)
{
	struct tb_worker *worker = arg;
	struct tb_server *server = worker->server;

	for (;;) {
		struct epoll_event event;
		int n = epoll_wait(server->epoll, &event, 1, -1);
		struct tb_conn *conn;

		if (n < 0 && errno != EINTR)
			break;
		if (n <= 0)
			continue;
		if (event.data.ptr == &stop_mark)
			break;
		if (event.data.ptr == &listener_mark) {
			accept_turn(server);
			continue;
		}
		conn = event.data.ptr;
		/* Reads what arm() stored: all that the worker before did to it is seen here. */
		atomic_exchange(&conn->deadline_ns, 0);
		if (tb_conn_turn(worker, conn))
			arm(server, conn, EPOLL_CTL_MOD);
		else
			conn_close(server, conn);
	}
	return NULL;
}

static int start_workers(struct tb_server *server)
{
	pthread_attr_t attr;
	int err = 0;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	for (unsigned int i = 0; !err && i < server->options->workers; i++) {
		struct tb_worker *worker = &server->workers[i];

		worker->server = server;
		err = tb_caller_new(server->options, server->service->resolver, &worker->caller);
		if (!err)
			err = -pthread_create(&worker->thread, &attr, worker_main, worker);
		worker->running = !err;
	}
	pthread_attr_destroy(&attr);
	return err ? drpc_err(err, "--workers %u: cannot start them", server->options->workers) : 0;
}

/* --- making and ending ---------------------------------------------------------------------- */

static int listen_on(struct tb_server *server)
{
	const struct tb_options *o = server->options;
	struct sockaddr_storage bound = {0};
	socklen_t len = sizeof(bound);
	const int one = 1;
	int fd = socket(o->listen.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	server->listener = fd;
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (o->reuse_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)))
		return -errno;
	if (bind(fd, (const struct sockaddr *)&o->listen, o->listen_len) ||
	    listen(fd, (int)o->backlog) || getsockname(fd, (struct sockaddr *)&bound, &len))
		return -errno;
	/* The port is at the same place in both families. */
	/* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): getsockname() filled it */
	server->port = ntohs(((struct sockaddr_in *)&bound)->sin_port);
	return 0;
}

static int make_epoll(struct tb_server *server)
{
	struct epoll_event listener = {.events = EPOLLIN | EPOLLONESHOT,
				       .data.ptr = &listener_mark};
	struct epoll_event stop = {.events = EPOLLIN, .data.ptr = &stop_mark};

	server->epoll = epoll_create1(EPOLL_CLOEXEC);
	server->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (server->epoll < 0 || server->stop < 0 ||
	    epoll_ctl(server->epoll, EPOLL_CTL_ADD, server->stop, &stop) ||
	    epoll_ctl(server->epoll, EPOLL_CTL_ADD, server->listener, &listener))
		return -errno;
	return 0;
}

int tb_server_new(struct tb_service *service, struct tb_server **ret)
{
	struct tb_server *server = calloc(1, sizeof(*server));
	int err;

	if (!server)
		return drpc_err(-ENOMEM, "cannot start the server");
	server->service = service;
	server->options = service->options;
	server->listener = server->epoll = server->stop = -1;
	server->conns.prev = server->conns.next = &server->conns;
	pthread_mutex_init(&server->lock, NULL);
	memset(server->filler, 'x', sizeof(server->filler));
	server->workers = calloc(server->options->workers, sizeof(*server->workers));
	err = server->workers ? listen_on(server) : -ENOMEM;
	if (!err)
		err = make_epoll(server);
	if (err)
		drpc_err(err, "--listen %s: cannot listen", server->options->listen_text);
	else
		err = start_workers(server);
	if (err) {
		tb_server_free(&server);
		return err;
	}
	*ret = server;
	return 0;
}

unsigned int tb_server_port(const struct tb_server *server)
{
	return server->port;
}

void tb_server_free(struct tb_server **server)
{
	struct tb_server *s = *server;
	const uint64_t one = 1;

	if (!s)
		return;
	if (s->stop >= 0 && write(s->stop, &one, sizeof(one)) < 0)
		drpc_warn("cannot wake the workers, ignoring");
	for (unsigned int i = 0; s->workers && i < s->options->workers; i++) {
		if (s->workers[i].running)
			pthread_join(s->workers[i].thread, NULL);
		tb_caller_free(&s->workers[i].caller);
	}
	while (s->conns.next != &s->conns)
		conn_close(s, s->conns.next);
	if (s->listener >= 0)
		close(s->listener);
	if (s->epoll >= 0)
		close(s->epoll);
	if (s->stop >= 0)
		close(s->stop);
	pthread_mutex_destroy(&s->lock);
	free(s->workers);
	free(s);
	*server = NULL;
}

/* --- time ----------------------------------------------------------------------------------- */

/* Data that waits for a worker is the server's delay, not the client's. */
static bool has_input(const struct tb_conn *conn)
{
	int n = 0;

	return ioctl(conn->fd, FIONREAD, &n) == 0 && n > 0;
}

void tb_server_tick(struct tb_server *server)
{
	uint64_t now_ns = drpc_now_ns();
	bool close_idle = server->drain_until_ns && now_ns >= server->drain_until_ns;

	pthread_mutex_lock(&server->lock);
	for (struct tb_conn *c = server->conns.next; c != &server->conns; c = c->next) {
		uint64_t deadline_ns = atomic_load(&c->deadline_ns);

		if (!deadline_ns || atomic_load(&c->expired))
			continue;
		if (now_ns < deadline_ns && !(close_idle && atomic_load(&c->idle)))
			continue;
		if (has_input(c))
			continue;
		/* Wakes a worker, which finds the end of the stream and closes. */
		atomic_store(&c->expired, true);
		shutdown(c->fd, SHUT_RD);
	}
	pthread_mutex_unlock(&server->lock);
}

void tb_server_drain(struct tb_server *server)
{
	if (server->drain_until_ns)
		return;
	server->drain_until_ns = drpc_now_ns() + server->options->drain_ns;
	atomic_store(&server->service->draining, true);
	epoll_ctl(server->epoll, EPOLL_CTL_DEL, server->listener, NULL);
	/*
	 * Whoever is in the backlog has been told that it is connected. The socket is shut down
	 * rather than closed: a worker may be about to accept from it.
	 */
	while (accept_one(server))
		;
	shutdown(server->listener, SHUT_RDWR);
}

bool tb_server_drained(struct tb_server *server)
{
	bool none;

	pthread_mutex_lock(&server->lock);
	none = server->drain_until_ns && server->conn_count == 0;
	pthread_mutex_unlock(&server->lock);
	return none;
}
