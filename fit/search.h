/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parameters that no counter tells: how requests differ in CPU time, how long they wait without
 * it. Those are taken that make the simulated points most like the recorded ones.
 *
 * One parameter after the other, callees before their callers, some rounds. All trials run on the
 * same random numbers, so that they differ by the parameter alone, and the same recording gives the
 * same file.
 */
#pragma once

#include "fit/replay.h"

struct drpc_fit_effort {
	uint64_t seed;
	double calls;	     /* simulated of a trial, over all points; 0: a default */
	unsigned int points; /* at most so many are simulated; 0: a default */
	unsigned int rounds; /* 0: a default */
	void (*progress)(void *arg, double done);
	void *arg;
};

/* Fills the model's parameters and distances. 0, -ENOMEM, or -EINVAL (logged) where what was read
 * off the recording makes no application. */
int drpc_fit_search(struct drpc_fit_model *model, const struct drpc_fit_effort *effort);

/* Simulates one point with the model as it is; ret has room for model->n. */
int drpc_fit_model_simulate(const struct drpc_fit_model *model, size_t point,
			    const struct drpc_fit_replay *replay, struct drpc_fit_simulated *ret);
