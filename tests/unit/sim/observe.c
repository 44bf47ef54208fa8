// SPDX-License-Identifier: Apache-2.0
/* What a policy is shown: true, of its interval, and as late as it asked for. */
#include "tests/unit/sim/make.h"

#define S 1000000000ULL

static const char text[] =
	"name: t\nslo-p99: 100ms\ncluster: {nodes: [{cpu: 4, memory: 8Gi}], network: 1ms}\n"
	"defaults: {memory-base: 64Mi, memory-per-call: 1Mi}\nservices:\n"
	"  a: {cpu: 1, workers: 1, operations: {x: [cpu: 10ms, call: [b.x, b.x]]}}\n"
	"  b: {cpu: 100m, max-cpu: 1, replicas: 2, operations: {x: [cpu: 2ms]}}\n"
	"requests: {one: {to: a.x}, two: {to: b.x}}\n";

static struct drpc_sim *make(const struct drpc_sim_app *app, const struct drpc_sim_needs *needs)
{
	static const struct drpc_sim_piece pieces[] = {{10, 20, 20}, {10, 40, 40}, {1e9, 20, 20}};
	const struct drpc_sim_config config = {
		.load = {.pieces = pieces, .n_pieces = 3, .uniform = true},
		.seed = 1,
		.needs = *needs};
	struct drpc_sim *sim = NULL;

	cr_assert_eq(drpc_sim_new(app, &config, &sim), 0);
	return sim;
}

Test(sim_observe, an_interval_shows_what_was_in_it)
{
	const struct drpc_sim_needs needs = {.period_ns = 5 * S, .period_samples = 20};
	struct drpc_sim_app *app = make_app(text);
	struct drpc_sim *sim = make(app, &needs);
	const struct drpc_sim_obs *o = NULL;
	uint64_t hist = 0, ended = 0;
	double samples = 0.0;

	for (int i = 1; i <= 2; i++) {
		cr_assert_eq(drpc_sim_step(sim, 100 * S, &o), 1);
		cr_assert_eq(o->end_ns, (uint64_t)i * 5 * S);
		cr_assert_eq(o->begin_ns, (uint64_t)(i - 1) * 5 * S);
		cr_assert_eq(o->now_ns, o->end_ns);
		cr_assert_float_eq(o->rate_rps, 20.0, 0.3);
		ended += o->ended;
	}
	cr_assert_eq(o->n_services, 2);
	cr_assert_str_eq(o->services[1].name, "b");
	cr_assert_eq(o->services[1].ready, 2);
	/* Half of the requests are of each class: 10 a second at a, 20 + 10 at b. */
	cr_assert_float_eq(o->services[0].rate_rps, 10, 3);
	cr_assert_float_eq(o->services[0].cpu_usage_cores, o->services[0].rate_rps * 0.010, 0.005);
	cr_assert_float_eq(o->services[0].cpu_utilisation, o->services[0].cpu_usage_cores, 1e-9);
	cr_assert_float_eq(o->services[1].cpu_utilisation, o->services[1].cpu_usage_cores / 0.2,
			   1e-9);
	cr_assert_float_eq(o->services[1].replica_seconds, 10.0, 1e-6);
	cr_assert_eq(o->services[1].n_samples, 20);
	for (size_t i = 0; i < 20; i++)
		samples += o->services[1].samples[i].usage_cores / 20;
	cr_assert_float_eq(samples, o->services[1].cpu_usage_cores, 0.03);
	for (int b = 0; b < DRPC_HIST_BUCKETS; b++)
		hist += o->services[0].hist[b];
	cr_assert_eq(hist, o->services[0].requests);
	cr_assert_eq(o->classes[0].requests + o->classes[1].requests, o->ended);
	cr_assert_eq(ended, drpc_sim_result(sim).succeeded);
	cr_assert_float_eq(o->nodes[0].cpu_usage_cores,
			   o->services[0].cpu_usage_cores + o->services[1].cpu_usage_cores, 1e-6);
	cr_assert_float_eq(o->nodes[0].cpu_allocated_cores, 1.2, 1e-9);
	/* a: 10 ms of work, then 2 ways of 1 ms and 2 ms of work at b, more where it is throttled. */
	cr_assert_geq(o->services[0].mean_ns, 14e6);
	cr_assert_geq(o->services[0].p99_ns, o->services[0].p50_ns);
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
}

/* Of the interval that ended 7 s ago; the rate doubles after 10 s. */
Test(sim_observe, metrics_lag)
{
	const struct drpc_sim_needs needs = {.period_ns = 2 * S, .lag_ns = 7 * S};
	struct drpc_sim_app *app = make_app(text);
	struct drpc_sim *sim = make(app, &needs);
	const struct drpc_sim_obs *o = NULL;

	for (uint64_t i = 1; i <= 10; i++) {
		cr_assert_eq(drpc_sim_step(sim, 100 * S, &o), 1);
		cr_assert_eq(o->now_ns, (2 * i + 7) * S);
		cr_assert_eq(drpc_sim_now_ns(sim), o->now_ns);
		cr_assert_eq(o->end_ns, 2 * i * S);
		cr_assert_float_eq(o->rate_rps, o->end_ns <= 10 * S ? 20 : 40, 1);
	}
	cr_assert_eq(drpc_sim_step(sim, 28 * S, &o), 0);
	cr_assert_eq(drpc_sim_now_ns(sim), 28 * S);
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
}

