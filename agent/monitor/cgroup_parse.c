// SPDX-License-Identifier: Apache-2.0
#include "agent/monitor/cgroup_parse.h"

#include <string.h>

struct span {
	const char *at;
	size_t len;
};

static bool span_is(struct span span, const char *word)
{
	return span.len == strlen(word) && memcmp(span.at, word, span.len) == 0;
}

/* Cuts the text up to the next `sep` off *rest. False at the end, and where `sep` is missing. */
static bool span_cut(struct span *rest, char sep, struct span *ret)
{
	const char *end = rest->len ? memchr(rest->at, sep, rest->len) : NULL;

	if (!end)
		return false;
	ret->at = rest->at;
	ret->len = (size_t)(end - rest->at);
	rest->at += ret->len + 1;
	rest->len -= ret->len + 1;
	return true;
}

/* The whole span as an unsigned decimal: no sign, no blanks, no overflow. */
static bool span_number(struct span span, uint64_t *ret)
{
	uint64_t value = 0;

	if (span.len == 0)
		return false;
	for (size_t i = 0; i < span.len; i++) {
		unsigned int digit = (unsigned char)span.at[i] - (unsigned int)'0';

		if (digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, digit, &value))
			return false;
	}
	*ret = value;
	return true;
}

/* The next line that reads "KEY NUMBER". */
static bool next_pair(struct span *rest, struct span *ret_key, uint64_t *ret_value)
{
	struct span line;

	while (span_cut(rest, '\n', &line)) {
		if (span_cut(&line, ' ', ret_key) && span_number(line, ret_value))
			return true;
	}
	return false;
}

/* One wanted key of a "KEY NUMBER" file. */
struct wanted {
	const char *key;
	uint64_t value;
	bool found;
};

static void find_keys(const char *text, size_t len, struct wanted *wanted, size_t count)
{
	struct span rest = {text, len}, key;
	size_t missing = count;
	uint64_t value;

	while (missing && next_pair(&rest, &key, &value)) {
		for (size_t i = 0; i < count; i++) {
			if (!wanted[i].found && span_is(key, wanted[i].key)) {
				wanted[i].value = value;
				wanted[i].found = true;
				missing--;
				break;
			}
		}
	}
}

void drpc_cgroup_parse_cpu_stat(const char *text, size_t len, struct drpc_cgroup_counters *counters)
{
	struct wanted w[] = {{.key = "usage_usec"},
			     {.key = "nr_periods"},
			     {.key = "nr_throttled"},
			     {.key = "throttled_usec"}};

	find_keys(text, len, w, 4);
	if (w[0].found) {
		counters->cpu_usage_usec = w[0].value;
		counters->valid |= DRPC_CG_CPU;
	}
	if (w[1].found && w[2].found && w[3].found) {
		counters->nr_periods = w[1].value;
		counters->nr_throttled = w[2].value;
		counters->throttled_usec = w[3].value;
		counters->valid |= DRPC_CG_THROTTLE;
	}
}

void drpc_cgroup_parse_cpu_stat_v1(const char *text, size_t len,
				   struct drpc_cgroup_counters *counters)
{
	struct wanted w[] = {
		{.key = "nr_periods"}, {.key = "nr_throttled"}, {.key = "throttled_time"}};

	find_keys(text, len, w, 3);
	if (w[0].found && w[1].found && w[2].found) {
		counters->nr_periods = w[0].value;
		counters->nr_throttled = w[1].value;
		counters->throttled_usec = w[2].value / 1000;
		counters->valid |= DRPC_CG_THROTTLE;
	}
}

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=123", without its newline. */
static bool parse_pressure_line(struct span line, struct span *ret_name, uint64_t *ret_total)
{
	static const char total[] = "total=";
	struct span field;

	if (!span_cut(&line, ' ', ret_name))
		return false;
	while (span_cut(&line, ' ', &field)) {}
	if (line.len < sizeof(total) - 1 || memcmp(line.at, total, sizeof(total) - 1) != 0)
		return false;
	line.at += sizeof(total) - 1;
	line.len -= sizeof(total) - 1;
	return span_number(line, ret_total);
}

bool drpc_cgroup_parse_pressure(const char *text, size_t len, uint64_t *ret_some_usec,
				uint64_t *ret_full_usec)
{
	struct span rest = {text, len}, line, name;
	uint64_t some = 0, full = 0, total;
	bool have_some = false, have_full = false;

	while (span_cut(&rest, '\n', &line)) {
		if (!parse_pressure_line(line, &name, &total))
			continue;
		if (!have_some && span_is(name, "some")) {
			some = total;
			have_some = true;
		} else if (!have_full && span_is(name, "full")) {
			full = total;
			have_full = true;
		}
	}
	if (!have_some)
		return false;
	*ret_some_usec = some;
	*ret_full_usec = full;
	return true;
}

/* The first line of a file, whose newline must be there. */
static bool first_line(const char *text, size_t len, struct span *ret)
{
	struct span rest = {text, len};

	return span_cut(&rest, '\n', ret);
}

bool drpc_cgroup_parse_number(const char *text, size_t len, uint64_t *ret)
{
	struct span line;

	return first_line(text, len, &line) && span_number(line, ret);
}

bool drpc_cgroup_parse_key(const char *text, size_t len, const char *key, uint64_t *ret)
{
	struct wanted w = {.key = key};

	find_keys(text, len, &w, 1);
	if (w.found)
		*ret = w.value;
	return w.found;
}

static bool span_limit(struct span span, uint64_t *ret)
{
	if (!span_is(span, "max"))
		return span_number(span, ret);
	*ret = DRPC_UNLIMITED;
	return true;
}

bool drpc_cgroup_parse_cpu_max(const char *text, size_t len, struct drpc_limits *limits)
{
	uint64_t quota, period;
	struct span line, first;

	if (!first_line(text, len, &line) || !span_cut(&line, ' ', &first) ||
	    !span_limit(first, &quota) || !span_number(line, &period) || period == 0)
		return false;
	limits->cpu_quota_usec = quota;
	limits->cpu_period_usec = period;
	return true;
}

bool drpc_cgroup_parse_limit(const char *text, size_t len, uint64_t *ret)
{
	struct span line;

	return first_line(text, len, &line) && span_limit(line, ret);
}

bool drpc_cgroup_parse_quota_v1(const char *text, size_t len, uint64_t *ret_usec)
{
	struct span line;

	if (!first_line(text, len, &line))
		return false;
	if (!span_is(line, "-1"))
		return span_number(line, ret_usec);
	*ret_usec = DRPC_UNLIMITED;
	return true;
}

bool drpc_cgroup_parse_proc(const char *text, size_t len, const char *controller, char *ret_path,
			    size_t size)
{
	struct span rest = {text, len}, line, field;

	while (span_cut(&rest, '\n', &line)) {
		struct span list;
		bool match = false;

		/* "ID:LIST:PATH"; a path may hold further colons. */
		if (!span_cut(&line, ':', &field) || !span_cut(&line, ':', &list))
			continue;
		while (span_cut(&list, ',', &field))
			match = match || span_is(field, controller);
		if (!match && !span_is(list, controller))
			continue;
		if (line.len == 0 || line.len >= size || memchr(line.at, '\0', line.len))
			return false;
		memcpy(ret_path, line.at, line.len);
		ret_path[line.len] = '\0';
		return true;
	}
	return false;
}
