// SPDX-License-Identifier: Apache-2.0
#include "tools/testbed/call.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/util.h"
#include "tools/load/http.h"
#include "tools/load/rng.h"
#include "tools/load/workload.h"
#include "tools/testbed/request.h"

#define BUFFER_BYTES (16 * 1024)

const char *const tb_outcome_names[TB_CALL_OUTCOMES] = {
	[TB_CALL_OK] = "ok",	     [TB_CALL_RESOLVE] = "resolve", [TB_CALL_REFUSED] = "refused",
	[TB_CALL_RESET] = "reset",   [TB_CALL_TIMEOUT] = "timeout", [TB_CALL_PROTOCOL] = "protocol",
	[TB_CALL_STATUS] = "status",
};

enum call_state {
	CALL_CONNECT,
	CALL_SEND,
	CALL_RECEIVE,
	CALL_DONE,
};

struct call {
	unsigned int number; /* of the configuration */
	int fd;		     /* kept between requests; -1: none */
	uint64_t since_ns;   /* when it was connected */
	enum call_state state;
	enum tb_outcome outcome;
	bool reused;
	unsigned int addresses; /* that the name had when the call began */
	unsigned int tried;	/* of these, that took no connection */
	unsigned int address;
	char *out; /* owned */
	size_t out_len, out_done;
	struct drpc_http_response response;
};

struct tb_caller {
	const struct tb_options *options;
	struct tb_resolver *resolver;
	struct drpc_rng rng;
	unsigned int count;
	struct call calls[TB_CALLS_MAX];
	char buffer[BUFFER_BYTES];
};

int tb_caller_new(const struct tb_options *options, struct tb_resolver *resolver,
		  struct tb_caller **ret)
{
	struct tb_caller *caller = calloc(1, sizeof(*caller));

	if (!caller)
		return -ENOMEM;
	caller->options = options;
	caller->resolver = resolver;
	/* Which of several replicas is called need not repeat from run to run, and must differ. */
	caller->rng = drpc_rng_stream(drpc_now_ns(), (uint64_t)(uintptr_t)caller);
	for (unsigned int i = 0; i < options->call_count; i++) {
		struct call *call = &caller->calls[i];

		call->number = i;
		call->fd = -1;
		call->out = malloc(options->calls[i].head_len + TB_USER_MAX + 32);
		if (!call->out) {
			tb_caller_free(&caller);
			return -ENOMEM;
		}
		caller->count++;
	}
	*ret = caller;
	return 0;
}

static void hang_up(struct call *call)
{
	if (call->fd >= 0)
		close(call->fd);
	call->fd = -1;
}

void tb_caller_free(struct tb_caller **caller)
{
	struct tb_caller *c = *caller;

	if (!c)
		return;
	for (unsigned int i = 0; i < c->count; i++) {
		hang_up(&c->calls[i]);
		free(c->calls[i].out);
	}
	free(c);
	*caller = NULL;
}

static void done(struct call *call, enum tb_outcome outcome)
{
	call->outcome = outcome;
	call->state = CALL_DONE;
	if (outcome != TB_CALL_OK && outcome != TB_CALL_STATUS)
		hang_up(call);
}

/*
 * Whether the name has one more address to try, after one that took no connection. The name may have
 * lost that one meanwhile: those that are left have not been tried then.
 */
static bool next_address(struct call *call)
{
	call->address++;
	return ++call->tried < call->addresses;
}

