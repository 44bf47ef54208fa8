/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the trainer share. */
#pragma once

#include "teacher/crew.h"
#include "teacher/train.h"

/* Random streams of a trace's seed and of the trainer's. */
enum { TRAIN_STREAM_WINDOW = 21, TRAIN_STREAM_RANDOM, TRAIN_STREAM_TRACE, TRAIN_STREAM_CLONE };

/* Environments side by side. */
struct train_stage {
	size_t n, numbers; /* numbers of an action */
	double spread;	   /* of the limits that an episode begins with */
	struct drpc_env **envs;
	struct drpc_env_load *loads;
	struct drpc_env_trace *traces;
	float *actions; /* [n][numbers] */
};

int train_stage_init(struct train_stage *stage, const struct drpc_env_config *config, size_t n);
void train_stage_done(struct train_stage *stage);

/* Sets what environment i goes through after the next reset. */
int train_stage_trace(struct train_stage *stage, const struct drpc_train_config *config, size_t i,
		      uint64_t seed, double seconds);

/* Begins; drpc_crew_finish() ends it. */
void train_stage_reset(struct train_stage *stage, struct drpc_crew *crew);
void train_stage_step(struct train_stage *stage, struct drpc_crew *crew);

int train_judge(const struct drpc_train_config *config, struct train_stage *stage,
		struct drpc_crew *crew, uint64_t first, double seconds, drpc_train_actor actor,
		void *arg, struct drpc_train_score *ret);

/* What the rule answers to a deployment's part of a state: limits towards the utilisation wanted, with
 * more room for small streams of requests; replicas stay. */
void train_rule(const struct drpc_env_config *env, const float *state, float *ret);

/* Clones the rule into a fresh trainer's actor and lets the critics learn what it is worth. */
int train_warm(const struct drpc_train_config *config, struct drpc_td3 *td3,
	       struct drpc_replay *replay);

/* --- files ---------------------------------------------------------------------------------------- */

/* Where training stands between two rounds. */
struct train_state {
	size_t episodes;
	size_t saved; /* episodes at the latest checkpoint; 0: none */
	struct drpc_rng random_rng;
	struct drpc_train_report report;
	double best_value; /* what chose report.best */
};

/* "out/name"; the caller frees. NULL without memory. */
char *train_path(const struct drpc_train_config *config, const char *name);

/* Checkpoint of trainer, replay and state; the one before goes when this one stands. */
int train_save(const struct drpc_train_config *config, const struct drpc_td3 *td3,
	       struct drpc_replay *replay, struct train_state *state);

/* -ENOENT where the folder has no checkpoint, -EINVAL for one of other settings (logged). */
int train_load(const struct drpc_train_config *config, struct drpc_replay *replay,
	       struct drpc_td3 **ret_td3, struct train_state *ret);
