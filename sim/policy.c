// SPDX-License-Identifier: Apache-2.0
#include "sim/policy.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "sim/internal.h"

#define PROGRESS_SECONDS 10.0 /* of simulated time, at least */

/* --- parameters --------------------------------------------------------------------------------- */

/* The length of a pair's key, up to its '='. */
static size_t key_length(const char *pair)
{
	return strcspn(pair, "=");
}

const char *drpc_sim_param(const struct drpc_sim_params *params, const char *key)
{
	for (size_t i = 0; i < params->n_pairs; i++) {
		const char *pair = params->pairs[i];
		const size_t n = key_length(pair);

		if (pair[n] == '=' && n == strlen(key) && strncmp(pair, key, n) == 0)
			return pair + n + 1;
	}
	return NULL;
}

int drpc_sim_param_number(const struct drpc_sim_params *params, const char *key, double *ret)
{
	const char *text = drpc_sim_param(params, key);
	char *end;
	double value;

	if (!text)
		return 0;
	value = strtod(text, &end);
	if (end == text || *end || !isfinite(value))
		return drpc_err(-EINVAL, "policy: %s=%s, expected a number", key, text);
	*ret = value;
	return 0;
}

int drpc_sim_params_check(const struct drpc_sim_params *params, const char *const *known)
{
	for (size_t i = 0; i < params->n_pairs; i++) {
		const char *pair = params->pairs[i];
		const size_t n = key_length(pair);
		bool found = false;

		if (pair[n] != '=')
			return drpc_err(-EINVAL, "policy: '%s', expected key=value", pair);
		for (const char *const *k = known; *k && !found; k++)
			found = strlen(*k) == n && strncmp(pair, *k, n) == 0;
		if (!found)
			return drpc_err(-EINVAL, "policy: it has no parameter '%.*s'", (int)n,
					pair);
	}
	return 0;
}

/* --- call graph --------------------------------------------------------------------------------- */

const struct drpc_sim_edge *drpc_sim_edges(const struct drpc_sim *sim, size_t *ret_n)
{
	*ret_n = sim->app->n_edges;
	return sim->app->edges;
}

uint32_t drpc_sim_service_count(const struct drpc_sim *sim)
{
	return sim->app->n_services;
}

const char *drpc_sim_service_name(const struct drpc_sim *sim, uint32_t service)
{
	return service < sim->app->n_services ? sim->app->services[service].name : NULL;
}

int drpc_sim_service_find(const struct drpc_sim *sim, const char *name)
{
	for (uint32_t i = 0; i < sim->app->n_services; i++) {
		if (strcmp(sim->app->services[i].name, name) == 0)
			return (int)i;
	}
	return -ENOENT;
}

/* --- static ------------------------------------------------------------------------------------- */

static int static_create(struct drpc_sim *sim, const struct drpc_sim_params *params,
			 struct drpc_sim_needs *needs, void **ret)
{
	static const char *const known[] = {NULL};

	(void)sim;
	(void)needs;
	*ret = NULL;
	return drpc_sim_params_check(params, known);
}

/* Limits and replicas stay as the application's file has them. */
const struct drpc_sim_policy drpc_sim_policy_static = {
	.name = "static",
	.help = "the limits and replicas of the file, for the whole run",
	.create = static_create,
};

/* --- a run -------------------------------------------------------------------------------------- */

static int run(struct drpc_sim *sim, const struct drpc_sim_policy *policy, void *self,
	       double seconds, void (*progress)(void *arg, double done), void *arg)
{
	const uint64_t end_ns = (uint64_t)(seconds * 1e9);
	const uint64_t stride = (uint64_t)(fmax(PROGRESS_SECONDS, seconds / 200) * 1e9);
	uint64_t told_ns = 0;

	while (drpc_sim_now_ns(sim) < end_ns) {
		const uint64_t until = DRPC_MIN(end_ns, drpc_sim_now_ns(sim) + stride);
		const struct drpc_sim_obs *obs = NULL;
		int r = drpc_sim_step(sim, until, &obs);

		if (r > 0 && policy->decide)
			r = policy->decide(self, sim, obs);
		if (r < 0)
			return r;
		if (progress && drpc_sim_now_ns(sim) >= told_ns + stride) {
			told_ns = drpc_sim_now_ns(sim);
			progress(arg, (double)told_ns / (double)end_ns);
		}
	}
	return 0;
}

int drpc_sim_evaluate(const struct drpc_sim_app *app, const struct drpc_sim_config *config,
		      const struct drpc_sim_policy *policy, const struct drpc_sim_params *params,
		      double seconds, void (*progress)(void *arg, double done), void *arg,
		      struct drpc_sim_result *ret)
{
	struct drpc_sim_config c = *config;
	struct drpc_sim *sim = NULL;
	void *self = NULL;
	int err;

	c.needs = policy->needs;
	err = drpc_sim_new(app, &c, &sim);
	if (!err)
		err = policy->create(sim, params, &c.needs, &self);
	if (!err) {
		err = drpc_sim_set_needs(sim, &c.needs);
		if (!err)
			err = run(sim, policy, self, seconds, progress, arg);
		if (!err)
			*ret = drpc_sim_result(sim);
		if (policy->destroy)
			policy->destroy(self);
	}
	drpc_sim_free(&sim);
	return err;
}
