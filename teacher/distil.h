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
	double lr;		 /* of the first round; falls to a hundredth by half a cosine */
	uint64_t seed;
	/* Provenance. */
	const char *data;    /* what was recorded */
	const char *source;  /* which state of the source code: `git describe` */
	const char *command; /* how the program was called */
};

struct drpc_distil_config drpc_distil_defaults(void);

/*
 * Teaches on `states`, compares on `held_out`, writes the policy to `out`. -ENODATA: fewer than 500
 * states, or none held out.
 */
int drpc_distil_reactive(const struct drpc_distil_config *config, const struct drpc_states *states,
			 const struct drpc_states *held_out, const char *out,
			 struct drpc_imitation_report *ret);

/* What a policy decides beside the rules, over some states. */
int drpc_distil_compare(const struct drpc_policy_net *net, const struct drpc_states *states,
			struct drpc_imitation_report *ret);

/*
 * Share of the states where a decision differs although the rules are sure: they would decide the same
 * with any one feature 3 % larger or smaller. The rest of what differs lies at a rule's border.
 */
double drpc_distil_clear(const struct drpc_policy_net *net, const struct drpc_states *states);
