// SPDX-License-Identifier: Apache-2.0
/* Replicas, brownout, and which of replicas and CPU is cut. */
#include "tests/unit/agent/plan/guard_fixture.h"

TestSuite(guard_replicas, .init = setup);

Test(guard_replicas, replicas)
{
	policy.max_replicas = 3;
	raw[DRPC_OUT_REPLICAS] = 1;
	cr_expect_eq(act(), DRPC_VERDICT_ALLOW);
	cr_expect_eq(v.replicas, 2);
	now += 14 * SEC;
	cr_expect_eq(act(), DRPC_VERDICT_REFUSE, "one at a time, 15 s apart");
	now += SEC;
	cr_expect_eq(act(), DRPC_VERDICT_ALLOW);
	cr_expect_eq(v.replicas, 3);
	now += 20 * SEC;
	cr_expect_eq(act(), DRPC_VERDICT_REFUSE);
	expect_reason("held at 3, the policy allows 1..3");
	raw[DRPC_OUT_REPLICAS] = -1;
	raw[DRPC_OUT_CPU] = -1;
	now += 99 * SEC;
	cr_expect_eq(act(), DRPC_VERDICT_REFUSE);
	expect_reason("cool-down 120 s");
	expect_reason("cpu: cut waits for the scale-in");
	now += SEC;
	cr_expect_eq(act(), DRPC_VERDICT_CLIP, "%s", v.reason);
	cr_expect_eq(v.replicas, 2);
	cr_expect_eq(v.limits.cpu_quota_usec, 100000, "not both at once");
}

Test(guard_replicas, at_the_minimum_of_replicas_the_cpu_is_cut)
{
	policy.max_replicas = 3;
	policy.min_replicas = 2;
	request.replicas = request.local_replicas = 2;
	raw[DRPC_OUT_REPLICAS] = -1;
	raw[DRPC_OUT_CPU] = -1;
	judge();
	cr_expect_eq(v.replicas, 2);
	cr_expect_eq(v.limits.cpu_quota_usec, 70000);
}

Test(guard_replicas, a_scale_in_that_hurts_is_undone)
{
	policy.max_replicas = 3;
	request.replicas = request.local_replicas = 3;
	raw[DRPC_OUT_REPLICAS] = -1;
	cr_expect_eq(act(), DRPC_VERDICT_ALLOW, "%s", v.reason);
	now += 5 * SEC;
	observation.features[DRPC_F_THROTTLED] = 1;
	cr_expect_eq(act(), DRPC_VERDICT_ROLLBACK);
	cr_expect_eq(request.replicas, 3);
}

Test(guard_replicas, brownout_and_back)
{
	policy.brownout = true;
	policy.min_replicas = 0;
	raw[DRPC_OUT_REPLICAS] = -1;
	cr_expect_eq(act(), DRPC_VERDICT_ALLOW, "%s", v.reason);
	cr_expect_eq(request.replicas, 0);
	/* No replica, no window: that must not freeze it for ever. */
	now += 60 * SEC;
	raw[DRPC_OUT_REPLICAS] = 1;
	raw[DRPC_OUT_CPU] = 1;
	request.window_end_ns = 0;
	judge();
	cr_expect_eq(v.kind, DRPC_VERDICT_ALLOW, "%s", v.reason);
	cr_expect_eq(v.replicas, 1);
	cr_expect_eq(v.limits.cpu_quota_usec, request.limits.cpu_quota_usec);
}
