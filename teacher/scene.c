// SPDX-License-Identifier: Apache-2.0
#include "teacher/scene.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "agent/plan/holt.h"
#include "lib/log.h"
#include "lib/util.h"

#define WEIGHT_LEAST 1 /* of cpu.weight */
#define WEIGHT_MOST  10000
/* Beyond this a feature says nothing but "very much". */
#define FEATURE_MAX  1e6

static const char *const profile_names[] = {"paper", "node"};

struct eye {
	struct drpc_holt holt;
	double p99_ns, rate, forecast;
	bool entry; /* users call it */
};

struct drpc_scene {
	const struct drpc_sim_app *app;
	struct eye *eyes;
	float *features; /* [services][DRPC_F_COUNT] */
	bool blind;	 /* forecasts are off */
};

/* --- state -------------------------------------------------------------------------------------- */

const char *drpc_scene_profile_name(enum drpc_scene_profile profile)
{
	return profile_names[profile];
}

int drpc_scene_profile_parse(const char *name, enum drpc_scene_profile *ret)
{
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(profile_names); i++) {
		if (strcmp(name, profile_names[i]) == 0) {
			*ret = (enum drpc_scene_profile)i;
			return 0;
		}
	}
	return -EINVAL;
}

size_t drpc_scene_width(enum drpc_scene_profile profile)
{
	return profile == DRPC_SCENE_PAPER ? 5 : DRPC_SCENE_MAX_WIDTH;
}

unsigned int drpc_scene_inputs(enum drpc_scene_profile profile)
{
	return profile == DRPC_SCENE_PAPER ? DRPC_F_PAPER_COUNT : DRPC_F_COUNT;
}

int drpc_scene_new(const struct drpc_sim_app *app, struct drpc_scene **ret)
{
	struct drpc_scene *scene = calloc(1, sizeof(*scene));

	if (!scene)
		return drpc_err(-ENOMEM, "scene");
	scene->app = app;
	scene->eyes = calloc(app->n_services, sizeof(*scene->eyes));
	scene->features = calloc((size_t)app->n_services * DRPC_F_COUNT, sizeof(*scene->features));
	if (!scene->eyes || !scene->features) {
		drpc_scene_free(&scene);
		return drpc_err(-ENOMEM, "scene: %u services", app->n_services);
	}
	for (uint32_t c = 0; c < app->n_classes; c++)
		scene->eyes[app->calls[app->classes[c].site].service].entry = true;
	*ret = scene;
	return 0;
}

void drpc_scene_free(struct drpc_scene **scene)
{
	struct drpc_scene *s = *scene;

	if (!s)
		return;
	free(s->eyes);
	free(s->features);
	free(s);
	*scene = NULL;
}

static double sane(double value)
{
	return isfinite(value) ? DRPC_CLAMP(value, 0.0, FEATURE_MAX) : 0.0;
}

void drpc_scene_forecasts(struct drpc_scene *scene, bool on)
{
	scene->blind = !on;
}

void drpc_scene_look(struct drpc_scene *scene, const struct drpc_sim_obs *obs)
{
	const uint64_t ahead_ns = obs->end_ns - obs->begin_ns;
	const double slo_ns = scene->app->slo_ns;

	for (size_t i = 0; i < obs->n_services; i++) {
		const struct drpc_sim_service_obs *o = &obs->services[i];
		struct eye *eye = &scene->eyes[i];
		float *f = scene->features + i * DRPC_F_COUNT;

		eye->rate = sane(o->rate_rps);
		eye->p99_ns = sane(o->p99_ns / slo_ns) * slo_ns;
		drpc_holt_push(&eye->holt, obs->end_ns, eye->rate);
		eye->forecast =
			scene->blind ? eye->rate : sane(drpc_holt_rate(&eye->holt, ahead_ns));
		f[DRPC_F_CPU_UTIL] = (float)sane(o->cpu_utilisation);
		f[DRPC_F_MEM_UTIL] = (float)sane(o->memory_utilisation);
		f[DRPC_F_REPLICAS] = (float)o->wanted;
		f[DRPC_F_RATE] = (float)(eye->rate / 1000);
		f[DRPC_F_RATE_PRED] = (float)(eye->forecast / 1000);
		f[DRPC_F_P99_SLO] = eye->entry ? (float)(eye->p99_ns / slo_ns) : 0;
		f[DRPC_F_QUEUE_SHARE] = (float)sane(o->queue_share);
		f[DRPC_F_CPU_PRESSURE] = (float)sane(o->cpu_pressure);
		f[DRPC_F_THROTTLED] = (float)sane(o->throttled_ratio);
		f[DRPC_F_MEM_PRESSURE] = (float)sane(o->memory_pressure);
	}
}

