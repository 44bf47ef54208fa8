// SPDX-License-Identifier: Apache-2.0
/*
 * CoScal on the simulator: each interval (five minutes, or less) a forecast of the load, and one
 * action a service from the table. What it has seen is kept with the table, which is learnt from it in
 * sweeps at the end of each run: an interval of five minutes gives too few steps to move a table by
 * hundredths.
 */
#include "sim/policies/coscal.h"

#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/hist.h"
#include "lib/log.h"
#include "lib/util.h"
#include "nn/forecast.h"
#include "sim/policies/policies.h"
#include "sim/policies/store.h"
#include "teacher/predictor.h"

#define KIND	    "baseline-coscal"
#define MINUTE_NS   60000000000ULL
#define INTERVAL    5	  /* minutes between actions at most, and what the forecast reaches */
#define WINDOW	    10	  /* minutes that the forecast looks back on */
#define SERIES_MOST 20000 /* minutes to learn it from */
#define STEPS_MOST  100000
#define SWEEPS	    20 /* over what was seen, a run */
#define STEP	    0.2
#define FAILED_MOST 0.01
#define LATE	    10.0 /* objectives that a p99 of failures counts for */

struct watched {
	double cpu, memory; /* sums over the minutes of the interval */
	bool waits;
	unsigned int state;
	enum drpc_coscal_action action;
};

struct coscal {
	struct drpc_sim_store store;
	size_t n;
	struct watched *services;
	struct drpc_coscal_table table;
	struct drpc_coscal_step *steps; /* STEPS_MOST, a ring */
	uint64_t n_steps;
	float *series;		/* SERIES_MOST: requests a second, minute by minute */
	size_t n_series, first; /* `first` of this run */
	double top_rate;	/* the largest of what was learnt from */
	struct drpc_forecast *forecast;
	uint32_t hist[DRPC_HIST_BUCKETS];
	uint64_t interval; /* minutes */
	uint64_t minutes, ended, failed;
	double slo_ns;
	struct drpc_rng rng;
};

/* --- what was learnt ---------------------------------------------------------------------------- */

static char *forecast_path(const struct coscal *c)
{
	char *path = NULL;

	return asprintf(&path, "%s.gru", c->store.path) < 0 ? NULL : path;
}

static int take_store(struct coscal *c)
{
	const size_t table = sizeof(c->table) / sizeof(float), width = 4;
	const struct drpc_model *m = &c->store.model;
	_cleanup_free_ char *path = c->store.path ? forecast_path(c) : NULL;
	const int64_t series = drpc_sim_store_count(&c->store, "minutes", -1);

	if (!c->store.found)
		return 0;
	if (series < 0 || series > SERIES_MOST || m->n_weights < table + (size_t)series ||
	    (m->n_weights - table - (size_t)series) % width ||
	    (m->n_weights - table - (size_t)series) / width > STEPS_MOST)
		return drpc_err(-EINVAL, "coscal: %s is cut or of another version", c->store.path);
	memcpy(&c->table, m->weights, sizeof(c->table));
	c->n_series = (size_t)series;
	memcpy(c->series, m->weights + table, c->n_series * sizeof(float));
	c->n_steps = (m->n_weights - table - c->n_series) / width;
	memcpy(c->steps, m->weights + table + c->n_series, (size_t)c->n_steps * sizeof(*c->steps));
	for (size_t i = 0; i < c->n_steps; i++) {
		const struct drpc_coscal_step *s = &c->steps[i];

		if (!(s->state >= 0 && s->state < DRPC_COSCAL_STATES && s->next >= 0 &&
		      s->next < DRPC_COSCAL_STATES && s->action >= 0 &&
		      s->action < DRPC_COSCAL_ACTIONS))
			return drpc_err(-EINVAL, "coscal: %s: step %zu is out of bounds",
					c->store.path, i);
	}
	for (size_t i = 0; i < c->n_series; i++)
		c->top_rate = fmax(c->top_rate, (double)c->series[i]);
	if (path && access(path, F_OK) == 0)
		return drpc_forecast_load(path, &c->forecast);
	return 0;
}

