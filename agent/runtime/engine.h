/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Docker Engine API over its unix socket: Docker itself, and Podman through its compatible API.
 * All HTTP and JSON runs on a worker thread (worker.h); an engine that hangs, restarts or talks
 * nonsense turns the runtime to AWAY, and it is tried again after 0.5 s, 1 s, ... at most 30 s.
 */
#pragma once

#include <stddef.h>

#include "agent/runtime/runtime.h"

#define DRPC_ENGINE_CONNECT_MS	   1000
#define DRPC_ENGINE_TOTAL_MS	   5000
#define DRPC_ENGINE_HEARTBEAT_MS   10000
#define DRPC_ENGINE_REPLY_MAX	   (16UL << 20)
#define DRPC_ENGINE_BACKOFF_MIN_MS 500
#define DRPC_ENGINE_BACKOFF_MAX_MS 30000

/*
 * Begins to talk to the engine at `socket` (a path). Returns at once: state, kind and version come
 * with the first DRPC_RUNTIME_STATE event. `on_event` may be NULL (no event stream is kept then).
 */
int drpc_engine_new(const char *socket, drpc_runtime_event_fn on_event, void *arg,
		    struct drpc_runtime **ret);

/*
 * The first socket that exists: `configured` where given ("unix:///path" or "/path"), else
 * $DOCKER_HOST, /run/docker.sock, /var/run/docker.sock, /run/podman/podman.sock. -ENOENT: none.
 */
int drpc_engine_find(const char *configured, char *ret, size_t ret_size);
