// SPDX-License-Identifier: Apache-2.0
#include "sim/policies/store.h"

#include <json-c/json.h>
#include <unistd.h>

#include "tests/unit/sim/make.h"

Test(sim_store, learning_needs_a_file_and_acting_one_that_is_there)
{
	const char *const learn[] = {"learn=1"}, *const missing[] = {"model=/nonexistent/x"};
	const struct drpc_sim_params none = {NULL, 0, 1};
	struct drpc_sim_params params = {learn, 1, 1};
	struct drpc_sim_store store = {0};

	cr_assert_eq(drpc_sim_store_open(&params, "baseline-test", &store), -EINVAL);
	params.pairs = missing;
	cr_assert_eq(drpc_sim_store_open(&params, "baseline-test", &store), -ENOENT);
	cr_assert_eq(drpc_sim_store_open(&none, "baseline-test", &store), 0);
	cr_assert(!store.found && !store.learn && !store.path);
	drpc_sim_store_done(&store);
}

Test(sim_store, of_another_policy)
{
	char pair[64] = "model=", *path = pair + strlen(pair);
	const char *const pairs[] = {pair};
	const struct drpc_sim_params params = {pairs, 1, 1};
	struct json_object *header = json_object_new_object();
	const float weight = 3;
	struct drpc_sim_store store = {0};

	snprintf(path, sizeof(pair) - 6, "/tmp/drpc-test-store.%d", getpid());
	json_object_object_add(header, "episodes", json_object_new_int(7));
	cr_assert_eq(drpc_model_file_save(path, "baseline-one", header, &weight, 1), 0);
	cr_assert_lt(drpc_sim_store_open(&params, "baseline-other", &store), 0);
	cr_assert_eq(drpc_sim_store_open(&params, "baseline-one", &store), 0);
	cr_assert(store.found);
	cr_assert_eq(drpc_sim_store_count(&store, "episodes", 0), 7);
	cr_assert_eq(drpc_sim_store_count(&store, "other", -1), -1);
	drpc_sim_store_done(&store);
	json_object_put(header);
	unlink(path);
}

Test(sim_store, moves_stop_at_the_bounds)
{
	struct drpc_sim_app *app =
		make_app("name: t\nslo-p99: 1s\n" ONE_NODE "services:\n"
			 "  s:\n    cpu: 1\n    min-cpu: 500m\n    max-cpu: 2\n    replicas: 2\n"
			 "    min-replicas: 1\n    max-replicas: 3\n    memory: 256Mi\n"
			 "    min-memory: 128Mi\n    max-memory: 512Mi\n    memory-base: 16Mi\n"
			 "    operations: {x: [cpu: 1ms]}\n"
			 "requests: {all: {to: s.x}}\n");
	const struct drpc_sim_piece piece = {10, 1, 1};
	struct drpc_sim *sim = make_sim(app, &piece, 1);

	cr_assert_eq(drpc_sim_move_cpu(sim, 0, 100), 0);
	cr_assert_eq(drpc_sim_move_memory(sim, 0, 1), 0);
	cr_assert_eq(drpc_sim_move_replicas(sim, 0, -4), 0);
	cr_assert_float_eq(sim->services[0].cpu_limit, 2, 1e-12);
	cr_assert_float_eq(sim->services[0].memory_limit, 128 * 0x1p20, 1);
	cr_assert_eq(sim->services[0].wanted, 1);
	cr_assert_eq(drpc_sim_move_cpu(sim, 0, 0), 0);
	cr_assert_eq(drpc_sim_move_replicas(sim, 0, 9), 0);
	cr_assert_float_eq(sim->services[0].cpu_limit, 0.5, 1e-12);
	cr_assert_eq(sim->services[0].wanted, 3);
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
}
