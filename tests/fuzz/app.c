// SPDX-License-Identifier: Apache-2.0
/*
 * Application files of the simulator. Whatever is in one, it is refused with a rule in words, or gives an
 * application whose parts point to each other as they should, and which runs.
 */
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/log.h"
#include "sim/sim.h"

#define EVENTS_MOST 20000.0 /* expected of a run: a file may ask for any number */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_parts(const struct drpc_sim_app *app)
{
	assert(*app->name && app->slo_ns > 0 && app->n_nodes && app->n_services && app->n_classes);
	for (uint32_t c = 0; c < app->n_classes; c++)
		assert(app->classes[c].site < app->n_calls && app->classes[c].share >= 0);
	for (uint32_t c = 0; c < app->n_calls; c++)
		assert(app->calls[c].service < app->n_services &&
		       app->calls[c].operation < app->n_operations);
	for (uint32_t i = 0; i < app->n_services; i++) {
		const struct drpc_sim_service *s = &app->services[i];

		assert(s->min_replicas <= s->replicas && s->replicas <= s->max_replicas);
		assert(s->min_cpu_cores <= s->cpu_cores && s->cpu_cores <= s->max_cpu_cores);
		assert(s->min_memory_bytes <= s->memory_bytes &&
		       s->memory_bytes <= s->max_memory_bytes);
		assert(isfinite(app->demand_ns[i]) && isfinite(app->visits[i]));
	}
	assert(app->calls_per_request >= 1 && isfinite(app->calls_per_request));
}

static void run(const struct drpc_sim_app *app)
{
	const struct drpc_sim_piece piece = {2, 20, 20};
	const struct drpc_sim_config config = {
		.load = {.pieces = &piece, .n_pieces = 1},
		.seed = 1,
		.needs = {.period_ns = 500000000},
		.calls_max = 4096,
	};
	struct drpc_sim *sim = NULL;
	const struct drpc_sim_obs *obs;
	struct drpc_sim_result result;
	int r;

	if (app->calls_per_request * 40 > EVENTS_MOST || drpc_sim_new(app, &config, &sim) < 0)
		return;
	do {
		r = drpc_sim_step(sim, 2000000000, &obs);
	} while (r > 0);
	assert(r == 0 || r == -ENOBUFS);
	result = drpc_sim_result(sim);
	assert(result.succeeded + result.failed + result.open >= result.arrived || r);
	assert(isfinite(result.mean_ms) && isfinite(result.cpu_cores_mean));
	drpc_sim_free(&sim);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct drpc_sim_app *app = NULL;
	char why[512] = "";
	int err;

	drpc_log_set_level((enum drpc_log_level) - 1);
	err = drpc_sim_app_parse((const char *)data, size, "fuzz", &app, why, sizeof(why));
	assert(err == 0 || err == -EINVAL || err == -ENOMEM);
	if (err) {
		assert(!app && (err == -ENOMEM || *why));
		return 0;
	}
	check_parts(app);
	run(app);
	drpc_sim_app_free(&app);
	return 0;
}