/* The forecast, from all minutes of all runs: those few windows that span two runs do no harm. */
static int learn_forecast(struct coscal *c)
{
	struct drpc_predictor_config config = drpc_predictor_defaults(1);
	struct drpc_predictor *predictor = NULL;
	_cleanup_free_ char *path = forecast_path(c);
	double loss;
	int err;

	config.hidden = 16;
	config.window = WINDOW;
	config.horizons = INTERVAL;
	config.step_s = 60;
	config.held_out = 0;
	config.season = 0;
	if (!path)
		return -ENOMEM;
	if (c->n_series < WINDOW + INTERVAL + config.batch)
		return 0;
	err = drpc_predictor_new(&config, &predictor);
	if (!err)
		err = drpc_predictor_train(predictor, c->series, c->n_series, &loss);
	if (!err)
		err = drpc_predictor_save(predictor, path, "training traces of this application",
					  drpc_realtime_ns() / 1000000000);
	drpc_predictor_free(&predictor);
	return err;
}

static size_t kept_steps(const struct coscal *c)
{
	return (size_t)DRPC_MIN(c->n_steps, (uint64_t)STEPS_MOST);
}

static int keep_store(struct coscal *c)
{
	const size_t table = sizeof(c->table) / sizeof(float), steps = kept_steps(c);
	const size_t n = table + c->n_series + steps * 4;
	_cleanup_free_ float *w = calloc(n, sizeof(*w));
	struct json_object *header = json_object_new_object();
	int err = w && header ? 0 : -ENOMEM;

	if (!err) {
		memcpy(w, &c->table, sizeof(c->table));
		memcpy(w + table, c->series, c->n_series * sizeof(float));
		for (size_t i = 0; i < steps; i++)
			memcpy(w + table + c->n_series + i * 4,
			       &c->steps[(c->n_steps - steps + i) % STEPS_MOST],
			       sizeof(c->steps[0]));
		json_object_object_add(header, "interval",
				       json_object_new_int64((int64_t)c->interval * 60));
		json_object_object_add(header, "minutes",
				       json_object_new_int64((int64_t)c->n_series));
		json_object_object_add(
			header, "episodes",
			json_object_new_int64(drpc_sim_store_count(&c->store, "episodes", 0) + 1));
		err = drpc_model_file_save(c->store.path, KIND, header, w, n);
	}
	json_object_put(header);
	return err;
}

static int learn(struct coscal *c)
{
	int err;

	for (int sweep = 0; sweep < SWEEPS; sweep++) {
		for (size_t i = 0; i < kept_steps(c); i++)
			drpc_coscal_learn(&c->table, &c->steps[i]);
	}
	err = learn_forecast(c);
	return err ? err : keep_store(c);
}

/* --- policy ------------------------------------------------------------------------------------- */

static void coscal_destroy(void *self)
{
	struct coscal *c = self;

	if (!c)
		return;
	if (c->store.learn && c->services && learn(c) < 0)
		drpc_error("coscal: what was learnt in this run is lost");
	drpc_sim_store_done(&c->store);
	drpc_forecast_free(&c->forecast);
	free(c->services);
	free(c->steps);
	free(c->series);
	free(c);
}

/* As it was learnt, or as the parameter says: a table of one interval says nothing of another. */
static int take_interval(struct coscal *c, const struct drpc_sim_params *params)
{
	const double learnt = (double)drpc_sim_store_count(&c->store, "interval", INTERVAL * 60);
	double seconds = learnt;
	int err = drpc_sim_param_number(params, "interval", &seconds);

	if (err)
		return err;
	if (!(seconds >= 60 && seconds <= INTERVAL * 60) || fmod(seconds, 60) > 0)
		return drpc_err(-EINVAL,
				"coscal: interval=%g, expected minutes up to %d, in seconds",
				seconds, INTERVAL);
	if (c->store.found && seconds != learnt)
		return drpc_err(-EINVAL, "coscal: interval=%g, but %s learnt with %g", seconds,
				c->store.path, learnt);
	c->interval = (uint64_t)(seconds / 60);
	return 0;
}

static int coscal_create(struct drpc_sim *sim, const struct drpc_sim_params *params,
			 struct drpc_sim_needs *needs, void **ret)
{
	static const char *const known[] = {"model", "learn", "interval", NULL};
	struct coscal *c = calloc(1, sizeof(*c));
	int err = c ? drpc_sim_params_check(params, known) : -ENOMEM;

