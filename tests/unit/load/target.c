// SPDX-License-Identifier: Apache-2.0
#include "tools/load/target.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"

TestSuite(target, .init = cr_redirect_stderr);

Test(target, urls)
{
	static const struct {
		const char *url, *name, *host_header, *path;
	} good[] = {
		{"http://a", "a:80", "a", "/"},
		{"HTTP://a:8080/x?y=1#frag", "a:8080", "a:8080", "/x?y=1"},
		{"http://a?q", "a:80", "a", "/?q"},
		{"http://[::1]:81/", "[::1]:81", "[::1]:81", "/"},
		{"http://[::1]", "[::1]:80", "[::1]", "/"},
		{"unix:/run/x.sock", "unix:/run/x.sock", "localhost", "/"},
		{"unix:/run/x.sock:/v1/ls", "unix:/run/x.sock", "localhost", "/v1/ls"},
	};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(good); i++) {
		_cleanup_free_ char *path = NULL;
		struct drpc_target t;

		cr_assert_eq(drpc_target_parse(&t, "URL", good[i].url, &path), 0, "%s",
			     good[i].url);
		cr_expect_str_eq(t.name, good[i].name);
		cr_expect_str_eq(t.host_header, good[i].host_header);
		cr_expect_str_eq(path, good[i].path);
	}
}

Test(target, malformed_urls_are_refused)
{
	static const char *const bad[] = {
		"",
		"a",
		"a:80",
		"/path",
		"http://",
		"http:///x",
		"http://a:0",
		"http://a:65536",
		"http://a:x",
		"http://a:",
		"http://[::1",
		"http://[::1]x",
		"https://a",
		"http://u@a",
		"http://a/b c",
		"http://a/\r\n",
		"unix:x",
		"unix:/",
		"ftp://a",
		"http://a:80:81",
		"unix:/a-path-that-is-longer-than-the-hundred-and-eight-bytes-that-the-kernel-allows-"
		"for-the-name-of-a-socket-in-sun_path",
	};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(bad); i++) {
		char *path = NULL;
		struct drpc_target t;

		cr_expect_eq(drpc_target_parse(&t, "URL", bad[i], &path), -EINVAL, "%s", bad[i]);
		cr_expect_null(path);
	}
}

static int resolve(const char *url, struct drpc_target *t)
{
	_cleanup_free_ char *path = NULL;
	const char *why;

	cr_assert_eq(drpc_target_parse(t, "URL", url, &path), 0);
	return drpc_target_resolve(t, &why);
}

Test(target, addresses)
{
	struct drpc_target t;

	cr_assert_eq(resolve("http://127.0.0.1:81/", &t), 0);
	cr_expect_eq(t.count, 1);
	cr_expect_eq(((struct sockaddr_in *)&t.addresses[0].addr)->sin_port, htons(81));
	cr_assert_eq(resolve("http://[::1]:82/", &t), 0);
	cr_expect_eq(t.addresses[0].addr.ss_family, AF_INET6);
	cr_assert_eq(resolve("unix:/run/x", &t), 0);
	cr_expect_eq(t.addresses[0].addr.ss_family, AF_UNIX);
}
