/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The students of a teacher on the simulator: one for each deployment, which sees that deployment
 * alone, and one that learned from all of them, for deployments that nobody knew.
 *
 * They learn in rounds. In the first the teacher acts; in those after it the students do, and the
 * teacher says what it would have done, so that they also know where their own mistakes lead (Ross et
 * al. 2011). All on traces of training's part.
 */
#pragma once

#include "nn/policy_file.h"
#include "teacher/imitation.h"
#include "teacher/train.h"

struct drpc_students_config {
	size_t rounds;
	size_t traces;	/* a round */
	double seconds; /* of a trace */
	size_t epochs;	/* of imitation after a round; the last one takes four times as many */
	double lr;	/* at first; a tenth of it in the last round */
	/* Provenance. */
	const char *command, *source;
};

struct drpc_students_config drpc_students_defaults(void);

struct drpc_students_report {
	struct drpc_imitation_report own;    /* each deployment's student, pairs of all of them */
	struct drpc_imitation_report shared; /* the one of all */
	struct drpc_train_score teacher, students, of_shared;
};

/*
 * Teaches students of the environment's profile and compares them on judging traces: on the states
 * that the teacher meets there, and by what comes of it where either acts. Writes into the folder
 * `out`/students-PROFILE a SERVICE.policy each and shared.policy. Negative errno; logged.
 */
int drpc_students_teach(const struct drpc_train_config *train,
			const struct drpc_students_config *config, struct drpc_td3 *teacher,
			size_t judge_traces, double judge_seconds,
			struct drpc_students_report *ret);

/*
 * Nets for an application's services from a path: a policy file serves all; of a folder SERVICE.policy,
 * or shared.policy where that is missing. *ret [services]; logged.
 */
int drpc_students_load(const char *path, const struct drpc_sim_app *app,
		       struct drpc_policy_net ***ret);
void drpc_students_free(struct drpc_policy_net ***nets, const struct drpc_sim_app *app);
