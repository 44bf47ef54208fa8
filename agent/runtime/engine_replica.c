// SPDX-License-Identifier: Apache-2.0
/*
 * The calls that make and take away containers. Each is a chain of HTTP requests in one `struct
 * chain`, freed after its callback. A clone goes: inspect its source → create → connect to further
 * networks → start → inspect; where a step fails, what was created is removed again.
 */
#include <errno.h>
#include <string.h>

#include "agent/runtime/engine_internal.h"
#include "lib/util.h"

/* Making and starting a container takes the engine longer than telling something. */
#define WORK_MS	      30000
/* Beyond the time that a container is given to end. */
#define STOP_EXTRA_MS 15000
/* Names that others may have taken meanwhile. */
#define NUMBERS_TRIED 16

enum stage {
	STAGE_LOOK,   /* how it is before */
	STAGE_CREATE, /* of a clone, as the next two */
	STAGE_CONNECT,
	STAGE_START,
	STAGE_STOP,
	STAGE_REMOVE,
	STAGE_UNDO,  /* a clone failed: remove what there is of it */
	STAGE_AFTER, /* the last: how it is now */
};

enum deed {
	DEED_CLONE,
	DEED_START,
	DEED_STOP,
	DEED_REMOVE,
};

struct chain {
	struct drpc_request rq; /* first */
	struct drpc_engine *engine;
	enum deed deed;
	enum stage stage;
	char id[DRPC_ID_MAX]; /* of the clone once it is created */
	uint32_t grace_sec;
	bool keep;
	struct drpc_clone_spec spec;
	uint32_t number;
	size_t connected; /* networks so far */
	int err;	  /* of a clone that is being undone */
	char why[192];
	drpc_runtime_container_fn fn;
	void *arg;

	/* Parsed by the worker thread. */
	struct drpc_runtime_container container;
	struct drpc_clone clone;
};

static void chain_done(struct drpc_request *rq);

static void chain_free(struct chain *c)
{
	drpc_request_clear(&c->rq);
	drpc_runtime_container_clear(&c->container);
	drpc_clone_clear(&c->clone);
	free(c);
}

/* --- worker thread ---------------------------------------------------------------------------- */

static int take_id(struct chain *c)
{
	_cleanup_json_ struct json_object *o = NULL;
	struct json_object *id;

	if (drpc_engine_parse_json(c->rq.reply, c->rq.reply_len, &o) < 0 ||
	    !json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, "Id", &id) ||
	    !json_object_is_type(id, json_type_string) ||
	    !drpc_engine_id_valid(json_object_get_string(id)))
		return -EBADMSG;
	drpc_strcpy(c->id, sizeof(c->id), json_object_get_string(id));
	return 0;
}

static int take_container(struct chain *c)
{
	int r;

	drpc_runtime_container_clear(&c->container);
	memset(&c->container, 0, sizeof(c->container));
	r = drpc_engine_parse_container(c->rq.reply, c->rq.reply_len, &c->container);
	if (r < 0 || c->deed != DEED_CLONE || c->stage != STAGE_LOOK)
		return r;
	return drpc_clone_make(c->rq.reply, c->rq.reply_len, &c->spec, c->engine->cpus, &c->clone,
			       c->rq.why, sizeof(c->rq.why));
}

static int chain_reply(struct drpc_request *rq)
{
	struct chain *c = (struct chain *)(void *)rq;
	char text[sizeof(rq->why)];

	if (rq->err) {
		drpc_engine_parse_message(rq->reply, rq->reply_len, text, sizeof(text));
		if (text[0])
			drpc_strcpy(rq->why, sizeof(rq->why), text);
		return 0;
	}
	if (c->stage == STAGE_LOOK || c->stage == STAGE_AFTER)
		return take_container(c);
	return c->stage == STAGE_CREATE ? take_id(c) : 0;
}

/* --- making requests -------------------------------------------------------------------------- */

static void submit(struct chain *c, enum stage stage, uint32_t timeout_ms)
{
	c->stage = stage;
	c->rq.timeout_ms = timeout_ms;
	c->rq.del = stage == STAGE_REMOVE || stage == STAGE_UNDO;
	c->rq.post = !c->rq.del && stage != STAGE_LOOK && stage != STAGE_AFTER;
	drpc_worker_submit(c->engine->worker, &c->rq);
}

