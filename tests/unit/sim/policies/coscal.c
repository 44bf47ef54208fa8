// SPDX-License-Identifier: Apache-2.0
#include "sim/policies/coscal.h"

#include <json-c/json.h>
#include <unistd.h>

#include "nn/model_file.h"
#include "sim/policies/policies.h"
#include "sim/sim.h"
#include "tests/unit/sim/make.h"

#define SHOP                                                                                        \
	"name: t\nslo-p99: 100ms\n" ONE_NODE                                                        \
	"defaults: {min-cpu: 100m, max-cpu: 4, memory: 256Mi, min-memory: 64Mi, max-memory: 1Gi}\n" \
	"services:\n"                                                                               \
	"  web:\n    cpu: 1\n    max-replicas: 3\n    operations: {x: [cpu: 2ms, call: {to: "       \
	"ads.y, optional: true}]}\n"                                                                \
	"  ads:\n    cpu: 1\n    optional: true\n    operations: {y: [cpu: 1ms]}\n"                 \
	"requests: {all: {to: web.x}}\n"

/* Half an hour: an action a service each five minutes, of which all but the first have an outcome. */
Test(sim_coscal_policy, learns_into_its_files, .timeout = 120)
{
	struct drpc_sim_app *app = make_app(SHOP);
	const struct drpc_sim_piece piece = {1e9, 50, 50};
	const struct drpc_sim_config config = {.load = {.pieces = &piece, .n_pieces = 1}};
	char pair[64] = "model=", beside[80], *path = pair + strlen(pair);
	const char *const pairs[] = {pair, "learn=1"};
	struct drpc_sim_params params = {pairs, 2, 1};
	struct drpc_model model = {0};
	struct drpc_sim_result r;
	uint64_t actions = 0;
	const size_t table = sizeof(struct drpc_coscal_table) / sizeof(float);

	snprintf(path, sizeof(pair) - 6, "/tmp/drpc-test-coscal.%d", getpid());
	snprintf(beside, sizeof(beside), "%s.gru", path);
	unlink(path);
	unlink(beside);
	for (int run = 0; run < 3; run++) {
		cr_assert_eq(drpc_sim_evaluate(app, &config, &drpc_sim_policy_coscal, &params, 1801,
					       NULL, NULL, &r),
			     0);
		actions += r.actions;
	}
	cr_assert_gt(actions, 5);
	cr_assert_eq(drpc_model_file_load(path, "baseline-coscal", &model), 0);
	cr_assert_eq(model.n_weights, table + (size_t)3 * 30 + (size_t)3 * 2 * 5 * 4);
	cr_assert_float_eq(model.weights[table], 50, 5, "the first minute's rate");
	cr_assert_eq(access(beside, F_OK), 0, "90 minutes are enough for a forecast");
	drpc_model_done(&model);
	params.n_pairs = 1;
	cr_assert_eq(drpc_sim_evaluate(app, &config, &drpc_sim_policy_coscal, &params, 1801, NULL,
				       NULL, &r),
		     0);
	unlink(path);
	unlink(beside);
	drpc_sim_app_free(&app);
}

/* Ten minutes of one action each; a table of one interval is not taken for another. */
Test(sim_coscal_policy, acts_each_interval_that_it_learnt_with, .timeout = 120)
{
	struct drpc_sim_app *app = make_app(SHOP);
	const struct drpc_sim_piece piece = {1e9, 50, 50};
	const struct drpc_sim_config config = {.load = {.pieces = &piece, .n_pieces = 1}};
	char pair[64] = "model=", *path = pair + strlen(pair);
	const char *pairs[] = {pair, "interval=60", "learn=1"};
	struct drpc_sim_params params = {pairs, 3, 1};
	struct drpc_model model = {0};
	struct drpc_sim_result r;
	const size_t table = sizeof(struct drpc_coscal_table) / sizeof(float);
	static const char *const wrong[] = {"interval=90", "interval=0", "interval=360",
					    "interval=300"};

	snprintf(path, sizeof(pair) - 6, "/tmp/drpc-test-coscal-i.%d", getpid());
	unlink(path);
	cr_assert_eq(drpc_sim_evaluate(app, &config, &drpc_sim_policy_coscal, &params, 601, NULL,
				       NULL, &r),
		     0);
	cr_assert_eq(drpc_model_file_load(path, "baseline-coscal", &model), 0);
	cr_assert_eq(model.n_weights, table + 10 + (size_t)2 * 9 * 4);
	drpc_model_done(&model);
	params.n_pairs = 1;
	cr_assert_eq(drpc_sim_evaluate(app, &config, &drpc_sim_policy_coscal, &params, 601, NULL,
				       NULL, &r),
		     0);
	params.n_pairs = 2;
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(wrong); i++) {
		pairs[1] = wrong[i];
		cr_assert_eq(drpc_sim_evaluate(app, &config, &drpc_sim_policy_coscal, &params, 601,
					       NULL, NULL, &r),
			     -EINVAL, "%s", wrong[i]);
	}
	unlink(path);
	drpc_sim_app_free(&app);
}
