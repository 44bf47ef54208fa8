// SPDX-License-Identifier: Apache-2.0
#include "lib/yaml_file.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/util.h"

#define SHOWN_MAX 80

int drpc_yaml_complain(const struct drpc_yaml *y, size_t line, const char *fmt, ...)
{
	int len = snprintf(y->why, y->why_size, "%s:%zu: ", y->name, line);
	va_list args;

	va_start(args, fmt);
	if (len >= 0 && (size_t)len < y->why_size)
		vsnprintf(y->why + len, y->why_size - (size_t)len, fmt, args);
	va_end(args);
	return -EINVAL;
}

size_t drpc_yaml_line(const yaml_node_t *node)
{
	return node->start_mark.line + 1;
}

const char *drpc_yaml_text(const yaml_node_t *node)
{
	const char *text;

	if (!node || node->type != YAML_SCALAR_NODE)
		return NULL;
	text = (const char *)node->data.scalar.value;
	return strlen(text) == node->data.scalar.length ? text : NULL;
}

const char *drpc_yaml_kind(const yaml_node_t *node)
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

size_t drpc_yaml_items(const yaml_node_t *list)
{
	return (size_t)(list->data.sequence.items.top - list->data.sequence.items.start);
}

yaml_node_t *drpc_yaml_item(struct drpc_yaml *y, const yaml_node_t *list, size_t i)
{
	if (i >= drpc_yaml_items(list))
		return NULL;
	return yaml_document_get_node(&y->document, list->data.sequence.items.start[i]);
}

int drpc_yaml_for_each(struct drpc_yaml *y, const yaml_node_t *node, const char *what,
		       drpc_yaml_entry_fn fn, void *arg)
{
	yaml_node_pair_t *pair, *before;

	if (node->type == YAML_SCALAR_NODE && node->data.scalar.length == 0)
		return 0; /* the key alone, everything below it commented out */
	if (node->type != YAML_MAPPING_NODE)
		return drpc_yaml_complain(y, drpc_yaml_line(node),
					  "%s: expected a block of `key: value` lines, not %s",
					  what, drpc_yaml_kind(node));
	for (pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key = yaml_document_get_node(&y->document, pair->key);
		yaml_node_t *value = yaml_document_get_node(&y->document, pair->value);
		const char *name = drpc_yaml_text(key);
		int err;

		if (!name)
			return drpc_yaml_complain(y, drpc_yaml_line(key),
						  "%s: a key must be plain text", what);
		for (before = node->data.mapping.pairs.start; before < pair; before++) {
			const yaml_node_t *other =
				yaml_document_get_node(&y->document, before->key);

			if (strcmp(drpc_yaml_text(other), name) == 0) {
				char shown[SHOWN_MAX];

				drpc_sanitize(shown, sizeof(shown), name);
				return drpc_yaml_complain(
					y, drpc_yaml_line(key),
					"\"%s\" is given twice, first in line %zu", shown,
					drpc_yaml_line(other));
			}
		}
		err = fn(y, name, value, arg);
		if (err < 0)
			return err;
	}
	return 0;
}

/* libyaml's own words, with the line where it stopped. */
static int syntax_error(const struct drpc_yaml *y, const yaml_parser_t *parser)
{
	if (parser->error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	if (parser->error == YAML_READER_ERROR) {
		snprintf(y->why, y->why_size, "%s: not a text file in UTF-8: %s at byte %zu",
			 y->name, parser->problem, parser->problem_offset);
		return -EINVAL;
	}
	return drpc_yaml_complain(y, parser->problem_mark.line + 1, "not valid YAML: %s%s%s",
				  parser->problem, parser->context ? " " : "",
				  parser->context ? parser->context : "");
}

static int load_documents(struct drpc_yaml *y, yaml_parser_t *parser, drpc_yaml_root_fn fn)
{
	yaml_document_t second;
	const yaml_node_t *root;
	int err;

	if (!yaml_parser_load(parser, &y->document))
		return syntax_error(y, parser);
	err = fn(y, yaml_document_get_root_node(&y->document));
	yaml_document_delete(&y->document);
	if (err < 0 || parser->stream_end_produced)
		return err;
	if (!yaml_parser_load(parser, &second))
		return syntax_error(y, parser);
	root = yaml_document_get_root_node(&second);
	if (root)
		err = drpc_yaml_complain(y, drpc_yaml_line(root),
					 "a second document begins here; one file holds one");
	yaml_document_delete(&second);
	return err;
}

int drpc_yaml_read(const char *text, size_t len, const char *name, char *why, size_t why_size,
		   drpc_yaml_root_fn fn, void *data)
{
	struct drpc_yaml y = {.name = name, .why_size = why_size, .data = data};
	yaml_parser_t parser;
	int err;

	y.why = why;
	if (!yaml_parser_initialize(&parser))
		return -ENOMEM;
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	err = load_documents(&y, &parser, fn);
	yaml_parser_delete(&parser);
	return err;
}
