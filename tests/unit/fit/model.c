// SPDX-License-Identifier: Apache-2.0
#include "fit/model.h"

#include <errno.h>

#include "lib/log.h"
#include "tests/unit/fit/make.h"

Test(fit_name, is_what_a_file_may_hold)
{
	char name[DRPC_FIT_NAME_MAX + 1], long_name[300];

	drpc_fit_name("shop/web_1", name);
	cr_expect_str_eq(name, "shop/web_1");
	drpc_fit_name("a.b c\n\xc3\xbc:{}", name);
	cr_expect_str_eq(name, "a-b-c------");
	drpc_fit_name("9lives", name);
	cr_expect_str_eq(name, "slives");
	drpc_fit_name("", name);
	cr_expect_str_eq(name, "");
	memset(long_name, 'x', sizeof(long_name));
	long_name[299] = '\0';
	drpc_fit_name(long_name, name);
	cr_expect_eq(strlen(name), DRPC_FIT_NAME_MAX);
}

static struct drpc_sim_app *app;
static struct drpc_recorded recorded;
static struct drpc_fit_data data;
static struct drpc_fit_model model;

/* a calls b twice a request; nothing is throttled. */
static void setup(void)
{
	const struct made_point points[] = {{40, 6, {1, 1}}, {80, 6, {0.9, 1}}};

	drpc_log_set_level(DRPC_LOG_ERROR);
	app = made_app("name: t\nslo-p99: 300ms\n"
		       "cluster: {nodes: [{cpu: 4, memory: 4Gi}]}\n"
		       "defaults: {memory: 64Mi, memory-base: 16Mi}\nservices:\n"
		       "  a: {operations: {x: [cpu: 1ms, call: {to: b.x, times: 2}]}}\n"
		       "  b: {operations: {x: [cpu: 2ms]}}\nrequests: {all: {to: a.x}}\n");
	recorded = made_recording(app, points, 2);
}

static void teardown(void)
{
	drpc_fit_model_release(&model);
	drpc_fit_data_release(&data);
	drpc_recorded_release(&recorded);
	drpc_sim_app_free(&app);
}

TestSuite(fit_model, .init = setup, .fini = teardown);

static int make(double slo_ns)
{
	cr_assert_eq(drpc_fit_data_make(&recorded, "test", &data), 0);
	return drpc_fit_model_make(&data, "test", "test", slo_ns, &model);
}

static char *text(void)
{
	char *out = NULL;
	size_t size;
	FILE *f = open_memstream(&out, &size);

	cr_assert_eq(drpc_fit_model_write(&model, f), 0);
	fclose(f);
	return out;
}

Test(fit_model, graph_and_demand)
{
	struct drpc_sim_app *again = NULL;
	char why[256] = "", *yaml;

	cr_assert_eq(make(0), 0);
	cr_assert_eq(model.n, 2);
	cr_expect_eq(model.order[0], 1, "callees first");
	cr_expect_eq(model.slo_ns, 300e6);
	cr_assert_eq(model.services[0].n_calls, 1);
	cr_expect_eq(model.services[0].calls[0].per_request, 2);
	cr_expect_eq(model.services[1].outside_share, 0);
	cr_expect_float_eq(drpc_fit_demand_ns(&model.services[0]), 1e6, 2e4);
	cr_expect_float_eq(drpc_fit_demand_ns(&model.services[1]), 2e6, 4e4);
	cr_expect_float_eq(model.outside_rps[0], 40, 8);
	cr_expect_eq(model.outside_rps[1], 0);
	yaml = text();
	cr_assert_eq(drpc_sim_app_parse(yaml, strlen(yaml), "x", &again, why, sizeof(why)), 0,
		     "%s\n%s", why, yaml);
	cr_expect_eq(again->n_services, 2);
	cr_expect_float_eq(again->demand_ns[1], 4e6, 1e5, "two calls a request");
	cr_expect_eq(again->services[0].cpu_cores, 0.9, "the limit it had last");
	drpc_sim_app_free(&again);
	free(yaml);
}

/* 6 % of b's requests came on connections whose beginning was not seen; more is from outside. */
Test(fit_model, calls_that_were_not_seen)
{
	for (size_t i = 0; i < recorded.n_edges; i++)
		recorded.edges[i].count = recorded.edges[i].count * 94 / 100;
	cr_assert_eq(make(0), 0);
	cr_expect_eq(model.services[0].calls[0].per_request, 2);
	cr_expect_eq(model.services[1].outside_share, 0);
}

Test(fit_model, calls_from_outside_too)
{
	for (size_t i = 0; i < recorded.n_edges; i++)
		recorded.edges[i].count /= 2;
	cr_assert_eq(make(0), 0);
	cr_expect_eq(model.services[0].calls[0].per_request, 1);
	cr_expect_float_eq(model.services[1].outside_share, 0.5, 0.02);
}

Test(fit_model, a_circle_loses_its_rarer_call)
{
	const size_t n = recorded.n_edges;

	recorded.edges = realloc(recorded.edges, 2 * n * sizeof(*recorded.edges));
	/* Each back again, in the order of time. */
	for (size_t i = n; i-- > 0;) {
		struct drpc_recording_edge back = recorded.edges[i];

		recorded.edges[2 * i] = recorded.edges[i];
		back.caller = 1;
		back.callee = 0;
		back.count = 3;
		recorded.edges[2 * i + 1] = back;
	}
	recorded.n_edges = 2 * n;
	cr_assert_eq(make(0), 0);
	cr_expect_eq(model.cut_edges, 1);
	cr_expect_eq(model.services[0].n_calls, 1);
	cr_expect_eq(model.services[1].n_calls, 0);
}

Test(fit_model, names_that_become_the_same)
{
	free(recorded.containers[0].deployment);
	free(recorded.containers[1].deployment);
	recorded.containers[0].deployment = strdup("w.1");
	recorded.containers[1].deployment = strdup("w:1");
	cr_assert_eq(make(0), 0);
	cr_expect_str_eq(model.services[0].name, "w-1");
	cr_expect_str_eq(model.services[1].name, "w-1-2");
}

Test(fit_model, an_objective_is_needed)
{
	recorded.containers[0].slo_ns = 0;
	cr_expect_eq(make(0), -EINVAL, "b has one, but nobody calls it from outside");
	drpc_fit_data_release(&data);
	cr_expect_eq(make(1e8), 0);
	cr_expect_eq(model.slo_ns, 1e8);
}

Test(fit_model, no_request)
{
	for (size_t i = 0; i < recorded.n_samples; i++) {
		recorded.samples[i].requests = 0;
		memset(recorded.samples[i].hist, 0, sizeof(recorded.samples[i].hist));
	}
	cr_expect_eq(make(0), -ENODATA);
}

Test(fit_model, no_limits_at_all)
{
	struct drpc_sim_app *again = NULL;
	char why[256] = "", *yaml;

	for (size_t i = 0; i < recorded.n_samples; i++) {
		recorded.samples[i].cpu_limit_cores = 0;
		recorded.samples[i].limit_bytes = 0;
	}
	cr_assert_eq(make(0), 0);
	yaml = text();
	cr_assert_eq(drpc_sim_app_parse(yaml, strlen(yaml), "x", &again, why, sizeof(why)), 0,
		     "%s\n%s", why, yaml);
	cr_expect_eq(again->services[0].cpu_cores, 0);
	drpc_sim_app_free(&again);
	free(yaml);
}
