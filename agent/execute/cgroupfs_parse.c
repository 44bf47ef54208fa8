// SPDX-License-Identifier: Apache-2.0
#include "agent/execute/cgroupfs_parse.h"

#include <errno.h>
#include <string.h>

#include "agent/limits.h"

/* Digits from *text on; leaves *text behind them. DRPC_UNLIMITED itself is no number. */
static int take_number(const char **text, uint64_t *ret)
{
	const char *p = *text;
	uint64_t v = 0;

	if (*p < '0' || *p > '9')
		return -EBADMSG;
	for (; *p >= '0' && *p <= '9'; p++) {
		if (__builtin_mul_overflow(v, 10U, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			return -EBADMSG;
	}
	if (v == DRPC_UNLIMITED)
		return -EBADMSG;
	*text = p;
	*ret = v;
	return 0;
}

static int take_value(const char **text, uint64_t *ret)
{
	if (strncmp(*text, "max", 3) == 0) {
		*text += 3;
		*ret = DRPC_UNLIMITED;
		return 0;
	}
	return take_number(text, ret);
}

static int at_end(const char *text)
{
	return *text == '\0' || *text == '\n' ? 0 : -EBADMSG;
}

int drpc_cgroupfs_parse_value(const char *text, uint64_t *ret)
{
	uint64_t v;

	if (take_value(&text, &v) < 0 || at_end(text) < 0)
		return -EBADMSG;
	*ret = v;
	return 0;
}

int drpc_cgroupfs_parse_cpu_max(const char *text, uint64_t *ret_quota, uint64_t *ret_period)
{
	uint64_t quota, period;

	if (take_value(&text, &quota) < 0 || *text != ' ')
		return -EBADMSG;
	text++;
	if (take_number(&text, &period) < 0 || at_end(text) < 0)
		return -EBADMSG;
	*ret_quota = quota;
	*ret_period = period;
	return 0;
}
