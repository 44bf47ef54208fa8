// SPDX-License-Identifier: Apache-2.0
/* What was trained, as policies of the simulator. */
#include <stdlib.h>

#include "sim/policies/policies.h"
#include "teacher/imitation.h"
#include "teacher/td3_file.h"
#include "tests/unit/sim/make.h"

static const char two_services[] =
	"name: pair\n"
	"slo-p99: 100ms\n" ONE_NODE "defaults: {min-cpu: 100m, max-cpu: 4, min-memory: 100Mi,\n"
	"  memory: 800Mi, cpu: 2, max-replicas: 3}\n"
	"services:\n"
	"  front:\n"
	"    operations:\n"
	"      get: [{cpu: 1ms}, {call: back.get}]\n"
	"  back:\n"
	"    operations: {get: [{cpu: 2ms}]}\n"
	"requests: {all: {to: front.get}}\n";

static int run(const struct drpc_sim_app *app, const struct drpc_sim_policy *policy,
	       const char *const *pairs, size_t n, struct drpc_sim_result *ret)
{
	const struct drpc_sim_piece steady = {60, 50, 50};
	const struct drpc_sim_config config = {.load = {.pieces = &steady, .n_pieces = 1},
					       .seed = 1};
	const struct drpc_sim_params params = {pairs, n, 1};

	return drpc_sim_evaluate(app, &config, policy, &params, 60, NULL, NULL, ret);
}

/* A student that cuts CPU and memory whatever it sees, in a file. */
static void write_cutter(const char *path)
{
	struct drpc_imitation_config config = drpc_imitation_defaults(DRPC_F_PAPER_COUNT);
	const struct drpc_policy_info info = {.reward = NAN};
	const float cut[DRPC_OUT_COUNT] = {0, -1, -1};
	struct drpc_imitation *im = NULL;
	double loss;

	config.lr = 1e-2;
	cr_assert_eq(drpc_imitation_new(&config, &im), 0);
	for (int i = 0; i < 256; i++) {
		const float at = (float)i / 256;
		const float features[DRPC_F_COUNT] = {at, 1 - at, 1, at, at};

		cr_assert_eq(drpc_imitation_push(im, features, cut), 0);
	}
	cr_assert_eq(drpc_imitation_train(im, &loss), 0);
	cr_assert_eq(drpc_imitation_save(im, &info, path), 0);
	drpc_imitation_free(&im);
}

Test(learned, needs_a_model_and_a_sane_period)
{
	struct drpc_sim_app *app = make_app(two_services);
	const char *const strange[] = {"model=/nonexistent", "speed=1"};
	const char *const missing[] = {"model=/nonexistent"};
	const char *const period[] = {"model=/nonexistent", "period=0"};
	struct drpc_sim_result r;

	cr_assert_eq(run(app, &drpc_sim_policy_teacher, NULL, 0, &r), -EINVAL);
	cr_assert_eq(run(app, &drpc_sim_policy_drpc, NULL, 0, &r), -EINVAL);
	cr_assert_eq(run(app, &drpc_sim_policy_drpc, strange, 2, &r), -EINVAL);
	cr_assert_eq(run(app, &drpc_sim_policy_drpc, period, 2, &r), -EINVAL);
	cr_assert_eq(run(app, &drpc_sim_policy_drpc, missing, 1, &r), -ENOENT);
	cr_assert_eq(run(app, &drpc_sim_policy_teacher, missing, 1, &r), -ENOENT);
	drpc_sim_app_free(&app);
}

Test(learned, a_student_acts_at_its_own_period)
{
	struct drpc_sim_app *app = make_app(two_services);
	char folder[] = "/tmp/drpc-learned-XXXXXX", path[64], model[80];
	const char *pairs[] = {model, "period=5"};
	struct drpc_sim_result often, seldom, still;

	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/cut.policy", folder);
	snprintf(model, sizeof(model), "model=%s", path);
	write_cutter(path);
	cr_assert_eq(run(app, &drpc_sim_policy_static, NULL, 0, &still), 0);
	cr_assert_eq(run(app, &drpc_sim_policy_drpc, pairs, 2, &often), 0);
	pairs[1] = "period=30";
	cr_assert_eq(run(app, &drpc_sim_policy_drpc, pairs, 2, &seldom), 0);
	/* Two decisions, two limits of two services. */
	cr_assert_eq(seldom.actions, 8);
	cr_assert_gt(often.actions, 2 * seldom.actions);
	cr_assert_lt(often.cpu_cores_mean, seldom.cpu_cores_mean);
	cr_assert_lt(seldom.cpu_cores_mean, still.cpu_cores_mean);
	cr_assert_lt(often.memory_mib_mean, still.memory_mib_mean);
	cr_assert_eq(often.oom_kills, 0);
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(rmdir(folder), 0);
	drpc_sim_app_free(&app);
}

Test(learned, a_teacher_of_another_roster)
{
	struct drpc_sim_app *app = make_app(two_services);
	char folder[] = "/tmp/drpc-learned-XXXXXX", path[64], model[80];
	const char *pairs[] = {model};
	struct drpc_sim_result r;

	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/teacher.td3", folder);
	snprintf(model, sizeof(model), "model=%s", path);
	for (int kind = DRPC_TD3_JOINT; kind <= DRPC_TD3_POOLED; kind++) {
		struct drpc_td3_config c =
			drpc_td3_defaults((enum drpc_td3_kind)kind, 3, 5, DRPC_OUT_COUNT);
		struct drpc_td3 *td3 = NULL;

		c.hidden[0] = c.hidden[1] = 8;
		c.batch = 4;
		cr_assert_eq(drpc_td3_new(&c, &td3), 0);
		cr_assert_eq(drpc_td3_save(td3, NULL, path), 0);
		drpc_td3_free(&td3);
		/* Only the pooled one takes any number of deployments. */
		cr_assert_eq(run(app, &drpc_sim_policy_teacher, pairs, 1, &r),
			     kind == DRPC_TD3_JOINT ? -EINVAL : 0);
	}
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(rmdir(folder), 0);
	drpc_sim_app_free(&app);
}
