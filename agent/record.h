/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes down the states that decisions are made from, one CSV line a deployment and decision: what
 * a student is taught on (`drpc-teacher distil`). Columns: time in seconds, deployment, then the
 * features by name (include/drpc/features.h).
 */
#pragma once

#include <stdint.h>

#include "agent/plan/planner.h"

struct drpc_record;

/* Appends to `path`; a new file gets a header line. Returns 0 or a negative errno, logged. */
int drpc_record_open(const char *path, struct drpc_record **ret);
void drpc_record_close(struct drpc_record **record); /* NULL-safe; nulls */

/* NULL-safe. A write that fails (disk full) is logged once and ends the recording, nothing else. */
void drpc_record_state(struct drpc_record *record, const char *deployment, uint64_t realtime_ns,
		       const struct drpc_observation *observation);
