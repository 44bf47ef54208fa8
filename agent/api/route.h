/* SPDX-License-Identifier: Apache-2.0 */
/* From a request to a reply, without a socket: what api.c calls once a request is complete. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "agent/agent.h"

struct drpc_metrics;

struct drpc_api_request {
	const char *method; /* "GET" */
	const char *path;   /* as it came, still percent-encoded, without the query */
	const char *since;  /* value of ?since=, NULL for none */
	const char *accept; /* the Accept header, NULL for none */
	const char *body;   /* terminated; "" for none */
	bool local;	    /* came over the unix socket */
};

struct drpc_api_reply {
	unsigned int status; /* HTTP */
	const char *type;    /* content type */
	const char *allow;   /* methods, with 405; else NULL */
	char *body;	     /* to be freed by the receiver */
	size_t size;
};

/* Always gives a reply; body is NULL only where memory ran out (status 503 then). */
void drpc_route(struct drpc_agent *agent, struct drpc_metrics *metrics,
		const struct drpc_api_request *request, struct drpc_api_reply *ret);

/* An error reply: {"error": "…"}. */
void drpc_reply_error(struct drpc_api_reply *ret, unsigned int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Undoes percent-encoding of `len` characters into `dst`, terminated. -EINVAL for a broken escape
 * or one of a NUL, -ENAMETOOLONG where it does not fit.
 */
int drpc_url_decode(const char *src, size_t len, char *dst, size_t dst_size);
