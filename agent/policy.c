// SPDX-License-Identifier: Apache-2.0
#include "agent/policy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/units.h"
#include "lib/util.h"

/* The least the kernel lets a container have: 1 ms of quota in the usual period of 100 ms. */
#define CPU_LEAST_MCPU	   10ULL
#define CPU_MOST_MCPU	   100000000ULL
#define MEMORY_LEAST_BYTES DRPC_MIB
#define MEMORY_MOST_BYTES  ((uint64_t)INT64_MAX)
#define REPLICAS_MOST	   10000U
#define SLO_MOST_NS	   (3600 * DRPC_NSEC_PER_SEC)

/* Foreign text in messages: quoted, cut, control characters replaced. */
#define SHOWN_MAX 64

static const char *const mode_names[] = {
	[DRPC_MODE_OFF] = "off",
	[DRPC_MODE_RECOMMEND] = "recommend",
	[DRPC_MODE_ACT] = "act",
};

/* Each parses its value into the policy: 0, -EINVAL (form) or -ERANGE (size). */
static int set_duration(uint64_t *field, const char *value)
{
	uint64_t ns;
	int r = drpc_unit_duration_ns(value, &ns);

	if (r < 0)
		return r;
	if (ns == 0 || ns > SLO_MOST_NS)
		return -ERANGE;
	*field = ns;
	return 0;
}

static int set_cpu(uint64_t *field, const char *value)
{
	uint64_t mcpu;
	int r = drpc_unit_cpu_mcpu(value, &mcpu);

	if (r < 0)
		return r;
	if (mcpu < CPU_LEAST_MCPU || mcpu > CPU_MOST_MCPU)
		return -ERANGE;
	*field = mcpu;
	return 0;
}

static int set_memory(uint64_t *field, const char *value)
{
	uint64_t bytes;
	int r = drpc_unit_bytes(value, &bytes);

	if (r < 0)
		return r;
	if (bytes < MEMORY_LEAST_BYTES || bytes > MEMORY_MOST_BYTES)
		return -ERANGE;
	*field = bytes;
	return 0;
}

static int set_step(double *field, const char *value)
{
	double share;
	int r = drpc_unit_share(value, &share);

	if (r < 0)
		return r;
	if (share <= 0)
		return -ERANGE;
	*field = share;
	return 0;
}

static int set_mode(enum drpc_mode *field, const char *value)
{
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(mode_names); i++) {
		if (strcmp(value, mode_names[i]) == 0) {
			*field = (enum drpc_mode)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* "N" or "A..B" */
static int set_replicas(struct drpc_policy *policy, const char *value)
{
	const char *dots = strstr(value, "..");
	char first[16];
	uint32_t low = 0, high = 0;
	int r;

	if (dots) {
		if ((size_t)(dots - value) >= sizeof(first))
			return -EINVAL;
		memcpy(first, value, (size_t)(dots - value));
		first[dots - value] = '\0';
		r = drpc_unit_count(first, &low);
		if (r == 0)
			r = drpc_unit_count(dots + 2, &high);
	} else {
		r = drpc_unit_count(value, &low);
		high = low;
	}
	if (r < 0)
		return r;
	if (high < low || high == 0 || high > REPLICAS_MOST)
		return -ERANGE;
	policy->min_replicas = low;
	policy->max_replicas = high;
	return 0;
}

enum key_kind {
	KEY_DURATION,
	KEY_CPU,
	KEY_MEMORY,
	KEY_STEP,
	KEY_BOOL,
	KEY_MODE,
	KEY_REPLICAS,
};

static const char *const kind_forms[] = {
	[KEY_DURATION] = DRPC_FORM_DURATION ", at most an hour",
	[KEY_CPU] = DRPC_FORM_CPU ", at least 10m",
	[KEY_MEMORY] = DRPC_FORM_BYTES ", at least 1Mi",
	[KEY_STEP] = DRPC_FORM_SHARE ", above 0 and at most 100%",
	[KEY_BOOL] = DRPC_FORM_BOOL,
	[KEY_MODE] = "off, recommend or act",
	[KEY_REPLICAS] = "a number N or a range A..B such as 1..5, at most 10000",
};

static const struct policy_key {
	const char *name;
	enum key_kind kind;
	size_t offset;
} policy_keys[] = {
	{"mode", KEY_MODE, offsetof(struct drpc_policy, mode)},
	{"slo-p99", KEY_DURATION, offsetof(struct drpc_policy, slo_p99_ns)},
	{"min-cpu", KEY_CPU, offsetof(struct drpc_policy, min_cpu_mcpu)},
	{"max-cpu", KEY_CPU, offsetof(struct drpc_policy, max_cpu_mcpu)},
	{"min-memory", KEY_MEMORY, offsetof(struct drpc_policy, min_memory_bytes)},
	{"max-memory", KEY_MEMORY, offsetof(struct drpc_policy, max_memory_bytes)},
	{"replicas", KEY_REPLICAS, 0},
	{"brownout", KEY_BOOL, offsetof(struct drpc_policy, brownout)},
	{"cpu-step", KEY_STEP, offsetof(struct drpc_policy, cpu_step)},
	{"memory-step", KEY_STEP, offsetof(struct drpc_policy, memory_step)},
	{"memory-managed", KEY_BOOL, offsetof(struct drpc_policy, memory_managed)},
};

static int set_value(struct drpc_policy *policy, const struct policy_key *key, const char *value)
{
	void *field = (char *)policy + key->offset;

	switch (key->kind) {
	case KEY_DURATION:
		return set_duration(field, value);
	case KEY_CPU:
		return set_cpu(field, value);
	case KEY_MEMORY:
		return set_memory(field, value);
	case KEY_STEP:
		return set_step(field, value);
	case KEY_BOOL:
		return drpc_unit_bool(value, field);
	case KEY_MODE:
		return set_mode(field, value);
	case KEY_REPLICAS:
		return set_replicas(policy, value);
	}
	return -EINVAL;
}

static int unknown_key(const char *key, const char *value, char *why, size_t why_size)
{
	char shown_key[SHOWN_MAX], shown[SHOWN_MAX];
	char names[256] = "";
	size_t len = 0;

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(policy_keys); i++)
		len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s", i ? ", " : "",
					policy_keys[i].name);
	drpc_sanitize(shown_key, sizeof(shown_key), key);
	drpc_sanitize(shown, sizeof(shown), value);
	snprintf(why, why_size, "unknown key \"%s\" (value \"%s\"); the keys are %s", shown_key,
		 shown, names);
	return -ENOENT;
}

