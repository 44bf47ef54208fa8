// SPDX-License-Identifier: Apache-2.0
#include "teacher/train.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/log.h"
#include "lib/util.h"
#include "teacher/td3_file.h"
#include "teacher/train_internal.h"

#define CONVERGED_WITHIN 0.02 /* of the best reward */
#define TRACE_LEAST	 100  /* pieces, so that each part has some */

struct drpc_train_config drpc_train_defaults(const struct drpc_sim_app *app,
					     enum drpc_td3_kind kind,
					     enum drpc_scene_profile profile)
{
	const struct drpc_scene_reward report = drpc_scene_reward_defaults(app);
	struct drpc_train_config c = {
		.env = {.app = app,
			.profile = profile,
			.action = drpc_scene_action_defaults(),
			.learn = report,
			.report = report,
			.period_ns = DRPC_NSEC_PER_SEC / 2},
		.td3 = drpc_td3_defaults(kind, app->n_services, drpc_scene_width(profile),
					 DRPC_OUT_COUNT),
		.episodes = 112,
		.envs = 4,
		.steps = 240,
		.spread = 1,
		.updates = 0.5,
		.warm = true,
		.random_episodes = 12,
		.explore_from = 0.4,
		.explore_replicas = 0.4,
		.explore_to = 0.15,
		.explore_episodes = 60,
		.reward_scale = 10,
		.choose_every = 2,
		.choose_traces = 5,
		.choose_seconds = 300,
		.goal = {.cpu = 0.6, .memory = 0.75, .p99_ms = 210, .missed = 0.01},
		.replay = 50000,
		.jobs = 1,
	};

	c.env.learn.objective_ns = app->slo_ns / 2;
	c.td3.gamma = 0.9;
	c.td3.max_grad_norm = 1;
	c.env.learn.cpu = 0.72;
	c.env.learn.memory = 0.79;
	c.env.learn.exponent = 1;
	c.td3.actor_lr = 1e-5;
	c.td3.critic_lr = 1e-3;
	if (kind == DRPC_TD3_POOLED) {
		c.td3.hidden[0] = 64;
		c.td3.hidden[1] = 32;
		c.td3.embed = 16;
		c.td3.batch = 64;
	}
	return c;
}

struct trainer {
	const struct drpc_train_config *config;
	struct drpc_td3 *td3;
	struct drpc_replay *replay;
	struct drpc_crew *crew;
	struct train_stage stage, choosing;
	struct train_state state;
	float *before; /* [envs][units state] */
	size_t width;  /* units state */
	float *best;   /* the best actor's parameters */
	float *noise;  /* of one environment's actions */
};

/* --- a round --------------------------------------------------------------------------------------- */

/* Training's part of the seeds: no two trainings of a few seeds share a trace. */
static uint64_t trace_seed(const struct drpc_train_config *config, size_t episode)
{
	struct drpc_rng rng = drpc_rng_make(config->seed, TRAIN_STREAM_TRACE);
	uint64_t seed;

	rng.block = episode;
	drpc_rng_indices(&rng, DRPC_ENV_CHOOSING, 1, &seed);
	return seed;
}

static double explore_sigma(const struct drpc_train_config *c, size_t episode)
{
	const double done = (double)episode / (double)DRPC_MAX(c->explore_episodes, (size_t)1);

	return c->explore_from + (c->explore_to - c->explore_from) * fmin(done, 1);
}

/* Replicas start slowly and are many at once: they are tried out less often than limits. */
static void add_noise(struct trainer *t, double sigma, float *actions)
{
	const size_t n = t->stage.numbers;

	drpc_rng_normal(&t->state.random_rng, (float)sigma, n, t->noise);
	for (size_t i = 0; i < n; i++) {
		if (i % DRPC_OUT_COUNT == DRPC_OUT_REPLICAS)
			t->noise[i] *= (float)t->config->explore_replicas;
		actions[i] = DRPC_CLAMP(actions[i] + t->noise[i], -1.0f, 1.0f);
	}
}

