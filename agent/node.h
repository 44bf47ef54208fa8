/* SPDX-License-Identifier: Apache-2.0 */
/* The machine the agent runs on. */
#pragma once

#include <stdint.h>

/* CPUs online in thousandths, and memory in all (MemTotal). */
void drpc_node_size(uint64_t *ret_mcpu, uint64_t *ret_memory_bytes);