Test(sim_observe, needs_that_cannot_be_met_are_refused)
{
	const struct drpc_sim_piece piece = {10, 1, 1};
	struct drpc_sim_app *app = make_app(text);
	struct drpc_sim *sim = make_sim(app, &piece, 1);

	cr_assert_eq(drpc_sim_set_needs(sim, &(struct drpc_sim_needs){.period_ns = S / 8}),
		     -EINVAL);
	cr_assert_eq(drpc_sim_set_needs(sim, &(struct drpc_sim_needs){.period_ns = S,
								      .lag_ns = S,
								      .span_every = 1}),
		     -EINVAL);
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
}

/* Spans form trees in time: a child inside of its parent, the root as long as the request took. */
Test(sim_observe, spans_tell_the_path)
{
	const struct drpc_sim_needs needs = {.period_ns = 5 * S, .span_every = 2};
	struct drpc_sim_app *app = make_app(text);
	struct drpc_sim *sim = make(app, &needs);
	const struct drpc_sim_obs *o = NULL;
	size_t roots = 0, children = 0;

	cr_assert_eq(drpc_sim_step(sim, 100 * S, &o), 1);
	for (size_t i = 0; i < o->n_spans; i++) {
		const struct drpc_sim_span *s = &o->spans[i], *p;

		cr_assert(s->ok && s->end_ns > s->start_ns && s->request % 2 == 0);
		if (s->parent == DRPC_SIM_NO_PARENT) {
			roots++;
			cr_assert_eq(s->service, s->class_);
			continue;
		}
		p = &o->spans[s->parent];
		cr_assert_lt(s->parent, i);
		cr_assert(p->request == s->request && p->service == 0 && s->service == 1);
		cr_assert(p->start_ns <= s->start_ns && s->end_ns <= p->end_ns);
		children++;
	}
	cr_assert_float_eq((double)roots, 50, 2);
	cr_assert_gt(children, 20);
	cr_assert_eq(children % 2, 0);
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
}

Test(sim_observe, fine_quantiles_are_within_a_bucket)
{
	static struct sim_fine fine;

	for (uint64_t ns = 1; ns <= 1000000; ns++)
		sim_fine_add(&fine, ns * 1000);
	cr_assert_eq(fine.count, 1000000);
	assert_within(sim_fine_quantile_ns(&fine, 0.5), 5e8, 0.001, "median");
	assert_within(sim_fine_quantile_ns(&fine, 0.99), 9.9e8, 0.001, "p99");
	assert_within(sim_fine_quantile_ns(&fine, 0.9999), 9.999e8, 0.001, "p99.99");
	cr_assert_eq(sim_fine_quantile_ns(&fine, 1.0), 1e9);
	cr_assert_eq(fine.max_ns, 1e9);
}

/* CPU of the node, memory, cost of a call, the network: each is felt, and ends. */
Test(sim_observe, anomalies_come_and_go)
{
	struct drpc_sim_app *app = make_app(
		"name: t\nslo-p99: 1s\ncluster: {nodes: [{cpu: 2, memory: 8Gi}]}\nservices:\n"
		"  a: {cpu: none, memory: 100Mi, memory-base: 60Mi, startup: 0s,\n"
		"      operations: {x: [cpu: 10ms]}}\n"
		"requests: {one: {to: a.x}}\n");
	const struct drpc_sim_piece piece = {1e9, 10, 10};
	static const struct {
		enum drpc_sim_anomaly kind;
		double intensity, expected_ms;
	} rows[] = {{DRPC_SIM_ANOMALY_CPU, 0.75, 20},
		    {DRPC_SIM_ANOMALY_CACHE, 0.5, 15},
		    {DRPC_SIM_ANOMALY_NETWORK, 0.3, 16}};
	struct drpc_sim *sim = make_uniform(app, &piece);
	double before, now;
	uint64_t count;

	run_for(sim, 0.95);
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(rows); i++) {
		for (int on = 1; on >= 0; on--) {
			if (on)
				cr_assert_eq(
					drpc_sim_inject(sim, 0, rows[i].kind, rows[i].intensity, S),
					0);
			before = sim->total.sum_ns;
			count = sim->total.count;
			run_for(sim, 1);
			now = (sim->total.sum_ns - before) / (double)(sim->total.count - count);
			assert_within(now, (on ? rows[i].expected_ms : 10) * 1e6, 1e-6, "latency");
		}
	}
	cr_assert_eq(drpc_sim_inject(sim, 0, DRPC_SIM_ANOMALY_MEMORY, 0.5, S), 0);
	cr_assert_eq(drpc_sim_result(sim).oom_kills, 1);
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
}
