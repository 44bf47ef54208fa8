// SPDX-License-Identifier: Apache-2.0
#include "teacher/td3_file.h"

#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "nn/model_file.h"

#define TD3_KIND "td3"

/* Header members of one kind each, so that saving and loading cannot drift apart. */
enum type { SIZE, U64, UINT, REAL, FLAG };

struct member {
	const char *name;
	enum type type;
	size_t offset;
};

#define MEMBER(name, type, field)                            \
	{                                                    \
		name, type, offsetof(struct drpc_td3, field) \
	}

static const struct member members[] = {
	MEMBER("kind_of_teacher", UINT, config.kind),
	MEMBER("deployments", SIZE, config.units),
	MEMBER("state", SIZE, config.state),
	MEMBER("action", SIZE, config.action),
	MEMBER("hidden_layers", SIZE, config.n_hidden),
	MEMBER("hidden_1", SIZE, config.hidden[0]),
	MEMBER("hidden_2", SIZE, config.hidden[1]),
	MEMBER("hidden_3", SIZE, config.hidden[2]),
	MEMBER("hidden_4", SIZE, config.hidden[3]),
	MEMBER("layernorm", FLAG, config.norm),
	MEMBER("embedding", SIZE, config.embed),
	MEMBER("batch", SIZE, config.batch),
	MEMBER("gamma", REAL, config.gamma),
	MEMBER("tau", REAL, config.tau),
	MEMBER("policy_noise", REAL, config.policy_noise),
	MEMBER("noise_clip", REAL, config.noise_clip),
	MEMBER("policy_delay", UINT, config.policy_delay),
	MEMBER("actor_lr", REAL, config.actor_lr),
	MEMBER("critic_lr", REAL, config.critic_lr),
	MEMBER("max_grad_norm", REAL, config.max_grad_norm),
	MEMBER("priority_alpha", REAL, config.priority_alpha),
	MEMBER("priority_beta", REAL, config.priority_beta),
	MEMBER("seed", U64, config.seed),
	MEMBER("updates", U64, updates),
	MEMBER("actor_steps", U64, actor.adam.t),
	MEMBER("critic_steps", U64, critic.adam.t),
	MEMBER("draw_block", U64, draw_rng.block),
	MEMBER("noise_block", U64, noise_rng.block),
	MEMBER("explore_block", U64, explore_rng.block),
	MEMBER("top_reward", REAL, top_reward),
};

_Static_assert(sizeof(enum drpc_td3_kind) == sizeof(unsigned int), "MEMBER reads it as one");
_Static_assert(sizeof(size_t) == sizeof(uint64_t), "MEMBER reads sizes as such");

static struct json_object *member_to_json(const struct member *m, const struct drpc_td3 *td3)
{
	const char *at = (const char *)td3 + m->offset;
	char text[32];
	double real;

	switch (m->type) {
	case REAL:
		memcpy(&real, at, sizeof(real));
		snprintf(text, sizeof(text), "%.17g", real);
		return json_object_new_double_s(real, text);
	case UINT:
		return json_object_new_uint64(*(const unsigned int *)at);
	case FLAG:
		return json_object_new_boolean(*(const bool *)at);
	default:
		return json_object_new_uint64(*(const uint64_t *)at);
	}
}

static int member_from_json(const char *path, const struct member *m, struct json_object *header,
			    struct drpc_td3 *td3)
{
	char *at = (char *)td3 + m->offset;
	struct json_object *found;
	enum json_type type;
	double real;

	if (!json_object_object_get_ex(header, m->name, &found))
		return drpc_err(-EINVAL, "td3: %s: the header has no \"%s\"", path, m->name);
	type = json_object_get_type(found);
	if (m->type == FLAG
		    ? type != json_type_boolean
		    : type != json_type_int && !(m->type == REAL && type == json_type_double))
		return drpc_err(-EINVAL, "td3: %s: \"%s\" is %s", path, m->name,
				json_object_to_json_string(found));
	switch (m->type) {
	case REAL:
		real = json_object_get_double(found);
		memcpy(at, &real, sizeof(real));
		break;
	case UINT:
		*(unsigned int *)at = (unsigned int)json_object_get_uint64(found);
		break;
	case FLAG:
		*(bool *)at = json_object_get_boolean(found);
		break;
	default:
		*(uint64_t *)at = json_object_get_uint64(found);
	}
	return 0;
}

/* Weights in the file: of each half parameters, target, both moments; then priorities. */
static size_t count_weights(const struct drpc_td3 *td3, size_t priorities)
{
	return 4 * (td3->actor.net.n_params + td3->critic.net.n_params) + priorities;
}

/* Copies between trainer and file, in the file's order; to_file tells the direction. */
static void copy_weights(struct drpc_td3 *td3, float *weights, bool to_file)
{
	struct drpc_td3_half *const halves[] = {&td3->actor, &td3->critic};

	for (int i = 0; i < 2; i++) {
		float *const parts[] = {halves[i]->params, halves[i]->target, halves[i]->m,
					halves[i]->v};
		const size_t n = halves[i]->net.n_params;

		for (int k = 0; k < 4; k++, weights += n) {
			if (to_file)
				memcpy(weights, parts[k], n * sizeof(*weights));
			else
				memcpy(parts[k], weights, n * sizeof(*weights));
		}
	}
}

