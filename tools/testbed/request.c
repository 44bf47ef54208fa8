// SPDX-License-Identifier: Apache-2.0
#include "tools/testbed/request.h"

#include <string.h>
#include <strings.h>

#include "lib/util.h"

/* The end of the line at `from`, its line end excluded; *ret_next is the line after it. */
static size_t line_end(const char *data, size_t from, size_t len, size_t *ret_next)
{
	const char *lf = memchr(data + from, '\n', len - from);
	size_t end = (size_t)(lf - data);

	*ret_next = end + 1;
	return end > from && data[end - 1] == '\r' ? end - 1 : end;
}

/* Length of the head with its empty line, 0 if it is not there yet. */
static size_t find_end(const char *data, size_t len, size_t *scanned)
{
	/* The line end before may have been the last thing seen. */
	size_t from = *scanned > 3 ? *scanned - 3 : 0;
	const char *lf;

	while ((lf = memchr(data + from, '\n', len - from))) {
		size_t next = (size_t)(lf - data) + 1;

		if (next < len && data[next] == '\r')
			next++;
		if (next < len && data[next] == '\n')
			return next + 1;
		from = (size_t)(lf - data) + 1;
	}
	*scanned = len;
	return 0;
}

static bool is_word(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] <= ' ' || text[i] == 0x7f)
			return false;
	}
	return len > 0;
}

/* "METHOD TARGET HTTP/1.x" */
static int request_line(struct tb_request *request, const char *line, size_t len)
{
	const char *target = memchr(line, ' ', len), *version, *slash;
	size_t method_len, target_len;

	if (!target)
		return -400;
	method_len = (size_t)(target - line);
	target++;
	version = memchr(target, ' ', len - method_len - 1);
	if (!version || !is_word(line, method_len) || !is_word(target, (size_t)(version - target)))
		return -400;
	target_len = (size_t)(version - target);
	version++;
	if (len - (size_t)(version - line) != 8 || memcmp(version, "HTTP/", 5) != 0 ||
	    version[6] != '.')
		return -400;
	if (version[5] != '1' || version[7] < '0' || version[7] > '9')
		return -505;
	request->keep_alive = version[7] != '0';
	request->head = method_len == 4 && !memcmp(line, "HEAD", 4);
	/* A proxy's form: http://HOST/PATH. */
	if (target_len > 7 && !strncasecmp(target, "http://", 7)) {
		slash = memchr(target + 7, '/', target_len - 7);
		target_len = slash ? target_len - (size_t)(slash - target) : 1;
		target = slash ? slash : "/";
	}
	if (target[0] != '/' && !(target[0] == '*' && target_len == 1))
		return -400;
	request->path = target;
	request->path_len = target_len;
	return 0;
}

static int header_line(struct tb_request *request, const char *line, size_t len, bool *has_host)
{
	const char *value;
	size_t n;

	if (drpc_http_header(&request->framing, line, len))
		return -400;
	if (drpc_http_header_is(line, len, "host", &value, &n)) {
		if (*has_host)
			return -400;
		*has_host = true;
	} else if (drpc_http_header_is(line, len, "expect", &value, &n)) {
		request->expect_continue = n == 12 && !strncasecmp(value, "100-continue", n);
	} else if (drpc_http_header_is(line, len, "x-drpc-user", &value, &n) && n < TB_USER_MAX) {
		memcpy(request->user, value, n);
		request->user[n] = '\0';
	}
	return 0;
}

/* What the headers together allow. */
static int check(struct tb_request *request, bool has_host)
{
	const struct drpc_http_framing *framing = &request->framing;

	if (request->keep_alive && !has_host)
		return -400;
	if (framing->transfer_encoding) {
		/* Two lengths, or one that cannot be known: where the next request begins is open. */
		if (framing->content_length >= 0 || !request->keep_alive)
			return -400;
		if (!framing->chunked)
			return -501;
	}
	if (request->keep_alive)
		request->keep_alive = !framing->close;
	else
		request->keep_alive = framing->keep_alive && !framing->close;
	return 0;
}

static int parse_head(struct tb_request *request, const char *data, size_t at, size_t end)
{
	bool has_host = false;
	size_t next, to;
	int err;

	to = line_end(data, at, end, &next);
	if (to - at > TB_REQUEST_LINE_MAX)
		return -414;
	err = request_line(request, data + at, to - at);
	while (!err) {
		at = next;
		to = line_end(data, at, end, &next);
		if (to == at)
			break;
		err = header_line(request, data + at, to - at, &has_host);
	}
	return err ? err : check(request, has_host);
}

int tb_request_parse(struct tb_request *request, const char *data, size_t len, size_t *scanned)
{
	struct tb_request parsed = {0};
	size_t skip = 0, end, rest;
	int err;

	/* An empty line or two before a request are left over from a body of an old client. */
	while (skip < len && skip < 4 && (data[skip] == '\r' || data[skip] == '\n'))
		skip++;
	rest = *scanned > skip ? *scanned - skip : 0;
	end = find_end(data + skip, len - skip, &rest);
	if (!end) {
		*scanned = skip + rest;
		/* No need to see the rest of a head whose first line is too long. */
		if (len - skip > TB_REQUEST_LINE_MAX + 2 &&
		    !memchr(data + skip, '\n', TB_REQUEST_LINE_MAX + 2))
			return -414;
		return len > TB_REQUEST_HEAD_MAX ? -431 : 0;
	}
	end += skip;
	if (end > TB_REQUEST_HEAD_MAX)
		return -431;
	drpc_http_framing_init(&parsed.framing);
	err = parse_head(&parsed, data, skip, end);
	if (err)
		return err;
	*request = parsed;
	return (int)end;
}
