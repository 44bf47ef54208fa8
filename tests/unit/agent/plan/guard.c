// SPDX-License-Identifier: Apache-2.0
#include "agent/plan/guard.h"

#include <math.h>

#include "tests/unit/agent/plan/guard_fixture.h"

TestSuite(guard, .init = setup);

Test(guard, allows_what_is_within_every_bound)
{
	raw[DRPC_OUT_CPU] = 1;
	judge();
	cr_expect_eq(v.kind, DRPC_VERDICT_ALLOW, "%s", v.reason);
	cr_expect(v.write);
	cr_expect_eq(v.limits.cpu_quota_usec, 130000);
	cr_expect_eq(v.limits.mem_max_bytes, 512 << 20);
	cr_expect_eq(v.limits.mem_high_bytes, DRPC_UNLIMITED, "nobody asked about memory");
}

Test(guard, holds_where_nothing_is_asked)
{
	raw[DRPC_OUT_CPU] = 0.5f;
	judge();
	cr_expect_eq(v.kind, DRPC_VERDICT_HOLD);
	expect_untouched();
}

Test(guard, modes)
{
	raw[DRPC_OUT_CPU] = 1;
	policy.mode = DRPC_MODE_RECOMMEND;
	judge();
	cr_expect_eq(v.kind, DRPC_VERDICT_RECOMMEND);
	cr_expect_not(v.write);
	cr_expect_eq(v.limits.cpu_quota_usec, 130000, "shown, not written");
	policy.mode = DRPC_MODE_OFF;
	judge();
	cr_expect_eq(v.kind, DRPC_VERDICT_OFF);
	expect_untouched();
	policy.mode = DRPC_MODE_ACT;
	request.paused = true;
	judge();
	cr_expect_eq(v.kind, DRPC_VERDICT_PAUSED);
	expect_untouched();
}

Test(guard, freezes_on_stale_windows)
{
	raw[DRPC_OUT_CPU] = 1;
	request.window_end_ns = 0;
	judge();
	cr_expect_eq(v.kind, DRPC_VERDICT_FREEZE);
	expect_reason("no measurement yet");
	expect_untouched();
	request.window_end_ns = now - 5 * 200 * MSEC;
	judge();
	cr_expect_eq(v.kind, DRPC_VERDICT_ALLOW, "five intervals old is not yet stale");
	request.window_end_ns--;
	judge();
	cr_expect_eq(v.kind, DRPC_VERDICT_FREEZE);
	expect_reason("1.0 s old");
	request.window_end_ns = now + SEC;
	judge();
	cr_expect_eq(v.kind, DRPC_VERDICT_FREEZE);
	expect_reason("future");
}

Test(guard, freezes_on_features_that_are_no_numbers)
{
	raw[DRPC_OUT_CPU] = 1;
	for (int i = 0; i < DRPC_F_COUNT; i++) {
		observation.features[i] = i % 2 ? NAN : INFINITY;
		judge();
		cr_expect_eq(v.kind, DRPC_VERDICT_FREEZE);
		expect_reason(drpc_feature_names[i]);
		expect_untouched();
		observation.features[i] = 0;
	}
}

Test(guard, low_coverage_lowers_nothing)
{
	observation.coverage = 0.5;
	raw[DRPC_OUT_CPU] = -1;
	judge();
	cr_expect_eq(v.kind, DRPC_VERDICT_REFUSE);
	expect_reason("cut refused, only 50% of the traffic was seen");
	expect_untouched();
	/* A raise needs a witness: p99 comes from the histograms that saw half, throttling not. */
	raw[DRPC_OUT_CPU] = 1;
	observation.features[DRPC_F_P99_SLO] = 2;
	judge();
	cr_expect_eq(v.kind, DRPC_VERDICT_REFUSE);
	expect_untouched();
	observation.features[DRPC_F_THROTTLED] = 0.5f;
	judge();
	cr_expect(v.write, "%s", v.reason);
	observation.coverage = NAN;
	observation.features[DRPC_F_THROTTLED] = 0;
	judge();
	expect_untouched();
}

