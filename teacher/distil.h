/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes a policy file from the rules of the reactive planner: a student is taught what the rules
 * answer to states that were recorded on real containers. The bootstrap policy is made so.
 */
#pragma once

#include "teacher/imitation.h"
#include "teacher/states.h"

struct drpc_distil_config {
	unsigned int n_inputs;	 /* DRPC_F_PAPER_COUNT or DRPC_F_COUNT */
	unsigned int rounds;	 /* of imitation */
	unsigned int variations; /* of each recorded state, labelled by the rules as well */
	double lr;
	uint64_t seed;
};

struct drpc_distil_config drpc_distil_defaults(void);

/*
 * Teaches on the first 80 % of the states (in their order: time), compares on the last 20 %, writes
 * the policy to `out`. `data` goes into its provenance. -ENODATA: fewer than 500 states.
 */
int drpc_distil_reactive(const struct drpc_distil_config *config, const struct drpc_states *states,
			 const char *data, const char *out, struct drpc_imitation_report *ret);
