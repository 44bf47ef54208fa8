/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "include/drpc/hist_index.h"
#include "lib/hist.h"
#include "lib/util.h"

uint64_t drpc_hist_bound_ns(unsigned int b)
{
	return b < DRPC_HIST_OVERFLOW ? drpc_hist_bounds[b] : UINT64_MAX;
}

unsigned int drpc_hist_index(uint64_t value_ns)
{
	return drpc_hist_bucket(value_ns);
}

uint64_t drpc_hist_count(const uint32_t hist[DRPC_HIST_BUCKETS])
{
	uint64_t sum = 0;

	for (unsigned int b = 0; b < DRPC_HIST_BUCKETS; b++)
		sum += hist[b];
	return sum;
}

double drpc_hist_quantile_ns(const uint32_t hist[DRPC_HIST_BUCKETS], double q)
{
	uint64_t count = drpc_hist_count(hist);
	double rank, below = 0.0;
	unsigned int b;

	if (!count)
		return 0.0;
	rank = DRPC_CLAMP(q, 0.0, 1.0) * (double)count;
	for (b = 0; b < DRPC_HIST_BUCKETS; b++) {
		if (hist[b] && below + hist[b] >= rank)
			break;
		below += hist[b];
	}
	if (b >= DRPC_HIST_OVERFLOW) /* the last one: its end is not known */
		return (double)drpc_hist_bounds[DRPC_HIST_OVERFLOW - 1];
	/* All buckets span an eighth of an octave; so does the lowest one here, though it has no
	 * lower end: what is faster than a microsecond is not told apart. */
	return (double)drpc_hist_bounds[b] *
	       exp2(((rank - below) / hist[b] - 1.0) / DRPC_HIST_PER_OCTAVE);
}

uint64_t drpc_hist_max_ns(const uint32_t hist[DRPC_HIST_BUCKETS])
{
	for (unsigned int b = DRPC_HIST_BUCKETS; b-- > 0;)
		if (hist[b])
			return drpc_hist_bound_ns(b);
	return 0;
}
