/* SPDX-License-Identifier: Apache-2.0 */
/* User space's side of the histogram scheme in include/drpc/hist.h. */
#pragma once

#include <stdint.h>

#include "include/drpc/hist.h"

/* Upper bound of bucket b in nanoseconds, inclusive; UINT64_MAX for the overflow bucket. */
uint64_t drpc_hist_bound_ns(unsigned int b);

/* The bucket of a value, by the same arithmetic as the BPF programs. */
unsigned int drpc_hist_index(uint64_t value_ns);

/*
 * Quantile q (0..1) in nanoseconds, interpolated geometrically inside its bucket; 0 where the
 * histogram is empty. Values in the overflow bucket count as its lower bound.
 */
double drpc_hist_quantile_ns(const uint32_t hist[DRPC_HIST_BUCKETS], double q);

uint64_t drpc_hist_count(const uint32_t hist[DRPC_HIST_BUCKETS]);

/* Upper bound of the highest bucket that holds anything; 0 where the histogram is empty. */
uint64_t drpc_hist_max_ns(const uint32_t hist[DRPC_HIST_BUCKETS]);
