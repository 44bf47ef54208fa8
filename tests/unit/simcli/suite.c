// SPDX-License-Identifier: Apache-2.0
#include "tools/sim/suite.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/sim/make.h"

#define APP(classes)                                                                       \
	"name: t\nslo-p99: 1s\n" ONE_NODE "services:\n"                                    \
	"  a:\n    cpu: 1\n    replicas: 2\n    operations: {x: [cpu: 10ms, call: b.y]}\n" \
	"  b:\n    cpu: 500m\n    operations: {y: [cpu: 4ms]}\n"                           \
	"requests: {" classes "}\n"

#define ONE_CLASS "all: {to: a.x}"
#define USERS                                                                                    \
	"query: {to: a.x, share: 60}, buyer: {to: a.x, share: 25}, canceller: {to: a.x, share: " \
	"10}, admin: {to: a.x, share: 5}"

/* a carries 200/s, b 125/s at full use. */
Test(simcli_suite, peak_is_where_the_first_service_is_used_to_60_percent)
{
	struct drpc_sim_app *app = make_app(APP(ONE_CLASS));

	cr_assert_float_eq(sim_peak_rps(app, NULL), 75, 1e-9);
	drpc_sim_app_free(&app);
}

static double top_rate(const struct sim_workload *w)
{
	double top = 0;

	for (size_t i = 0; i < w->n; i++)
		top = fmax(top, fmax(w->pieces[i].from_rps, w->pieces[i].to_rps));
	return top;
}

Test(simcli_suite, training_and_held_out_traces_are_others)
{
	struct drpc_sim_app *app = make_app(APP(USERS));
	struct sim_suite train, held_out;

	cr_assert_eq(sim_suite_make("train", app, &train), 0);
	cr_assert_eq(sim_suite_make("held-out", app, &held_out), 0);
	cr_assert_eq(train.n, 10);
	cr_assert_eq(held_out.n, 5);
	for (size_t i = 0; i < train.n; i++) {
		for (size_t k = 0; k < held_out.n; k++)
			cr_assert_neq(sim_workload_digest(&train.workloads[i], app->n_classes),
				      sim_workload_digest(&held_out.workloads[k], app->n_classes));
	}
	for (size_t k = 0; k < held_out.n; k++) {
		const struct sim_workload *w = &held_out.workloads[k];
		double seconds = 0;

		for (size_t i = 0; i < w->n; i++)
			seconds += w->pieces[i].duration_s;
		cr_assert_float_eq(seconds, w->seconds, 1e-6);
		cr_assert_float_eq(top_rate(w), 75, 0.01);
		cr_assert_eq(w->shares != NULL, strstr(w->name, "drift") != NULL);
	}
	sim_suite_done(&train);
	sim_suite_done(&held_out);
	drpc_sim_app_free(&app);
}

/* A buyer costs four times what a query does: 100 of them a second are as much as 25. */
Test(simcli_suite, where_the_mix_changes_the_rate_follows_what_it_needs)
{
	struct drpc_sim_app *app =
		make_app("name: t\nslo-p99: 1s\n" ONE_NODE
			 "services:\n  a: {cpu: 1, operations: {x: [cpu: 6ms], y: [cpu: 24ms]}}\n"
			 "requests: {query: {to: a.x, share: 60}, buyer: {to: a.y, share: 25}, "
			 "canceller: {to: a.x, share: 10}, admin: {to: a.x, share: 5}}\n");
	const double queries[] = {1, 0, 0, 0}, buyers[] = {0, 1, 0, 0};
	struct sim_suite suite;
	double most = 0;

	cr_assert_eq(sim_peak_rps(app, queries), 100);
	cr_assert_eq(sim_peak_rps(app, buyers), 25);
	cr_assert_eq(sim_suite_make("held-out", app, &suite), 0);
	for (size_t i = 0; i < suite.n; i++) {
		const struct sim_workload *w = &suite.workloads[i];

		for (size_t k = 0; w->shares && k < w->n; k++) {
			const double *s = w->shares + 4 * k;
			const double ms = 6 + 18 * s[1] / (s[0] + s[1] + s[2] + s[3]);

			most = fmax(most, w->pieces[k].from_rps * ms / 1000);
		}
	}
	cr_assert_leq(most, 0.6);
	cr_assert_geq(most, 0.57);
	sim_suite_done(&suite);
	drpc_sim_app_free(&app);
}

/* An application with other classes keeps its own shares. */
Test(simcli_suite, shares_only_for_user_types)
{
	struct drpc_sim_app *app = make_app(APP(ONE_CLASS));
	struct sim_suite suite;

	cr_assert_eq(sim_suite_make("held-out", app, &suite), 0);
	for (size_t i = 0; i < suite.n; i++)
		cr_assert_null(suite.workloads[i].shares);
	sim_suite_done(&suite);
	drpc_sim_app_free(&app);
}

Test(simcli_suite, the_same_each_time_and_cut_to_length)
{
	struct drpc_sim_app *app = make_app(APP(USERS));
	struct sim_suite a, b;

	cr_assert_eq(sim_suite_make("held-out", app, &a), 0);
	cr_assert_eq(sim_suite_make("held-out", app, &b), 0);
	for (size_t i = 0; i < a.n; i++)
		cr_assert_eq(sim_workload_digest(&a.workloads[i], app->n_classes),
			     sim_workload_digest(&b.workloads[i], app->n_classes));
	sim_suite_cut(&b, 200);
	cr_assert_eq(b.workloads[0].seconds, 200);
	cr_assert_eq(b.workloads[0].warmup, 100);
	cr_assert_neq(sim_workload_digest(&a.workloads[0], app->n_classes),
		      sim_workload_digest(&b.workloads[0], app->n_classes));
	sim_suite_done(&a);
	sim_suite_done(&b);
	drpc_sim_app_free(&app);
}

Test(simcli_suite, paper_goes_from_200_to_800_in_a_minute)
{
	struct drpc_sim_app *app = make_app(APP(ONE_CLASS));
	struct sim_suite suite;

	cr_assert_eq(sim_suite_make("paper", app, &suite), 0);
	cr_assert_eq(suite.n, 1);
	cr_assert_eq(suite.workloads[0].pieces[1].duration_s, 60);
	cr_assert_eq(suite.workloads[0].pieces[1].from_rps, 200);
	cr_assert_eq(suite.workloads[0].pieces[1].to_rps, 800);
	sim_suite_done(&suite);
	cr_assert_eq(sim_suite_make("other", app, &suite), -EINVAL);
	drpc_sim_app_free(&app);
}

Test(simcli_suite, a_trace_from_a_file)
{
	char path[64];
	struct sim_suite suite;
	FILE *f;

	snprintf(path, sizeof(path), "/tmp/drpc-test-trace.%d", getpid());
	f = fopen(path, "w");
	cr_assert_not_null(f);
	fputs("10\n20\n30\n", f);
	fclose(f);
	cr_assert_eq(sim_suite_load(path, 2, 1, &suite), 0);
	cr_assert_eq(suite.workloads[0].n, 3);
	cr_assert_eq(suite.workloads[0].pieces[2].from_rps, 60);
	cr_assert_eq(suite.workloads[0].seconds, 3);
	cr_assert_eq(suite.workloads[0].warmup, 1);
	sim_suite_done(&suite);
	cr_assert_eq(sim_suite_load(path, 1, 3, &suite), -EINVAL);
	unlink(path);
}
