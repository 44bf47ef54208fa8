// SPDX-License-Identifier: Apache-2.0
#include "tools/load/workload.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/util.h"

static struct drpc_workload workload;
static struct drpc_load_defaults defaults;

static void setup(void)
{
	cr_redirect_stderr();
	memset(&workload, 0, sizeof(workload));
	defaults = (struct drpc_load_defaults){.method = "GET", .body = ""};
}

static void teardown(void)
{
	drpc_workload_release(&workload);
}

TestSuite(workload, .init = setup, .fini = teardown);

static void add(const char *url, double weight)
{
	unsigned int class;

	cr_assert_eq(drpc_workload_class(&workload, "all", 0, &class), 0);
	cr_assert_eq(drpc_workload_request(&workload, "URL", class, url, weight, &defaults), 0);
}

Test(workload, the_text_of_requests)
{
	static const char *const headers[] = {"X-A: b", NULL};

	defaults.headers = headers;
	add("http://h:81/p?q=1", 1);
	cr_expect_str_eq(workload.requests[0].text,
			 "GET /p?q=1 HTTP/1.1\r\nHost: h:81\r\nUser-Agent: drpc-load/" DRPC_VERSION
			 "\r\nX-A: b\r\n\r\n");
	cr_expect_eq(workload.requests[0].len, strlen(workload.requests[0].text));
	cr_expect_str_eq(workload.requests[0].text + workload.requests[0].user_at, "\r\n");
}

Test(workload, bodies_have_a_length_and_own_headers_win)
{
	static const char *const headers[] = {"host: other", "User-Agent: me", NULL};

	defaults.headers = headers;
	defaults.method = "POST";
	defaults.body = "a\0b";
	defaults.body_len = 3;
	defaults.close = true;
	add("http://h/", 1);
	cr_expect_eq(memcmp(workload.requests[0].text,
			    "POST / HTTP/1.1\r\nConnection: close\r\nhost: other\r\n"
			    "User-Agent: me\r\nContent-Length: 3\r\n\r\na\0b",
			    workload.requests[0].len),
		     0);
	defaults.body_len = 0;
	add("http://h/", 1);
	cr_expect_not_null(strstr(workload.requests[1].text, "Content-Length: 0\r\n"));
}

Test(workload, one_target_for_each_name)
{
	add("http://a/1", 1);
	add("http://a:80/2", 1);
	add("http://b/3", 1);
	add("/4", 1);
	cr_expect_eq(workload.target_count, 2);
	cr_expect_eq(workload.requests[1].target, 0);
	cr_expect_eq(workload.requests[2].target, 1);
	cr_expect_eq(workload.requests[3].target, 0);
}

Test(workload, weights_hold)
{
	struct drpc_workload_picker picker;
	unsigned int count[2] = {0};

	add("http://a/1", 3);
	add("http://b/2", 1);
	drpc_workload_picker_init(&picker, &workload, 5);
	for (int i = 0; i < 40000; i++) {
		struct drpc_workload_pick pick = drpc_workload_pick(&picker, 0);

		cr_assert_eq(pick.user, 0);
		count[pick.request - workload.requests]++;
	}
	/* Five standard deviations of the binomial. */
	cr_expect_float_eq((double)count[0], 30000, 5 * 87, "%u", count[0]);
}

static int mix(const char *text)
{
	char file[] = "/tmp/drpc-mix-XXXXXX";
	int fd = mkstemp(file), err;

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	err = drpc_workload_mix(&workload, file, &defaults);
	unlink(file);
	return err;
}

static const char users[] = "# four kinds of people\n"
			    "users query 1000\n"
			    "users buyer 100\n"
			    "users canceller 10\n"
			    "users admin 1\n"
			    "request query 3 GET http://h/search?from=a\n"
			    "request query 1 GET /station\n"
			    "request buyer 1 POST /buy {\"seat\": 1, \"class\": 2}\n"
			    "request canceller 1 DELETE /order\n"
			    "request admin 1 GET http://admin:81/\r\n";

static int mix_with(const char *ratios)
{
	_cleanup_free_ char *text = NULL;

	cr_assert_geq(asprintf(&text, "%s%s", users, ratios), 0);
	return mix(text);
}

static void shares(struct drpc_workload_picker *picker, double at_s, double ret[4])
{
	enum { N = 40000 };
	unsigned int count[4] = {0};

	for (int i = 0; i < N; i++) {
		struct drpc_workload_pick pick = drpc_workload_pick(picker, at_s);
		unsigned int class = pick.request->class;

		cr_assert_geq(pick.user, 1);
		cr_assert_leq(pick.user, workload.classes[class].users);
		count[class]++;
	}
	for (int i = 0; i < 4; i++)
		ret[i] = (double)count[i] / N;
}

