// SPDX-License-Identifier: Apache-2.0
/* Runs of somebody who acts, and what they come to. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "teacher/crew.h"
#include "teacher/train.h"
#include "teacher/train_internal.h"

#define NOT_COUNTED 0.1 /* of a trace, at its start */

bool drpc_train_meets(const struct drpc_train_goal *goal, const struct drpc_train_score *score)
{
	return score->cpu >= goal->cpu && score->memory >= goal->memory &&
	       score->p99_ms <= goal->p99_ms && score->slo_violations <= goal->missed;
}

int drpc_train_teacher_acts(void *arg, const struct drpc_env *env, float *actions)
{
	struct drpc_td3 *td3 = arg;

	return drpc_td3_act(td3, td3->config.units, drpc_env_state(env), actions);
}

/* --- stage ---------------------------------------------------------------------------------------- */

int train_stage_init(struct train_stage *stage, const struct drpc_env_config *config, size_t n)
{
	const size_t numbers = config->app->n_services * (size_t)DRPC_OUT_COUNT;
	int err = 0;

	*stage = (struct train_stage){.n = n, .numbers = numbers};
	stage->envs = calloc(n, sizeof(*stage->envs));
	stage->loads = calloc(n, sizeof(*stage->loads));
	stage->traces = calloc(n, sizeof(*stage->traces));
	stage->actions = calloc(n * numbers, sizeof(*stage->actions));
	if (!stage->envs || !stage->loads || !stage->traces || !stage->actions)
		return drpc_err(-ENOMEM, "train: %zu environments", n);
	for (size_t i = 0; i < n && !err; i++)
		err = drpc_env_new(config, &stage->envs[i]);
	return err;
}

void train_stage_done(struct train_stage *stage)
{
	for (size_t i = 0; i < stage->n; i++) {
		if (stage->envs)
			drpc_env_free(&stage->envs[i]);
		if (stage->loads)
			drpc_env_load_done(&stage->loads[i]);
	}
	free(stage->envs);
	free(stage->loads);
	free(stage->traces);
	free(stage->actions);
	*stage = (struct train_stage){0};
}

static int reset_piece(void *arg, size_t i)
{
	struct train_stage *stage = arg;

	return drpc_env_reset(stage->envs[i], &stage->traces[i]);
}

static int step_piece(void *arg, size_t i)
{
	struct train_stage *stage = arg;

	return drpc_env_step(stage->envs[i], stage->actions + i * stage->numbers);
}

void train_stage_reset(struct train_stage *stage, struct drpc_crew *crew)
{
	drpc_crew_start(crew, stage->n, reset_piece, stage);
}

void train_stage_step(struct train_stage *stage, struct drpc_crew *crew)
{
	drpc_crew_start(crew, stage->n, step_piece, stage);
}

/* Training, choosing and judging have parts of a given trace of their own, in this order. */
static void trace_part(const struct drpc_train_config *config, uint64_t seed, size_t *ret_begin,
		       size_t *ret_end)
{
	const size_t n = config->n_trace, chosen = n * 7 / 10, judged = n * 8 / 10;

	*ret_begin = seed < DRPC_ENV_CHOOSING ? 0 : seed < DRPC_ENV_JUDGED ? chosen : judged;
	*ret_end = seed < DRPC_ENV_CHOOSING ? chosen : seed < DRPC_ENV_JUDGED ? judged : n;
}

/* A window of the trace that was given, somewhere in its part. */
static int window(const struct drpc_train_config *config, uint64_t seed, double seconds,
		  struct drpc_env_load *ret)
{
	struct drpc_rng rng = drpc_rng_make(seed, TRAIN_STREAM_WINDOW);
	size_t begin, end, room = 0;
	uint64_t first;

	trace_part(config, seed, &begin, &end);
	drpc_rng_indices(&rng, end - begin, 1, &first);
	*ret = (struct drpc_env_load){0};
	/* From the part's start again where it is too short. */
	for (double at_s = 0; at_s < seconds; ret->n++) {
		if (ret->n == room) {
			struct drpc_sim_piece *more;

			room = room ? 2 * room : 256;
			more = realloc(ret->pieces, room * sizeof(*more));
			if (!more)
				return drpc_err(-ENOMEM, "train: a window of the trace");
			ret->pieces = more;
		}
		ret->pieces[ret->n] = config->trace[begin + (first + ret->n) % (end - begin)];
		at_s += ret->pieces[ret->n].duration_s;
	}
	return 0;
}

