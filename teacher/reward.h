/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reward of a state: how well the objective is met, by how far CPU and memory are from the
 * utilisation that is wanted.
 *
 *   QoS  = 1 where p99 is within the objective, else exp(-((p99 - objective) / objective)^2)
 *   util = 1 + |wanted - CPU utilisation|^k + |wanted - memory utilisation|^k
 *   reward = QoS / util, above 0 and at most 1
 */
#pragma once

#include "teacher/states.h"

struct drpc_reward_params {
	double util;	 /* wanted, of the limit */
	double exponent; /* k */
};

/* 0.75 and 3. */
struct drpc_reward_params drpc_reward_defaults(void);

/* A state without an objective or without a request misses none. */
double drpc_reward(const struct drpc_reward_params *params, const float features[DRPC_F_COUNT]);

/*
 * Mean over deployments of the mean over each one's states: the busy count as much as the idle, which
 * an agent looks at less often. NAN where there are no states.
 */
double drpc_reward_mean(const struct drpc_reward_params *params, const struct drpc_states *states);
