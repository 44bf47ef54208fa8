/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of Kubernetes' horizontal pod autoscaler on CPU utilisation (autoscaling/v2, default
 * behaviour), as functions of what it is shown. docs/baselines.md
 */
#pragma once

#include <stdint.h>

#define DRPC_HPA_PERIOD_S      15
#define DRPC_HPA_LAG_MS	       27500
#define DRPC_HPA_STABILISE_S   300
#define DRPC_HPA_TOLERANCE     0.1
#define DRPC_HPA_HISTORY       (DRPC_HPA_STABILISE_S / DRPC_HPA_PERIOD_S)
#define DRPC_HPA_KUSCAL_TARGET 0.75

/*
 * What the metric asks for: `current` replicas are asked for now; the metric is of `measured` ones,
 * which used `utilisation` of their limits. Those that are not measured yet count as idle where more
 * are wanted, and as busy where fewer are.
 */
uint32_t drpc_hpa_desired(uint32_t current, uint32_t measured, double utilisation, double target);

/* Recommendations of the last five minutes, newest at (n - 1) modulo the ring. What stands at the
 * start counts as recommended then. */
struct drpc_hpa_history {
	uint32_t desired[DRPC_HPA_HISTORY];
	uint64_t n;
};

void drpc_hpa_start(struct drpc_hpa_history *history, uint32_t replicas);

/* What is done about it: up at most max(2x, +4), down to the largest of the last five minutes. */
uint32_t drpc_hpa_next(struct drpc_hpa_history *history, uint32_t current, uint32_t desired);
