// SPDX-License-Identifier: Apache-2.0
#include "link/experience.h"

#include <criterion/criterion.h>
#include <string.h>

#include "lib/util.h"
#include "tests/unit/link/sample.h"

Test(experience, what_is_built_is_possible)
{
	for (uint64_t n = 0; n < 1000; n++) {
		const struct drpc_experience x = sample(n);

		cr_assert_eq(drpc_experience_check(&x), DRPC_REJECT_NONE, "record %d: %s", (int)n,
			     drpc_reject_name(drpc_experience_check(&x)));
	}
	const struct drpc_experience x = largest();

	cr_assert_eq(drpc_experience_check(&x), DRPC_REJECT_NONE);
}

Test(experience, what_was_applied_counts)
{
	const float planned[] = {0.3f, 0.9f, -0.7f};
	const float same[] = {0, 0.9001f, -0.7f}, other[] = {0, 0.6f, -0.7f};
	struct drpc_experience x = sample(1);

	drpc_experience_act(&x, DRPC_BY_TEACHER, 3, planned, NULL);
	cr_assert_eq(x.flags & DRPC_X_GUARD, 0);
	cr_assert_arr_eq(x.action, planned, sizeof(planned));
	/* 0.3 lies in the dead band: nothing moved, as it should. */
	drpc_experience_act(&x, DRPC_BY_TEACHER, 3, planned, same);
	cr_assert_eq(x.flags & DRPC_X_GUARD, 0);
	cr_assert_arr_eq(x.action, planned, sizeof(planned));
	drpc_experience_act(&x, DRPC_BY_TEACHER, 3, planned, other);
	cr_assert(x.flags & DRPC_X_GUARD);
	cr_assert_arr_eq(x.action, other, sizeof(other));
	cr_assert_arr_eq(x.planned, planned, sizeof(planned));
	cr_assert_eq(drpc_experience_check(&x), DRPC_REJECT_NONE);
}

Test(experience, moves)
{
	cr_assert_eq(drpc_experience_moved(500, 500, 0.3), 0.0f);
	cr_assert_float_eq(drpc_experience_moved(1000, 1240, 0.3), 0.8, 1e-6);
	cr_assert_float_eq(drpc_experience_moved(1000, 790, 0.3), -0.7, 1e-6);
	cr_assert_eq(drpc_experience_moved(1000, 9000, 0.3), 1.0f);
	/* Less than any output moves: the least that does. */
	cr_assert_gt(drpc_experience_moved(1000, 1010, 0.3), DRPC_DEAD_BAND);
	cr_assert_lt(drpc_experience_moved(1000, 990, 0.3), -DRPC_DEAD_BAND);
	cr_assert_eq(drpc_experience_moved(0, 2, 0.3), 1.0f);
	cr_assert_eq(drpc_experience_moved(1000, 1010, 0), 1.0f);
	cr_assert_eq(drpc_experience_moved(0, INFINITY, 0.3), 0.0f);
}

Test(experience, summary_of_a_histogram)
{
	uint32_t hist[DRPC_HIST_BUCKETS] = {0};
	struct drpc_experience_latency latency;
	uint64_t sum = 0;

	drpc_experience_latency_of(hist, &latency);
	cr_assert_eq(latency.requests, 0);
	cr_assert_eq(latency.max_ns, 0);
	hist[0] = 1;
	hist[1] = 2;
	hist[8] = 4;
	hist[9] = 8;
	hist[DRPC_HIST_OVERFLOW] = 16;
	drpc_experience_latency_of(hist, &latency);
	cr_assert_eq(latency.requests, 31);
	cr_assert_eq(latency.octaves[0], 1);
	cr_assert_eq(latency.octaves[1], 6);
	cr_assert_eq(latency.octaves[2], 8);
	cr_assert_eq(latency.octaves[DRPC_LINK_OCTAVES - 1], 16);
	for (size_t i = 0; i < DRPC_LINK_OCTAVES; i++)
		sum += latency.octaves[i];
	cr_assert_eq(sum, latency.requests);
	cr_assert_leq(latency.p50_ns, latency.p99_ns);
	cr_assert_leq(latency.p99_ns, latency.max_ns);
}

/* One field each that a node that lies, or a bug, may send. */
#define REFUSED(reject, change)                                                    \
	do {                                                                       \
		struct drpc_experience x = sample(5);                              \
		change;                                                            \
		cr_expect_eq(drpc_experience_check(&x), reject, "%s: %s", #change, \
			     drpc_reject_name(drpc_experience_check(&x)));         \
	} while (0)

