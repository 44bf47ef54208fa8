// SPDX-License-Identifier: Apache-2.0
#include "tools/load/hdr.h"

#include <math.h>
#include <string.h>

#include "lib/util.h"

void drpc_hdr_reset(struct drpc_hdr *hdr)
{
	memset(hdr, 0, sizeof(*hdr));
	hdr->min_ns = UINT64_MAX;
}

/* The inverse of drpc_hdr_index(): index = (shift << SUB_BITS) + (value >> shift). */
static unsigned int index_shift(unsigned int index)
{
	unsigned int block = index >> DRPC_HDR_SUB_BITS;

	return block > 1 ? block - 1 : 0;
}

uint64_t drpc_hdr_lower_ns(unsigned int index)
{
	unsigned int shift = index_shift(index);

	return ((uint64_t)index - ((uint64_t)shift << DRPC_HDR_SUB_BITS)) << shift;
}

uint64_t drpc_hdr_width_ns(unsigned int index)
{
	return 1ULL << index_shift(index);
}

void drpc_hdr_merge(struct drpc_hdr *into, const struct drpc_hdr *from)
{
	if (!from->count)
		return;
	into->count += from->count;
	into->sum_ns += from->sum_ns;
	into->min_ns = DRPC_MIN(into->min_ns, from->min_ns);
	into->max_ns = DRPC_MAX(into->max_ns, from->max_ns);
	for (unsigned int i = drpc_hdr_index(from->min_ns); i <= drpc_hdr_index(from->max_ns); i++)
		into->bucket[i] += from->bucket[i];
}

double drpc_hdr_quantile_ns(const struct drpc_hdr *hdr, double q)
{
	uint64_t rank, seen = 0;
	unsigned int i;
	double mid;

	if (!hdr->count)
		return 0;
	/* The small term keeps 0.99 × 100 at rank 99 although 0.99 has no exact binary form. */
	rank = (uint64_t)ceil(q * (double)hdr->count * (1 - 1e-12));
	rank = DRPC_CLAMP(rank, 1, hdr->count);
	for (i = drpc_hdr_index(hdr->min_ns); i < DRPC_HDR_BUCKETS - 1; i++) {
		seen += hdr->bucket[i];
		if (seen >= rank)
			break;
	}
	if (i == DRPC_HDR_BUCKETS - 1)
		return (double)hdr->max_ns;
	mid = (double)drpc_hdr_lower_ns(i) + (double)(drpc_hdr_width_ns(i) - 1) / 2;
	return DRPC_CLAMP(mid, (double)hdr->min_ns, (double)hdr->max_ns);
}

double drpc_hdr_mean_ns(const struct drpc_hdr *hdr)
{
	return hdr->count ? (double)hdr->sum_ns / (double)hdr->count : 0;
}
