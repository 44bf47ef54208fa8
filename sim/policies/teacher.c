// SPDX-License-Identifier: Apache-2.0
/*
 * drpc as the paper compares it: the teacher alone, which sees everything and decides for everybody at
 * its interval, and students, each of which sees its own deployment and decides often. Both as
 * they were trained (teacher/scene.h).
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "sim/policies/policies.h"
#include "teacher/scene.h"
#include "teacher/students.h"
#include "teacher/td3_file.h"

struct learned {
	const struct drpc_sim_app *app;
	struct drpc_scene *scene;
	struct drpc_scene_action action;
	/* One or the other. */
	struct drpc_td3 *teacher;
	struct drpc_policy_net **students;
	enum drpc_scene_profile profile;
	float *state, *outputs;
};

static void learned_destroy(void *self)
{
	struct learned *l = self;

	if (!l)
		return;
	drpc_scene_free(&l->scene);
	drpc_td3_free(&l->teacher);
	drpc_students_free(&l->students, l->app);
	free(l->state);
	free(l->outputs);
	free(l);
}

static int read_params(const struct drpc_sim_params *params, struct learned *l,
		       struct drpc_sim_needs *needs)
{
	static const char *const known[] = {"model",	   "period",   "lag",	   "cpu-step",
					    "memory-step", "headroom", "brownout", "weight-only",
					    "forecast",	   NULL};
	double period_s = (double)needs->period_ns * 1e-9, lag_s = 0, brownout = 0;
	double weight_only = 0, forecast = 1;
	int err = drpc_sim_params_check(params, known);

	if (!err)
		err = drpc_sim_param_number(params, "period", &period_s);
	if (!err)
		err = drpc_sim_param_number(params, "lag", &lag_s);
	if (!err)
		err = drpc_sim_param_number(params, "cpu-step", &l->action.cpu_step);
	if (!err)
		err = drpc_sim_param_number(params, "memory-step", &l->action.memory_step);
	if (!err)
		err = drpc_sim_param_number(params, "headroom", &l->action.headroom);
	if (!err)
		err = drpc_sim_param_number(params, "brownout", &brownout);
	if (!err)
		err = drpc_sim_param_number(params, "weight-only", &weight_only);
	if (!err)
		err = drpc_sim_param_number(params, "forecast", &forecast);
	if (err)
		return err;
	if (!(period_s >= 0.1 && period_s <= 86400 && lag_s >= 0 && lag_s <= 86400))
		return drpc_err(
			-EINVAL,
			"policy: period=%g lag=%g, expected seconds, 0.1 to 86400 and 0 to 86400",
			period_s, lag_s);
	if (!(l->action.cpu_step > 0 && l->action.cpu_step < 1 && l->action.memory_step > 0 &&
	      l->action.memory_step < 1 && l->action.headroom >= 0))
		return drpc_err(
			-EINVAL,
			"policy: cpu-step=%g memory-step=%g headroom=%g, expected above 0 and below 1, and 0 or more",
			l->action.cpu_step, l->action.memory_step, l->action.headroom);
	l->action.brownout = brownout != 0;
	l->action.weight_only = weight_only != 0;
	drpc_scene_forecasts(l->scene, forecast != 0);
	needs->period_ns = (uint64_t)llround(period_s * 10) * 100 * DRPC_NSEC_PER_MSEC;
	needs->lag_ns = (uint64_t)llround(lag_s * 1e9);
	return 0;
}

static int load_teacher(const char *path, struct learned *l)
{
	const struct drpc_td3_config *c;
	int err = drpc_td3_load(path, NULL, &l->teacher);

	if (err)
		return err;
	c = &l->teacher->config;
	l->profile =
		c->state == drpc_scene_width(DRPC_SCENE_PAPER) ? DRPC_SCENE_PAPER : DRPC_SCENE_NODE;
	if (c->state != drpc_scene_width(l->profile) || c->action != DRPC_OUT_COUNT)
		return drpc_err(-EINVAL,
				"policy: %s: a teacher of %zu state and %zu action numbers", path,
				c->state, c->action);
	if (c->kind == DRPC_TD3_JOINT && c->units != l->app->n_services)
		return drpc_err(-EINVAL,
				"policy: %s: a joint teacher of %zu deployments, %s has %u", path,
				c->units, l->app->name, l->app->n_services);
	return 0;
}

