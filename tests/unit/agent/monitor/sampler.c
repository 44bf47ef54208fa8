// SPDX-License-Identifier: Apache-2.0
#include "agent/monitor/sampler.h"

#include <criterion/criterion.h>

#include "agent/monitor/series.h"
#include "lib/util.h"

#define WINDOW (200 * DRPC_NSEC_PER_MSEC)

static void policy_of(const char *deployment, struct drpc_policy *ret, void *arg)
{
	(void)deployment;
	(void)arg;
	drpc_policy_defaults(ret, 1000, DRPC_MIB);
}

/* What a container at rest slept through is there when it is asked for, window by window. */
Test(sampler, catches_up)
{
	const struct drpc_roster_ops ops = {.policy = policy_of};
	struct drpc_container c = {.cgroup = "/drpc-no-such-cgroup", .name = "sleeper"};
	struct drpc_sampler *sampler = NULL;
	struct drpc_roster *nobody = NULL;
	struct drpc_window_scalars last;
	struct drpc_window sum;
	uint64_t now;

	cr_assert_eq(drpc_sampler_new(NULL, &sampler), 0);
	cr_assert_eq(drpc_roster_new(&ops, &nobody), 0);
	drpc_sampler_attach(sampler, &c); /* without files there is the base all the same */
	now = drpc_series_end_ns(c.series);
	cr_assert_neq(now, 0);
	for (int i = 0; i < 3; i++)
		drpc_sampler_tick(sampler, nobody, now += WINDOW);

	drpc_sampler_catch_up(sampler, &c);
	cr_expect_not(drpc_series_last(c.series, &last), "is not at rest: the tick has seen to it");
	c.at_rest = true;
	drpc_sampler_catch_up(sampler, &c);
	cr_assert_eq(drpc_series_recent(c.series, 0, &sum), 3);
	cr_expect_eq(sum.s.end_ns - sum.s.start_ns, 3 * WINDOW);
	cr_expect_eq(drpc_series_end_ns(c.series), now);
	cr_assert(drpc_series_last(c.series, &last));
	cr_expect_eq(last.end_ns - last.start_ns, WINDOW);
	drpc_sampler_catch_up(sampler, &c);
	cr_expect_eq(drpc_series_recent(c.series, 0, &sum), 3, "nothing is told twice");

	/* Longer than is kept: the oldest window takes in what lies before. */
	for (int i = 0; i < 2 * DRPC_RECENT_WINDOWS; i++)
		drpc_sampler_tick(sampler, nobody, now += WINDOW);
	drpc_sampler_catch_up(sampler, &c);
	cr_expect_eq(drpc_series_recent(c.series, 0, &sum), DRPC_RECENT_WINDOWS);
	cr_expect_eq(sum.s.end_ns, now);
	cr_expect_eq(sum.s.end_ns - sum.s.start_ns, 2UL * DRPC_RECENT_WINDOWS * WINDOW);
	drpc_sampler_detach(&c);
	drpc_roster_free(&nobody);
	drpc_sampler_free(&sampler);
}
