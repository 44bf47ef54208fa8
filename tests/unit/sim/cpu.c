// SPDX-License-Identifier: Apache-2.0
/* Bandwidth control and sharing, against cases worked out by hand from the kernel's rules. */
#include "tests/unit/sim/make.h"

/* One request a second, at whole seconds; periods end at whole tenths. */
static const struct drpc_sim_piece each_second = {1e9, 1, 1};

static struct drpc_sim *begin(const char *text, struct drpc_sim_app **app)
{
	struct drpc_sim *sim;

	*app = make_app(text);
	sim = make_uniform(*app, &each_second);
	for (uint32_t i = 0; i < sim->n_replicas; i++)
		sim->replicas[i].phase_ns = 0;
	return sim;
}

/* Runs until then; one request has ended meanwhile, after so long. */
static void assert_one_took(struct drpc_sim *sim, double until_s, double expected_ms)
{
	const double before = sim->total.sum_ns;
	const uint64_t count = sim->total.count;

	cr_assert_eq(drpc_sim_run(sim, (uint64_t)(until_s * 1e9)), 0);
	cr_assert_eq(sim->total.count, count + 1);
	cr_assert_float_eq((sim->total.sum_ns - before) * 1e-6, expected_ms, 1e-4, "%.4f ms",
			   (sim->total.sum_ns - before) * 1e-6);
}

#define LIMITED(cpu, more, work)                                                               \
	"name: t\nslo-p99: 1s\ncluster: {nodes: [{cpu: 8, memory: 8Gi}]}\nservices:\n"         \
	"  s: {cpu: " cpu ", min-cpu: 10m, max-cpu: 8" more ", operations: {x: [" work "]}}\n" \
	"requests: {all: {to: s.x}}\n"

/* 50 ms of work, 20 ms a period: 1.00-1.02, 1.10-1.12, 1.20-1.21. The timer runs for the periods that
 * end at 1.1, 1.2 (throttled both), 1.3 (work was in it), and 1.4, idle, after which it stops. */
Test(sim_cpu, quota_runs_out_and_is_given_again)
{
	struct drpc_sim_app *app;
	struct drpc_sim *sim = begin(LIMITED("200m", "", "cpu: 50ms"), &app);
	struct drpc_sim_cpu_stat stat;

	assert_one_took(sim, 1.95, 210.0);
	stat = drpc_sim_cpu_stat(sim, 0);
	cr_assert_float_eq(stat.usage_ns, 50e6, 10.0);
	cr_assert_eq(stat.periods, 4);
	cr_assert_eq(stat.throttled, 2);
	assert_one_took(sim, 2.95, 210.0);
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
}

/* The pool begins with a quota. 50 ms: as above, until 1.21, with 10 ms left; at 1.3 30 ms, at 1.4,
 * the timer's last, 40 = quota + burst. At 2.00: 40 ms, then throttled, then 10 from 2.10 on. */
Test(sim_cpu, burst_is_what_two_quotas_of_idle_time_leave)
{
	struct drpc_sim_app *app;
	struct drpc_sim *sim = begin(LIMITED("200m", ", cpu-burst: 20ms", "cpu: 50ms"), &app);

	assert_one_took(sim, 1.95, 210.0);
	assert_one_took(sim, 2.95, 110.0);
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
}

/* Two cores empty the pool in half the time: 15 ms each, of which 10 until 1.01, 5 from 1.1 on. */
Test(sim_cpu, parallel_work_takes_from_one_pool)
{
	struct drpc_sim_app *app;
	struct drpc_sim *sim =
		begin("name: t\nslo-p99: 1s\ncluster: {nodes: [{cpu: 8, memory: 8Gi}]}\nservices:\n"
		      "  f: {cpu: none, operations: {x: [call: [s.x, s.x]]}}\n"
		      "  s: {cpu: 200m, operations: {x: [cpu: 15ms]}}\n"
		      "requests: {all: {to: f.x}}\n",
		      &app);

	assert_one_took(sim, 1.95, 105.0);
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
}

/* A write to cpu.max gives a new quota at once and lets what was throttled run: 20 ms until 1.02,
 * throttled; at 1.05 the limit is 1.2 cores, the other 30 ms end at 1.08. */
Test(sim_cpu, a_higher_limit_ends_throttling)
{
	struct drpc_sim_app *app;
	struct drpc_sim *sim = begin(LIMITED("200m", "", "cpu: 50ms"), &app);

	cr_assert_eq(drpc_sim_run(sim, 1050000000), 0);
	cr_assert(sim->replicas[0].throttled);
	cr_assert_eq(drpc_sim_set_cpu_limit(sim, 0, 1.2), 0);
	assert_one_took(sim, 1.95, 80.0);
	cr_assert_eq(drpc_sim_cpu_stat(sim, 0).throttled, 0, "no period ended throttled");
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
}

/* Always more to do than the limit: the limit is used, and every period is throttled. */
Test(sim_cpu, overload_uses_the_limit_exactly)
{
	struct drpc_sim_app *app =
		make_app(LIMITED("350m", ", queue: none", "cpu: 1ms exponential"));
	const struct drpc_sim_piece piece = {1e9, 500, 500};
	struct drpc_sim *sim = make_sim(app, &piece, 1);
	struct drpc_sim_cpu_stat stat;

	run_for(sim, 60);
	stat = drpc_sim_cpu_stat(sim, 0);
	assert_within(stat.usage_ns, 0.35 * 60e9, 0.002, "usage");
	cr_assert_geq(stat.throttled + 2, stat.periods);
	assert_within((double)stat.periods, 600, 0.01, "periods");
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
}

