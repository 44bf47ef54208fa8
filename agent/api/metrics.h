/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What /metrics says (docs/metrics.md). The number of series is bounded: the first
 * DRPC_METRICS_CONTAINERS containers have their own, all others share the container `other`. A
 * container stays where it was put for as long as it lives, and what it counted in `other` stays
 * there after it, so that no counter goes back.
 */
#pragma once

#include "agent/agent.h"

#define DRPC_METRICS_CONTAINERS 256

struct drpc_metrics;

int drpc_metrics_new(struct drpc_metrics **ret);
void drpc_metrics_free(struct drpc_metrics **metrics); /* NULL-safe; nulls */

/* Lowers the cap; before the first exposition. */
void drpc_metrics_set_cap(struct drpc_metrics *metrics, size_t containers);

/* Counts an answered request for the agent's own metrics. */
void drpc_metrics_count_request(struct drpc_metrics *metrics, unsigned int status);

/* A container is about to be freed. */
void drpc_metrics_gone(struct drpc_metrics *metrics, const struct drpc_container *container);

/* Writes everything in the format that `accept` (may be NULL) asks for; the caller frees *ret.
 * Returns 0 or -ENOMEM. */
int drpc_metrics_expose(struct drpc_metrics *metrics, struct drpc_agent *agent, const char *accept,
			char **ret, size_t *ret_size, const char **ret_type);
