/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Training of a teacher on the simulator: rounds of episodes side by side. While they live through an
 * interval, the learner updates from what was seen before it, so that results do not depend on how
 * many threads there are: same settings, application and seed, same bits.
 *
 * Files in the folder `out`:
 *   teacher.td3      the best teacher so far, by the choosing traces
 *   progress.json    settings, episodes done, scores; names the latest checkpoint
 *   latest-N.td3, replay.bin   that checkpoint, after episode N, and its transitions
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "teacher/environment.h"
#include "teacher/td3.h"

/* What a teacher (or anybody) reached on a set of traces. */
struct drpc_train_score {
	size_t episode;			    /* of training, before it; 0: untrained */
	double reward;			    /* mean over traces, by env.report */
	double cpu, memory;		    /* used ÷ limits, over all traces */
	double p99_ms;			    /* mean of the traces' */
	double p99_worst_ms;		    /* of the worst trace */
	double slo_violations;		    /* share of requests, all traces */
	double failures;		    /* likewise */
	double cpu_hours, memory_gib_hours; /* of limits, an hour of traces */
	uint64_t oom_kills;
};

/* The converged state, all together. */
struct drpc_train_goal {
	double cpu, memory; /* at least */
	double p99_ms;	    /* at most */
	double missed; /* share of requests that failed or were late, at most: p99 knows no failed ones */
};

bool drpc_train_meets(const struct drpc_train_goal *goal, const struct drpc_train_score *score);

struct drpc_train_config {
	struct drpc_env_config env;
	struct drpc_td3_config td3; /* its units, state, action and seed are set by the trainer */
	size_t episodes;
	size_t envs;	/* episodes side by side; a round */
	size_t steps;	/* an episode */
	double spread;	/* of the limits at its start, octaves to either side */
	double updates; /* of the learner a step of one environment */
	bool warm;	/* begin with a clone of a proportional rule, not with random networks */
	/* Uniform actions, or those around the rule, before the teacher is asked. */
	size_t random_episodes;
	double explore_from, explore_to;    /* deviation of exploration noise, linear over */
	size_t explore_episodes;	    /* these; then explore_to */
	double explore_replicas;	    /* replicas' part of the deviation */
	double reward_scale;		    /* the learner gets (reward - 1) × this */
	double least_rps, most_rps;	    /* of generated traces; 0: by the cluster */
	const struct drpc_sim_piece *trace; /* windows of it instead of generated ones */
	size_t n_trace;
	size_t choose_every; /* rounds between two looks at the choosing traces */
	size_t choose_traces;
	double choose_seconds; /* of each, a tenth of it not counted */
	struct drpc_train_goal goal;
	size_t replay;	   /* transitions */
	unsigned int jobs; /* threads */
	uint64_t seed;
	const char *out; /* NULL: no files */
	bool resume;
	/* After each round, and a warm start; returns whether to go on. `score` is NULL where nobody
	 * looked. */
	bool (*progress)(void *arg, size_t episode, double reward,
			 const struct drpc_train_score *score);
	void *arg;
};

struct drpc_train_config drpc_train_defaults(const struct drpc_sim_app *app,
					     enum drpc_td3_kind kind,
					     enum drpc_scene_profile profile);

#define DRPC_TRAIN_SCORES 1024

struct drpc_train_report {
	size_t episodes;
	uint64_t updates;
	double wall_s; /* all calls together, where it was resumed */
	/* The first look that met the goal, and from which on the reward stayed within 2 % of the
	 * best; 0: none. */
	size_t converged;
	size_t best; /* of scores */
	size_t n_scores;
	struct drpc_train_score scores[DRPC_TRAIN_SCORES];
};

/*
 * Trains and gives the best teacher. Returns 0; -EINVAL for settings that cannot train or a folder of
 * other settings, -EDOM where training diverged (the folder keeps the last good checkpoint), or what
 * the simulator, the files and the threads return; logged.
 */
int drpc_train(const struct drpc_train_config *config, struct drpc_td3 **ret_teacher,
	       struct drpc_train_report *ret);

/* --- judging --------------------------------------------------------------------------------------- */

/* Who acts in a run: actions [services][3] for env, whatever it looks at. Negative errno. */
typedef int (*drpc_train_actor)(void *arg, const struct drpc_env *env, float *actions);

/* The teacher as such: arg is a struct drpc_td3. */
int drpc_train_teacher_acts(void *arg, const struct drpc_env *env, float *actions);

/*
 * Lets somebody act on traces of `seconds` with seeds first .. first + n - 1, side by side in `jobs`
 * threads; the actor is called in the caller's thread alone.
 */
int drpc_train_judge(const struct drpc_train_config *config, uint64_t first, size_t n,
		     double seconds, drpc_train_actor actor, void *arg,
		     struct drpc_train_score *ret);
