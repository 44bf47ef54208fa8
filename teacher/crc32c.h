/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C (Castagnoli): the processor computes it where it can. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Continues `crc` (0 to begin) over `bytes` bytes. "123456789" gives 0xe3069283. */
uint32_t drpc_crc32c(uint32_t crc, const void *data, size_t bytes);

/* The same by table, for processors without the instruction, and to test against. */
uint32_t drpc_crc32c_table(uint32_t crc, const void *data, size_t bytes);