Test(guard, refuses_outputs_that_are_not_finite)
{
	raw[DRPC_OUT_CPU] = NAN;
	judge();
	cr_expect_eq(v.kind, DRPC_VERDICT_REFUSE);
	expect_reason("no finite outputs");
	expect_untouched();
	raw[DRPC_OUT_CPU] = 1;
	raw[DRPC_OUT_REPLICAS] = INFINITY;
	judge();
	cr_expect_eq(v.kind, DRPC_VERDICT_REFUSE, "one bad output spoils all three");
	request.raw = NULL;
	judge();
	cr_expect_eq(v.kind, DRPC_VERDICT_REFUSE);
	expect_untouched();
}

Test(guard, bounds_and_steps)
{
	struct drpc_proposal far = {1000000, 512 << 20, 1};

	request.proposal = &far;
	judge();
	cr_expect_eq(v.kind, DRPC_VERDICT_CLIP);
	cr_expect_eq(v.limits.cpu_quota_usec, 130000);
	expect_reason("held to one step, 1300m");
	policy.max_cpu_mcpu = 1100;
	judge();
	cr_expect_eq(v.limits.cpu_quota_usec, 110000);
	expect_reason("held at the maximum 1100m");
	policy.max_cpu_mcpu = 1000;
	judge();
	cr_expect_eq(v.kind, DRPC_VERDICT_REFUSE);
	expect_untouched();
	far.cpu_mcpu = 0;
	policy.min_cpu_mcpu = 900;
	judge();
	cr_expect_eq(v.limits.cpu_quota_usec, 90000);
	expect_reason("held at the minimum 900m");
}

Test(guard, a_limit_outside_the_policy_is_not_moved_the_wrong_way)
{
	policy.max_cpu_mcpu = 500;
	raw[DRPC_OUT_CPU] = 1;
	judge();
	cr_expect_eq(v.kind, DRPC_VERDICT_REFUSE, "a raise must not become a cut");
	expect_untouched();
	raw[DRPC_OUT_CPU] = -0.6f;
	judge();
	cr_expect_eq(v.limits.cpu_quota_usec, 50000, "a cut goes all the way into the policy");
	request.cpu_usage_mcpu = 600;
	judge();
	cr_expect_eq(v.kind, DRPC_VERDICT_REFUSE, "but not into what is in use");
	expect_untouched();
}

Test(guard, cuts_leave_what_is_in_use)
{
	raw[DRPC_OUT_CPU] = -1;
	request.cpu_usage_mcpu = 800;
	judge();
	cr_expect_eq(v.kind, DRPC_VERDICT_CLIP);
	cr_expect_eq(v.limits.cpu_quota_usec, 88000);
	request.cpu_usage_mcpu = 950;
	judge();
	cr_expect_eq(v.kind, DRPC_VERDICT_REFUSE);
	expect_untouched();
	/* What a burst of the last seconds took is in use as well. */
	request.cpu_usage_mcpu = 100;
	request.cpu_peak_mcpu = 750;
	judge();
	cr_expect_eq(v.limits.cpu_quota_usec, 82500);
	request.cpu_peak_mcpu = 890;
	judge();
	cr_expect_eq(v.kind, DRPC_VERDICT_REFUSE);
	expect_reason("cut no lower than use and margin, 979m; cpu: too little to be worth a cut");
	expect_untouched();
}

Test(guard, unlimited_begins_at_the_policys_maximum)
{
	request.limits.cpu_quota_usec = DRPC_UNLIMITED;
	request.limits.mem_max_bytes = DRPC_UNLIMITED;
	raw[DRPC_OUT_CPU] = raw[DRPC_OUT_MEMORY] = 1;
	judge();
	cr_expect_eq(v.kind, DRPC_VERDICT_REFUSE, "there is nothing above no limit");
	expect_untouched();
	raw[DRPC_OUT_CPU] = raw[DRPC_OUT_MEMORY] = -1;
	judge();
	cr_expect_eq(v.limits.cpu_quota_usec, 560000);
	cr_expect_leq(v.limits.mem_max_bytes, policy.max_memory_bytes);
}

