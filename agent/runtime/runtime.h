/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the agent asks of whatever runs the containers: who is there, and set these limits. Behind
 * it today the Docker and Podman engine (engine.h).
 *
 * Every call returns at once; its callback comes later, on the thread that calls
 * drpc_runtime_dispatch(), exactly once per call that returned 0 (with -ECANCELED when the runtime
 * is freed first). Callbacks may make new calls; they may not free the runtime.
 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/container.h"
#include "agent/runtime/clone.h"
#include "agent/runtime/limits.h"

#define DRPC_ADDRESS_MAX 46

enum drpc_runtime_state {
	DRPC_RUNTIME_CONNECTING, /* not yet answered */
	DRPC_RUNTIME_READY,
	DRPC_RUNTIME_AWAY, /* does not answer; `why` says how; it is tried again by itself */
};

struct drpc_runtime_label {
	char *key, *value;
};

/* Of the health check. */
enum drpc_runtime_health {
	DRPC_HEALTH_NONE, /* there is no check; list does not tell */
	DRPC_HEALTH_STARTING,
	DRPC_HEALTH_HEALTHY,
	DRPC_HEALTH_UNHEALTHY,
};

struct drpc_runtime_container {
	char id[DRPC_ID_MAX];
	char name[DRPC_NAME_MAX];
	char image[DRPC_NAME_MAX];
	char project[DRPC_NAME_MAX], service[DRPC_NAME_MAX]; /* of compose; "" */
	uint32_t number;				     /* of compose; 0 */
	char clone_of
		[DRPC_NAME_MAX]; /* the deployment that drpc made it for; "" where it did not */
	char state[16];		 /* "running", "exited", "created", "restarting", "paused", ... */
	int64_t created_sec;	 /* list alone tells */
	enum drpc_runtime_health health;
	bool auto_remove; /* it is removed when it stops; list does not tell */
	bool running;
	int32_t pid;			   /* 0 unknown; list does not tell */
	struct drpc_runtime_limits limits; /* list does not tell */
	struct drpc_runtime_label *labels;
	size_t label_count;
	char (*addresses)[DRPC_ADDRESS_MAX];
	size_t address_count;
};

enum drpc_runtime_event_kind {
	DRPC_RUNTIME_START,
	DRPC_RUNTIME_DIE,
	DRPC_RUNTIME_UPDATE,
	DRPC_RUNTIME_DESTROY,
	DRPC_RUNTIME_RESYNC, /* events may have been missed, or none came yet: list again */
	DRPC_RUNTIME_STATE,  /* runtime->state has changed */
};

struct drpc_runtime_event {
	enum drpc_runtime_event_kind kind;
	char id[DRPC_ID_MAX];	  /* of START .. DESTROY */
	char name[DRPC_NAME_MAX]; /* may be "" */
};

struct drpc_runtime;

/* `why` is a sentence for the user, "" on success; the containers are borrowed for the call. */
typedef void (*drpc_runtime_list_fn)(void *arg, int err, const char *why,
				     const struct drpc_runtime_container *containers, size_t n);
/* `container` is NULL on failure. -ENOENT: the runtime knows no such container. */
typedef void (*drpc_runtime_container_fn)(void *arg, int err, const char *why,
					  const struct drpc_runtime_container *container);
typedef void (*drpc_runtime_event_fn)(void *arg, const struct drpc_runtime_event *event);

struct drpc_runtime_ops {
	int (*fd)(const struct drpc_runtime *rt);
	void (*dispatch)(struct drpc_runtime *rt);
	int (*list)(struct drpc_runtime *rt, drpc_runtime_list_fn fn, void *arg);
	int (*inspect)(struct drpc_runtime *rt, const char *id, drpc_runtime_container_fn fn,
		       void *arg);
	int (*update)(struct drpc_runtime *rt, const char *id,
		      const struct drpc_runtime_limits *present, const struct drpc_limits *target,
		      uint32_t what, drpc_runtime_container_fn fn, void *arg);
	int (*restore)(struct drpc_runtime *rt, const char *id,
		       const struct drpc_runtime_limits *original, uint32_t what,
		       drpc_runtime_container_fn fn, void *arg);
	/* Of the replicas; NULL where the runtime has no such calls. */
	int (*list_all)(struct drpc_runtime *rt, drpc_runtime_list_fn fn, void *arg);
	int (*clone)(struct drpc_runtime *rt, const char *source,
		     const struct drpc_clone_spec *spec, drpc_runtime_container_fn fn, void *arg);
	int (*start)(struct drpc_runtime *rt, const char *id, drpc_runtime_container_fn fn,
		     void *arg);
	int (*stop)(struct drpc_runtime *rt, const char *id, uint32_t grace_sec, bool keep,
		    drpc_runtime_container_fn fn, void *arg);
	int (*remove)(struct drpc_runtime *rt, const char *id, drpc_runtime_container_fn fn,
		      void *arg);
	void (*free)(struct drpc_runtime *rt);
};

