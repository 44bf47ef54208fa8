/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by engine.c (is it there, events), engine_call.c (list, inspect, update, restore) and
 * engine_replica.c (clone, start, stop, remove).
 */
#pragma once

#include <json-c/json.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "agent/runtime/engine.h"
#include "agent/runtime/engine_parse.h"
#include "agent/runtime/worker.h"

struct drpc_engine {
	struct drpc_runtime rt; /* first: a runtime is cast to its engine */
	struct drpc_worker *worker;
	char socket[108];
	char api[16];
	unsigned int cpus;
	bool closing;
	uint32_t backoff_ms;

	struct drpc_request probe; /* always under way: version, then heartbeats */
	struct drpc_engine_version version;
	bool probe_asks_version;

	struct drpc_request stream; /* of events */
	bool streaming;
	struct json_tokener *tokener;  /* the worker's while streaming */
	size_t unfinished;	       /* bytes of the event that is not whole yet; as above */
	atomic_uint events_waiting;    /* posted by the worker, not delivered yet */
	atomic_bool events_overflowed; /* some were not posted: one RESYNC stands for them */
};

static inline struct drpc_engine *drpc_engine_of(struct drpc_runtime *rt)
{
	return (struct drpc_engine *)(void *)rt;
}

/* Whether an error says something about the engine itself, not about what was asked. */
bool drpc_engine_error_is_away(int err);

/* The engine does not answer (any more): changes the state, tries again later. */
void drpc_engine_away(struct drpc_engine *e, const char *why);

/* Whether a call can be made now; `id`, where it is not NULL, can stand in an address. */
int drpc_engine_may_call(const struct drpc_engine *e, const char *id);

int drpc_engine_list(struct drpc_runtime *rt, drpc_runtime_list_fn fn, void *arg);
int drpc_engine_inspect(struct drpc_runtime *rt, const char *id, drpc_runtime_container_fn fn,
			void *arg);
int drpc_engine_update(struct drpc_runtime *rt, const char *id,
		       const struct drpc_runtime_limits *present, const struct drpc_limits *target,
		       uint32_t what, drpc_runtime_container_fn fn, void *arg);
int drpc_engine_restore(struct drpc_runtime *rt, const char *id,
			const struct drpc_runtime_limits *original, uint32_t what,
			drpc_runtime_container_fn fn, void *arg);

int drpc_engine_list_all(struct drpc_runtime *rt, drpc_runtime_list_fn fn, void *arg);
int drpc_engine_clone(struct drpc_runtime *rt, const char *source,
		      const struct drpc_clone_spec *spec, drpc_runtime_container_fn fn, void *arg);
int drpc_engine_start(struct drpc_runtime *rt, const char *id, drpc_runtime_container_fn fn,
		      void *arg);
int drpc_engine_stop(struct drpc_runtime *rt, const char *id, uint32_t grace_sec, bool keep,
		     drpc_runtime_container_fn fn, void *arg);
int drpc_engine_remove(struct drpc_runtime *rt, const char *id, drpc_runtime_container_fn fn,
		       void *arg);
