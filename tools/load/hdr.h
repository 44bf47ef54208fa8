/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A histogram of latencies with a bounded relative error: 128 equal steps in every power of two,
 * so a bucket is at most 1/128 of its lower bound wide and its middle at most 0.4 % off any value
 * in it. Exact below 256 ns; count, sum, minimum and maximum are exact. 37 KiB.
 */
#pragma once

#include <stdint.h>

#define DRPC_HDR_SUB_BITS 7
/* Values of 2^42 ns (73 minutes) and more share the last bucket. */
#define DRPC_HDR_MAX_BITS 42
#define DRPC_HDR_BUCKETS  ((DRPC_HDR_MAX_BITS - DRPC_HDR_SUB_BITS + 1) << DRPC_HDR_SUB_BITS)

struct drpc_hdr {
	uint64_t count;
	uint64_t sum_ns;
	uint64_t min_ns; /* UINT64_MAX where empty */
	uint64_t max_ns;
	uint64_t bucket[DRPC_HDR_BUCKETS];
};

void drpc_hdr_reset(struct drpc_hdr *hdr);

static inline unsigned int drpc_hdr_index(uint64_t value_ns)
{
	unsigned int shift;

	if (value_ns >= 1ULL << DRPC_HDR_MAX_BITS)
		return DRPC_HDR_BUCKETS - 1;
	if (value_ns < 1ULL << DRPC_HDR_SUB_BITS)
		return (unsigned int)value_ns;
	shift = 63 - DRPC_HDR_SUB_BITS - (unsigned int)__builtin_clzll(value_ns);
	return (shift << DRPC_HDR_SUB_BITS) + (unsigned int)(value_ns >> shift);
}

/* The values of a bucket are [lower, lower + width). */
uint64_t drpc_hdr_lower_ns(unsigned int index);
uint64_t drpc_hdr_width_ns(unsigned int index);

static inline void drpc_hdr_record(struct drpc_hdr *hdr, uint64_t value_ns)
{
	hdr->count++;
	hdr->sum_ns += value_ns;
	if (value_ns < hdr->min_ns)
		hdr->min_ns = value_ns;
	if (value_ns > hdr->max_ns)
		hdr->max_ns = value_ns;
	hdr->bucket[drpc_hdr_index(value_ns)]++;
}

void drpc_hdr_merge(struct drpc_hdr *into, const struct drpc_hdr *from);

/*
 * The value of rank ceil(q × count), q in 0..1: the middle of its bucket, held within the exact
 * minimum and maximum. 0 where the histogram is empty.
 */
double drpc_hdr_quantile_ns(const struct drpc_hdr *hdr, double q);

/* 0 where the histogram is empty. */
double drpc_hdr_mean_ns(const struct drpc_hdr *hdr);
