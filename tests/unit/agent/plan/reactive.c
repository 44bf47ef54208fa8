// SPDX-License-Identifier: Apache-2.0
#include "agent/plan/reactive.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "lib/util.h"

/* A quiet deployment, well inside every limit: nothing to do. */
static float f[DRPC_F_COUNT], raw[DRPC_OUT_COUNT];

static void setup(void)
{
	memset(f, 0, sizeof(f));
	f[DRPC_F_CPU_UTIL] = 0.62f;
	f[DRPC_F_MEM_UTIL] = 0.75f;
	f[DRPC_F_REPLICAS] = 1;
	f[DRPC_F_RATE] = f[DRPC_F_RATE_PRED] = 0.5f;
	f[DRPC_F_P99_SLO] = 0.5f;
	f[DRPC_F_QUEUE_SHARE] = 0.1f;
}

TestSuite(reactive, .init = setup);

static float cpu(void)
{
	drpc_reactive_decide(f, raw);
	return raw[DRPC_OUT_CPU];
}

static float memory(void)
{
	drpc_reactive_decide(f, raw);
	return raw[DRPC_OUT_MEMORY];
}

static float replicas(void)
{
	drpc_reactive_decide(f, raw);
	return raw[DRPC_OUT_REPLICAS];
}

Test(reactive, quiet_is_left_alone)
{
	cr_expect_eq(cpu(), 0);
	cr_expect_eq(memory(), 0);
	cr_expect_eq(replicas(), 0);
}

Test(reactive, throttling_raises_at_once)
{
	f[DRPC_F_THROTTLED] = 0.5f;
	cr_expect_eq(cpu(), 0, "the objective is met with room: throttling costs nobody anything");
	f[DRPC_F_P99_SLO] = 0.7f;
	cr_expect_eq(cpu(), 1);
	f[DRPC_F_P99_SLO] = 0; /* no objective */
	cr_expect_eq(cpu(), 1);
	f[DRPC_F_THROTTLED] = 0.19f;
	cr_expect_eq(cpu(), 0);
	f[DRPC_F_P99_SLO] = 0.3f;
	f[DRPC_F_THROTTLED] = 0.6f;
	cr_expect_gt(cpu(), DRPC_DEAD_BAND, "most of the time is too much");
}

Test(reactive, a_missed_objective_raises_where_cpu_is_the_reason)
{
	f[DRPC_F_P99_SLO] = 1.01f;
	cr_expect_leq(cpu(), 0, "neither busy nor throttled: CPU would not help");
	f[DRPC_F_CPU_UTIL] = 0.7f;
	cr_expect_eq(cpu(), 1);
	f[DRPC_F_CPU_UTIL] = 0.3f;
	f[DRPC_F_THROTTLED] = 0.1f;
	cr_expect_eq(cpu(), 1);
	f[DRPC_F_P99_SLO] = 0.9f;
	cr_expect(cpu() > DRPC_DEAD_BAND && raw[DRPC_OUT_CPU] < 1, "close: most of a step");
}

Test(reactive, a_queue_counts_on_a_busy_server_alone)
{
	f[DRPC_F_P99_SLO] = 0;
	f[DRPC_F_QUEUE_SHARE] = 0.9f;
	cr_expect_eq(cpu(), 0);
	f[DRPC_F_CPU_UTIL] = 0.86f;
	cr_expect_eq(cpu(), 1);
	f[DRPC_F_QUEUE_SHARE] = 0.4f;
	cr_expect_eq(cpu(), 0);
	f[DRPC_F_CPU_UTIL] = 0.9f;
	cr_expect_gt(cpu(), DRPC_DEAD_BAND);
}

Test(reactive, a_predicted_rise_is_met_in_advance)
{
	f[DRPC_F_P99_SLO] = 0;
	f[DRPC_F_RATE_PRED] = 0.75f; /* × 1.5: 0.62 becomes 0.93 */
	cr_expect_gt(cpu(), DRPC_DEAD_BAND);
	f[DRPC_F_CPU_UTIL] = 0.2f;
	f[DRPC_F_RATE_PRED] = 100; /* a forecast counts as twice at most */
	cr_expect_eq(cpu(), -0.6f);
	f[DRPC_F_RATE] = 0; /* and against nothing, as nothing */
	cr_expect_eq(cpu(), -1);
}

Test(reactive, cuts_need_clear_slack)
{
	f[DRPC_F_CPU_UTIL] = 0.55f;
	cr_expect_lt(cpu(), -DRPC_DEAD_BAND, "the objective is met with room");
	f[DRPC_F_P99_SLO] = 0;
	cr_expect_eq(cpu(), 0, "without an objective less is slack");
	f[DRPC_F_CPU_UTIL] = 0.45f;
	cr_expect_eq(cpu(), -0.6f);
	f[DRPC_F_QUEUE_SHARE] = 0.6f;
	cr_expect_eq(cpu(), 0, "a queue and no objective that says it is fine");
	f[DRPC_F_CPU_UTIL] = 0.2f;
	cr_expect_eq(cpu(), -1);
	f[DRPC_F_THROTTLED] = 0.1f;
	cr_expect_eq(cpu(), 0);
	f[DRPC_F_THROTTLED] = 0;
	f[DRPC_F_P99_SLO] = 0.61f;
	cr_expect_eq(cpu(), 0);
}

