// SPDX-License-Identifier: Apache-2.0
/* Queues against theory, within 2 %; the same bits from the same seed. */
#include <stdlib.h>

#include "tests/unit/sim/make.h"

#define SEEDS 4

/* Mean of the mean latencies of some seeds, in ms, after a warm-up. */
static double mean_ms(const struct drpc_sim_app *app, double rps, double seconds)
{
	const struct drpc_sim_piece piece = {1e9, rps, rps};
	double sum = 0.0;

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		const struct drpc_sim_config config = {.load = {.pieces = &piece, .n_pieces = 1},
						       .seed = seed,
						       .warmup_s = seconds / 20};
		struct drpc_sim *sim = NULL;
		struct drpc_sim_result r;

		cr_assert_eq(drpc_sim_new(app, &config, &sim), 0);
		run_for(sim, seconds);
		r = drpc_sim_result(sim);
		cr_assert_eq(r.failed, 0);
		assert_within((double)r.succeeded / r.measured_s, rps, 0.01, "rate");
		sum += r.mean_ms;
		drpc_sim_free(&sim);
	}
	return sum / SEEDS;
}

#define STATION(workers, work)                                                                     \
	"name: t\nslo-p99: 1s\n" ONE_NODE "services:\n"                                            \
	"  s:\n    cpu: none\n    workers: " workers "\n    queue: none\n    memory-per-call: 0\n" \
	"    operations: {x: [" work "]}\n"                                                        \
	"requests: {all: {to: s.x}}\n"

Test(sim_engine, m_m_1, .timeout = 300)
{
	struct drpc_sim_app *app = make_app(STATION("1", "cpu: 1ms exponential"));

	assert_within(mean_ms(app, 700, 500), 1.0 / (1.0 - 0.7), 0.02, "M/M/1");
	drpc_sim_app_free(&app);
}

/* The sojourn time is exponential as well: its quantiles are known. */
Test(sim_engine, m_m_1_quantiles, .timeout = 300)
{
	struct drpc_sim_app *app = make_app(STATION("1", "cpu: 1ms exponential"));
	const struct drpc_sim_piece piece = {1e9, 600, 600};
	struct drpc_sim *sim = make_sim(app, &piece, 5);
	struct drpc_sim_result r;

	run_for(sim, 1500);
	r = drpc_sim_result(sim);
	assert_within(r.p50_ms, 2.5 * log(2), 0.02, "p50");
	assert_within(r.p90_ms, 2.5 * log(10), 0.02, "p90");
	assert_within(r.p99_ms, 2.5 * log(100), 0.02, "p99");
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
}

/* Erlang C for c = 4, a = 3: the chance to wait is 0.50943. */
Test(sim_engine, m_m_c, .timeout = 300)
{
	struct drpc_sim_app *app = make_app(STATION("4", "cpu: 1ms exponential"));
	double sum = 0.0, term = 1.0, wait;

	for (int k = 0; k < 4; k++, term *= 3.0 / k)
		sum += term;
	wait = term / (1.0 - 0.75) / (sum + term / (1.0 - 0.75));
	cr_assert_float_eq(wait, 0.50943, 1e-5);
	assert_within(mean_ms(app, 3000, 150), 1.0 + wait / (4.0 - 3.0), 0.02, "M/M/4");
	drpc_sim_app_free(&app);
}

/* Pollaczek and Khinchine: E[S] + λ E[S²] / (2 (1 - ρ)). */
static void check_m_g_1(const char *text, struct drpc_sim_dist work)
{
	struct drpc_sim_app *app = make_app(text);
	const double rate = 650, per_ns = rate * 1e-9, rho = per_ns * work.mean_ns;
	const double expected =
		work.mean_ns + per_ns * drpc_sim_second_moment(&work) / (2.0 * (1.0 - rho));

	assert_within(mean_ms(app, rate, 600), expected * 1e-6, 0.02, text);
	drpc_sim_app_free(&app);
}

Test(sim_engine, m_d_1, .timeout = 300)
{
	check_m_g_1(STATION("1", "cpu: 1ms"), drpc_sim_constant(1e6));
}

Test(sim_engine, m_g_1_lognormal, .timeout = 300)
{
	check_m_g_1(STATION("1", "cpu: 1ms lognormal 1.2"), drpc_sim_lognormal(1e6, 1.2));
}

