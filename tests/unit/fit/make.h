/* SPDX-License-Identifier: Apache-2.0 */
/* Recordings of simulated applications: what went in is known. */
#pragma once

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "fit/recording.h"
#include "lib/util.h"
#include "sim/sim.h"

#define MADE_SERVICES 4
#define MADE_BEGIN_MS 1700000000000

struct made_point {
	double rps, seconds;
	double limits[MADE_SERVICES];
};

static inline struct drpc_sim_app *made_app(const char *text)
{
	struct drpc_sim_app *app = NULL;
	char why[512] = "";

	cr_assert_eq(drpc_sim_app_parse(text, strlen(text), "test.yaml", &app, why, sizeof(why)), 0,
		     "%s", why);
	cr_assert_leq(app->n_services, MADE_SERVICES);
	return app;
}

static inline void made_containers(const struct drpc_sim_app *app, struct drpc_recorded *r)
{
	r->node = (struct drpc_recording_node){app->nodes[0].cpu_cores,
					       (uint64_t)app->nodes[0].memory_bytes, 4000000};
	r->containers = calloc(app->n_services, sizeof(*r->containers));
	r->n_containers = app->n_services;
	for (uint32_t i = 0; i < app->n_services; i++) {
		char id[32];

		snprintf(id, sizeof(id), "id-%u", i);
		r->containers[i].id = strdup(id);
		r->containers[i].name = strdup(app->services[i].name);
		r->containers[i].deployment = strdup(app->services[i].name);
		r->containers[i].slo_ns = 300e6;
	}
}

static inline void made_sample(const struct drpc_sim_service_obs *o, uint32_t container,
			       int64_t time_ms, double span_s, struct drpc_recording_sample *s)
{
	*s = (struct drpc_recording_sample){
		.container = container,
		.time_ms = time_ms,
		.span_s = span_s,
		.in_flight = o->concurrency,
		.cpu_usec = (uint64_t)(o->cpu_usage_cores * span_s * 1e6),
		.periods = o->periods,
		.throttled = o->throttled_periods,
		.cpu_limit_cores = o->cpu_limit_cores,
		.memory_bytes = (uint64_t)o->memory_bytes,
		.working_set_bytes = (uint64_t)o->memory_bytes,
		.limit_bytes = (uint64_t)o->memory_limit_bytes,
	};
	memcpy(s->hist, o->hist, sizeof(s->hist));
	for (size_t b = 0; b < DRPC_HIST_BUCKETS; b++)
		s->requests += s->hist[b];
	s->seen = s->requests;
	s->total_ns = (uint64_t)(o->mean_ns * (double)s->requests);
	s->queue_ns = (uint64_t)((double)s->total_ns * o->queue_share);
	s->service_ns = s->total_ns - s->queue_ns;
}

static inline void made_interval(const struct drpc_sim_app *app, const struct drpc_sim_obs *obs,
				 int64_t begin_ms, struct drpc_recorded *r)
{
	const double span_s = (double)(obs->end_ns - obs->begin_ns) * 1e-9;
	const int64_t time_ms = begin_ms + (int64_t)(obs->end_ns / DRPC_NSEC_PER_MSEC);

	for (uint32_t i = 0; i < obs->n_services; i++)
		made_sample(&obs->services[i], i, time_ms, span_s, &r->samples[r->n_samples++]);
	for (size_t e = 0; e < app->n_edges; e++) {
		const uint32_t caller = app->edges[e].caller, callee = app->edges[e].callee;
		const double calls = (double)obs->services[caller].requests * app->edges[e].calls;

		r->edges[r->n_edges] = (struct drpc_recording_edge){
			.caller = caller,
			.callee = callee,
			.time_ms = time_ms,
			.count = (uint64_t)(calls + 0.5),
			.sum_ns = (uint64_t)(calls * obs->services[callee].mean_ns)};
		snprintf(r->edges[r->n_edges++].address, 56, "10.0.0.%u:80", callee);
	}
}

/* Each point from an empty application on, its first second left out, with a gap behind it. */
static inline struct drpc_recorded made_recording(struct drpc_sim_app *app,
						  const struct made_point *points, size_t n)
{
	struct drpc_recorded r = {0};
	size_t seconds = 0;

	for (size_t p = 0; p < n; p++)
		seconds += (size_t)points[p].seconds + 2;
	app->cpu_overcommit = 100; /* whatever the limits */
	made_containers(app, &r);
	r.samples = calloc(seconds * app->n_services, sizeof(*r.samples));
	r.edges = calloc(seconds * app->n_edges + 1, sizeof(*r.edges));
	for (size_t p = 0; p < n; p++) {
		const struct drpc_sim_piece piece = {points[p].seconds + 1, points[p].rps,
						     points[p].rps};
		const struct drpc_sim_config config = {.load = {.pieces = &piece, .n_pieces = 1},
						       .seed = 4711 + p,
						       .needs = {.period_ns = DRPC_NSEC_PER_SEC}};
		const struct drpc_sim_obs *obs;
		struct drpc_sim *sim = NULL;

		for (uint32_t i = 0; i < app->n_services; i++)
			app->services[i].cpu_cores = app->services[i].min_cpu_cores =
				app->services[i].max_cpu_cores = points[p].limits[i];
		cr_assert_eq(drpc_sim_new(app, &config, &sim), 0);
		while (drpc_sim_step(sim, (uint64_t)((points[p].seconds + 1) * 1e9), &obs) > 0) {
			if (obs->begin_ns > 0)
				made_interval(app, obs, MADE_BEGIN_MS + (int64_t)p * 1000000, &r);
		}
		drpc_sim_free(&sim);
	}
	return r;
}
