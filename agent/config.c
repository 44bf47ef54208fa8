// SPDX-License-Identifier: Apache-2.0
#include "agent/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "agent/config_internal.h"
#include "lib/units.h"
#include "lib/util.h"

#define SHOWN_MAX 80

enum setting_type {
	SETTING_PATH,
	SETTING_ENGINES,
	SETTING_LISTEN,
	SETTING_PLANNER,
	SETTING_MODE,
	SETTING_DURATION,
	SETTING_COUNT,
	SETTING_CPU,
	SETTING_BYTES,
	SETTING_SHARE,
	SETTING_BOOL,
};

static const char *const forms[] = {
	[SETTING_PATH] = "an absolute path",
	[SETTING_ENGINES] = "absolute paths of sockets (at most 4, 107 bytes each), or none",
	[SETTING_LISTEN] = "ADDRESS:PORT such as 127.0.0.1:9464 or [::1]:9464, or off",
	[SETTING_PLANNER] = "reactive or student",
	[SETTING_MODE] = "off, recommend or act",
	[SETTING_DURATION] = DRPC_FORM_DURATION,
	[SETTING_COUNT] = DRPC_FORM_COUNT,
	[SETTING_CPU] = DRPC_FORM_CPU,
	[SETTING_BYTES] = DRPC_FORM_BYTES,
	[SETTING_SHARE] = DRPC_FORM_SHARE,
	[SETTING_BOOL] = DRPC_FORM_BOOL,
};

