/* SPDX-License-Identifier: Apache-2.0 */
/* An agent of plain memory: a roster with measurements, no kernel, no engine. */
#pragma once

#include "agent/agent.h"
#include "agent/api/api.h"

/* Three containers: "shop/web" with two replicas (web-1 with traffic, web-2 idle) and the hostile
 * name `we"ird\` + newline, over a loop and a socket in a folder of its own. */
struct drpc_agent *fixture_agent(void);
void fixture_free(struct drpc_agent **agent);

/* One more container named `name`, in a deployment of its own. */
struct drpc_container *fixture_container(struct drpc_agent *agent, const char *name);

/* `count` requests of `total_ns` each, three quarters of it in the queue, in a window of 200 ms. */
void fixture_traffic(struct drpc_container *container, uint64_t count, uint64_t total_ns);

/* A GET on the unix socket, with the loop running meanwhile; the answer is to be freed. Returns the
 * status, 0 where the connection just ended. */
int fixture_get(struct drpc_agent *agent, const char *path, char **ret_body);

/* Sends bytes as they are (a NUL ends nothing), reads until the end; the answer is to be freed. */
char *fixture_raw(struct drpc_agent *agent, const char *bytes, size_t size, int *ret_status);
