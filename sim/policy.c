// SPDX-License-Identifier: Apache-2.0
#include "sim/policy.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

struct run {
	struct drpc_sim *sim;
	const struct drpc_sim_policy *policy;
	void *self;
	struct drpc_sim_watch *watch;
	uint64_t end_ns, look_ns, every_ns; /* the next look, and from one to the other */
	void (*progress)(void *arg, double done);
	void *arg;
};

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * DRPC_NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

static int decide(struct run *r, const struct drpc_sim_obs *obs)
{
	const uint64_t begin_ns = cpu_ns();
	const int err = r->policy->decide(r->self, r->sim, obs);

	r->watch->decisions++;
	r->watch->decide_cpu_s += (double)(cpu_ns() - begin_ns) * 1e-9;
	return err;
}

static int run(struct run *r)
{
	const uint64_t stride =
		(uint64_t)(fmax(PROGRESS_SECONDS, (double)r->end_ns * 1e-9 / 200) * 1e9);
	uint64_t told_ns = 0, now_ns;
	int err = 0;

	while (err >= 0 && (now_ns = drpc_sim_now_ns(r->sim)) < r->end_ns) {
		const uint64_t until = DRPC_MIN(DRPC_MIN(r->end_ns, r->look_ns), now_ns + stride);
		const struct drpc_sim_obs *obs = NULL;

		/* Nothing has happened at time 0, where there may be a look. */
		err = until > now_ns ? drpc_sim_step(r->sim, until, &obs) : 0;
		if (err > 0 && r->policy->decide)
			err = decide(r, obs);
		now_ns = drpc_sim_now_ns(r->sim);
		while (err >= 0 && now_ns >= r->look_ns) {
			err = r->watch->look(r->watch->arg, r->sim);
			r->look_ns += r->every_ns;
		}
		if (r->progress && now_ns >= told_ns + stride) {
			told_ns = now_ns;
			r->progress(r->arg, (double)told_ns / (double)r->end_ns);
		}
	}
	/* What came after the last multiple. */
	if (err >= 0 && r->look_ns != UINT64_MAX && r->look_ns - r->every_ns != r->end_ns)
		err = r->watch->look(r->watch->arg, r->sim);
	return err < 0 ? err : 0;
}

int drpc_sim_evaluate_watched(const struct drpc_sim_app *app, const struct drpc_sim_config *config,
			      const struct drpc_sim_policy *policy,
			      const struct drpc_sim_params *params, double seconds,
			      void (*progress)(void *arg, double done), void *arg,
			      struct drpc_sim_watch *watch, struct drpc_sim_result *ret)
{
	struct drpc_sim_config c = *config;
	struct run r = {
		.policy = policy,
		.watch = watch,
		.end_ns = (uint64_t)(seconds * 1e9),
		.look_ns = UINT64_MAX,
		.every_ns = (uint64_t)(watch->every_s * 1e9),
		.progress = progress,
		.arg = arg,
	};
	int err;

	if (watch->look && r.every_ns)
		r.look_ns = (uint64_t)(config->warmup_s * 1e9);
	c.needs = policy->needs;
	err = drpc_sim_new(app, &c, &r.sim);
	if (!err)
		err = policy->create(r.sim, params, &c.needs, &r.self);
	if (!err) {
		err = drpc_sim_set_needs(r.sim, &c.needs);
		if (!err)
			err = run(&r);
		if (!err) {
			*ret = drpc_sim_result(r.sim);
			watch->parameters = policy->parameters ? policy->parameters(r.self) : 0;
		}
		if (policy->destroy)
			policy->destroy(r.self);
	}
	drpc_sim_free(&r.sim);
	return err;
}

int drpc_sim_evaluate(const struct drpc_sim_app *app, const struct drpc_sim_config *config,
		      const struct drpc_sim_policy *policy, const struct drpc_sim_params *params,
		      double seconds, void (*progress)(void *arg, double done), void *arg,
		      struct drpc_sim_result *ret)
{
	struct drpc_sim_watch watch = {0};

	return drpc_sim_evaluate_watched(app, config, policy, params, seconds, progress, arg,
					 &watch, ret);
}
