/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A short-term forecast of the request rate without a model file: Holt's double exponential
 * smoothing (level and trend). It fills the "predicted rate" feature where no trained predictor is
 * loaded, and is what a trained one has to beat.
 */
#pragma once

#include <stdint.h>

struct drpc_holt {
	double level, trend; /* units per second, units per second per second */
	uint64_t last_ns;    /* 0: nothing seen yet */
};

/* Takes the rate that was measured up to `now_ns`. Samples may come at uneven times. */
void drpc_holt_push(struct drpc_holt *holt, uint64_t now_ns, double rate);

/* The rate expected `ahead_ns` after the last sample; never negative. */
double drpc_holt_rate(const struct drpc_holt *holt, uint64_t ahead_ns);
