// SPDX-License-Identifier: Apache-2.0
/* The node's capacity among several deployments. */
#include <criterion/criterion.h>
#include <string.h>

#include "agent/plan/guard.h"
#include "lib/util.h"

#define COUNT 3
#define NOW   (1000 * DRPC_NSEC_PER_SEC)

static struct drpc_guard_params params;
static struct drpc_guard_node node;
static struct drpc_policy policy[COUNT];
static struct drpc_guard_state state[COUNT];
static struct drpc_observation observation[COUNT];
static struct drpc_guard_request request[COUNT];
static struct drpc_verdict v[COUNT];
static float raw[COUNT][DRPC_OUT_COUNT];

/* Three deployments of 1000m and 1 GiB each, all in use, all asking for 1300m, on 4 CPUs. */
static void setup(void)
{
	drpc_guard_params_defaults(&params);
	node = (struct drpc_guard_node){.cpu_mcpu = 4000, .memory_bytes = 4ULL << 30};
	for (int i = 0; i < COUNT; i++) {
		drpc_policy_defaults(&policy[i], 8000, 16ULL << 30);
		policy[i].mode = DRPC_MODE_ACT;
		policy[i].max_replicas = 5;
		policy[i].min_cpu_mcpu = 200;
		memset(&state[i], 0, sizeof(state[i]));
		observation[i] = (struct drpc_observation){.coverage = 1, .now_ns = NOW};
		memset(raw[i], 0, sizeof(raw[i]));
		raw[i][DRPC_OUT_CPU] = 1;
		request[i] = (struct drpc_guard_request){
			.policy = &policy[i],
			.state = &state[i],
			.observation = &observation[i],
			.raw = raw[i],
			.window_end_ns = NOW,
			.limits = {100000, 100000, 0, DRPC_UNLIMITED, 1 << 30},
			.replicas = 1,
			.local_replicas = 1,
			.cpu_usage_mcpu = 1000,
			.mem_use_bytes = 900 << 20,
			.mem_working_set_bytes = 800 << 20,
		};
	}
}

TestSuite(guard_share, .init = setup);

static void judge(void)
{
	drpc_guard_judge(&params, &node, request, COUNT, NOW, v);
}

static uint64_t mcpu(int i)
{
	return drpc_limits_cpu_mcpu(&v[i].limits);
}

Test(guard_share, what_fits_is_granted)
{
	judge();
	for (int i = 0; i < COUNT; i++)
		cr_expect_eq(mcpu(i), 1300, "%s", v[i].reason);
}

Test(guard_share, what_does_not_fit_is_shared_out)
{
	node.cpu_mcpu = 3600;
	raw[2][DRPC_OUT_CPU] = 0.6f; /* asks for 180 */
	judge();
	/* 600 are free; asked for are 300 + 300 + 180. */
	cr_expect_eq(mcpu(0), 1230);
	cr_expect_eq(mcpu(1), 1230);
	cr_expect_eq(mcpu(2), 1138);
	cr_expect_eq(v[0].kind, DRPC_VERDICT_CLIP);
	cr_expect_not_null(strstr(v[0].reason, "230m of +300m granted, the node is short of CPU"),
			   "%s", v[0].reason);
}

Test(guard_share, missed_objectives_come_first)
{
	node.cpu_mcpu = 3400;
	observation[1].features[DRPC_F_P99_SLO] = 1.5f;
	judge();
	cr_expect_eq(mcpu(1), 1300);
	cr_expect_eq(mcpu(0), 1050);
	cr_expect_eq(mcpu(2), 1050);
}

Test(guard_share, a_full_node_still_serves_who_is_in_trouble)
{
	/* All of the node is in use. CPU over others' minimum is the kernel's to share. */
	node.cpu_mcpu = 3000;
	observation[0].features[DRPC_F_THROTTLED] = 1;
	judge();
	cr_expect_eq(mcpu(0), 1300, "%s", v[0].reason);
	cr_expect_eq(mcpu(1), 1000);
	cr_expect_eq(v[1].kind, DRPC_VERDICT_REFUSE);
	/* But not past what the others' minimum leaves. */
	node.cpu_mcpu = 1500;
	judge();
	cr_expect_eq(mcpu(0), 1100);
}

Test(guard_share, everybody_in_trouble_shares_alike)
{
	node.cpu_mcpu = 3300;
	for (int i = 0; i < COUNT; i++)
		observation[i].features[DRPC_F_P99_SLO] = 2;
	judge();
	for (int i = 0; i < COUNT; i++)
		cr_expect_eq(mcpu(i), 1100);
}

Test(guard_share, wide_limits_that_nobody_uses_block_nobody)
{
	/* Fixed limits often add up to more than the node: they are caps, not reservations. */
	node.cpu_mcpu = 2000;
	for (int i = 1; i < COUNT; i++) {
		raw[i][DRPC_OUT_CPU] = 0;
		request[i].limits.cpu_quota_usec = DRPC_UNLIMITED;
		request[i].cpu_usage_mcpu = 100;
	}
	judge();
	cr_expect_eq(mcpu(0), 1300, "%s", v[0].reason);
}

