// SPDX-License-Identifier: Apache-2.0
#include "agent/plan/brownout.h"

#include <criterion/criterion.h>

#include "lib/util.h"

#define SEC DRPC_NSEC_PER_SEC

enum { FRONT, ADS, MAIL, COUNT };

static struct drpc_guard_params params;
static struct drpc_policy policy[COUNT];
static struct drpc_brownout_state state[COUNT];
static struct drpc_brownout_item items[COUNT];
static struct drpc_brownout node;
static uint64_t now;
static double busy;

static void setup(void)
{
	drpc_guard_params_defaults(&params);
	node = (struct drpc_brownout){0};
	now = 1000 * SEC;
	for (size_t i = 0; i < COUNT; i++) {
		drpc_policy_defaults(&policy[i], 2000, 1 << 30);
		policy[i].mode = DRPC_MODE_ACT;
		policy[i].brownout = i != FRONT;
		policy[i].min_replicas = i == FRONT;
		state[i] = (struct drpc_brownout_state){0};
		items[i] = (struct drpc_brownout_item){
			.policy = &policy[i], .state = &state[i], .replicas = 1, .use_mcpu = 300};
	}
	items[ADS].use_mcpu = 800;
	items[ADS].replicas = 2;
	items[FRONT].p99_over_slo = 2;
	busy = 1;
}

TestSuite(brownout, .init = setup);

/* Who is to act after `seconds` of the same; COUNT for none. */
static size_t after(unsigned int seconds)
{
	now += seconds * SEC;
	drpc_brownout_judge(&params, 2000, busy, &node, items, COUNT, now);
	for (size_t i = 0; i < COUNT; i++) {
		if (items[i].act)
			return i;
	}
	return COUNT;
}

static void leave(size_t i)
{
	drpc_brownout_left(&state[i], items[i].replicas, items[i].use_mcpu, now);
	items[i].replicas = 0;
	items[i].use_mcpu = 0;
}

static void come_back(size_t i)
{
	items[i].replicas = state[i].had_replicas;
	drpc_brownout_returned(&state[i], now);
}

Test(brownout, the_one_that_frees_most_leaves_first)
{
	cr_expect_eq(after(0), COUNT, "a moment is none");
	cr_expect_eq(after(1), COUNT);
	cr_expect_eq(after(1), ADS);
	cr_expect_eq(items[ADS].to, 0);
	leave(ADS);
	cr_expect_eq(after(1), COUNT, "what that gives is seen first");
	cr_expect_eq(after(1), MAIL);
}

Test(brownout, nobody_leaves_without_need)
{
	after(0);
	items[FRONT].p99_over_slo = 0.9F;
	cr_expect_eq(after(10), COUNT, "the objective is met");
	items[FRONT].p99_over_slo = 2;
	busy = 0.6;
	cr_expect_eq(after(10), COUNT, "there is CPU: limits and replicas are the cure");
	busy = -1;
	cr_expect_eq(after(10), COUNT, "nobody knows");
	busy = 1;
	policy[FRONT].mode = DRPC_MODE_RECOMMEND;
	cr_expect_eq(after(10), COUNT, "for one that is not acted for");
	policy[FRONT].mode = DRPC_MODE_ACT;
	items[FRONT].p99_over_slo = 0;
	items[ADS].p99_over_slo = 5;
	cr_expect_eq(after(10), COUNT, "what can be done without does not drive others out");
}

Test(brownout, clients_that_give_up_count)
{
	items[FRONT].p99_over_slo = 0;
	items[FRONT].lost = 0.5;
	items[FRONT].cpu_pressure = 0.9F;
	policy[FRONT].slo_p99_ns = SEC;
	after(0);
	cr_expect_eq(after(2), ADS);
	items[FRONT].cpu_pressure = 0;
	cr_expect_eq(after(2), COUNT, "they give up for another reason");
	cr_expect_eq(after(2), COUNT);
}

Test(brownout, who_may_not_leave)
{
	after(0);
	policy[ADS].min_replicas = 1;
	cr_expect_eq(after(3), MAIL, "the policy keeps one");
	items[MAIL].paused = true;
	cr_expect_eq(after(3), COUNT);
	items[MAIL].paused = false;
	items[MAIL].blocked = true;
	cr_expect_eq(after(3), COUNT);
	items[MAIL].blocked = false;
	items[MAIL].use_mcpu = 10;
	cr_expect_eq(after(3), COUNT, "it frees nothing");
}

Test(brownout, back_when_there_is_room)
{
	after(0);
	cr_assert_eq(after(2), ADS);
	leave(ADS);
	items[FRONT].p99_over_slo = 0.5F;
	busy = 0.7;
	after(0);
	cr_expect_eq(after(40), COUNT, "0.7 and its 0.44 do not fit");
	busy = 0.4;
	cr_expect_eq(after(0), ADS, "there has been room long enough");
	cr_expect_eq(items[ADS].to, 2, "as many as it had");
	items[FRONT].p99_over_slo = 1.5F;
	cr_expect_eq(after(1), COUNT, "not while anybody misses");
	items[FRONT].p99_over_slo = 0.5F;
	cr_expect_eq(after(0), COUNT);
	cr_expect_eq(after(29), COUNT);
	cr_expect_eq(after(1), ADS);
}

Test(brownout, one_that_cannot_stay_comes_back_later_each_time)
{
	unsigned int waited = 30;

	for (int round = 0; round < 3; round++) {
		items[ADS].use_mcpu = 800;
		items[FRONT].p99_over_slo = 2;
		busy = 1;
		after(0);
		cr_assert_eq(after(2), ADS);
		leave(ADS);
		items[FRONT].p99_over_slo = 0.5F;
		busy = 0.2;
		after(0);
		cr_expect_eq(after(waited - 1), COUNT, "round %d", round);
		cr_expect_eq(after(1), ADS, "round %d", round);
		come_back(ADS);
		waited *= 2;
	}
}
