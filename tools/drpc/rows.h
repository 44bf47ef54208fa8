/* SPDX-License-Identifier: Apache-2.0 */
/* Containers as rows of a table: what `ls` and `top` have in common. */
#pragma once

#include <json-c/json.h>

#include "tools/drpc/table.h"

enum drpc_sort {
	DRPC_SORT_NAME,
	DRPC_SORT_RATE,
	DRPC_SORT_P99, /* against the objective where there is one */
	DRPC_SORT_CPU,
	DRPC_SORT_COUNT,
};

const char *drpc_sort_name(enum drpc_sort sort);

/* A table of the list that /v1/containers gave. */
int drpc_rows_new(struct json_object *containers, enum drpc_sort sort, struct drpc_table **ret);

/* One line a deployment that was acted on: what was done last and why. */
void drpc_rows_actions(struct json_object *containers, int width, size_t max,
		       const struct drpc_term *term, drpc_emit_fn emit, void *arg);
