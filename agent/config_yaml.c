// SPDX-License-Identifier: Apache-2.0
/* From YAML to settings. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "agent/config.h"
#include "agent/config_internal.h"
#include "lib/log.h"
#include "lib/util.h"
#include "lib/yaml_file.h"

#define FILE_MAX_BYTES ((size_t)1 << 20)
#define RULES_MAX      1024

/* What the file becomes. */
static struct drpc_config *config_of(const struct drpc_yaml *y)
{
	return y->data;
}

/* A list of sockets becomes the same text as on the command line. */
static int join_list(struct drpc_yaml *y, const yaml_node_t *node, const char *key, char *text,
		     size_t size)
{
	size_t len = 0;

	if (node->data.sequence.items.start == node->data.sequence.items.top)
		return snprintf(text, size, "none");
	for (yaml_node_item_t *item = node->data.sequence.items.start;
	     item < node->data.sequence.items.top; item++) {
		const yaml_node_t *child = yaml_document_get_node(&y->document, *item);
		const char *value = drpc_yaml_text(child);

		if (!value || !*value || strchr(value, ','))
			return drpc_yaml_complain(y, drpc_yaml_line(child),
						  "%s: each entry is the path of a socket", key);
		len += (size_t)snprintf(text + len, size - len, "%s%s", len ? "," : "", value);
		if (len >= size)
			return drpc_yaml_complain(y, drpc_yaml_line(child),
						  "%s: the list is too long, give at most %d", key,
						  DRPC_CONFIG_ENGINES_MAX);
	}
	return 0;
}

/* `arg` points to the section's name; NULL at the top. */
static int read_setting(struct drpc_yaml *y, const char *key, yaml_node_t *value, void *arg)
{
	const char *section = arg ? *(const char **)arg : NULL, *text = drpc_yaml_text(value);
	char list[2 * DRPC_CONFIG_ENGINES_MAX * DRPC_CONFIG_SOCKET_MAX], why[512], name[256];
	struct drpc_config scratch;
	int err;

	if (snprintf(name, sizeof(name), "%s%s%s", section ? section : "", section ? "." : "",
		     key) >= (int)sizeof(name))
		return drpc_yaml_complain(y, drpc_yaml_line(value),
					  "a key of %zu characters is none of this file",
					  strlen(key));
	/* A key that does not exist is the better complaint, whatever stands behind it. */
	scratch = *config_of(y);
	if (drpc_config_set(&scratch, name, text ? text : "", why, sizeof(why)) == -ENOENT)
		return drpc_yaml_complain(y, drpc_yaml_line(value), "%s", why);
	if (!section && strcmp(key, "engine") == 0 && value->type == YAML_SEQUENCE_NODE) {
		err = join_list(y, value, key, list, sizeof(list));
		if (err < 0)
			return err;
		text = list;
	}
	if (!text)
		return drpc_yaml_complain(y, drpc_yaml_line(value),
					  "%s: expected one value, not %s", name,
					  drpc_yaml_kind(value));
	err = drpc_config_set(config_of(y), name, text, why, sizeof(why));
	return err < 0 ? drpc_yaml_complain(y, drpc_yaml_line(value), "%s", why) : 0;
}

static int read_rule_key(struct drpc_yaml *y, const char *key, yaml_node_t *value, void *arg)
{
	struct drpc_config_rule *rule = arg;
	const bool is_defaults = rule == config_of(y)->rules;
	const char *text = drpc_yaml_text(value);
	char why[512];

	if (!text)
		return drpc_yaml_complain(y, drpc_yaml_line(value),
					  "%.80s: expected one value, not %s", key,
					  drpc_yaml_kind(value));
	if (!is_defaults && strcmp(key, "match") == 0) {
		if (!*text || strlen(text) >= sizeof(rule->match))
			return drpc_yaml_complain(
				y, drpc_yaml_line(value),
				"match: expected a name or a glob such as shop/*, of 1 to %zu bytes",
				sizeof(rule->match) - 1);
		drpc_strcpy(rule->match, sizeof(rule->match), text);
		return 0;
	}
	if (drpc_config_rule_add(rule, key, text, why, sizeof(why)) < 0)
		return drpc_yaml_complain(y, drpc_yaml_line(value), "%s", why);
	return 0;
}

