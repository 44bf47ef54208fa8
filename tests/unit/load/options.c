// SPDX-License-Identifier: Apache-2.0
#include "tools/load/options.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <string.h>

#include "lib/util.h"

static struct load_options options;

static void teardown(void)
{
	load_options_release(&options);
}

TestSuite(options, .init = cr_redirect_stderr, .fini = teardown);

/* Words parted by blanks. */
static int parse(const char *line)
{
	char copy[1024], *argv[64] = {(char *)"drpc-load"}, *rest = copy;
	int argc = 1;

	cr_assert(drpc_strcpy(copy, sizeof(copy), line));
	while (argc < 63 && (argv[argc] = strsep(&rest, " ")))
		argc++;
	argv[argc] = NULL;
	load_options_release(&options);
	return load_options_parse(&options, argc, argv);
}

Test(options, all_of_them)
{
	cr_assert_eq(parse("--rate 100@5s --ramp 100:200@5s --arrivals poisson --seed 9 -c 10 -t 2 "
			   "--timeout 2s --slo 50ms -X POST --body hi -H X-A:b --spin --json "
			   "--per-second 3=http://127.0.0.1:81/a http://127.0.0.1:82/b"),
		     0);
	cr_expect_eq(options.config.arrivals, DRPC_ARRIVALS_POISSON);
	cr_expect_eq(options.config.seed, 9);
	cr_expect_eq(options.config.connections, 10);
	cr_expect_eq(options.config.threads, 2);
	cr_expect_eq(options.config.timeout_ns, 2000000000);
	cr_expect_eq(options.config.slo_ns, 50000000);
	cr_expect(options.config.spin && options.json && options.per_second);
	cr_expect_float_eq(drpc_schedule_duration_s(&options.schedule), 10, 1e-9);
	cr_expect_eq(options.workload.target_count, 2);
	cr_expect_eq(options.workload.requests[0].weight, 3);
	cr_expect_not_null(strstr(options.workload.requests[0].text, "X-A:b\r\n"));
}

Test(options, path_and_equals_signs_in_urls)
{
	cr_assert_eq(parse("--rate 1 --path /other?a=b http://127.0.0.1/x?c=d"), 0);
	cr_expect_eq(strncmp(options.workload.requests[0].text, "GET /other?a=b ", 15), 0);
	cr_assert_eq(parse("--rate 1 http://127.0.0.1/x?c=d"), 0);
	cr_expect_eq(strncmp(options.workload.requests[0].text, "GET /x?c=d ", 11), 0);
	cr_expect_eq(options.workload.requests[0].weight, 1);
}

Test(options, user_types_without_a_mix_file)
{
	cr_assert_eq(parse("--rate 5 --users query=3/50,buyer=1;60:query=1,buyer=1 "
			   "query=http://127.0.0.1/search 2=http://127.0.0.1/"),
		     0);
	cr_assert_eq(options.workload.class_count, 2);
	cr_expect_str_eq(options.workload.classes[1].name, "buyer");
	cr_expect_eq(options.workload.classes[0].users, 50);
	cr_expect_eq(options.workload.classes[1].users, 1000);
	/* query: its own and the common one; buyer: the common one. */
	cr_expect_eq(options.workload.classes[0].weight_sum, 3);
	cr_expect_eq(options.workload.classes[1].weight_sum, 2);
	cr_expect_eq(options.workload.ratio_count, 2);
	cr_expect_float_eq(options.workload.ratios[0].shares[0], 0.75, 1e-12);
	cr_expect_eq(options.workload.ratios[1].at_s, 60);
	cr_expect_eq(parse("--rate 5 --users query=1,buyer=1 query=http://127.0.0.1/"), -EINVAL,
		     "nothing for buyers");
	cr_expect_eq(parse("--rate 5 --users query http://127.0.0.1/"), -EINVAL);
	cr_expect_eq(parse("--rate 5 --users a=1 --mix x http://127.0.0.1/"), -EINVAL);
}

Test(options, wrong_usage)
{
	static const char *const bad[] = {
		"",
		"http://127.0.0.1/",
		"--rate 5",
		"--rate x http://127.0.0.1/",
		"--rate 5 127.0.0.1",
		"--rate 5 --connections 0 http://127.0.0.1/",
		"--rate 5 --threads x http://127.0.0.1/",
		"--rate 5 --threads 257 http://127.0.0.1/",
		"--rate 5 --timeout 0 http://127.0.0.1/",
		"--rate 5 --duration 5y http://127.0.0.1/",
		"--rate 5 --arrivals bursty http://127.0.0.1/",
		"--rate 5 --seed -1 http://127.0.0.1/",
		"--rate 5 --path x http://127.0.0.1/",
		"--rate 5 --header nonsense http://127.0.0.1/",
		"--rate 5 --slo 0s http://127.0.0.1/",
		"--rate 5 0=http://127.0.0.1/",
		"--rate 5 --rate-scale 0 http://127.0.0.1/",
		"--rate 5 --rate-file /dev/null http://127.0.0.1/",
		"--rate-file /dev/null http://127.0.0.1/",
		"--unknown",
		"--rate",
	};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(bad); i++)
		cr_expect_eq(parse(bad[i]), -EINVAL, "%s", bad[i]);
	cr_expect_eq(parse("--rate-file /nonexistent http://127.0.0.1/"), -ENOENT);
	cr_expect_eq(parse("--rate 5 --body @/nonexistent http://127.0.0.1/"), -ENOENT);
}
