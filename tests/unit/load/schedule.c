// SPDX-License-Identifier: Apache-2.0
#include "tools/load/schedule.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/util.h"

static struct drpc_schedule schedule;
static char file[] = "/tmp/drpc-schedule-XXXXXX";

static void setup(void)
{
	cr_redirect_stderr();
	memset(&schedule, 0, sizeof(schedule));
}

static void teardown(void)
{
	drpc_schedule_release(&schedule);
}

TestSuite(schedule, .init = setup, .fini = teardown);

static int make(const char *spec, double duration_s, bool repeat)
{
	int err = drpc_schedule_parse(&schedule, "--rate", spec);

	return err ? err : drpc_schedule_finish(&schedule, duration_s, 10, repeat);
}

static size_t arrivals(enum drpc_arrivals_kind kind, uint64_t seed, uint64_t *times, size_t max)
{
	struct drpc_arrivals a;
	uint64_t at, before = 0;
	size_t n = 0;

	drpc_arrivals_init(&a, &schedule, kind, seed);
	while (drpc_arrivals_next(&a, &at)) {
		cr_assert_geq(at, before, "time goes forward");
		cr_assert_leq(at, (uint64_t)(drpc_schedule_duration_s(&schedule) * 1e9) + 1);
		if (n < max)
			times[n] = at;
		before = at;
		n++;
	}
	return n;
}

Test(schedule, constant_rate_is_exact)
{
	static uint64_t t[15000];

	cr_assert_eq(make("500@30s", 0, false), 0);
	cr_assert_eq(arrivals(DRPC_ARRIVALS_UNIFORM, 1, t, 15000), 15000);
	for (size_t i = 0; i < 15000; i++)
		cr_assert_leq(fabs((double)t[i] - (double)i * 2e6), 10, "%zu", i);
}

Test(schedule, durations)
{
	cr_assert_eq(make("500", 0, false), 0);
	cr_expect_float_eq(drpc_schedule_duration_s(&schedule), 10, 1e-9, "the default");
	drpc_schedule_release(&schedule);
	cr_assert_eq(make("500", 3, false), 0);
	cr_expect_float_eq(drpc_schedule_duration_s(&schedule), 3, 1e-9);
	drpc_schedule_release(&schedule);
	cr_assert_eq(make("100@2s,300", 10, false), 0);
	cr_expect_float_eq(drpc_schedule_requests(&schedule), 2 * 100 + 8 * 300, 1e-6);
	drpc_schedule_release(&schedule);
	cr_assert_eq(make("100@2s,300@2s", 3, false), 0);
	cr_expect_float_eq(drpc_schedule_requests(&schedule), 2 * 100 + 300, 1e-6, "cut");
	drpc_schedule_release(&schedule);
	cr_assert_eq(make("100@2s,300@2s", 6, false), 0);
	cr_expect_float_eq(drpc_schedule_requests(&schedule), 200 + 4 * 300, 1e-6, "held");
	drpc_schedule_release(&schedule);
	cr_assert_eq(make("100@2s,300@2s", 7, true), 0);
	cr_expect_float_eq(drpc_schedule_requests(&schedule), 200 + 600 + 200 + 300, 1e-6,
			   "repeated");
}

Test(schedule, steps_change_where_they_should)
{
	static uint64_t t[3000];
	size_t n, first = 0;

	cr_assert_eq(make("200@3s,800@3s", 0, false), 0);
	n = arrivals(DRPC_ARRIVALS_UNIFORM, 1, t, 3000);
	cr_assert_eq(n, 3000);
	while (t[first] < 3000000000)
		first++;
	cr_expect_eq(first, 600);
	cr_expect_leq(fabs((double)(t[601] - t[600]) - 1.25e6), 10);
}

Test(schedule, a_ramp_follows_its_integral)
{
	static uint64_t t[30000];
	size_t n;

	cr_assert_eq(make("200:800@60s", 0, false), 0);
	n = arrivals(DRPC_ARRIVALS_UNIFORM, 1, t, 30000);
	cr_assert_eq(n, 30000);
	for (size_t k = 0; k < n; k += 997) {
		double s = (double)t[k] / 1e9;

		cr_assert_float_eq(200 * s + 5 * s * s, (double)k, 1e-3, "arrival %zu", k);
	}
	drpc_schedule_release(&schedule);
	cr_assert_eq(make("800:0@10s,0:800@10s", 0, false), 0);
	cr_expect_eq(arrivals(DRPC_ARRIVALS_UNIFORM, 1, t, 30000), 8000, "down to 0 and up again");
	cr_expect_float_eq(drpc_schedule_mean_rps(&schedule, 5, 15), 200, 1e-9);
	cr_expect_float_eq(drpc_schedule_mean_rps(&schedule, 19, 30), 760.0 / 11, 1e-9);
}

Test(schedule, a_cut_ramp_keeps_its_slope)
{
	cr_assert_eq(make("200:800@60s", 30, false), 0);
	cr_expect_float_eq(drpc_schedule_requests(&schedule), 30 * 350, 1e-6);
}