/* Bounds are written as a file would, and read by the same functions. */
static const struct setting {
	const char *section, *key;
	enum setting_type type;
	size_t offset, size;
	const char *min, *max;
} settings[] = {
#define FIELD(member) \
	offsetof(struct drpc_config, member), sizeof(((struct drpc_config *)0)->member)
	{"", "cgroup_root", SETTING_PATH, FIELD(cgroup_root), NULL, NULL},
	{"", "engine", SETTING_ENGINES, FIELD(engines), NULL, NULL},
	{"", "socket", SETTING_PATH, FIELD(socket), NULL, NULL},
	{"", "listen", SETTING_LISTEN, FIELD(listen), NULL, NULL},
	{"", "journal", SETTING_PATH, FIELD(journal), NULL, NULL},
	{"", "policy_file", SETTING_PATH, FIELD(policy_file), NULL, NULL},
	{"", "planner", SETTING_PLANNER, FIELD(planner), NULL, NULL},
	{"", "mode", SETTING_MODE, FIELD(mode), NULL, NULL},
	{"", "window", SETTING_DURATION, FIELD(window_ns), "50ms", "10s"},
	{"", "control_interval", SETTING_DURATION, FIELD(control_interval_ns), "50ms", "60s"},
	{"", "max_containers", SETTING_COUNT, FIELD(max_containers), "1", "65536"},
	{"bpf", "latency", SETTING_BOOL, FIELD(bpf.latency), NULL, NULL},
	{"bpf", "sched", SETTING_BOOL, FIELD(bpf.sched), NULL, NULL},
	{"bpf", "memory", SETTING_BOOL, FIELD(bpf.memory), NULL, NULL},
	{"bpf", "lifecycle", SETTING_BOOL, FIELD(bpf.lifecycle), NULL, NULL},
	{"bpf", "edges", SETTING_BOOL, FIELD(bpf.edges), NULL, NULL},
	{"bpf", "cgroup_iter", SETTING_BOOL, FIELD(bpf.cgroup_iter), NULL, NULL},
	{"node", "cpu", SETTING_CPU, FIELD(node_mcpu), "50m", "100000"},
	{"node", "memory", SETTING_BYTES, FIELD(node_memory_bytes), "16Mi", "1000Ti"},
	{"node", "headroom", SETTING_SHARE, FIELD(node_headroom), "0%", "90%"},
	{"guard", "stale_intervals", SETTING_COUNT, FIELD(guard.stale_intervals), "1", "1000"},
	{"guard", "min_coverage", SETTING_SHARE, FIELD(guard.min_coverage), "0%", "100%"},
	{"guard", "actions_per_minute", SETTING_COUNT, FIELD(guard.actions_per_minute), "1",
	 "1200"},
	{"guard", "flap_budget", SETTING_COUNT, FIELD(guard.flap_budget), "1", "16"},
	{"guard", "flap_window", SETTING_DURATION, FIELD(guard.flap_window_ns), "1s", "86400s"},
	{"guard", "cut_interval", SETTING_DURATION, FIELD(guard.cut_interval_ns), "0s", "3600s"},
	{"guard", "cut_after_raise", SETTING_DURATION, FIELD(guard.cut_after_raise_ns), "0s",
	 "3600s"},
	{"guard", "cut_settle", SETTING_DURATION, FIELD(guard.cut_settle_ns), "0s", "60s"},
	{"guard", "cut_requests", SETTING_COUNT, FIELD(guard.cut_requests), "1", "1000000"},
	{"guard", "scale_interval", SETTING_DURATION, FIELD(guard.scale_interval_ns), "0s",
	 "3600s"},
	{"guard", "scale_in_cooldown", SETTING_DURATION, FIELD(guard.scale_in_cooldown_ns), "0s",
	 "86400s"},
	{"guard", "rollback_window", SETTING_DURATION, FIELD(guard.rollback_window_ns), "0s",
	 "60s"},
	{"guard", "scale_rollback_window", SETTING_DURATION, FIELD(guard.scale_rollback_window_ns),
	 "0s", "3600s"},
	{"guard", "rollback_throttled", SETTING_SHARE, FIELD(guard.rollback_throttled), "1%",
	 "100%"},
	{"guard", "rollback_cpu_pressure", SETTING_SHARE, FIELD(guard.rollback_cpu_pressure), "1%",
	 "100%"},
	{"guard", "rollback_mem_pressure", SETTING_SHARE, FIELD(guard.rollback_mem_pressure), "1%",
	 "100%"},
	{"guard", "emergency_throttled", SETTING_SHARE, FIELD(guard.emergency_throttled), "1%",
	 "100%"},
	{"guard", "emergency_mem_pressure", SETTING_SHARE, FIELD(guard.emergency_mem_pressure),
	 "1%", "100%"},
	{"guard", "cpu_margin", SETTING_SHARE, FIELD(guard.cpu_margin), "0%", "100%"},
	{"guard", "cpu_burst", SETTING_SHARE, FIELD(guard.cpu_burst), "0%", "100%"},
	{"guard", "memory_margin", SETTING_SHARE, FIELD(guard.memory_margin), "1%", "100%"},
	{"guard", "memory_margin_least", SETTING_BYTES, FIELD(guard.memory_margin_bytes), "0",
	 "1Ti"},
	{"guard", "memory_high_gap", SETTING_SHARE, FIELD(guard.memory_high_gap), "0%", "50%"},
	{"guard", "brownout_busy", SETTING_SHARE, FIELD(guard.brownout_busy), "10%", "100%"},
	{"guard", "brownout_after", SETTING_DURATION, FIELD(guard.brownout_after_ns), "0s",
	 "3600s"},
	{"guard", "brownout_calm", SETTING_DURATION, FIELD(guard.brownout_calm_ns), "1s", "3600s"},
	{"scale", "ready_timeout", SETTING_DURATION, FIELD(scale.ready_timeout_ns), "1s", "3600s"},
	{"scale", "drain_timeout", SETTING_DURATION, FIELD(scale.drain_timeout_ns), "0s", "3600s"},
	{"scale", "stop_grace", SETTING_DURATION, FIELD(scale.stop_grace_ns), "1s", "600s"},
#undef FIELD
};

/* --- single settings ------------------------------------------------------------------------ */

static int set_path(char *field, size_t size, const char *value)
{
	if (value[0] != '/' || strlen(value) >= size)
		return -EINVAL;
	drpc_strcpy(field, size, value);
	return 0;
}

