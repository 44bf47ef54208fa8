// SPDX-License-Identifier: Apache-2.0
#include "teacher/environment.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "nn/rng.h"

/* Random streams of a trace's seed. */
enum { STREAM_START = 11, STREAM_TRACE };

struct drpc_env {
	struct drpc_env_config config;
	struct drpc_sim *sim;
	struct drpc_scene *scene;
	const struct drpc_sim_obs *obs; /* of the last interval */
	uint64_t intervals;
	float *state; /* [services][width] */
	double reward, report;
};

int drpc_env_new(const struct drpc_env_config *config, struct drpc_env **ret)
{
	struct drpc_env *env = calloc(1, sizeof(*env));

	if (!env)
		return drpc_err(-ENOMEM, "environment");
	env->config = *config;
	env->state = calloc(config->app->n_services * drpc_scene_width(config->profile),
			    sizeof(*env->state));
	if (!env->state) {
		drpc_env_free(&env);
		return drpc_err(-ENOMEM, "environment: %u services", config->app->n_services);
	}
	*ret = env;
	return 0;
}

void drpc_env_free(struct drpc_env **env)
{
	struct drpc_env *e = *env;

	if (!e)
		return;
	drpc_sim_free(&e->sim);
	drpc_scene_free(&e->scene);
	free(e->state);
	free(e);
	*env = NULL;
}

/* --- episodes ------------------------------------------------------------------------------------ */

static int interval(struct drpc_env *env)
{
	const uint64_t end_ns = ++env->intervals * env->config.period_ns;
	int r = drpc_sim_step(env->sim, end_ns, &env->obs);

	if (r < 0)
		return r;
	if (r == 0)
		return drpc_err(-EPROTO, "environment: no interval ended at %llu ns",
				(unsigned long long)end_ns);
	drpc_scene_look(env->scene, env->obs);
	drpc_scene_state(env->scene, env->config.profile, env->state);
	env->reward = drpc_scene_reward(&env->config.learn, env->obs);
	env->report = drpc_scene_reward(&env->config.report, env->obs);
	return 0;
}

/* Every deployment begins elsewhere, so that few episodes show many states. */
static int scatter(struct drpc_env *env, uint64_t seed, double spread)
{
	const struct drpc_sim_app *app = env->config.app;
	struct drpc_rng rng = drpc_rng_make(seed, STREAM_START);
	int err = 0;

	for (uint32_t i = 0; i < app->n_services && !err; i++) {
		const struct drpc_sim_service *s = &app->services[i];
		const double cpu = exp2(spread * (2 * drpc_rng_uniform(&rng) - 1));
		const double memory = exp2(spread * (drpc_rng_uniform(&rng) - 0.5));
		const double needed = s->memory_base_bytes * env->config.action.headroom;

		if (s->cpu_cores > 0)
			err = drpc_sim_set_cpu_limit(
				env->sim, i,
				DRPC_CLAMP(s->cpu_cores * cpu, s->min_cpu_cores, s->max_cpu_cores));
		if (!err && s->memory_bytes > 0)
			err = drpc_sim_set_memory_limit(
				env->sim, i,
				DRPC_CLAMP(fmax(s->memory_bytes * memory, needed),
					   s->min_memory_bytes, s->max_memory_bytes));
	}
	return err;
}

int drpc_env_reset(struct drpc_env *env, const struct drpc_env_trace *trace)
{
	const struct drpc_sim_config config = {
		.load = trace->load,
		.seed = trace->seed,
		.warmup_s = trace->warmup_s,
		.needs = {.period_ns = env->config.period_ns},
	};
	int err;

	drpc_sim_free(&env->sim);
	drpc_scene_free(&env->scene);
	env->intervals = 0;
	err = drpc_scene_new(env->config.app, &env->scene);
	if (!err)
		drpc_scene_forecasts(env->scene, !env->config.blind);
	if (!err)
		err = drpc_sim_new(env->config.app, &config, &env->sim);
	if (!err && trace->spread > 0)
		err = scatter(env, trace->seed, trace->spread);
	if (!err)
		err = interval(env);
	return err;
}

int drpc_env_step(struct drpc_env *env, const float *actions)
{
	for (size_t i = 0; i < env->obs->n_services; i++) {
		int err = drpc_scene_apply(&env->config.action, env->sim, &env->obs->services[i],
					   actions + i * DRPC_OUT_COUNT);

		if (err)
			return drpc_err(err, "environment: an action on %s",
					env->obs->services[i].name);
	}
	return interval(env);
}

const float *drpc_env_state(const struct drpc_env *env)
{
	return env->state;
}

const float *drpc_env_features(const struct drpc_env *env)
{
	return drpc_scene_features(env->scene);
}

