/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An engine in memory that makes, starts, stops and removes containers: answers when it is
 * dispatched, and fails as it is told to.
 */
#pragma once

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "agent/runtime/runtime.h"
#include "lib/util.h"

#define ENGINE_MAX 16

enum engine_verb { E_LIST, E_INSPECT, E_CLONE, E_START, E_STOP, E_REMOVE, E_VERBS };

struct engine_call {
	enum engine_verb verb;
	char id[DRPC_ID_MAX];
	struct drpc_clone_spec spec;
	bool keep;
	drpc_runtime_list_fn list_fn;
	drpc_runtime_container_fn fn;
	void *arg;
};

struct engine {
	struct drpc_runtime rt; /* first */
	int event_fd;
	struct drpc_runtime_container containers[ENGINE_MAX];
	size_t count;
	struct engine_call calls[32];
	size_t pending;
	unsigned int did[E_VERBS];
	int fail[E_VERBS];		    /* the next answer of the verb, once */
	int after[E_VERBS];		    /* the same, but what was asked is done all the same */
	bool fail_for_good;		    /* fail[] stays */
	unsigned int at_once, at_once_most; /* calls that wait together */
	enum drpc_runtime_health health;    /* of what is made */
	bool stillborn;			    /* what is made ends at once */
	char log[1024];
};

static inline struct engine *engine_of(struct drpc_runtime *rt)
{
	return (struct engine *)(void *)rt;
}

static inline struct drpc_runtime_container *engine_find(struct engine *e, const char *id)
{
	for (size_t i = 0; i < e->count; i++) {
		if (strcmp(e->containers[i].id, id) == 0)
			return &e->containers[i];
	}
	return NULL;
}

static inline struct drpc_runtime_container *engine_add(struct engine *e, const char *name,
							uint32_t number)
{
	struct drpc_runtime_container *c = &e->containers[e->count++];

	*c = (struct drpc_runtime_container){.running = true, .number = number, .pid = 100};
	c->created_sec = 1000 + (int64_t)e->count;
	snprintf(c->id, sizeof(c->id), "id-%.60s", name);
	drpc_strcpy(c->name, sizeof(c->name), name);
	drpc_strcpy(c->project, sizeof(c->project), "shop");
	drpc_strcpy(c->service, sizeof(c->service), "front");
	drpc_strcpy(c->state, sizeof(c->state), "running");
	return c;
}

static inline void engine_state(struct drpc_runtime_container *c, const char *state)
{
	drpc_strcpy(c->state, sizeof(c->state), state);
	c->running = strcmp(state, "running") == 0;
}

static inline void engine_drop(struct engine *e, const char *id)
{
	struct drpc_runtime_container *c = engine_find(e, id);

	*c = e->containers[--e->count];
}

/* What the verb does to the container `c`. Returns what it comes to. */
static inline int engine_do(struct engine *e, struct engine_call *call,
			    struct drpc_runtime_container **c)
{
	char name[DRPC_NAME_MAX];

	if (!*c)
		return -ENOENT;
	switch (call->verb) {
	case E_CLONE:
		snprintf(name, sizeof(name), "shop-front-%u", call->spec.number);
		*c = engine_add(e, name, call->spec.number);
		drpc_strcpy((*c)->clone_of, DRPC_NAME_MAX, call->spec.deployment);
		(*c)->health = e->health;
		if (e->stillborn)
			engine_state(*c, "exited");
		return 0;
	case E_START:
		engine_state(*c, "running");
		return 0;
	case E_STOP:
		if (call->keep && (*c)->auto_remove)
			return -EPERM;
		engine_state(*c, "exited");
		return 0;
	case E_REMOVE:
		if ((*c)->clone_of[0] == '\0')
			return -EPERM;
		engine_drop(e, call->id);
		return 0;
	default:
		return 0;
	}
}

static inline void engine_answer(struct engine *e, struct engine_call *call)
{
	static const char *const verbs[] = {"list", "look", "clone", "start", "stop", "remove"};
	struct drpc_runtime_container *c = engine_find(e, call->id);
	int err = e->fail[call->verb];

	if (call->verb > E_INSPECT)
		snprintf(e->log + strlen(e->log), sizeof(e->log) - strlen(e->log), "%s %s\n",
			 verbs[call->verb], call->id);
	if (!err && call->verb != E_LIST)
		err = engine_do(e, call, &c);
	if (!err && e->after[call->verb]) {
		err = e->after[call->verb];
		e->after[call->verb] = 0;
	}
	if (!e->fail_for_good)
		e->fail[call->verb] = 0;
	e->did[call->verb] += !err;
	if (call->verb == E_LIST)
		call->list_fn(call->arg, err, err ? "told to fail" : "", e->containers,
			      err ? 0 : e->count);
	else
		call->fn(call->arg, err, err ? "told to fail" : "", err ? NULL : c);
}

