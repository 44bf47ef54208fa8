/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps the roster true: the first scan, lifecycle events from the kernel, a scan now and then as
 * the safety net (often where there are no events), the engine's names.
 */
#pragma once

#include "agent/agent.h"

struct drpc_watch;

/* Scans once, seeds the sockets that are open already, and registers with the loop. */
int drpc_watch_new(struct drpc_agent *agent, struct drpc_watch **ret);
void drpc_watch_free(struct drpc_watch **watch); /* NULL-safe; nulls */
