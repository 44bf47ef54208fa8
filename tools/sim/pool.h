/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs over all processors, a process each: simulations share nothing but what they read. */
#pragma once

#include <stddef.h>

/*
 * Calls `run` for jobs 0 .. n - 1 in at most `workers` processes (0: one a processor); what a job
 * changes in memory is lost but for MAP_SHARED. Shows how far they are where standard error is a
 * terminal. Returns 0, or the first negative errno that a job returned (the others go on), -ECHILD
 * where a worker died, or what the system said.
 */
int sim_pool_run(size_t n, size_t workers, int (*run)(void *arg, size_t job), void *arg);

/* A job that shows its own progress tells the pool: share of the job at hand, 0..1. */
void sim_pool_progress(double share);