/* Before the teacher is asked: any actions, or those around the rule's. */
static void try_out(struct trainer *t, const float *state, float *actions)
{
	const struct drpc_train_config *c = t->config;
	const size_t width = drpc_scene_width(c->env.profile), n = t->stage.numbers;

	if (!c->warm)
		drpc_rng_symmetric(&t->state.random_rng, 1, n, actions);
	for (size_t u = 0; u < n / DRPC_OUT_COUNT; u++) {
		float *a = actions + u * DRPC_OUT_COUNT;

		if (c->warm)
			train_rule(&c->env, state + u * width, a);
		else
			a[DRPC_OUT_REPLICAS] *= (float)(1 + c->explore_replicas) / 2;
	}
	if (c->warm)
		add_noise(t, c->explore_from, actions);
}

static int choose_actions(struct trainer *t)
{
	const struct drpc_train_config *c = t->config;
	int err = 0;

	for (size_t i = 0; i < c->envs && !err; i++) {
		float *actions = t->stage.actions + i * t->stage.numbers;
		const float *state = drpc_env_state(t->stage.envs[i]);

		memcpy(t->before + i * t->width, state, t->width * sizeof(*state));
		if (t->state.episodes < c->random_episodes) {
			try_out(t, state, actions);
			continue;
		}
		err = drpc_td3_act(t->td3, t->td3->config.units, state, actions);
		if (!err)
			add_noise(t, explore_sigma(c, t->state.episodes), actions);
	}
	return err;
}

/* The learner's turn while the environments live through an interval. */
static int learn(struct trainer *t)
{
	const struct drpc_train_config *c = t->config;
	const size_t updates = (size_t)llround(c->updates * (double)c->envs);
	int err = 0;

	if (t->state.episodes < c->random_episodes ||
	    drpc_replay_count(t->replay) < t->td3->config.batch)
		return 0;
	for (size_t i = 0; i < updates && !err; i++)
		err = drpc_td3_update(t->td3, t->replay, NULL);
	return err;
}

static int remember(struct trainer *t)
{
	int err = 0;

	for (size_t i = 0; i < t->config->envs && !err; i++) {
		const struct drpc_env *env = t->stage.envs[i];
		const struct drpc_transition transition = {
			.state = t->before + i * t->width,
			.action = t->stage.actions + i * t->stage.numbers,
			.next = drpc_env_state(env),
			.reward = (float)((drpc_env_reward(env) - 1) * t->config->reward_scale),
		};

		err = drpc_replay_push(t->replay, &transition);
	}
	return err;
}

static int play_round(struct trainer *t, double *ret_reward)
{
	const struct drpc_train_config *c = t->config;
	const double seconds = (double)c->env.period_ns * 1e-9 * (double)(c->steps + 1);
	double sum = 0;
	int err = 0;

	for (size_t i = 0; i < c->envs && !err; i++)
		err = train_stage_trace(&t->stage, c, i, trace_seed(c, t->state.episodes + i),
					seconds);
	if (err)
		return err;
	train_stage_reset(&t->stage, t->crew);
	err = drpc_crew_finish(t->crew);
	for (size_t step = 0; step < c->steps && !err; step++) {
		int learned;

		err = choose_actions(t);
		if (err)
			break;
		train_stage_step(&t->stage, t->crew);
		learned = learn(t);
		err = drpc_crew_finish(t->crew);
		err = err ? err : learned;
		if (!err)
			err = remember(t);
		for (size_t i = 0; i < c->envs && !err; i++)
			sum += drpc_env_report(t->stage.envs[i]);
	}
	t->state.episodes += c->envs;
	*ret_reward = sum / (double)(c->envs * c->steps);
	return err;
}

/* --- choosing -------------------------------------------------------------------------------------- */

/* Those that meet the goal before those that do not; among them the reward. */
static double value_of(const struct drpc_train_config *c, const struct drpc_train_score *score)
{
	return score->reward + (drpc_train_meets(&c->goal, score) ? 1 : 0);
}

