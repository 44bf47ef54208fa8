// SPDX-License-Identifier: Apache-2.0
#include "workload/users.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"

#define ARRIVALS 40000

static struct drpc_user_mix mix;

static void teardown(void)
{
	drpc_user_mix_done(&mix);
}

TestSuite(users, .init = cr_redirect_stderr, .fini = teardown);

Test(users, shares_change_at_once_and_by_ramps)
{
	double shares[DRPC_USERS_MAX_TYPES];

	cr_assert_eq(drpc_user_mix_parse("--users",
					 "query=3/50,buyer=1;100:query=1,buyer=1;~200:buyer=2",
					 &mix),
		     0);
	cr_assert_eq(mix.types, 2);
	cr_expect_eq(mix.type[0].count, 50);
	cr_expect_eq(mix.type[1].count, DRPC_USERS_DEFAULT);
	drpc_user_shares(&mix, 99, shares);
	cr_expect_float_eq(shares[0], 0.75, 1e-12);
	drpc_user_shares(&mix, 100, shares);
	cr_expect_float_eq(shares[0], 0.5, 1e-12);
	drpc_user_shares(&mix, 150, shares);
	cr_expect_float_eq(shares[0], 0.25, 1e-12);
	cr_expect_float_eq(shares[1], 0.75, 1e-12);
	drpc_user_shares(&mix, 1e6, shares);
	cr_expect_eq(shares[0], 0);
}

/* Draws hold to the shares, ids to their counts, and both to the seed alone. */
Test(users, picks_are_a_function_of_seed_and_arrival)
{
	unsigned int count[4] = {0}, same = 0;
	unsigned int *seen = calloc(1001, sizeof(*seen)), ids = 0;

	cr_assert_eq(drpc_user_mix_default(&mix), 0);
	for (uint64_t k = 0; k < ARRIVALS; k++) {
		const struct drpc_user user = drpc_user_pick(&mix, 7, k, 0);
		const struct drpc_user again = drpc_user_pick(&mix, 7, k, 0);
		const struct drpc_user other = drpc_user_pick(&mix, 8, k, 0);

		cr_assert(user.type == again.type && user.id == again.id);
		cr_assert(user.id >= 1 && user.id <= 1000);
		same += user.id == other.id;
		count[user.type]++;
		ids += user.type == 0 && !seen[user.id]++;
	}
	/* Five standard deviations of the binomial. */
	for (size_t i = 0; i < 4; i++) {
		static const double want[] = {0.60, 0.25, 0.10, 0.05};

		cr_expect_float_eq(count[i], want[i] * ARRIVALS,
				   5 * sqrt(ARRIVALS * want[i] * (1 - want[i])), "%s: %u",
				   mix.type[i].name, count[i]);
	}
	cr_expect_eq(ids, 1000, "all of the 1000 come in 24,000 arrivals");
	cr_expect_lt(same, 100, "another seed, other users");
	free(seen);
}

Test(users, malformed_mixes_are_refused)
{
	static const char *const bad[] = {"",
					  "query",
					  "query=",
					  "query=-1",
					  "query=x",
					  "=5",
					  "query=0",
					  "query=1,query=2",
					  "query=1/0",
					  "query=1/1.5",
					  "qu ery=1",
					  "query=1;buyer=2",
					  "query=1;5:buyer=2",
					  "query=1;0:query=1",
					  "query=1;9:query=1;5:query=1",
					  "query=1;~x:query=1",
					  "query=1;5:query=1/7",
					  "~0:query=1",
					  "query=nan",
					  "a=1,b=1,c=1,d=1,e=1,f=1,g=1,h=1,i=1",
					  "a-name-that-is-far-too-long-for-it=1"};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(bad); i++) {
		cr_expect_eq(drpc_user_mix_parse("--users", bad[i], &mix), -EINVAL, "%s", bad[i]);
		cr_expect_eq(mix.types, 0, "%s", bad[i]);
	}
}