const float *drpc_scene_features(const struct drpc_scene *scene)
{
	return scene->features;
}

static float between(double value, double lo, double hi)
{
	return (float)DRPC_CLAMP(value, lo, hi);
}

void drpc_scene_state(const struct drpc_scene *scene, enum drpc_scene_profile profile, float *ret)
{
	const double slo_ns = scene->app->slo_ns;

	for (uint32_t i = 0; i < scene->app->n_services; i++) {
		const float *f = scene->features + (size_t)i * DRPC_F_COUNT;
		const struct eye *eye = &scene->eyes[i];
		const double rise = (eye->forecast - eye->rate) / fmax(eye->rate, 1);

		*ret++ = between(log1p(eye->rate) / 4 - 1, -1, 2);
		*ret++ = between(rise, -1, 1);
		*ret++ = between(((double)f[DRPC_F_CPU_UTIL] - 0.6) * 3, -2, 2);
		*ret++ = between(((double)f[DRPC_F_MEM_UTIL] - 0.7) * 4, -3, 2);
		/* Octaves of the objective: 0 at an eighth of it, 1 at the whole. */
		*ret++ = between(log2(eye->p99_ns / slo_ns + 1e-3) / 3 + 1, -2, 2);
		if (profile == DRPC_SCENE_PAPER)
			continue;
		*ret++ = between(log2(fmax((double)f[DRPC_F_REPLICAS], 0.5)) / 2, -1, 2);
		*ret++ = between((double)f[DRPC_F_QUEUE_SHARE], 0, 1);
		*ret++ = between((double)f[DRPC_F_CPU_PRESSURE], 0, 1);
		*ret++ = between((double)f[DRPC_F_THROTTLED], 0, 1);
		*ret++ = between((double)f[DRPC_F_MEM_PRESSURE] * 10, 0, 1);
	}
}

struct drpc_scene_numbers drpc_scene_numbers(const float *state)
{
	return (struct drpc_scene_numbers){
		.rate = expm1(((double)state[0] + 1) * 4),
		.rise = (double)state[1],
		.cpu = (double)state[2] / 3 + 0.6,
		.memory = (double)state[3] / 4 + 0.7,
	};
}

/* --- action ------------------------------------------------------------------------------------- */

struct drpc_scene_action drpc_scene_action_defaults(void)
{
	return (struct drpc_scene_action){.cpu_step = 0.3, .memory_step = 0.2, .headroom = 1.1};
}

/* 0 inside the dead band, and for what is no number. */
static double effective(float output)
{
	if (!(fabsf(output) > DRPC_DEAD_BAND))
		return 0;
	return (double)DRPC_CLAMP(output, -1.0f, 1.0f);
}

/* A limit moved by a share of itself; a cut not below `used`, nor above where it stands. */
static double moved(double limit, double by, double used, double least, double most)
{
	double to = limit * (1 + by);

	if (by < 0)
		to = fmin(fmax(to, used), limit);
	return DRPC_CLAMP(to, least, most);
}

static int apply_replicas(const struct drpc_scene_action *params, struct drpc_sim *sim,
			  const struct drpc_sim_service_obs *o, double by, double used_cores)
{
	const struct drpc_sim_service *spec = &drpc_sim_app(sim)->services[o->index];
	const uint32_t least =
		spec->optional && params->brownout ? 0 : DRPC_MAX(spec->min_replicas, 1U);
	const long long to = (long long)o->wanted + llround(by);

	if (by == 0 || to < (long long)least || to > (long long)spec->max_replicas)
		return 0;
	if (by < 0 && to > 0 && o->cpu_limit_cores > 0 &&
	    used_cores > o->cpu_limit_cores * (double)to)
		return 0;
	return drpc_sim_set_replicas(sim, o->index, (uint32_t)to);
}

