// SPDX-License-Identifier: Apache-2.0
/* The four calls. Each is a chain of HTTP requests in one `struct call`, freed after its callback. */
#include <errno.h>
#include <string.h>

#include "agent/runtime/engine_internal.h"
#include "lib/util.h"

/* Podman's own update; its Docker-compatible one came later than its API version tells. */
#define LIBPOD_UPDATE "/v4.0.0/libpod/containers/%s/update"

enum stage {
	STAGE_LIST,
	STAGE_INSPECT, /* the only request, or the last: how it is now */
	STAGE_PRESENT, /* of a restore: how it is before */
	STAGE_UPDATE,
};

struct call {
	struct drpc_request rq; /* first */
	struct drpc_engine *engine;
	enum stage stage;
	char id[DRPC_ID_MAX];
	uint32_t what;
	bool verify;
	bool all;			     /* of a list: those that do not run, too */
	struct drpc_runtime_limits original; /* of a restore */
	struct drpc_runtime_limits expected; /* of an update or restore */
	drpc_runtime_list_fn list_fn;
	drpc_runtime_container_fn container_fn;
	void *arg;

	/* Parsed by the worker thread. */
	struct drpc_runtime_container container;
	struct drpc_runtime_container *list;
	size_t list_count;
};

static void call_done(struct drpc_request *rq);

static void call_free(struct call *c)
{
	drpc_request_clear(&c->rq);
	drpc_runtime_container_clear(&c->container);
	drpc_runtime_containers_free(&c->list, c->list_count);
	free(c);
}

/* --- worker thread ---------------------------------------------------------------------------- */

static int call_reply(struct drpc_request *rq)
{
	struct call *c = (struct call *)(void *)rq;
	char text[sizeof(rq->why)];

	if (rq->err) {
		drpc_engine_parse_message(rq->reply, rq->reply_len, text, sizeof(text));
		if (text[0]) {
			drpc_strcpy(rq->why, sizeof(rq->why), text);
		} else if (c->stage == STAGE_UPDATE && rq->status == 404) {
			/* A container that is not there is said in JSON: this is no such address. */
			drpc_strcpy(rq->why, sizeof(rq->why), "this engine has no update call");
			return -EOPNOTSUPP;
		}
		return 0;
	}
	switch (c->stage) {
	case STAGE_LIST:
		return drpc_engine_parse_list(rq->reply, rq->reply_len, &c->list, &c->list_count);
	case STAGE_INSPECT:
	case STAGE_PRESENT:
		drpc_runtime_container_clear(&c->container);
		memset(&c->container, 0, sizeof(c->container));
		return drpc_engine_parse_container(rq->reply, rq->reply_len, &c->container);
	case STAGE_UPDATE:
		break;
	}
	return 0;
}

/* --- making requests -------------------------------------------------------------------------- */

static struct call *call_new(struct drpc_engine *e, const char *id, void *arg)
{
	struct call *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->engine = e;
	c->arg = arg;
	if (id)
		drpc_strcpy(c->id, sizeof(c->id), id);
	c->rq.timeout_ms = DRPC_ENGINE_TOTAL_MS;
	c->rq.reply_max = DRPC_ENGINE_REPLY_MAX;
	c->rq.on_reply = call_reply;
	c->rq.done = call_done;
	return c;
}

static void submit_get(struct call *c, enum stage stage)
{
	c->stage = stage;
	c->rq.post = false;
	if (stage == STAGE_LIST)
		snprintf(c->rq.path, sizeof(c->rq.path), "/v%s/containers/json%s", c->engine->api,
			 c->all ? "?all=1" : "");
	else
		snprintf(c->rq.path, sizeof(c->rq.path), "/v%s/containers/%s/json", c->engine->api,
			 c->id);
	drpc_worker_submit(c->engine->worker, &c->rq);
}

static void add_number(struct json_object *o, const char *key, int64_t value)
{
	if (value)
		json_object_object_add(o, key, json_object_new_int64(value));
}

static struct json_object *docker_body(const struct drpc_runtime_limits *update)
{
	struct json_object *o = json_object_new_object();

	add_number(o, "NanoCpus", update->nano_cpus);
	add_number(o, "CpuQuota", update->cpu_quota_usec);
	add_number(o, "CpuPeriod", update->cpu_period_usec);
	add_number(o, "Memory", update->memory_bytes);
	add_number(o, "MemorySwap", update->memory_swap_bytes);
	return o;
}

