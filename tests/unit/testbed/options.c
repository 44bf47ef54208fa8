// SPDX-License-Identifier: Apache-2.0
#include "tools/testbed/options.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"

static struct tb_options options;

static void teardown(void)
{
	tb_options_release(&options);
}

TestSuite(testbed_options, .init = cr_redirect_stderr, .fini = teardown);

/* Words parted by blanks. */
static int parse(const char *line)
{
	char copy[1024], *argv[64] = {(char *)"drpc-testbed"}, *rest = copy;
	int argc = 1;

	cr_assert(drpc_strcpy(copy, sizeof(copy), line));
	while (*line && argc < 63 && (argv[argc] = strsep(&rest, " ")))
		argc++;
	argv[argc] = NULL;
	tb_options_release(&options);
	return tb_options_parse(&options, argc, argv);
}

static const struct tb_work *work(const char *path)
{
	return &tb_options_route(&options, path, strlen(path))->work;
}

Test(testbed_options, defaults)
{
	cr_assert_eq(parse(""), 0);
	cr_expect_eq(options.workers, 4);
	cr_expect_eq(options.route_count, 1);
	cr_expect_eq(work("/anything")->cpu.mean_ms, 0);
	cr_expect_eq(((struct sockaddr_in *)&options.listen)->sin_port, htons(8080));
}

Test(testbed_options, listening_addresses)
{
	cr_assert_eq(parse("--listen 127.0.0.1:81"), 0);
	cr_expect_eq(((struct sockaddr_in *)&options.listen)->sin_addr.s_addr,
		     htonl(INADDR_LOOPBACK));
	cr_assert_eq(parse("--listen [::1]:82"), 0);
	cr_expect_eq(options.listen.ss_family, AF_INET6);
	cr_assert_eq(parse("--listen :83"), 0);
	cr_expect_eq(((struct sockaddr_in *)&options.listen)->sin_port, htons(83));
}

Test(testbed_options, routes_begin_with_the_general_work)
{
	cr_assert_eq(parse("--route /buy:cpu-ms=8,calls=1 --route /buy/gold:calls=0,parallel,"
			   "optional-calls=0 --cpu-ms 2 --call http://127.0.0.1:1/a "
			   "--call http://127.0.0.1:2/b --call-optional http://127.0.0.1:3/c "
			   "--error-rate 0.5"),
		     0);
	cr_expect_eq(work("/")->cpu.mean_ms, 2);
	cr_expect_eq(work("/")->call_count, 3);
	cr_expect_eq(work("/buyer"), work("/"));
	cr_expect_eq(work("/buy")->cpu.mean_ms, 8);
	cr_expect_eq(work("/buy?x")->call_count, 2, "one required, one optional");
	cr_expect_eq(work("/buy/x")->error_rate, 0.5);
	cr_expect_eq(work("/buy/gold")->call_count, 0);
	cr_expect(work("/buy/gold")->parallel);
	cr_expect_not(work("/buy")->parallel);
}

Test(testbed_options, routes_with_calls_of_their_own)
{
	cr_assert_eq(parse("--call http://127.0.0.1:1/a --route "
			   "/x:call=http://127.0.0.1:2/b,call-optional=unix:/run/s:/c"),
		     0);
	cr_assert_eq(work("/x")->call_count, 2);
	cr_expect_eq(work("/x")->calls[0], 1);
	cr_expect(options.calls[2].optional);
	cr_expect_str_eq(options.calls[2].target.name, "unix:/run/s");
	cr_expect_eq(work("/")->call_count, 1);
}

Test(testbed_options, the_environment_and_flags_over_it)
{
	setenv("DRPC_TESTBED_CPU_MS", "3", 1);
	setenv("DRPC_TESTBED_WORKERS", "7", 1);
	setenv("DRPC_TESTBED_CALL", "http://127.0.0.1:1/a  http://127.0.0.1:2/b", 1);
	setenv("DRPC_TESTBED_ROUTE", "/a:cpu-ms=9 /b:cpu-ms=10", 1);
	setenv("DRPC_TESTBED_PARALLEL", "yes", 1);
	cr_assert_eq(parse(""), 0);
	cr_expect_eq(work("/")->cpu.mean_ms, 3);
	cr_expect_eq(work("/")->call_count, 2);
	cr_expect(work("/")->parallel);
	cr_expect_eq(work("/b")->cpu.mean_ms, 10);
	cr_assert_eq(parse("--cpu-ms 4 --call http://127.0.0.1:3/c --route /c:cpu-ms=1"), 0);
	cr_expect_eq(work("/")->cpu.mean_ms, 4);
	cr_expect_eq(options.workers, 7);
	cr_assert_eq(work("/")->call_count, 1);
	cr_expect_str_eq(options.calls[work("/")->calls[0]].target.name, "127.0.0.1:3");
	cr_expect_eq(work("/a"), work("/"), "flags replace the list");
	setenv("DRPC_TESTBED_PARALLEL", "perhaps", 1);
	cr_expect_eq(parse(""), -EINVAL);
}

Test(testbed_options, wrong_usage)
{
	static const char *const bad[] = {
		"--unknown",	       "stray",
		"--listen x",	       "--listen 70000",
		"--listen a:80",       "--workers 0",
		"--cpu-ms -1",	       "--cpu-dist pareto:0.5",
		"--error-rate 2",      "--call nonsense",
		"--call https://h/",   "--call-timeout x",
		"--route x:cpu-ms=1",  "--route /x",
		"--route /x:",	       "--route /x:workers=2",
		"--route /x:cpu-ms",   "--route /x:cpu-ms=y",
		"--route /x:calls=1",  "--memory-mib -5",
		"--response-bytes 1k",
	};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(bad); i++)
		cr_expect_eq(parse(bad[i]), -EINVAL, "%s", bad[i]);
}
