// SPDX-License-Identifier: Apache-2.0
/*
 * FIRM on the simulator: each window the critical paths, the services that the support vector machine
 * calls critical, and one resource of each of them by the agent's choice. docs/baselines.md
 */
#include "sim/policies/firm.h"

#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/util.h"
#include "sim/policies/critical.h"
#include "sim/policies/policies.h"
#include "sim/policies/store.h"
#include "sim/policies/svm.h"

#define KIND		 "baseline-firm"
#define KIND_REPLAY	 "baseline-firm-replay"
#define WINDOW_NS	 5000000000ULL
#define SPAN_EVERY	 5
#define FEATURES_WANTED	 10  /* requests, to tell anything of a service */
#define STEP		 0.2 /* of the limit */
#define REWARD_SLO	 5.0
#define FAILED_MOST	 0.01
#define FAILED_RETENTION 0.1
#define RATIO_MOST	 2.0
#define SVM_NUMBERS	 5
#define CUT_ROOM	 1.1 /* times what was used */

/* While it learns, this probability of trying something else, falling by the episode. */
#define EXPLORE_FIRST	 0.3
#define EXPLORE_LEAST	 0.05
#define EXPLORE_EPISODES 20
#define EXPLORE_ACTOR	 0.5 /* of those: what the actor says, with its noise */

/*
 * While it learns, whoever tends the testbed sets the file's limits again after so many windows with
 * the objective missed: out of a collapse nothing is learnt but that idle limits cost.
 */
#define RESET_WINDOWS 12

/* Random anomalies while it learns. */
#define ANOMALY_GAP_S	 60.0 /* mean time between two */
#define ANOMALY_LEAST_S	 10.0
#define ANOMALY_MOST_S	 30.0
#define ANOMALY_STRENGTH 0.3 /* at least */

struct agent_of {
	bool waits; /* a step was taken whose outcome is not known yet */
	float state[DRPC_DDPG_STATE], action[DRPC_DDPG_ACTION];
	double rate_before;
	uint64_t anomaly_until_ns;
};

struct firm {
	struct drpc_sim_store store;
	size_t n;
	struct drpc_svm svm;
	struct drpc_ddpg *ddpg;
	struct agent_of *services;
	struct drpc_critical_features *features;
	uint64_t next_anomaly_ns;
	uint32_t missed; /* windows, one after another */
	double given;	 /* cores that the raises of this window took */
	struct drpc_rng rng;
	double step;
	double explore;
};

/* --- the agent's view --------------------------------------------------------------------------- */

struct drpc_firm_choice drpc_firm_choose(const float *action)
{
	struct drpc_firm_choice best = {DRPC_FIRM_CPU, 0};
	static const int directions[] = {0, 1, -1};
	float most = -INFINITY;

	for (int r = DRPC_FIRM_CPU; r <= DRPC_FIRM_MEMORY; r++) {
		for (int d = 0; d < 3; d++) {
			if (action[3 * r + d] <= most)
				continue;
			most = action[3 * r + d];
			best = (struct drpc_firm_choice){(enum drpc_firm_resource)r, directions[d]};
		}
	}
	return best;
}

uint32_t drpc_firm_allowed(void)
{
	return (1U << 3 * (DRPC_FIRM_MEMORY + 1)) - 1;
}

int drpc_firm_index(struct drpc_firm_choice choice)
{
	return 3 * (int)choice.resource + (choice.direction < 0 ? 2 : choice.direction);
}

double drpc_firm_retention(const struct drpc_sim_obs *obs)
{
	if ((double)obs->failed > FAILED_MOST * (double)obs->ended)
		return FAILED_RETENTION;
	return obs->p99_ns > obs->slo_ns ? obs->slo_ns / obs->p99_ns : 1;
}

