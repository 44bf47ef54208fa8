// SPDX-License-Identifier: Apache-2.0
#include "teacher/crc32c.h"

#include <string.h>

#define POLYNOMIAL 0x82f63b78u /* reflected */

uint32_t drpc_crc32c_table(uint32_t crc, const void *data, size_t bytes)
{
	const unsigned char *p = data;
	uint32_t table[256];

	/* Built each time: this path is for processors of before 2009, and for tests. */
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t entry = i;

		for (int bit = 0; bit < 8; bit++)
			entry = entry & 1 ? entry >> 1 ^ POLYNOMIAL : entry >> 1;
		table[i] = entry;
	}
	crc = ~crc;
	while (bytes-- > 0)
		crc = crc >> 8 ^ table[(crc ^ *p++) & 0xff];
	return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const void *data,
							       size_t bytes)
{
	const unsigned char *p = data;
	uint64_t wide = ~crc;

	for (; bytes >= 8; bytes -= 8, p += 8) {
		uint64_t word;

		memcpy(&word, p, 8);
		wide = __builtin_ia32_crc32di(wide, word);
	}
	for (; bytes > 0; bytes--)
		wide = __builtin_ia32_crc32qi((uint32_t)wide, *p++);
	return ~(uint32_t)wide;
}
#endif

uint32_t drpc_crc32c(uint32_t crc, const void *data, size_t bytes)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2"))
		return crc32c_sse42(crc, data, bytes);
#endif
	return drpc_crc32c_table(crc, data, bytes);
}
