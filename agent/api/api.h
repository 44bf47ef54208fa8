/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's interface: HTTP on a unix socket (mode 0660) and, where configured, on a TCP address.
 * Metrics and JSON are read on both; what changes something is taken on the unix socket alone.
 * docs/api.md lists the endpoints and the bounds.
 *
 * Runs on the agent's loop, no thread of its own. A request that is oversized, slow or malformed
 * gets a 4xx and a closed connection.
 */
#pragma once

#include "agent/agent.h"
#include "agent/container.h"

struct drpc_api;

/* Listens where agent->config says and adds itself to agent->loop. `agent` is borrowed. -EADDRINUSE:
 * another agent answers on the socket. A stale socket file is replaced. */
int drpc_api_new(struct drpc_agent *agent, struct drpc_api **ret);

/* NULL-safe, nulls its argument; removes the socket file unless somebody else has put one there. */
void drpc_api_free(struct drpc_api **api);

/* To be called before a container is freed: what it counted in the series `other` stays there, so
 * that counters never go back. NULL-safe. */
void drpc_api_gone(struct drpc_api *api, struct drpc_container *container);