void drpc_firm_state(const struct drpc_sim_obs *obs, uint32_t service, double rate_before,
		     float *ret)
{
	const struct drpc_sim_service_obs *o = &obs->services[service];
	double requests = 0;

	memset(ret, 0, DRPC_DDPG_STATE * sizeof(*ret));
	ret[DRPC_FIRM_CPU] = (float)fmin(o->cpu_utilisation, 1);
	ret[DRPC_FIRM_MEMORY] = (float)fmin(o->memory_utilisation, 1);
	ret[5] = (float)drpc_firm_retention(obs);
	ret[6] = rate_before > 0 ? (float)fmin(o->rate_rps / rate_before, RATIO_MOST) : 1;
	for (size_t c = 0; c < obs->n_classes; c++)
		requests += obs->classes[c].rate_rps;
	for (size_t c = 0; c < obs->n_classes && c < 3 && requests > 0; c++)
		ret[7 + c] = (float)(obs->classes[c].rate_rps / requests);
}

double drpc_firm_reward(const float *state)
{
	double reward = REWARD_SLO * (double)state[5];

	for (int r = 0; r < DRPC_FIRM_RESOURCES; r++)
		reward += (double)state[r];
	return reward;
}

/* --- what was learnt ---------------------------------------------------------------------------- */

static int take_store(struct firm *f)
{
	const struct drpc_model *m = &f->store.model;
	const size_t numbers = SVM_NUMBERS + f->ddpg->n_numbers;
	const float *w = m->weights;

	if (!f->store.found)
		return 0;
	if (m->n_weights != numbers)
		return drpc_err(-EINVAL, "firm: %s has %zu numbers, expected %zu", f->store.path,
				m->n_weights, numbers);
	f->svm = (struct drpc_svm){.w = {(double)w[0], (double)w[1]},
				   .b = (double)w[2],
				   .seen = {(uint64_t)w[3], (uint64_t)w[4]}};
	memcpy(f->ddpg->numbers, w + SVM_NUMBERS, f->ddpg->n_numbers * sizeof(*w));
	f->ddpg->actor.adam.t = f->ddpg->critic.adam.t =
		(uint64_t)drpc_sim_store_count(&f->store, "updates", 0);
	return 0;
}

/* Steps to learn from lie beside what was learnt: who only acts needs none of them. */
static char *replay_path(const struct firm *f)
{
	char *path = NULL;

	return asprintf(&path, "%s.replay", f->store.path) < 0 ? NULL : path;
}

static int take_replay(struct firm *f)
{
	const size_t width = sizeof(struct drpc_ddpg_transition) / sizeof(float);
	_cleanup_free_ char *path = replay_path(f);
	struct drpc_model m = {0};
	int err;

	if (!path)
		return -ENOMEM;
	if (!f->store.found || access(path, F_OK) < 0)
		return 0;
	err = drpc_model_file_load(path, KIND_REPLAY, &m);
	if (!err && (m.n_weights % width || m.n_weights / width > DRPC_DDPG_REPLAY))
		err = drpc_err(-EINVAL, "firm: %s has %zu numbers, expected steps of %zu", path,
			       m.n_weights, width);
	if (!err) {
		f->ddpg->n = m.n_weights / width;
		memcpy(f->ddpg->replay, m.weights, m.n_weights * sizeof(float));
	}
	drpc_model_done(&m);
	return err;
}

static int keep_replay(const struct firm *f)
{
	const size_t width = sizeof(struct drpc_ddpg_transition) / sizeof(float);
	const size_t steps = (size_t)DRPC_MIN(f->ddpg->n, (uint64_t)DRPC_DDPG_REPLAY);
	_cleanup_free_ float *w = calloc(steps * width + 1, sizeof(*w));
	_cleanup_free_ char *path = replay_path(f);
	struct json_object *header = json_object_new_object();
	int err = w && path && header ? 0 : -ENOMEM;

	/* Oldest first, so that the ring goes on where it was. */
	for (size_t i = 0; i < steps && !err; i++)
		memcpy(w + i * width, &f->ddpg->replay[(f->ddpg->n - steps + i) % DRPC_DDPG_REPLAY],
		       sizeof(f->ddpg->replay[0]));
	if (!err)
		err = drpc_model_file_save(path, KIND_REPLAY, header, w, steps * width);
	json_object_put(header);
	return err;
}

