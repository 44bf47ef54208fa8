// SPDX-License-Identifier: Apache-2.0
#include "tools/testbed/work.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "lib/util.h"
#include "tools/load/units.h"

/* --- distributions -------------------------------------------------------------------------- */

bool tb_dist_parse(struct tb_dist *dist, const char *text)
{
	double parameter = 0;

	if (!strcmp(text, "fixed")) {
		dist->kind = TB_DIST_FIXED;
	} else if (!strcmp(text, "exp")) {
		dist->kind = TB_DIST_EXP;
	} else if (!strncmp(text, "lognormal:", 10)) {
		if (!drpc_parse_number(text + 10, 0.001, 5, &parameter))
			return false;
		dist->kind = TB_DIST_LOGNORMAL;
	} else if (!strncmp(text, "pareto:", 7)) {
		if (!drpc_parse_number(text + 7, 1.001, 100, &parameter))
			return false;
		dist->kind = TB_DIST_PARETO;
	} else {
		return false;
	}
	dist->parameter = parameter;
	return true;
}

static double normal_cdf(double x)
{
	return 0.5 * erfc(-x / sqrt(2));
}

/*
 * E[min(X, cap)] of the distribution with scale s: the mean of exp, the median of lognormal, the
 * minimum of pareto.
 */
static double capped_mean(const struct tb_dist *dist, double s, double cap)
{
	double p = dist->parameter;

	switch (dist->kind) {
	case TB_DIST_FIXED:
		return fmin(s, cap);
	case TB_DIST_EXP:
		return s * (1 - exp(-cap / s));
	case TB_DIST_LOGNORMAL: {
		double z = log(cap / s) / p;

		return s * exp(p * p / 2) * normal_cdf(z - p) + cap * normal_cdf(-z);
	}
	case TB_DIST_PARETO:
		if (cap <= s)
			return cap;
		return s * p / (p - 1) - s * pow(s / cap, p - 1) / (p - 1);
	}
	return 0;
}

void tb_dist_prepare(struct tb_dist *dist)
{
	double cap = dist->cap * dist->mean_ms, lo = 0, hi = cap;

	dist->scale_ms = dist->mean_ms;
	if (dist->kind == TB_DIST_FIXED || dist->mean_ms <= 0)
		return;
	/* It grows with the scale towards the cap, which is above the mean. */
	while (capped_mean(dist, hi, cap) < dist->mean_ms)
		hi *= 2;
	for (int i = 0; i < 100; i++) {
		double mid = (lo + hi) / 2;

		if (capped_mean(dist, mid, cap) < dist->mean_ms)
			lo = mid;
		else
			hi = mid;
	}
	dist->scale_ms = hi;
}

/* Standard normal (Box-Muller; its second value is not used). */
static double draw_normal(struct drpc_rng *rng)
{
	double r = sqrt(2 * drpc_rng_exp(rng));

	return r * cos(2 * M_PI * drpc_rng_uniform(rng));
}

uint64_t tb_dist_draw_ns(const struct tb_dist *dist, struct drpc_rng *rng)
{
	double ms = dist->scale_ms;

	switch (dist->kind) {
	case TB_DIST_FIXED:
		return (uint64_t)(ms * 1e6);
	case TB_DIST_EXP:
		ms *= drpc_rng_exp(rng);
		break;
	case TB_DIST_LOGNORMAL:
		ms *= exp(dist->parameter * draw_normal(rng));
		break;
	case TB_DIST_PARETO:
		ms *= pow(drpc_rng_uniform(rng), -1 / dist->parameter);
		break;
	}
	return (uint64_t)(fmin(ms, dist->cap * dist->mean_ms) * 1e6);
}

/* --- CPU ------------------------------------------------------------------------------------ */

static uint64_t thread_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * DRPC_NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

void tb_burn(uint64_t cpu_ns)
{
	uint64_t end_ns = thread_cpu_ns() + cpu_ns;
	volatile uint64_t sink = cpu_ns;

	if (!cpu_ns)
		return;
	do {
		uint64_t x = sink;

		/* About two microseconds between looks at the clock, which is a system call. */
		for (int i = 0; i < 500; i++)
			x = drpc_rng_mix(x + DRPC_RNG_STEP);
		sink = x;
	} while (thread_cpu_ns() < end_ns);
}

/* --- memory --------------------------------------------------------------------------------- */

static size_t page_bytes(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

/* Several threads may write to the same page: which one is last does not matter. */
static void touch_page(char *page) /* NOLINT(readability-non-const-parameter): written to */
{
	__atomic_fetch_add(page, 1, __ATOMIC_RELAXED);
}

int tb_memory_init(struct tb_memory *memory, size_t bytes)
{
	char *base;

	*memory = (struct tb_memory){0};
	if (!bytes)
		return 0;
	base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (base == MAP_FAILED)
		return -errno;
	/* Small pages, so that memory is used and reclaimed in the steps it is touched in. */
	madvise(base, bytes, MADV_NOHUGEPAGE);
	for (size_t at = 0; at < bytes; at += page_bytes())
		touch_page(base + at);
	*memory = (struct tb_memory){base, bytes};
	return 0;
}

void tb_memory_release(struct tb_memory *memory)
{
	if (memory->base)
		munmap(memory->base, memory->bytes);
	*memory = (struct tb_memory){0};
}

void tb_memory_touch(const struct tb_memory *memory, size_t bytes, struct drpc_rng *rng)
{
	size_t page = page_bytes(), pages = memory->bytes / page, n = bytes / page, at;

	if (!pages || !n)
		return;
	at = drpc_rng_below(rng, (uint32_t)DRPC_MIN(pages, UINT32_MAX));
	for (n = DRPC_MIN(n, pages); n; n--) {
		touch_page(memory->base + at * page);
		at = at + 1 == pages ? 0 : at + 1;
	}
}