static int set_engines(struct drpc_config *config, const char *value)
{
	char engines[DRPC_CONFIG_ENGINES_MAX][DRPC_CONFIG_SOCKET_MAX] = {0};
	size_t count = 0;

	if (strcmp(value, "none") == 0) {
		config->engine_count = 0;
		return 0;
	}
	while (*value) {
		size_t len = strcspn(value, ",");

		if (value[0] != '/' || len >= sizeof(engines[0]) ||
		    count == DRPC_CONFIG_ENGINES_MAX)
			return -EINVAL;
		memcpy(engines[count++], value, len);
		value += len;
		if (*value == ',' && !*++value)
			return -EINVAL;
	}
	if (count == 0)
		return -EINVAL;
	memcpy(config->engines, engines, sizeof(engines));
	config->engine_count = count;
	return 0;
}

static int set_listen(char *field, size_t size, const char *value)
{
	char host[DRPC_CONFIG_LISTEN_MAX];
	const char *colon = strrchr(value, ':');
	struct in6_addr address;
	uint32_t port;
	size_t len;
	bool v6;

	if (strcmp(value, "off") == 0) {
		field[0] = '\0';
		return 0;
	}
	if (!colon || strlen(value) >= size || drpc_unit_count(colon + 1, &port) < 0 || port == 0 ||
	    port > 65535)
		return -EINVAL;
	len = (size_t)(colon - value);
	v6 = len >= 2 && value[0] == '[' && value[len - 1] == ']';
	snprintf(host, sizeof(host), "%.*s", (int)(v6 ? len - 2 : len), value + v6);
	if (inet_pton(v6 ? AF_INET6 : AF_INET, host, &address) != 1)
		return -EINVAL;
	drpc_strcpy(field, size, value);
	return 0;
}

static int set_mode(enum drpc_mode *field, const char *value)
{
	for (enum drpc_mode mode = DRPC_MODE_OFF; mode <= DRPC_MODE_ACT; mode++) {
		if (strcmp(value, drpc_mode_name(mode)) == 0) {
			*field = mode;
			return 0;
		}
	}
	return -EINVAL;
}

static int set_planner(enum drpc_planner_kind *field, const char *value)
{
	if (strcmp(value, "reactive") == 0)
		*field = DRPC_PLANNER_REACTIVE;
	else if (strcmp(value, "student") == 0)
		*field = DRPC_PLANNER_STUDENT;
	else
		return -EINVAL;
	return 0;
}

/* A value that has a size, whatever its type: for reading and for comparing with the bounds. */
union number {
	uint64_t u64;
	uint32_t u32;
	double share;
};

static int read_number(enum setting_type type, const char *text, union number *ret)
{
	switch (type) {
	case SETTING_DURATION:
		/* "0s" is how a file switches a delay off; a plain 0 would leave its unit open. */
		return drpc_unit_duration_ns(text, &ret->u64);
	case SETTING_CPU:
		return drpc_unit_cpu_mcpu(text, &ret->u64);
	case SETTING_BYTES:
		return drpc_unit_bytes(text, &ret->u64);
	case SETTING_COUNT:
		return drpc_unit_count(text, &ret->u32);
	case SETTING_SHARE:
		return drpc_unit_share(text, &ret->share);
	default:
		return -EINVAL;
	}
}

static bool in_bounds(enum setting_type type, const union number *n, const union number *min,
		      const union number *max)
{
	if (type == SETTING_COUNT)
		return n->u32 >= min->u32 && n->u32 <= max->u32;
	if (type == SETTING_SHARE)
		return n->share >= min->share && n->share <= max->share;
	return n->u64 >= min->u64 && n->u64 <= max->u64;
}

static int set_number(const struct setting *setting, void *field, const char *value)
{
	union number n, min, max;
	int r = read_number(setting->type, value, &n);

	if (r < 0)
		return r;
	r = read_number(setting->type, setting->min, &min);
	if (r == 0)
		r = read_number(setting->type, setting->max, &max);
	if (r == 0 && !in_bounds(setting->type, &n, &min, &max))
		r = -ERANGE;
	if (r == 0)
		memcpy(field, &n, setting->size);
	return r;
}

