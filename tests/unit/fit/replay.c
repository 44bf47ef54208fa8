// SPDX-License-Identifier: Apache-2.0
#include "fit/replay.h"

#include <math.h>

#include "tests/unit/fit/make.h"

static void spread(uint64_t hist[DRPC_HIST_BUCKETS], int from, int to, uint64_t count)
{
	memset(hist, 0, DRPC_HIST_BUCKETS * sizeof(*hist));
	for (int b = from; b < to; b++)
		hist[b] = count;
}

/* A factor of two is eight buckets, and ln 2 apart, however many requests there are. */
Test(fit_replay, distance_is_the_logarithm_of_the_factor)
{
	uint64_t a[DRPC_HIST_BUCKETS], b[DRPC_HIST_BUCKETS];

	spread(a, 60, 100, 10);
	spread(b, 60, 100, 500);
	cr_expect_float_eq(drpc_fit_distance(a, b), 0, 1e-12);
	spread(b, 61, 101, 10);
	cr_expect_float_eq(drpc_fit_distance(a, b), M_LN2 / 8, 0.02 * M_LN2 / 8);
	spread(b, 68, 108, 10);
	cr_expect_float_eq(drpc_fit_distance(a, b), M_LN2, 0.25 * M_LN2);
	cr_expect_float_eq(drpc_fit_distance(a, b), drpc_fit_distance(b, a), 1e-12);
}

Test(fit_replay, tails_count)
{
	uint64_t a[DRPC_HIST_BUCKETS], middle[DRPC_HIST_BUCKETS], tail[DRPC_HIST_BUCKETS];

	spread(a, 60, 100, 100);
	spread(middle, 60, 100, 100);
	spread(tail, 60, 100, 100);
	/* The same number of requests as far off. */
	middle[80] -= 40;
	middle[88] += 40;
	tail[99] -= 40;
	tail[107] += 40;
	cr_expect_gt(drpc_fit_distance(a, tail), 1.5 * drpc_fit_distance(a, middle));
}

Test(fit_replay, nothing_is_not_apart)
{
	uint64_t a[DRPC_HIST_BUCKETS], none[DRPC_HIST_BUCKETS] = {0};

	spread(a, 60, 100, 10);
	cr_expect_eq(drpc_fit_distance(a, none), 0);
	cr_expect_eq(drpc_fit_distance(none, none), 0);
}

static struct drpc_sim_app *app;
static struct drpc_fit_stat stats[2];
static struct drpc_fit_point point;

static void setup(void)
{
	app = made_app("name: t\nslo-p99: 300ms\n"
		       "cluster: {nodes: [{cpu: 2, memory: 4Gi}]}\nservices:\n"
		       "  s: {cpu: 1, memory: 64Mi, memory-base: 32Mi, memory-per-call: 30Mi,"
		       " operations: {x: [cpu: 10ms]}}\nrequests: {all: {to: s.x}}\n");
	stats[1] = (struct drpc_fit_stat){.replica_s = 20, .cpu_limit_cores = 0.2, .requests = 100};
	point = (struct drpc_fit_point){.seconds = 10, .stats = stats};
}

static void teardown(void)
{
	drpc_sim_app_free(&app);
}

TestSuite(fit_replay_run, .init = setup, .fini = teardown);

/* Two replicas of 0.2 cores serve 20 requests of 10 ms a second; memory, of which there is not enough
 * for a call, is not looked at. */
Test(fit_replay_run, conditions_are_the_points_and_are_put_back)
{
	const struct drpc_fit_replay replay = {.seed = 1, .seeds = 2};
	const uint32_t place[] = {1};
	const double outside[] = {20};
	struct drpc_fit_simulated s;
	struct drpc_fit_figures f;

	cr_assert_eq(drpc_fit_simulate(app, &point, place, outside, &replay, &s), 0);
	f = drpc_fit_simulated_figures(&s);
	cr_expect_float_eq(s.seconds, 20, 0.01);
	cr_expect_float_eq(f.mean_rps, 20, 3);
	cr_expect_float_eq(f.cpu_cores, 0.2, 0.03);
	cr_expect_gt(f.throttled, 0.05);
	cr_expect_eq(app->services[0].replicas, 1);
	cr_expect_eq(app->services[0].cpu_cores, 1);
	cr_expect_eq(app->services[0].memory_bytes, 64.0 * DRPC_MIB);
	cr_expect_eq(app->cpu_overcommit, 1);
}

Test(fit_replay_run, a_load_of_its_own)
{
	const struct drpc_sim_piece pieces[] = {{0.5, 40, 40}, {0.5, 0, 0}, {100, 10, 10}};
	const struct drpc_fit_replay replay = {
		.seed = 1, .seeds = 1, .load = {.pieces = pieces, .n_pieces = 3, .uniform = true}};
	const uint32_t place[] = {1};
	struct drpc_fit_simulated s;

	cr_assert_eq(drpc_fit_simulate(app, &point, place, NULL, &replay, &s), 0);
	cr_expect_float_eq(drpc_fit_simulated_figures(&s).mean_rps, 10, 0.2);
}

Test(fit_replay_run, no_load_is_no_request)
{
	const struct drpc_fit_replay replay = {.seed = 1, .seeds = 1};
	const uint32_t place[] = {1};
	const double outside[] = {0};
	struct drpc_fit_simulated s;

	cr_assert_eq(drpc_fit_simulate(app, &point, place, outside, &replay, &s), 0);
	cr_expect_eq(s.requests, 0);
	cr_expect_eq(drpc_fit_simulated_figures(&s).p99_ms, 0);
}