static int keep_store(const struct firm *f)
{
	const size_t numbers = SVM_NUMBERS + f->ddpg->n_numbers;
	_cleanup_free_ float *w = calloc(numbers, sizeof(*w));
	struct json_object *header = json_object_new_object();
	int err = w && header ? keep_replay(f) : -ENOMEM;

	if (!err) {
		w[0] = (float)f->svm.w[0];
		w[1] = (float)f->svm.w[1];
		w[2] = (float)f->svm.b;
		w[3] = (float)f->svm.seen[0];
		w[4] = (float)f->svm.seen[1];
		memcpy(w + SVM_NUMBERS, f->ddpg->numbers, f->ddpg->n_numbers * sizeof(*w));
		json_object_object_add(header, "updates",
				       json_object_new_int64((int64_t)f->ddpg->actor.adam.t));
		json_object_object_add(
			header, "episodes",
			json_object_new_int64(drpc_sim_store_count(&f->store, "episodes", 0) + 1));
		err = drpc_model_file_save(f->store.path, KIND, header, w, numbers);
	}
	json_object_put(header);
	return err;
}

/* --- policy ------------------------------------------------------------------------------------- */

static void firm_destroy(void *self)
{
	struct firm *f = self;

	if (!f)
		return;
	if (f->store.learn && f->services && keep_store(f) < 0)
		drpc_error("firm: what was learnt in this run is lost");
	drpc_sim_store_done(&f->store);
	drpc_ddpg_free(&f->ddpg);
	free(f->services);
	free(f->features);
	free(f);
}

static int firm_create(struct drpc_sim *sim, const struct drpc_sim_params *params,
		       struct drpc_sim_needs *needs, void **ret)
{
	static const char *const known[] = {"model", "learn", "step", NULL};
	struct firm *f = calloc(1, sizeof(*f));
	int err = f ? drpc_sim_params_check(params, known) : -ENOMEM;

	(void)needs;
	if (!err)
		err = drpc_sim_store_open(params, KIND, &f->store);
	if (!err && !f->store.path)
		err = drpc_err(-EINVAL, "firm: expected model=FILE (drpc-sim tune makes it)");
	if (!err)
		err = drpc_ddpg_new(params->seed, &f->ddpg);
	if (!err)
		err = take_store(f);
	if (!err && f->store.learn)
		err = take_replay(f);
	if (!err) {
		f->step = STEP;
		err = drpc_sim_param_number(params, "step", &f->step);
	}
	if (!err && !(f->step > 0 && f->step < 1))
		err = drpc_err(-EINVAL, "firm: step=%g, expected between 0 and 1", f->step);
	if (!err) {
		f->n = drpc_sim_service_count(sim);
		f->rng = drpc_rng_make(params->seed, 1);
		f->explore =
			fmax(EXPLORE_LEAST, EXPLORE_FIRST * (1 - (double)drpc_sim_store_count(
									 &f->store, "episodes", 0) /
									 EXPLORE_EPISODES));
		f->ddpg->allowed = drpc_firm_allowed();
		f->features = calloc(f->n, sizeof(*f->features));
		f->services = f->features ? calloc(f->n, sizeof(*f->services)) : NULL;
		err = f->services ? 0 : -ENOMEM;
	}
	if (!err) {
		*ret = f;
		return 0;
	}
	firm_destroy(f);
	return err;
}

static double uniform(struct firm *f, double from, double to)
{
	return from + (to - from) * drpc_rng_uniform(&f->rng);
}

/* One now and then, on any service, of any kind and strength. */
static int inject(struct firm *f, struct drpc_sim *sim, uint64_t now_ns)
{
	const double duration_ns = uniform(f, ANOMALY_LEAST_S, ANOMALY_MOST_S) * 1e9;
	uint64_t service, kind;
	int err;

	if (now_ns < f->next_anomaly_ns)
		return 0;
	f->next_anomaly_ns =
		now_ns + (uint64_t)(-log(1 - drpc_rng_uniform(&f->rng)) * ANOMALY_GAP_S * 1e9);
	drpc_rng_indices(&f->rng, f->n, 1, &service);
	drpc_rng_indices(&f->rng, DRPC_SIM_ANOMALY_NETWORK + 1, 1, &kind);
	err = drpc_sim_inject(sim, (uint32_t)service, (enum drpc_sim_anomaly)kind,
			      uniform(f, ANOMALY_STRENGTH, 1), (uint64_t)duration_ns);
	if (err == -EBUSY) /* there are many already */
		return 0;
	f->services[service].anomaly_until_ns = now_ns + (uint64_t)duration_ns;
	return err;
}