Test(experience, impossible_values_are_refused_by_name)
{
	REFUSED(DRPC_REJECT_NAME, x.deployment[0] = '\0');
	REFUSED(DRPC_REJECT_NAME, strcpy(x.deployment, "a\nb"));
	REFUSED(DRPC_REJECT_NAME, strcpy(x.deployment, "a\xff"));
	REFUSED(DRPC_REJECT_NAME, memset(x.deployment, 'a', sizeof(x.deployment)));
	REFUSED(DRPC_REJECT_TIME, x.realtime_ns = 0);
	REFUSED(DRPC_REJECT_TIME, x.step = 0);
	REFUSED(DRPC_REJECT_TIME, x.step = UINT64_MAX);
	REFUSED(DRPC_REJECT_TIME, x.duration_ns = 0);
	REFUSED(DRPC_REJECT_TIME, x.duration_ns = UINT64_MAX);
	REFUSED(DRPC_REJECT_PLANNER, x.planner = DRPC_BY_COUNT);
	REFUSED(DRPC_REJECT_FLAGS, x.flags |= 1U << 20);
	REFUSED(DRPC_REJECT_FLAGS, x.flags |= DRPC_X_DONE | DRPC_X_TRUNCATED);
	REFUSED(DRPC_REJECT_FLAGS, x.planned[1] = -x.planned[1]);
	for (int i = 0; i < DRPC_F_COUNT; i++) {
		REFUSED(DRPC_REJECT_STATE, x.state[i] = -0.01f);
		REFUSED(DRPC_REJECT_STATE, x.next[i] = NAN);
		REFUSED(DRPC_REJECT_STATE, x.next[i] = INFINITY);
		REFUSED(DRPC_REJECT_STATE, x.state[i] = 3e38f);
	}
	REFUSED(DRPC_REJECT_STATE, x.state[DRPC_F_QUEUE_SHARE] = 1.01f);
	for (int i = 0; i < DRPC_OUT_COUNT; i++) {
		REFUSED(DRPC_REJECT_ACTION, x.action[i] = 1.001f);
		REFUSED(DRPC_REJECT_ACTION, x.action[i] = NAN);
		REFUSED(DRPC_REJECT_ACTION, x.planned[i] = -2);
	}
	REFUSED(DRPC_REJECT_REWARD, x.reward.total = 1.1f);
	REFUSED(DRPC_REJECT_REWARD, x.reward.total = NAN);
	REFUSED(DRPC_REJECT_REWARD, x.reward.total += 0.01f);
	REFUSED(DRPC_REJECT_REWARD, x.reward.qos = -0.1f);
	REFUSED(DRPC_REJECT_REWARD, x.reward.cpu = -0.1f);
	REFUSED(DRPC_REJECT_REWARD, x.reward.memory = NAN);
	REFUSED(DRPC_REJECT_COVERAGE, x.coverage = 1.5f);
	REFUSED(DRPC_REJECT_COVERAGE, x.coverage = NAN);
	REFUSED(DRPC_REJECT_LATENCY, x.latency.requests++);
	REFUSED(DRPC_REJECT_LATENCY, x.latency.octaves[3]++);
	REFUSED(DRPC_REJECT_LATENCY, x.latency.octaves[3] = UINT64_MAX);
	REFUSED(DRPC_REJECT_LATENCY, x.latency.p50_ns = x.latency.p99_ns + 1);
	REFUSED(DRPC_REJECT_LATENCY, x.latency.p99_ns = x.latency.max_ns + 1);
	REFUSED(DRPC_REJECT_LATENCY, x.latency.max_ns = UINT64_MAX);
}

Test(experience, tokens_are_safe_and_different)
{
	static const char *const names[] = {"web", "shop/web", "shop.web", "a b",   "*",
					    ">",   "=2A",      "\xc3\xa4", "shop=", "shop-web"};
	char token[DRPC_ARRAY_SIZE(names)][DRPC_LINK_TOKEN_BYTES];
	char longest[DRPC_LINK_NAME_BYTES];

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(names); i++) {
		drpc_link_token(names[i], token[i]);
		cr_assert_null(strpbrk(token[i], ".*> /\t"), "'%s'", token[i]);
		for (size_t k = 0; k < i; k++)
			cr_assert_str_neq(token[i], token[k]);
	}
	cr_assert_str_eq(token[0], "web");
	cr_assert_str_eq(token[1], "shop=2Fweb");
	memset(longest, '*', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	drpc_link_token(longest, token[0]);
	cr_assert_eq(strlen(token[0]), 3 * (sizeof(longest) - 1));
}
