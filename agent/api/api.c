// SPDX-License-Identifier: Apache-2.0
#include "agent/api/api.h"

#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/api/listen.h"
#include "agent/api/metrics.h"
#include "agent/api/route.h"
#include "lib/log.h"
#include "lib/util.h"

/* The bounds of docs/api.md. */
#define CONNECTIONS_MAX 32	    /* of each listener; further ones wait in its queue */
#define MEMORY_LIMIT	(32 * 1024) /* of a connection: request line and headers must fit */
#define BODY_MAX	4096
#define REQUEST_DEADLINE_S \
	10 /* from connecting, or from the last answer, to the next answer sent */
#define TURN_NS (5 * DRPC_NSEC_PER_MSEC) /* work in one go before others have theirs */

/* One connection, to be cut where its request takes too long. */
struct connection {
	struct connection *prev, *next;
	uint64_t since_ns;
	int fd;
	bool answering; /* the answer is on its way */
	bool answered;	/* there was one at least */
};

/* One listener: the unix socket, or the TCP address. */
struct listener {
	struct drpc_api *api;
	struct MHD_Daemon *daemon;
	struct drpc_source *source;
	struct connection *connections;
	bool local;
	bool closed; /* a connection ended during this turn */
};

struct drpc_api {
	struct drpc_agent *agent;
	struct drpc_metrics *metrics;
	struct drpc_source *timer;
	struct listener local, tcp;
	struct drpc_socket_file socket_file;
};

/* A request under way. */
struct exchange {
	size_t size;
	char body[BODY_MAX + 1];
};

/* --- answers the library cannot give -------------------------------------------------------------- */

static struct connection *connection_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

/* It takes an answer before the body or after it, and none to what it cannot read. In between, the
 * last word of a connection is said here; what follows is its end. */
static void last_word(struct listener *listener, struct connection *c, unsigned int status)
{
	char text[128];
	int n;

	if (!c || c->answering)
		return;
	n = snprintf(text, sizeof(text),
		     "HTTP/1.1 %u %s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", status,
		     MHD_get_reason_phrase_for(status));
	if (send(c->fd, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) == n)
		drpc_metrics_count_request(listener->api->metrics, status);
	c->answering = c->answered = true;
}

/* --- requests --------------------------------------------------------------------------------- */

static enum MHD_Result send_reply(struct listener *listener, struct MHD_Connection *connection,
				  struct drpc_api_reply *reply)
{
	static const char no_memory[] = "{\"error\": \"out of memory\"}\n";
	struct connection *c = connection_of(connection);
	struct MHD_Response *response;
	enum MHD_Result r;

	if (reply->body)
		response = MHD_create_response_from_buffer(reply->size, reply->body,
							   MHD_RESPMEM_MUST_FREE);
	else
		response = MHD_create_response_from_buffer(sizeof(no_memory) - 1,
							   (void *)(uintptr_t)no_memory,
							   MHD_RESPMEM_PERSISTENT);
	if (!response) {
		free(reply->body);
		return MHD_NO;
	}
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
				reply->type && reply->body ? reply->type : "application/json");
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	if (reply->allow)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, reply->allow);
	/* Whoever got one thing wrong starts anew: nothing of the connection is trusted further. */
	if (reply->status >= 400)
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	r = MHD_queue_response(connection, reply->status, response);
	MHD_destroy_response(response);
	if (c)
		c->answering = c->answered = true;
	drpc_metrics_count_request(listener->api->metrics, reply->status);
	return r;
}

static enum MHD_Result refuse(struct listener *listener, struct MHD_Connection *connection,
			      unsigned int status, const char *text)
{
	struct drpc_api_reply reply;

	drpc_reply_error(&reply, status, "%s", text);
	return send_reply(listener, connection, &reply);
}

/* Whether Content-Length, which the library has checked, is over the bound. */
static bool announces_too_much(struct MHD_Connection *connection)
{
	const char *text = MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
						       MHD_HTTP_HEADER_CONTENT_LENGTH);

	return text && strtoull(text, NULL, 10) > BODY_MAX;
}

