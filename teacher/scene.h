/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A simulated application as teacher and students see it, what their outputs do to it, and what the
 * outcome is worth. Training (environment.h) and the policies of drpc-sim share it, so that nobody is
 * trained on one thing and judged on another.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "include/drpc/features.h"
#include "sim/sim.h"

/* --- state -------------------------------------------------------------------------------------- */

/* What the teacher is shown of each deployment; a student of the profile gets the features. */
enum drpc_scene_profile {
	DRPC_SCENE_PAPER, /* rate, forecast, CPU and memory utilisation, p99 */
	DRPC_SCENE_NODE,  /* and replicas, queue share, CPU pressure, throttling, memory pressure */
};

#define DRPC_SCENE_MAX_WIDTH 10

const char *drpc_scene_profile_name(enum drpc_scene_profile profile);
int drpc_scene_profile_parse(const char *name, enum drpc_scene_profile *ret); /* -EINVAL, silent */

/* Numbers of a deployment in the teacher's state; inputs of a student. */
size_t drpc_scene_width(enum drpc_scene_profile profile);
unsigned int drpc_scene_inputs(enum drpc_scene_profile profile);

struct drpc_scene;

/* -ENOMEM. The application is borrowed. */
int drpc_scene_new(const struct drpc_sim_app *app, struct drpc_scene **ret);
void drpc_scene_free(struct drpc_scene **scene);

/* Takes an interval in. A number that is not finite counts as 0: none gets past here. */
void drpc_scene_look(struct drpc_scene *scene, const struct drpc_sim_obs *obs);

/* Without it the rate of now stands where the forecast does, from the next look on. On at first. */
void drpc_scene_forecasts(struct drpc_scene *scene, bool on);

/* [services][DRPC_F_COUNT] of the last interval, as an agent would see them. The forecast is Holt's,
 * an interval ahead; an objective is known at the services that users call. */
const float *drpc_scene_features(const struct drpc_scene *scene);

/* The teacher's state [services][width]: the same, and each deployment's p99, brought to about -1..1. */
void drpc_scene_state(const struct drpc_scene *scene, enum drpc_scene_profile profile, float *ret);

/* Some of a deployment's numbers, back from its part of a state; as exact as their bounds let them. */
struct drpc_scene_numbers {
	double rate;	    /* requests a second */
	double rise;	    /* of the forecast over it, as a share */
	double cpu, memory; /* utilisation */
};
struct drpc_scene_numbers drpc_scene_numbers(const float *state);

/* --- action (algorithm 2) ----------------------------------------------------------------------- */

struct drpc_scene_action {
	double cpu_step, memory_step; /* share of the limit that an output of 1 moves it by */
	double headroom; /* a cut stays above what was used, times this; 0: it may go anywhere */
	bool brownout;	 /* optional services may go to no replicas */
	/* The CPU output moves cpu.weight, by as much, and nothing else moves: what is left where
	 * limits may not be touched. */
	bool weight_only;
};

/* Three tenths of a CPU limit, a fifth of a memory limit, headroom of a tenth, no brownout. */
struct drpc_scene_action drpc_scene_action_defaults(void);

/*
 * Applies outputs (replicas, CPU, memory): one counts where it is beyond the dead band. Replicas move
 * by one and stay where they would leave their bounds; limits move by a share of themselves, up to the
 * deployment's bounds. What is cut stays large enough for what was in use; after an OOM kill memory is
 * raised whatever the output, and no limit stays below the file's. One that is not a number counts as 0. Returns 0, or what the simulator's actions return.
 */
int drpc_scene_apply(const struct drpc_scene_action *params, struct drpc_sim *sim,
		     const struct drpc_sim_service_obs *obs, const float outputs[DRPC_OUT_COUNT]);

/* --- reward ------------------------------------------------------------------------------------- */

/*
 *   QoS    = 1 where p99 is within the objective, else exp(-((p99 - objective) / objective)^2);
 *            times the share of requests that did not fail, as these have no response time
 *   util   = 1 + Σ |wanted - used|^k over machines and {CPU, memory}, by the number of machines;
 *            used is of the limits of what runs there; a machine without any does not count
 *   reward = QoS / util, 0..1
 */
struct drpc_scene_reward {
	double cpu, memory;  /* utilisation wanted */
	double exponent;     /* k */
	double objective_ns; /* on p99, end to end */
};

/* 0.75 of both, the cube, and the application's objective. */
struct drpc_scene_reward drpc_scene_reward_defaults(const struct drpc_sim_app *app);

double drpc_scene_reward(const struct drpc_scene_reward *params, const struct drpc_sim_obs *obs);
