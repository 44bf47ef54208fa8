// SPDX-License-Identifier: Apache-2.0
/* Start-up, warm-up, draining, memory, placement. */
#include "tests/unit/sim/make.h"

static const struct drpc_sim_piece hundred = {1e9, 100, 100};

#define ONE(more, work)                                                                            \
	"name: t\nslo-p99: 1s\ncluster: {nodes: [{count: 2, cpu: 4, memory: 1Gi}], restart: 1s}\n" \
	"services:\n  s: {cpu: 1, max-replicas: 4, memory: 256Mi, min-memory: 32Mi, "              \
	"max-memory: 800Mi, " more ", operations: {x: [" work "]}}\nrequests: {all: {to: s.x}}\n"

static uint32_t count(const struct drpc_sim *sim, enum sim_replica_state state)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < sim->n_replicas; i++)
		n += sim->replicas[i].state == state;
	return n;
}

Test(sim_replica, a_new_one_serves_after_its_start_up)
{
	struct drpc_sim_app *app = make_app(ONE("startup: 5s", "cpu: 1ms"));
	struct drpc_sim *sim = make_sim(app, &hundred, 1);

	run_for(sim, 1);
	cr_assert_eq(drpc_sim_set_replicas(sim, 0, 3), 0);
	run_for(sim, 4.999);
	cr_assert_eq(count(sim, SIM_REPLICA_READY), 1);
	cr_assert_eq(count(sim, SIM_REPLICA_STARTING), 2);
	run_for(sim, 0.002);
	cr_assert_eq(count(sim, SIM_REPLICA_READY), 3);
	/* Limits count from the start on: 1 core for 1 s, then 3. */
	run_for(sim, 3.999);
	assert_within(drpc_sim_result(sim).cpu_cores_mean, (1 + 9 * 3) / 10.0, 1e-6, "allocated");
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
}

/* Work costs three times as much at first, in the mean twice over the warm-up. */
Test(sim_replica, warm_up_falls_linearly)
{
	struct drpc_sim_app *app =
		make_app(ONE("startup: 1s, warmup: 10s, warmup-factor: 3", "cpu: 1ms"));
	struct drpc_sim *sim = make_uniform(app, &hundred);
	double before;

	run_for(sim, 5);
	assert_within(drpc_sim_cpu_stat(sim, 0).usage_ns, 499e6, 1e-3,
		      "what runs at the start is warm");
	/* A killed replica starts cold: 1 s of restart, 1 s of start-up, then 10 s. */
	cr_assert_eq(drpc_sim_set_memory_limit(sim, 0, 33.0 * 1048576.0), 0);
	cr_assert_eq(drpc_sim_set_memory_limit(sim, 0, 256.0 * 1048576.0), 0);
	run_for(sim, 2.0001);
	cr_assert_eq(count(sim, SIM_REPLICA_READY), 1);
	before = drpc_sim_cpu_stat(sim, 0).usage_ns;
	run_for(sim, 10);
	assert_within(drpc_sim_cpu_stat(sim, 0).usage_ns - before, 1000 * 2e6, 0.01, "warming up");
	before = drpc_sim_cpu_stat(sim, 0).usage_ns;
	run_for(sim, 10);
	assert_within(drpc_sim_cpu_stat(sim, 0).usage_ns - before, 1000 * 1e6, 1e-3, "warm");
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
}

/* Calls in a replica that goes are finished; new ones go elsewhere. */
Test(sim_replica, scale_in_drains)
{
	struct drpc_sim_app *app =
		make_app(ONE("replicas: 2, workers: none, drain: 30s", "wait: 2s"));
	struct drpc_sim *sim = make_uniform(app, &hundred);
	struct drpc_sim_result r;

	run_for(sim, 5);
	cr_assert_eq(drpc_sim_set_replicas(sim, 0, 1), 0);
	cr_assert_eq(count(sim, SIM_REPLICA_DRAINING), 1);
	run_for(sim, 1.9);
	cr_assert_eq(count(sim, SIM_REPLICA_DRAINING), 1);
	run_for(sim, 0.2);
	cr_assert_eq(count(sim, SIM_REPLICA_DRAINING), 0);
	cr_assert_eq(count(sim, SIM_REPLICA_READY), 1);
	r = drpc_sim_result(sim);
	cr_assert_eq(r.failed, 0);
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
}

Test(sim_replica, a_drain_that_takes_too_long_is_cut)
{
	struct drpc_sim_app *app =
		make_app(ONE("replicas: 2, workers: none, drain: 1s", "wait: 3s"));
	struct drpc_sim *sim = make_uniform(app, &hundred);
	struct drpc_sim_result r;

	run_for(sim, 5.005);
	cr_assert_eq(drpc_sim_set_replicas(sim, 0, 1), 0);
	run_for(sim, 1.001);
	cr_assert_eq(count(sim, SIM_REPLICA_DRAINING), 0);
	r = drpc_sim_result(sim);
	/* 150 calls were in it, those of the last second had not begun their last one. */
	cr_assert_eq(r.failures[DRPC_SIM_FAILED_KILLED], 100);
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
}

