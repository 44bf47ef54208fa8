/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a policy has learnt goes from run to run in a file (nn/model_file.h): `model=FILE` names it,
 * `learn=1` has the policy explore, learn and write it back at the end of the run.
 */
#pragma once

#include "nn/model_file.h"
#include "sim/sim.h"

struct drpc_sim_store {
	char *path; /* NULL: nothing was learnt before and nothing is kept */
	bool learn;
	bool found; /* `model` holds what the file has */
	struct drpc_model model;
};

/*
 * -EINVAL for learn=1 without a model=FILE, -ENOENT where the file is needed for a run without
 * learning and is not there, and what drpc_model_file_load() returns; logged.
 */
int drpc_sim_store_open(const struct drpc_sim_params *params, const char *kind,
			struct drpc_sim_store *ret);
void drpc_sim_store_done(struct drpc_sim_store *store);

/* The whole number under a key of the file's header; `fallback` where there is none. */
int64_t drpc_sim_store_count(const struct drpc_sim_store *store, const char *key, int64_t fallback);

/* --- actions inside of the application's bounds ------------------------------------------------- */

static inline const struct drpc_sim_service *drpc_sim_spec(const struct drpc_sim *sim, uint32_t i)
{
	return &drpc_sim_app(sim)->services[i];
}

/* Moves to the nearest value that the application's file allows. 0 or a negative errno. */
int drpc_sim_move_replicas(struct drpc_sim *sim, uint32_t service, double replicas);
int drpc_sim_move_cpu(struct drpc_sim *sim, uint32_t service, double cores);
int drpc_sim_move_memory(struct drpc_sim *sim, uint32_t service, double bytes);