Test(sim_engine, m_g_1_uniform, .timeout = 300)
{
	check_m_g_1(STATION("1", "cpu: 200us to 1800us"), drpc_sim_uniform_dist(2e5, 1.8e6));
}

/* Processor sharing does not care for the distribution: E[S] / (1 - ρ). */
Test(sim_engine, m_g_1_processor_sharing, .timeout = 300)
{
	struct drpc_sim_app *app = make_app(
		"name: t\nslo-p99: 1s\ncluster: {nodes: [{cpu: 1, memory: 512Gi}]}\nservices:\n"
		"  s:\n    cpu: none\n    workers: none\n    queue: none\n    memory-per-call: 0\n"
		"    operations: {x: [cpu: 1ms lognormal 1.2]}\n"
		"requests: {all: {to: s.x}}\n");

	assert_within(mean_ms(app, 700, 500), 1.0 / (1.0 - 0.7), 0.02, "M/G/1-PS");
	drpc_sim_app_free(&app);
}

/* Two queues in a row, each as if alone (Burke), and the ways between them. */
Test(sim_engine, tandem, .timeout = 300)
{
	struct drpc_sim_app *app =
		make_app("name: t\nslo-p99: 1s\n"
			 "cluster: {nodes: [{cpu: 64, memory: 512Gi}], network: 100us}\n"
			 "defaults: {cpu: none, workers: 1, queue: none, memory-per-call: 0}\n"
			 "services:\n"
			 "  front: {workers: none, operations: {x: [call: a.x, call: b.x]}}\n"
			 "  a: {operations: {x: [cpu: 1ms exponential]}}\n"
			 "  b: {operations: {x: [cpu: 1250us exponential]}}\n"
			 "requests: {all: {to: front.x}}\n");

	/* Six ways over the network of 0.1 ms. */
	assert_within(mean_ms(app, 500, 500), 1.0 / (1 - 0.5) + 1.25 / (1 - 0.625) + 0.6, 0.02,
		      "tandem");
	drpc_sim_app_free(&app);
}

/* A rate that rises linearly: as many arrivals as its integral, in the right seconds. */
Test(sim_engine, arrivals_follow_the_rate)
{
	struct drpc_sim_app *app = make_app(STATION("none", "wait: 1us"));
	const struct drpc_sim_piece pieces[] = {
		{100, 0, 2000}, {50, 0, 0}, {100, 1000, 1000}, {100, 1000, 0}};
	const struct drpc_sim_config config = {.load = {.pieces = pieces, .n_pieces = 4},
					       .seed = 9};
	const double expected[] = {25000, 100000, 100000, 200000, 250000};
	const double at[] = {50, 100, 150, 250, 400};
	struct drpc_sim *sim = NULL;

	cr_assert_eq(drpc_sim_new(app, &config, &sim), 0);
	for (int i = 0; i < 5; i++) {
		run_for(sim, at[i] - (i ? at[i - 1] : 0.0));
		assert_within((double)drpc_sim_result(sim).arrived, expected[i], 0.02, "arrivals");
	}
	cr_assert_eq(sim->queue.n, 0, "after the last piece nothing is left to happen");
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
}

/* --- the same bits ------------------------------------------------------------------------------ */

static const char shop[] =
	"name: t\nslo-p99: 50ms\n"
	"cluster: {nodes: [{count: 2, cpu: 2, memory: 2Gi}], network: 100us exponential}\n"
	"defaults: {max-replicas: 4, min-cpu: 100m, max-cpu: 2, memory: 128Mi, min-memory: 70Mi,\n"
	"  max-memory: 256Mi, startup: 2s lognormal 0.5, call-timeout: 100ms, call-retries: 1}\n"
	"services:\n"
	"  a:\n    operations: {x: [cpu: 1ms lognormal 1, call: [b.x, c.x], cpu: 500us]}\n"
	"  b: {cpu: 500m, operations: {x: [cpu: 2ms exponential, fail: 0.01]}}\n"
	"  c: {cpu: 300m, workers: 4, operations: {x: [cpu: 1ms, wait: 1ms exponential]}}\n"
	"requests: {one: {to: a.x, share: 3}, two: {to: c.x, share: 1}}\n";