/* 64 MiB and 10 for each call: 4 fit in 104, the fifth kills them all. */
Test(sim_replica, too_many_calls_are_an_oom_kill)
{
	struct drpc_sim_app *app = make_app(
		ONE("memory-base: 64Mi, memory-per-call: 10Mi, startup: 2s", "wait: 45ms"));
	const struct drpc_sim_piece piece = {0.065, 100, 100};
	struct drpc_sim *sim = make_uniform(app, &piece);
	struct drpc_sim_result r;

	cr_assert_eq(drpc_sim_set_memory_limit(sim, 0, 104.0 * 1048576.0), 0);
	run_for(sim, 0.045);
	cr_assert_eq(sim->replicas[0].holding, 4);
	run_for(sim, 0.0051);
	r = drpc_sim_result(sim);
	cr_assert_eq(r.oom_kills, 1);
	cr_assert_eq(r.failures[DRPC_SIM_FAILED_KILLED], 5);
	run_for(sim, 0.95);
	r = drpc_sim_result(sim);
	cr_assert_eq(r.failures[DRPC_SIM_FAILED_REFUSED], 1, "nobody serves meanwhile");
	cr_assert_eq(count(sim, SIM_REPLICA_KILLED), 1);
	run_for(sim, 0.06);
	cr_assert_eq(count(sim, SIM_REPLICA_STARTING), 1);
	run_for(sim, 2.0);
	cr_assert_eq(count(sim, SIM_REPLICA_READY), 1);
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
}

/* The same room for 4, but 3 workers: those in line wait in the socket. */
Test(sim_replica, calls_in_line_take_no_memory)
{
	struct drpc_sim_app *app = make_app(
		ONE("memory-base: 64Mi, memory-per-call: 10Mi, workers: 3, queue: 50", "wait: 1s"));
	struct drpc_sim *sim = make_uniform(app, &hundred);
	struct drpc_sim_result r;

	cr_assert_eq(drpc_sim_set_memory_limit(sim, 0, 104.0 * 1048576.0), 0);
	run_for(sim, 0.3);
	r = drpc_sim_result(sim);
	cr_assert_eq(r.oom_kills, 0);
	cr_assert_eq(sim->replicas[0].holding, 3);
	cr_assert_gt(sim->replicas[0].resident, 20);
	assert_within(sim_replica_memory_bytes(sim, &sim->replicas[0]), 94 * 1048576.0, 1e-9,
		      "base and three calls");
	/* Less than these three need: a kill. */
	cr_assert_eq(drpc_sim_set_memory_limit(sim, 0, 90.0 * 1048576.0), 0);
	cr_assert_eq(drpc_sim_result(sim).oom_kills, 1);
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
}

/* A crash loop: 1, 2, 4 s and so on between the restarts. */
Test(sim_replica, restarts_back_off)
{
	struct drpc_sim_app *app = make_app(ONE("memory-base: 64Mi, startup: 0s", "wait: 1ms"));
	struct drpc_sim *sim = make_sim(app, &hundred, 1);

	cr_assert_eq(drpc_sim_set_memory_limit(sim, 0, 40.0 * 1048576.0), 0);
	run_for(sim, 0.5);
	cr_assert_eq(drpc_sim_result(sim).oom_kills, 1);
	run_for(sim, 15);
	cr_assert_eq(drpc_sim_result(sim).oom_kills, 5, "at 0, 1, 3, 7, 15");
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
}

/* Killed twice, then well for twice the longest wait: the next restart is as quick as the first. */
Test(sim_replica, restarts_are_forgiven)
{
	struct drpc_sim_app *app = make_app(
		"name: t\nslo-p99: 1s\n"
		"cluster: {nodes: [{cpu: 4, memory: 1Gi}], restart: 1s, restart-max: 4s}\n"
		"services: {s: {memory: 128Mi, min-memory: 32Mi, memory-base: 64Mi, startup: 0s, "
		"operations: {x: [wait: 1ms]}}}\nrequests: {all: {to: s.x}}\n");
	struct drpc_sim *sim = make_sim(app, &hundred, 1);

	cr_assert_eq(drpc_sim_set_memory_limit(sim, 0, 40.0 * 1048576.0), 0);
	run_for(sim, 1.5); /* killed at 0 and 1 */
	cr_assert_eq(sim->replicas[0].restarts, 2);
	cr_assert_eq(drpc_sim_set_memory_limit(sim, 0, 128.0 * 1048576.0), 0);
	run_for(sim, 9); /* up since 3 */
	cr_assert_eq(drpc_sim_set_memory_limit(sim, 0, 40.0 * 1048576.0), 0);
	cr_assert_eq(sim->replicas[0].restarts, 3);
	cr_assert_eq(drpc_sim_set_memory_limit(sim, 0, 128.0 * 1048576.0), 0);
	run_for(sim, 4 + 7.9);
	cr_assert_eq(count(sim, SIM_REPLICA_READY), 1);
	run_for(sim, 0.2);
	cr_assert_eq(drpc_sim_set_memory_limit(sim, 0, 40.0 * 1048576.0), 0);
	cr_assert_eq(sim->replicas[0].restarts, 1);
	run_for(sim, 0.9);
	cr_assert_eq(count(sim, SIM_REPLICA_KILLED), 1);
	cr_assert_eq(drpc_sim_set_memory_limit(sim, 0, 128.0 * 1048576.0), 0);
	run_for(sim, 0.2);
	cr_assert_eq(count(sim, SIM_REPLICA_READY), 1);
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
}

