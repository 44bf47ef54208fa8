/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML files that people write: a document's tree, and complaints that name file, line and rule.
 *
 * libyaml's document tree is walked directly: libcyaml 1.3.1 keeps no lines for values and names the
 * line before the mistake for keys, and the line is half of the message.
 */
#pragma once

#include <stddef.h>
#include <yaml.h>

/* One reading: the tree and where a complaint goes. Set up by drpc_yaml_read(). */
struct drpc_yaml {
	const char *name; /* of the file, as messages spell it */
	yaml_document_t document;
	char *why;
	size_t why_size;
	void *data; /* the caller's, for its callbacks */
};

/* One key of a mapping and what stands there. */
typedef int (*drpc_yaml_entry_fn)(struct drpc_yaml *y, const char *key, yaml_node_t *value,
				  void *arg);

/* What to do with the root (NULL in an empty file). */
typedef int (*drpc_yaml_root_fn)(struct drpc_yaml *y, yaml_node_t *root);

/*
 * Parses `text` and calls `fn` with its one document. Returns what fn returned, or -EINVAL with
 * `why` set for what is no YAML, or -ENOMEM with `why` untouched.
 */
int drpc_yaml_read(const char *text, size_t len, const char *name, char *why, size_t why_size,
		   drpc_yaml_root_fn fn, void *data);

/* "FILE:LINE: text" into `why`; returns -EINVAL. */
int drpc_yaml_complain(const struct drpc_yaml *y, size_t line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

size_t drpc_yaml_line(const yaml_node_t *node);
/* The text of a scalar; NULL for anything else, or where it holds a NUL. */
const char *drpc_yaml_text(const yaml_node_t *node);
/* "a list", "a block of keys", "a value". */
const char *drpc_yaml_kind(const yaml_node_t *node);
/* Entry i of a list, NULL beyond its end. */
yaml_node_t *drpc_yaml_item(struct drpc_yaml *y, const yaml_node_t *list, size_t i);
size_t drpc_yaml_items(const yaml_node_t *list);

/*
 * Calls `fn` for every key of a mapping; a key that comes twice is refused. `what` names the
 * mapping. A value that is empty counts as a mapping without keys.
 */
int drpc_yaml_for_each(struct drpc_yaml *y, const yaml_node_t *node, const char *what,
		       drpc_yaml_entry_fn fn, void *arg);
