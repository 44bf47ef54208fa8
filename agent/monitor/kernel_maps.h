/* SPDX-License-Identifier: Apache-2.0 */
/* Shared maps of the kernel side; see kernel_internal.h for how concerns get them. */
#pragma once

#include "agent/monitor/kernel_internal.h"

/* Makes and maps them; kernel->options and ->slots are set. On failure drpc_maps_destroy(). */
int drpc_maps_create(struct drpc_kernel *kernel);
void drpc_maps_destroy(struct drpc_kernel *kernel);

/* Makes the slot's counters readable; to be called before the slot is given out. */
int drpc_maps_reach(struct drpc_kernel *kernel, uint32_t slot);

/* What the kernel charges for a map, 0 where it does not say. */
uint64_t drpc_map_memory_bytes(int fd);
