// SPDX-License-Identifier: Apache-2.0
#include "agent/plan/planner.h"

#include <stddef.h>

void drpc_planner_free(struct drpc_planner **planner)
{
	if (*planner)
		(*planner)->ops->free(*planner);
	*planner = NULL;
}
