// SPDX-License-Identifier: Apache-2.0
/* Every request ends exactly once, whatever happens to it on the way. */
#include "tests/unit/sim/make.h"

static void check_nothing_is_left(struct drpc_sim *sim)
{
	const struct drpc_sim_result r = drpc_sim_result(sim);
	uint64_t causes = 0, free_slots = 0;

	cr_assert_eq(r.open, 0);
	cr_assert_eq(r.arrived, r.succeeded + r.failed, "%lu arrived, %lu + %lu ended",
		     (unsigned long)r.arrived, (unsigned long)r.succeeded, (unsigned long)r.failed);
	for (int i = 0; i < DRPC_SIM_FAILURES; i++)
		causes += r.failures[i];
	cr_assert_eq(causes, r.failed);
	for (uint32_t c = sim->free_call; c != SIM_NONE; c = sim->calls[c].next)
		free_slots++;
	cr_assert_eq(free_slots, sim->n_calls, "calls that nobody gave back");
	for (uint32_t i = 0; i < sim->n_replicas; i++) {
		const struct sim_replica *rep = &sim->replicas[i];

		cr_assert(rep->resident == 0 && rep->busy == 0 && rep->n_queued == 0 &&
			  rep->n_jobs == 0 && rep->demand == 0 && rep->active_at == SIM_NONE);
	}
	for (uint32_t t = 0; t < sim->app->n_timeouts; t++)
		cr_assert(sim->timeouts[t].first == SIM_NONE && sim->timeouts[t].last == SIM_NONE);
	for (uint32_t n = 0; n < sim->app->n_nodes; n++)
		cr_assert(sim->nodes[n].demand == 0 && sim->nodes[n].n_active == 0);
}

/* Everything at once: timeouts, retries, failures, short queues, kills, scaling, brownout; with the
 * network and without, where answers come inside of calls. A cycle of services is in it. */
#define STORM(network)                                                                              \
	"name: t\nslo-p99: 50ms\n"                                                                  \
	"cluster: {nodes: [{count: 2, cpu: 2, memory: 3Gi}], restart: 100ms, network: " network     \
	"}\n"                                                                                       \
	"defaults: {max-replicas: 4, min-cpu: 50m, max-cpu: 2, memory: 128Mi, min-memory: 70Mi,\n"  \
	"  max-memory: 512Mi, memory-per-call: 2Mi, startup: 300ms exponential, drain: 200ms,\n"    \
	"  call-timeout: 60ms, call-retries: 2, call-backoff: 5ms, workers: 16, queue: 8,\n"        \
	"  cache: 32Mi, cache-per-call: 64Ki, reclaim-slowdown: 2, warmup: 1s, warmup-factor: 3}\n" \
	"services:\n"                                                                               \
	"  a: {operations: {x: [cpu: 1ms lognormal 1, call: [b.x, c.x], call: d.x, cpu: 500us]}}\n" \
	"  b: {cpu: 500m, operations: {x: [cpu: 2ms exponential, fail: 0.05, call: c.y],\n"         \
	"      y: [cpu: 100us]}}\n"                                                                 \
	"  c: {cpu: 300m, holds-worker: false, balance: least,\n"                                   \
	"      operations: {x: [cpu: 1ms, call: b.y, wait: 1ms exponential, cpu: 1ms],\n"           \
	"                   y: [wait: 10us, fail: 0.01]}}\n"                                        \
	"  d: {optional: true, cpu: 100m, operations: {x: [cpu: 1ms pareto 2.2]}}\n"                \
	"requests: {one: {to: a.x, share: 3, timeout: 150ms, retries: 1},\n"                        \
	"  two: {to: c.x, share: 1, timeout: 20ms, backoff: 1ms, retries: 3}}\n"