/* What a cut leads to must not ask for a raise, nor the other way round. */
Test(reactive, one_step_does_not_call_for_the_opposite)
{
	const float step = 0.3f;

	for (float util = 0.01f; util < 1; util += 0.01f) {
		for (int slo = 0; slo < 2; slo++) {
			float x;

			setup();
			f[DRPC_F_P99_SLO] = slo ? 0.5f : 0;
			f[DRPC_F_CPU_UTIL] = util;
			x = cpu();
			if (x == 0)
				continue;
			f[DRPC_F_CPU_UTIL] = util / (1 + x * step);
			cr_expect_leq(-cpu() * x, 0, "%.2f → %.2f", (double)util,
				      (double)f[DRPC_F_CPU_UTIL]);
		}
	}
}

Test(reactive, memory)
{
	f[DRPC_F_MEM_UTIL] = 0.85f;
	cr_expect(memory() > DRPC_DEAD_BAND && raw[DRPC_OUT_MEMORY] < 1);
	f[DRPC_F_MEM_UTIL] = 0.92f;
	cr_expect_eq(memory(), 1);
	f[DRPC_F_MEM_UTIL] = 0.5f;
	cr_expect_eq(memory(), -0.6f);
	f[DRPC_F_MEM_PRESSURE] = 0.01f;
	cr_expect_eq(memory(), 0, "no cut under any pressure");
	f[DRPC_F_MEM_PRESSURE] = 0.03f;
	cr_expect_gt(memory(), DRPC_DEAD_BAND);
	f[DRPC_F_MEM_PRESSURE] = 0.1f;
	cr_expect_eq(memory(), 1);
	f[DRPC_F_MEM_PRESSURE] = 0;
	f[DRPC_F_MEM_UTIL] = 0.3f;
	cr_expect_eq(memory(), -1);
	f[DRPC_F_MEM_UTIL] = 0;
	cr_expect_eq(memory(), 0, "0 is no figure");
}

Test(reactive, replicas)
{
	f[DRPC_F_REPLICAS] = 0;
	cr_expect_eq(replicas(), 1);
	setup();
	f[DRPC_F_P99_SLO] = 1.2f;
	f[DRPC_F_CPU_UTIL] = 0.4f;
	f[DRPC_F_QUEUE_SHARE] = 0.7f;
	cr_expect_eq(replicas(), 1, "workers are short, not CPU");
	cr_expect_eq(raw[DRPC_OUT_CPU], 0);
	setup();
	f[DRPC_F_P99_SLO] = 3;
	f[DRPC_F_CPU_UTIL] = 0.99f;
	cr_expect_eq(replicas(), 1);
	setup();
	f[DRPC_F_REPLICAS] = 2;
	f[DRPC_F_CPU_UTIL] = 0.29f; /* one alone would be at 0.58 */
	cr_expect_eq(replicas(), -1);
	f[DRPC_F_CPU_UTIL] = 0.31f;
	cr_expect_eq(replicas(), 0);
	f[DRPC_F_REPLICAS] = 5;
	f[DRPC_F_CPU_UTIL] = 0.45f;
	cr_expect_eq(replicas(), -1);
	f[DRPC_F_REPLICAS] = 1;
	f[DRPC_F_CPU_UTIL] = 0.01f;
	cr_expect_eq(replicas(), 0, "never the last one");
}

Test(reactive, outputs_stay_in_range_whatever_comes)
{
	static const float values[] = {NAN, INFINITY, -INFINITY, -1, 0, 0.5f, 1, 3, 1e30f};
	unsigned int seed = 12345;

	for (int round = 0; round < 20000; round++) {
		for (int i = 0; i < DRPC_F_COUNT; i++) {
			seed = seed * 1664525 + 1013904223;
			f[i] = values[(seed >> 16) % DRPC_ARRAY_SIZE(values)];
		}
		drpc_reactive_decide(f, raw);
		for (int i = 0; i < DRPC_OUT_COUNT; i++)
			cr_assert(raw[i] >= -1 && raw[i] <= 1);
	}
	setup();
	f[DRPC_F_THROTTLED] = 1;
	f[DRPC_F_P99_SLO] = 2;
	f[DRPC_F_RATE] = NAN;
	drpc_reactive_decide(f, raw);
	for (int i = 0; i < DRPC_OUT_COUNT; i++)
		cr_expect_eq(raw[i], 0);
}

Test(reactive, planner)
{
	struct drpc_planner *planner = NULL;
	struct drpc_observation observation = {.coverage = 1};

	f[DRPC_F_THROTTLED] = 1;
	memcpy(observation.features, f, sizeof(f));
	cr_assert_eq(drpc_planner_reactive_new(&planner), 0);
	cr_expect_str_eq(planner->ops->name, "reactive");
	cr_expect_eq(planner->ops->decide(planner, &observation, raw), 0);
	cr_expect_gt(raw[DRPC_OUT_CPU], DRPC_DEAD_BAND);
	drpc_planner_free(&planner);
	cr_expect_null(planner);
	drpc_planner_free(&planner);
}