	(void)needs;
	if (!err)
		err = drpc_sim_store_open(params, KIND, &c->store);
	if (!err && !c->store.path)
		err = drpc_err(-EINVAL, "coscal: expected model=FILE (drpc-sim tune makes it)");
	if (!err)
		err = take_interval(c, params);
	if (!err) {
		c->steps = calloc(STEPS_MOST, sizeof(*c->steps));
		c->series = calloc(SERIES_MOST, sizeof(*c->series));
		err = c->steps && c->series ? take_store(c) : -ENOMEM;
	}
	if (!err) {
		c->n = drpc_sim_service_count(sim);
		c->slo_ns = drpc_sim_app(sim)->slo_ns;
		c->rng = drpc_rng_make(params->seed, 2);
		c->first = c->n_series;
		c->services = calloc(c->n, sizeof(*c->services));
		err = c->services ? 0 : -ENOMEM;
	}
	if (!err) {
		*ret = c;
		return 0;
	}
	coscal_destroy(c);
	return err;
}

/* A minute's rate; the oldest goes where there is no more room. */
static void push_rate(struct coscal *c, double rps)
{
	if (c->n_series == SERIES_MOST) {
		memmove(c->series, c->series + 1, (SERIES_MOST - 1) * sizeof(*c->series));
		c->n_series--;
		c->first -= c->first > 0;
	}
	c->series[c->n_series++] = (float)rps;
}

/* The rate an interval from now; the last one where nothing was learnt yet. */
static double expected_rate(struct coscal *c)
{
	float window[WINDOW], ahead[DRPC_FORECAST_MAX_HORIZONS];
	const size_t have = DRPC_MIN(c->n_series - c->first, (size_t)WINDOW);
	const float *last = c->series + c->n_series - have;
	const double now = have ? (double)last[have - 1] : 0;
	const struct drpc_forecast_info *info;

	if (!c->forecast || !have)
		return now;
	info = drpc_forecast_info(c->forecast);
	if (info->n_inputs != 1 || info->window != WINDOW || info->horizons != INTERVAL)
		return now;
	for (size_t i = 0; i < WINDOW; i++)
		window[i] = i < WINDOW - have ? last[0] : last[i - (WINDOW - have)];
	if (drpc_forecast_run(c->forecast, window, ahead) < 0)
		return now;
	return fmax((double)ahead[c->interval - 1], 0);
}

static drpc_coscal_set allowed_actions(const struct drpc_sim *sim,
				       const struct drpc_sim_service_obs *o)
{
	const struct drpc_sim_service *spec = drpc_sim_spec(sim, o->index);
	drpc_coscal_set set = 1U << DRPC_COSCAL_NOTHING;

	if (o->wanted == 0)
		return set | 1U << DRPC_COSCAL_ON;
	if (o->wanted < spec->max_replicas)
		set |= 1U << DRPC_COSCAL_MORE_REPLICAS;
	if (o->wanted > DRPC_MAX(spec->min_replicas, 1U))
		set |= 1U << DRPC_COSCAL_FEWER_REPLICAS;
	if (spec->cpu_cores > 0)
		set |= 1U << DRPC_COSCAL_MORE_CPU | 1U << DRPC_COSCAL_LESS_CPU;
	if (spec->memory_bytes > 0)
		set |= 1U << DRPC_COSCAL_MORE_MEMORY | 1U << DRPC_COSCAL_LESS_MEMORY;
	if (o->optional)
		set |= 1U << DRPC_COSCAL_OFF;
	return set;
}

static enum drpc_coscal_action draw(struct coscal *c, drpc_coscal_set set)
{
	uint64_t index;

	drpc_rng_indices(&c->rng, (uint64_t)__builtin_popcount(set), 1, &index);
	for (; index > 0; index--)
		set &= set - 1;
	return (enum drpc_coscal_action)__builtin_ctz(set);
}

/* While learning: what was never tried in this state first, then now and then anything. */
static enum drpc_coscal_action choose(struct coscal *c, unsigned int state, drpc_coscal_set allowed)
{
	drpc_coscal_set untried = 0;