static int look(struct trainer *t, struct drpc_train_score *ret)
{
	const struct drpc_train_config *c = t->config;
	struct drpc_train_report *report = &t->state.report;
	_cleanup_free_ char *path = NULL;
	int err = train_judge(c, &t->choosing, t->crew, DRPC_ENV_CHOOSING, c->choose_seconds,
			      drpc_train_teacher_acts, t->td3, ret);

	if (err)
		return err;
	ret->episode = t->state.episodes;
	if (report->n_scores == DRPC_TRAIN_SCORES)
		return 0;
	report->scores[report->n_scores++] = *ret;
	if (report->n_scores > 1 && value_of(c, ret) <= t->state.best_value)
		return 0;
	t->state.best_value = value_of(c, ret);
	report->best = report->n_scores - 1;
	memcpy(t->best, t->td3->actor.params, t->td3->actor.net.n_params * sizeof(*t->best));
	if (!c->out)
		return 0;
	path = train_path(c, "teacher.td3");
	return path ? drpc_td3_save(t->td3, NULL, path) : -ENOMEM;
}

/* The first look that met the goal and was as good as any to come. */
static size_t converged_at(const struct drpc_train_config *c,
			   const struct drpc_train_report *report)
{
	const double wanted = report->scores[report->best].reward * (1 - CONVERGED_WITHIN);

	for (size_t i = 0; i < report->n_scores; i++) {
		if (report->scores[i].reward >= wanted &&
		    drpc_train_meets(&c->goal, &report->scores[i]))
			return report->scores[i].episode;
	}
	return 0;
}

/* --- training -------------------------------------------------------------------------------------- */

static int check_config(const struct drpc_train_config *c)
{
	if (c->episodes < 1 || c->envs < 1 || c->steps < 1 || c->choose_every < 1 ||
	    c->choose_traces < 1 || c->jobs < 1 || c->replay < c->td3.batch)
		return drpc_err(
			-EINVAL,
			"train: %zu episodes of %zu steps, %zu side by side, %u threads, a look at %zu traces every %zu rounds, replay of %zu: expected 1 or more, and room for a batch of %zu",
			c->episodes, c->steps, c->envs, c->jobs, c->choose_traces, c->choose_every,
			c->replay, c->td3.batch);
	if (c->env.period_ns == 0 || c->env.period_ns % (100 * DRPC_NSEC_PER_MSEC))
		return drpc_err(-EINVAL,
				"train: an interval of %llu ns, expected a multiple of 100 ms",
				(unsigned long long)c->env.period_ns);
	if (!(c->updates >= 0 && c->reward_scale > 0 && c->spread >= 0 && c->spread <= 4))
		return drpc_err(
			-EINVAL,
			"train: %g updates a step, reward times %g, limits spread over 2^±%g: expected 0 or more, above 0, 0 to 4",
			c->updates, c->reward_scale, c->spread);
	if (c->trace && (c->n_trace < TRACE_LEAST || !(c->trace[0].duration_s > 0)))
		return drpc_err(-EINVAL, "train: a trace of %zu pieces, expected %d or more",
				c->n_trace, TRACE_LEAST);
	if (c->warm && c->random_episodes * c->steps < c->td3.batch)
		return drpc_err(
			-EINVAL,
			"train: a warm start wants a batch of %zu from the first %zu episodes",
			c->td3.batch, c->random_episodes);
	if (c->resume && !c->out)
		return drpc_err(-EINVAL, "train: nothing to resume without a folder");
	return 0;
}

static int open_replay(struct trainer *t)
{
	const struct drpc_train_config *c = t->config;
	const struct drpc_sim_app *app = c->env.app;
	_cleanup_free_ const char **roster = calloc(app->n_services, sizeof(*roster));
	_cleanup_free_ char *path = c->out ? train_path(c, "replay.bin") : NULL;
	const struct drpc_replay_shape shape = {.units = app->n_services,
						.state = drpc_scene_width(c->env.profile),
						.action = DRPC_OUT_COUNT,
						.roster = roster};

	if (!roster || (c->out && !path))
		return -ENOMEM;
	for (uint32_t i = 0; i < app->n_services; i++)
		roster[i] = app->services[i].name;
	if (path && !c->resume)
		unlink(path);
	return drpc_replay_open(path, &shape, c->replay, &t->replay);
}

