/* SPDX-License-Identifier: Apache-2.0 */
/* States that an agent has written down (`drpc-agent --record-states`, agent/record.h). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "include/drpc/features.h"

/*
 * States of one deployment in one file form a group: they follow one another by a fifth of a second
 * and are much alike, so that what is held out must be whole groups.
 */
struct drpc_states {
	float *features;  /* [count][DRPC_F_COUNT], in the order of enum drpc_feature */
	uint32_t *groups; /* [count], 0..group_count-1 */
	size_t count, capacity;
	uint32_t group_count;
};

/*
 * Appends a file's states. Columns are found by name, further ones are ignored; a file without a
 * column "deployment" is one group. -EINVAL for a file that is none, a column that is missing, a
 * value that is no finite number: logged as FILE:LINE with what was expected; *states is then as it
 * was.
 */
int drpc_states_load(const char *path, struct drpc_states *states);

/* Appends one state of a group; a group that is new counts group_count up. -ENOMEM. */
int drpc_states_add(struct drpc_states *states, uint32_t group, const float features[DRPC_F_COUNT]);

/*
 * Moves every `every`-th group, or the last one where there are fewer, from *states to *held_out.
 * -ENODATA (logged) where there is but one group, -ENOMEM; both are then as they were.
 */
int drpc_states_split(struct drpc_states *states, unsigned int every, struct drpc_states *held_out);

void drpc_states_free(struct drpc_states *states);
