// SPDX-License-Identifier: Apache-2.0
#include "tools/load/http.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"
#include "tools/load/rng.h"

struct sample {
	const char *name;
	const char *text;
	bool head;
	unsigned int status;
	uint64_t body; /* bytes of content */
	bool reusable;
	bool until_close; /* complete by the end of the stream only */
};

static const struct sample samples[] = {
	{"length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, 200, 5, true, false},
	{"no body", "HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n", false, 200, 0, true, false},
	{"no reason", "HTTP/1.1 404\r\nContent-Length: 1\r\n\r\nx", false, 404, 1, true, false},
	{"bare line ends", "HTTP/1.1 200 OK\nContent-Length: 2\n\nab", false, 200, 2, true, false},
	{"same length twice", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab",
	 false, 200, 2, true, false},
	{"chunked",
	 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=\"y\"\r\n"
	 "0123456789\r\n0\r\n\r\n",
	 false, 200, 15, true, false},
	{"chunked with trailers",
	 "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, Chunked\r\n\r\n001\r\nx\r\n000\r\n"
	 "Digest: abc\r\nX: y\r\n\r\n",
	 false, 200, 1, true, false},
	{"chunks with bare line ends",
	 "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n", false, 200, 3, true,
	 false},
	{"chunked and length",
	 "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"
	 "0\r\n\r\n",
	 false, 200, 1, false, false},
	{"204", "HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n", false, 204, 0, true, false},
	{"304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", false, 304, 0, true,
	 false},
	{"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 7000\r\n\r\n", true, 200, 0, true, false},
	{"HEAD chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true, 200, 0,
	 true, false},
	{"close", "HTTP/1.1 200 OK\r\nConnection: foo, Close\r\nContent-Length: 1\r\n\r\nx", false,
	 200, 1, false, false},
	{"1.0", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", false, 200, 1, false, false},
	{"1.0 kept", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
	 false, 200, 1, true, false},
	{"until close", "HTTP/1.1 200 OK\r\n\r\nsome bytes", false, 200, 10, false, true},
	{"other coding until close", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nzz", false,
	 200, 2, false, true},
	{"interim",
	 "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 9"
	 "\r\n\r\nHTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno",
	 false, 500, 2, true, false},
};

static const char *const junk[] = {
	"junk\r\n\r\n",
	"HTTP/2.0 200 OK\r\n\r\n",
	"HTTP/1.1 20 OK\r\n\r\n",
	"HTTP/1.1 2000 OK\r\n\r\n",
	"HTTP/1.1 600 Odd\r\n\r\n",
	"HTTP/1.1 099 Odd\r\n\r\n",
	"HTTP/1.1 101 Switching Protocols\r\n\r\n",
	"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
	"HTTP/1.1 200 OK\r\n: no name\r\n\r\n",
	"HTTP/1.1 200 OK\r\nA : blank\r\n\r\n",
	"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
	"HTTP/1.1 200 OK\r\nA: \x01\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999999\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1111111111111111\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\rx\r\n",
	"\r\nHTTP/1.1 200 OK\r\n\r\n",
};

/*
 * Feeds a text in pieces of `lengths` (cycled), each from a block of its own so that a sanitizer
 * sees a read beyond it. Returns the bytes used, or -EBADMSG.
 */
static ssize_t feed(struct drpc_http_response *r, const char *text, size_t len,
		    const size_t *lengths, size_t n)
{
	size_t at = 0;

	for (size_t i = 0; at < len && !r->done; i++) {
		size_t part = DRPC_MIN(lengths[i % n], len - at);
		char *copy = malloc(part ? part : 1);
		ssize_t used;

		memcpy(copy, text + at, part);
		used = drpc_http_response_feed(r, copy, part);
		free(copy);
		if (used < 0)
			return used;
		at += (size_t)used;
		if ((size_t)used < part)
			break;
	}
	return (ssize_t)at;
}

static void expect_sample(const struct sample *s, const size_t *lengths, size_t n)
{
	struct drpc_http_response r;
	ssize_t used;

	drpc_http_response_init(&r, s->head);
	cr_assert(drpc_http_response_untouched(&r));
	used = feed(&r, s->text, strlen(s->text), lengths, n);
	cr_assert_eq(used, (ssize_t)strlen(s->text), "%s: %zd", s->name, used);
	cr_assert_eq(r.done, !s->until_close, "%s", s->name);
	cr_assert_eq(drpc_http_response_eof(&r), 0, "%s", s->name);
	cr_assert(r.done);
	cr_assert_eq(r.status, s->status, "%s: %u", s->name, r.status);
	cr_assert_eq(r.body.bytes, s->body, "%s", s->name);
	cr_assert_eq(drpc_http_response_reusable(&r), s->reusable, "%s", s->name);
	cr_assert_not(drpc_http_response_untouched(&r));
}

Test(http, whole)
{
	const size_t all = SIZE_MAX;

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(samples); i++)
		expect_sample(&samples[i], &all, 1);
}

Test(http, split_at_every_byte)
{
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(samples); i++) {
		for (size_t cut = 1; cut < strlen(samples[i].text); cut++)
			expect_sample(&samples[i], (size_t[]){cut, SIZE_MAX}, 2);
	}
}

Test(http, byte_by_byte)
{
	const size_t one = 1;

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(samples); i++)
		expect_sample(&samples[i], &one, 1);
}

Test(http, random_pieces)
{
	struct drpc_rng rng = {11};

	for (int round = 0; round < 300; round++) {
		size_t lengths[16];

		for (size_t i = 0; i < DRPC_ARRAY_SIZE(lengths); i++)
			lengths[i] = 1 + drpc_rng_below(&rng, 20);
		for (size_t i = 0; i < DRPC_ARRAY_SIZE(samples); i++)
			expect_sample(&samples[i], lengths, DRPC_ARRAY_SIZE(lengths));
	}
}

