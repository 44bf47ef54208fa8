/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints of a trainer: a model file (nn/model_file.h) of kind "td3" with the settings, counters
 * and random streams in its header, and parameters, targets and moments of both halves as weights;
 * where drawing is prioritised, the replay's priorities as well.
 */
#pragma once

#include "teacher/td3.h"

/*
 * Writes whole or not at all. A trainer that has diverged is refused (-EDOM, logged), so that the
 * last good checkpoint stays. `replay` is the buffer that it trains from: its records are on the
 * disk before the checkpoint is. NULL for none.
 */
int drpc_td3_save(const struct drpc_td3 *td3, struct drpc_replay *replay, const char *path);

/*
 * Reads a checkpoint; with `replay`, takes that back to where it was when the checkpoint was
 * written, as far as it can. Continues bit for bit on the same machine. Returns what
 * drpc_model_file_load() returns; -EINVAL for a header that is not a trainer's. Logged.
 */
int drpc_td3_load(const char *path, struct drpc_replay *replay, struct drpc_td3 **ret);
