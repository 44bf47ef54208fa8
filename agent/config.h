/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's configuration: a YAML file (docs/configuration.md, deploy/agent.yaml), single
 * settings over it from the command line, and the policies of deployments by name. Precedence of a
 * policy key: built in < `mode` < `defaults` < matching `deployments`, in order < labels (which the
 * roster applies).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/container.h"
#include "agent/plan/guard.h"
#include "agent/policy.h"

#define DRPC_CONFIG_PATH "/etc/drpc/agent.yaml"

#define DRPC_CONFIG_ENGINES_MAX	   4
#define DRPC_CONFIG_SOCKET_MAX	   108 /* of sockaddr_un */
#define DRPC_CONFIG_LISTEN_MAX	   64
#define DRPC_CONFIG_RULE_KEY_MAX   16
#define DRPC_CONFIG_RULE_VALUE_MAX 40
#define DRPC_CONFIG_RULE_SETTINGS  16

enum drpc_planner_kind {
	DRPC_PLANNER_REACTIVE,
	DRPC_PLANNER_STUDENT,
};

struct drpc_config_setting {
	char key[DRPC_CONFIG_RULE_KEY_MAX];
	char value[DRPC_CONFIG_RULE_VALUE_MAX];
};

/* Policy keys for the deployments whose name matches. */
struct drpc_config_rule {
	char match[DRPC_NAME_MAX]; /* glob as of fnmatch(3); `*` matches '/' too */
	struct drpc_config_setting settings[DRPC_CONFIG_RULE_SETTINGS];
	size_t count;
};

struct drpc_config {
	char cgroup_root[DRPC_PATH_MAX]; /* "": the whole cgroup2 mount */
	char engines[DRPC_CONFIG_ENGINES_MAX][DRPC_CONFIG_SOCKET_MAX]; /* tried in this order */
	size_t engine_count;
	char socket[DRPC_CONFIG_SOCKET_MAX];
	char listen[DRPC_CONFIG_LISTEN_MAX]; /* "ADDRESS:PORT", "": off */
	char journal[DRPC_PATH_MAX];
	char policy_file[DRPC_PATH_MAX]; /* "": none */
	enum drpc_planner_kind planner;
	enum drpc_mode mode; /* of deployments that nothing else gives one */
	uint64_t window_ns, control_interval_ns;
	uint32_t max_containers;
	struct {
		bool latency, sched, memory, lifecycle, edges, cgroup_iter;
	} bpf;				       /* concerns to load */
	uint64_t node_mcpu, node_memory_bytes; /* as detected, or as the file says */
	double node_headroom;		       /* share that drpc leaves free */
	struct drpc_guard_params guard;
	struct {
		uint64_t ready_timeout_ns, drain_timeout_ns, stop_grace_ns;
	} scale; /* of replicas, see execute/replicas.h */
	/* The file's policies: rule 0 is `defaults`, the others are `deployments`. */
	struct drpc_config_rule *rules;
	size_t rule_count;
};

/* Built-in settings on a node of that size, which bounds the policies. */
void drpc_config_defaults(struct drpc_config *config, uint64_t node_mcpu,
			  uint64_t node_memory_bytes);

/*
 * Built-in settings with those of a file over them. On failure nothing is kept, and one line is
 * logged that says "FILE:LINE: key, value, accepted form". Returns 0, -EINVAL for the contents, or
 * the errno of reading. The caller frees *ret with drpc_config_free().
 */
int drpc_config_load(const char *path, uint64_t node_mcpu, uint64_t node_memory_bytes,
		     struct drpc_config *ret);

/* The same from memory; `name` stands for the file, the message goes to `why` instead. */
int drpc_config_parse(const char *text, size_t len, const char *name, uint64_t node_mcpu,
		      uint64_t node_memory_bytes, struct drpc_config *ret, char *why,
		      size_t why_size);

/*
 * Sets one setting by its name in the file, with its section before a dot ("listen",
 * "guard.flap_budget"); several engines are separated by commas. Errors as drpc_policy_set().
 */
int drpc_config_set(struct drpc_config *config, const char *key, const char *value, char *why,
		    size_t why_size);

/* What settings say together; to be asked when the last was set. -EINVAL and `why`. */
int drpc_config_check(const struct drpc_config *config, char *why, size_t why_size);

/* The policy of a deployment before labels. Never fails: what the file says was checked. */
void drpc_config_policy(const struct drpc_config *config, const char *deployment,
			struct drpc_policy *ret);

/* What the guard may share out: the node without its headroom; use of others is left at 0. */
void drpc_config_guard_node(const struct drpc_config *config, struct drpc_guard_node *ret);

/* Frees what the config holds. NULL-safe; leaves it empty. A plain copy of the struct borrows. */
void drpc_config_free(struct drpc_config *config);
