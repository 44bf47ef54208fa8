// SPDX-License-Identifier: Apache-2.0
/* Values of an application's file: units, distributions, names. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/units.h"
#include "lib/util.h"
#include "sim/app_internal.h"

#define FORM_DIST                                                                       \
	"a time such as `2ms`, `2ms exponential`, `2ms lognormal 0.5` (coefficient of " \
	"variation), `2ms pareto 2.5` (tail index above 1) or `1ms to 3ms`"
#define FORM_FACTOR "a number of at least 0 such as 1.5"

void *app_grow(void *array_pointer, uint32_t *n, size_t size)
{
	char **array = array_pointer, *bigger = *array;

	/* Full at every power of two. */
	if ((*n & (*n - 1)) == 0) {
		bigger = realloc(*array, (*n ? 2 * (size_t)*n : 1) * size);
		if (!bigger)
			return NULL;
		*array = bigger;
	}
	memset(bigger + *n * size, 0, size);
	return bigger + (*n)++ * size;
}

int app_read_name(struct drpc_yaml *y, const char *what, const char *text, const yaml_node_t *node,
		  char **ret)
{
	char *copy;

	if (!text || !*text || strlen(text) > APP_NAME_MAX || strpbrk(text, ". \t\n"))
		return drpc_yaml_complain(
			y, drpc_yaml_line(node),
			"%s: expected a name of 1 to %d characters without dots and blanks", what,
			APP_NAME_MAX);
	for (const char *p = text; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return drpc_yaml_complain(y, drpc_yaml_line(node),
						  "%s: control characters in a name", what);
	}
	copy = strdup(text);
	if (!copy)
		return -ENOMEM;
	*ret = copy;
	return 0;
}

int app_find_key(struct drpc_yaml *y, const struct app_key *keys, const char *what,
		 const char *name, const yaml_node_t *value, const struct app_key **ret)
{
	char shown[APP_NAME_MAX], all[512];
	size_t len = 0;

	all[0] = '\0';
	for (; keys->name; keys++) {
		if (strcmp(keys->name, name) == 0) {
			*ret = keys;
			return 0;
		}
		if (len < sizeof(all))
			len += (size_t)snprintf(all + len, sizeof(all) - len, "%s%s",
						len ? ", " : "", keys->name);
	}
	drpc_sanitize(shown, sizeof(shown), name);
	return drpc_yaml_complain(y, drpc_yaml_line(value), "%s: unknown key \"%s\", expected %s",
				  what, shown, all);
}

/* --- distributions ------------------------------------------------------------------------------ */

static bool parse_number(const char *text, double *ret)
{
	char *end;
	const double value = strtod(text, &end);

	if (end == text || *end || !isfinite(value))
		return false;
	*ret = value;
	return true;
}

static bool parse_dist(const char *text, struct drpc_sim_dist *ret)
{
	char copy[128], *word[4], *save = NULL;
	uint64_t first, second;
	double number;
	int n = 0;

	if (!drpc_strcpy(copy, sizeof(copy), text))
		return false;
	for (char *w = strtok_r(copy, " \t", &save); w; w = strtok_r(NULL, " \t", &save)) {
		if (n == 4)
			return false;
		word[n++] = w;
	}
	if (n == 0 || drpc_unit_duration_ns(word[0], &first) < 0)
		return false;
	if (n == 1)
		*ret = drpc_sim_constant((double)first);
	else if (n == 2 && strcmp(word[1], "exponential") == 0)
		*ret = drpc_sim_exponential_dist((double)first);
	else if (n == 3 && strcmp(word[1], "lognormal") == 0 && parse_number(word[2], &number) &&
		 number >= 0.0 && number <= 100.0)
		*ret = drpc_sim_lognormal((double)first, number);
	else if (n == 3 && strcmp(word[1], "pareto") == 0 && parse_number(word[2], &number) &&
		 number > 1.0 && number <= 100.0)
		*ret = drpc_sim_pareto((double)first, number);
	else if (n == 3 && strcmp(word[1], "to") == 0 &&
		 drpc_unit_duration_ns(word[2], &second) == 0 && second >= first)
		*ret = drpc_sim_uniform_dist((double)first, (double)second);
	else
		return false;
	return true;
}

/* --- values ------------------------------------------------------------------------------------- */

union parsed {
	uint32_t count;
	uint64_t whole;
	double number;
	struct drpc_sim_dist dist;
	bool flag;
	enum drpc_sim_balance balance;
};