static int fill_header(const struct drpc_td3 *td3, struct drpc_replay *replay,
		       struct json_object *header)
{
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(members); i++) {
		struct json_object *value = member_to_json(&members[i], td3);

		if (!value || json_object_object_add(header, members[i].name, value) < 0)
			return -ENOMEM;
	}
	if (replay &&
	    json_object_object_add(header, "replay_sequence",
				   json_object_new_uint64(drpc_replay_sequence(replay))) < 0)
		return -ENOMEM;
	return 0;
}

int drpc_td3_save(const struct drpc_td3 *td3, struct drpc_replay *replay, const char *path)
{
	const size_t priorities =
		replay && td3->config.priority_alpha > 0 ? drpc_replay_count(replay) : 0;
	const size_t n = count_weights(td3, priorities);
	_cleanup_free_ float *weights = NULL;
	struct json_object *header;
	int err;

	if (td3->diverged)
		return drpc_err(
			-EDOM, "td3: %s is kept: training has diverged since it was written", path);
	err = replay ? drpc_replay_sync(replay) : 0;
	if (err)
		return err;
	weights = malloc(n * sizeof(*weights));
	header = json_object_new_object();
	if (!weights || !header || fill_header(td3, replay, header) < 0) {
		json_object_put(header);
		return drpc_err(-ENOMEM, "td3: %s", path);
	}
	copy_weights((struct drpc_td3 *)td3, weights, true);
	for (size_t i = 0; i < priorities; i++)
		weights[n - priorities + i] = drpc_replay_priority(replay, i);
	err = drpc_model_file_save(path, TD3_KIND, header, weights, n);
	json_object_put(header);
	return err;
}

/* --- loading ------------------------------------------------------------------------------ */

/* Takes the replay back, and its priorities, where the file has them. */
static int restore_replay(const char *path, struct json_object *header, const struct drpc_td3 *td3,
			  const float *priorities, size_t n, struct drpc_replay *replay)
{
	struct json_object *found;
	size_t newer;

	if (!json_object_object_get_ex(header, "replay_sequence", &found))
		return 0;
	newer = drpc_replay_rewind(replay, json_object_get_uint64(found));
	if (newer)
		drpc_warn(
			"td3: %s: %zu transitions have replaced older ones since; training goes on with them",
			path, newer);
	if (td3->config.priority_alpha == 0)
		return 0;
	if (!drpc_replay_is_prioritized(replay)) {
		int err = drpc_replay_prioritize(replay, td3->config.priority_alpha);

		if (err)
			return err;
	}
	for (size_t i = 0; i < DRPC_MIN(n, drpc_replay_count(replay)); i++)
		drpc_replay_set_priority(replay, i, priorities[i]);
	return 0;
}

/* Settings and counters, into a trainer that holds nothing else yet. */
static int read_header(const char *path, struct json_object *header, struct drpc_td3 *ret)
{
	*ret = (struct drpc_td3){0};
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(members); i++) {
		int err = member_from_json(path, &members[i], header, ret);

		if (err)
			return err;
	}
	if ((unsigned int)ret->config.kind > DRPC_TD3_POOLED)
		return drpc_err(-EINVAL, "td3: %s: unknown kind of teacher %u", path,
				(unsigned int)ret->config.kind);
	if (!(isfinite(ret->top_reward) && ret->top_reward >= 0))
		return drpc_err(-EINVAL, "td3: %s: \"top_reward\" is %g", path, ret->top_reward);
	return 0;
}

int drpc_td3_load(const char *path, struct drpc_replay *replay, struct drpc_td3 **ret)
{
	struct drpc_td3 *td3 = NULL;
	struct drpc_model model;
	struct drpc_td3 read;
	size_t fixed = 0;
	int err;

	err = drpc_model_file_load(path, TD3_KIND, &model);
	if (err)
		return err;
	err = read_header(path, model.header, &read);
	if (!err)
		err = drpc_td3_new(&read.config, &td3);
	if (!err) {
		fixed = count_weights(td3, 0);
		if (model.n_weights < fixed ||
		    (model.n_weights > fixed && read.config.priority_alpha == 0))
			err = drpc_err(-EINVAL,
				       "td3: %s: %zu weights, its header's shapes have %zu", path,
				       model.n_weights, fixed);
	}
	if (!err) {
		copy_weights(td3, model.weights, false);
		td3->updates = read.updates;
		td3->actor.adam.t = read.actor.adam.t;
		td3->critic.adam.t = read.critic.adam.t;
		td3->draw_rng.block = read.draw_rng.block;
		td3->noise_rng.block = read.noise_rng.block;
		td3->explore_rng.block = read.explore_rng.block;
		td3->top_reward = read.top_reward;
		if (replay)
			err = restore_replay(path, model.header, td3, model.weights + fixed,
					     model.n_weights - fixed, replay);
	}
	drpc_model_done(&model);
	if (err)
		drpc_td3_free(&td3);
	else
		*ret = td3;
	return err;
}
