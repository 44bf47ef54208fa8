/* SPDX-License-Identifier: Apache-2.0 */
/* The traces that policies are trained and judged on. docs/baselines.md has the split. */
#pragma once

#include "sim/sim.h"

struct sim_workload {
	char name[64];
	struct drpc_sim_piece *pieces;
	size_t n;
	double *shares; /* pieces × classes; NULL: those of the application */
	double seconds, warmup;
};

struct sim_suite {
	struct sim_workload *workloads;
	size_t n;
};

/*
 * How much the application's own limits carry at 60 % use under a mix of its classes (NULL: the
 * file's): what a trace's highest rate becomes.
 */
double sim_peak_rps(const struct drpc_sim_app *app, const double *shares);

/* "paper", "held-out" or "train". -EINVAL (logged) for another name; -ENOMEM. */
int sim_suite_make(const char *name, const struct drpc_sim_app *app, struct sim_suite *ret);
/* One trace from a file, a rate a line and second. What drpc_schedule_load() returns. */
int sim_suite_load(const char *path, double scale, double warmup, struct sim_suite *ret);
void sim_suite_done(struct sim_suite *suite);

/* Keeps the first `seconds` of each, warm-up included. */
void sim_suite_cut(struct sim_suite *suite, double seconds);

/* Numbers that differ where a workload does. */
uint64_t sim_workload_digest(const struct sim_workload *workload, uint32_t classes);