static void submit_container(struct chain *c, enum stage stage, const char *what,
			     uint32_t timeout_ms)
{
	free(c->rq.body);
	c->rq.body = NULL;
	snprintf(c->rq.path, sizeof(c->rq.path), "/v%s/containers/%s%s", c->engine->api, c->id,
		 what);
	submit(c, stage, timeout_ms);
}

static int set_body(struct chain *c, const char *text)
{
	free(c->rq.body);
	c->rq.body = text ? strdup(text) : NULL;
	return c->rq.body ? 0 : -ENOMEM;
}

static int submit_create(struct chain *c)
{
	char name[DRPC_NAME_MAX];
	const char *text = drpc_clone_number(&c->clone, c->number, name, sizeof(name));

	if (set_body(c, text) < 0)
		return -ENOMEM;
	snprintf(c->rq.path, sizeof(c->rq.path), "/v%s/containers/create?name=%s", c->engine->api,
		 name);
	submit(c, STAGE_CREATE, WORK_MS);
	return 0;
}

/* Connects to the next network, or starts where it is in all of them. */
static int submit_next(struct chain *c)
{
	_cleanup_json_ struct json_object *body = NULL;
	size_t i = c->connected;
	char network[DRPC_NAME_MAX];

	if (i == c->clone.network_count) {
		submit_container(c, STAGE_START, "/start", WORK_MS);
		return 0;
	}
	body = json_object_new_object();
	json_object_object_add(body, "Container", json_object_new_string(c->id));
	json_object_object_add(body, "EndpointConfig",
			       json_object_get(c->clone.networks[i].endpoint));
	if (set_body(c, json_object_to_json_string_ext(body, JSON_C_TO_STRING_PLAIN)) < 0)
		return -ENOMEM;
	c->connected++;
	/* A copy: compilers take the two for parts of one another. */
	drpc_strcpy(network, sizeof(network), c->clone.networks[i].name);
	snprintf(c->rq.path, sizeof(c->rq.path), "/v%s/networks/%s/connect", c->engine->api,
		 network);
	submit(c, STAGE_CONNECT, WORK_MS);
	return 0;
}

static void submit_stop(struct chain *c)
{
	char what[32];

	snprintf(what, sizeof(what), "/stop?t=%u", c->grace_sec);
	submit_container(c, STAGE_STOP, what, c->grace_sec * 1000 + STOP_EXTRA_MS);
}

/* --- results, on the owner's thread ----------------------------------------------------------- */

static void chain_end(struct chain *c, int err, const char *why)
{
	const struct drpc_runtime_container *after = err ? NULL : &c->container;

	c->fn(c->arg, err, err ? why : "", after);
	chain_free(c);
}

/* Nothing of a clone that failed is to stay. */
static void undo(struct chain *c, int err, const char *why)
{
	c->err = err;
	drpc_strcpy(c->why, sizeof(c->why), why);
	submit_container(c, STAGE_UNDO, "?force=1&v=1", WORK_MS);
}

static void failed(struct chain *c, int err, const char *why)
{
	if (drpc_engine_error_is_away(err))
		drpc_engine_away(c->engine, why);
	if (c->stage == STAGE_UNDO)
		chain_end(c, c->err, c->why);
	else if (c->deed == DEED_CLONE && c->stage > STAGE_CREATE && err != -ECANCELED)
		undo(c, err, why);
	else
		chain_end(c, err, why);
}

/* What a container is before something is done to it may forbid it. */
static int looked(struct chain *c)
{
	switch (c->deed) {
	case DEED_CLONE:
		c->number = c->spec.number;
		return submit_create(c);
	case DEED_STOP:
		if (c->keep && c->container.auto_remove)
			return -EPERM;
		submit_stop(c);
		return 0;
	case DEED_REMOVE:
		if (c->container.clone_of[0] == '\0')
			return -EPERM;
		submit_container(c, STAGE_REMOVE, "?force=1&v=1", WORK_MS);
		return 0;
	case DEED_START:
		break;
	}
	return -EINVAL;
}