/* Begins a connection attempt. Returns false where it failed at once. */
static bool dial_address(struct call *call, const struct drpc_target_address *a)
{
	const int one = 1;

	hang_up(call);
	call->fd = socket(a->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (call->fd < 0)
		return false;
	if (a->addr.ss_family != AF_UNIX)
		setsockopt(call->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	call->since_ns = drpc_now_ns();
	call->state = CALL_CONNECT;
	if (!connect(call->fd, (const struct sockaddr *)&a->addr, a->len))
		call->state = CALL_SEND;
	else if (errno != EINPROGRESS)
		return false;
	return true;
}

/* Connects to one of the addresses that are left. */
static void dial(struct tb_caller *caller, struct call *call)
{
	call->reused = false;
	call->out_done = 0;
	do {
		struct drpc_target_address a;

		if (!tb_resolver_address(caller->resolver, call->number, call->address, &a)) {
			done(call, TB_CALL_RESOLVE);
			return;
		}
		if (dial_address(call, &a))
			return;
	} while (next_address(call));
	done(call, TB_CALL_REFUSED);
}

/* Not too old, not closed by the other side, nothing on it that nobody asked for. */
static bool reusable(const struct tb_caller *caller, const struct call *call, uint64_t now_ns)
{
	char byte;

	if (call->fd < 0 || now_ns - call->since_ns > caller->options->call_reuse_ns)
		return false;
	return recv(call->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static void begin(struct tb_caller *caller, struct call *call, const char *user)
{
	const struct tb_call_spec *spec = &caller->options->calls[call->number];
	size_t len = spec->head_len;

	memcpy(call->out, spec->head, len);
	if (*user)
		len += (size_t)snprintf(call->out + len, TB_USER_MAX + 32,
					DRPC_USER_HEADER ": %s\r\n", user);
	memcpy(call->out + len, "\r\n", 2);
	call->out_len = len + 2;
	call->out_done = 0;
	call->tried = 0;
	call->addresses = tb_resolver_count(caller->resolver, call->number);
	drpc_http_response_init(&call->response, false);
	if (reusable(caller, call, drpc_now_ns())) {
		call->reused = true;
		call->state = CALL_SEND;
		return;
	}
	call->address = (unsigned int)(drpc_rng_next(&caller->rng) >> 33);
	dial(caller, call);
}

/*
 * The connection broke. One that was kept may have been closed just as it was used again: the
 * request is repeated on a new one if nothing of an answer was seen (RFC 9112 §9.3.1; calls are
 * GETs).
 */
static void broken(struct tb_caller *caller, struct call *call)
{
	if (call->reused && drpc_http_response_untouched(&call->response))
		dial(caller, call);
	else
		done(call, TB_CALL_RESET);
}

static void send_some(struct tb_caller *caller, struct call *call)
{
	ssize_t n = send(call->fd, call->out + call->out_done, call->out_len - call->out_done,
			 MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			broken(caller, call);
		return;
	}
	call->out_done += (size_t)n;
	if (call->out_done == call->out_len)
		call->state = CALL_RECEIVE;
}

static void complete(struct call *call, bool excess)
{
	bool keep = !excess && drpc_http_response_reusable(&call->response);

	done(call, call->response.status >= 400 ? TB_CALL_STATUS : TB_CALL_OK);
	if (!keep)
		hang_up(call);
}

static void receive_some(struct tb_caller *caller, struct call *call)
{
	ssize_t n = recv(call->fd, caller->buffer, sizeof(caller->buffer), MSG_DONTWAIT), used;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == 0 && !drpc_http_response_eof(&call->response)) {
		complete(call, false);
		return;
	}
	if (n <= 0) {
		broken(caller, call);
		return;
	}
	used = drpc_http_response_feed(&call->response, caller->buffer, (size_t)n);
	if (used < 0)
		done(call, TB_CALL_PROTOCOL);
	else if (call->response.done)
		complete(call, used < n);
}

static void connected(struct tb_caller *caller, struct call *call)
{
	socklen_t len = sizeof(int);
	int error = 0;

	if (!getsockopt(call->fd, SOL_SOCKET, SO_ERROR, &error, &len) && !error)
		call->state = CALL_SEND;
	else if (next_address(call))
		dial(caller, call);
	else
		done(call, TB_CALL_REFUSED);
}

/* Goes as far as it can without waiting for the next state's event. */
static void step(struct tb_caller *caller, struct call *call)
{
	if (call->state == CALL_CONNECT)
		connected(caller, call);
	if (call->state == CALL_SEND)
		send_some(caller, call);
	else if (call->state == CALL_RECEIVE)
		receive_some(caller, call);
}

/* Waits for one of the calls to go on, until a time, and takes those on that can. */
static void poll_calls(struct tb_caller *caller, struct call *const *calls, unsigned int n,
		       uint64_t until_ns)
{
	struct pollfd fds[TB_CALLS_MAX];
	uint64_t now_ns = drpc_now_ns();
	uint64_t left_ns = until_ns > now_ns ? until_ns - now_ns : 0;
	struct timespec ts = {(time_t)(left_ns / DRPC_NSEC_PER_SEC),
			      (long)(left_ns % DRPC_NSEC_PER_SEC)};

	for (unsigned int i = 0; i < n; i++) {
		fds[i] = (struct pollfd){
			.fd = calls[i]->state == CALL_DONE ? -1 : calls[i]->fd,
			.events = calls[i]->state == CALL_RECEIVE ? POLLIN : POLLOUT,
		};
	}
	if (ppoll(fds, n, &ts, NULL) <= 0)
		return;
	for (unsigned int i = 0; i < n; i++) {
		if (fds[i].revents)
			step(caller, calls[i]);
	}
}

/* Makes the calls at once. */
static void run_together(struct tb_caller *caller, struct call *const *calls, unsigned int n,
			 const char *user)
{
	uint64_t until_ns = drpc_now_ns() + caller->options->call_timeout_ns;

	for (unsigned int i = 0; i < n; i++) {
		begin(caller, calls[i], user);
		if (calls[i]->state == CALL_SEND)
			step(caller, calls[i]);
	}
	for (;;) {
		unsigned int open = 0;
		bool late;

		for (unsigned int i = 0; i < n; i++)
			open += calls[i]->state != CALL_DONE;
		if (!open)
			return;
		/* A last look even so: a throttled process is late for what came in time. */
		late = drpc_now_ns() >= until_ns;
		poll_calls(caller, calls, n, until_ns);
		if (late)
			break;
	}
	for (unsigned int i = 0; i < n; i++) {
		if (calls[i]->state != CALL_DONE)
			done(calls[i], TB_CALL_TIMEOUT);
	}
}

unsigned int tb_caller_run(struct tb_caller *caller, const struct tb_work *work, const char *user,
			   enum tb_outcome *outcomes)
{
	struct call *calls[TB_CALLS_MAX];
	unsigned int made = 0;

	for (unsigned int i = 0; i < work->call_count; i++)
		calls[i] = &caller->calls[work->calls[i]];
	if (work->parallel && work->call_count) {
		run_together(caller, calls, work->call_count, user);
		made = work->call_count;
	}
	while (made < work->call_count) {
		bool optional = caller->options->calls[work->calls[made]].optional;

		run_together(caller, &calls[made], 1, user);
		if (calls[made++]->outcome != TB_CALL_OK && !optional)
			break;
	}
	for (unsigned int i = 0; i < made; i++)
		outcomes[i] = calls[i]->outcome;
	return made;
}