static void storm(const char *text, uint64_t seed, struct drpc_sim_result *sum)
{
	struct drpc_sim_app *app = make_app(text);
	const struct drpc_sim_piece piece = {60, 20, 250};
	struct drpc_sim *sim = make_sim(app, &piece, seed);
	struct drpc_sim_result r;
	uint64_t random = seed;

	for (int i = 0; i < 600; i++) {
		const uint32_t s = (uint32_t)(drpc_sim_next(&random) % 4);
		const double u = drpc_sim_uniform(&random);

		switch (drpc_sim_next(&random) % 6) {
		case 0:
			drpc_sim_set_replicas(sim, s, 1 + (uint32_t)(u * 4));
			break;
		case 1:
			drpc_sim_set_cpu_limit(sim, s, 0.1 + u);
			break;
		case 2:
			drpc_sim_set_memory_limit(sim, s, (85 + u * 100) * 1048576.0);
			break;
		case 3:
			drpc_sim_set_brownout(sim, 3, u < 0.5);
			break;
		case 4:
			drpc_sim_inject(sim, s, (enum drpc_sim_anomaly)(u * 4), u, 500000000);
			break;
		default:
			drpc_sim_set_cpu_weight(sim, s, 1 + (uint32_t)(u * 1000));
		}
		run_for(sim, 0.1);
	}
	r = drpc_sim_result(sim);
	sum->succeeded += r.succeeded;
	sum->oom_kills += r.oom_kills;
	for (int i = 0; i < DRPC_SIM_FAILURES; i++)
		sum->failures[i] += r.failures[i];
	run_for(sim, 60);
	check_nothing_is_left(sim);
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
}

static void storms(const char *text)
{
	struct drpc_sim_result sum = {0};

	for (uint64_t seed = 1; seed <= 8; seed++)
		storm(text, seed, &sum);
	/* It is no storm that lacks one of these. */
	cr_assert_gt(sum.succeeded, 5000);
	cr_assert_gt(sum.oom_kills, 10);
	for (int i = 0; i < DRPC_SIM_FAILURES; i++)
		cr_assert_gt(sum.failures[i], 10, "cause %d: %lu", i,
			     (unsigned long)sum.failures[i]);
}

Test(sim_call, every_request_ends_once)
{
	storms(STORM("200us exponential"));
}

Test(sim_call, every_request_ends_once_without_a_network)
{
	storms(STORM("none"));
}

static struct drpc_sim_result run_text(const char *text, double seconds, uint64_t *ret_arrived)
{
	struct drpc_sim_app *app = make_app(text);
	const struct drpc_sim_piece piece = {seconds, 100, 100};
	struct drpc_sim *sim = make_uniform(app, &piece);
	struct drpc_sim_result r;

	run_for(sim, seconds + 30);
	check_nothing_is_left(sim);
	r = drpc_sim_result(sim);
	for (uint32_t i = 0; i < app->n_services; i++)
		ret_arrived[i] = sim->services[i].arrived;
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
	return r;
}

Test(sim_call, retries_are_counted)
{
	uint64_t arrived[2] = {0};
	const struct drpc_sim_result r =
		run_text("name: t\nslo-p99: 1s\n" ONE_NODE "services:\n"
			 "  a: {operations: {x: [call: {to: b.x, retries: 2, backoff: 10ms}]}}\n"
			 "  b: {operations: {x: [wait: 1ms, fail: 100%]}}\n"
			 "requests: {all: {to: a.x, retries: 1}}\n",
			 10, arrived);

	cr_assert_geq(r.arrived, 999, "the last one is due at the very end");
	cr_assert_eq(r.failures[DRPC_SIM_FAILED_ERROR], r.arrived);
	cr_assert_eq(arrived[0], 2 * r.arrived);
	cr_assert_eq(arrived[1], 6 * r.arrived);
}

