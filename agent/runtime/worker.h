/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread that makes HTTP requests, several at a time, for the thread that owns all state.
 *
 * Two threads touch this: the owner (submit, drain, free) and the worker. A request belongs to the
 * owner until it is submitted, then to the worker until its `done` is called; nothing else is
 * shared. Tested under ThreadSanitizer.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct drpc_worker;

/* Something for the owner's thread: delivered once, by drain or free, in order. */
struct drpc_note {
	void (*deliver)(struct drpc_note *note);
	struct drpc_note *next;
};

struct drpc_request {
	/* Set before submit. */
	char path[512]; /* "/v1.41/containers/json?all=0" */
	char *body;	/* JSON; owned by whoever owns the request; NULL: none */
	bool post;
	bool del;	     /* DELETE */
	uint32_t delay_ms;   /* begin this much later */
	uint32_t timeout_ms; /* from its beginning to its end; 0: none (a stream) */
	uint32_t reply_max;  /* bytes; more is refused (-EFBIG); a stream is not bounded by it */
	/*
	 * Worker thread. `on_data` (may be NULL) gets the body of a 2xx answer as it comes, instead
	 * of `reply`. `on_reply` (may be NULL) looks at every complete answer; err and status are
	 * set, 2xx or not. A negative return makes that the error of the request.
	 */
	int (*on_data)(struct drpc_request *rq, const char *data, size_t len);
	int (*on_reply)(struct drpc_request *rq);
	/* Owner's thread: the request is the owner's again. */
	void (*done)(struct drpc_request *rq);
	void *arg;

	/*
	 * Set when done. err 0: a 2xx answer; -ENOENT 404, -EEXIST 409, -EINVAL other 4xx,
	 * -EREMOTEIO 5xx; -ECONNREFUSED, -ETIMEDOUT, -EFBIG, -EPROTO (no HTTP, or cut short),
	 * -ECANCELED (the worker was freed); or what a callback returned.
	 */
	int err;
	long status;   /* HTTP; 0: none came */
	char why[192]; /* what went wrong, for people; sanitized */
	char *reply;   /* NUL-terminated; NULL: none; freed by drpc_request_clear() */
	size_t reply_len;

	/* The worker's own. */
	struct drpc_note note;
	struct drpc_worker *worker;
	struct drpc_request *next;
	void *easy;
	uint64_t begin_ns;
	size_t header_bytes, reply_cap;
	char curl_error[256];
};

/* `socket` is the path of a unix socket. Starts the thread. */
int drpc_worker_new(const char *socket, uint32_t connect_timeout_ms, struct drpc_worker **ret);

/*
 * Stops the thread, delivers what was left (requests with -ECANCELED), frees. NULL-safe, nulls its
 * argument. Waits for at most one callback of the worker thread, never for the network.
 */
void drpc_worker_free(struct drpc_worker **worker);

/* Readable when drain has something to deliver. */
int drpc_worker_fd(const struct drpc_worker *worker);

void drpc_worker_submit(struct drpc_worker *worker, struct drpc_request *rq);

/* Begins a request that still waits for its time `delay_ms` from now; no effect on others. */
void drpc_worker_reschedule(struct drpc_worker *worker, struct drpc_request *rq, uint32_t delay_ms);

/* Delivers what has come: calls `done` and `deliver` on this thread. Returns how many. */
unsigned int drpc_worker_drain(struct drpc_worker *worker);

/* Worker thread, from on_data or on_reply: hands a note to the owner's thread. */
void drpc_worker_post(struct drpc_worker *worker, struct drpc_note *note);

/* Frees body and reply, not the request. */
void drpc_request_clear(struct drpc_request *rq);
