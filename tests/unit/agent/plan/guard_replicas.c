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

Test(guard_replicas, under_way)
{
	policy.max_replicas = 3;
	raw[DRPC_OUT_REPLICAS] = 1;
	raw[DRPC_OUT_CPU] = -1;
	request.replicas_blocked = "a change is under way: making number 2";
	request.scaling = true;
	judge();
	expect_untouched();
	expect_reason("replicas: a change is under way");
	expect_reason("cpu: cut waits for the replicas");
	raw[DRPC_OUT_CPU] = 1;
	judge();
	cr_expect_eq(v.limits.cpu_quota_usec, 130000, "a raise waits for nothing");
	cr_expect_eq(v.replicas, 1);
}

Test(guard_replicas, grow_before_shrink)
{
	policy.max_replicas = 3;
	raw[DRPC_OUT_REPLICAS] = 1;
	raw[DRPC_OUT_CPU] = -1;
	raw[DRPC_OUT_MEMORY] = -1;
	judge();
	cr_expect_eq(v.replicas, 2);
	cr_expect(drpc_limits_equal(&v.limits, &request.limits), "cuts wait for the new replica");
	expect_reason("memory: cut waits for the replicas");
}

Test(guard_replicas, brownout_of_the_node)
{
	policy.brownout = true;
	policy.min_replicas = 0;
	policy.max_replicas = 3;
	request.replicas = request.local_replicas = 3;
	request.brownout = true;
	request.brownout_replicas = 0;
	/* It suffers itself; that does not keep it, nor do cool-downs. */
	observation.features[DRPC_F_P99_SLO] = 3;
	observation.features[DRPC_F_THROTTLED] = 1;
	state.axis[DRPC_AXIS_REPLICAS].raised_ns = now - SEC;
	cr_expect_eq(act(), DRPC_VERDICT_CLIP, "%s", v.reason);
	cr_expect_eq(request.replicas, 0, "all at once");
	expect_reason("brownout");
	request.brownout = false;
	observation.features[DRPC_F_P99_SLO] = observation.features[DRPC_F_THROTTLED] = 0;
	now += 60 * SEC;
	cr_expect_eq(act(), DRPC_VERDICT_HOLD, "%s", v.reason);
	request.brownout = true;
	request.brownout_replicas = 3;
	cr_expect_eq(act(), DRPC_VERDICT_CLIP, "%s", v.reason);
	cr_expect_eq(request.replicas, 3);
	expect_reason("back from the brownout");
}

Test(guard_replicas, brownout_stays_within_the_policy)
{
	policy.brownout = true;
	policy.min_replicas = 1;
	request.replicas = request.local_replicas = 1;
	request.brownout = true;
	judge();
	expect_untouched();
	policy.mode = DRPC_MODE_RECOMMEND;
	policy.min_replicas = 0;
	judge();
	cr_expect_not(v.write);
	cr_expect_eq(v.kind, DRPC_VERDICT_RECOMMEND);
}