Test(http, junk_is_refused_however_it_is_split)
{
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(junk); i++) {
		for (size_t part = 1; part < 40; part++) {
			struct drpc_http_response r;

			drpc_http_response_init(&r, false);
			cr_assert_eq(feed(&r, junk[i], strlen(junk[i]), &part, 1), -EBADMSG,
				     "'%s' in pieces of %zu", junk[i], part);
		}
	}
}

Test(http, nothing_is_taken_from_the_next_response)
{
	static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 200";
	struct drpc_http_response r;

	drpc_http_response_init(&r, false);
	cr_expect_eq(drpc_http_response_feed(&r, text, strlen(text)),
		     (ssize_t)(strlen(text) - strlen("HTTP/1.1 200")));
	cr_expect(r.done);
}

Test(http, a_stream_that_ends_early_is_a_reset)
{
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(samples); i++) {
		const struct sample *s = &samples[i];
		const char *body = strstr(s->text, "\r\n\r\n");

		for (size_t len = 0; len < strlen(s->text); len++) {
			struct drpc_http_response r;

			/* A body until close is complete wherever it ends. */
			if (s->until_close && s->text + len >= body + 4)
				break;
			drpc_http_response_init(&r, s->head);
			cr_assert_eq(drpc_http_response_feed(&r, s->text, len), (ssize_t)len);
			cr_assert_eq(drpc_http_response_eof(&r), -ECONNRESET, "%s at %zu", s->name,
				     len);
		}
	}
}

/* A header of `bytes` characters, in pieces. */
static ssize_t long_header(struct drpc_http_response *r, const char *name, size_t bytes,
			   size_t part)
{
	static const char first[] = "HTTP/1.1 200 OK\r\n",
			  last[] = "\r\nContent-Length: 1\r\n\r\nx";
	size_t len = strlen(first) + strlen(name) + bytes + strlen(last);
	char *text = malloc(len + 1);
	ssize_t used;

	strcpy(stpcpy(text, first), name);
	memset(text + strlen(text), 'v', bytes);
	strcpy(text + strlen(first) + strlen(name) + bytes, last);
	drpc_http_response_init(r, false);
	used = feed(r, text, len, &part, 1);
	free(text);
	return used;
}

Test(http, long_headers_pass_up_to_the_limit)
{
	struct drpc_http_response r;

	for (size_t part = 1; part < 5000; part = part * 3 + 1) {
		for (size_t bytes = 480; bytes < 540; bytes++) {
			cr_assert_gt(long_header(&r, "Set-Cookie: ", bytes, part), 0, "%zu %zu",
				     bytes, part);
			cr_assert(r.done);
		}
		cr_assert_gt(long_header(&r, "Set-Cookie: ", 60000, part), 0);
		cr_assert_eq(long_header(&r, "Set-Cookie: ", 70000, part), -EBADMSG);
	}
}

Test(http, endless_interim_responses_are_refused)
{
	static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct drpc_http_response r;
	ssize_t used = 0;

	drpc_http_response_init(&r, false);
	for (int i = 0; i < 10000 && used >= 0; i++)
		used = drpc_http_response_feed(&r, interim, strlen(interim));
	cr_expect_eq(used, -EBADMSG);
}

Test(http, endless_trailers_and_extensions_are_refused)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
	static const char *const parts[] = {"0\r\n", "1;"};
	char fill[1024];

	memset(fill, 'a', sizeof(fill));
	for (size_t p = 0; p < DRPC_ARRAY_SIZE(parts); p++) {
		struct drpc_http_response r;
		ssize_t used = 0;

		drpc_http_response_init(&r, false);
		drpc_http_response_feed(&r, head, strlen(head));
		drpc_http_response_feed(&r, parts[p], strlen(parts[p]));
		for (int i = 0; i < 100 && used >= 0; i++)
			used = drpc_http_response_feed(&r, fill, sizeof(fill));
		cr_expect_eq(used, -EBADMSG);
	}
}

/* Bytes of samples with some of them changed: any verdict will do, a wild read will not. */
Test(http, damaged_responses_do_no_harm)
{
	struct drpc_rng rng = {5};

	for (int round = 0; round < 20000; round++) {
		const struct sample *s = &samples[drpc_rng_below(&rng, DRPC_ARRAY_SIZE(samples))];
		size_t len = strlen(s->text), part = 1 + drpc_rng_below(&rng, 64);
		struct drpc_http_response r;
		char text[512];
		ssize_t used;

		memcpy(text, s->text, len);
		for (unsigned int n = 1 + drpc_rng_below(&rng, 4); n; n--)
			text[drpc_rng_below(&rng, (uint32_t)len)] = (char)drpc_rng_next(&rng);
		drpc_http_response_init(&r, s->head);
		used = feed(&r, text, len, &part, 1);
		cr_assert(used == -EBADMSG || (used >= 0 && used <= (ssize_t)len));
	}
}

Test(http, names_and_values_of_headers)
{
	const char *value;
	size_t len;

	cr_expect(drpc_http_header_is("Host:  a b \t", 12, "host", &value, &len));
	cr_expect_eq(len, 3);
	cr_expect_eq(memcmp(value, "a b", 3), 0);
	cr_expect_not(drpc_http_header_is("Hosts: a", 8, "host", &value, &len));
	cr_expect_not(drpc_http_header_is("Host", 4, "host", &value, &len));
	cr_expect(drpc_http_header_is("Host:", 5, "host", &value, &len));
	cr_expect_eq(len, 0);
}