	if (!c->store.learn)
		return drpc_coscal_best(&c->table, state, allowed);
	for (unsigned int a = 0; a < DRPC_COSCAL_ACTIONS; a++) {
		if (allowed & 1U << a && c->table.visits[state][a] == 0)
			untried |= 1U << a;
	}
	if (untried)
		return draw(c, untried);
	if (drpc_rng_uniform(&c->rng) < DRPC_COSCAL_EPSILON)
		return draw(c, allowed);
	return drpc_coscal_best(&c->table, state, allowed);
}

static int apply(struct drpc_sim *sim, const struct drpc_sim_service_obs *o,
		 enum drpc_coscal_action action)
{
	switch (action) {
	case DRPC_COSCAL_MORE_REPLICAS:
		return drpc_sim_move_replicas(sim, o->index, o->wanted + 1.0);
	case DRPC_COSCAL_FEWER_REPLICAS:
		return drpc_sim_move_replicas(sim, o->index, o->wanted - 1.0);
	case DRPC_COSCAL_MORE_CPU:
		return drpc_sim_move_cpu(sim, o->index, o->cpu_limit_cores * (1 + STEP));
	case DRPC_COSCAL_LESS_CPU:
		return drpc_sim_move_cpu(sim, o->index, o->cpu_limit_cores * (1 - STEP));
	case DRPC_COSCAL_MORE_MEMORY:
		return drpc_sim_move_memory(sim, o->index, o->memory_limit_bytes * (1 + STEP));
	case DRPC_COSCAL_LESS_MEMORY:
		return drpc_sim_move_memory(sim, o->index, o->memory_limit_bytes * (1 - STEP));
	case DRPC_COSCAL_OFF:
	case DRPC_COSCAL_ON:
		return drpc_sim_set_brownout(sim, o->index, action == DRPC_COSCAL_OFF);
	default:
		return 0;
	}
}

static int act(struct coscal *c, struct drpc_sim *sim, const struct drpc_sim_obs *obs)
{
	const double load = c->top_rate > 0 ? expected_rate(c) / c->top_rate : 0;
	const bool failing = (double)c->failed > FAILED_MOST * (double)c->ended;
	const double p99 = failing ? LATE * c->slo_ns : drpc_hist_quantile_ns(c->hist, 0.99);
	int err = 0;

	for (size_t i = 0; i < c->n && !err; i++) {
		struct watched *w = &c->services[i];
		const double cpu = w->cpu / (double)c->interval;
		const double memory = w->memory / (double)c->interval;
		const unsigned int state = drpc_coscal_state(cpu, memory, load);

		if (w->waits && c->store.learn)
			c->steps[c->n_steps++ % STEPS_MOST] = (struct drpc_coscal_step){
				.state = (float)w->state,
				.action = (float)w->action,
				.reward = (float)drpc_coscal_reward(p99, c->slo_ns, cpu, memory),
				.next = (float)state,
			};
		w->state = state;
		w->action = choose(c, state, allowed_actions(sim, &obs->services[i]));
		w->waits = true;
		w->cpu = w->memory = 0;
		/* Tried now, learnt at the end: not all services shall try the same first. */
		if (c->store.learn)
			c->table.visits[state][w->action]++;
		err = apply(sim, &obs->services[i], w->action);
	}
	return err;
}

static int coscal_decide(void *self, struct drpc_sim *sim, const struct drpc_sim_obs *obs)
{
	struct coscal *c = self;
	int err = 0;

	push_rate(c, obs->rate_rps);
	if (!c->store.found)
		c->top_rate = fmax(c->top_rate, obs->rate_rps);
	for (size_t i = 0; i < c->n; i++) {
		c->services[i].cpu += obs->services[i].cpu_utilisation;
		c->services[i].memory += obs->services[i].memory_utilisation;
	}
	for (size_t b = 0; b < DRPC_HIST_BUCKETS; b++)
		c->hist[b] += obs->hist[b];
	c->ended += obs->ended;
	c->failed += obs->failed;
	if (++c->minutes % c->interval)
		return 0;
	err = act(c, sim, obs);
	memset(c->hist, 0, sizeof(c->hist));
	c->ended = c->failed = 0;
	return err;
}

const struct drpc_sim_policy drpc_sim_policy_coscal = {
	.name = "coscal",
	.help = "a GRU's forecast and a learnt table of quartiles (model=FILE, learn=1, interval=300)",
	.needs = {.period_ns = MINUTE_NS},
	.create = coscal_create,
	.decide = coscal_decide,
	.destroy = coscal_destroy,
};