Test(guard, cut_interval_and_cool_down)
{
	raw[DRPC_OUT_CPU] = -1;
	cr_expect_eq(act(), DRPC_VERDICT_ALLOW);
	now += 1999 * MSEC;
	cr_expect_eq(act(), DRPC_VERDICT_REFUSE);
	expect_reason("cut 2.0 s ago (interval 2 s)");
	now += MSEC;
	cr_expect_eq(act(), DRPC_VERDICT_ALLOW, "%s", v.reason);
	raw[DRPC_OUT_CPU] = 1;
	now += 200 * MSEC;
	cr_expect_eq(act(), DRPC_VERDICT_ALLOW, "raises do not wait");
	now += 200 * MSEC;
	cr_expect_eq(act(), DRPC_VERDICT_ALLOW);
	raw[DRPC_OUT_CPU] = -1;
	now += 9999 * MSEC;
	cr_expect_eq(act(), DRPC_VERDICT_REFUSE);
	expect_reason("cool-down 10 s");
	now += MSEC;
	cr_expect_eq(act(), DRPC_VERDICT_ALLOW, "%s", v.reason);
}

Test(guard, a_change_shows_its_effect_before_anything_is_cut)
{
	raw[DRPC_OUT_MEMORY] = -1;
	cr_expect_eq(act(), DRPC_VERDICT_ALLOW);
	raw[DRPC_OUT_CPU] = -1;
	raw[DRPC_OUT_MEMORY] = 0;
	now += 999 * MSEC;
	cr_expect_eq(act(), DRPC_VERDICT_REFUSE);
	expect_reason("cpu: cut refused, the change of 1.0 s ago must show its effect first");
	now += MSEC;
	cr_expect_eq(act(), DRPC_VERDICT_ALLOW, "%s", v.reason);
	raw[DRPC_OUT_CPU] = 1;
	now += 100 * MSEC;
	cr_expect_eq(act(), DRPC_VERDICT_ALLOW, "raises do not wait: %s", v.reason);
}

Test(guard, a_p99_of_few_requests_proves_little)
{
	raw[DRPC_OUT_CPU] = raw[DRPC_OUT_MEMORY] = -1;
	observation.features[DRPC_F_P99_SLO] = 0.5f;
	observation.p99_requests = 99;
	observation.p99_span_ns = 9 * SEC;
	judge();
	cr_expect_eq(v.kind, DRPC_VERDICT_CLIP);
	expect_reason("p99 is 0.50 of the objective but rests on 99 requests (100 wanted)");
	cr_expect_eq(v.limits.cpu_quota_usec, 100000);
	cr_expect_lt(v.limits.mem_max_bytes, 512 << 20, "memory goes by pressure");

	raw[DRPC_OUT_MEMORY] = 0;
	observation.p99_requests = 100;
	judge();
	cr_expect_eq(v.kind, DRPC_VERDICT_ALLOW, "enough requests: %s", v.reason);
	observation.p99_requests = 3;
	judge();
	cr_expect_eq(v.kind, DRPC_VERDICT_REFUSE);
	expect_untouched();
	observation.p99_span_ns = 10 * SEC;
	judge();
	cr_expect_eq(v.kind, DRPC_VERDICT_ALLOW, "there are no more: %s", v.reason);
	observation.p99_span_ns = SEC;
	observation.features[DRPC_F_P99_SLO] = 0.29f;
	judge();
	cr_expect_eq(v.kind, DRPC_VERDICT_ALLOW, "the slowest is far under: %s", v.reason);
}

Test(guard, no_cut_while_overloaded)
{
	raw[DRPC_OUT_CPU] = -1;
	raw[DRPC_OUT_MEMORY] = -1;
	observation.features[DRPC_F_P99_SLO] = 1.1f;
	judge();
	cr_expect_eq(v.kind, DRPC_VERDICT_REFUSE);
	expect_reason("cpu: cut refused while the deployment is overloaded");
	expect_reason("memory: cut refused");
	expect_untouched();
}

