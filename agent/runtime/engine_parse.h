/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What engines answer, as data. Answers are foreign input: whatever is missing or of the wrong type
 * counts as not given, names are sanitized, and only what cannot be used at all is an error.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "agent/runtime/runtime.h"

struct drpc_engine_version {
	char kind[16]; /* "docker" or "podman" */
	char version[64];
	char api[16]; /* "1.41": what to speak */
};

/* Parses `len` bytes that must be one JSON value. -EBADMSG, -ENOMEM. */
int drpc_engine_parse_json(const char *text, size_t len, struct json_object **ret);

int drpc_engine_parse_version(const char *text, size_t len, struct drpc_engine_version *ret);

/* The answer of inspect. Free with drpc_runtime_container_clear(). */
int drpc_engine_parse_container(const char *text, size_t len, struct drpc_runtime_container *ret);

/* The answer of list; entries without a usable id are left out. */
int drpc_engine_parse_list(const char *text, size_t len, struct drpc_runtime_container **ret,
			   size_t *ret_count);

/* An event; false where it is none that matters. */
bool drpc_engine_parse_event(struct json_object *o, struct drpc_runtime_event *ret);

/* The text of an error answer, sanitized; "" where there is none. */
void drpc_engine_parse_message(const char *text, size_t len, char *ret, size_t ret_size);

/* Whether `id` can stand in a URL: letters, digits, "_.-", not empty. */
bool drpc_engine_id_valid(const char *id);

void drpc_runtime_container_clear(struct drpc_runtime_container *c);
void drpc_runtime_containers_free(struct drpc_runtime_container **list, size_t count);

static inline bool drpc_engine_is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static inline void drpc_json_putp(struct json_object **o)
{
	json_object_put(*o);
}
#define _cleanup_json_ _cleanup_(drpc_json_putp)
