// SPDX-License-Identifier: Apache-2.0
#include "teacher/distil.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "agent/plan/student.h"
#include "lib/log.h"
#include "lib/util.h"
#include "nn/rng.h"

static char path[] = "/tmp/drpc-distil-XXXXXX";

static void setup(void)
{
	drpc_log_set_level(DRPC_LOG_ERROR);
	close(mkstemp(path));
}

static void teardown(void)
{
	unlink(path);
}

TestSuite(distil, .init = setup, .fini = teardown);

/* Services between idle and overloaded, with and without objectives. */
static void draw(struct drpc_states *states, size_t n, uint64_t seed)
{
	struct drpc_rng rng = drpc_rng_make(seed, 0);

	for (size_t i = 0; i < n; i++) {
		float f[DRPC_F_COUNT];

		for (int k = 0; k < DRPC_F_COUNT; k++)
			f[k] = (float)drpc_rng_uniform(&rng);
		f[DRPC_F_REPLICAS] = 1 + (float)(i % 3);
		f[DRPC_F_RATE_PRED] = f[DRPC_F_RATE];
		f[DRPC_F_P99_SLO] = i % 2 ? 0 : f[DRPC_F_P99_SLO] * 2;
		f[DRPC_F_THROTTLED] = i % 4 ? 0 : f[DRPC_F_THROTTLED];
		f[DRPC_F_MEM_PRESSURE] = i % 5 ? 0 : f[DRPC_F_MEM_PRESSURE];
		cr_assert_eq(drpc_states_add(states, (uint32_t)(i % 10), f), 0);
	}
}

Test(distil, a_student_decides_as_the_rules_and_its_file_says_how_well)
{
	struct drpc_distil_config config = drpc_distil_defaults();
	struct drpc_states states = {0}, held_out = {0};
	struct drpc_imitation_report report, again;
	struct drpc_policy_net *net = NULL;
	const struct drpc_policy_info *info;

	draw(&states, 1500, 1);
	draw(&held_out, 500, 2);
	config.rounds = 12;
	config.variations = 3;
	config.data = "drawn";
	config.source = "v1";
	config.command = "test";
	cr_assert_eq(drpc_distil_reactive(&config, &states, &held_out, path, &report), 0);
	cr_assert_lt(report.differ, 0.3, "%g", report.differ);
	cr_assert_eq(drpc_policy_file_load(path, &net), 0);
	cr_assert_eq(drpc_distil_compare(net, &held_out, &again), 0);
	cr_assert_eq(again.differ, report.differ, "the file is the student that was measured");
	cr_assert_leq(drpc_distil_clear(net, &held_out), report.differ);
	info = drpc_policy_net_info(net);
	cr_assert_eq(info->report.states, 500);
	cr_assert_float_eq(info->report.differ, report.differ, 1e-6);
	cr_assert_eq(info->report.opposed, drpc_imitation_opposed(&report));
	cr_assert_str_eq(info->data, "drawn");
	cr_assert_str_eq(info->source, "v1");
	cr_assert_str_eq(info->command, "test");
	cr_assert_gt(info->samples, 1500);
	drpc_policy_net_free(&net);
	drpc_states_free(&states);
	drpc_states_free(&held_out);
}

Test(distil, too_little_is_refused)
{
	struct drpc_distil_config config = drpc_distil_defaults();
	struct drpc_states states = {0}, none = {0};
	struct drpc_imitation_report report;

	draw(&states, 499, 1);
	cr_assert_eq(drpc_distil_reactive(&config, &states, &states, path, &report), -ENODATA);
	draw(&states, 100, 1);
	cr_assert_eq(drpc_distil_reactive(&config, &states, &none, path, &report), -ENODATA);
	drpc_states_free(&states);
}
