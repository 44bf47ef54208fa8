/* SPDX-License-Identifier: Apache-2.0 */
/* States that an agent has written down (`drpc-agent --record-states`, agent/record.h). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "include/drpc/features.h"

struct drpc_states {
	float *features; /* [count][DRPC_F_COUNT], in the order of enum drpc_feature */
	size_t count, capacity;
};

/*
 * Appends a file's states. Columns are found by name, further ones are ignored. -EINVAL for a file
 * that is none, a column that is missing, a value that is no finite number: logged as FILE:LINE with
 * what was expected; *states is then as it was.
 */
int drpc_states_load(const char *path, struct drpc_states *states);

/* Appends one state. -ENOMEM. */
int drpc_states_add(struct drpc_states *states, const float features[DRPC_F_COUNT]);

void drpc_states_free(struct drpc_states *states);
