// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "sim/policies/critical.h"

#define ROOT DRPC_SIM_NO_PARENT
#define SPAN(from, to, up, of)                                                                  \
	{                                                                                       \
		.start_ns = (from), .end_ns = (to), .parent = (up), .service = (of), .ok = true \
	}

/*
 * 0 |----------------------------------------| web
 * 1    |------|                                auth: before the last one begins
 * 2            |---------------|               a: side by side with b, returns first
 * 3            |--------------------|          b: returns last
 * 4               |----|                       b's cache
 * 5                     |--------|             b's db, its last
 * 6              |--|                          a's, off the path
 */
static const struct drpc_sim_span hand_made[] = {
	SPAN(0, 400, ROOT, 0), SPAN(30, 100, 0, 1),  SPAN(120, 280, 0, 2), SPAN(120, 330, 0, 3),
	SPAN(150, 200, 3, 4),  SPAN(210, 300, 3, 5), SPAN(140, 170, 2, 6),
};

Test(sim_critical, path_of_a_hand_made_trace)
{
	const bool expected[] = {true, true, false, true, true, true, false};
	bool on[7];

	cr_assert_eq(drpc_critical_path(hand_made, 7, 0, on), 0);
	for (size_t i = 0; i < 7; i++)
		cr_assert_eq(on[i], expected[i], "span %zu", i);
}

Test(sim_critical, own_time_is_what_children_do_not_cover)
{
	cr_assert_float_eq(drpc_critical_self_ns(hand_made, 7, 0, 0), 400 - 70 - 210, 1e-9);
	cr_assert_float_eq(drpc_critical_self_ns(hand_made, 7, 0, 3), 210 - 50 - 90, 1e-9);
	cr_assert_float_eq(drpc_critical_self_ns(hand_made, 7, 0, 5), 90, 1e-9);
	cr_assert_float_eq(drpc_critical_self_ns(hand_made, 7, 0, 2), 160 - 30, 1e-9);
}

/* Parents are told by their place in the whole list. */
Test(sim_critical, requests_behind_others)
{
	struct drpc_sim_span spans[] = {SPAN(0, 10, ROOT, 0), SPAN(20, 50, ROOT, 0),
					SPAN(25, 40, 1, 1)};
	bool on[2];

	cr_assert_eq(drpc_critical_path(spans + 1, 2, 1, on), 0);
	cr_assert(on[0] && on[1]);
	cr_assert_float_eq(drpc_critical_self_ns(spans + 1, 2, 1, 0), 15, 1e-9);
}

Test(sim_critical, a_request_of_too_many_spans)
{
	struct drpc_sim_span *spans = calloc(DRPC_CRITICAL_SPANS + 1, sizeof(*spans));
	bool on[DRPC_CRITICAL_SPANS + 1];

	cr_assert_eq(drpc_critical_path(spans, DRPC_CRITICAL_SPANS + 1, 0, on), -E2BIG);
	free(spans);
}

Test(sim_critical, pearson)
{
	const double x[] = {1, 2, 3, 4}, up[] = {2, 4, 6, 8}, down[] = {4, 3, 2, 1};
	const double flat[] = {5, 5, 5, 5}, some[] = {1, 3, 2, 4};

	cr_assert_float_eq(drpc_critical_pearson(x, up, 4), 1, 1e-12);
	cr_assert_float_eq(drpc_critical_pearson(x, down, 4), -1, 1e-12);
	cr_assert_float_eq(drpc_critical_pearson(x, flat, 4), 0, 1e-12);
	cr_assert_float_eq(drpc_critical_pearson(x, some, 4), 0.8, 1e-12);
}

/* Service 1 makes requests long, service 2 is steady: the one goes with the whole and is uneven. */
Test(sim_critical, window_tells_the_culprit)
{
	enum { REQUESTS = 200 };
	struct drpc_sim_span *spans = calloc((size_t)3 * REQUESTS, sizeof(*spans));
	struct drpc_critical_features f[4];

	for (uint32_t i = 0; i < REQUESTS; i++) {
		const uint64_t slow = i % 20 == 0 ? 1000 : 100 + i % 7;
		struct drpc_sim_span *s = spans + (size_t)3 * i;

		s[0] = (struct drpc_sim_span)SPAN(0, 50 + slow + 200, ROOT, 0);
		s[1] = (struct drpc_sim_span)SPAN(10, 10 + slow, 3 * i, 1);
		s[2] = (struct drpc_sim_span)SPAN(20 + slow, 20 + slow + 200, 3 * i, 2);
	}
	cr_assert_eq(drpc_critical_window(spans, (size_t)3 * REQUESTS, 4, f), 0);
	cr_assert_eq(f[1].requests, REQUESTS);
	cr_assert_eq(f[3].requests, 0);
	cr_assert_gt(f[1].importance, 0.99);
	cr_assert_gt(f[1].congestion, 9);
	cr_assert_float_eq(f[2].importance, 0, 1e-9);
	cr_assert_float_eq(f[2].congestion, 1, 1e-9);
	free(spans);
}