/* One rule whole: its keys, then whether they make sense together. */
static int read_rule(struct drpc_yaml *y, yaml_node_t *node, size_t index)
{
	struct drpc_config_rule *rule = &config_of(y)->rules[index];
	const char *what = index ? "deployments" : "defaults";
	char why[512];
	int err = drpc_yaml_for_each(y, node, what, read_rule_key, rule);

	if (err < 0)
		return err;
	if (!rule->match[0])
		return drpc_yaml_complain(
			y, drpc_yaml_line(node),
			"deployments: an entry needs `match:`, a name or a glob such as shop/*");
	if (drpc_config_rule_check(config_of(y), index, why, sizeof(why)) < 0)
		return drpc_yaml_complain(y, drpc_yaml_line(node), "%s: %s", what, why);
	return 0;
}

struct policies {
	yaml_node_t *defaults, *deployments;
};

static int read_top_key(struct drpc_yaml *y, const char *key, yaml_node_t *value, void *arg)
{
	struct policies *policies = arg;

	/* Policies are read last: their bounds depend on the node's settings. */
	if (strcmp(key, "defaults") == 0) {
		policies->defaults = value;
		return 0;
	}
	if (strcmp(key, "deployments") == 0) {
		policies->deployments = value;
		return 0;
	}
	if (drpc_config_is_section(key))
		return drpc_yaml_for_each(y, value, key, read_setting, &key);
	/* A dot leads into a section on the command line; a file writes a block. */
	if (strchr(key, '.'))
		return drpc_yaml_complain(
			y, drpc_yaml_line(value),
			"unknown key \"%.80s\"; write a block: `guard:` and below it, indented, its keys",
			key);
	return read_setting(y, key, value, NULL);
}

static int read_policies(struct drpc_yaml *y, const struct policies *policies)
{
	yaml_node_t *list = policies->deployments;
	size_t count = 1;
	int err;

	if (list && list->type == YAML_SCALAR_NODE && list->data.scalar.length == 0)
		list = NULL;
	if (list && list->type != YAML_SEQUENCE_NODE)
		return drpc_yaml_complain(
			y, drpc_yaml_line(list),
			"deployments: expected a list (`- match: shop/*` and keys), not %s",
			drpc_yaml_kind(list));
	if (list)
		count += (size_t)(list->data.sequence.items.top - list->data.sequence.items.start);
	if (count > RULES_MAX)
		return drpc_yaml_complain(y, drpc_yaml_line(list),
					  "deployments: %zu entries, at most %d", count - 1,
					  RULES_MAX - 1);
	config_of(y)->rules = calloc(count, sizeof(*config_of(y)->rules));
	if (!config_of(y)->rules)
		return -ENOMEM;
	config_of(y)->rule_count = count;
	drpc_strcpy(config_of(y)->rules[0].match, sizeof(config_of(y)->rules[0].match), "*");
	err = policies->defaults ? read_rule(y, policies->defaults, 0) : 0;
	for (size_t i = 1; err == 0 && i < count; i++)
		err = read_rule(y,
				yaml_document_get_node(&y->document,
						       list->data.sequence.items.start[i - 1]),
				i);
	return err;
}

static int read_document(struct drpc_yaml *y, yaml_node_t *root)
{
	struct policies policies = {NULL, NULL};
	int err = root ? drpc_yaml_for_each(y, root, "file", read_top_key, &policies) : 0;

	return err < 0 ? err : read_policies(y, &policies);
}

int drpc_config_parse(const char *text, size_t len, const char *name, uint64_t node_mcpu,
		      uint64_t node_memory_bytes, struct drpc_config *ret, char *why,
		      size_t why_size)
{
	struct drpc_config config;
	int err;

	drpc_config_defaults(&config, node_mcpu, node_memory_bytes);
	err = drpc_yaml_read(text, len, name, why, why_size, read_document, &config);
	if (err < 0) {
		if (err == -ENOMEM)
			snprintf(why, why_size, "%s: out of memory", name);
		drpc_config_free(&config);
		return err;
	}
	*ret = config;
	return 0;
}

int drpc_config_load(const char *path, uint64_t node_mcpu, uint64_t node_memory_bytes,
		     struct drpc_config *ret)
{
	_cleanup_free_ char *text = NULL;
	char why[1024];
	ssize_t len = drpc_read_file_at(AT_FDCWD, path, FILE_MAX_BYTES, &text);
	int err;

	if (len < 0)
		return drpc_err((int)len, "config: cannot read %s", path);
	err = drpc_config_parse(text, (size_t)len, path, node_mcpu, node_memory_bytes, ret, why,
				sizeof(why));
	if (err < 0)
		drpc_error("config: %s", why);
	return err;
}
