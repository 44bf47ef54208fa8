// SPDX-License-Identifier: Apache-2.0
/* The policies that the sub-commands know: a line each. */
#include <stdio.h>
#include <string.h>

#include "lib/log.h"
#include "sim/policies/policies.h"
#include "tools/sim/sim.h"

const struct drpc_sim_policy *const sim_policies[] = {
	&drpc_sim_policy_static,
	&drpc_sim_policy_kuscal,
	&drpc_sim_policy_hpa,
	&drpc_sim_policy_hpa_tuned,
	&drpc_sim_policy_autothrottle,
	&drpc_sim_policy_firm,
	&drpc_sim_policy_coscal,
	&drpc_sim_policy_reactive,
	&drpc_sim_policy_teacher,
	&drpc_sim_policy_drpc,
	NULL,
};

const struct drpc_sim_policy *sim_policy_find(const char *name)
{
	char names[512] = "";
	size_t len = 0;

	for (const struct drpc_sim_policy *const *p = sim_policies; *p; p++) {
		if (strcmp((*p)->name, name) == 0)
			return *p;
		if (len < sizeof(names))
			len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s",
						len ? ", " : "", (*p)->name);
	}
	drpc_error("--policy: there is no '%s', expected %s", name, names);
	return NULL;
}
