// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "agent/monitor/cgroup_parse.h"

#define STR(s) (s), sizeof(s) - 1

Test(cgroup_parse, cpu_stat)
{
	struct drpc_cgroup_counters c = {0};

	drpc_cgroup_parse_cpu_stat(STR("usage_usec 123\nuser_usec 100\nsystem_usec 23\n"
				       "core_sched.force_idle_usec 0\nnr_periods 10\n"
				       "nr_throttled 4\nthrottled_usec 98765\nnr_bursts 0\n"),
				   &c);
	cr_assert_eq(c.valid, DRPC_CG_CPU | DRPC_CG_THROTTLE);
	cr_assert_eq(c.cpu_usage_usec, 123);
	cr_assert_eq(c.nr_periods, 10);
	cr_assert_eq(c.nr_throttled, 4);
	cr_assert_eq(c.throttled_usec, 98765);
}

Test(cgroup_parse, cpu_stat_without_controller)
{
	struct drpc_cgroup_counters c = {.nr_periods = 7};

	drpc_cgroup_parse_cpu_stat(STR("usage_usec 1\nuser_usec 1\n"), &c);
	cr_assert_eq(c.valid, DRPC_CG_CPU);
	cr_assert_eq(c.nr_periods, 7, "what is not found is left alone");
	c = (struct drpc_cgroup_counters){0};
	drpc_cgroup_parse_cpu_stat(STR("nr_periods 1\nnr_throttled 1\n"), &c);
	cr_assert_eq(c.valid, 0, "a part of a group is no group");
}

Test(cgroup_parse, cpu_stat_truncated_anywhere)
{
	static const char text[] =
		"usage_usec 1234567\nnr_periods 11\nnr_throttled 22\nthrottled_usec 333\n";

	for (size_t len = 0; len < sizeof(text); len++) {
		struct drpc_cgroup_counters c = {0};
		char *copy = malloc(len ? len : 1); /* exact, so that ASan sees an overrun */

		memcpy(copy, text, len);
		drpc_cgroup_parse_cpu_stat(copy, len, &c);
		if (c.valid & DRPC_CG_CPU)
			cr_assert_eq(c.cpu_usage_usec, 1234567, "half a number was taken at %zu",
				     len);
		if (c.valid & DRPC_CG_THROTTLE)
			cr_assert_eq(c.throttled_usec, 333);
		free(copy);
	}
}

Test(cgroup_parse, numbers_that_are_none)
{
	static const char *const bad[] = {"usage_usec -5\n",
					  "usage_usec +5\n",
					  "usage_usec 5 \n",
					  "usage_usec  5\n",
					  "usage_usec 5x\n",
					  "usage_usec 0x10\n",
					  "usage_usec 1.5\n",
					  "usage_usec \n",
					  "usage_usec\n",
					  "usage_usec 18446744073709551616\n",
					  "usage_usec 99999999999999999999999999\n",
					  " usage_usec 5\n",
					  "usage_usec_ 5\n",
					  "usage_use 5\n",
					  "usage_usec 5\r\n",
					  "usage_usec\t5\n",
					  "\n\n\n",
					  ""};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct drpc_cgroup_counters c = {0};

		drpc_cgroup_parse_cpu_stat(bad[i], strlen(bad[i]), &c);
		cr_assert_eq(c.valid, 0, "took: %s", bad[i]);
	}
}

Test(cgroup_parse, largest_number_and_the_first_of_two)
{
	struct drpc_cgroup_counters c = {0};

	drpc_cgroup_parse_cpu_stat(STR("usage_usec bad\nusage_usec 18446744073709551615\n"
				       "usage_usec 7\n"),
				   &c);
	cr_assert_eq(c.valid, DRPC_CG_CPU);
	cr_assert_eq(c.cpu_usage_usec, UINT64_MAX);
}

Test(cgroup_parse, cpu_stat_v1_is_in_nanoseconds)
{
	struct drpc_cgroup_counters c = {0};

	drpc_cgroup_parse_cpu_stat_v1(STR("nr_periods 10\nnr_throttled 4\nthrottled_time 5000999\n"
					  "nr_bursts 0\nburst_time 0\n"),
				      &c);
	cr_assert_eq(c.valid, DRPC_CG_THROTTLE);
	cr_assert_eq(c.throttled_usec, 5000);
}

Test(cgroup_parse, pressure)
{
	uint64_t some = 1, full = 2;

	cr_assert(drpc_cgroup_parse_pressure(
		STR("some avg10=0.10 avg60=12.00 avg300=0.00 total=4242\n"
		    "full avg10=0.00 avg60=0.00 avg300=0.00 total=17\n"),
		&some, &full));
	cr_assert_eq(some, 4242);
	cr_assert_eq(full, 17);
	cr_assert(drpc_cgroup_parse_pressure(STR("some avg10=0.00 total=5\n"), &some, &full));
	cr_assert_eq(some, 5);
	cr_assert_eq(full, 0, "old kernels have no full line for the CPU");
}

Test(cgroup_parse, pressure_that_is_none)
{
	static const char *const bad[] = {"",
					  "some\n",
					  "some \n",
					  "some total=\n",
					  "some total=-1\n",
					  "some total=1e3\n",
					  "some avg10=0.00 total=5", /* cut */
					  "full avg10=0.00 total=5\n",
					  "sometotal=5\n",
					  "some total=5 more\n"};
	uint64_t some = 11, full = 12;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		cr_assert_not(drpc_cgroup_parse_pressure(bad[i], strlen(bad[i]), &some, &full),
			      "took: %s", bad[i]);
	cr_assert_eq(some, 11);
	cr_assert_eq(full, 12);
}

