/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine's recorded utilisation as load: each measured point goes through a profile (profile.h) to
 * the request rate that would lead to it, times may be pressed together, and rates run linearly from
 * point to point. Gaps are bridged so, and told.
 */
#pragma once

#include <stddef.h>

#include "workload/profile.h"
#include "workload/series.h"
#include "workload/users.h"

struct drpc_replay_config {
	size_t column; /* of the recorded series: utilisation, in the profile's unit */
	/* NULL: the load is the utilisation times a number, which mean_rps has to tell. */
	const struct drpc_profile *profile;
	double speed;	 /* recorded seconds that pass in one */
	double step_s;	 /* of what comes out */
	double mean_rps; /* rates are scaled to this mean; 0: as the profile says */
};

struct drpc_replay_report {
	size_t points;	/* that were measured */
	size_t gaps;	/* longer than 1.5 usual distances */
	size_t bridged; /* points that are missing in them */
};

/*
 * Columns as drpc_generate() makes them: requests_per_s and the types of `mix` (NULL: the default
 * one), whose times are those of the replay. -EINVAL (logged) for settings that make no trace,
 * -ENODATA (logged) for fewer than two measured points or a load that is nothing throughout, -ENOMEM.
 */
int drpc_replay(const struct drpc_series *recorded, const struct drpc_replay_config *config,
		const struct drpc_user_mix *mix, struct drpc_series *ret,
		struct drpc_replay_report *report);
