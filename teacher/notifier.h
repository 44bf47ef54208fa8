/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The retraining notifier: watches a policy at work and says when teacher-led exploration must begin
 * again, and why.
 *
 *   reward      Alg. 4: the mean of the last `recent` rewards is under the threshold; fewer than
 *               that many, never. The threshold is relative to the reward that the policy reached at
 *               the end of its training, or absolute.
 *   rare state  a share of the recent states lies where training hardly was, and the critics
 *               disagree there.
 *   imitation   a student failed to learn what the teacher does.
 *   mix         the kinds of requests come in other proportions than during training.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "teacher/imitation.h"

#define DRPC_NOTIFIER_MAX_STATE 16
#define DRPC_NOTIFIER_MAX_KINDS 16

enum drpc_retrain_reason {
	DRPC_RETRAIN_REWARD = 1 << 0,
	DRPC_RETRAIN_RARE_STATE = 1 << 1,
	DRPC_RETRAIN_IMITATION = 1 << 2,
	DRPC_RETRAIN_MIX = 1 << 3,
};

struct drpc_notifier_config {
	size_t recent;	      /* rewards and states looked back on, npr; default 10 */
	double relative;      /* threshold ÷ reward reached in training; default 0.85 */
	double absolute;      /* threshold itself; 0: use `relative` */
	size_t n_state;	      /* numbers of a (scaled) state */
	float cell;	      /* width of a cell of the visit grid; default 1 (a deviation) */
	uint32_t rare_visits; /* fewer visits in training make a cell rare; default 5 */
	double disagreement; /* |Q1 - Q2| ÷ (1 + |Q|) above which critics disagree; default 0.25 */
	double rare_share;   /* of the recent states; default 0.5 */
	double differ;	     /* share of differing decisions that is a failure; default 0.1 */
	double reward_ratio; /* student ÷ teacher reward under which it is one; default 0.9 */
	size_t n_kinds;	     /* kinds of requests */
	double mix_distance; /* Jensen-Shannon distance, 0..1; default 0.15 */
	uint64_t mix_requests; /* fewer say nothing about a mix; default 500 */
};

struct drpc_notifier_config drpc_notifier_defaults(size_t n_state, size_t n_kinds);

struct drpc_notifier;

/* -EINVAL, -ENOMEM; logged. */
int drpc_notifier_new(const struct drpc_notifier_config *config, struct drpc_notifier **ret);
void drpc_notifier_free(struct drpc_notifier **notifier);

/* --- during training ---------------------------------------------------------------------- */

/* A state that training saw. Numbers that are not finite are not counted. */
void drpc_notifier_visit(struct drpc_notifier *notifier, const float *state);

/*
 * Training ended with that reward: the threshold is set, what was collected about the old policy at
 * work is forgotten. kinds [n_kinds]: requests of each kind during training; NULL for unknown.
 */
void drpc_notifier_trained(struct drpc_notifier *notifier, double reward, const uint64_t *kinds);

/* --- at work ------------------------------------------------------------------------------ */

void drpc_notifier_reward(struct drpc_notifier *notifier, double reward);

/* A state met, and what both critics make of it; NAN where there are no critics to ask. */
void drpc_notifier_state(struct drpc_notifier *notifier, const float *state, double q1, double q2);

/* The latest report on a student. */
void drpc_notifier_imitation(struct drpc_notifier *notifier,
			     const struct drpc_imitation_report *report);

/* Requests of each kind since the last call. */
void drpc_notifier_requests(struct drpc_notifier *notifier, const uint64_t *kinds);

/*
 * Which reasons hold now, as bits of enum drpc_retrain_reason; 0 for none. `text` (may be NULL) says
 * them with their numbers, for people.
 */
unsigned int drpc_notifier_check(const struct drpc_notifier *notifier, char *text,
				 size_t text_bytes);

/* The reward threshold in force; NAN before the first training. */
double drpc_notifier_threshold(const struct drpc_notifier *notifier);