Test(cgroup_parse, single_number)
{
	uint64_t n = 9;

	cr_assert(drpc_cgroup_parse_number(STR("4096\n"), &n));
	cr_assert_eq(n, 4096);
	cr_assert_not(drpc_cgroup_parse_number(STR("4096"), &n), "no newline: may be cut");
	cr_assert_not(drpc_cgroup_parse_number(STR("\n"), &n));
	cr_assert_not(drpc_cgroup_parse_number(STR("max\n"), &n));
	cr_assert_eq(n, 4096);
}

Test(cgroup_parse, key)
{
	uint64_t n = 0;

	cr_assert(drpc_cgroup_parse_key(STR("low 0\nhigh 1\nmax 2\noom 3\noom_kill 4\n"),
					"oom_kill", &n));
	cr_assert_eq(n, 4);
	cr_assert_not(drpc_cgroup_parse_key(STR("oom_kill_disable 1\n"), "oom_kill", &n));
	cr_assert_eq(n, 4);
}

Test(cgroup_parse, cpu_max)
{
	struct drpc_limits l = {0};

	cr_assert(drpc_cgroup_parse_cpu_max(STR("max 100000\n"), &l));
	cr_assert_eq(l.cpu_quota_usec, DRPC_UNLIMITED);
	cr_assert_eq(l.cpu_period_usec, 100000);
	cr_assert(drpc_cgroup_parse_cpu_max(STR("1500 50000\n"), &l));
	cr_assert_eq(l.cpu_quota_usec, 1500);
	cr_assert_eq(l.cpu_period_usec, 50000);
	cr_assert_not(drpc_cgroup_parse_cpu_max(STR("max\n"), &l));
	cr_assert_not(drpc_cgroup_parse_cpu_max(STR("5 0\n"), &l), "a period of 0");
	cr_assert_not(drpc_cgroup_parse_cpu_max(STR("-5 10\n"), &l));
	cr_assert_not(drpc_cgroup_parse_cpu_max(STR("5 max\n"), &l));
	cr_assert_not(drpc_cgroup_parse_cpu_max(STR("5 10"), &l));
	cr_assert_eq(l.cpu_quota_usec, 1500);
}

Test(cgroup_parse, limits)
{
	uint64_t n = 0;

	cr_assert(drpc_cgroup_parse_limit(STR("max\n"), &n));
	cr_assert_eq(n, DRPC_UNLIMITED);
	cr_assert(drpc_cgroup_parse_limit(STR("1048576\n"), &n));
	cr_assert_eq(n, 1048576);
	cr_assert_not(drpc_cgroup_parse_limit(STR("maximum\n"), &n));
	cr_assert(drpc_cgroup_parse_quota_v1(STR("-1\n"), &n));
	cr_assert_eq(n, DRPC_UNLIMITED);
	cr_assert(drpc_cgroup_parse_quota_v1(STR("50000\n"), &n));
	cr_assert_eq(n, 50000);
	cr_assert_not(drpc_cgroup_parse_quota_v1(STR("-2\n"), &n));
}

Test(cgroup_parse, proc_cgroup)
{
	static const char text[] = "12:cpuset:/a\n7:cpu,cpuacct:/docker/x:y z\n4:memory:/m\n"
				   "1:name=systemd:/s\n0::/docker/x\n";
	char path[32] = "before";

	cr_assert(drpc_cgroup_parse_proc(STR(text), "cpu", path, sizeof(path)));
	cr_assert_str_eq(path, "/docker/x:y z");
	cr_assert(drpc_cgroup_parse_proc(STR(text), "cpuacct", path, sizeof(path)));
	cr_assert_str_eq(path, "/docker/x:y z");
	cr_assert(drpc_cgroup_parse_proc(STR(text), "memory", path, sizeof(path)));
	cr_assert_str_eq(path, "/m");
	cr_assert_not(drpc_cgroup_parse_proc(STR(text), "io", path, sizeof(path)));
	cr_assert_not(drpc_cgroup_parse_proc(STR(text), "cpu", path, 13), "no room");
	cr_assert_not(drpc_cgroup_parse_proc(STR("7:cpu:/a\0b\n"), "cpu", path, sizeof(path)));
	cr_assert_not(drpc_cgroup_parse_proc(STR("7:cpu\n:::\ncpu"), "cpu", path, sizeof(path)));
	cr_assert_str_eq(path, "/m");
}

/* Any bytes: nothing is read past the end (ASan), nothing found in noise that has no keys. */
Test(cgroup_parse, noise)
{
	unsigned int seed = 1;

	for (int round = 0; round < 2000; round++) {
		size_t len = (size_t)(rand_r(&seed) % 300);
		char *text = malloc(len ? len : 1), path[16];
		struct drpc_cgroup_counters c = {0};
		struct drpc_limits limits;
		uint64_t a, b;

		for (size_t i = 0; i < len; i++)
			text[i] = (char)(round % 2 ? rand_r(&seed)
						   : "m a1:9,=\n-"[rand_r(&seed) % 10]);
		drpc_cgroup_parse_cpu_stat(text, len, &c);
		drpc_cgroup_parse_cpu_stat_v1(text, len, &c);
		cr_assert_eq(c.valid, 0);
		drpc_cgroup_parse_pressure(text, len, &a, &b);
		drpc_cgroup_parse_number(text, len, &a);
		drpc_cgroup_parse_key(text, len, "oom_kill", &a);
		drpc_cgroup_parse_cpu_max(text, len, &limits);
		drpc_cgroup_parse_limit(text, len, &a);
		drpc_cgroup_parse_quota_v1(text, len, &a);
		drpc_cgroup_parse_proc(text, len, "a", path, sizeof(path));
		free(text);
	}
}