void drpc_policy_defaults(struct drpc_policy *policy, uint64_t node_mcpu, uint64_t node_mem_bytes)
{
	const uint64_t min_mcpu = 50, min_bytes = 16 * DRPC_MIB;

	/* A node of unknown size bounds nothing: a guess would be a limit that nobody gave. */
	if (node_mcpu == 0)
		node_mcpu = CPU_MOST_MCPU;
	if (node_mem_bytes == 0)
		node_mem_bytes = MEMORY_MOST_BYTES;
	*policy = (struct drpc_policy){
		.mode = DRPC_MODE_RECOMMEND,
		.min_cpu_mcpu = min_mcpu,
		.max_cpu_mcpu = DRPC_CLAMP(node_mcpu, min_mcpu, CPU_MOST_MCPU),
		.min_memory_bytes = min_bytes,
		.max_memory_bytes = DRPC_CLAMP(node_mem_bytes, min_bytes, MEMORY_MOST_BYTES),
		.min_replicas = 1,
		.max_replicas = 1,
		.cpu_step = 0.3,
		.memory_step = 0.2,
		.memory_managed = true,
	};
}

int drpc_policy_set(struct drpc_policy *policy, const char *key, const char *value, char *why,
		    size_t why_size)
{
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(policy_keys); i++) {
		struct drpc_policy copy = *policy;
		char shown[SHOWN_MAX];

		if (strcmp(key, policy_keys[i].name) != 0)
			continue;
		if (set_value(&copy, &policy_keys[i], value) == 0) {
			*policy = copy;
			return 0;
		}
		drpc_sanitize(shown, sizeof(shown), value);
		snprintf(why, why_size, "%s: \"%s\" is not accepted; give %s", key, shown,
			 kind_forms[policy_keys[i].kind]);
		return -EINVAL;
	}
	return unknown_key(key, value, why, why_size);
}

/* Written so that NaN fails. */
static bool step_ok(double step)
{
	return step > 0 && step <= 1;
}

int drpc_policy_check(const struct drpc_policy *policy, char *why, size_t why_size)
{
	if ((unsigned int)policy->mode > DRPC_MODE_ACT)
		snprintf(why, why_size, "mode: %d is none of off, recommend, act", policy->mode);
	else if (policy->slo_p99_ns > SLO_MOST_NS)
		snprintf(why, why_size, "slo-p99: an objective is at most an hour");
	else if (policy->min_cpu_mcpu < CPU_LEAST_MCPU || policy->max_cpu_mcpu > CPU_MOST_MCPU)
		snprintf(why, why_size, "min-cpu, max-cpu: %lum to %lum is outside 10m to 100000",
			 policy->min_cpu_mcpu, policy->max_cpu_mcpu);
	else if (policy->min_cpu_mcpu > policy->max_cpu_mcpu)
		snprintf(
			why, why_size,
			"min-cpu %lum is above max-cpu %lum; max-cpu is the whole node where none is given",
			policy->min_cpu_mcpu, policy->max_cpu_mcpu);
	else if (policy->min_memory_bytes < MEMORY_LEAST_BYTES ||
		 policy->max_memory_bytes > MEMORY_MOST_BYTES)
		snprintf(why, why_size,
			 "min-memory, max-memory: %lu to %lu bytes is outside 1Mi to 2^63-1",
			 policy->min_memory_bytes, policy->max_memory_bytes);
	else if (policy->min_memory_bytes > policy->max_memory_bytes)
		snprintf(
			why, why_size,
			"min-memory %lu is above max-memory %lu (bytes); max-memory is the whole node where none is given",
			policy->min_memory_bytes, policy->max_memory_bytes);
	else if (policy->min_replicas > policy->max_replicas || policy->max_replicas == 0 ||
		 policy->max_replicas > REPLICAS_MOST)
		snprintf(why, why_size, "replicas: %u..%u is not a range within 0..10000",
			 policy->min_replicas, policy->max_replicas);
	else if (policy->min_replicas == 0 && !policy->brownout)
		snprintf(
			why, why_size,
			"replicas: 0..%u allows 0 replicas, which needs brownout true; or begin the range at 1",
			policy->max_replicas);
	else if (!step_ok(policy->cpu_step) || !step_ok(policy->memory_step))
		snprintf(why, why_size,
			 "cpu-step, memory-step: a step is above 0 and at most 100%%");
	else
		return 0;
	return -EINVAL;
}

const char *drpc_mode_name(enum drpc_mode mode)
{
	return (unsigned int)mode < DRPC_ARRAY_SIZE(mode_names) ? mode_names[mode] : "unknown";
}