Test(guard, rate_limit_spares_emergencies)
{
	policy.max_cpu_mcpu = 1000000;
	node.cpu_mcpu = 0;
	params.actions_per_minute = 3;
	raw[DRPC_OUT_CPU] = 1;
	for (int i = 0; i < 3; i++, now += MSEC)
		cr_expect_eq(act(), DRPC_VERDICT_ALLOW, "%s", v.reason);
	cr_expect_eq(act(), DRPC_VERDICT_REFUSE);
	expect_reason("3 actions a minute are used up");
	observation.features[DRPC_F_THROTTLED] = 0.5f;
	for (int i = 0; i < 10; i++, now += MSEC) {
		cr_expect_eq(act(), DRPC_VERDICT_ALLOW, "%s", v.reason);
		cr_expect(v.emergency);
	}
	/* However many emergencies there were, one action comes free after its own time. */
	observation.features[DRPC_F_THROTTLED] = 0;
	now += 19 * SEC;
	cr_expect_eq(act(), DRPC_VERDICT_REFUSE);
	now += 2 * SEC;
	cr_expect_eq(act(), DRPC_VERDICT_ALLOW, "%s", v.reason);
}

Test(guard, flap_budget_stops_cuts_not_raises)
{
	params.cut_after_raise_ns = params.cut_interval_ns = 0;
	params.flap_budget = 4;
	params.actions_per_minute = 1000;
	for (int i = 0; i < 5; i++) { /* four turns: up, down, up, down, up */
		raw[DRPC_OUT_CPU] = i % 2 ? -1 : 1;
		now += SEC;
		cr_expect_neq(act(), DRPC_VERDICT_REFUSE, "%s", v.reason);
	}
	raw[DRPC_OUT_CPU] = -1;
	now += 20 * SEC;
	cr_expect_eq(act(), DRPC_VERDICT_REFUSE);
	expect_reason("changed direction 4 times in 300 s");
	raw[DRPC_OUT_CPU] = 1;
	cr_expect_eq(act(), DRPC_VERDICT_ALLOW, "%s", v.reason);
	raw[DRPC_OUT_CPU] = -1;
	now += 281 * SEC;
	cr_expect_eq(act(), DRPC_VERDICT_ALLOW, "%s", v.reason);
	/* Memory has a budget of its own. */
	cr_expect_eq(state.axis[DRPC_AXIS_MEMORY].turned, 0);
}

Test(guard, a_cut_that_throttles_is_undone)
{
	observation.features[DRPC_F_THROTTLED] = 0.1f;
	raw[DRPC_OUT_CPU] = -1;
	cr_expect_eq(act(), DRPC_VERDICT_ALLOW);
	cr_expect_eq(request.limits.cpu_quota_usec, 70000);
	now += 200 * MSEC;
	observation.features[DRPC_F_THROTTLED] = 0.34f;
	raw[DRPC_OUT_CPU] = 0;
	cr_expect_eq(act(), DRPC_VERDICT_HOLD, "0.24 more is no jump");
	now += 200 * MSEC;
	observation.features[DRPC_F_THROTTLED] = 0.36f;
	raw[DRPC_OUT_CPU] = -1;
	raw[DRPC_OUT_MEMORY] = -1;
	cr_expect_eq(act(), DRPC_VERDICT_ROLLBACK, "whatever the planner says");
	cr_expect_eq(request.limits.cpu_quota_usec, 100000);
	cr_expect_eq(request.limits.mem_max_bytes, 512 << 20, "and nothing else is cut meanwhile");
	expect_reason("throttling rose from 0.10 to 0.36");
	cr_expect(v.emergency);
	/* Undone once; the next cut waits as after any raise. */
	now += 200 * MSEC;
	observation.features[DRPC_F_THROTTLED] = 0;
	raw[DRPC_OUT_MEMORY] = 0;
	cr_expect_eq(act(), DRPC_VERDICT_REFUSE);
	expect_reason("cool-down");
}

