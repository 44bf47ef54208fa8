// SPDX-License-Identifier: Apache-2.0
/* Checkpoints of a training: a trainer's file for each, and progress.json, which names the one that
 * counts and is replaced as a whole. */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/util.h"
#include "teacher/td3_file.h"
#include "teacher/train_internal.h"

#define PROGRESS	   "progress.json"
#define PROGRESS_MAX_BYTES (4 * 1024 * 1024)

char *train_path(const struct drpc_train_config *config, const char *name)
{
	char *path = NULL;

	return asprintf(&path, "%s/%s", config->out, name) < 0 ? NULL : path;
}

static char *latest_path(const struct drpc_train_config *config, size_t episodes)
{
	char *path = NULL;

	return asprintf(&path, "%s/latest-%06zu.td3", config->out, episodes) < 0 ? NULL : path;
}

/* All that makes two trainings the same but for their length; the caller frees. */
static char *settings(const struct drpc_train_config *c)
{
	const struct drpc_scene_reward *r = &c->env.learn, *p = &c->env.report;
	char *text = NULL;
	int n;

	n = asprintf(
		&text,
		"%s of %u services, %s %s, seed %llu, %zu x %zu steps of %g s, spread %g, "
		"reward %g %g ^%g %g x%g (%g %g ^%g %g), step %g %g %g %d, updates %g, "
		"warm %d, random %zu, explore %g..%g x%g over %zu, net %zu %zu %zu %zu norm %d embed %zu, "
		"batch %zu, gamma %g, tau %g, noise %g %g, delay %u, lr %g %g, clip %g, "
		"rates %g..%g, trace %zu, choose %zu %zu %g, replay %zu%s",
		c->env.app->name, c->env.app->n_services,
		c->td3.kind == DRPC_TD3_JOINT ? "joint" : "pooled",
		drpc_scene_profile_name(c->env.profile), (unsigned long long)c->seed, c->envs,
		c->steps, (double)c->env.period_ns * 1e-9, c->spread, r->cpu, r->memory,
		r->exponent, r->objective_ns, c->reward_scale, p->cpu, p->memory, p->exponent,
		p->objective_ns, c->env.action.cpu_step, c->env.action.memory_step,
		c->env.action.headroom, c->env.action.brownout, c->updates, c->warm,
		c->random_episodes, c->explore_from, c->explore_to, c->explore_replicas,
		c->explore_episodes, c->td3.hidden[0], c->td3.hidden[1], c->td3.hidden[2],
		c->td3.hidden[3], c->td3.norm, c->td3.embed, c->td3.batch, c->td3.gamma, c->td3.tau,
		c->td3.policy_noise, c->td3.noise_clip, c->td3.policy_delay, c->td3.actor_lr,
		c->td3.critic_lr, c->td3.max_grad_norm, c->least_rps, c->most_rps, c->n_trace,
		c->choose_every, c->choose_traces, c->choose_seconds, c->replay,
		c->env.blind ? ", no forecasts" : "");
	return n < 0 ? NULL : text;
}

/* --- scores ---------------------------------------------------------------------------------------- */

struct member {
	const char *name;
	size_t offset;
};

#define MEMBER(field)                                            \
	{                                                        \
#field, offsetof(struct drpc_train_score, field) \
	}

/* The doubles of a score. */
static const struct member members[] = {
	MEMBER(reward),	  MEMBER(cpu),		MEMBER(memory),
	MEMBER(p99_ms),	  MEMBER(p99_worst_ms), MEMBER(slo_violations),
	MEMBER(failures), MEMBER(cpu_hours),	MEMBER(memory_gib_hours),
};

static struct json_object *real(double value)
{
	char text[32];

	snprintf(text, sizeof(text), "%.17g", value);
	return json_object_new_double_s(value, text);
}

static struct json_object *score_to_json(const struct drpc_train_score *score)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "episode", json_object_new_uint64(score->episode));
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(members); i++)
		json_object_object_add(o, members[i].name,
				       real(*(const double *)(const void *)((const char *)score +
									    members[i].offset)));
	json_object_object_add(o, "oom_kills", json_object_new_uint64(score->oom_kills));
	return o;
}

static double number(struct json_object *o, const char *key)
{
	struct json_object *found;

	return json_object_object_get_ex(o, key, &found) ? json_object_get_double(found) : 0;
}

static uint64_t whole(struct json_object *o, const char *key)
{
	struct json_object *found;

	return json_object_object_get_ex(o, key, &found) ? json_object_get_uint64(found) : 0;
}

static struct drpc_train_score score_from_json(struct json_object *o)
{
	struct drpc_train_score score = {.episode = whole(o, "episode"),
					 .oom_kills = whole(o, "oom_kills")};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(members); i++)
		*(double *)(void *)((char *)&score + members[i].offset) =
			number(o, members[i].name);
	return score;
}

/* --- saving ---------------------------------------------------------------------------------------- */

static struct json_object *state_to_json(const char *text, const struct train_state *state)
{
	const struct drpc_train_report *report = &state->report;
	struct json_object *o = json_object_new_object(), *scores = json_object_new_array();

