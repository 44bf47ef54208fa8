// SPDX-License-Identifier: Apache-2.0
#include "agent/plan/peak.h"

#include <criterion/criterion.h>

#include "lib/util.h"

#define SEC DRPC_NSEC_PER_SEC

Test(peak, nothing_seen_is_nothing)
{
	struct drpc_peak p = {0};

	cr_expect_eq(drpc_peak_most(&p, 0), 0);
	cr_expect_eq(drpc_peak_most(&p, 5 * SEC), 0);
}

Test(peak, the_largest_counts_until_it_is_old)
{
	struct drpc_peak p = {0};
	uint64_t now = 1000 * SEC;

	drpc_peak_push(&p, now, 300);
	drpc_peak_push(&p, now + SEC / 5, 900);
	drpc_peak_push(&p, now + 2 * SEC / 5, 100);
	cr_expect_eq(drpc_peak_most(&p, now + SEC / 2), 900);
	for (int i = 1; i < 10; i++)
		drpc_peak_push(&p, now + (uint64_t)i * SEC, 200);
	cr_expect_eq(drpc_peak_most(&p, now + 10 * SEC - 1), 900);
	cr_expect_eq(drpc_peak_most(&p, now + 10 * SEC), 200, "ten seconds later it is gone");
	/* Its slot begins anew. */
	drpc_peak_push(&p, now + 10 * SEC, 50);
	cr_expect_eq(drpc_peak_most(&p, now + 10 * SEC), 200);
	cr_expect_eq(drpc_peak_most(&p, now + 19 * SEC), 50);
	cr_expect_eq(drpc_peak_most(&p, now + 3600 * SEC), 0, "a long pause leaves nothing");
}

Test(peak, a_clock_at_its_ends_is_survived)
{
	struct drpc_peak p = {0};

	drpc_peak_push(&p, 0, 7);
	cr_expect_eq(drpc_peak_most(&p, 0), 7);
	drpc_peak_push(&p, UINT64_MAX, 9);
	cr_expect_eq(drpc_peak_most(&p, UINT64_MAX), 9);
}