Test(guard, pressure_undoes_as_well_but_in_time_alone)
{
	raw[DRPC_OUT_CPU] = -1;
	act();
	raw[DRPC_OUT_CPU] = 0;
	observation.features[DRPC_F_CPU_PRESSURE] = 0.5f;
	now += SEC;
	cr_expect_eq(act(), DRPC_VERDICT_HOLD, "the window is over: something else happened");
	now += 60 * SEC;
	observation.features[DRPC_F_CPU_PRESSURE] = 0.1f;
	raw[DRPC_OUT_CPU] = -0.6f;
	cr_expect_eq(act(), DRPC_VERDICT_ALLOW, "%s", v.reason);
	now += 200 * MSEC;
	observation.features[DRPC_F_CPU_PRESSURE] = 0.4f;
	cr_expect_eq(act(), DRPC_VERDICT_ROLLBACK);
	cr_expect_eq(request.limits.cpu_quota_usec, 70000, "to before the last cut, no further");
}

Test(guard, a_raise_closes_the_case)
{
	raw[DRPC_OUT_CPU] = -1;
	act();
	raw[DRPC_OUT_CPU] = 1;
	now += 200 * MSEC;
	cr_expect_eq(act(), DRPC_VERDICT_ALLOW);
	raw[DRPC_OUT_CPU] = 0;
	now += 200 * MSEC;
	observation.features[DRPC_F_THROTTLED] = 1;
	cr_expect_eq(act(), DRPC_VERDICT_HOLD, "the cut is not in force any more: %s", v.reason);
}

Test(guard, a_rollback_stays_inside_the_policy)
{
	raw[DRPC_OUT_CPU] = -1;
	act();
	policy.max_cpu_mcpu = 900; /* the owner lowered it meanwhile */
	observation.features[DRPC_F_THROTTLED] = 1;
	now += 200 * MSEC;
	cr_expect_eq(act(), DRPC_VERDICT_ROLLBACK);
	cr_expect_eq(request.limits.cpu_quota_usec, 90000);
}

Test(guard, burst_never_exceeds_the_quota)
{
	request.limits.cpu_burst_usec = 90000;
	raw[DRPC_OUT_CPU] = -1;
	judge();
	cr_expect_eq(v.limits.cpu_quota_usec, 70000);
	cr_expect_eq(v.limits.cpu_burst_usec, 70000);
	params.cpu_burst = 0.5;
	judge();
	cr_expect_eq(v.limits.cpu_burst_usec, 35000);
}

Test(guard, a_limit_that_the_period_cannot_express_is_not_written)
{
	request.limits = (struct drpc_limits){1000, 1000, 0, DRPC_UNLIMITED, 512 << 20};
	policy.max_cpu_mcpu = 800; /* 0.8 ms of 1 ms: the kernel takes no less than 1 ms */
	raw[DRPC_OUT_CPU] = -1;
	judge();
	cr_expect_eq(v.kind, DRPC_VERDICT_REFUSE);
	expect_reason("cannot be written with a period of 1000 us");
	expect_untouched();
}

Test(guard, judging_changes_nothing)
{
	struct drpc_guard_state before = state;

	raw[DRPC_OUT_CPU] = 1;
	for (int i = 0; i < 100; i++)
		judge();
	cr_expect_eq(memcmp(&before, &state, sizeof(state)), 0);
	cr_expect_eq(v.kind, DRPC_VERDICT_ALLOW);
}

Test(guard, names)
{
	cr_expect_str_eq(drpc_verdict_name(DRPC_VERDICT_HOLD), "hold");
	cr_expect_str_eq(drpc_verdict_name(DRPC_VERDICT_OFF), "off");
	cr_expect_str_eq(drpc_verdict_name((enum drpc_verdict_kind)99), "unknown");
}
