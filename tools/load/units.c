// SPDX-License-Identifier: Apache-2.0
#include "tools/load/units.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"

/* Digits, one point, an exponent: what strtod() takes besides (inf, nan, hex, signs) is refused. */
static double number_prefix(const char *text, const char **ret_end)
{
	char *end;
	double v;

	*ret_end = text;
	if (*text != '.' && (*text < '0' || *text > '9'))
		return 0;
	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
		return 0;
	v = strtod(text, &end);
	*ret_end = end;
	return v;
}

bool drpc_parse_number(const char *text, double min, double max, double *ret)
{
	const char *end;
	double v = number_prefix(text, &end);

	if (end == text || *end || !isfinite(v) || v < min || v > max)
		return false;
	*ret = v;
	return true;
}

bool drpc_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
	unsigned long long v;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno || *end || v < min || v > max)
		return false;
	*ret = v;
	return true;
}

bool drpc_parse_duration_ns(const char *text, uint64_t *ret_ns)
{
	static const struct {
		const char *name;
		double ns;
	} units[] = {{"", 1e9},	  {"s", 1e9},  {"ms", 1e6},  {"us", 1e3},
		     {"ns", 1.0}, {"m", 6e10}, {"h", 3.6e12}};
	const char *unit;
	double v = number_prefix(text, &unit);

	if (unit == text)
		return false;
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(units); i++) {
		if (strcmp(unit, units[i].name) != 0)
			continue;
		v *= units[i].ns;
		if (!isfinite(v) || v > 1000 * 3.6e12)
			return false;
		*ret_ns = (uint64_t)llround(v);
		return true;
	}
	return false;
}