static void svm_input(const struct drpc_critical_features *features, double *ret)
{
	ret[0] = features->importance;
	ret[1] = log(features->congestion);
}

/* Takes so many cores of what the cluster has left, as its file lets them be handed out. */
static bool take_room(struct firm *f, const struct drpc_sim *sim, const struct drpc_sim_obs *obs,
		      double cores)
{
	const double overcommit = drpc_sim_app(sim)->cpu_overcommit;
	double left = -f->given;

	for (size_t i = 0; i < obs->n_nodes; i++)
		left += obs->nodes[i].cpu_cores * overcommit - obs->nodes[i].cpu_allocated_cores;
	if (cores > left)
		return false;
	f->given += cores;
	return true;
}

/*
 * The limit a step up or down, no further than the cluster has; CPU at its end goes on with
 * replicas.
 */
/* A cut leaves room above what was in use, as drpc's own does. */
static double cut(double limit, double to, double used)
{
	return to < limit ? fmin(fmax(to, used * CUT_ROOM), limit) : to;
}

static int apply(struct firm *f, struct drpc_sim *sim, const struct drpc_sim_obs *obs,
		 const struct drpc_sim_service_obs *o, struct drpc_firm_choice choice)
{
	const struct drpc_sim_service *spec = drpc_sim_spec(sim, o->index);
	const double factor = choice.direction > 0 ? 1 + f->step : 1 - f->step;
	const double end = choice.direction > 0 ? spec->max_cpu_cores : spec->min_cpu_cores;
	const double up = fmax((double)o->ready + o->draining, 1);

	if (choice.direction == 0)
		return 0;
	if (choice.resource == DRPC_FIRM_MEMORY)
		return drpc_sim_move_memory(sim, o->index,
					    cut(o->memory_limit_bytes,
						o->memory_limit_bytes * factor,
						o->memory_peak_bytes));
	if (choice.direction > 0 &&
	    !take_room(f, sim, obs, o->cpu_limit_cores * f->step * o->wanted))
		return 0;
	if (o->cpu_limit_cores == end || spec->cpu_cores <= 0)
		return drpc_sim_move_replicas(sim, o->index, (double)o->wanted + choice.direction);
	return drpc_sim_move_cpu(
		sim, o->index,
		cut(o->cpu_limit_cores, o->cpu_limit_cores * factor, o->cpu_usage_cores / up));
}

/* Outcomes of the steps before become transitions, one update of the agent for each. */
static void learn_outcomes(struct firm *f, const struct drpc_sim_obs *obs)
{
	for (uint32_t i = 0; i < f->n; i++) {
		struct agent_of *s = &f->services[i];
		struct drpc_ddpg_transition t;

		if (!s->waits)
			continue;
		s->waits = false;
		memcpy(t.state, s->state, sizeof(t.state));
		memcpy(t.action, s->action, sizeof(t.action));
		drpc_firm_state(obs, i, s->rate_before, t.next);
		/* Less what can be had of the objective: no choice changes, and values stay small. */
		t.reward = (float)(drpc_firm_reward(t.next) - REWARD_SLO);
		drpc_ddpg_push(f->ddpg, &t);
		drpc_ddpg_update(f->ddpg);
	}
}

static void learn_labels(struct firm *f, const struct drpc_sim_obs *obs)
{
	for (size_t i = 0; i < f->n; i++) {
		double x[DRPC_SVM_INPUTS];

		if (f->features[i].requests < FEATURES_WANTED)
			continue;
		svm_input(&f->features[i], x);
		drpc_svm_learn(&f->svm, x, f->services[i].anomaly_until_ns > obs->begin_ns);
	}
}

/*
 * Whose limits are looked at: while the objective is missed, those that the machine calls critical, or
 * the one that comes nearest to it; while it is met, all on critical paths, to take back what is idle.
 */