double drpc_env_reward(const struct drpc_env *env)
{
	return env->reward;
}

double drpc_env_report(const struct drpc_env *env)
{
	return env->report;
}

struct drpc_sim_result drpc_env_result(struct drpc_env *env)
{
	return drpc_sim_result(env->sim);
}

/* --- traces -------------------------------------------------------------------------------------- */

#define PIECE_S 1.0 /* rates change so often */

void drpc_env_rates(const struct drpc_sim_app *app, double *ret_least, double *ret_most)
{
	double cores = 0, demand_ns = 0;

	for (uint32_t i = 0; i < app->n_nodes; i++)
		cores += app->nodes[i].cpu_cores;
	for (uint32_t i = 0; i < app->n_services; i++)
		demand_ns += app->demand_ns[i];
	*ret_most = demand_ns > 0 ? cores * 2 / 3 * 1e9 / demand_ns : 1000;
	*ret_least = *ret_most * 0.2;
}

/* Weights of the classes for each piece, where user types and classes share names. */
static int draw_shares(const struct drpc_sim_app *app, const struct drpc_series *series,
		       size_t first, struct drpc_env_load *load)
{
	ssize_t columns[64];
	bool any = false;

	if (app->n_classes > DRPC_ARRAY_SIZE(columns))
		return 0;
	for (uint32_t c = 0; c < app->n_classes; c++) {
		columns[c] = drpc_series_column(series, app->classes[c].name);
		any = any || columns[c] >= 0;
	}
	if (!any)
		return 0;
	load->shares = calloc(load->n * app->n_classes, sizeof(*load->shares));
	if (!load->shares)
		return -ENOMEM;
	for (size_t p = 0; p < load->n; p++) {
		for (uint32_t c = 0; c < app->n_classes; c++)
			load->shares[p * app->n_classes + c] =
				columns[c] < 0 ? 0
					       : (double)drpc_series_at(series, first + p,
									(size_t)columns[c]);
	}
	return 0;
}

static int draw_pieces(const struct drpc_series *series, size_t first, double least, double most,
		       struct drpc_env_load *load)
{
	load->pieces = calloc(load->n + 1, sizeof(*load->pieces));
	if (!load->pieces)
		return -ENOMEM;
	for (size_t p = 0; p < load->n; p++) {
		const double from = (double)drpc_series_at(series, first + p, 0);
		const double to = (double)drpc_series_at(series, first + p + 1, 0);

		load->pieces[p] = (struct drpc_sim_piece){
			.duration_s = PIECE_S,
			.from_rps = DRPC_CLAMP(from, least, most),
			.to_rps = DRPC_CLAMP(to, least, most),
		};
	}
	return 0;
}

int drpc_env_load_draw(const struct drpc_sim_app *app, uint64_t seed, double seconds, double least,
		       double most, struct drpc_env_load *ret)
{
	struct drpc_rng rng = drpc_rng_make(seed, STREAM_TRACE);
	struct drpc_generate_config config =
		drpc_generate_defaults((enum drpc_generate_kind)(seed % (DRPC_GENERATE_DRIFT + 1)));
	struct drpc_series series = {0};
	const size_t n = (size_t)ceil(seconds / PIECE_S);
	size_t first;
	int err;

	config.seed = seed;
	config.step_s = PIECE_S;
	config.mean_rps = least * pow(0.8 * most / least, drpc_rng_uniform(&rng));
	config.peak = 1.5 + 3.5 * drpc_rng_uniform(&rng);
	config.period_s = 300 * exp2(3 * drpc_rng_uniform(&rng));
	config.burst_s = 20 + 60 * drpc_rng_uniform(&rng);
	config.gap_s = 60 + 120 * drpc_rng_uniform(&rng);
	/* At some time of the day; and a step beyond the end to run towards. */
	first = (size_t)(drpc_rng_uniform(&rng) * config.period_s / PIECE_S);
	config.duration_s = PIECE_S * (double)(first + n + 1);
	err = drpc_generate(&config, NULL, &series);
	if (err)
		return err;
	*ret = (struct drpc_env_load){.kind = config.kind, .mean_rps = config.mean_rps, .n = n};
	err = draw_pieces(&series, first, least, most, ret);
	if (!err)
		err = draw_shares(app, &series, first, ret);
	drpc_series_done(&series);
	if (err) {
		drpc_env_load_done(ret);
		return drpc_err(err, "environment: a trace of %g s", seconds);
	}
	return 0;
}

void drpc_env_load_done(struct drpc_env_load *load)
{
	free(load->pieces);
	free(load->shares);
	*load = (struct drpc_env_load){0};
}