int train_stage_trace(struct train_stage *stage, const struct drpc_train_config *config, size_t i,
		      uint64_t seed, double seconds)
{
	struct drpc_env_load *load = &stage->loads[i];
	double least, most;
	int err;

	drpc_env_load_done(load);
	drpc_env_rates(config->env.app, &least, &most);
	if (config->trace)
		err = window(config, seed, seconds, load);
	else
		err = drpc_env_load_draw(config->env.app, seed, seconds,
					 config->least_rps > 0 ? config->least_rps : least,
					 config->most_rps > 0 ? config->most_rps : most, load);
	stage->traces[i] = (struct drpc_env_trace){
		.load = {.pieces = load->pieces, .n_pieces = load->n, .shares = load->shares},
		.seed = seed,
		.spread = stage->spread,
	};
	return err;
}

/* --- judging -------------------------------------------------------------------------------------- */

struct sums {
	double reward, cpu_used, cpu, memory_used, memory, p99, worst, missed, failed, ended,
		seconds;
	uint64_t oom_kills;
};

static void add_result(struct sums *sums, const struct drpc_sim_result *r)
{
	const double ended = (double)(r->succeeded + r->failed);

	sums->cpu_used += r->cpu_used_cores_mean * r->measured_s;
	sums->cpu += r->cpu_cores_mean * r->measured_s;
	sums->memory_used += r->memory_used_mib_mean * r->measured_s;
	sums->memory += r->memory_mib_mean * r->measured_s;
	sums->p99 += r->p99_ms;
	sums->worst = fmax(sums->worst, r->p99_ms);
	sums->missed += r->slo_violation_rate * ended;
	sums->failed += (double)r->failed;
	sums->ended += ended;
	sums->seconds += r->measured_s;
	sums->oom_kills += r->oom_kills;
}

static double part(double of, double whole)
{
	return whole > 0 ? of / whole : 0;
}

static struct drpc_train_score score_of(const struct sums *s, size_t n)
{
	return (struct drpc_train_score){
		.reward = s->reward / (double)n,
		.cpu = part(s->cpu_used, s->cpu),
		.memory = part(s->memory_used, s->memory),
		.p99_ms = s->p99 / (double)n,
		.p99_worst_ms = s->worst,
		.slo_violations = part(s->missed, s->ended),
		.failures = part(s->failed, s->ended),
		.cpu_hours = part(s->cpu, s->seconds),
		.memory_gib_hours = part(s->memory, s->seconds) / 1024,
		.oom_kills = s->oom_kills,
	};
}

int train_judge(const struct drpc_train_config *config, struct train_stage *stage,
		struct drpc_crew *crew, uint64_t first, double seconds, drpc_train_actor actor,
		void *arg, struct drpc_train_score *ret)
{
	const double period_s = (double)config->env.period_ns * 1e-9;
	const size_t steps = (size_t)(seconds / period_s),
		     skip = (size_t)(NOT_COUNTED * (double)steps);
	struct sums sums = {0};
	int err = 0;

	for (size_t i = 0; i < stage->n && !err; i++) {
		err = train_stage_trace(stage, config, i, first + i, seconds);
		stage->traces[i].warmup_s = (double)skip * period_s;
	}
	if (err)
		return err;
	train_stage_reset(stage, crew);
	err = drpc_crew_finish(crew);
	for (size_t t = 1; t < steps && !err; t++) {
		for (size_t i = 0; i < stage->n && !err; i++)
			err = actor(arg, stage->envs[i], stage->actions + i * stage->numbers);
		if (err)
			break;
		train_stage_step(stage, crew);
		err = drpc_crew_finish(crew);
		for (size_t i = 0; i < stage->n && t >= skip; i++)
			sums.reward += drpc_env_report(stage->envs[i]) / (double)(steps - skip);
	}
	if (err)
		return err;
	for (size_t i = 0; i < stage->n; i++) {
		const struct drpc_sim_result r = drpc_env_result(stage->envs[i]);

		add_result(&sums, &r);
	}
	*ret = score_of(&sums, stage->n);
	return 0;
}

int drpc_train_judge(const struct drpc_train_config *config, uint64_t first, size_t n,
		     double seconds, drpc_train_actor actor, void *arg,
		     struct drpc_train_score *ret)
{
	struct drpc_crew *crew = NULL;
	struct train_stage stage = {0};
	int err = drpc_crew_new(config->jobs, &crew);

	if (!err)
		err = train_stage_init(&stage, &config->env, n);
	if (!err)
		err = train_judge(config, &stage, crew, first, seconds, actor, arg, ret);
	train_stage_done(&stage);
	drpc_crew_free(&crew);
	return err;
}