static bool is_candidate(const struct firm *f, size_t i, bool missed, size_t nearest)
{
	double x[DRPC_SVM_INPUTS];

	if (f->features[i].requests < FEATURES_WANTED)
		return false;
	if (!missed || i == nearest)
		return true;
	svm_input(&f->features[i], x);
	return drpc_svm_value(&f->svm, x) > 0;
}

static size_t find_nearest(const struct firm *f)
{
	double most = -INFINITY, x[DRPC_SVM_INPUTS];
	size_t nearest = SIZE_MAX;

	for (size_t i = 0; i < f->n; i++) {
		if (f->features[i].requests < FEATURES_WANTED)
			continue;
		svm_input(&f->features[i], x);
		if (drpc_svm_value(&f->svm, x) > most) {
			most = drpc_svm_value(&f->svm, x);
			nearest = i;
		}
	}
	return nearest;
}

static void explore(struct firm *f, struct agent_of *s)
{
	if (drpc_rng_uniform(&f->rng) < EXPLORE_ACTOR)
		drpc_ddpg_act(f->ddpg, s->state, true, s->action);
	else
		drpc_rng_symmetric(&f->rng, 1, DRPC_DDPG_ACTION, s->action);
}

/* The critic's choice; while learning, now and then what the actor says with noise, or anything. */
static int act(struct firm *f, struct drpc_sim *sim, const struct drpc_sim_obs *obs, uint32_t i)
{
	struct agent_of *s = &f->services[i];
	struct drpc_firm_choice choice;

	if (f->store.learn && drpc_rng_uniform(&f->rng) < f->explore)
		explore(f, s);
	else
		drpc_ddpg_spell(drpc_ddpg_best(f->ddpg, s->state), s->action);
	choice = drpc_firm_choose(s->action);
	drpc_ddpg_spell((unsigned int)drpc_firm_index(choice), s->action);
	s->waits = true;
	return apply(f, sim, obs, &obs->services[i], choice);
}

static int reset(struct firm *f, struct drpc_sim *sim)
{
	int err = 0;

	f->missed = 0;
	for (uint32_t i = 0; i < f->n && !err; i++) {
		const struct drpc_sim_service *spec = drpc_sim_spec(sim, i);

		f->services[i].waits = false;
		err = drpc_sim_move_cpu(sim, i, spec->cpu_cores);
		if (!err)
			err = drpc_sim_move_memory(sim, i, spec->memory_bytes);
		if (!err)
			err = drpc_sim_move_replicas(sim, i, spec->replicas);
	}
	return err;
}

static int firm_decide(void *self, struct drpc_sim *sim, const struct drpc_sim_obs *obs)
{
	struct firm *f = self;
	const bool missed = drpc_firm_retention(obs) < 1;
	size_t nearest;
	int err = drpc_critical_window(obs->spans, obs->n_spans, f->n, f->features);

	if (err)
		return err;
	if (f->store.learn) {
		learn_labels(f, obs);
		learn_outcomes(f, obs);
		err = inject(f, sim, obs->now_ns);
		f->missed = missed ? f->missed + 1 : 0;
		if (!err && f->missed == RESET_WINDOWS)
			return reset(f, sim);
	}
	nearest = find_nearest(f);
	f->given = 0;
	for (uint32_t i = 0; i < f->n && !err; i++) {
		struct agent_of *s = &f->services[i];

		if (is_candidate(f, i, missed, nearest)) {
			drpc_firm_state(obs, i, s->rate_before, s->state);
			err = act(f, sim, obs, i);
		}
		s->rate_before = obs->services[i].rate_rps;
	}
	return err;
}

static size_t firm_parameters(const void *self)
{
	const struct firm *f = self;

	return drpc_ddpg_params(f->ddpg);
}

const struct drpc_sim_policy drpc_sim_policy_firm = {
	.name = "firm",
	.help = "critical paths, a support vector machine and DDPG (model=FILE, learn=1)",
	.needs = {.period_ns = WINDOW_NS, .span_every = SPAN_EVERY},
	.create = firm_create,
	.decide = firm_decide,
	.destroy = firm_destroy,
	.parameters = firm_parameters,
};