/*
 * Podman takes an OCI runtime's resources, where -1 is "none", and everything must be given: its
 * inspect does not show earlier updates, so that nobody knows what need not be sent.
 */
static struct json_object *podman_body(const struct drpc_runtime_limits *original,
				       const struct drpc_limits *target, uint32_t what)
{
	struct json_object *o = json_object_new_object(), *part;
	int64_t memory = -1, swap = -1;

	if (what & DRPC_LIMIT_CPU) {
		part = json_object_new_object();
		add_number(part, "quota",
			   target->cpu_quota_usec == DRPC_UNLIMITED
				   ? -1
				   : (int64_t)target->cpu_quota_usec);
		add_number(part, "period", (int64_t)target->cpu_period_usec);
		json_object_object_add(o, "cpu", part);
	}
	if (what & DRPC_LIMIT_MEMORY) {
		if (target->mem_max_bytes != DRPC_UNLIMITED)
			memory = (int64_t)target->mem_max_bytes;
		if (memory > 0 && original->memory_bytes > 0 && original->memory_swap_bytes > 0)
			swap = memory + original->memory_swap_bytes - original->memory_bytes;
		part = json_object_new_object();
		add_number(part, "limit", memory);
		add_number(part, "swap", swap);
		json_object_object_add(o, "memory", part);
	}
	return o;
}

static bool empty(const struct drpc_runtime_limits *update)
{
	return !update->nano_cpus && !update->cpu_quota_usec && !update->cpu_period_usec &&
	       !update->memory_bytes;
}

static void overlay(struct drpc_runtime_limits *present, const struct drpc_runtime_limits *update)
{
	if (update->nano_cpus)
		present->nano_cpus = update->nano_cpus;
	if (update->cpu_quota_usec)
		present->cpu_quota_usec = update->cpu_quota_usec;
	if (update->cpu_period_usec)
		present->cpu_period_usec = update->cpu_period_usec;
	if (update->memory_bytes)
		present->memory_bytes = update->memory_bytes;
	if (update->memory_swap_bytes)
		present->memory_swap_bytes = update->memory_swap_bytes;
}

static int submit_post(struct call *c, const char *path_format, struct json_object *body)
{
	const char *text =
		body ? json_object_to_json_string_ext(body, JSON_C_TO_STRING_PLAIN) : NULL;

	free(c->rq.body);
	c->rq.body = text ? strdup(text) : NULL;
	json_object_put(body);
	if (!c->rq.body)
		return -ENOMEM;
	c->stage = STAGE_UPDATE;
	c->rq.post = true;
	snprintf(c->rq.path, sizeof(c->rq.path), path_format, c->id);
	drpc_worker_submit(c->engine->worker, &c->rq);
	return 0;
}

/* Sends `update` (Docker) or `target` (Podman); with nothing to send goes on to look. */
static int submit_update(struct call *c, const struct drpc_runtime_limits *present,
			 const struct drpc_runtime_limits *update, const struct drpc_limits *target)
{
	char path[64];

	if (!c->engine->rt.remembers)
		return submit_post(c, LIBPOD_UPDATE, podman_body(present, target, c->what));
	c->verify = true;
	c->expected = *present;
	overlay(&c->expected, update);
	if (empty(update)) {
		submit_get(c, STAGE_INSPECT);
		return 0;
	}
	snprintf(path, sizeof(path), "/v%s/containers/%%s/update", c->engine->api);
	return submit_post(c, path, docker_body(update));
}

static int submit_restore(struct call *c)
{
	const struct drpc_runtime_limits *present = &c->container.limits;
	struct drpc_runtime_limits update;
	struct drpc_limits target;
	int r = drpc_runtime_limits_restore(present, &c->original, c->what, c->engine->cpus,
					    &update);

	drpc_runtime_limits_view(&c->original, &target);
	/* Podman refuses updates of what does not run, and forgot them when it stopped. */
	if (r == 0 && !c->engine->rt.remembers && !c->container.running) {
		submit_get(c, STAGE_INSPECT);
		return 0;
	}
	return r < 0 ? r : submit_update(c, present, &update, &target);
}

/* --- results, on the owner's thread ----------------------------------------------------------- */

