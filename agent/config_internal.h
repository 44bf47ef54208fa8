/* SPDX-License-Identifier: Apache-2.0 */
/* What the configuration's two files share: settings (config.c), YAML (config_yaml.c). */
#pragma once

#include "agent/config.h"

/* Whether the file has a section of that name (`bpf`, `node`, `guard`). */
bool drpc_config_is_section(const char *name);

/* Adds a policy key to a rule after trying it on a policy. Errors as drpc_policy_set(). */
int drpc_config_rule_add(struct drpc_config_rule *rule, const char *key, const char *value,
			 char *why, size_t why_size);

/* Whether the rule's keys make sense together and with those below it. */
int drpc_config_rule_check(const struct drpc_config *config, size_t rule, char *why,
			   size_t why_size);
