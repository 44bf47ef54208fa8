// SPDX-License-Identifier: Apache-2.0
/*
 * From YAML to settings. libyaml's document tree is walked directly: libcyaml 1.3.1 keeps no lines
 * for values and names the line before the mistake for keys, and the line is half of the message.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "agent/config.h"
#include "agent/config_internal.h"
#include "lib/log.h"
#include "lib/util.h"

#define FILE_MAX_BYTES ((size_t)1 << 20)
#define SHOWN_MAX      80
#define RULES_MAX      1024

/* One reading: the tree, what it becomes, where a complaint goes. */
struct reader {
	const char *name;
	yaml_document_t document;
	struct drpc_config *config;
	char *why;
	size_t why_size;
};

/* One key of a mapping and what stands there. */
typedef int (*entry_fn)(struct reader *r, const char *key, yaml_node_t *value, void *arg);

static int complain(const struct reader *r, size_t line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int complain(const struct reader *r, size_t line, const char *fmt, ...)
{
	int len = snprintf(r->why, r->why_size, "%s:%zu: ", r->name, line);
	va_list args;

	va_start(args, fmt);
	if (len >= 0 && (size_t)len < r->why_size)
		vsnprintf(r->why + len, r->why_size - (size_t)len, fmt, args);
	va_end(args);
	return -EINVAL;
}

static size_t line_of(const yaml_node_t *node)
{
	return node->start_mark.line + 1;
}

/* The text of a scalar; NULL for anything else, or where it holds a NUL. */
static const char *text_of(const yaml_node_t *node)
{
	const char *text;

	if (!node || node->type != YAML_SCALAR_NODE)
		return NULL;
	text = (const char *)node->data.scalar.value;
	return strlen(text) == node->data.scalar.length ? text : NULL;
}

static const char *kind_of(const yaml_node_t *node)
{
	switch (node->type) {
	case YAML_SEQUENCE_NODE:
		return "a list";
	case YAML_MAPPING_NODE:
		return "a block of keys";
	default:
		return "a value";
	}
}

/* Calls `fn` for every key of a mapping; a key that comes twice is refused. `what` names it. */
static int for_each_key(struct reader *r, yaml_node_t *node, const char *what, entry_fn fn,
			void *arg)
{
	yaml_node_pair_t *pair, *before;

	if (node->type == YAML_SCALAR_NODE && node->data.scalar.length == 0)
		return 0; /* the key alone, everything below it commented out */
	if (node->type != YAML_MAPPING_NODE)
		return complain(r, line_of(node),
				"%s: expected a block of `key: value` lines, not %s", what,
				kind_of(node));
	for (pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
		yaml_node_t *key = yaml_document_get_node(&r->document, pair->key);
		yaml_node_t *value = yaml_document_get_node(&r->document, pair->value);
		const char *name = text_of(key);
		int err;

		if (!name)
			return complain(r, line_of(key), "%s: a key must be plain text", what);
		for (before = node->data.mapping.pairs.start; before < pair; before++) {
			const yaml_node_t *other =
				yaml_document_get_node(&r->document, before->key);

			if (strcmp(text_of(other), name) == 0) {
				char shown[SHOWN_MAX];

				drpc_sanitize(shown, sizeof(shown), name);
				return complain(r, line_of(key),
						"\"%s\" is given twice, first in line %zu", shown,
						line_of(other));
			}
		}
		err = fn(r, name, value, arg);
		if (err < 0)
			return err;
	}
	return 0;
}

/* A list of sockets becomes the same text as on the command line. */
static int join_list(struct reader *r, const yaml_node_t *node, const char *key, char *text,
		     size_t size)
{
	size_t len = 0;

	if (node->data.sequence.items.start == node->data.sequence.items.top)
		return snprintf(text, size, "none");
	for (yaml_node_item_t *item = node->data.sequence.items.start;
	     item < node->data.sequence.items.top; item++) {
		const yaml_node_t *child = yaml_document_get_node(&r->document, *item);
		const char *value = text_of(child);

		if (!value || !*value || strchr(value, ','))
			return complain(r, line_of(child), "%s: each entry is the path of a socket",
					key);
		len += (size_t)snprintf(text + len, size - len, "%s%s", len ? "," : "", value);
		if (len >= size)
			return complain(r, line_of(child),
					"%s: the list is too long, give at most %d", key,
					DRPC_CONFIG_ENGINES_MAX);
	}
	return 0;
}

/* `arg` points to the section's name; NULL at the top. */
static int read_setting(struct reader *r, const char *key, yaml_node_t *value, void *arg)
{
	const char *section = arg ? *(const char **)arg : NULL, *text = text_of(value);
	char list[2 * DRPC_CONFIG_ENGINES_MAX * DRPC_CONFIG_SOCKET_MAX], why[512], name[256];
	struct drpc_config scratch;
	int err;

	if (snprintf(name, sizeof(name), "%s%s%s", section ? section : "", section ? "." : "",
		     key) >= (int)sizeof(name))
		return complain(r, line_of(value), "a key of %zu characters is none of this file",
				strlen(key));
	/* A key that does not exist is the better complaint, whatever stands behind it. */
	scratch = *r->config;
	if (drpc_config_set(&scratch, name, text ? text : "", why, sizeof(why)) == -ENOENT)
		return complain(r, line_of(value), "%s", why);
	if (!section && strcmp(key, "engine") == 0 && value->type == YAML_SEQUENCE_NODE) {
		err = join_list(r, value, key, list, sizeof(list));
		if (err < 0)
			return err;
		text = list;
	}
	if (!text)
		return complain(r, line_of(value), "%s: expected one value, not %s", name,
				kind_of(value));
	err = drpc_config_set(r->config, name, text, why, sizeof(why));
	return err < 0 ? complain(r, line_of(value), "%s", why) : 0;
}

static int read_rule_key(struct reader *r, const char *key, yaml_node_t *value, void *arg)
{
	struct drpc_config_rule *rule = arg;
	const bool is_defaults = rule == r->config->rules;
	const char *text = text_of(value);
	char why[512];

	if (!text)
		return complain(r, line_of(value), "%.80s: expected one value, not %s", key,
				kind_of(value));
	if (!is_defaults && strcmp(key, "match") == 0) {
		if (!*text || strlen(text) >= sizeof(rule->match))
			return complain(
				r, line_of(value),
				"match: expected a name or a glob such as shop/*, of 1 to %zu bytes",
				sizeof(rule->match) - 1);
		drpc_strcpy(rule->match, sizeof(rule->match), text);
		return 0;
	}
	if (drpc_config_rule_add(rule, key, text, why, sizeof(why)) < 0)
		return complain(r, line_of(value), "%s", why);
	return 0;
}

/* One rule whole: its keys, then whether they make sense together. */
static int read_rule(struct reader *r, yaml_node_t *node, size_t index)
{
	struct drpc_config_rule *rule = &r->config->rules[index];
	const char *what = index ? "deployments" : "defaults";
	char why[512];
	int err = for_each_key(r, node, what, read_rule_key, rule);

	if (err < 0)
		return err;
	if (!rule->match[0])
		return complain(
			r, line_of(node),
			"deployments: an entry needs `match:`, a name or a glob such as shop/*");
	if (drpc_config_rule_check(r->config, index, why, sizeof(why)) < 0)
		return complain(r, line_of(node), "%s: %s", what, why);
	return 0;
}

struct policies {
	yaml_node_t *defaults, *deployments;
};

static int read_top_key(struct reader *r, const char *key, yaml_node_t *value, void *arg)
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
		return for_each_key(r, value, key, read_setting, &key);
	/* A dot leads into a section on the command line; a file writes a block. */
	if (strchr(key, '.'))
		return complain(
			r, line_of(value),
			"unknown key \"%.80s\"; write a block: `guard:` and below it, indented, its keys",
			key);
	return read_setting(r, key, value, NULL);
}

