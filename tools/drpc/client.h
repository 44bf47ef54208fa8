/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP to the agent over its unix socket. */
#pragma once

#include <json-c/json.h>

struct drpc_client;

int drpc_client_new(const char *socket, struct drpc_client **ret);
void drpc_client_free(struct drpc_client **client); /* NULL-safe; nulls */

/*
 * Asks for `path`; *ret is a new reference. Returns 0, or a negative errno with a sentence in
 * drpc_client_why(): -ECONNREFUSED no agent answers, -EACCES the socket may not be used, -ENOENT
 * the agent knows no such thing (404), -EPROTO something else answered, -EIO other answers.
 */
int drpc_client_get(struct drpc_client *client, const char *path, struct json_object **ret);

/* POST with a JSON body (borrowed; NULL for none). */
int drpc_client_post(struct drpc_client *client, const char *path, struct json_object *body,
		     struct json_object **ret);

/* What went wrong last, and what to do. Valid until the next call. */
const char *drpc_client_why(const struct drpc_client *client);

/* "PREFIX" + name, percent-encoded + "SUFFIX"; to be freed. NULL without memory. */
char *drpc_client_path(struct drpc_client *client, const char *prefix, const char *name,
		       const char *suffix);
