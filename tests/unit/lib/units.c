// SPDX-License-Identifier: Apache-2.0
#include "lib/units.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <locale.h>

#include "lib/util.h"

typedef int (*parse_u64_fn)(const char *text, uint64_t *ret);

struct row {
	parse_u64_fn parse;
	const char *text;
	int result;
	uint64_t value;
};

static const struct row rows[] = {
	{drpc_unit_duration_ns, "250us", 0, 250000},
	{drpc_unit_duration_ns, "200ms", 0, 200000000},
	{drpc_unit_duration_ns, "1.5s", 0, 1500000000},
	{drpc_unit_duration_ns, "0.0005us", 0, 1}, /* 0.5 ns, to nearest */
	{drpc_unit_duration_ns, "0s", 0, 0},
	{drpc_unit_duration_ns, "200", -EINVAL, 0},
	{drpc_unit_duration_ns, "200 ms", -EINVAL, 0},
	{drpc_unit_duration_ns, " 200ms", -EINVAL, 0},
	{drpc_unit_duration_ns, "-1ms", -EINVAL, 0},
	{drpc_unit_duration_ns, "1e3ms", -EINVAL, 0},
	{drpc_unit_duration_ns, "1.ms", -EINVAL, 0},
	{drpc_unit_duration_ns, ".5s", -EINVAL, 0},
	{drpc_unit_duration_ns, "ms", -EINVAL, 0},
	{drpc_unit_duration_ns, "", -EINVAL, 0},
	{drpc_unit_duration_ns, "1msec", -EINVAL, 0},
	{drpc_unit_duration_ns, "18446744073709551616us", -ERANGE, 0},
	{drpc_unit_duration_ns, "18446744073s", 0, 18446744073000000000ULL},
	{drpc_unit_duration_ns, "18446744074s", -ERANGE, 0},
	{drpc_unit_cpu_mcpu, "0.5", 0, 500},
	{drpc_unit_cpu_mcpu, "500m", 0, 500},
	{drpc_unit_cpu_mcpu, "2", 0, 2000},
	{drpc_unit_cpu_mcpu, "0.0004", 0, 0},
	{drpc_unit_cpu_mcpu, "0.1234567891", -EINVAL, 0}, /* more digits than are kept */
	{drpc_unit_cpu_mcpu, "0,5", -EINVAL, 0},
	{drpc_unit_cpu_mcpu, "nan", -EINVAL, 0},
	{drpc_unit_bytes, "1000000", 0, 1000000},
	{drpc_unit_bytes, "500M", 0, 500000000},
	{drpc_unit_bytes, "64Mi", 0, 64ULL << 20},
	{drpc_unit_bytes, "1.5Gi", 0, 3ULL << 29},
	{drpc_unit_bytes, "1Ti", 0, 1ULL << 40},
	{drpc_unit_bytes, "64MiB", -EINVAL, 0},
	{drpc_unit_bytes, "64mi", -EINVAL, 0},
	{drpc_unit_bytes, "18446744073709551615", -ERANGE, 0}, /* that is "no limit" */
	{drpc_unit_bytes, "18446744073709551614", 0, UINT64_MAX - 1},
	{drpc_unit_bytes, "99999999Ti", -ERANGE, 0},
};

Test(units, forms)
{
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(rows); i++) {
		uint64_t value = 77;

		cr_expect_eq(rows[i].parse(rows[i].text, &value), rows[i].result, "\"%s\"",
			     rows[i].text);
		cr_expect_eq(value, rows[i].result ? 77 : rows[i].value, "\"%s\" gave %lu",
			     rows[i].text, value);
	}
}

Test(units, share)
{
	double share = 7;

	cr_expect_eq(drpc_unit_share("20%", &share), 0);
	cr_expect_float_eq(share, 0.2, 1e-12);
	cr_expect_eq(drpc_unit_share("0.25", &share), 0);
	cr_expect_float_eq(share, 0.25, 1e-12);
	cr_expect_eq(drpc_unit_share("100%", &share), 0);
	cr_expect_float_eq(share, 1, 0);
	share = 7;
	cr_expect_eq(drpc_unit_share("101%", &share), -ERANGE);
	cr_expect_eq(drpc_unit_share("20", &share), -ERANGE);
	cr_expect_eq(drpc_unit_share("20 %", &share), -EINVAL);
	cr_expect_eq(drpc_unit_share("-0.1", &share), -EINVAL);
	cr_expect_float_eq(share, 7, 0, "a failure touched the output");
}

Test(units, count_and_bool)
{
	uint32_t count = 7;
	bool flag = false;

	cr_expect_eq(drpc_unit_count("4294967295", &count), 0);
	cr_expect_eq(count, UINT32_MAX);
	cr_expect_eq(drpc_unit_count("4294967296", &count), -ERANGE);
	cr_expect_eq(drpc_unit_count("5.0", &count), -EINVAL);
	cr_expect_eq(drpc_unit_count("5 ", &count), -EINVAL);
	cr_expect_eq(count, UINT32_MAX);
	cr_expect_eq(drpc_unit_bool("true", &flag), 0);
	cr_expect(flag);
	cr_expect_eq(drpc_unit_bool("yes", &flag), -EINVAL);
	cr_expect_eq(drpc_unit_bool("True", &flag), -EINVAL);
	cr_expect(flag);
}
