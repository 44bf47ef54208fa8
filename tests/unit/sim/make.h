/* SPDX-License-Identifier: Apache-2.0 */
/* Applications and runs for the simulator's tests. */
#pragma once

#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/util.h"
#include "sim/internal.h"

/* One big node, no network, so that nothing but the queue is there. */
#define ONE_NODE "cluster: {nodes: [{cpu: 64, memory: 512Gi}]}\n"

static inline struct drpc_sim_app *make_app(const char *text)
{
	struct drpc_sim_app *app = NULL;
	char why[1024] = "";

	cr_assert_eq(drpc_sim_app_parse(text, strlen(text), "test.yaml", &app, why, sizeof(why)), 0,
		     "%s", why);
	return app;
}

static inline struct drpc_sim *make_sim(const struct drpc_sim_app *app,
					const struct drpc_sim_piece *piece, uint64_t seed)
{
	const struct drpc_sim_config config = {.load = {.pieces = piece, .n_pieces = 1},
					       .seed = seed};
	struct drpc_sim *sim = NULL;

	cr_assert_eq(drpc_sim_new(app, &config, &sim), 0);
	return sim;
}

/* Evenly spaced arrivals: the first after 1 / rate. */
static inline struct drpc_sim *make_uniform(const struct drpc_sim_app *app,
					    const struct drpc_sim_piece *piece)
{
	const struct drpc_sim_config config = {
		.load = {.pieces = piece, .n_pieces = 1, .uniform = true}, .seed = 1};
	struct drpc_sim *sim = NULL;

	cr_assert_eq(drpc_sim_new(app, &config, &sim), 0);
	return sim;
}

static inline void run_for(struct drpc_sim *sim, double seconds)
{
	cr_assert_eq(drpc_sim_run(sim, drpc_sim_now_ns(sim) + (uint64_t)(seconds * 1e9)), 0);
}

static inline void assert_within(double got, double expected, double share, const char *what)
{
	cr_assert_leq(fabs(got - expected), share * expected, "%s: %g, expected %g", what, got,
		      expected);
}
