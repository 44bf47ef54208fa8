/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CoScal's table: quartiles of CPU use, memory use and the load to come, nine actions, Q-learning.
 * docs/baselines.md
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "nn/rng.h"

enum drpc_coscal_action {
	DRPC_COSCAL_NOTHING,
	DRPC_COSCAL_MORE_REPLICAS,
	DRPC_COSCAL_FEWER_REPLICAS,
	DRPC_COSCAL_MORE_CPU,
	DRPC_COSCAL_LESS_CPU,
	DRPC_COSCAL_MORE_MEMORY,
	DRPC_COSCAL_LESS_MEMORY,
	DRPC_COSCAL_OFF, /* brownout: an optional service is switched off, */
	DRPC_COSCAL_ON,	 /* and on again */
	DRPC_COSCAL_ACTIONS,
};

#define DRPC_COSCAL_LEVELS  4
#define DRPC_COSCAL_STATES  (DRPC_COSCAL_LEVELS * DRPC_COSCAL_LEVELS * DRPC_COSCAL_LEVELS)
#define DRPC_COSCAL_ALPHA   0.01
#define DRPC_COSCAL_GAMMA   0.9
#define DRPC_COSCAL_EPSILON 0.1

/* 0 up to a quarter, … 3 above three quarters; a border belongs to the lower one. */
unsigned int drpc_coscal_quartile(double share);
unsigned int drpc_coscal_state(double cpu, double memory, double load);

struct drpc_coscal_table {
	float q[DRPC_COSCAL_STATES][DRPC_COSCAL_ACTIONS];
	float visits[DRPC_COSCAL_STATES][DRPC_COSCAL_ACTIONS];
};

/* A set of actions, a bit each. */
typedef uint32_t drpc_coscal_set;

/* Of the largest value among those of the set that were ever tried here; nothing where none was. */
enum drpc_coscal_action drpc_coscal_best(const struct drpc_coscal_table *table, unsigned int state,
					 drpc_coscal_set allowed);

struct drpc_coscal_step {
	float state, action, reward, next;
};

/* One move of Q(s, a) towards r + gamma max Q(s', .) */
void drpc_coscal_learn(struct drpc_coscal_table *table, const struct drpc_coscal_step *step);

/* R_qos / R_util of a service: docs/baselines.md */
double drpc_coscal_reward(double p99_ns, double slo_ns, double cpu, double memory);
