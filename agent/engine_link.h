/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between a container runtime and the roster: finds an engine, keeps its names, labels and grouping
 * in the roster, and is on the loop. The engine may come late, go away and come back.
 */
#pragma once

#include "agent/agent.h"
#include "agent/runtime/runtime.h"

struct drpc_engine_link;

/* Looks for an engine (configuration, then the usual sockets). -ENOENT: there is none. */
int drpc_engine_link_new(struct drpc_agent *agent, struct drpc_engine_link **ret);

/* Frees the runtime too: outstanding calls end with -ECANCELED. NULL-safe; nulls. */
void drpc_engine_link_free(struct drpc_engine_link **link);

/* Borrowed. */
struct drpc_runtime *drpc_engine_link_runtime(struct drpc_engine_link *link);

/* Asks the engine about a container that was just found; the roster hears later. */
void drpc_engine_link_describe(struct drpc_engine_link *link, const char *id);
