// SPDX-License-Identifier: Apache-2.0
#include "sim/policies/autothrottle.h"

#include <unistd.h>

#include "nn/model_file.h"
#include "sim/policies/policies.h"
#include "sim/sim.h"
#include "tests/unit/sim/make.h"

#define SERVICE                                                       \
	"name: t\nslo-p99: 200ms\n" ONE_NODE "services:\n"            \
	"  busy:\n    cpu: 4\n    min-cpu: 50m\n    max-cpu: 8\n"     \
	"    operations: {x: [cpu: 5ms exponential, call: calm.y]}\n" \
	"  calm:\n    cpu: 4\n    min-cpu: 300m\n    max-cpu: 8\n"    \
	"    operations: {y: [cpu: 100us exponential]}\n"             \
	"requests: {all: {to: busy.x}}\n"

/* Four cores each, 0.5 and 0.01 are used: limits come down to what is needed, not below the bounds. */
Test(sim_autothrottle, takes_idle_limits_back, .timeout = 120)
{
	struct drpc_sim_app *app = make_app(SERVICE);
	const struct drpc_sim_piece piece = {1e9, 100, 100};
	const struct drpc_sim_config config = {
		.load = {.pieces = &piece, .n_pieces = 1}, .seed = 1, .warmup_s = 60};
	const struct drpc_sim_params params = {NULL, 0, 1};
	struct drpc_sim_result r;

	cr_assert_eq(drpc_sim_evaluate(app, &config, &drpc_sim_policy_autothrottle, &params, 300,
				       NULL, NULL, &r),
		     0);
	cr_assert_lt(r.cpu_cores_mean, 3, "%g cores", r.cpu_cores_mean);
	cr_assert_gt(r.cpu_cores_mean, 0.8, "%g cores", r.cpu_cores_mean);
	cr_assert_lt(r.slo_violation_rate, 0.01);
	cr_assert_eq(r.failed, 0);
	drpc_sim_app_free(&app);
}

/* While learning each action stands two minutes, and one of them is kept. */
Test(sim_autothrottle, keeps_what_it_tried, .timeout = 120)
{
	struct drpc_sim_app *app = make_app(SERVICE);
	const struct drpc_sim_piece piece = {1e9, 100, 100};
	const struct drpc_sim_config config = {.load = {.pieces = &piece, .n_pieces = 1}};
	char pair[64] = "model=", *path = pair + strlen(pair);
	const char *const pairs[] = {pair, "learn=1"};
	const struct drpc_sim_params params = {pairs, 2, 1};
	struct drpc_model model = {0};
	struct drpc_sim_result r;

	snprintf(path, sizeof(pair) - 6, "/tmp/drpc-test-tower.%d", getpid());
	unlink(path);
	cr_assert_eq(drpc_sim_evaluate(app, &config, &drpc_sim_policy_autothrottle, &params, 600,
				       NULL, NULL, &r),
		     0);
	cr_assert_eq(drpc_model_file_load(path, "baseline-autothrottle", &model), 0);
	/* Ten minutes: the first chooses, then four whole pairs. */
	cr_assert_eq(model.n_weights, 2 + 4 * 4);
	cr_assert_eq(model.weights[0], 1, "busy is in the busy group");
	cr_assert_eq(model.weights[1], 0, "calm is not");
	cr_assert_float_eq(model.weights[2], 100, 10, "rate");
	drpc_model_done(&model);
	unlink(path);
	drpc_sim_app_free(&app);
}
