// SPDX-License-Identifier: Apache-2.0
#include "agent/policy.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "lib/util.h"

static struct drpc_policy policy;
static char why[512];

static void setup(void)
{
	drpc_policy_defaults(&policy, 8000, 16ULL << 30);
	why[0] = '\0';
}

TestSuite(policy, .init = setup);

static int set(const char *key, const char *value)
{
	return drpc_policy_set(&policy, key, value, why, sizeof(why));
}

Test(policy, defaults_are_sound_and_write_nothing)
{
	cr_expect_eq(policy.mode, DRPC_MODE_RECOMMEND);
	cr_expect_eq(policy.slo_p99_ns, 0);
	cr_expect_eq(policy.min_cpu_mcpu, 50);
	cr_expect_eq(policy.max_cpu_mcpu, 8000);
	cr_expect_eq(policy.min_memory_bytes, 16 << 20);
	cr_expect_eq(policy.max_memory_bytes, 16ULL << 30);
	cr_expect_eq(policy.min_replicas, 1);
	cr_expect_eq(policy.max_replicas, 1);
	cr_expect(policy.memory_managed);
	cr_expect_not(policy.brownout);
	cr_expect_eq(drpc_policy_check(&policy, why, sizeof(why)), 0, "%s", why);
}

Test(policy, odd_nodes_give_sound_defaults)
{
	const uint64_t sizes[] = {0, 1, 49, 50, UINT64_MAX};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(sizes); i++) {
		drpc_policy_defaults(&policy, sizes[i], sizes[i]);
		cr_expect_eq(drpc_policy_check(&policy, why, sizeof(why)), 0, "%s", why);
	}
	drpc_policy_defaults(&policy, 0, 0);
	cr_expect_gt(policy.max_cpu_mcpu, 1000000, "an unknown node must not become a small one");
}

Test(policy, every_key)
{
	cr_expect_eq(set("slo-p99", "200ms"), 0);
	cr_expect_eq(policy.slo_p99_ns, 200000000);
	cr_expect_eq(set("min-cpu", "0.1"), 0);
	cr_expect_eq(policy.min_cpu_mcpu, 100);
	cr_expect_eq(set("max-cpu", "1500m"), 0);
	cr_expect_eq(policy.max_cpu_mcpu, 1500);
	cr_expect_eq(set("min-memory", "64Mi"), 0);
	cr_expect_eq(policy.min_memory_bytes, 64 << 20);
	cr_expect_eq(set("max-memory", "500M"), 0);
	cr_expect_eq(policy.max_memory_bytes, 500000000);
	cr_expect_eq(set("replicas", "1..5"), 0);
	cr_expect_eq(policy.min_replicas, 1);
	cr_expect_eq(policy.max_replicas, 5);
	cr_expect_eq(set("replicas", "3"), 0);
	cr_expect_eq(policy.min_replicas, 3);
	cr_expect_eq(policy.max_replicas, 3);
	cr_expect_eq(set("brownout", "true"), 0);
	cr_expect(policy.brownout);
	cr_expect_eq(set("mode", "act"), 0);
	cr_expect_eq(policy.mode, DRPC_MODE_ACT);
	cr_expect_eq(set("cpu-step", "25%"), 0);
	cr_expect_float_eq(policy.cpu_step, 0.25, 1e-12);
	cr_expect_eq(set("memory-step", "0.1"), 0);
	cr_expect_float_eq(policy.memory_step, 0.1, 1e-12);
	cr_expect_eq(set("memory-managed", "false"), 0);
	cr_expect_not(policy.memory_managed);
	cr_expect_eq(drpc_policy_check(&policy, why, sizeof(why)), 0, "%s", why);
}