static int set_value(struct drpc_config *config, const struct setting *setting, const char *value)
{
	void *field = (char *)config + setting->offset;

	switch (setting->type) {
	case SETTING_PATH:
		return set_path(field, setting->size, value);
	case SETTING_ENGINES:
		return set_engines(config, value);
	case SETTING_LISTEN:
		return set_listen(field, setting->size, value);
	case SETTING_PLANNER:
		return set_planner(field, value);
	case SETTING_MODE:
		return set_mode(field, value);
	case SETTING_BOOL:
		return drpc_unit_bool(value, field);
	default:
		return set_number(setting, field, value);
	}
}

/* --- names ---------------------------------------------------------------------------------- */

/* The same letters, whatever stands between words. */
static bool alike(const char *a, const char *b)
{
	for (; *a && *b; a++, b++) {
		if ((*a == '-' ? '_' : *a) != (*b == '-' ? '_' : *b))
			return false;
	}
	return *a == *b;
}

static bool is_policy_key(const char *key)
{
	struct drpc_policy policy;
	char why[8];

	drpc_policy_defaults(&policy, 1, 1);
	return drpc_policy_set(&policy, key, "", why, sizeof(why)) != -ENOENT;
}

static int unknown_key(const char *section, const char *key, char *why, size_t why_size)
{
	char shown[SHOWN_MAX], names[1024] = "";
	size_t len = 0;

	drpc_sanitize(shown, sizeof(shown), key);
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(settings); i++) {
		if (strcmp(settings[i].section, section) != 0)
			continue;
		if (alike(settings[i].key, key)) {
			snprintf(why, why_size, "unknown key \"%s\"; it is spelled \"%s\"", shown,
				 settings[i].key);
			return -ENOENT;
		}
		len += (size_t)snprintf(names + len, sizeof(names) - len, ", %s", settings[i].key);
	}
	if (is_policy_key(key))
		snprintf(
			why, why_size,
			"\"%s\" is a key of a policy; it goes below `defaults:` or an entry of `deployments:`",
			shown);
	else
		snprintf(why, why_size, "unknown key \"%s\"%s%s; the keys are %s%s", shown,
			 *section ? " in " : "", section, names + 2,
			 *section ? "" : ", bpf, node, guard, defaults, deployments");
	return -ENOENT;
}

bool drpc_config_is_section(const char *name)
{
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(settings); i++) {
		if (*settings[i].section && strcmp(settings[i].section, name) == 0)
			return true;
	}
	return false;
}

int drpc_config_set(struct drpc_config *config, const char *key, const char *value, char *why,
		    size_t why_size)
{
	char section[16] = "", shown[SHOWN_MAX];
	const char *dot = strchr(key, '.');

	if (dot && (size_t)(dot - key) < sizeof(section)) {
		memcpy(section, key, (size_t)(dot - key));
		if (drpc_config_is_section(section))
			key = dot + 1;
		else
			section[0] = '\0';
	}
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(settings); i++) {
		const struct setting *s = &settings[i];

		if (strcmp(s->section, section) != 0 || strcmp(s->key, key) != 0)
			continue;
		if (set_value(config, s, value) == 0) {
			config->guard.interval_ns = config->control_interval_ns;
			return 0;
		}
		drpc_sanitize(shown, sizeof(shown), value);
		snprintf(why, why_size, "%s%s%s: \"%s\" is not accepted; give %s%s%s%s%s", section,
			 *section ? "." : "", key, shown, forms[s->type], s->min ? ", from " : "",
			 s->min ? s->min : "", s->max ? " to " : "", s->max ? s->max : "");
		return -EINVAL;
	}
	return unknown_key(section, key, why, why_size);
}

/* --- the whole ------------------------------------------------------------------------------ */

void drpc_config_defaults(struct drpc_config *config, uint64_t node_mcpu,
			  uint64_t node_memory_bytes)
{
	*config = (struct drpc_config){
		.engines = {"/run/docker.sock", "/run/podman/podman.sock"},
		.engine_count = 2,
		.socket = "/run/drpc/agent.sock",
		.journal = "/var/lib/drpc/journal",
		.planner = DRPC_PLANNER_REACTIVE,
		.mode = DRPC_MODE_RECOMMEND,
		.window_ns = 200 * DRPC_NSEC_PER_MSEC,
		.control_interval_ns = 200 * DRPC_NSEC_PER_MSEC,
		.max_containers = 1024,
		.scale = {.ready_timeout_ns = 120 * DRPC_NSEC_PER_SEC,
			  .drain_timeout_ns = 30 * DRPC_NSEC_PER_SEC,
			  .stop_grace_ns = 10 * DRPC_NSEC_PER_SEC},
		.bpf = {true, true, true, true, true, true},
		.node_mcpu = node_mcpu,
		.node_memory_bytes = node_memory_bytes,
	};
	drpc_guard_params_defaults(&config->guard);
	config->guard.interval_ns = config->control_interval_ns;
}