static int prepare(struct trainer *t)
{
	const struct drpc_train_config *c = t->config;
	struct drpc_td3_config td3 = c->td3;
	int err = 0;

	if (c->out && mkdir(c->out, 0777) < 0 && errno != EEXIST)
		return drpc_err(-errno, "train: %s", c->out);
	td3.units = c->env.app->n_services;
	td3.state = drpc_scene_width(c->env.profile);
	td3.action = DRPC_OUT_COUNT;
	td3.seed = c->seed;
	t->width = td3.units * td3.state;
	t->state.random_rng = drpc_rng_make(c->seed, TRAIN_STREAM_RANDOM);
	err = open_replay(t);
	if (!err && c->resume)
		err = train_load(c, t->replay, &t->td3, &t->state);
	else if (!err)
		err = drpc_td3_new(&td3, &t->td3);
	if (!err)
		err = drpc_crew_new(c->jobs, &t->crew);
	if (!err)
		err = train_stage_init(&t->stage, &c->env, c->envs);
	t->stage.spread = c->spread;
	if (!err)
		err = train_stage_init(&t->choosing, &c->env, c->choose_traces);
	if (err)
		return err;
	t->before = calloc(c->envs * t->width, sizeof(*t->before));
	t->best = calloc(t->td3->actor.net.n_params, sizeof(*t->best));
	t->noise = calloc(t->stage.numbers, sizeof(*t->noise));
	return t->before && t->best && t->noise ? 0 : -ENOMEM;
}

static bool needs_warm_start(const struct trainer *t)
{
	return t->config->warm && t->td3->updates == 0 &&
	       t->state.episodes >= t->config->random_episodes;
}

static int train_rounds(struct trainer *t)
{
	const struct drpc_train_config *c = t->config;
	const uint64_t begin_ns = drpc_now_ns();
	const double before_s = t->state.report.wall_s;
	bool go_on = true;
	int err = 0;

	for (size_t round = t->state.episodes / c->envs; go_on && t->state.episodes < c->episodes;
	     round++) {
		struct drpc_train_score score;
		bool looked = false;
		double reward = 0;

		if (round == 0)
			err = look(t, &score);
		if (!err && needs_warm_start(t)) {
			err = train_warm(c, t->td3, t->replay);
			if (!err)
				err = look(t, &score);
			if (!err && c->progress)
				c->progress(c->arg, t->state.episodes, score.reward, &score);
		}
		if (!err)
			err = play_round(t, &reward);
		if (!err &&
		    ((round + 1) % c->choose_every == 0 || t->state.episodes >= c->episodes)) {
			looked = true;
			err = look(t, &score);
		}
		t->state.report.wall_s = before_s + (double)(drpc_now_ns() - begin_ns) * 1e-9;
		t->state.report.episodes = t->state.episodes;
		t->state.report.updates = t->td3->updates;
		if (!err && looked && c->out)
			err = train_save(c, t->td3, t->replay, &t->state);
		if (err)
			return err;
		if (c->progress)
			go_on = c->progress(c->arg, t->state.episodes, reward,
					    looked ? &score : NULL);
	}
	return 0;
}

/* The best of all looks, those before a resumption too. */
static int best_teacher(struct trainer *t, struct drpc_td3 **ret)
{
	_cleanup_free_ char *path = NULL;

	if (t->config->out) {
		path = train_path(t->config, "teacher.td3");
		return path ? drpc_td3_load(path, NULL, ret) : -ENOMEM;
	}
	memcpy(t->td3->actor.params, t->best, t->td3->actor.net.n_params * sizeof(*t->best));
	*ret = drpc_steal(&t->td3);
	return 0;
}

int drpc_train(const struct drpc_train_config *config, struct drpc_td3 **ret_teacher,
	       struct drpc_train_report *ret)
{
	struct trainer t = {.config = config};
	int err = check_config(config);

	if (!err)
		err = prepare(&t);
	if (!err)
		err = train_rounds(&t);
	if (!err)
		err = best_teacher(&t, ret_teacher);
	if (!err) {
		*ret = t.state.report;
		ret->converged = converged_at(config, ret);
	}
	train_stage_done(&t.stage);
	train_stage_done(&t.choosing);
	drpc_crew_free(&t.crew);
	drpc_td3_free(&t.td3);
	drpc_replay_close(&t.replay);
	free(t.before);
	free(t.best);
	free(t.noise);
	return err;
}
