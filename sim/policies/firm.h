/* SPDX-License-Identifier: Apache-2.0 */
/* What FIRM's agent sees of a service and what its answer does to it. docs/baselines.md */
#pragma once

#include "sim/policies/ddpg.h"
#include "sim/policy.h"

/* The five resources of the paper, three actions each: leave, more, less. */
enum drpc_firm_resource {
	DRPC_FIRM_CPU,
	DRPC_FIRM_MEMORY,
	DRPC_FIRM_LLC,
	DRPC_FIRM_IO,
	DRPC_FIRM_NET,
	DRPC_FIRM_RESOURCES,
};

struct drpc_firm_choice {
	enum drpc_firm_resource resource;
	int direction; /* 1, -1; 0 leaves it */
};

/*
 * The largest of the actor's outputs, one resource a step. Only CPU and memory can win: the
 * simulator bounds none of the others, and an action without an effect would be lost.
 */
struct drpc_firm_choice drpc_firm_choose(const float *action);

/* The outputs that can, a bit each. */
uint32_t drpc_firm_allowed(void);

/* Which of the actor's outputs stands for it. */
int drpc_firm_index(struct drpc_firm_choice choice);

/* Objective kept, at most 1: SLO / p99, a tenth where more than 1 % fail. */
double drpc_firm_retention(const struct drpc_sim_obs *obs);

/* DRPC_DDPG_STATE numbers; `rate_before` is the service's rate in the window before. */
void drpc_firm_state(const struct drpc_sim_obs *obs, uint32_t service, double rate_before,
		     float *ret);

double drpc_firm_reward(const float *state);