/* Called for the head of a request, for each piece of its body, and once more at its end. */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *data_size, void **context)
{
	struct listener *listener = arg;
	struct exchange *exchange = *context;
	struct drpc_api_reply reply;

	(void)version;
	if (!exchange) {
		if (announces_too_much(connection))
			return refuse(listener, connection, MHD_HTTP_CONTENT_TOO_LARGE,
				      "the body is larger than 4 KiB");
		*context = calloc(1, sizeof(*exchange));
		return *context ? MHD_YES : MHD_NO;
	}
	if (*data_size > 0) {
		/* Chunks announce no size: whoever sends too many is cut off. */
		if (*data_size > BODY_MAX - exchange->size) {
			last_word(listener, connection_of(connection), MHD_HTTP_CONTENT_TOO_LARGE);
			return MHD_NO;
		}
		memcpy(exchange->body + exchange->size, data, *data_size);
		exchange->size += *data_size;
		*data_size = 0;
		return MHD_YES;
	}
	if (memchr(exchange->body, '\0', exchange->size))
		return refuse(listener, connection, MHD_HTTP_BAD_REQUEST, "a NUL in the body");

	drpc_route(listener->api->agent, listener->api->metrics,
		   &(struct drpc_api_request){
			   .method = method,
			   .path = url,
			   .since = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND,
								"since"),
			   .accept = MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
								 MHD_HTTP_HEADER_ACCEPT),
			   .body = exchange->body,
			   .local = listener->local,
		   },
		   &reply);
	return send_reply(listener, connection, &reply);
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **context,
			 enum MHD_RequestTerminationCode code)
{
	struct connection *c = connection_of(connection);

	(void)arg;
	(void)code;
	free(*context);
	*context = NULL;
	if (c) {
		c->since_ns = drpc_now_ns();
		c->answering = false;
	}
}

/* Names in paths may hold an encoded slash: decoding waits until the path is taken apart. */
static size_t keep_encoded(void *arg, struct MHD_Connection *connection, char *text)
{
	(void)arg;
	(void)connection;
	return strlen(text);
}

/* --- connections ------------------------------------------------------------------------------ */

static void on_connection(void *arg, struct MHD_Connection *connection, void **context,
			  enum MHD_ConnectionNotificationCode code)
{
	struct listener *listener = arg;
	struct connection *c = *context;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		const union MHD_ConnectionInfo *info =
			MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

		c = calloc(1, sizeof(*c));
		if (!c || !info) {
			/* Without a record there would be no deadline: end it here. */
			if (info)
				shutdown(info->connect_fd, SHUT_RDWR);
			free(c);
			return;
		}
		c->fd = info->connect_fd;
		c->since_ns = drpc_now_ns();
		c->next = listener->connections;
		if (c->next)
			c->next->prev = c;
		listener->connections = c;
		*context = c;
		return;
	}
	listener->closed = true;
	if (!c)
		return;
	/* What was no HTTP at all is ended without a word, so the word comes from here. */
	if (!c->answered)
		last_word(listener, c, MHD_HTTP_BAD_REQUEST);
	if (c->prev)
		c->prev->next = c->next;
	else
		listener->connections = c->next;
	if (c->next)
		c->next->prev = c->prev;
	free(c);
	*context = NULL;
}

/*
 * The library's own timeout counts silence only: a client that sends a byte now and then would
 * hold its place for ever. So a request as a whole has a deadline.
 */
static void cut_slow(struct listener *listener, uint64_t now_ns)
{
	for (struct connection *c = listener->connections; c; c = c->next) {
		if (now_ns - c->since_ns < REQUEST_DEADLINE_S * DRPC_NSEC_PER_SEC)
			continue;
		last_word(listener, c, MHD_HTTP_REQUEST_TIMEOUT);
		shutdown(c->fd, SHUT_RDWR);
	}
}

static void serve(struct listener *listener)
{
	uint64_t end_ns = drpc_now_ns() + TURN_NS;
	MHD_UNSIGNED_LONG_LONG wait;

	/* The library says by a timeout of 0 that it has more to do with what it read already. A
	 * place that came free lets the next one in the queue be accepted. */
	do {
		listener->closed = false;
		MHD_run(listener->daemon);
	} while ((listener->closed ||
		  (MHD_get_timeout(listener->daemon, &wait) == MHD_YES && wait == 0)) &&
		 drpc_now_ns() < end_ns);
}

static void on_ready(struct drpc_source *source, uint32_t events, void *arg)
{
	(void)source;
	(void)events;
	serve(arg);
}

