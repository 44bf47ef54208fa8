/* SPDX-License-Identifier: Apache-2.0 */
/* The last step of a concern's open(), the same for all that have nothing special to do. */
#pragma once

#include "agent/monitor/kernel_internal.h"

/*
 * Shares the maps with an opened, configured skeleton, loads the programs of the chosen rungs and
 * attaches them. 0 or a negative errno, logged; the skeleton stays the caller's.
 */
int drpc_kernel_load(struct drpc_kernel *kernel, const char *concern,
		     struct bpf_object_skeleton *skeleton, const struct drpc_need *needs,
		     size_t n_needs);

/* Whether a need's chosen rung has this program. */
bool drpc_need_uses(const struct drpc_need *need, const char *program);
