// SPDX-License-Identifier: Apache-2.0
#include "tools/load/http.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "lib/util.h"

/* --- header lines --------------------------------------------------------------------------- */

void drpc_http_framing_init(struct drpc_http_framing *framing)
{
	*framing = (struct drpc_http_framing){.content_length = -1};
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* A character of a token (RFC 9110 §5.6.2), in particular of a header's name. */
static bool is_token(char c)
{
	if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
		return true;
	return c && strchr("!#$%&'*+-.^_`|~", c);
}

static void value_of(const char *line, size_t len, size_t colon, const char **ret_value,
		     size_t *ret_len)
{
	size_t from = colon + 1;

	while (from < len && is_blank(line[from]))
		from++;
	while (len > from && is_blank(line[len - 1]))
		len--;
	*ret_value = line + from;
	*ret_len = len - from;
}

bool drpc_http_header_is(const char *line, size_t len, const char *name, const char **ret_value,
			 size_t *ret_len)
{
	size_t n = strlen(name);

	if (len <= n || line[n] != ':' || strncasecmp(line, name, n) != 0)
		return false;
	value_of(line, len, n, ret_value, ret_len);
	return true;
}

/* Whether a comma-separated list holds `word` (any case); *ret_last: as its last element. */
static bool list_has(const char *value, size_t len, const char *word, bool *ret_last)
{
	const size_t n = strlen(word);
	bool found = false;

	*ret_last = false;
	for (size_t i = 0; i <= len;) {
		const char *comma = memchr(value + i, ',', len - i);
		size_t end = comma ? (size_t)(comma - value) : len, from = i, to = end;

		while (from < to && is_blank(value[from]))
			from++;
		while (to > from && is_blank(value[to - 1]))
			to--;
		if (to > from) {
			*ret_last = to - from == n && !strncasecmp(value + from, word, n);
			found |= *ret_last;
		}
		i = end + 1;
	}
	return found;
}

static int take_content_length(struct drpc_http_framing *framing, const char *value, size_t len)
{
	int64_t n = 0;

	/* 18 digits fit in 63 bits. */
	if (len == 0 || len > 18)
		return -EBADMSG;
	for (size_t i = 0; i < len; i++) {
		if (value[i] < '0' || value[i] > '9')
			return -EBADMSG;
		n = n * 10 + (value[i] - '0');
	}
	if (framing->content_length >= 0 && framing->content_length != n)
		return -EBADMSG;
	framing->content_length = n;
	return 0;
}

int drpc_http_header(struct drpc_http_framing *framing, const char *line, size_t len)
{
	const char *value;
	size_t colon = 0, n;
	bool last;

	while (colon < len && is_token(line[colon]))
		colon++;
	if (colon == 0 || colon == len || line[colon] != ':')
		return -EBADMSG;
	for (size_t i = colon + 1; i < len; i++) {
		if (((unsigned char)line[i] < 0x20 && line[i] != '\t') || line[i] == 0x7f)
			return -EBADMSG;
	}
	if (drpc_http_header_is(line, len, "content-length", &value, &n))
		return take_content_length(framing, value, n);
	if (drpc_http_header_is(line, len, "transfer-encoding", &value, &n)) {
		framing->transfer_encoding = true;
		list_has(value, n, "chunked", &last);
		framing->chunked = last;
	} else if (drpc_http_header_is(line, len, "connection", &value, &n)) {
		framing->close |= list_has(value, n, "close", &last);
		framing->keep_alive |= list_has(value, n, "keep-alive", &last);
	}
	return 0;
}

/* --- bodies --------------------------------------------------------------------------------- */

enum chunk_state {
	CHUNK_SIZE,
	CHUNK_EXTENSION,
	CHUNK_SIZE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	CHUNK_TRAILER,
	CHUNK_TRAILER_LF,
};

void drpc_http_body_init(struct drpc_http_body *body, enum drpc_http_body_kind kind,
			 uint64_t length)
{
	*body = (struct drpc_http_body){
		.kind = kind,
		.state = CHUNK_SIZE,
		.remaining = kind == DRPC_HTTP_BODY_LENGTH ? length : 0,
	};
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* A byte of the line that opens a chunk. */
static int chunk_head(struct drpc_http_body *body, char c)
{
	int digit = body->state == CHUNK_SIZE ? hex_digit(c) : -1;

	if (digit >= 0) {
		/* 15 digits fit in 63 bits. */
		if (++body->digits > 15)
			return -EBADMSG;
		body->remaining = body->remaining * 16 + (uint64_t)digit;
		return 0;
	}
	if (!body->digits)
		return -EBADMSG;
	if (c == '\n') {
		body->state = body->remaining ? CHUNK_DATA : CHUNK_TRAILER;
		body->digits = 0;
		return 0;
	}
	if (body->state == CHUNK_SIZE_LF)
		return -EBADMSG;
	if (c == '\r') {
		body->state = CHUNK_SIZE_LF;
		return 0;
	}
	if (body->state == CHUNK_SIZE && c != ';' && !is_blank(c))
		return -EBADMSG;
	body->state = CHUNK_EXTENSION;
	return ++body->overhead > DRPC_HTTP_HEAD_MAX ? -EBADMSG : 0;
}

/* A byte after the last chunk. Trailers are passed over; an empty line ends them. */
static int chunk_trailer(struct drpc_http_body *body, char c, bool *ret_done)
{
	if (c == '\n') {
		*ret_done = body->line_bytes == 0;
		body->line_bytes = 0;
		body->state = CHUNK_TRAILER;
		return 0;
	}
	if (body->state == CHUNK_TRAILER_LF)
		return -EBADMSG;
	if (c == '\r') {
		body->state = CHUNK_TRAILER_LF;
		return 0;
	}
	body->line_bytes++;
	return ++body->overhead > DRPC_HTTP_HEAD_MAX ? -EBADMSG : 0;
}

static int chunk_byte(struct drpc_http_body *body, char c, bool *ret_done)
{
	switch ((enum chunk_state)body->state) {
	case CHUNK_SIZE:
	case CHUNK_EXTENSION:
	case CHUNK_SIZE_LF:
		return chunk_head(body, c);
	case CHUNK_DATA_CR:
		if (c == '\r') {
			body->state = CHUNK_DATA_LF;
			return 0;
		}
		if (c != '\n')
			return -EBADMSG;
		body->state = CHUNK_SIZE;
		return 0;
	case CHUNK_DATA_LF:
		if (c != '\n')
			return -EBADMSG;
		body->state = CHUNK_SIZE;
		return 0;
	case CHUNK_TRAILER:
	case CHUNK_TRAILER_LF:
		return chunk_trailer(body, c, ret_done);
	case CHUNK_DATA:
		break;
	}
	return -EBADMSG;
}

static ssize_t chunked_feed(struct drpc_http_body *body, const char *data, size_t len,
			    bool *ret_done)
{
	size_t i = 0;

	while (i < len && !*ret_done) {
		if (body->state == CHUNK_DATA) {
			size_t n = DRPC_MIN(len - i, body->remaining);

			body->remaining -= n;
			body->bytes += n;
			i += n;
			if (!body->remaining)
				body->state = CHUNK_DATA_CR;
		} else {
			int err = chunk_byte(body, data[i++], ret_done);

			if (err)
				return err;
		}
	}
	return (ssize_t)i;
}

ssize_t drpc_http_body_feed(struct drpc_http_body *body, const char *data, size_t len,
			    bool *ret_done)
{
	size_t n;

	*ret_done = false;
	switch (body->kind) {
	case DRPC_HTTP_BODY_NONE:
		*ret_done = true;
		return 0;
	case DRPC_HTTP_BODY_LENGTH:
		n = DRPC_MIN(len, body->remaining);
		body->remaining -= n;
		body->bytes += n;
		*ret_done = body->remaining == 0;
		return (ssize_t)n;
	case DRPC_HTTP_BODY_CHUNKED:
		return chunked_feed(body, data, len, ret_done);
	case DRPC_HTTP_BODY_UNTIL_CLOSE:
		body->bytes += len;
		return (ssize_t)len;
	}
	return -EBADMSG;
}

/* --- responses ------------------------------------------------------------------------------ */

enum response_state {
	RESPONSE_STATUS,
	RESPONSE_HEADERS,
	RESPONSE_BODY,
};

void drpc_http_response_init(struct drpc_http_response *response, bool head_request)
{
	/* The line buffer is left as it is: line_len says what is valid of it. */
	memset(response, 0, offsetof(struct drpc_http_response, line));
	response->head_request = head_request;
	drpc_http_framing_init(&response->framing);
}

/* "HTTP/1.x NNN[ reason]" */
static int status_line(struct drpc_http_response *response, const char *line, size_t len)
{
	unsigned int status = 0;

	if (len < 12 || memcmp(line, "HTTP/1.", 7) != 0 || line[7] < '0' || line[7] > '9' ||
	    line[8] != ' ' || (len > 12 && line[12] != ' '))
		return -EBADMSG;
	for (size_t i = 9; i < 12; i++) {
		if (line[i] < '0' || line[i] > '9')
			return -EBADMSG;
		status = status * 10 + (unsigned int)(line[i] - '0');
	}
	/* Nobody asked to switch protocols. */
	if (status < 100 || status > 599 || status == 101)
		return -EBADMSG;
	response->status = status;
	response->old_version = line[7] == '0';
	response->state = RESPONSE_HEADERS;
	return 0;
}

static int headers_end(struct drpc_http_response *response)
{
	const struct drpc_http_framing *framing = &response->framing;
	enum drpc_http_body_kind kind = DRPC_HTTP_BODY_UNTIL_CLOSE;
	uint64_t length = 0;

	if (response->status < 200) {
		/* An interim response: the final one follows. */
		response->status = 0;
		response->state = RESPONSE_STATUS;
		drpc_http_framing_init(&response->framing);
		return 0;
	}
	if (response->head_request || response->status == 204 || response->status == 304) {
		kind = DRPC_HTTP_BODY_NONE;
	} else if (framing->transfer_encoding) {
		/* It overrules a length; both together are not to be trusted with another request. */
		kind = framing->chunked ? DRPC_HTTP_BODY_CHUNKED : DRPC_HTTP_BODY_UNTIL_CLOSE;
		if (framing->content_length >= 0)
			response->framing.close = true;
	} else if (framing->content_length >= 0) {
		length = (uint64_t)framing->content_length;
		kind = length ? DRPC_HTTP_BODY_LENGTH : DRPC_HTTP_BODY_NONE;
	}
	drpc_http_body_init(&response->body, kind, length);
	response->state = RESPONSE_BODY;
	response->done = kind == DRPC_HTTP_BODY_NONE;
	return 0;
}

static int head_line(struct drpc_http_response *response, const char *line, size_t len)
{
	if (len && line[len - 1] == '\r')
		len--;
	if (response->state == RESPONSE_STATUS)
		return status_line(response, line, len);
	if (!len)
		return headers_end(response);
	return drpc_http_header(&response->framing, line, len);
}

/*
 * A long header that came in parts is known by its first bytes only. That does for the headers
 * that do not matter here; one that does matter is a few bytes long, or nonsense.
 */
static int cut_line(struct drpc_http_response *response)
{
	static const char *const ours[] = {"content-length", "transfer-encoding", "connection"};
	size_t len = response->line_len, n;
	const char *value;

	if (response->line[len - 1] == '\r')
		len--;
	if (response->state == RESPONSE_STATUS)
		return status_line(response, response->line, len);
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(ours); i++) {
		if (drpc_http_header_is(response->line, len, ours[i], &value, &n))
			return -EBADMSG;
	}
	return drpc_http_header(&response->framing, response->line, len);
}

/* Takes bytes up to and including the next line end. */
static ssize_t head_feed(struct drpc_http_response *response, const char *data, size_t len)
{
	const char *lf = memchr(data, '\n', len);
	size_t n = lf ? (size_t)(lf - data) : len;
	size_t keep = DRPC_MIN(n, sizeof(response->line) - response->line_len);
	bool whole;
	int err;

	response->head_bytes += (uint32_t)DRPC_MIN(n + (lf != NULL), DRPC_HTTP_HEAD_MAX + 1);
	if (response->head_bytes > DRPC_HTTP_HEAD_MAX)
		return -EBADMSG;
	if (lf && !response->line_len) {
		err = head_line(response, data, n);
		return err ? err : (ssize_t)(n + 1);
	}
	memcpy(response->line + response->line_len, data, keep);
	response->line_len += (uint32_t)keep;
	if (!lf)
		return (ssize_t)n;
	whole = keep == n && response->line_len < sizeof(response->line);
	err = whole ? head_line(response, response->line, response->line_len) : cut_line(response);
	response->line_len = 0;
	return err ? err : (ssize_t)(n + 1);
}

ssize_t drpc_http_response_feed(struct drpc_http_response *response, const char *data, size_t len)
{
	size_t used = 0;

	while (used < len && !response->done) {
		ssize_t n;

		if (response->state == RESPONSE_BODY)
			n = drpc_http_body_feed(&response->body, data + used, len - used,
						&response->done);
		else
			n = head_feed(response, data + used, len - used);
		if (n < 0)
			return n;
		used += (size_t)n;
	}
	return (ssize_t)used;
}

int drpc_http_response_eof(struct drpc_http_response *response)
{
	if (response->done)
		return 0;
	if (response->state != RESPONSE_BODY || response->body.kind != DRPC_HTTP_BODY_UNTIL_CLOSE)
		return -ECONNRESET;
	response->framing.close = true;
	response->done = true;
	return 0;
}

bool drpc_http_response_untouched(const struct drpc_http_response *response)
{
	return response->state == RESPONSE_STATUS && !response->head_bytes;
}

bool drpc_http_response_reusable(const struct drpc_http_response *response)
{
	if (!response->done || response->framing.close ||
	    response->body.kind == DRPC_HTTP_BODY_UNTIL_CLOSE)
		return false;
	return !response->old_version || response->framing.keep_alive;
}
