/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scaling policies that drpc is compared with. docs/baselines.md tells the rules of each, where
 * they come from and what was decided where a paper leaves something open.
 */
#pragma once

#include "sim/policy.h"

extern const struct drpc_sim_policy drpc_sim_policy_kuscal;
extern const struct drpc_sim_policy drpc_sim_policy_hpa;
extern const struct drpc_sim_policy drpc_sim_policy_hpa_tuned;
extern const struct drpc_sim_policy drpc_sim_policy_autothrottle;
extern const struct drpc_sim_policy drpc_sim_policy_firm;
extern const struct drpc_sim_policy drpc_sim_policy_coscal;
extern const struct drpc_sim_policy drpc_sim_policy_reactive;
extern const struct drpc_sim_policy drpc_sim_policy_teacher;
extern const struct drpc_sim_policy drpc_sim_policy_drpc;