/* The fields are the loop thread's; only the implementation writes them. */
struct drpc_runtime {
	const struct drpc_runtime_ops *ops;
	enum drpc_runtime_state state;
	char kind[16];	  /* "docker", "podman"; "" before the first answer */
	char version[64]; /* sanitized */
	char why[192];	  /* AWAY: what is wrong; "" otherwise */
	bool remembers;	  /* an update shows in inspect (and outlives a restart) */
	drpc_runtime_event_fn on_event;
	void *on_event_arg;
};

/* A descriptor that is readable when drpc_runtime_dispatch() has something to do. */
static inline int drpc_runtime_fd(const struct drpc_runtime *rt)
{
	return rt->ops->fd(rt);
}

static inline void drpc_runtime_dispatch(struct drpc_runtime *rt)
{
	rt->ops->dispatch(rt);
}

/* Running containers: identity, labels and addresses. */
static inline int drpc_runtime_list(struct drpc_runtime *rt, drpc_runtime_list_fn fn, void *arg)
{
	return rt->ops->list(rt, fn, arg);
}

static inline int drpc_runtime_inspect(struct drpc_runtime *rt, const char *id,
				       drpc_runtime_container_fn fn, void *arg)
{
	return rt->ops->inspect(rt, id, fn, arg);
}

/*
 * Sets the limits of `what`. `present` is what the last inspect said. Verified by another inspect
 * where the runtime remembers; the callback gets the container as it is after.
 */
static inline int drpc_runtime_update(struct drpc_runtime *rt, const char *id,
				      const struct drpc_runtime_limits *present,
				      const struct drpc_limits *target, uint32_t what,
				      drpc_runtime_container_fn fn, void *arg)
{
	return rt->ops->update(rt, id, present, target, what, fn, arg);
}

/* Puts original limits back, of running and of stopped containers. */
static inline int drpc_runtime_restore(struct drpc_runtime *rt, const char *id,
				       const struct drpc_runtime_limits *original, uint32_t what,
				       drpc_runtime_container_fn fn, void *arg)
{
	return rt->ops->restore(rt, id, original, what, fn, arg);
}

/* Running containers and all others: identity, labels, state, age. */
static inline int drpc_runtime_list_all(struct drpc_runtime *rt, drpc_runtime_list_fn fn, void *arg)
{
	return rt->ops->list_all ? rt->ops->list_all(rt, fn, arg) : -EOPNOTSUPP;
}

/*
 * Makes one more container like `source` and starts it; the callback gets it. -EOPNOTSUPP: it cannot
 * be copied, and why. Where a step fails, what was made is taken away again as far as the runtime
 * answers; what is left of it carries DRPC_CLONE_LABEL.
 */
static inline int drpc_runtime_clone(struct drpc_runtime *rt, const char *source,
				     const struct drpc_clone_spec *spec,
				     drpc_runtime_container_fn fn, void *arg)
{
	return rt->ops->clone ? rt->ops->clone(rt, source, spec, fn, arg) : -EOPNOTSUPP;
}

/* Starts a container that was stopped; one that runs is left alone. */
static inline int drpc_runtime_start(struct drpc_runtime *rt, const char *id,
				     drpc_runtime_container_fn fn, void *arg)
{
	return rt->ops->start ? rt->ops->start(rt, id, fn, arg) : -EOPNOTSUPP;
}

/*
 * Asks a container to end (its stop signal) and ends it after `grace_sec`. With `keep` one that
 * would be removed by that is refused (-EPERM).
 */
static inline int drpc_runtime_stop(struct drpc_runtime *rt, const char *id, uint32_t grace_sec,
				    bool keep, drpc_runtime_container_fn fn, void *arg)
{
	return rt->ops->stop ? rt->ops->stop(rt, id, grace_sec, keep, fn, arg) : -EOPNOTSUPP;
}

/*
 * Removes a clone with its anonymous volumes; a container that drpc did not make is refused
 * (-EPERM). The callback's container is as it was before.
 */
static inline int drpc_runtime_remove(struct drpc_runtime *rt, const char *id,
				      drpc_runtime_container_fn fn, void *arg)
{
	return rt->ops->remove ? rt->ops->remove(rt, id, fn, arg) : -EOPNOTSUPP;
}

/*
 * The deployment that a container belongs to, as the roster has it: label drpc.deployment, compose's
 * "project/service", or the container's own name.
 */
void drpc_runtime_container_deployment(const struct drpc_runtime_container *container,
				       char ret[DRPC_NAME_MAX]);

/* NULL-safe, nulls its argument. Outstanding callbacks come now, with -ECANCELED. */
void drpc_runtime_free(struct drpc_runtime **rt);

/* Waits until `*done` is true, dispatching, at most `timeout_ms`. 0, or -ETIMEDOUT. */
int drpc_runtime_wait(struct drpc_runtime *rt, const bool *done, int timeout_ms);

/* Waits until the runtime is ready, at most `timeout_ms`. 0, -ETIMEDOUT, or -EHOSTDOWN (away). */
int drpc_runtime_wait_ready(struct drpc_runtime *rt, int timeout_ms);

const char *drpc_runtime_state_name(enum drpc_runtime_state state);
