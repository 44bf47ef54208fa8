// SPDX-License-Identifier: Apache-2.0
/* Captains and Tower on the simulator. */
#include "sim/policies/autothrottle.h"

#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/hist.h"
#include "lib/log.h"
#include "lib/util.h"
#include "sim/policies/policies.h"
#include "sim/policies/store.h"

#define KIND	      "baseline-autothrottle"
#define PERIOD_NS     100000000ULL
#define MINUTE	      600  /* of those */
#define FIRST_SAMPLES 180  /* of exploring everything evenly: six hours of two minutes each */
#define EXPLORE	      0.5  /* of the neighbours while learning after that */
#define LATENCY_MOST  10.0 /* objectives; what is above says nothing more */
#define FAILED_MOST   0.01 /* beyond it the 99th percentile has no answer */

struct minute {
	uint32_t hist[DRPC_HIST_BUCKETS];
	uint64_t arrived, ended, failed, periods;
	double allocation;
};

struct autothrottle {
	struct drpc_sim_store store;
	size_t n;
	struct drpc_captain *captains;
	double *usage;	 /* sum over the run, by service */
	uint64_t usages; /* how many of them */
	uint8_t *group;	 /* by service */
	bool grouped;
	struct drpc_tower tower;
	struct minute minute;
	bool explores; /* evenly, while learning; an action stands two minutes there */
	double explore;
	bool settled; /* the first of the two is over */
	int action;   /* in force; -1 none */
	double action_rps;
};

static double rate_of(const struct minute *m)
{
	return (double)m->arrived / ((double)m->periods * 0.1);
}

static double latency_of(const struct autothrottle *a)
{
	const struct minute *m = &a->minute;
	const double most = LATENCY_MOST * a->tower.slo_ns;

	if ((double)m->failed > FAILED_MOST * (double)m->ended)
		return most;
	return fmin(drpc_hist_quantile_ns(m->hist, 0.99), most);
}

/* --- learnt before, kept ------------------------------------------------------------------------ */

static int take_store(struct autothrottle *a)
{
	const size_t width = sizeof(struct drpc_tower_sample) / sizeof(float);
	const struct drpc_model *model = &a->store.model;
	const int64_t services = drpc_sim_store_count(&a->store, "services", 0);

	if (!a->store.found)
		return 0;
	if (services != (int64_t)a->n || model->n_weights < a->n ||
	    (model->n_weights - a->n) % width ||
	    (model->n_weights - a->n) / width > DRPC_TOWER_SAMPLES)
		return drpc_err(-EINVAL, "autothrottle: %s is of another application",
				a->store.path);
	for (size_t i = 0; i < a->n; i++)
		a->group[i] = model->weights[i] > 0;
	a->grouped = true;
	a->tower.n = (model->n_weights - a->n) / width;
	memcpy(a->tower.samples, model->weights + a->n, (model->n_weights - a->n) * sizeof(float));
	for (size_t i = 0; i < a->tower.n; i++) {
		const float action = a->tower.samples[i].action;

		if (!(action >= 0 && action < DRPC_TOWER_ACTIONS))
			return drpc_err(-EINVAL, "autothrottle: %s: action %g", a->store.path,
					(double)action);
	}
	return 0;
}

static int keep_store(struct autothrottle *a)
{
	const size_t width = sizeof(struct drpc_tower_sample) / sizeof(float);
	const size_t samples = (size_t)DRPC_MIN(a->tower.n, (uint64_t)DRPC_TOWER_SAMPLES);
	const size_t n = a->n + samples * width;
	_cleanup_free_ float *weights = calloc(n, sizeof(*weights));
	struct json_object *header = json_object_new_object();
	int err = weights && header ? 0 : -ENOMEM;

	if (!err) {
		for (size_t i = 0; i < a->n; i++)
			weights[i] = a->group[i];
		/* Oldest first, so that the ring goes on where it was. */
		for (size_t i = 0; i < samples; i++)
			memcpy(weights + a->n + i * width,
			       &a->tower.samples[(a->tower.n - samples + i) % DRPC_TOWER_SAMPLES],
			       sizeof(a->tower.samples[0]));
		json_object_object_add(header, "services", json_object_new_int64((int64_t)a->n));
		json_object_object_add(header, "samples", json_object_new_int64((int64_t)samples));
		json_object_object_add(
			header, "episodes",
			json_object_new_int64(drpc_sim_store_count(&a->store, "episodes", 0) + 1));
		err = drpc_model_file_save(a->store.path, KIND, header, weights, n);
	}
	json_object_put(header);
	return err;
}

/* --- policy ------------------------------------------------------------------------------------- */

static void autothrottle_destroy(void *self)
{
	struct autothrottle *a = self;

	if (!a)
		return;
	if (a->store.learn && a->grouped && keep_store(a) < 0)
		drpc_error("autothrottle: what was learnt in this run is lost");
	drpc_sim_store_done(&a->store);
	free(a->captains);
	free(a->usage);
	free(a->group);
	free(a->tower.samples);
	free(a);
}