static void call_end(struct call *c, int err, const char *why)
{
	if (c->list_fn)
		c->list_fn(c->arg, err, why, c->list, c->list_count);
	else
		c->container_fn(c->arg, err, why, err ? NULL : &c->container);
	call_free(c);
}

static void call_done(struct drpc_request *rq)
{
	struct call *c = (struct call *)(void *)rq;
	int r = 0;

	if (rq->err) {
		if (drpc_engine_error_is_away(rq->err))
			drpc_engine_away(c->engine, rq->why);
		call_end(c, rq->err, rq->why[0] ? rq->why : strerror(-rq->err));
		return;
	}
	switch (c->stage) {
	case STAGE_UPDATE:
		submit_get(c, STAGE_INSPECT);
		return;
	case STAGE_PRESENT:
		r = submit_restore(c);
		if (r == 0)
			return;
		break;
	case STAGE_INSPECT:
		if (c->verify &&
		    !drpc_runtime_limits_same(&c->container.limits, &c->expected, c->what)) {
			call_end(c, -EIO, "the engine took the limits but shows others");
			return;
		}
		break;
	case STAGE_LIST:
		break;
	}
	call_end(c, r,
		 r == -ERANGE ? "the engine cannot express this limit"
		 : r	      ? strerror(-r)
			      : "");
}

/* --- the calls -------------------------------------------------------------------------------- */

int drpc_engine_may_call(const struct drpc_engine *e, const char *id)
{
	if (e->closing)
		return -ECANCELED;
	if (e->rt.state != DRPC_RUNTIME_READY)
		return -EHOSTDOWN;
	return id && !drpc_engine_id_valid(id) ? -EINVAL : 0;
}

static int list(struct drpc_runtime *rt, bool all, drpc_runtime_list_fn fn, void *arg)
{
	struct drpc_engine *e = drpc_engine_of(rt);
	int r = drpc_engine_may_call(e, NULL);
	struct call *c = r < 0 ? NULL : call_new(e, NULL, arg);

	if (!c)
		return r < 0 ? r : -ENOMEM;
	c->list_fn = fn;
	c->all = all;
	submit_get(c, STAGE_LIST);
	return 0;
}

int drpc_engine_list(struct drpc_runtime *rt, drpc_runtime_list_fn fn, void *arg)
{
	return list(rt, false, fn, arg);
}

int drpc_engine_list_all(struct drpc_runtime *rt, drpc_runtime_list_fn fn, void *arg)
{
	return list(rt, true, fn, arg);
}

int drpc_engine_inspect(struct drpc_runtime *rt, const char *id, drpc_runtime_container_fn fn,
			void *arg)
{
	struct drpc_engine *e = drpc_engine_of(rt);
	int r = drpc_engine_may_call(e, id);
	struct call *c = r < 0 ? NULL : call_new(e, id, arg);

	if (!c)
		return r < 0 ? r : -ENOMEM;
	c->container_fn = fn;
	submit_get(c, STAGE_INSPECT);
	return 0;
}

int drpc_engine_update(struct drpc_runtime *rt, const char *id,
		       const struct drpc_runtime_limits *present, const struct drpc_limits *target,
		       uint32_t what, drpc_runtime_container_fn fn, void *arg)
{
	struct drpc_engine *e = drpc_engine_of(rt);
	struct drpc_runtime_limits update;
	int r = drpc_engine_may_call(e, id);
	struct call *c;

	if (r == 0)
		r = drpc_runtime_limits_update(present, target, what, e->cpus, &update);
	c = r < 0 ? NULL : call_new(e, id, arg);
	if (!c)
		return r < 0 ? r : -ENOMEM;
	c->container_fn = fn;
	c->what = what;
	r = submit_update(c, present, &update, target);
	if (r < 0)
		call_free(c);
	return r;
}

int drpc_engine_restore(struct drpc_runtime *rt, const char *id,
			const struct drpc_runtime_limits *original, uint32_t what,
			drpc_runtime_container_fn fn, void *arg)
{
	struct drpc_engine *e = drpc_engine_of(rt);
	int r = drpc_engine_may_call(e, id);
	struct call *c = r < 0 ? NULL : call_new(e, id, arg);

	if (!c)
		return r < 0 ? r : -ENOMEM;
	c->container_fn = fn;
	c->what = what;
	c->original = *original;
	submit_get(c, STAGE_PRESENT);
	return 0;
}
