/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of the reactive planner as a function of the state alone: no memory, no clock, so that
 * a student can be taught from them. docs/planners.md explains each and its numbers.
 */
#pragma once

#include "agent/plan/planner.h"

/* Outputs in -1..1; all 0 where a feature is not finite. */
void drpc_reactive_decide(const float features[DRPC_F_COUNT], float raw[DRPC_OUT_COUNT]);
