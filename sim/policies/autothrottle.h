/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Autothrottle's two parts. A Captain a service moves the CPU limit so that it is throttled as often
 * as its target says; the Tower chooses the targets by what they cost at the rate at hand.
 * docs/baselines.md
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nn/rng.h"

/* --- Captain ------------------------------------------------------------------------------------ */

#define DRPC_CAPTAIN_PERIODS 10 /* CFS periods of 100 ms in one of the Captain's */
#define DRPC_CAPTAIN_SAMPLES 50 /* of usage */

struct drpc_captain {
	double target; /* share of periods that may be throttled */
	double limit, limit_before;
	double margin;
	bool cut; /* the last step lowered the limit */
	uint64_t n;
	double usage[DRPC_CAPTAIN_SAMPLES]; /* rings, by n */
	double throttled[DRPC_CAPTAIN_PERIODS];
};

void drpc_captain_init(struct drpc_captain *captain, double limit);

/*
 * Takes a CFS period's usage in cores and share of throttled replicas, once each 100 ms; returns the
 * limit from now on. The caller keeps it in bounds and writes it back.
 */
double drpc_captain_step(struct drpc_captain *captain, double usage, double throttled);

/* --- Tower -------------------------------------------------------------------------------------- */

#define DRPC_TOWER_TARGETS 9
#define DRPC_TOWER_ACTIONS (DRPC_TOWER_TARGETS * DRPC_TOWER_TARGETS)
#define DRPC_TOWER_SAMPLES 4096 /* the newest are kept */
#define DRPC_TOWER_HIDDEN  3
#define DRPC_TOWER_BIN_RPS 20.0

extern const double drpc_tower_targets[DRPC_TOWER_TARGETS];

/* What an action was followed by, a minute at a rate. */
struct drpc_tower_sample {
	float rps, action, latency_ns, allocation;
};

struct drpc_tower {
	double slo_ns;
	struct drpc_tower_sample *samples; /* DRPC_TOWER_SAMPLES, a ring */
	uint64_t n;
	struct drpc_rng rng;
};

/*
 * What a sample cost among all: its allocation in 0..1 where the objective was met (0 for the
 * smallest, 1 for the largest of those), else 2 and its latency in 0..1 likewise.
 */
void drpc_tower_costs(const struct drpc_tower_sample *samples, size_t n, double slo_ns,
		      double *ret);

void drpc_tower_add(struct drpc_tower *tower, const struct drpc_tower_sample *sample);

/* The action of the least expected cost at a rate; -1 without samples, -ENOMEM. */
int drpc_tower_best(struct drpc_tower *tower, double rps);

/* One of those that were tried least. */
int drpc_tower_least_tried(struct drpc_tower *tower);

/* With probability `explore` a neighbour: one of both targets a step up or down. */
int drpc_tower_neighbour(struct drpc_tower *tower, int action, double explore);

/* Groups of services by their CPU usage, 1 for the busy ones: the split in two of least variance. */
int drpc_tower_groups(const double *usage, size_t n, uint8_t *ret);
