/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the guard on one deployment share; each file has its own copy of the state. */
#pragma once

#include <criterion/criterion.h>
#include <string.h>

#include "agent/plan/guard.h"
#include "lib/util.h"

#define SEC  DRPC_NSEC_PER_SEC
#define MSEC DRPC_NSEC_PER_MSEC

/* One deployment of one replica in act mode: 1000m, 512 MiB, quiet; time 1000 s. */
static struct drpc_guard_params params;
static struct drpc_guard_node node;
static struct drpc_policy policy;
static struct drpc_guard_state state;
static struct drpc_observation observation;
static struct drpc_guard_request request;
static struct drpc_verdict v;
static float raw[DRPC_OUT_COUNT];
static uint64_t now;

static inline void setup(void)
{
	drpc_guard_params_defaults(&params);
	node = (struct drpc_guard_node){.cpu_mcpu = 8000, .memory_bytes = 16ULL << 30};
	drpc_policy_defaults(&policy, 8000, 16ULL << 30);
	policy.mode = DRPC_MODE_ACT;
	memset(&state, 0, sizeof(state));
	memset(raw, 0, sizeof(raw));
	now = 1000 * SEC;
	observation = (struct drpc_observation){.coverage = 1, .now_ns = now};
	observation.features[DRPC_F_REPLICAS] = 1;
	request = (struct drpc_guard_request){
		.policy = &policy,
		.state = &state,
		.observation = &observation,
		.raw = raw,
		.window_end_ns = now,
		.limits = {100000, 100000, 0, DRPC_UNLIMITED, 512 << 20},
		.replicas = 1,
		.local_replicas = 1,
		.cpu_usage_mcpu = 300,
		.mem_use_bytes = 200 << 20,
		.mem_working_set_bytes = 150 << 20,
	};
}

static inline void judge(void)
{
	drpc_guard_judge(&params, &node, &request, 1, now, &v);
}

/* Judges, and if it may be written, writes: the limits become the container's. */
static inline enum drpc_verdict_kind act(void)
{
	request.window_end_ns = now;
	judge();
	if (v.write) {
		drpc_guard_commit(&params, &state, &observation, &v, now);
		request.limits = v.limits;
		request.replicas = request.local_replicas = v.replicas;
	}
	return v.kind;
}

#define expect_reason(text) cr_expect_not_null(strstr(v.reason, text), "reason: %s", v.reason)

static inline void expect_untouched(void)
{
	cr_expect_not(v.write);
	cr_expect(drpc_limits_equal(&v.limits, &request.limits));
	cr_expect_eq(v.replicas, request.replicas);
	cr_expect_gt(strlen(v.reason), 0);
}
