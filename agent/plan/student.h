/* SPDX-License-Identifier: Apache-2.0 */
/* The student planner: what planner.h does not say of drpc_planner_student_new(). */
#pragma once

#include "agent/plan/planner.h"
#include "nn/policy_file.h"

/*
 * A planner over a network that was made or loaded already; takes it over, and frees it with the
 * planner, on success only.
 */
int drpc_planner_student_from_net(struct drpc_policy_net **net, struct drpc_planner **ret);

/* What the policy file says of itself; NULL where the planner is not a student. */
const struct drpc_policy_info *drpc_planner_student_info(const struct drpc_planner *planner);