/* The user has given up, the service works on. */
Test(sim_call, timeouts_leave_the_service_working)
{
	uint64_t arrived[2] = {0};
	const struct drpc_sim_result r =
		run_text("name: t\nslo-p99: 1s\n" ONE_NODE "services:\n"
			 "  a: {operations: {x: [wait: 300ms, call: b.x]}}\n"
			 "  b: {operations: {x: [cpu: 1ms]}}\n"
			 "requests: {all: {to: a.x, timeout: 100ms}}\n",
			 10, arrived);

	cr_assert_geq(r.arrived, 999);
	cr_assert_eq(r.failures[DRPC_SIM_FAILED_TIMEOUT], r.arrived);
	cr_assert_eq(arrived[1], r.arrived);
}

/* A retry after a timeout: three times 20 ms and two pauses of 10 and 20. */
Test(sim_call, backoff_doubles)
{
	struct drpc_sim_app *app = make_app(
		"name: t\nslo-p99: 1s\n" ONE_NODE "services:\n"
		"  a: {operations: {x: [call: {to: b.x, timeout: 20ms, retries: 2, backoff: 10ms,\n"
		"      optional: true}]}}\n"
		"  b: {operations: {x: [wait: 1s]}}\n"
		"requests: {all: {to: a.x}}\n");
	const struct drpc_sim_piece piece = {1, 1, 1};
	struct drpc_sim *sim = make_uniform(app, &piece);

	run_for(sim, 0.5);
	cr_assert_eq(drpc_sim_run(sim, 3000000000), 0);
	cr_assert_eq(sim->total.count, 1, "optional: its failure is not the caller's");
	cr_assert_float_eq(sim->total.sum_ns, 90e6, 10);
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
}

Test(sim_call, a_full_queue_refuses)
{
	uint64_t arrived[1] = {0};
	/* A call a 10 ms, each takes 100 ms: 2 workers and 3 waiting, then 20 of 100 a second. */
	const struct drpc_sim_result r =
		run_text("name: t\nslo-p99: 1s\n" ONE_NODE "services:\n"
			 "  a: {workers: 2, queue: 3, operations: {x: [wait: 100ms]}}\n"
			 "requests: {all: {to: a.x}}\n",
			 10, arrived);

	cr_assert_eq(r.succeeded + r.failures[DRPC_SIM_FAILED_REFUSED], r.arrived);
	cr_assert_float_eq((double)r.succeeded, 203, 3);
	cr_assert(r.max_ms > 200 && r.max_ms <= 300, "three in line before two workers: %g",
		  r.max_ms);
}

/* Without its worker while it waits a single worker serves many. */
Test(sim_call, workers_that_are_not_held_serve_others)
{
	static const char *const held[] = {"true", "false"};

	for (int i = 0; i < 2; i++) {
		char text[600];
		uint64_t arrived[2] = {0};
		struct drpc_sim_result r;

		snprintf(
			text, sizeof(text),
			"name: t\nslo-p99: 1s\n" ONE_NODE "services:\n"
			"  a: {workers: 1, queue: 0, holds-worker: %s, operations: {x: [call: b.x]}}\n"
			"  b: {operations: {x: [wait: 45ms]}}\nrequests: {all: {to: a.x}}\n",
			held[i]);
		r = run_text(text, 10, arrived);
		if (i)
			cr_assert_eq(r.succeeded, r.arrived);
		else
			cr_assert_float_eq((double)r.succeeded, 200, 2);
	}
}

Test(sim_call, probabilities_and_shares)
{
	uint64_t arrived[3] = {0};

	run_text(
		"name: t\nslo-p99: 1s\n" ONE_NODE "services:\n"
		"  a: {operations: {x: [call: {to: b.x, probability: 30%}, call: {to: c.x, times: 3}],\n"
		"      y: [wait: 1ms]}}\n"
		"  b: {operations: {x: [wait: 1ms]}}\n  c: {operations: {x: [wait: 1ms]}}\n"
		"requests: {one: {to: a.x, share: 3}, two: {to: a.y, share: 1}}\n",
		500, arrived);
	assert_within((double)arrived[1], 0.75 * 0.3 * (double)arrived[0], 0.03, "b");
	assert_within((double)arrived[2], 0.75 * 3 * (double)arrived[0], 0.03, "c");
}