Test(guard_share, what_runs_beside_counts)
{
	node.other_cpu_mcpu = 900;
	judge();
	for (int i = 0; i < COUNT; i++)
		cr_expect_eq(mcpu(i), 1033, "%s", v[i].reason);
}

Test(guard_share, half_of_the_way_into_the_policy_is_no_way)
{
	for (int i = 0; i < COUNT; i++)
		policy[i].min_cpu_mcpu = 1300;
	node.cpu_mcpu = 3600;
	judge();
	for (int i = 0; i < COUNT; i++)
		cr_expect_eq(mcpu(i), 1000, "%s", v[i].reason);
}

Test(guard_share, memory_is_never_promised_twice)
{
	for (int i = 0; i < COUNT; i++) {
		raw[i][DRPC_OUT_CPU] = 0;
		raw[i][DRPC_OUT_MEMORY] = i == 0;
	}
	observation[0].features[DRPC_F_MEM_PRESSURE] = 0.5f;
	/* The others hold 990 MiB each (use and margin); 1 GiB stands; 20 MiB are left. */
	node.memory_bytes = (1024 + 2 * 990 + 20) * DRPC_MIB;
	judge();
	cr_expect_leq(v[0].limits.mem_max_bytes, (1024 + 21) * DRPC_MIB);
	cr_expect_geq(v[0].limits.mem_max_bytes, (1024 + 19) * DRPC_MIB);
	cr_expect_not_null(strstr(v[0].reason, "short of memory"), "%s", v[0].reason);
}

Test(guard_share, a_replica_counts_whole)
{
	for (int i = 0; i < COUNT; i++) {
		raw[i][DRPC_OUT_CPU] = 0;
		raw[i][DRPC_OUT_REPLICAS] = i == 0;
	}
	node.cpu_mcpu = 3500;
	judge();
	cr_expect_eq(v[0].replicas, 1);
	cr_expect_not_null(strstr(v[0].reason, "scale-out refused, the node is short of CPU"), "%s",
			   v[0].reason);
	node.cpu_mcpu = 5000;
	node.memory_bytes = 3ULL << 30;
	judge();
	cr_expect_eq(v[0].replicas, 1);
	cr_expect_not_null(strstr(v[0].reason, "short of memory"), "%s", v[0].reason);
	node.memory_bytes = 8ULL << 30;
	judge();
	cr_expect_eq(v[0].replicas, 2, "%s", v[0].reason);
}

Test(guard_share, a_replica_without_limits_counts_as_it_is_used)
{
	for (int i = 0; i < COUNT; i++) {
		raw[i][DRPC_OUT_CPU] = 0;
		raw[i][DRPC_OUT_REPLICAS] = i == 0;
	}
	request[0].limits.cpu_quota_usec = DRPC_UNLIMITED;
	request[0].limits.mem_max_bytes = request[0].limits.mem_high_bytes = DRPC_UNLIMITED;
	request[0].cpu_usage_mcpu = 300;
	request[0].mem_use_bytes = 100 << 20;
	judge();
	cr_expect_eq(v[0].replicas, 2, "%s", v[0].reason);
	/* All of the node is in use. */
	node.other_cpu_mcpu = node.cpu_mcpu;
	judge();
	cr_expect_eq(v[0].replicas, 1);
	cr_expect_not_null(strstr(v[0].reason, "scale-out refused"), "%s", v[0].reason);
}

Test(guard_share, replicas_on_the_node_count_each)
{
	request[0].replicas = 5;
	request[0].local_replicas = 3; /* two live elsewhere */
	raw[1][DRPC_OUT_CPU] = raw[2][DRPC_OUT_CPU] = 0;
	node.cpu_mcpu = 3000 + 2000 + 300; /* 300 for three of them */
	judge();
	cr_expect_eq(mcpu(0), 1100, "%s", v[0].reason);
}

Test(guard_share, recommendations_take_nothing_from_acting)
{
	policy[0].mode = DRPC_MODE_RECOMMEND;
	observation[0].features[DRPC_F_P99_SLO] = 9;
	node.cpu_mcpu = 3700;
	judge();
	cr_expect_eq(mcpu(1), 1300);
	cr_expect_eq(mcpu(2), 1300);
	cr_expect_eq(mcpu(0), 1100, "what the acting ones leave");
	cr_expect_eq(v[0].kind, DRPC_VERDICT_RECOMMEND);
	cr_expect_not(v[0].write);
}

Test(guard_share, unknown_capacity_shares_nothing_out)
{
	node = (struct drpc_guard_node){0};
	judge();
	for (int i = 0; i < COUNT; i++)
		cr_expect_eq(mcpu(i), 1300);
}

Test(guard_share, nobody_is_nothing)
{
	drpc_guard_judge(&params, &node, NULL, 0, NOW, NULL);
}