static int prepare(struct autothrottle *a, struct drpc_sim *sim)
{
	a->n = drpc_sim_service_count(sim);
	a->captains = calloc(a->n, sizeof(*a->captains));
	a->usage = calloc(a->n, sizeof(*a->usage));
	a->group = calloc(a->n, sizeof(*a->group));
	a->tower.samples = calloc(DRPC_TOWER_SAMPLES, sizeof(*a->tower.samples));
	if (!a->captains || !a->usage || !a->group || !a->tower.samples)
		return -ENOMEM;
	for (uint32_t i = 0; i < a->n; i++)
		drpc_captain_init(&a->captains[i], drpc_sim_spec(sim, i)->cpu_cores);
	a->tower.slo_ns = drpc_sim_app(sim)->slo_ns;
	a->action = -1;
	return take_store(a);
}

static int autothrottle_create(struct drpc_sim *sim, const struct drpc_sim_params *params,
			       struct drpc_sim_needs *needs, void **ret)
{
	static const char *const known[] = {"model", "learn", "explore", NULL};
	struct autothrottle *a = calloc(1, sizeof(*a));
	int err = a ? drpc_sim_params_check(params, known) : -ENOMEM;

	(void)needs;
	if (!err)
		err = drpc_sim_store_open(params, KIND, &a->store);
	if (!err)
		err = prepare(a, sim);
	if (!err) {
		a->explores = a->store.learn && a->tower.n < FIRST_SAMPLES;
		a->explore = a->store.learn ? EXPLORE : 0;
		a->tower.rng = drpc_rng_make(params->seed, a->tower.n);
		err = drpc_sim_param_number(params, "explore", &a->explore);
	}
	if (!err && !(a->explore >= 0 && a->explore <= 1))
		err = drpc_err(-EINVAL, "autothrottle: explore=%g, expected 0 to 1", a->explore);
	if (!err) {
		*ret = a;
		return 0;
	}
	if (a)
		a->store.learn = false;
	autothrottle_destroy(a);
	return err;
}

static int captains(struct autothrottle *a, struct drpc_sim *sim, const struct drpc_sim_obs *obs)
{
	for (size_t i = 0; i < obs->n_services; i++) {
		const struct drpc_sim_service_obs *o = &obs->services[i];
		const uint32_t up = o->ready + o->draining;
		const struct drpc_sim_period *p = o->samples;
		double limit;
		int err;

		a->minute.allocation += o->cpu_limit_cores * o->wanted;
		if (!o->n_samples || !up || o->cpu_limit_cores <= 0)
			continue;
		a->usage[i] += (double)p->usage_cores;
		limit = drpc_captain_step(&a->captains[i], (double)p->usage_cores / up,
					  (double)p->throttled);
		limit = DRPC_CLAMP(limit, drpc_sim_spec(sim, o->index)->min_cpu_cores,
				   drpc_sim_spec(sim, o->index)->max_cpu_cores);
		a->captains[i].limit = limit;
		err = drpc_sim_move_cpu(sim, o->index, limit);
		if (err)
			return err;
	}
	a->usages++;
	return 0;
}

static int choose(struct autothrottle *a, double rps)
{
	int action;

	if (a->explores)
		return drpc_tower_least_tried(&a->tower);
	action = drpc_tower_best(&a->tower, rps);
	if (action == -1)
		return a->store.learn ? drpc_tower_least_tried(&a->tower) : 0;
	return action < 0 ? action : drpc_tower_neighbour(&a->tower, action, a->explore);
}

/* Each minute: what the last action cost, and the next one. */
static int tower(struct autothrottle *a)
{
	const struct minute *m = &a->minute;
	const double rps = rate_of(m);
	int err = 0;

	if (!a->grouped) {
		err = drpc_tower_groups(a->usage, a->n, a->group);
		a->grouped = !err;
	}
	/* Exploring evenly, the first minute of an action still shows the one before it. */
	if (!err && a->explores && a->action >= 0 && !a->settled) {
		a->settled = true;
		a->action_rps = rps;
		return 0;
	}
	if (!err && a->action >= 0 && m->ended > 0) {
		const struct drpc_tower_sample sample = {
			.rps = (float)a->action_rps,
			.action = (float)a->action,
			.latency_ns = (float)latency_of(a),
			.allocation = (float)(m->allocation / (double)m->periods),
		};

		drpc_tower_add(&a->tower, &sample);
	}
	if (!err)
		err = choose(a, rps);
	if (err < 0)
		return err;
	a->action = err;
	a->action_rps = rps;
	a->settled = false;
	for (size_t i = 0; i < a->n; i++)
		a->captains[i].target =
			drpc_tower_targets[a->group[i] ? a->action / DRPC_TOWER_TARGETS
						       : a->action % DRPC_TOWER_TARGETS];
	return 0;
}

static int autothrottle_decide(void *self, struct drpc_sim *sim, const struct drpc_sim_obs *obs)
{
	struct autothrottle *a = self;
	struct minute *m = &a->minute;
	int err;

	m->periods++;
	m->arrived += obs->arrived;
	m->ended += obs->ended;
	m->failed += obs->failed;
	for (size_t b = 0; b < DRPC_HIST_BUCKETS; b++)
		m->hist[b] += obs->hist[b];
	err = captains(a, sim, obs);
	if (!err && m->periods == MINUTE) {
		err = tower(a);
		*m = (struct minute){0};
	}
	return err;
}

const struct drpc_sim_policy drpc_sim_policy_autothrottle = {
	.name = "autothrottle",
	.help = "Captains and Tower: CPU limits by throttle targets (model=FILE, learn=1)",
	.needs = {.period_ns = PERIOD_NS, .period_samples = 1},
	.create = autothrottle_create,
	.decide = autothrottle_decide,
	.destroy = autothrottle_destroy,
};
