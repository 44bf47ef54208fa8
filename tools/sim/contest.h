/* SPDX-License-Identifier: Apache-2.0 */
/* Who is compared, and where what they learnt lies (docs/baselines.md). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "sim/policy.h"

#define SIM_MODELS_DIR "deploy/models"

struct sim_contestant {
	const char *policy;
	bool has_model;	  /* runs with model=FILE */
	bool needs_model; /* and not without */
	bool learns;	  /* by runs with learn=1 */
};

/* In the order in which they are listed; the last one has no name. */
extern const struct sim_contestant sim_contestants[];

/* NULL where a policy is no contestant. */
const struct sim_contestant *sim_contestant_find(const char *policy);

/* Silent, unlike sim_policy_find(). NULL where it is not built in. */
const struct drpc_sim_policy *sim_policy_known(const char *name);

/*
 * What a policy runs with: DIR/APPLICATION/teacher.td3 and students-paper of a training's folder (or
 * students-node, where there are no others), DIR/APPLICATION/POLICY.model, or sim_model_path() where
 * that is not there. The caller frees; NULL without memory.
 */
char *sim_model_find(const char *dir, const char *app, const char *policy);

/* Where `tune` writes, DIR/APPLICATION.POLICY.model. The caller frees; NULL without memory. */
char *sim_model_path(const char *dir, const char *app, const char *policy);