#define SHARED                                                                       \
	"name: t\nslo-p99: 1s\ncluster: {nodes: [{cpu: 1, memory: 8Gi}]}\n"          \
	"defaults: {cpu: none}\nservices:\n"                                         \
	"  f: {operations: {x: [call: [a.x, b.x]]}}\n"                               \
	"  a: {operations: {x: [cpu: 10ms]}}\n  b: {operations: {x: [cpu: 10ms]}}\n" \
	"requests: {all: {to: f.x}}\n"

Test(sim_cpu, a_full_node_is_shared)
{
	struct drpc_sim_app *app;
	struct drpc_sim *sim = begin(SHARED, &app);

	assert_one_took(sim, 1.95, 20.0);
	/* Each had half of the core: 20 ms. */
	cr_assert_float_eq(sim->services[1].latency_ns, 20e6, 100);
	cr_assert_float_eq(sim->services[2].latency_ns, 20e6, 100);
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
}

/* Weights 100 and 300: b has 3/4 of the core and ends after 13.33 ms; a has had 3.33, and the core for
 * itself for the other 6.67. */
Test(sim_cpu, weights_share_a_full_node)
{
	struct drpc_sim_app *app;
	struct drpc_sim *sim = begin(SHARED, &app);

	cr_assert_eq(drpc_sim_set_cpu_weight(sim, 2, 300), 0);
	assert_one_took(sim, 1.95, 20.0);
	cr_assert_float_eq(sim->services[1].latency_ns, 20e6, 100);
	cr_assert_float_eq(sim->services[2].latency_ns, 40e6 / 3, 100);
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
}

/* A group that needs less than its share leaves the rest to the others: three calls at a, one at b, two
 * cores. b is satisfied with its one; a's three share the other: 30 ms. */
Test(sim_cpu, shares_are_of_groups_and_nobody_gets_more_than_it_can_use)
{
	struct drpc_sim_app *app;
	struct drpc_sim *sim =
		begin("name: t\nslo-p99: 1s\ncluster: {nodes: [{cpu: 2, memory: 8Gi}]}\n"
		      "defaults: {cpu: none}\nservices:\n"
		      "  f: {operations: {x: [call: [{to: a.x, times: 3}, b.x]]}}\n"
		      "  a: {operations: {x: [cpu: 10ms]}}\n  b: {operations: {x: [cpu: 25ms]}}\n"
		      "requests: {all: {to: f.x}}\n",
		      &app);

	/* Until 25 ms: b one core, a the other (8.33 each). Then a has both for its three: the other 1.67
	 * ms each take 2.5. */
	assert_one_took(sim, 1.95, 27.5);
	cr_assert_float_eq(sim->services[2].latency_ns, 25e6, 100);
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
}

/* With a tick of 4 ms 2 ms more are run before the empty pool is noticed, and paid back: 1.000-1.022,
 * 1.100-1.120 (20 - 2, and 2 again), and the last 8 ms of the 50 from 1.200 on. */
Test(sim_cpu, a_tick_notices_late_and_the_debt_is_paid)
{
	struct drpc_sim_app *app;
	struct drpc_sim *sim = begin(
		"name: t\nslo-p99: 1s\n"
		"cluster: {nodes: [{cpu: 8, memory: 8Gi}], cfs-tick: 4ms}\nservices:\n"
		"  s: {cpu: 200m, operations: {x: [cpu: 50ms]}}\nrequests: {all: {to: s.x}}\n",
		&app);

	assert_one_took(sim, 1.95, 208.0);
	/* The pool had 10 ms left, and kept 1 beyond the quota: 23, 18 + 2, and 7. */
	assert_one_took(sim, 2.95, 207.0);
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
}

/* 21 ms of 20 are run before the tick; what comes then, to an idle CPU, waits for the next period:
 * 1.100-1.101. What goes on without a pause is let on to the tick: 1.0215, within the 2 ms. */
Test(sim_cpu, what_wakes_up_without_quota_is_throttled_at_once)
{
	struct drpc_sim_app *app;
	struct drpc_sim *sim =
		begin("name: t\nslo-p99: 1s\n"
		      "cluster: {nodes: [{cpu: 8, memory: 8Gi}], cfs-tick: 4ms}\nservices:\n"
		      "  f: {cpu: none, operations: {x: [call: s.x, call: s.y]}}\n"
		      "  s: {cpu: 200m, operations: {x: [cpu: 21ms], y: [cpu: 1ms]}}\n"
		      "requests: {all: {to: f.x}}\n",
		      &app);

	assert_one_took(sim, 1.95, 101.0);
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
	sim = begin("name: t\nslo-p99: 1s\n"
		    "cluster: {nodes: [{cpu: 8, memory: 8Gi}], cfs-tick: 4ms}\nservices:\n"
		    "  s: {cpu: 200m, operations: {x: [cpu: 21ms, cpu: 500us]}}\n"
		    "requests: {all: {to: s.x}}\n",
		    &app);
	assert_one_took(sim, 1.95, 21.5);
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
}