static struct drpc_sim_result random_run(const struct drpc_sim_app *app, uint64_t seed,
					 uint64_t actions)
{
	const struct drpc_sim_piece piece = {1e9, 250, 250};
	const struct drpc_sim_config config = {
		.load = {.pieces = &piece, .n_pieces = 1},
		.seed = seed,
		.needs = {.period_ns = 1000000000, .period_samples = 10, .span_every = 7}};
	const struct drpc_sim_obs *obs;
	struct drpc_sim *sim = NULL;
	struct drpc_sim_result r;

	cr_assert_eq(drpc_sim_new(app, &config, &sim), 0);
	while (drpc_sim_step(sim, 60000000000ULL, &obs) > 0) {
		const uint32_t service = (uint32_t)(drpc_sim_next(&actions) % 3);
		const double u = drpc_sim_uniform(&actions);

		cr_assert_eq(drpc_sim_set_cpu_limit(sim, service, 0.1 + u), 0);
		cr_assert_eq(drpc_sim_set_replicas(sim, service, 1 + (uint32_t)(u * 3)), 0);
		if (drpc_sim_now_ns(sim) == 60000000000ULL)
			break;
	}
	r = drpc_sim_result(sim);
	drpc_sim_free(&sim);
	return r;
}

Test(sim_engine, same_seed_same_bits)
{
	struct drpc_sim_app *app = make_app(shop);
	const struct drpc_sim_result a = random_run(app, 5, 1), b = random_run(app, 5, 1),
				     c = random_run(app, 6, 1), d = random_run(app, 5, 2);

	cr_assert_eq(memcmp(&a, &b, sizeof(a)), 0);
	cr_assert_gt(a.arrived, 14000);
	cr_assert_gt(a.failed, 0);
	cr_assert_neq(a.arrived, c.arrived, "another seed, other arrivals");
	cr_assert_eq(a.arrived, d.arrived, "other actions, the same requests");
	cr_assert_neq(a.events, d.events);
	drpc_sim_app_free(&app);
}

/* What requests want does not depend on what they get: the same CPU time under other limits. */
Test(sim_engine, demand_does_not_depend_on_limits)
{
	struct drpc_sim_app *app = make_app(STATION("8", "cpu: 1ms lognormal 1"));
	const struct drpc_sim_piece piece = {20, 400, 400};
	double used[2];

	for (int i = 0; i < 2; i++) {
		struct drpc_sim *sim;

		app->services[0].cpu_cores = i ? 0.5 : 2.0;
		sim = make_sim(app, &piece, 3);
		run_for(sim, 60);
		used[i] = drpc_sim_cpu_stat(sim, 0).usage_ns;
		cr_assert_eq(drpc_sim_result(sim).open, 0);
		drpc_sim_free(&sim);
	}
	assert_within(used[1], used[0], 1e-5, "CPU time");
	drpc_sim_app_free(&app);
}

Test(sim_engine, overload_without_end_is_refused)
{
	struct drpc_sim_app *app = make_app(STATION("1", "cpu: 1ms"));
	const struct drpc_sim_piece piece = {1e9, 3000, 3000};
	const struct drpc_sim_config config = {
		.load = {.pieces = &piece, .n_pieces = 1}, .seed = 1, .calls_max = 2000};
	struct drpc_sim *sim = NULL;

	cr_assert_eq(drpc_sim_new(app, &config, &sim), 0);
	cr_assert_eq(drpc_sim_run(sim, 60000000000ULL), -ENOBUFS);
	assert_within((double)drpc_sim_now_ns(sim) * 1e-9, 1.0, 0.1, "2000 more than were served");
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
}

Test(sim_engine, loads_that_are_none_are_refused)
{
	struct drpc_sim_app *app = make_app(STATION("1", "cpu: 1ms"));
	const struct drpc_sim_piece bad[] = {{0, 1, 1}, {1, -1, 1}, {1, NAN, 1}, {1, 1, 1e12}};
	struct drpc_sim *sim = NULL;

	for (size_t i = 0; i < 4; i++) {
		const struct drpc_sim_config config = {.load = {.pieces = &bad[i], .n_pieces = 1}};

		cr_assert_eq(drpc_sim_new(app, &config, &sim), -EINVAL);
		cr_assert_null(sim);
	}
	drpc_sim_app_free(&app);
}
