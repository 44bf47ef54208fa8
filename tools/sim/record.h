/* SPDX-License-Identifier: Apache-2.0 */
/* What a run writes beside its result: a line a window of time, and how long requests took. */
#pragma once

#include <stdint.h>
#include <stdio.h>

#include "sim/sim.h"

struct sim_recording;

/*
 * A table with a line each `every_s` seconds after the warm-up goes to `series`, counts of latencies
 * to `histogram`; either may be NULL. Both files appear when the run has ended, whole. -ENOMEM, or
 * what opening a file said; logged.
 */
int sim_recording_new(const struct drpc_sim_app *app, const char *series, double every_s,
		      const char *histogram, struct sim_recording **ret);

/* Whom the run is to call (drpc_sim_evaluate_watched()). */
struct drpc_sim_watch sim_recording_watch(struct sim_recording *recording);

/* After a run that went well: puts the files where they belong. -EIO and the like, logged. */
int sim_recording_keep(struct sim_recording *recording);
void sim_recording_free(struct sim_recording **recording);
