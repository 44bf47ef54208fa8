// SPDX-License-Identifier: Apache-2.0
#include "tools/testbed/request.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"
#include "tools/load/rng.h"

static struct tb_request request;

static int whole(const char *text)
{
	size_t scanned = 0;

	return tb_request_parse(&request, text, strlen(text), &scanned);
}

/* The first verdict when the text arrives `step` bytes at a time, each time in a new block. */
static int grown(const char *text, size_t step)
{
	size_t len = strlen(text), scanned = 0;
	int verdict = 0;

	for (size_t n = DRPC_MIN(step, len); !verdict; n = DRPC_MIN(n + step, len)) {
		char *copy = malloc(n);

		memcpy(copy, text, n);
		verdict = tb_request_parse(&request, copy, n, &scanned);
		free(copy);
		if (n == len)
			break;
	}
	return verdict;
}

Test(request, a_plain_one)
{
	static const char text[] =
		"GET /buy?n=1 HTTP/1.1\r\nHost: h\r\nX-Drpc-User: buyer-7\r\n\r\n";

	cr_assert_eq(whole(text), (int)strlen(text));
	cr_expect_eq(request.path_len, 8);
	cr_expect_eq(memcmp(request.path, "/buy?n=1", 8), 0);
	cr_expect(request.keep_alive);
	cr_expect_not(request.head);
	cr_expect_str_eq(request.user, "buyer-7");
	cr_expect_eq(request.framing.content_length, -1);
}

Test(request, what_keeps_a_connection)
{
	static const struct {
		const char *text;
		bool keep_alive;
	} cases[] = {
		{"GET / HTTP/1.1\r\nHost: h\r\n\r\n", true},
		{"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", false},
		{"GET / HTTP/1.0\r\n\r\n", false},
		{"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
	};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(cases); i++) {
		cr_assert_gt(whole(cases[i].text), 0);
		cr_expect_eq(request.keep_alive, cases[i].keep_alive, "%s", cases[i].text);
	}
}

Test(request, forms_of_the_target)
{
	cr_assert_gt(whole("GET http://h:80/x HTTP/1.1\r\nHost: h\r\n\r\n"), 0);
	cr_expect_eq(memcmp(request.path, "/x", request.path_len), 0);
	cr_assert_gt(whole("GET http://h HTTP/1.1\r\nHost: h\r\n\r\n"), 0);
	cr_expect_eq(request.path_len, 1);
	cr_assert_gt(whole("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"), 0);
	cr_assert_gt(whole("HEAD / HTTP/1.1\nHost: h\n\n"), 0);
	cr_expect(request.head);
	cr_assert_gt(whole("\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"), 0);
}

static const struct {
	int verdict;
	const char *text;
} refused[] = {
	{-400, "junk\r\n\r\n"},
	{-400, "GET / HTTP/1.1\r\n\r\n"},
	{-400, "GET  HTTP/1.1\r\nHost: h\r\n\r\n"},
	{-400, "GET / x HTTP/1.1\r\nHost: h\r\n\r\n"},
	{-400, "GET x HTTP/1.1\r\nHost: h\r\n\r\n"},
	{-400, "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n"},
	{-400, "GET / HTTP/1.1\r\nHost: h\r\nbad header\r\n\r\n"},
	{-400, "GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n"},
	{-400, "GET / HTTP/1.1\r\nHost : h\r\n\r\n"},
	{-400, "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n"},
	{-400, "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"},
	{-400,
	 "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"},
	{-400, "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"},
	{-400, "GET / FTP/1.1\r\nHost: h\r\n\r\n"},
	{-400, "GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n"},
	{-501, "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n"},
	{-505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
	{-505, "GET / HTTP/3.1\r\nHost: h\r\n\r\n"},
};

Test(request, what_is_refused_however_it_arrives)
{
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(refused); i++) {
		cr_expect_eq(whole(refused[i].text), refused[i].verdict, "%s", refused[i].text);
		for (size_t step = 1; step < 40; step++)
			cr_expect_eq(grown(refused[i].text, step), refused[i].verdict, "%s by %zu",
				     refused[i].text, step);
	}
}

Test(request, a_head_may_arrive_in_any_pieces)
{
	static const char text[] =
		"\r\nPOST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
	const int head = (int)strlen(text) - 3;

	for (size_t step = 1; step < sizeof(text); step++)
		cr_expect_eq(grown(text, step), head, "%zu", step);
	cr_expect_eq(whole(text), head, "the body is left alone");
	cr_expect_eq(request.framing.content_length, 3);
}

Test(request, limits)
{
	enum { N = 40000 };
	static char text[N + 1];

	memset(text, 'a', N);
	memcpy(text, "GET /", 5);
	cr_expect_eq(whole(text), -414, "a line that does not end");
	strcpy(text + 9000, " HTTP/1.1\r\nHost: h\r\n\r\n");
	cr_expect_eq(whole(text), -414);
	strcpy(text + 8000, " HTTP/1.1\r\nHost: h\r\n\r\n");
	cr_expect_gt(whole(text), 0);
	memset(text, 'a', N);
	memcpy(text, "GET / HTTP/1.1\r\nHost: h\r\nX: ", 28);
	cr_expect_eq(whole(text), -431, "headers that do not end");
	strcpy(text + 17000, "\r\n\r\n");
	cr_expect_eq(whole(text), -431);
	strcpy(text + 16000, "\r\n\r\n");
	cr_expect_gt(whole(text), 0);
}

Test(request, damaged_requests_do_no_harm)
{
	static const char text[] =
		"POST http://h/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nX-Drpc-User: "
		"u\r\nConnection: close\r\n\r\n";
	struct drpc_rng rng = {8};

	for (int round = 0; round < 20000; round++) {
		char *copy = strdup(text);
		size_t scanned = 0, len = strlen(text);
		int verdict;

		for (unsigned int n = 1 + drpc_rng_below(&rng, 4); n; n--)
			copy[drpc_rng_below(&rng, (uint32_t)len)] = (char)drpc_rng_next(&rng);
		verdict = tb_request_parse(&request, copy, len, &scanned);
		cr_assert(verdict == 0 || (verdict > 0 && verdict <= (int)len) ||
			  (verdict <= -400 && verdict >= -505));
		free(copy);
	}
}
