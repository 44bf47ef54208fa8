// SPDX-License-Identifier: Apache-2.0
#include "tools/sim/contest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/sim/sim.h"

const struct sim_contestant sim_contestants[] = {
	{.policy = "drpc", .has_model = true, .needs_model = true},
	{.policy = "teacher", .has_model = true, .needs_model = true},
	{.policy = "firm", .has_model = true, .needs_model = true, .learns = true},
	{.policy = "coscal", .has_model = true, .needs_model = true, .learns = true},
	{.policy = "kuscal"},
	{.policy = "hpa-tuned", .has_model = true, .needs_model = true},
	{.policy = "autothrottle", .has_model = true, .learns = true},
	{.policy = "reactive"},
	{.policy = "static"},
	{.policy = NULL},
};

const struct sim_contestant *sim_contestant_find(const char *policy)
{
	for (const struct sim_contestant *c = sim_contestants; c->policy; c++) {
		if (strcmp(c->policy, policy) == 0)
			return c;
	}
	return NULL;
}

const struct drpc_sim_policy *sim_policy_known(const char *name)
{
	for (const struct drpc_sim_policy *const *p = sim_policies; *p; p++) {
		if (strcmp((*p)->name, name) == 0)
			return *p;
	}
	return NULL;
}

char *sim_model_path(const char *dir, const char *app, const char *policy)
{
	char *path = NULL;

	return asprintf(&path, "%s/%s.%s.model", dir, app, policy) < 0 ? NULL : path;
}

char *sim_model_find(const char *dir, const char *app, const char *policy)
{
	static const char *const names[][3] = {
		{"teacher", "%s/%s/teacher.td3", NULL},
		{"drpc", "%s/%s/students-paper", "%s/%s/students-node"},
	};
	char *path = NULL;

	for (size_t i = 0; i < 2; i++) {
		if (strcmp(policy, names[i][0]) != 0)
			continue;
		if (asprintf(&path, names[i][1], dir, app) < 0)
			return NULL;
		if (access(path, R_OK) == 0 || !names[i][2])
			return path;
		free(path);
		return asprintf(&path, names[i][2], dir, app) < 0 ? NULL : path;
	}
	if (asprintf(&path, "%s/%s/%s.model", dir, app, policy) < 0)
		return NULL;
	if (access(path, R_OK) == 0)
		return path;
	free(path);
	return sim_model_path(dir, app, policy);
}