	json_object_object_add(o, "settings", json_object_new_string(text));
	json_object_object_add(o, "episodes", json_object_new_uint64(state->episodes));
	json_object_object_add(o, "updates", json_object_new_uint64(report->updates));
	json_object_object_add(o, "wall_s", real(report->wall_s));
	json_object_object_add(o, "random_block", json_object_new_uint64(state->random_rng.block));
	json_object_object_add(o, "best", json_object_new_uint64(report->best));
	json_object_object_add(o, "best_value", real(state->best_value));
	for (size_t i = 0; i < report->n_scores; i++)
		json_object_array_add(scores, score_to_json(&report->scores[i]));
	json_object_object_add(o, "scores", scores);
	return o;
}

/* The file appears whole or not at all. */
static int write_whole(const char *path, const char *text)
{
	_cleanup_free_ char *temporary = NULL;
	FILE *f;
	int err = 0;

	if (asprintf(&temporary, "%s.new", path) < 0)
		return -ENOMEM;
	f = fopen(temporary, "we");
	if (!f)
		return drpc_err(-errno, "train: %s", temporary);
	if (fputs(text, f) < 0 || fflush(f) != 0 || fsync(fileno(f)) < 0)
		err = -errno;
	if (fclose(f) != 0 && !err)
		err = -errno;
	if (!err && rename(temporary, path) < 0)
		err = -errno;
	if (err) {
		unlink(temporary);
		return drpc_err(err, "train: %s", path);
	}
	return 0;
}

int train_save(const struct drpc_train_config *config, const struct drpc_td3 *td3,
	       struct drpc_replay *replay, struct train_state *state)
{
	_cleanup_free_ char *path = train_path(config, PROGRESS), *text = settings(config);
	_cleanup_free_ char *latest = latest_path(config, state->episodes), *before = NULL;
	struct json_object *o;
	int err;

	if (state->saved)
		before = latest_path(config, state->saved);
	if (!path || !text || !latest)
		return -ENOMEM;
	err = drpc_td3_save(td3, replay, latest);
	if (err)
		return err;
	o = state_to_json(text, state);
	err = write_whole(path, json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY));
	json_object_put(o);
	if (err)
		return err;
	if (before && state->saved != state->episodes)
		unlink(before); /* where it is not there, all the better */
	state->saved = state->episodes;
	return 0;
}

/* --- loading --------------------------------------------------------------------------------------- */

static int state_from_json(const struct drpc_train_config *config, const char *path,
			   struct json_object *o, struct train_state *ret)
{
	_cleanup_free_ char *text = settings(config);
	struct json_object *found, *scores;
	struct drpc_train_report *report = &ret->report;

	if (!text)
		return -ENOMEM;
	if (!json_object_object_get_ex(o, "settings", &found) ||
	    !json_object_object_get_ex(o, "scores", &scores) ||
	    json_object_get_type(scores) != json_type_array)
		return drpc_err(-EINVAL, "train: %s: no \"settings\" or \"scores\"", path);
	if (strcmp(json_object_get_string(found), text) != 0)
		return drpc_err(-EINVAL, "train: %s was begun with '%s', this is '%s'", path,
				json_object_get_string(found), text);
	ret->episodes = ret->saved = whole(o, "episodes");
	ret->random_rng.block = whole(o, "random_block");
	ret->best_value = number(o, "best_value");
	report->episodes = ret->episodes;
	report->updates = whole(o, "updates");
	report->wall_s = number(o, "wall_s");
	report->best = whole(o, "best");
	report->n_scores = DRPC_MIN(json_object_array_length(scores), (size_t)DRPC_TRAIN_SCORES);
	for (size_t i = 0; i < report->n_scores; i++)
		report->scores[i] = score_from_json(json_object_array_get_idx(scores, i));
	if (report->best >= report->n_scores || ret->episodes % config->envs)
		return drpc_err(-EINVAL, "train: %s: score %zu of %zu, %zu episodes", path,
				report->best, report->n_scores, ret->episodes);
	return 0;
}

int train_load(const struct drpc_train_config *config, struct drpc_replay *replay,
	       struct drpc_td3 **ret_td3, struct train_state *ret)
{
	_cleanup_free_ char *path = train_path(config, PROGRESS), *text = NULL, *latest = NULL;
	struct json_object *o;
	ssize_t n;
	int err;

	if (!path)
		return -ENOMEM;
	n = drpc_read_file_at(AT_FDCWD, path, PROGRESS_MAX_BYTES, &text);
	if (n < 0)
		return drpc_err((int)n, "train: %s", path);
	o = json_tokener_parse(text);
	if (json_object_get_type(o) == json_type_object)
		err = state_from_json(config, path, o, ret);
	else
		err = drpc_err(-EBADMSG, "train: %s is no JSON object", path);
	json_object_put(o);
	if (err)
		return err;
	latest = latest_path(config, ret->episodes);
	return latest ? drpc_td3_load(latest, replay, ret_td3) : -ENOMEM;
}