/* Half of the cache is missing: work costs 1 + 4 / 2 as much. */
Test(sim_replica, a_missing_cache_makes_work_slower)
{
	struct drpc_sim_app *app = make_app(
		ONE("memory-base: 64Mi, memory-per-call: 0, cache: 100Mi, cache-per-call: 1Mi, "
		    "reclaim-slowdown: 4",
		    "cpu: 1ms"));
	struct drpc_sim *sim = make_uniform(app, &hundred);
	double before;

	run_for(sim, 5);
	assert_within(sim_replica_memory_bytes(sim, &sim->replicas[0]), 164 * 1048576.0, 1e-9,
		      "working set");
	before = drpc_sim_cpu_stat(sim, 0).usage_ns;
	run_for(sim, 1);
	assert_within(drpc_sim_cpu_stat(sim, 0).usage_ns - before, 100e6, 1e-6, "with it");
	cr_assert_eq(drpc_sim_set_memory_limit(sim, 0, 114.0 * 1048576.0), 0);
	run_for(sim, 1);
	assert_within(sim_replica_memory_bytes(sim, &sim->replicas[0]), 114 * 1048576.0, 1e-9,
		      "the limit");
	before = drpc_sim_cpu_stat(sim, 0).usage_ns;
	run_for(sim, 1);
	assert_within(drpc_sim_cpu_stat(sim, 0).usage_ns - before, 300e6, 1e-6, "half of it");
	cr_assert_eq(drpc_sim_result(sim).oom_kills, 0);
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
}

/* 3 nodes' worth of limits do not fit on 2; what has no room waits until somebody leaves. */
Test(sim_replica, what_has_no_room_is_pending)
{
	struct drpc_sim_app *app = make_app(
		"name: t\nslo-p99: 1s\ncluster: {nodes: [{count: 2, cpu: 4, memory: 8Gi}]}\n"
		"defaults: {max-replicas: 4, startup: 1s}\n"
		"services:\n  a: {cpu: 3, operations: {x: [cpu: 1ms]}}\n"
		"  b: {cpu: 3, operations: {x: [cpu: 1ms]}}\nrequests: {all: {to: a.x}}\n");
	struct drpc_sim *sim = make_sim(app, &hundred, 1);

	run_for(sim, 1);
	cr_assert_neq(sim->replicas[0].node, sim->replicas[sim->services[1].first_replica].node,
		      "spread over the nodes");
	cr_assert_eq(drpc_sim_set_replicas(sim, 0, 2), 0);
	cr_assert_eq(count(sim, SIM_REPLICA_PENDING), 1);
	run_for(sim, 5);
	cr_assert_eq(count(sim, SIM_REPLICA_PENDING), 1);
	app->services[1].optional = true;
	cr_assert_eq(drpc_sim_set_brownout(sim, 1, true), 0);
	run_for(sim, 2.5);
	cr_assert_eq(count(sim, SIM_REPLICA_PENDING), 0);
	cr_assert_eq(sim->services[0].n_ready, 2);
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
}

Test(sim_replica, actions_outside_the_bounds_are_refused)
{
	struct drpc_sim_app *app = make_app(ONE("min-cpu: 500m, max-cpu: 2", "cpu: 1ms"));
	struct drpc_sim *sim = make_sim(app, &hundred, 1);

	cr_assert_eq(drpc_sim_set_replicas(sim, 0, 5), -EINVAL);
	cr_assert_eq(drpc_sim_set_replicas(sim, 0, 0), -EINVAL);
	cr_assert_eq(drpc_sim_set_replicas(sim, 1, 1), -ENOENT);
	cr_assert_eq(drpc_sim_set_cpu_limit(sim, 0, 0.4), -EINVAL);
	cr_assert_eq(drpc_sim_set_cpu_limit(sim, 0, NAN), -EINVAL);
	cr_assert_eq(drpc_sim_set_memory_limit(sim, 0, 1e12), -EINVAL);
	cr_assert_eq(drpc_sim_set_memory_limit(sim, 0, NAN), -EINVAL);
	cr_assert_eq(drpc_sim_set_cpu_weight(sim, 0, 0), -EINVAL);
	cr_assert_eq(drpc_sim_set_brownout(sim, 0, true), -EINVAL);
	cr_assert_eq(drpc_sim_inject(sim, 0, DRPC_SIM_ANOMALY_CPU, 1.5, 1), -EINVAL);
	cr_assert_eq(drpc_sim_result(sim).actions, 0);
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
}
