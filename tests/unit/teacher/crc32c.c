// SPDX-License-Identifier: Apache-2.0
#include "teacher/crc32c.h"

#include <criterion/criterion.h>

Test(crc32c, check_value_and_both_ways_agree)
{
	unsigned char data[100];

	cr_assert_eq(drpc_crc32c(0, "123456789", 9), 0xe3069283);
	cr_assert_eq(drpc_crc32c_table(0, "123456789", 9), 0xe3069283);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)(i * 37 + 5);
	for (size_t n = 0; n <= sizeof(data); n++) {
		const uint32_t begun = drpc_crc32c(0, data, n / 3);

		cr_assert_eq(drpc_crc32c(0, data, n), drpc_crc32c_table(0, data, n));
		cr_assert_eq(drpc_crc32c(begun, data + n / 3, n - n / 3), drpc_crc32c(0, data, n));
	}
}
