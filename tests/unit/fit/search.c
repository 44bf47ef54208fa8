// SPDX-License-Identifier: Apache-2.0
/* Round trips: an application is simulated and recorded, and must come out of its recording again. */
#include "fit/search.h"

#include <errno.h>
#include <math.h>

#include "lib/log.h"
#include "tests/unit/fit/make.h"

static const struct drpc_fit_effort effort = {.seed = 1, .calls = 12000, .points = 4, .rounds = 2};

static void within(double got, double expected, double most, const char *what)
{
	cr_expect(fabs(got - expected) <= most, "%s: %g, expected %g within %g", what, got,
		  expected, most);
}

struct fitted {
	struct drpc_recorded recorded;
	struct drpc_fit_data data;
	struct drpc_fit_model model;
};

static void fit(struct drpc_sim_app *app, const struct made_point *points, size_t n,
		struct fitted *f)
{
	f->recorded = made_recording(app, points, n);
	cr_assert_eq(drpc_fit_data_make(&f->recorded, "test", &f->data), 0);
	cr_assert_eq(f->data.n_points, n);
	cr_assert_eq(drpc_fit_model_make(&f->data, "test", "test", 0, &f->model), 0);
	cr_assert_eq(drpc_fit_search(&f->model, &effort), 0);
}

static void done(struct fitted *f)
{
	drpc_fit_model_release(&f->model);
	drpc_fit_data_release(&f->data);
	drpc_recorded_release(&f->recorded);
}

#define ONE(more, steps)                                                                         \
	"name: t\nslo-p99: 300ms\n"                                                              \
	"cluster: {nodes: [{cpu: 2, memory: 4Gi}], cfs-tick: 4ms}\nservices:\n"                  \
	"  s: {cpu: 1, memory: 64Mi, memory-base: 16Mi" more ", operations: {x: [" steps "]}}\n" \
	"requests: {all: {to: s.x}}\n"

Test(fit_search, cpu_spread_and_wait_come_back)
{
	const struct made_point points[] = {
		{40, 20, {1}}, {60, 20, {0.4}}, {90, 20, {0.35}}, {75, 20, {0.3}}};
	struct drpc_sim_app *app =
		made_app(ONE(", workers: none", "cpu: 2.5ms lognormal 0.8, wait: 3ms, cpu: 50us"));
	struct drpc_fit_service *s;
	struct fitted f;

	fit(app, points, DRPC_ARRAY_SIZE(points), &f);
	cr_assert_eq(f.model.n, 1);
	s = &f.model.services[0];
	within(drpc_fit_demand_ns(s) * 1e-6, 2.55, 0.05, "CPU ms");
	within(s->cv, 0.8, 0.12, "spread");
	within(s->wait_ns * 1e-6, 3.0, 0.2, "wait ms");
	cr_expect_eq(s->workers, 0, "%u workers", s->workers);
	cr_expect_lt(s->distance, 0.05);
	cr_expect_float_eq(s->memory_base_bytes / 0x1p20, 16, 0.5);
	cr_expect_float_eq(f.model.slo_ns, 300e6, 1);
	done(&f);
	drpc_sim_app_free(&app);
}

/* The third point is more than can be served. */
Test(fit_search, workers_are_those_busy_while_requests_wait)
{
	const struct made_point points[] = {{40, 12, {1}}, {60, 12, {0.4}}, {110, 20, {0.2}}};
	struct drpc_sim_app *app =
		made_app(ONE(", workers: 5, queue: none", "cpu: 2ms lognormal 0.5, wait: 1ms"));
	struct fitted f;

	fit(app, points, DRPC_ARRAY_SIZE(points), &f);
	cr_expect_eq(f.model.services[0].workers, 5, "%u workers", f.model.services[0].workers);
	done(&f);
	drpc_sim_app_free(&app);
}

Test(fit_search, a_chain_comes_back_with_its_calls)
{
	const struct made_point points[] = {
		{40, 15, {1, 1, 1}}, {50, 15, {0.15, 0.25, 0.15}}, {60, 15, {0.14, 0.25, 0.14}}};
	struct drpc_sim_app *app = made_app(
		"name: t\nslo-p99: 300ms\n"
		"cluster: {nodes: [{cpu: 2, memory: 4Gi}], cfs-tick: 4ms}\n"
		"defaults: {cpu: 1, memory: 64Mi, memory-base: 16Mi, workers: none}\nservices:\n"
		"  front: {operations: {x: [cpu: 1ms, call: [back.x, other.x], cpu: 300us]}}\n"
		"  back: {operations: {x: [cpu: 2ms exponential]}}\n"
		"  other: {operations: {x: [cpu: 1ms lognormal 0.3, wait: 4ms]}}\n"
		"requests: {all: {to: front.x}}\n");
	const struct drpc_fit_service *front, *back, *other;
	struct fitted f;

	fit(app, points, DRPC_ARRAY_SIZE(points), &f);
	cr_assert_eq(f.model.n, 3);
	/* By name: back, front, other. */
	back = &f.model.services[0];
	front = &f.model.services[1];
	other = &f.model.services[2];
	cr_expect_str_eq(front->name, "front");
	cr_expect_eq(front->outside_share, 1);
	cr_expect_eq(back->outside_share, 0);
	cr_assert_eq(front->n_calls, 2);
	cr_expect_eq(front->calls[0].per_request, 1);
	cr_expect_eq(front->calls[1].per_request, 1);
	cr_expect(front->parallel, "their times together are longer than their caller's");
	within(drpc_fit_demand_ns(front) * 1e-6, 1.3, 0.03, "front's CPU ms");
	within(drpc_fit_demand_ns(back) * 1e-6, 2.0, 0.15, "back's CPU ms");
	cr_expect(back->exponential || fabs(back->cv - 1) < 0.25, "back's spread: %g", back->cv);
	within(other->wait_ns * 1e-6, 4.0, 0.3, "other's wait ms");
	done(&f);
	drpc_sim_app_free(&app);
}

Test(fit_search, overload_alone_tells_nothing)
{
	const struct made_point points[] = {{200, 10, {0.2}}};
	struct drpc_sim_app *app = made_app(ONE(", queue: none", "cpu: 2ms"));
	struct drpc_recorded recorded = made_recording(app, points, 1);
	struct drpc_fit_data data;
	struct drpc_fit_model model;

	drpc_log_set_level(DRPC_LOG_ERROR);
	cr_assert_eq(drpc_fit_data_make(&recorded, "test", &data), 0);
	cr_assert_eq(drpc_fit_model_make(&data, "test", "test", 0, &model), 0);
	cr_expect_eq(drpc_fit_search(&model, &effort), -ENODATA);
	drpc_fit_model_release(&model);
	drpc_fit_data_release(&data);
	drpc_recorded_release(&recorded);
	drpc_sim_app_free(&app);
}