static const struct bad {
	const char *key, *value, *form; /* what the sentence must offer */
} bads[] = {
	{"slo-p99", "200", "200ms"},
	{"slo-p99", "0ms", "at most an hour"},
	{"slo-p99", "2h", "1.5s"},
	{"min-cpu", "5m", "at least 10m"},
	{"min-cpu", "half", "500m"},
	{"max-cpu", "1e9", "0.5"},
	{"max-cpu", "999999999", "number of CPUs"},
	{"min-memory", "1000", "at least 1Mi"},
	{"max-memory", "64MB", "64Mi"},
	{"replicas", "5..1", "1..5"},
	{"replicas", "0", "A..B"},
	{"replicas", "1..", "A..B"},
	{"replicas", "..5", "A..B"},
	{"replicas", "1...5", "A..B"},
	{"replicas", "99999999999999999999..5", "A..B"},
	{"replicas", "1..10001", "at most 10000"},
	{"brownout", "yes", "true or false"},
	{"mode", "ACT", "off, recommend or act"},
	{"cpu-step", "0", "above 0"},
	{"memory-step", "200%", "at most 100%"},
};

Test(policy, bad_values_say_key_value_and_form)
{
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(bads); i++) {
		struct drpc_policy before = policy;

		cr_expect_eq(set(bads[i].key, bads[i].value), -EINVAL, "%s %s", bads[i].key,
			     bads[i].value);
		cr_expect(strstr(why, bads[i].key) && strstr(why, bads[i].value) &&
				  strstr(why, bads[i].form),
			  "no \"%s\" in: %s", bads[i].form, why);
		cr_expect_eq(memcmp(&before, &policy, sizeof(policy)), 0, "%s %s changed it",
			     bads[i].key, bads[i].value);
	}
}

Test(policy, unknown_key_lists_the_keys)
{
	struct drpc_policy before = policy;

	cr_expect_eq(set("slo-p9", "200ms"), -ENOENT);
	cr_expect_str_eq(why,
			 "unknown key \"slo-p9\" (value \"200ms\"); the keys are mode, slo-p99, "
			 "min-cpu, max-cpu, min-memory, max-memory, replicas, brownout, cpu-step, "
			 "memory-step, memory-managed");
	cr_expect_eq(memcmp(&before, &policy, sizeof(policy)), 0);
}

Test(policy, hostile_text_is_cut_and_cleaned)
{
	char value[300];

	memset(value, '\x1b', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	cr_expect_eq(set("mode", value), -EINVAL);
	cr_expect_null(strchr(why, '\x1b'));
	cr_expect_not_null(strstr(why, "off, recommend or act"));
	cr_expect_eq(set(value, "1"), -ENOENT);
	cr_expect_null(strchr(why, '\x1b'));
	/* A small buffer is cut, not overrun. */
	cr_expect_eq(drpc_policy_set(&policy, "mode", "x", why, 4), -EINVAL);
	cr_expect_eq(strlen(why), 3);
}

Test(policy, bounds_in_order)
{
	const struct drpc_policy sound = policy;

	policy.min_cpu_mcpu = policy.max_cpu_mcpu + 1;
	cr_expect_eq(drpc_policy_check(&policy, why, sizeof(why)), -EINVAL);
	cr_expect_not_null(strstr(why, "min-cpu 8001m is above max-cpu 8000m"), "%s", why);

	policy = sound;
	policy.min_memory_bytes = policy.max_memory_bytes + 1;
	cr_expect_eq(drpc_policy_check(&policy, why, sizeof(why)), -EINVAL);
	cr_expect_not_null(strstr(why, "min-memory"), "%s", why);

	policy = sound;
	policy.min_replicas = 0;
	cr_expect_eq(drpc_policy_check(&policy, why, sizeof(why)), -EINVAL);
	cr_expect_not_null(strstr(why, "brownout"), "%s", why);
	policy.brownout = true;
	cr_expect_eq(drpc_policy_check(&policy, why, sizeof(why)), 0);

	policy = sound;
	policy.cpu_step = NAN;
	cr_expect_eq(drpc_policy_check(&policy, why, sizeof(why)), -EINVAL);
	policy = sound;
	policy.mode = (enum drpc_mode)9;
	cr_expect_eq(drpc_policy_check(&policy, why, sizeof(why)), -EINVAL);
}

Test(policy, mode_names)
{
	cr_expect_str_eq(drpc_mode_name(DRPC_MODE_OFF), "off");
	cr_expect_str_eq(drpc_mode_name(DRPC_MODE_RECOMMEND), "recommend");
	cr_expect_str_eq(drpc_mode_name(DRPC_MODE_ACT), "act");
	cr_expect_str_eq(drpc_mode_name((enum drpc_mode)9), "unknown");
}
