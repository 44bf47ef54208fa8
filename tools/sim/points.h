/* SPDX-License-Identifier: Apache-2.0 */
/* Measured points of load and utilisation, a file for a profile to be fitted to. */
#pragma once

#include "workload/profile.h"

/*
 * Lines of numbers joined by commas: the first is a load, the last the utilisation that it led to. A
 * first line that is no numbers names the columns. -EINVAL (logged) with file, line and what was
 * expected; what reading it and drpc_profile_fit() return.
 */
int sim_points_profile(const char *path, struct drpc_profile *ret);