int drpc_config_check(const struct drpc_config *config, char *why, size_t why_size)
{
	if (config->planner == DRPC_PLANNER_STUDENT && !config->policy_file[0])
		snprintf(why, why_size,
			 "planner: student needs policy_file, the path of a policy file");
	else if (config->control_interval_ns < config->window_ns)
		snprintf(
			why, why_size,
			"control_interval: %llu ms is shorter than window, %llu ms; a decision needs a whole window",
			config->control_interval_ns / DRPC_NSEC_PER_MSEC,
			config->window_ns / DRPC_NSEC_PER_MSEC);
	else
		return 0;
	return -EINVAL;
}

int drpc_config_rule_add(struct drpc_config_rule *rule, const char *key, const char *value,
			 char *why, size_t why_size)
{
	struct drpc_config_setting *setting;
	struct drpc_policy policy;
	int r;

	drpc_policy_defaults(&policy, 1, 1);
	r = drpc_policy_set(&policy, key, value, why, why_size);
	if (r < 0)
		return r;
	if (rule->count == DRPC_CONFIG_RULE_SETTINGS || strlen(key) >= sizeof(setting->key) ||
	    strlen(value) >= sizeof(setting->value)) {
		snprintf(why, why_size, "%s: the value is longer than %zu characters", key,
			 sizeof(setting->value) - 1);
		return -EINVAL;
	}
	setting = &rule->settings[rule->count++];
	drpc_strcpy(setting->key, sizeof(setting->key), key);
	drpc_strcpy(setting->value, sizeof(setting->value), value);
	return 0;
}

static void apply_rule(const struct drpc_config_rule *rule, struct drpc_policy *policy)
{
	char why[8];

	for (size_t i = 0; i < rule->count; i++)
		drpc_policy_set(policy, rule->settings[i].key, rule->settings[i].value, why,
				sizeof(why));
}

static void base_policy(const struct drpc_config *config, struct drpc_policy *ret)
{
	drpc_policy_defaults(ret, config->node_mcpu, config->node_memory_bytes);
	ret->mode = config->mode;
}

int drpc_config_rule_check(const struct drpc_config *config, size_t rule, char *why,
			   size_t why_size)
{
	struct drpc_policy policy;

	base_policy(config, &policy);
	apply_rule(&config->rules[0], &policy);
	if (rule > 0)
		apply_rule(&config->rules[rule], &policy);
	return drpc_policy_check(&policy, why, why_size);
}

void drpc_config_policy(const struct drpc_config *config, const char *deployment,
			struct drpc_policy *ret)
{
	struct drpc_policy sound;
	char why[8];

	base_policy(config, &sound);
	for (size_t i = 0; i < config->rule_count; i++) {
		struct drpc_policy next = sound;

		if (fnmatch(config->rules[i].match, deployment, 0) != 0)
			continue;
		apply_rule(&config->rules[i], &next);
		/* Rules that are sound one by one may contradict each other; the first then stands. */
		if (drpc_policy_check(&next, why, sizeof(why)) == 0)
			sound = next;
	}
	*ret = sound;
}

void drpc_config_guard_node(const struct drpc_config *config, struct drpc_guard_node *ret)
{
	const double share = 1 - config->node_headroom;

	*ret = (struct drpc_guard_node){
		.cpu_mcpu = (uint64_t)((double)config->node_mcpu * share),
		.memory_bytes = (uint64_t)((double)config->node_memory_bytes * share),
	};
}

void drpc_config_free(struct drpc_config *config)
{
	if (!config)
		return;
	free(config->rules);
	config->rules = NULL;
	config->rule_count = 0;
}