Test(schedule, nothing_is_sent_while_the_rate_is_zero)
{
	static uint64_t t[200];

	cr_assert_eq(make("100@1s,0@5s,100@1s", 0, false), 0);
	cr_assert_eq(arrivals(DRPC_ARRIVALS_UNIFORM, 1, t, 200), 200);
	cr_expect_lt(t[99], 1000000000);
	cr_expect_geq(t[100], 6000000000);
	cr_assert_eq(arrivals(DRPC_ARRIVALS_POISSON, 1, t, 0) > 100, true);
}

Test(schedule, poisson_repeats_with_its_seed_only)
{
	static uint64_t a[5000], b[5000], c[5000];
	size_t n;

	cr_assert_eq(make("100:900@10s", 0, false), 0);
	n = arrivals(DRPC_ARRIVALS_POISSON, 42, a, 5000);
	cr_assert_eq(arrivals(DRPC_ARRIVALS_POISSON, 42, b, 5000), n);
	cr_expect_arr_eq(a, b, sizeof(a[0]) * DRPC_MIN(n, 5000));
	arrivals(DRPC_ARRIVALS_POISSON, 43, c, 5000);
	cr_expect_arr_neq(a, c, sizeof(a[0]) * 100);
}

/* Counts in equal steps of the expected number must have variance = mean, rate changes or not. */
Test(schedule, poisson_has_the_rate_and_the_variance)
{
	enum { WINDOWS = 2000 };
	static uint64_t t[250000];
	static unsigned int count[WINDOWS];
	double sum = 0, squares = 0, mean, variance;
	size_t n;

	cr_assert_eq(make("1000@100s", 0, false), 0);
	n = arrivals(DRPC_ARRIVALS_POISSON, 9, t, 250000);
	for (size_t i = 0; i < n; i++)
		count[DRPC_MIN(t[i] / 50000000, WINDOWS - 1)]++;
	for (size_t i = 0; i < WINDOWS; i++) {
		sum += count[i];
		squares += (double)count[i] * count[i];
	}
	mean = sum / WINDOWS;
	variance = squares / WINDOWS - mean * mean;
	/* Five standard errors. */
	cr_expect_float_eq(mean, 50, 5 * sqrt(50.0 / WINDOWS));
	cr_expect_float_eq(variance / mean, 1, 5 * sqrt(2.0 / WINDOWS));
}

Test(schedule, malformed_rates_are_refused)
{
	static const char *const bad[] = {
		"",	"x",	    "-5",	  "500x",  "500@",  "500@0s", "500@x",
		"1:2",	"1:2:3@5s", "5,6",	  "5@1s,", ",5",    "nan",    "inf",
		"1e99", "0x10",	    "5@1s,:3@1s", " 5",	   "5@-1s", "1:@5s",  "5@2000h",
	};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(bad); i++) {
		cr_expect_eq(drpc_schedule_parse(&schedule, "--rate", bad[i]), -EINVAL, "'%s'",
			     bad[i]);
		drpc_schedule_release(&schedule);
	}
	cr_expect_eq(make("0@10s", 0, false), -EINVAL, "never sends");
	drpc_schedule_release(&schedule);
	cr_assert_eq(drpc_schedule_parse(&schedule, "--rate", "5"), 0);
	cr_expect_eq(drpc_schedule_parse(&schedule, "--rate", "6@1s"), -EINVAL, "never reached");
}

static const char *rate_file(const char *text, size_t len)
{
	int fd = mkstemp(strcpy(file, "/tmp/drpc-schedule-XXXXXX"));

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, len), (ssize_t)len);
	close(fd);
	return file;
}

static int load(const char *text, size_t len, double scale)
{
	int err = drpc_schedule_load(&schedule, rate_file(text, len), scale);

	unlink(file);
	return err;
}

Test(schedule, rates_from_a_file)
{
	static const char text[] = "100\n\n# a comment\n 200.5\t\r\n0\n300 # the last\n50";

	cr_assert_eq(load(text, sizeof(text) - 1, 2), 0);
	cr_assert_eq(drpc_schedule_finish(&schedule, 0, 10, false), 0);
	cr_expect_float_eq(drpc_schedule_duration_s(&schedule), 5, 1e-9);
	cr_expect_float_eq(drpc_schedule_mean_rps(&schedule, 1, 2), 401, 1e-9);
	cr_expect_float_eq(drpc_schedule_requests(&schedule), 1301, 1e-9);
}

Test(schedule, bad_files_name_file_and_line)
{
	static const char *const bad[] = {"100\nx\n", "100\n1 2\n", "100\n-1\n", "100\n1e9\n",
					  "100\nnan\n"};
	char expected[128];

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(bad); i++)
		cr_expect_eq(load(bad[i], strlen(bad[i]), 1), -EINVAL, "%s", bad[i]);
	cr_expect_eq(load("5\0junk\n", 7, 1), -EINVAL);
	cr_expect_eq(load("\n# nothing\n", 11, 1), -EINVAL);
	cr_expect_eq(schedule.count, 0, "nothing of a bad file stays");
	cr_expect_eq(drpc_schedule_load(&schedule, "/nonexistent/rates", 1), -ENOENT);
	fflush(stderr);
	snprintf(expected, sizeof(expected), "%.14s", file);
	cr_expect_eq(load("7\n8\nnine\n", 9, 1), -EINVAL);
}