static int went_well(struct chain *c)
{
	switch (c->stage) {
	case STAGE_LOOK:
		return looked(c);
	case STAGE_CREATE:
	case STAGE_CONNECT:
		return submit_next(c);
	case STAGE_START:
	case STAGE_STOP:
		submit_container(c, STAGE_AFTER, "/json", DRPC_ENGINE_TOTAL_MS);
		return 0;
	case STAGE_UNDO:
		chain_end(c, c->err, c->why);
		return 0;
	case STAGE_REMOVE:
	case STAGE_AFTER:
		chain_end(c, 0, "");
		return 0;
	}
	return -EINVAL;
}

static const char *words_of(int err)
{
	return err == -EPERM
		       ? "it would be gone for good: drpc removes what it has made, and nothing else"
		       : strerror(-err);
}

static void chain_done(struct drpc_request *rq)
{
	struct chain *c = (struct chain *)(void *)rq;
	/* "It is so already." */
	int r = rq->status == 304 ? 0 : rq->err;

	if (r == -EEXIST && c->stage == STAGE_CREATE &&
	    c->number < c->spec.number + NUMBERS_TRIED - 1) {
		c->number++;
		r = submit_create(c);
		if (r == 0)
			return;
	} else if (r == 0) {
		r = went_well(c);
		if (r < 0)
			failed(c, r, words_of(r));
		return;
	}
	failed(c, r, rq->why[0] ? rq->why : strerror(-r));
}

/* --- the calls -------------------------------------------------------------------------------- */

static int chain_new(struct drpc_runtime *rt, enum deed deed, const char *id,
		     drpc_runtime_container_fn fn, void *arg, struct chain **ret)
{
	struct drpc_engine *e = drpc_engine_of(rt);
	int r = drpc_engine_may_call(e, id);
	struct chain *c = r < 0 ? NULL : calloc(1, sizeof(*c));

	if (!c)
		return r < 0 ? r : -ENOMEM;
	c->engine = e;
	c->deed = deed;
	c->fn = fn;
	c->arg = arg;
	drpc_strcpy(c->id, sizeof(c->id), id);
	c->rq.reply_max = DRPC_ENGINE_REPLY_MAX;
	c->rq.on_reply = chain_reply;
	c->rq.done = chain_done;
	*ret = c;
	return 0;
}

int drpc_engine_clone(struct drpc_runtime *rt, const char *source,
		      const struct drpc_clone_spec *spec, drpc_runtime_container_fn fn, void *arg)
{
	struct chain *c;
	int r = chain_new(rt, DEED_CLONE, source, fn, arg, &c);

	if (r < 0)
		return r;
	c->spec = *spec;
	submit_container(c, STAGE_LOOK, "/json", DRPC_ENGINE_TOTAL_MS);
	return 0;
}

int drpc_engine_start(struct drpc_runtime *rt, const char *id, drpc_runtime_container_fn fn,
		      void *arg)
{
	struct chain *c;
	int r = chain_new(rt, DEED_START, id, fn, arg, &c);

	if (r == 0)
		submit_container(c, STAGE_START, "/start", WORK_MS);
	return r;
}

int drpc_engine_stop(struct drpc_runtime *rt, const char *id, uint32_t grace_sec, bool keep,
		     drpc_runtime_container_fn fn, void *arg)
{
	struct chain *c;
	int r = chain_new(rt, DEED_STOP, id, fn, arg, &c);

	if (r < 0)
		return r;
	c->grace_sec = grace_sec;
	c->keep = keep;
	submit_container(c, STAGE_LOOK, "/json", DRPC_ENGINE_TOTAL_MS);
	return 0;
}

int drpc_engine_remove(struct drpc_runtime *rt, const char *id, drpc_runtime_container_fn fn,
		       void *arg)
{
	struct chain *c;
	int r = chain_new(rt, DEED_REMOVE, id, fn, arg, &c);

	if (r == 0)
		submit_container(c, STAGE_LOOK, "/json", DRPC_ENGINE_TOTAL_MS);
	return r;
}
