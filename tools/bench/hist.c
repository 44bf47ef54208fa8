// SPDX-License-Identifier: Apache-2.0
/*
 * The histogram scheme: what an index and a quantile cost, and the worst error of a quantile
 * against the exact one, over distributions that servers show.
 */
#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/hist.h"
#include "lib/util.h"
#include "tools/bench/bench.h"

#define VALUES	4096
#define SAMPLES 200000
#define ROUNDS	400

static double uniform(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return ((double)(*seed >> 11) + 0.5) / 9007199254740992.0;
}

/* Log-uniform over the whole range: every bucket is equally likely. */
static uint64_t draw_any(uint64_t *seed)
{
	return (uint64_t)exp(log(1e3) + uniform(seed) * log(60e9 / 1e3));
}

static uint64_t draw_exponential(uint64_t *seed)
{
	return (uint64_t)(-2e6 * log(uniform(seed)));
}

static uint64_t draw_lognormal(uint64_t *seed)
{
	double gauss = sqrt(-2 * log(uniform(seed))) * cos(2 * M_PI * uniform(seed));

	return (uint64_t)(5e6 * exp(gauss));
}

static uint64_t draw_bimodal(uint64_t *seed)
{
	return uniform(seed) < 0.9 ? 50000 + (uint64_t)(10000 * uniform(seed))
				   : 8000000 + (uint64_t)(4e6 * uniform(seed));
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static double worst_error(uint64_t (*draw)(uint64_t *), uint64_t *values)
{
	static const double qs[] = {0.5, 0.9, 0.99, 0.999};
	uint32_t hist[DRPC_HIST_BUCKETS] = {0};
	uint64_t seed = 7;
	double worst = 0;

	for (size_t i = 0; i < SAMPLES; i++) {
		values[i] = draw(&seed);
		hist[drpc_hist_index(values[i])]++;
	}
	qsort(values, SAMPLES, sizeof(*values), compare_u64);
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(qs); i++) {
		double exact = (double)values[(size_t)(qs[i] * (SAMPLES - 1))];

		worst = fmax(worst, fabs(drpc_hist_quantile_ns(hist, qs[i]) / exact - 1));
	}
	return worst;
}

int bench_hist(int argc, char **argv, struct bench_report *report)
{
	static const struct argp argp = {.doc = "Cost and accuracy of the histogram scheme."};
	static uint64_t (*const draws[])(uint64_t *) = {draw_any, draw_exponential, draw_lognormal,
							draw_bimodal};
	static uint64_t values[VALUES];
	static double rounds[ROUNDS];
	_cleanup_free_ uint64_t *samples = malloc(SAMPLES * sizeof(uint64_t));
	uint32_t hist[DRPC_HIST_BUCKETS] = {0};
	uint64_t seed = 3;
	double worst = 0;

	if (argp_parse(&argp, argc, argv, 0, NULL, NULL) != 0)
		return -EINVAL;
	if (!samples)
		return -ENOMEM;
	for (size_t i = 0; i < VALUES; i++)
		values[i] = draw_any(&seed);
	for (size_t r = 0; r < ROUNDS; r++) {
		uint64_t start = drpc_now_ns();

		for (size_t i = 0; i < VALUES; i++)
			hist[drpc_hist_index(values[i])]++;
		rounds[r] = (double)(drpc_now_ns() - start) / VALUES;
	}
	bench_add(report, "ns", bench_median(rounds, ROUNDS), "hist_index_ns");

	for (size_t r = 0; r < ROUNDS; r++) {
		uint64_t start = drpc_now_ns();
		volatile double q = 0;

		for (size_t i = 0; i < 100; i++)
			q += drpc_hist_quantile_ns(hist, 0.99);
		(void)q;
		rounds[r] = (double)(drpc_now_ns() - start) / 100;
	}
	bench_add(report, "ns", bench_median(rounds, ROUNDS), "hist_quantile_ns");

	for (size_t d = 0; d < DRPC_ARRAY_SIZE(draws); d++)
		worst = fmax(worst, worst_error(draws[d], samples));
	bench_add(report, "ratio", worst, "hist_quantile_worst_error_ratio");
	bench_add(report, "bytes", sizeof(hist), "hist_bytes");
	return 0;
}
