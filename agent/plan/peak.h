/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The most that was seen in the last seconds. A service uses its CPU in bursts: the mean of a second
 * says little about what it needs to answer in time, its busiest window does.
 */
#pragma once

#include <stdint.h>

#define DRPC_PEAK_SEC 10

/* One slot a second. All zero is an empty one. */
struct drpc_peak {
	uint64_t second[DRPC_PEAK_SEC]; /* that the slot is about, from 1 on; 0: none */
	uint64_t most[DRPC_PEAK_SEC];
};

/* Takes a figure of `now_ns` (CLOCK_MONOTONIC). */
void drpc_peak_push(struct drpc_peak *peak, uint64_t now_ns, uint64_t figure);

/* The largest figure of this second and those before it, DRPC_PEAK_SEC in all; 0 without one. */
uint64_t drpc_peak_most(const struct drpc_peak *peak, uint64_t now_ns);
