/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of HTTP/1.1 (RFC 9112) that a load generator and a small service need: where a message
 * ends and whether its connection can be used again. Works on streams cut at any byte, holds no
 * more than one short line, and allocates nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Bytes of a status line or header that are kept where a line arrives in parts. */
#define DRPC_HTTP_LINE_MAX 512
/* Bytes of all headers of one response, 1xx before it included, and of its trailers. */
#define DRPC_HTTP_HEAD_MAX (64 * 1024)

/* What the headers of a message say about its body and its connection. */
struct drpc_http_framing {
	int64_t content_length; /* -1: not given */
	bool chunked;
	bool transfer_encoding; /* given at all */
	bool close;
	bool keep_alive;
};

void drpc_http_framing_init(struct drpc_http_framing *framing);

/*
 * Takes one header line without its line end. Returns 0, or -EBADMSG for what is no header: no
 * name, blanks in the name or before the colon, a continuation line, control characters, a
 * Content-Length that is no number or contradicts an earlier one.
 */
int drpc_http_header(struct drpc_http_framing *framing, const char *line, size_t len);

/* Whether a header line bears this name (lower case); its value without blanks around, if so. */
bool drpc_http_header_is(const char *line, size_t len, const char *name, const char **ret_value,
			 size_t *ret_len);

enum drpc_http_body_kind {
	DRPC_HTTP_BODY_NONE,
	DRPC_HTTP_BODY_LENGTH,
	DRPC_HTTP_BODY_CHUNKED,
	DRPC_HTTP_BODY_UNTIL_CLOSE,
};

struct drpc_http_body {
	enum drpc_http_body_kind kind;
	uint8_t state;
	uint8_t digits;	     /* of the chunk size so far */
	uint64_t remaining;  /* of the body, or of the chunk */
	uint64_t bytes;	     /* of content seen so far */
	uint32_t overhead;   /* extension and trailer bytes, bounded */
	uint32_t line_bytes; /* of the trailer line at hand */
};

void drpc_http_body_init(struct drpc_http_body *body, enum drpc_http_body_kind kind,
			 uint64_t length);

/*
 * Takes bytes of the body. Returns how many belonged to it and sets *ret_done where it is
 * complete; -EBADMSG for broken chunking.
 */
ssize_t drpc_http_body_feed(struct drpc_http_body *body, const char *data, size_t len,
			    bool *ret_done);

struct drpc_http_response {
	struct drpc_http_framing framing;
	struct drpc_http_body body;
	uint8_t state;
	bool head_request;
	bool old_version; /* HTTP/1.0 */
	bool done;
	unsigned int status; /* 0 until the final status line is complete */
	uint32_t head_bytes;
	uint32_t line_len;
	char line[DRPC_HTTP_LINE_MAX];
};

/* Makes ready for the response to a new request. */
void drpc_http_response_init(struct drpc_http_response *response, bool head_request);

/*
 * Takes received bytes; 1xx responses before the final one are passed over. Returns how many
 * belonged to the response, which is complete when `done` is set, or -EBADMSG.
 */
ssize_t drpc_http_response_feed(struct drpc_http_response *response, const char *data, size_t len);

/*
 * The peer closed. Returns 0 where that completes the response (a body until close), -ECONNRESET
 * where it cuts it short.
 */
int drpc_http_response_eof(struct drpc_http_response *response);

/* Nothing of the response has been seen yet. */
bool drpc_http_response_untouched(const struct drpc_http_response *response);

/* Whether the connection may carry another request after the complete response. */
bool drpc_http_response_reusable(const struct drpc_http_response *response);
