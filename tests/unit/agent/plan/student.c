// SPDX-License-Identifier: Apache-2.0
#include "agent/plan/student.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"

/* A network that is its last bias: every weight 0, outputs tanh(bias). */
static void constant(float *params, unsigned int inputs, float replicas, float cpu, float memory)
{
	size_t count = drpc_student_params(inputs);

	memset(params, 0, count * sizeof(*params));
	params[count - 3 + DRPC_OUT_REPLICAS] = replicas;
	params[count - 3 + DRPC_OUT_CPU] = cpu;
	params[count - 3 + DRPC_OUT_MEMORY] = memory;
}

static void info_of(struct drpc_policy_info *info, unsigned int inputs)
{
	*info = (struct drpc_policy_info){.n_inputs = inputs, .clip = 5, .reward = 0.7f};
	for (unsigned int i = 0; i < inputs; i++)
		info->inputs[i] = (struct drpc_policy_input){(enum drpc_feature)i, 0, 1};
}

static char path[64];

static void setup(void)
{
	drpc_log_set_level(DRPC_LOG_ERROR);
	snprintf(path, sizeof(path), "/tmp/drpc-student-%d.drpc", getpid());
}

static void teardown(void)
{
	unlink(path);
}

TestSuite(student_planner, .init = setup, .fini = teardown);

Test(student_planner, decides_as_the_file_says_in_both_profiles)
{
	const unsigned int profiles[] = {DRPC_F_PAPER_COUNT, DRPC_F_COUNT};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(profiles); i++) {
		struct drpc_policy_info info;
		float params[1024], raw[DRPC_OUT_COUNT] = {0};
		struct drpc_planner *planner = NULL;
		struct drpc_observation observation = {.coverage = 1};

		constant(params, profiles[i], -2, 0.25f, 1);
		info_of(&info, profiles[i]);
		cr_assert_eq(drpc_policy_file_save(path, &info, params), 0);
		cr_assert_eq(drpc_planner_student_new(path, &planner), 0);
		cr_expect_str_eq(planner->ops->name, "student");
		cr_expect_eq(drpc_planner_student_info(planner)->n_inputs, profiles[i]);
		cr_expect_eq(planner->ops->decide(planner, &observation, raw), 0);
		cr_expect_float_eq(raw[DRPC_OUT_REPLICAS], tanhf(-2), 1e-5);
		cr_expect_float_eq(raw[DRPC_OUT_CPU], tanhf(0.25f), 1e-5);
		cr_expect_float_eq(raw[DRPC_OUT_MEMORY], tanhf(1), 1e-5);
		drpc_planner_free(&planner);
		cr_expect_null(planner);
	}
}

Test(student_planner, a_feature_that_is_no_number_is_refused)
{
	struct drpc_policy_info info;
	struct drpc_policy_net *net = NULL;
	struct drpc_planner *planner = NULL;
	struct drpc_observation observation = {.coverage = 1};
	float params[1024], raw[DRPC_OUT_COUNT] = {7, 7, 7};

	constant(params, DRPC_F_PAPER_COUNT, 0, 0, 0);
	info_of(&info, DRPC_F_PAPER_COUNT);
	cr_assert_eq(drpc_policy_net_new(&info, params, &net), 0);
	cr_assert_eq(drpc_planner_student_from_net(&net, &planner), 0);
	cr_expect_null(net, "the planner has taken it over");
	for (int i = 0; i < DRPC_F_COUNT; i++) {
		observation.features[i] = NAN;
		cr_expect_eq(planner->ops->decide(planner, &observation, raw), -EDOM);
		observation.features[i] = 0;
	}
	cr_expect(raw[0] == 7 && raw[1] == 7 && raw[2] == 7, "outputs touched on failure");
	drpc_planner_free(&planner);
}

/* Weights so large that a hidden sum overflows: what comes out is no number, and is not used. */
Test(student_planner, outputs_that_are_no_numbers_are_refused)
{
	struct drpc_policy_info info;
	struct drpc_policy_net *net = NULL;
	struct drpc_planner *planner = NULL;
	struct drpc_observation observation = {.coverage = 1};
	float params[1024], raw[DRPC_OUT_COUNT] = {7, 7, 7};

	for (size_t i = 0; i < drpc_student_params(DRPC_F_PAPER_COUNT); i++)
		params[i] = i % 2 ? 3e38f : -3e38f;
	info_of(&info, DRPC_F_PAPER_COUNT);
	observation.features[DRPC_F_RATE] = 3;
	observation.features[DRPC_F_CPU_UTIL] = 1;
	cr_assert_eq(drpc_policy_net_new(&info, params, &net), 0);
	cr_assert_eq(drpc_planner_student_from_net(&net, &planner), 0);
	cr_expect_eq(planner->ops->decide(planner, &observation, raw), -EDOM);
	cr_expect(raw[0] == 7 && raw[1] == 7 && raw[2] == 7);
	drpc_planner_free(&planner);
}

Test(student_planner, files_that_are_no_policy_are_refused)
{
	struct drpc_planner *planner = NULL;
	FILE *f;

	cr_expect_eq(drpc_planner_student_new("/nonexistent/policy", &planner), -ENOENT);
	f = fopen(path, "w");
	fputs("not a policy", f);
	fclose(f);
	cr_expect_lt(drpc_planner_student_new(path, &planner), 0);
	cr_expect_null(planner);
}

Test(student_planner, others_are_no_students)
{
	struct drpc_planner *planner = NULL;

	cr_assert_eq(drpc_planner_reactive_new(&planner), 0);
	cr_expect_null(drpc_planner_student_info(planner));
	drpc_planner_free(&planner);
}