struct form {
	const char *text;
	size_t size;
};

static const struct form forms[] = {
	[APP_COUNT] = {DRPC_FORM_COUNT, sizeof(uint32_t)},
	[APP_CPU] = {DRPC_FORM_CPU, sizeof(double)},
	[APP_BYTES] = {DRPC_FORM_BYTES, sizeof(double)},
	[APP_DURATION] = {DRPC_FORM_DURATION, sizeof(uint64_t)},
	[APP_TIME] = {DRPC_FORM_DURATION, sizeof(double)},
	[APP_DIST] = {FORM_DIST, sizeof(struct drpc_sim_dist)},
	[APP_SHARE] = {DRPC_FORM_SHARE, sizeof(double)},
	[APP_FACTOR] = {FORM_FACTOR, sizeof(double)},
	[APP_BOOL] = {DRPC_FORM_BOOL, sizeof(bool)},
	[APP_BALANCE] = {"round-robin or least", sizeof(enum drpc_sim_balance)},
};

static bool parse(enum app_value type, const char *text, union parsed *v, bool *ret_is_zero)
{
	uint64_t whole = 0;
	bool ok = false, zero = false;

	switch (type) {
	case APP_COUNT:
		ok = drpc_unit_count(text, &v->count) == 0;
		zero = ok && v->count == 0;
		break;
	case APP_CPU:
		ok = drpc_unit_cpu_mcpu(text, &whole) == 0;
		v->number = (double)whole / 1000.0;
		zero = whole == 0;
		break;
	case APP_BYTES:
		ok = drpc_unit_bytes(text, &whole) == 0;
		v->number = (double)whole;
		zero = whole == 0;
		break;
	case APP_DURATION:
		ok = drpc_unit_duration_ns(text, &v->whole) == 0;
		zero = ok && v->whole == 0;
		break;
	case APP_TIME:
		ok = drpc_unit_duration_ns(text, &whole) == 0;
		v->number = (double)whole;
		zero = whole == 0;
		break;
	case APP_DIST:
		ok = parse_dist(text, &v->dist);
		zero = ok && v->dist.mean_ns <= 0.0;
		break;
	case APP_SHARE:
		ok = drpc_unit_share(text, &v->number) == 0;
		zero = ok && v->number <= 0.0;
		break;
	case APP_FACTOR:
		ok = parse_number(text, &v->number) && v->number >= 0.0 && v->number <= 1e6;
		zero = ok && v->number <= 0.0;
		break;
	case APP_BOOL:
		ok = drpc_unit_bool(text, &v->flag) == 0;
		break;
	case APP_BALANCE:
		ok = strcmp(text, "round-robin") == 0 || strcmp(text, "least") == 0;
		v->balance = strcmp(text, "least") == 0 ? DRPC_SIM_LEAST : DRPC_SIM_ROUND_ROBIN;
		break;
	}
	*ret_is_zero = zero;
	return ok;
}

/* What the word none stands for, in the value's type. */
static void take_none(enum app_value type, double none, union parsed *v)
{
	if (type == APP_COUNT)
		v->count = (uint32_t)none;
	else if (type == APP_DURATION)
		v->whole = (uint64_t)none;
	else if (type == APP_DIST)
		v->dist = drpc_sim_constant(none);
	else
		v->number = none;
}

int app_read_value(struct drpc_yaml *y, const struct app_key *key, const yaml_node_t *value,
		   void *base)
{
	const char *text = drpc_yaml_text(value);
	const struct form *form = &forms[key->type];
	char shown[APP_NAME_MAX];
	union parsed v = {0};
	bool zero = false;

	if (!text)
		return drpc_yaml_complain(y, drpc_yaml_line(value),
					  "%s: expected one value, not %s", key->name,
					  drpc_yaml_kind(value));
	if (!isnan(key->none) && strcmp(text, "none") == 0) {
		take_none(key->type, key->none, &v);
	} else if (!parse(key->type, text, &v, &zero)) {
		drpc_sanitize(shown, sizeof(shown), text);
		return drpc_yaml_complain(y, drpc_yaml_line(value), "%s: \"%s\", expected %s%s",
					  key->name, shown, form->text,
					  isnan(key->none) ? "" : ", or none");
	} else if (zero && !key->zero) {
		return drpc_yaml_complain(y, drpc_yaml_line(value),
					  "%s: zero capacity: it must be more than 0", key->name);
	}
	memcpy((char *)base + key->offset, &v, form->size);
	return 0;
}