Test(workload, user_types_change_over_time)
{
	struct drpc_workload_picker picker;
	double s[4];

	cr_assert_eq(mix_with("ratio 0 query=70 buyer=20 canceller=9 admin=1\n"
			      "ratio 10s query=10 buyer=90\n"
			      "ramp 20s canceller=1\n"),
		     0);
	cr_expect_eq(workload.class_count, 4);
	cr_expect_eq(workload.target_count, 2);
	drpc_workload_picker_init(&picker, &workload, 1);
	shares(&picker, 9.9, s);
	cr_expect_float_eq(s[0], 0.7, 0.012);
	cr_expect_float_eq(s[3], 0.01, 0.003);
	shares(&picker, 10, s);
	cr_expect_float_eq(s[1], 0.9, 0.01);
	cr_expect_eq(s[2], 0);
	/* Half way: query 5, buyer 45, canceller 0.5 of 50.5. */
	shares(&picker, 15, s);
	cr_expect_float_eq(s[1], 45 / 50.5, 0.012);
	cr_expect_float_eq(s[2], 0.5 / 50.5, 0.004);
	shares(&picker, 99, s);
	cr_expect_eq(s[2], 1);
}

Test(workload, bodies_and_methods_of_a_mix)
{
	cr_assert_eq(mix_with("ratio 0 buyer=1\n"), 0);
	cr_expect_not_null(strstr(workload.requests[2].text, "POST /buy HTTP/1.1\r\n"));
	cr_expect_not_null(
		strstr(workload.requests[2].text, "\r\n\r\n{\"seat\": 1, \"class\": 2}"));
	cr_expect_not_null(strstr(workload.requests[2].text, "Content-Length: 23\r\n"));
	cr_expect_eq(strncmp(workload.requests[3].text, "DELETE /order ", 14), 0);
}

Test(workload, the_same_seed_makes_the_same_choices)
{
	struct drpc_workload_picker a, b;

	cr_assert_eq(mix_with("ratio 0 query=1 buyer=1\nramp 9 admin=1 buyer=2\n"), 0);
	drpc_workload_picker_init(&a, &workload, 3);
	drpc_workload_picker_init(&b, &workload, 3);
	for (int i = 0; i < 1000; i++) {
		struct drpc_workload_pick x = drpc_workload_pick(&a, i * 0.01);
		struct drpc_workload_pick y = drpc_workload_pick(&b, i * 0.01);

		cr_assert(x.request == y.request && x.user == y.user);
	}
}

Test(workload, malformed_mixes_are_refused)
{
	static const char *const bad[] = {
		"",
		"users\n",
		"users a\n",
		"users a 0\n",
		"users a 5 x\n",
		"users a/b 5\n",
		"users a 5\nusers a 6\n",
		"users a-name-of-more-than-thirty-one-characters 1\n",
		"nonsense\n",
		"request a 1 GET http://h/\n",
		"users a 1\nrequest a 0 GET http://h/\n",
		"users a 1\nrequest a 1 GET\n",
		"users a 1\nrequest a 1 G:T http://h/\n",
		"users a 1\nrequest a 1 GET /no-target-yet\n",
		"users a 1\nrequest a 1 GET https://h/\n",
		"users a 1\nrequest a 1 GET http://h/\n",
		"users a 1\nratio 0 a=1\n",
		"users a 1\nrequest a 1 GET http://h/\nramp 0 a=1\n",
		"users a 1\nrequest a 1 GET http://h/\nratio 0 a=0\n",
		"users a 1\nrequest a 1 GET http://h/\nratio 0 a\n",
		"users a 1\nrequest a 1 GET http://h/\nratio 0 b=1\n",
		"users a 1\nrequest a 1 GET http://h/\nratio x a=1\n",
		"users a 1\nrequest a 1 GET http://h/\nratio 0 a=-1\n",
		"users a 1\nrequest a 1 GET http://h/\nratio 5 a=1\nratio 5 a=2\n",
		"users a 1\nrequest a 1 GET http://h/\nratio 0 a=1\nusers b 1\n",
	};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(bad); i++) {
		cr_expect_eq(mix(bad[i]), -EINVAL, "%s", bad[i]);
		drpc_workload_release(&workload);
	}
	cr_expect_eq(drpc_workload_mix(&workload, "/nonexistent/mix", &defaults), -ENOENT);
}