static void on_second(struct drpc_source *source, uint32_t events, void *arg)
{
	struct drpc_api *api = arg;
	struct listener *listeners[] = {&api->local, &api->tcp};
	uint64_t now_ns = drpc_now_ns();

	(void)source;
	(void)events;
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(listeners); i++) {
		if (!listeners[i]->daemon || !listeners[i]->connections)
			continue;
		cut_slow(listeners[i], now_ns);
		serve(listeners[i]);
	}
}

/* --- life ------------------------------------------------------------------------------------- */

static void on_library_log(void *arg, const char *fmt, va_list args)
	__attribute__((format(printf, 2, 0)));

/* Tells of clients' mistakes: noise, except to whoever debugs a client. */
static void on_library_log(void *arg, const char *fmt, va_list args)
{
	char text[512];

	(void)arg;
	if (!drpc_log_enabled(DRPC_LOG_DEBUG))
		return;
	vsnprintf(text, sizeof(text), fmt, args);
	text[strcspn(text, "\r\n")] = '\0';
	drpc_debug("api: %s", text);
}

/* Takes over `fd`, on failure too. */
static int listener_start(struct drpc_api *api, struct listener *listener, int fd, bool local)
{
	const union MHD_DaemonInfo *info;
	int r;

	listener->api = api;
	listener->local = local;
	/* TURBO: no shutdown() before the end of a connection, which would forbid a last word. */
	listener->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_USE_TURBO | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request,
		listener, MHD_OPTION_EXTERNAL_LOGGER, on_library_log, NULL,
		MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY_LIMIT,
		MHD_OPTION_CONNECTION_TIMEOUT, 2U * REQUEST_DEADLINE_S,
		MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_UNESCAPE_CALLBACK, keep_encoded, NULL,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, listener, MHD_OPTION_NOTIFY_CONNECTION,
		on_connection, listener, MHD_OPTION_END);
	if (!listener->daemon) {
		close(fd);
		return drpc_err(-EIO, "api: libmicrohttpd does not start");
	}
	info = MHD_get_daemon_info(listener->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	r = info ? drpc_loop_add_fd(api->agent->loop, info->epoll_fd, POLLIN, on_ready, listener,
				    &listener->source)
		 : -EIO;
	return r < 0 ? drpc_err(r, "api: cannot watch the listener") : 0;
}

static void listener_stop(struct listener *listener)
{
	if (listener->source)
		drpc_loop_remove(listener->api->agent->loop, &listener->source);
	if (listener->daemon)
		MHD_stop_daemon(listener->daemon); /* closes its sockets */
	listener->daemon = NULL;
}

int drpc_api_new(struct drpc_agent *agent, struct drpc_api **ret)
{
	const struct drpc_config *config = &agent->config;
	struct drpc_api *api = calloc(1, sizeof(*api));
	int fd, r;

	if (!api)
		return -ENOMEM;
	api->agent = agent;
	r = drpc_metrics_new(&api->metrics);
	if (r < 0)
		goto fail;
	fd = r = drpc_listen_unix(config->socket, &api->socket_file);
	if (r < 0)
		goto fail;
	r = listener_start(api, &api->local, fd, true);
	if (r < 0)
		goto fail;
	if (config->listen[0] != '\0') {
		fd = r = drpc_listen_tcp(config->listen);
		if (r < 0)
			goto fail;
		r = listener_start(api, &api->tcp, fd, false);
		if (r < 0)
			goto fail;
	}
	r = drpc_loop_add_timer(agent->loop, DRPC_NSEC_PER_SEC, on_second, api, &api->timer);
	if (r < 0)
		goto fail;
	*ret = api;
	return 0;
fail:
	drpc_api_free(&api);
	return r;
}

void drpc_api_free(struct drpc_api **api)
{
	struct drpc_api *a = *api;

	if (!a)
		return;
	if (a->timer)
		drpc_loop_remove(a->agent->loop, &a->timer);
	listener_stop(&a->tcp);
	/* The file first: while the socket listens, it is surely ours. */
	if (a->socket_file.ino)
		drpc_listen_unlink(a->agent->config.socket, &a->socket_file);
	listener_stop(&a->local);
	drpc_metrics_free(&a->metrics);
	free(a);
	*api = NULL;
}

void drpc_api_gone(struct drpc_api *api, struct drpc_container *container)
{
	if (api)
		drpc_metrics_gone(api->metrics, container);
}