static int apply_weight(struct drpc_sim *sim, const struct drpc_sim_service_obs *o, double by)
{
	const double to = fmin(fmax(round(o->cpu_weight * (1 + by)), WEIGHT_LEAST), WEIGHT_MOST);

	return by == 0 ? 0 : drpc_sim_set_cpu_weight(sim, o->index, (uint32_t)to);
}

int drpc_scene_apply(const struct drpc_scene_action *params, struct drpc_sim *sim,
		     const struct drpc_sim_service_obs *o, const float outputs[DRPC_OUT_COUNT])
{
	const struct drpc_sim_service *spec = &drpc_sim_app(sim)->services[o->index];
	/* With no replica at work nothing is known of what is needed: no cut then. */
	const double least = o->ready ? -1 : 0;
	const double cpu = fmax(effective(outputs[DRPC_OUT_CPU]), least) * params->cpu_step;
	/* Whatever anybody says, what was killed for want of memory gets more. */
	const double memory =
		(o->oom_kills ? 1 : fmax(effective(outputs[DRPC_OUT_MEMORY]), least)) *
		params->memory_step;
	const double used_cores = o->cpu_usage_cores * params->headroom;
	const double up = fmax((double)o->ready + o->draining, 1);
	int err = 0;
	double cores, bytes;

	if (params->weight_only)
		return apply_weight(sim, o, cpu);
	cores = moved(o->cpu_limit_cores, cpu, used_cores / up, spec->min_cpu_cores,
		      spec->max_cpu_cores);
	bytes = moved(o->memory_limit_bytes, memory, o->memory_peak_bytes * params->headroom,
		      spec->min_memory_bytes, spec->max_memory_bytes);

	/* Calls pile up for want of CPU, too: back to at least what the file gives. */
	if (o->oom_kills) {
		cores = fmax(cores, spec->cpu_cores);
		bytes = fmax(bytes, spec->memory_bytes);
	}
	if (o->cpu_limit_cores > 0)
		err = drpc_sim_set_cpu_limit(sim, o->index, cores);
	if (!err && o->memory_limit_bytes > 0)
		err = drpc_sim_set_memory_limit(sim, o->index, bytes);
	if (err)
		return err;
	return apply_replicas(params, sim, o, effective(outputs[DRPC_OUT_REPLICAS]), used_cores);
}

/* --- reward ------------------------------------------------------------------------------------- */

struct drpc_scene_reward drpc_scene_reward_defaults(const struct drpc_sim_app *app)
{
	return (struct drpc_scene_reward){
		.cpu = 0.75, .memory = 0.75, .exponent = 3, .objective_ns = app->slo_ns};
}

static double off(double wanted, double used, double limits, double exponent)
{
	return limits > 0 ? pow(fabs(wanted - used / limits), exponent) : 0;
}

double drpc_scene_reward(const struct drpc_scene_reward *params, const struct drpc_sim_obs *obs)
{
	const double late = fmax(obs->p99_ns / params->objective_ns - 1, 0);
	const double well = obs->ended ? 1 - (double)obs->failed / (double)obs->ended : 1;
	double util = 0, reward;
	size_t machines = 0;

	for (size_t n = 0; n < obs->n_nodes; n++) {
		const struct drpc_sim_node_obs *node = &obs->nodes[n];

		if (!(node->cpu_allocated_cores > 0) && !(node->memory_allocated_bytes > 0))
			continue;
		machines++;
		util += off(params->cpu, node->cpu_usage_cores, node->cpu_allocated_cores,
			    params->exponent) +
			off(params->memory, node->memory_usage_bytes, node->memory_allocated_bytes,
			    params->exponent);
	}
	reward = exp(-late * late) * well / (1 + util / (double)DRPC_MAX(machines, (size_t)1));
	return isfinite(reward) ? reward : 0;
}
