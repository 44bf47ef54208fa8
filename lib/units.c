// SPDX-License-Identifier: Apache-2.0
#include "lib/units.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "lib/util.h"

#define NANO		1000000000ULL
#define FRACTION_DIGITS 9

/* A decimal number, exactly: whole + nano / 1e9. */
struct decimal {
	uint64_t whole;
	uint64_t nano;
};

struct unit {
	const char *name;
	uint64_t factor;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Reads "12" or "12.34" and leaves *text at what follows. */
static int read_decimal(const char **text, struct decimal *ret)
{
	struct decimal value = {0};
	const char *p = *text;
	uint64_t place = NANO / 10;

	if (!is_digit(*p))
		return -EINVAL;
	for (; is_digit(*p); p++) {
		if (__builtin_mul_overflow(value.whole, 10, &value.whole) ||
		    __builtin_add_overflow(value.whole, (uint64_t)(*p - '0'), &value.whole))
			return -ERANGE;
	}
	if (*p == '.') {
		const char *first = ++p;

		for (; is_digit(*p); p++, place /= 10)
			value.nano += place * (uint64_t)(*p - '0');
		if (p == first || p - first > FRACTION_DIGITS)
			return -EINVAL;
	}
	*text = p;
	*ret = value;
	return 0;
}

/* value × factor, rounded to nearest. UINT64_MAX stays free: it means "no limit" elsewhere. */
static int scale(const struct decimal *value, uint64_t factor, uint64_t *ret)
{
	unsigned __int128 product = (unsigned __int128)value->whole * factor;

	product += ((unsigned __int128)value->nano * factor + NANO / 2) / NANO;
	if (product >= UINT64_MAX)
		return -ERANGE;
	*ret = (uint64_t)product;
	return 0;
}

static int read_scaled(const char *text, const struct unit *units, size_t count, uint64_t *ret)
{
	struct decimal value;
	int r = read_decimal(&text, &value);

	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(text, units[i].name) == 0)
			return scale(&value, units[i].factor, ret);
	}
	return -EINVAL;
}

int drpc_unit_duration_ns(const char *text, uint64_t *ret)
{
	static const struct unit units[] = {
		{"us", DRPC_NSEC_PER_USEC}, {"ms", DRPC_NSEC_PER_MSEC}, {"s", DRPC_NSEC_PER_SEC}};

	return read_scaled(text, units, DRPC_ARRAY_SIZE(units), ret);
}

int drpc_unit_cpu_mcpu(const char *text, uint64_t *ret)
{
	static const struct unit units[] = {{"", 1000}, {"m", 1}};

	return read_scaled(text, units, DRPC_ARRAY_SIZE(units), ret);
}

int drpc_unit_bytes(const char *text, uint64_t *ret)
{
	static const struct unit units[] = {
		{"", 1},
		{"k", 1000},
		{"M", 1000000},
		{"G", 1000000000},
		{"Ki", 1ULL << 10},
		{"Mi", 1ULL << 20},
		{"Gi", 1ULL << 30},
		{"Ti", 1ULL << 40},
		{"T", 1000000000000},
	};

	return read_scaled(text, units, DRPC_ARRAY_SIZE(units), ret);
}

int drpc_unit_share(const char *text, double *ret)
{
	struct decimal value;
	double share;
	int r = read_decimal(&text, &value);

	if (r < 0)
		return r;
	share = (double)value.whole + (double)value.nano / (double)NANO;
	if (strcmp(text, "%") == 0)
		share /= 100;
	else if (*text)
		return -EINVAL;
	if (share > 1)
		return -ERANGE;
	*ret = share;
	return 0;
}

int drpc_unit_count(const char *text, uint32_t *ret)
{
	struct decimal value;
	int r;

	if (strchr(text, '.'))
		return -EINVAL;
	r = read_decimal(&text, &value);
	if (r < 0)
		return r;
	if (*text)
		return -EINVAL;
	if (value.whole > UINT32_MAX)
		return -ERANGE;
	*ret = (uint32_t)value.whole;
	return 0;
}

int drpc_unit_bool(const char *text, bool *ret)
{
	if (strcmp(text, "true") == 0)
		*ret = true;
	else if (strcmp(text, "false") == 0)
		*ret = false;
	else
		return -EINVAL;
	return 0;
}
