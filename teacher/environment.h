/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulator as an environment to learn in: an episode is a run of so many intervals under a trace;
 * a step applies one action for each deployment and lives through the next interval. An episode's end
 * is a time limit, never `done`.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/sim.h"
#include "teacher/scene.h"
#include "workload/generate.h"

struct drpc_env_config {
	const struct drpc_sim_app *app; /* borrowed */
	enum drpc_scene_profile profile;
	struct drpc_scene_action action;
	struct drpc_scene_reward learn;	 /* what the teacher is taught to want */
	struct drpc_scene_reward report; /* what is reported */
	uint64_t period_ns;		 /* of an interval */
	bool blind;			 /* the rate of now stands where the forecast does */
};

/* What an episode brings. */
struct drpc_env_trace {
	struct drpc_sim_load load; /* borrowed until the next reset */
	uint64_t seed;		   /* of the simulation, and of the limits to start with */
	double spread; /* limits at the start: the file's times 2^±spread, each its own; 0: the file's */
	double warmup_s; /* that the result does not count */
};

struct drpc_env;

/* -ENOMEM; logged. */
int drpc_env_new(const struct drpc_env_config *config, struct drpc_env **ret);
void drpc_env_free(struct drpc_env **env);

/* Begins an episode and lives through its first interval. What drpc_sim_new() and _step() return. */
int drpc_env_reset(struct drpc_env *env, const struct drpc_env_trace *trace);

/* Applies actions [services][3] and lives through an interval. Likewise; safe in a thread of its own. */
int drpc_env_step(struct drpc_env *env, const float *actions);

/* Of the last interval: state [services][width], features [services][DRPC_F_COUNT], rewards. */
const float *drpc_env_state(const struct drpc_env *env);
const float *drpc_env_features(const struct drpc_env *env);
double drpc_env_reward(const struct drpc_env *env); /* by config.learn */
double drpc_env_report(const struct drpc_env *env); /* by config.report */

/* Of the episode so far. */
struct drpc_sim_result drpc_env_result(struct drpc_env *env);

/* --- traces -------------------------------------------------------------------------------------- */

/*
 * Training and judging never share a trace: a seed of a trace says to which part it belongs. Those for
 * training are below DRPC_ENV_JUDGED, those to choose among checkpoints and those to judge above.
 */
#define DRPC_ENV_CHOOSING 1000000000ULL
#define DRPC_ENV_JUDGED	  2000000000ULL

/* A trace of the project's own generators for one episode. */
struct drpc_env_load {
	struct drpc_sim_piece *pieces; /* owned */
	double *shares;		       /* owned */
	size_t n;
	enum drpc_generate_kind kind;
	double mean_rps;
};

/* Rates for an application's cluster: that which keeps two thirds of its cores busy, and a fifth of
 * it. */
void drpc_env_rates(const struct drpc_sim_app *app, double *ret_least, double *ret_most);

/*
 * Kind, rate, period and bursts are drawn from the seed; no rate leaves least..most. User types that
 * the application has no class for are left out; where it has none of them, its own shares stay.
 */
int drpc_env_load_draw(const struct drpc_sim_app *app, uint64_t seed, double seconds, double least,
		       double most, struct drpc_env_load *ret);
void drpc_env_load_done(struct drpc_env_load *load);
