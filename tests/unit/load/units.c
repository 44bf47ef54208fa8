// SPDX-License-Identifier: Apache-2.0
#include "tools/load/units.h"

#include <criterion/criterion.h>

#include "lib/util.h"

Test(units, durations)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} good[] = {
		{"10", 10000000000},
		{"30s", 30000000000},
		{"250ms", 250000000},
		{"1.5m", 90000000000},
		{"2h", 7200000000000},
		{"5us", 5000},
		{"7ns", 7},
		{"0", 0},
		{".5s", 500000000},
		{"1e-3s", 1000000},
	};
	static const char *const bad[] = {"",	  "s",	 "-1s",	 "5 s", "5x",	 "5ss",
					  "nans", "inf", "0x5s", "+5s", "1001h", "1e300"};
	uint64_t ns = 77;

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(bad); i++)
		cr_expect_not(drpc_parse_duration_ns(bad[i], &ns), "%s", bad[i]);
	cr_expect_eq(ns, 77);
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(good); i++) {
		cr_expect(drpc_parse_duration_ns(good[i].text, &ns), "%s", good[i].text);
		cr_expect_eq(ns, good[i].ns, "%s", good[i].text);
	}
}

Test(units, numbers)
{
	double v = 7;
	uint64_t n = 7;

	cr_expect(drpc_parse_number("0.25", 0, 1, &v));
	cr_expect_eq(v, 0.25);
	cr_expect_not(drpc_parse_number("1.5", 0, 1, &v));
	cr_expect_not(drpc_parse_number("0.5 ", 0, 1, &v));
	cr_expect_not(drpc_parse_number("nan", 0, 1, &v));
	cr_expect(drpc_parse_u64("18446744073709551615", 0, UINT64_MAX, &n));
	cr_expect_eq(n, UINT64_MAX);
	cr_expect_not(drpc_parse_u64("18446744073709551616", 0, UINT64_MAX, &n));
	cr_expect_not(drpc_parse_u64("-1", 0, UINT64_MAX, &n));
	cr_expect_not(drpc_parse_u64("", 0, 9, &n));
	cr_expect_not(drpc_parse_u64("12", 0, 9, &n));
}