static inline void engine_dispatch(struct drpc_runtime *rt)
{
	struct engine *e = engine_of(rt);
	struct engine_call calls[32];
	size_t n = e->pending;
	uint64_t count;

	if (read(e->event_fd, &count, sizeof(count)) < 0)
		cr_assert_eq(errno, EAGAIN);
	memcpy(calls, e->calls, sizeof(calls));
	e->pending = 0;
	for (size_t i = 0; i < n; i++)
		engine_answer(e, &calls[i]);
}

static inline int engine_push(struct drpc_runtime *rt, struct engine_call call, const char *id)
{
	struct engine *e = engine_of(rt);
	uint64_t one = 1;

	if (rt->state != DRPC_RUNTIME_READY)
		return -EHOSTDOWN;
	cr_assert_lt(e->pending, 32);
	drpc_strcpy(call.id, sizeof(call.id), id);
	e->calls[e->pending++] = call;
	if (e->pending > e->at_once_most)
		e->at_once_most = (unsigned int)e->pending;
	cr_assert_eq(write(e->event_fd, &one, sizeof(one)), (ssize_t)sizeof(one));
	return 0;
}

static inline int engine_fd(const struct drpc_runtime *rt)
{
	return ((const struct engine *)(const void *)rt)->event_fd;
}

static inline int engine_list(struct drpc_runtime *rt, drpc_runtime_list_fn fn, void *arg)
{
	return engine_push(rt, (struct engine_call){.verb = E_LIST, .list_fn = fn, .arg = arg}, "");
}

static inline int engine_inspect(struct drpc_runtime *rt, const char *id,
				 drpc_runtime_container_fn fn, void *arg)
{
	return engine_push(rt, (struct engine_call){.verb = E_INSPECT, .fn = fn, .arg = arg}, id);
}

static inline int engine_clone(struct drpc_runtime *rt, const char *id,
			       const struct drpc_clone_spec *spec, drpc_runtime_container_fn fn,
			       void *arg)
{
	return engine_push(
		rt, (struct engine_call){.verb = E_CLONE, .fn = fn, .arg = arg, .spec = *spec}, id);
}

static inline int engine_start(struct drpc_runtime *rt, const char *id,
			       drpc_runtime_container_fn fn, void *arg)
{
	return engine_push(rt, (struct engine_call){.verb = E_START, .fn = fn, .arg = arg}, id);
}

static inline int engine_stop(struct drpc_runtime *rt, const char *id, uint32_t grace_sec,
			      bool keep, drpc_runtime_container_fn fn, void *arg)
{
	(void)grace_sec;
	return engine_push(
		rt, (struct engine_call){.verb = E_STOP, .fn = fn, .arg = arg, .keep = keep}, id);
}

static inline int engine_remove(struct drpc_runtime *rt, const char *id,
				drpc_runtime_container_fn fn, void *arg)
{
	return engine_push(rt, (struct engine_call){.verb = E_REMOVE, .fn = fn, .arg = arg}, id);
}

static inline void engine_free(struct drpc_runtime *rt)
{
	struct engine *e = engine_of(rt);

	for (size_t i = 0; i < e->pending; i++) {
		if (e->calls[i].verb == E_LIST)
			e->calls[i].list_fn(e->calls[i].arg, -ECANCELED, "freed", NULL, 0);
		else
			e->calls[i].fn(e->calls[i].arg, -ECANCELED, "freed", NULL);
	}
	e->pending = 0;
	close(e->event_fd);
}

static inline void engine_open(struct engine *e)
{
	static const struct drpc_runtime_ops ops = {
		.fd = engine_fd,
		.dispatch = engine_dispatch,
		.inspect = engine_inspect,
		.list_all = engine_list,
		.clone = engine_clone,
		.start = engine_start,
		.stop = engine_stop,
		.remove = engine_remove,
		.free = engine_free,
	};

	memset(e, 0, sizeof(*e));
	e->rt = (struct drpc_runtime){.ops = &ops, .state = DRPC_RUNTIME_READY, .kind = "fake"};
	e->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	cr_assert_geq(e->event_fd, 0);
}
