/* SPDX-License-Identifier: Apache-2.0 */
/*
 * User types in ratios that change over time, each simulated user with an id of its own. For the
 * simulator and for drpc-load (--users). Who comes with the k-th arrival is a function of (seed, k)
 * alone, whatever the number of threads.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DRPC_USERS_MAX_TYPES  8
#define DRPC_USERS_MAX_RATIOS 256
#define DRPC_USERS_NAME_BYTES 32
#define DRPC_USERS_DEFAULT    1000

#define DRPC_USERS_FORM                                                                                      \
	"TYPE=SHARE[/COUNT],… with further ratios as ;SECONDS:TYPE=SHARE,… or ;~SECONDS:TYPE=SHARE,… " \
	"(query=60,buyer=25,canceller=10,admin=5;~300:query=30,buyer=55,canceller=10,admin=5)"

struct drpc_user_type {
	char name[DRPC_USERS_NAME_BYTES];
	uint32_t count; /* of its users: ids 1 .. count */
};

struct drpc_user_ratio {
	double at_s;
	bool ramp; /* reached linearly from the ratio before */
	double shares[DRPC_USERS_MAX_TYPES];
};

struct drpc_user_mix {
	size_t types;
	struct drpc_user_type type[DRPC_USERS_MAX_TYPES];
	size_t ratios;
	struct drpc_user_ratio *ratio; /* owned; ascending, the first at 0 */
};

/* query 60, buyer 25, canceller 10 and admin 5 of a hundred, 1,000 users each. -ENOMEM. */
int drpc_user_mix_default(struct drpc_user_mix *ret);

/* From text (DRPC_USERS_FORM). `flag` names the option in the message. -EINVAL (logged), -ENOMEM. */
int drpc_user_mix_parse(const char *flag, const char *spec, struct drpc_user_mix *ret);
void drpc_user_mix_done(struct drpc_user_mix *mix);

/* Adds a ratio; at_s after the last one's. -EINVAL, -ENOMEM, -E2BIG; silent. */
int drpc_user_mix_add(struct drpc_user_mix *mix, double at_s, bool ramp, const double *shares);

/* Shares at a time, sum 1. */
void drpc_user_shares(const struct drpc_user_mix *mix, double at_s,
		      double ret[DRPC_USERS_MAX_TYPES]);

struct drpc_user {
	unsigned int type;
	uint32_t id; /* 1 .. count */
};

struct drpc_user drpc_user_pick(const struct drpc_user_mix *mix, uint64_t seed, uint64_t arrival,
				double at_s);