static int read_policies(struct reader *r, const struct policies *policies)
{
	yaml_node_t *list = policies->deployments;
	size_t count = 1;
	int err;

	if (list && list->type == YAML_SCALAR_NODE && list->data.scalar.length == 0)
		list = NULL;
	if (list && list->type != YAML_SEQUENCE_NODE)
		return complain(r, line_of(list),
				"deployments: expected a list (`- match: shop/*` and keys), not %s",
				kind_of(list));
	if (list)
		count += (size_t)(list->data.sequence.items.top - list->data.sequence.items.start);
	if (count > RULES_MAX)
		return complain(r, line_of(list), "deployments: %zu entries, at most %d", count - 1,
				RULES_MAX - 1);
	r->config->rules = calloc(count, sizeof(*r->config->rules));
	if (!r->config->rules)
		return -ENOMEM;
	r->config->rule_count = count;
	drpc_strcpy(r->config->rules[0].match, sizeof(r->config->rules[0].match), "*");
	err = policies->defaults ? read_rule(r, policies->defaults, 0) : 0;
	for (size_t i = 1; err == 0 && i < count; i++)
		err = read_rule(r,
				yaml_document_get_node(&r->document,
						       list->data.sequence.items.start[i - 1]),
				i);
	return err;
}

static int read_document(struct reader *r, yaml_node_t *root)
{
	struct policies policies = {NULL, NULL};
	int err = root ? for_each_key(r, root, "file", read_top_key, &policies) : 0;

	return err < 0 ? err : read_policies(r, &policies);
}

/* libyaml's own words, with the line where it stopped. */
static int syntax_error(struct reader *r, const yaml_parser_t *parser)
{
	if (parser->error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	if (parser->error == YAML_READER_ERROR) {
		snprintf(r->why, r->why_size, "%s: not a text file in UTF-8: %s at byte %zu",
			 r->name, parser->problem, parser->problem_offset);
		return -EINVAL;
	}
	return complain(r, parser->problem_mark.line + 1, "not valid YAML: %s%s%s", parser->problem,
			parser->context ? " " : "", parser->context ? parser->context : "");
}

static int load_documents(struct reader *r, yaml_parser_t *parser)
{
	yaml_document_t second;
	yaml_node_t *root;
	int err;

	if (!yaml_parser_load(parser, &r->document))
		return syntax_error(r, parser);
	err = read_document(r, yaml_document_get_root_node(&r->document));
	yaml_document_delete(&r->document);
	if (err < 0 || parser->stream_end_produced)
		return err;
	if (!yaml_parser_load(parser, &second))
		return syntax_error(r, parser);
	root = yaml_document_get_root_node(&second);
	if (root)
		err = complain(r, line_of(root),
			       "a second document begins here; one file holds one");
	yaml_document_delete(&second);
	return err;
}

int drpc_config_parse(const char *text, size_t len, const char *name, uint64_t node_mcpu,
		      uint64_t node_memory_bytes, struct drpc_config *ret, char *why,
		      size_t why_size)
{
	struct drpc_config config;
	struct reader r = {.name = name, .config = &config, .why = why, .why_size = why_size};
	yaml_parser_t parser;
	int err;

	drpc_config_defaults(&config, node_mcpu, node_memory_bytes);
	if (!yaml_parser_initialize(&parser)) {
		snprintf(why, why_size, "%s: out of memory", name);
		return -ENOMEM;
	}
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	err = load_documents(&r, &parser);
	yaml_parser_delete(&parser);
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