static int learned_create(struct drpc_sim *sim, const struct drpc_sim_params *params,
			  struct drpc_sim_needs *needs, bool students, void **ret)
{
	const char *model = drpc_sim_param(params, "model");
	const size_t n = drpc_sim_app(sim)->n_services;
	struct learned *l = calloc(1, sizeof(*l));
	int err = l ? 0 : -ENOMEM;

	if (!err) {
		l->app = drpc_sim_app(sim);
		l->action = drpc_scene_action_defaults();
		l->state = calloc(n * DRPC_SCENE_MAX_WIDTH, sizeof(*l->state));
		l->outputs = calloc(n * DRPC_OUT_COUNT, sizeof(*l->outputs));
		err = l->state && l->outputs ? drpc_scene_new(l->app, &l->scene) : -ENOMEM;
	}
	if (!err)
		err = read_params(params, l, needs);
	if (!err && !model)
		err = drpc_err(-EINVAL, "policy: expected model=%s",
			       students ? "a policy file or a folder of them" : "a teacher's file");
	if (!err)
		err = students ? drpc_students_load(model, l->app, &l->students)
			       : load_teacher(model, l);
	if (err) {
		learned_destroy(l);
		return err;
	}
	*ret = l;
	return 0;
}

static int teacher_create(struct drpc_sim *sim, const struct drpc_sim_params *params,
			  struct drpc_sim_needs *needs, void **ret)
{
	return learned_create(sim, params, needs, false, ret);
}

static int students_create(struct drpc_sim *sim, const struct drpc_sim_params *params,
			   struct drpc_sim_needs *needs, void **ret)
{
	return learned_create(sim, params, needs, true, ret);
}

static int answer(struct learned *l)
{
	const float *features = drpc_scene_features(l->scene);
	int err = 0;

	if (l->teacher) {
		drpc_scene_state(l->scene, l->profile, l->state);
		return drpc_td3_act(l->teacher, l->app->n_services, l->state, l->outputs);
	}
	for (size_t i = 0; i < l->app->n_services && !err; i++)
		err = drpc_policy_net_forward(l->students[i], features + i * DRPC_F_COUNT,
					      l->outputs + i * DRPC_OUT_COUNT);
	return err;
}

static int learned_decide(void *self, struct drpc_sim *sim, const struct drpc_sim_obs *obs)
{
	struct learned *l = self;
	int err;

	drpc_scene_look(l->scene, obs);
	err = answer(l);
	for (size_t i = 0; i < obs->n_services && !err; i++)
		err = drpc_scene_apply(&l->action, sim, &obs->services[i],
				       l->outputs + i * DRPC_OUT_COUNT);
	return err;
}

/* A student's; all of them have as many. */
static size_t learned_parameters(const void *self)
{
	const struct learned *l = self;

	return l->teacher ? l->teacher->actor.net.n_params
			  : drpc_student_params(drpc_policy_net_info(l->students[0])->n_inputs);
}

const struct drpc_sim_policy drpc_sim_policy_teacher = {
	.name = "teacher",
	.help = "drpc's teacher alone, every half second: model=FILE period= lag= cpu-step= memory-step= headroom= brownout= weight-only= forecast=",
	.needs = {.period_ns = DRPC_NSEC_PER_SEC / 2},
	.create = teacher_create,
	.decide = learned_decide,
	.destroy = learned_destroy,
	.parameters = learned_parameters,
};

const struct drpc_sim_policy drpc_sim_policy_drpc = {
	.name = "drpc",
	.help = "drpc's students, every half second: model=FILE or FOLDER, and the same parameters",
	.needs = {.period_ns = DRPC_NSEC_PER_SEC / 2},
	.create = students_create,
	.decide = learned_decide,
	.destroy = learned_destroy,
	.parameters = learned_parameters,
};
