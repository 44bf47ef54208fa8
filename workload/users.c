// SPDX-License-Identifier: Apache-2.0
#include "workload/users.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"

#define MAX_SHARE 1e9
#define MAX_TIME  1e9

void drpc_user_mix_done(struct drpc_user_mix *mix)
{
	free(mix->ratio);
	*mix = (struct drpc_user_mix){0};
}

int drpc_user_mix_add(struct drpc_user_mix *mix, double at_s, bool ramp, const double *shares)
{
	struct drpc_user_ratio ratio = {.at_s = at_s, .ramp = ramp}, *more;
	double sum = 0;

	if (mix->ratios == DRPC_USERS_MAX_RATIOS)
		return -E2BIG;
	if (mix->ratios ? !(at_s > mix->ratio[mix->ratios - 1].at_s) : at_s != 0 || ramp)
		return -EINVAL;
	for (size_t i = 0; i < mix->types; i++) {
		if (!(shares[i] >= 0 && shares[i] <= MAX_SHARE))
			return -EINVAL;
		sum += shares[i];
	}
	if (!(sum > 0))
		return -EINVAL;
	/* Ratios of one sum, so that a ramp between them is one of shares. */
	for (size_t i = 0; i < mix->types; i++)
		ratio.shares[i] = shares[i] / sum;
	more = reallocarray(mix->ratio, mix->ratios + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	mix->ratio = more;
	more[mix->ratios++] = ratio;
	return 0;
}

int drpc_user_mix_default(struct drpc_user_mix *ret)
{
	return drpc_user_mix_parse("users", "query=60,buyer=25,canceller=10,admin=5", ret);
}

/* --- text ----------------------------------------------------------------------------------- */

static bool parse_number(const char *text, double max, double *ret)
{
	char *end;

	if (!*text || text[strspn(text, ".0123456789")])
		return false;
	*ret = strtod(text, &end);
	return !*end && *ret <= max;
}

static int find_type(const struct drpc_user_mix *mix, const char *name)
{
	for (size_t i = 0; i < mix->types; i++) {
		if (!strcmp(mix->type[i].name, name))
			return (int)i;
	}
	return -ENOENT;
}

/* "TYPE=SHARE" or, where types are made, "TYPE=SHARE/COUNT". Cuts its text up. */
static bool parse_share(struct drpc_user_mix *mix, char *text, bool first, double *shares)
{
	char *share = strchr(text, '='), *count;
	double users = DRPC_USERS_DEFAULT;
	int type;

	if (!share)
		return false;
	*share++ = '\0';
	count = strchr(share, '/');
	if (count)
		*count++ = '\0';
	type = find_type(mix, text);
	if (first ? type >= 0 || mix->types == DRPC_USERS_MAX_TYPES : type < 0 || count)
		return false;
	if (!*text || strlen(text) >= DRPC_USERS_NAME_BYTES ||
	    text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")])
		return false;
	if (count &&
	    (!parse_number(count, UINT32_MAX, &users) || users < 1 || users != floor(users)))
		return false;
	if (first) {
		type = (int)mix->types++;
		drpc_strcpy(mix->type[type].name, sizeof(mix->type[type].name), text);
		mix->type[type].count = (uint32_t)users;
	}
	return parse_number(share, MAX_SHARE, &shares[type]);
}

static int parse_ratio(struct drpc_user_mix *mix, char *text)
{
	const bool first = !mix->ratios;
	double shares[DRPC_USERS_MAX_TYPES] = {0}, at_s = 0;
	char *colon = strchr(text, ':'), *rest, *one;
	bool ramp = false;

	if (!first) {
		ramp = *text == '~';
		text += ramp;
	}
	if (colon) {
		*colon = '\0';
		if (!parse_number(text, MAX_TIME, &at_s))
			return -EINVAL;
		text = colon + 1;
	} else if (!first) {
		return -EINVAL;
	}
	rest = text;
	while ((one = strsep(&rest, ","))) {
		if (!parse_share(mix, one, first, shares))
			return -EINVAL;
	}
	return drpc_user_mix_add(mix, at_s, ramp, shares);
}

int drpc_user_mix_parse(const char *flag, const char *spec, struct drpc_user_mix *ret)
{
	_cleanup_free_ char *copy = strdup(spec);
	struct drpc_user_mix mix = {0};
	char *rest = copy, *text;
	int err = copy ? 0 : -ENOMEM;

	while (!err && (text = strsep(&rest, ";")))
		err = parse_ratio(&mix, text);
	if (err) {
		drpc_user_mix_done(&mix);
		if (err == -ENOMEM)
			return drpc_err(err, "%s", flag);
		drpc_error("%s %s: expected " DRPC_USERS_FORM, flag, spec);
		return -EINVAL;
	}
	*ret = mix;
	return 0;
}

/* --- choosing ------------------------------------------------------------------------------- */

void drpc_user_shares(const struct drpc_user_mix *mix, double at_s,
		      double ret[DRPC_USERS_MAX_TYPES])
{
	size_t low = 0, high = mix->ratios;
	const struct drpc_user_ratio *from, *to;
	double part = 0;

	while (high - low > 1) {
		const size_t mid = (low + high) / 2;

		if (mix->ratio[mid].at_s <= at_s)
			low = mid;
		else
			high = mid;
	}
	from = &mix->ratio[low];
	to = low + 1 < mix->ratios && mix->ratio[low + 1].ramp ? from + 1 : from;
	if (to != from)
		part = DRPC_CLAMP((at_s - from->at_s) / (to->at_s - from->at_s), 0, 1);
	for (size_t i = 0; i < mix->types; i++)
		ret[i] = from->shares[i] + part * (to->shares[i] - from->shares[i]);
}

/* SplitMix64's mixing step: a bijection on 64 bits. */
static uint64_t mixed(uint64_t z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

struct drpc_user drpc_user_pick(const struct drpc_user_mix *mix, uint64_t seed, uint64_t arrival,
				double at_s)
{
	const uint64_t first = mixed(mixed(seed) + (2 * arrival + 1) * 0x9e3779b97f4a7c15ULL);
	const uint64_t second = mixed(mixed(seed) + (2 * arrival + 2) * 0x9e3779b97f4a7c15ULL);
	double shares[DRPC_USERS_MAX_TYPES], draw = (double)(first >> 11) * 0x1p-53;
	struct drpc_user user = {0};

	drpc_user_shares(mix, at_s, shares);
	for (size_t i = 0; i < mix->types; i++) {
		if (shares[i] <= 0)
			continue;
		user.type = (unsigned int)i;
		draw -= shares[i];
		if (draw < 0)
			break;
	}
	user.id = 1 + (uint32_t)(((second >> 32) * mix->type[user.type].count) >> 32);
	return user;
}
