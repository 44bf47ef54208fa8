// SPDX-License-Identifier: Apache-2.0
#include "sim/policies/store.h"

#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/util.h"

int drpc_sim_store_open(const struct drpc_sim_params *params, const char *kind,
			struct drpc_sim_store *ret)
{
	const char *path = drpc_sim_param(params, "model");
	struct drpc_sim_store store = {0};
	double learn = 0;
	int err = drpc_sim_param_number(params, "learn", &learn);

	if (err)
		return err;
	store.learn = learn != 0;
	if (store.learn && !path)
		return drpc_err(-EINVAL, "policy: learn=1 needs model=FILE to keep what is learnt");
	if (path && access(path, F_OK) == 0) {
		err = drpc_model_file_load(path, kind, &store.model);
		if (err)
			return err;
		store.found = true;
	} else if (path && !store.learn) {
		return drpc_err(-ENOENT, "policy: model=%s (drpc-sim tune makes it)", path);
	}
	store.path = path ? strdup(path) : NULL;
	if (path && !store.path) {
		drpc_model_done(&store.model);
		return -ENOMEM;
	}
	*ret = store;
	return 0;
}

void drpc_sim_store_done(struct drpc_sim_store *store)
{
	free(store->path);
	drpc_model_done(&store->model);
	*store = (struct drpc_sim_store){0};
}

int64_t drpc_sim_store_count(const struct drpc_sim_store *store, const char *key, int64_t fallback)
{
	struct json_object *value;

	if (!store->found || !json_object_object_get_ex(store->model.header, key, &value))
		return fallback;
	return json_object_get_int64(value);
}

int drpc_sim_move_replicas(struct drpc_sim *sim, uint32_t service, double replicas)
{
	const struct drpc_sim_service *spec = drpc_sim_spec(sim, service);
	const double least = spec->min_replicas, most = spec->max_replicas;

	return drpc_sim_set_replicas(sim, service, (uint32_t)DRPC_CLAMP(replicas, least, most));
}

int drpc_sim_move_cpu(struct drpc_sim *sim, uint32_t service, double cores)
{
	const struct drpc_sim_service *spec = drpc_sim_spec(sim, service);

	if (spec->cpu_cores <= 0) /* it has no limit, and keeps none */
		return 0;
	return drpc_sim_set_cpu_limit(sim, service,
				      DRPC_CLAMP(cores, spec->min_cpu_cores, spec->max_cpu_cores));
}

int drpc_sim_move_memory(struct drpc_sim *sim, uint32_t service, double bytes)
{
	const struct drpc_sim_service *spec = drpc_sim_spec(sim, service);

	if (spec->memory_bytes <= 0)
		return 0;
	return drpc_sim_set_memory_limit(
		sim, service, DRPC_CLAMP(bytes, spec->min_memory_bytes, spec->max_memory_bytes));
}
