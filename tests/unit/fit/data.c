// SPDX-License-Identifier: Apache-2.0
#include "fit/data.h"

#include <errno.h>

#include "lib/hist.h"
#include "lib/log.h"
#include "tests/unit/fit/make.h"

/* Recordings written by hand: two containers, an interval a second. */
#define TEXT(s) ((char[]){s})

static struct drpc_recording_container containers[] = {
	{TEXT("a"), TEXT("web-1"), TEXT("web"), 0},
	{TEXT("b"), TEXT("web-2"), TEXT("web"), 0},
	{TEXT("c"), TEXT("db-1"), TEXT("db"), 0},
};

struct hand {
	struct drpc_recording_sample samples[600];
	struct drpc_recording_edge edges[300];
	struct drpc_recorded recorded;
};

static void begin(struct hand *h)
{
	memset(h, 0, sizeof(*h));
	h->recorded = (struct drpc_recorded){.node = {2, 1 << 30, 0},
					     .containers = containers,
					     .n_containers = 3,
					     .samples = h->samples,
					     .edges = h->edges};
}

/* One interval that ends at `s`. */
static void second(struct hand *h, int s, uint32_t requests, double web_limit)
{
	for (uint32_t c = 0; c < 3; c++) {
		struct drpc_recording_sample *x = &h->samples[h->recorded.n_samples++];

		*x = (struct drpc_recording_sample){.container = c,
						    .time_ms = s * 1000,
						    .span_s = 1,
						    .requests = requests,
						    .cpu_usec = 1000ULL * requests,
						    .periods = 10,
						    .throttled = 2,
						    .service_ns = 2000000ULL * requests,
						    .cpu_limit_cores = c < 2 ? web_limit : 1};
		x->hist[100] = requests;
	}
	h->edges[h->recorded.n_edges++] = (struct drpc_recording_edge){
		.caller = 0, .callee = 2, .time_ms = s * 1000, .count = requests, .sum_ns = 7};
}

static struct drpc_fit_data make(struct hand *h, size_t points)
{
	struct drpc_fit_data d = {0};

	drpc_log_set_level(DRPC_LOG_ERROR);
	cr_assert_eq(drpc_fit_data_make(&h->recorded, "test", &d), 0);
	cr_expect_eq(d.n_points, points, "%zu points", d.n_points);
	return d;
}

static struct hand h;

Test(fit_data, replicas_are_joined)
{
	struct drpc_fit_data d;
	const struct drpc_fit_stat *db, *web;

	begin(&h);
	for (int s = 1; s <= 10; s++)
		second(&h, s, 50, 0.5);
	d = make(&h, 1);
	cr_assert_eq(d.n_services, 2);
	cr_expect_str_eq(d.names[0], "db");
	cr_expect_str_eq(d.names[1], "web");
	db = &d.points[0].stats[0];
	web = &d.points[0].stats[1];
	cr_expect_eq(d.points[0].seconds, 10);
	cr_expect_eq(db->requests, 500);
	cr_expect_eq(web->requests, 1000);
	cr_expect_eq(web->replica_s, 20);
	cr_expect_float_eq(web->cpu_limit_cores, 0.5, 1e-9);
	cr_expect_float_eq(web->cpu_s, 1.0, 1e-9);
	cr_expect_eq(web->periods, 200);
	cr_expect_eq(web->hist[100], 1000);
	cr_expect_float_eq(web->busy_max, 0.1, 1e-9);
	cr_assert_eq(d.n_edges, 1);
	cr_expect_eq(d.edges[0].caller, 1);
	cr_expect_eq(d.edges[0].callee, 0);
	cr_expect_eq(d.points[0].flows[0].count, 500);
	drpc_fit_data_release(&d);
}

/* Seconds 9 and 10 are in doubt (the agent looks at limits every two), and so is 11, when it was seen. */
Test(fit_data, a_limit_that_changes_begins_another_point)
{
	struct drpc_fit_data d;

	begin(&h);
	for (int s = 1; s <= 20; s++)
		second(&h, s, 50, s <= 10 ? 0.5 : 0.4);
	d = make(&h, 2);
	cr_expect_eq(d.points[0].seconds, 8);
	cr_expect_eq(d.points[1].seconds, 9);
	cr_expect_float_eq(d.points[1].stats[1].cpu_limit_cores, 0.4, 1e-9);
	cr_expect_eq(d.points[1].flows[0].count, 450);
	drpc_fit_data_release(&d);
}

Test(fit_data, another_load_begins_another_point)
{
	struct drpc_fit_data d;

	begin(&h);
	for (int s = 1; s <= 20; s++)
		second(&h, s, s <= 10 ? 50 : 150, 0.5);
	d = make(&h, 2);
	cr_expect_eq(d.points[0].stats[0].requests, 500);
	cr_expect_eq(d.points[1].stats[0].requests, 150 * 9, "the second in between is left out");
	drpc_fit_data_release(&d);
}

Test(fit_data, chance_is_no_other_load)
{
	struct drpc_fit_data d;

	begin(&h);
	for (int s = 1; s <= 20; s++)
		second(&h, s, 50 + (uint32_t)(s * 7919 % 21) - 10, 0.5);
	d = make(&h, 1);
	cr_expect_lt(d.dispersion, 2);
	drpc_fit_data_release(&d);
}

Test(fit_data, gaps_and_long_stretches_are_cut)
{
	struct drpc_fit_data d;

	begin(&h);
	for (int s = 1; s <= 80; s++)
		second(&h, s, 50, 0.5);
	for (int s = 100; s <= 110; s++)
		second(&h, s, 50, 0.5);
	d = make(&h, 3);
	cr_expect_eq(d.points[0].seconds, 60);
	cr_expect_eq(d.points[1].seconds, 20);
	cr_expect_eq(d.points[2].seconds, 11);
	drpc_fit_data_release(&d);
}

Test(fit_data, what_never_stays_is_refused)
{
	struct drpc_fit_data d;

	begin(&h);
	for (int s = 1; s <= 20; s++)
		second(&h, s, 50, 0.1 * (s & ~1));
	drpc_log_set_level(DRPC_LOG_ERROR);
	cr_expect_eq(drpc_fit_data_make(&h.recorded, "test", &d), -ENODATA);
}

Test(fit_data, quantiles_are_those_of_histograms)
{
	uint64_t wide[DRPC_HIST_BUCKETS] = {0};
	uint32_t narrow[DRPC_HIST_BUCKETS] = {0};

	for (size_t b = 80; b < 120; b++) {
		narrow[b] = (uint32_t)(b * 3);
		wide[b] = (uint64_t)narrow[b] << 40; /* more than 32 bits hold */
	}
	cr_expect_float_eq(drpc_fit_quantile_ns(wide, 0.99) / drpc_hist_quantile_ns(narrow, 0.99),
			   1, 1e-6);
	memset(wide, 0, sizeof(wide));
	cr_expect_eq(drpc_fit_quantile_ns(wide, 0.5), 0);
}
