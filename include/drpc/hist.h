/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The histogram scheme, shared by kernel and user space.
 *
 * Prometheus native histogram, schema 3: boundaries at 2^(i/8) seconds, a factor of 1.0905, so a
 * bucket's geometric middle is within 4.4 % of anything in it. Bucket b holds the values v with
 *     bound[b-1] < v <= bound[b],   bound[b] = floor(2^((b - 160) / 8) * 1e9) nanoseconds:
 *     b = 0    everything up to 2^-20 s (954 ns)
 *     b = 208  up to 2^6 s = 64 s
 *     b = 209  everything above
 * Values are whole nanoseconds, so comparing with the floor of a boundary is exact.
 */
#pragma once

#define DRPC_HIST_SCHEMA     3
#define DRPC_HIST_BUCKETS    210
#define DRPC_HIST_OVERFLOW   (DRPC_HIST_BUCKETS - 1)
#define DRPC_HIST_MIN_EXP    (-20) /* bound[0] = 2^DRPC_HIST_MIN_EXP s */
#define DRPC_HIST_PER_OCTAVE 8
