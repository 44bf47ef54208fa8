/* SPDX-License-Identifier: Apache-2.0 */
/* A decision in words. */
#pragma once

#include <json-c/json.h>

#include "tools/drpc/table.h"

/* What was seen, what the planner wanted, what the guard said, what became of it. */
void drpc_words_decision(struct json_object *decision, const struct drpc_term *term,
			 drpc_emit_fn emit, void *arg);
