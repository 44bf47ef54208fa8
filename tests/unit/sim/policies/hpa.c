// SPDX-License-Identifier: Apache-2.0
#include "sim/policies/hpa.h"
#include "sim/policies/policies.h"
#include "sim/sim.h"
#include "tests/unit/sim/make.h"

Test(sim_hpa, desired_is_the_ratio_rounded_up)
{
	cr_assert_eq(drpc_hpa_desired(3, 3, 0.90, 0.75), 4); /* 3.6 */
	cr_assert_eq(drpc_hpa_desired(4, 4, 0.30, 0.60), 2); /* exactly 2 */
	cr_assert_eq(drpc_hpa_desired(5, 5, 0.31, 0.60), 3); /* 2.58 */
}

Test(sim_hpa, tolerance_of_a_tenth)
{
	cr_assert_eq(drpc_hpa_desired(10, 10, 0.55, 0.50), 10); /* ratio 1.1: still inside */
	cr_assert_eq(drpc_hpa_desired(10, 10, 0.56, 0.50), 12);
	cr_assert_eq(drpc_hpa_desired(10, 10, 0.45, 0.50), 10); /* 0.9 */
	cr_assert_eq(drpc_hpa_desired(10, 10, 0.44, 0.50), 9);
}

/* Those that start have no metric yet. */
Test(sim_hpa, unmeasured_replicas_do_not_exaggerate)
{
	/* 2 of 4 are measured at twice the target: with idle others it is right as it is. */
	cr_assert_eq(drpc_hpa_desired(4, 2, 1.0, 0.5), 4);
	/* At three times: 1.5 of the target over all four. */
	cr_assert_eq(drpc_hpa_desired(4, 2, 1.0, 1.0 / 3), 6);
	/* Few are busy: the others count as full, and nothing goes. */
	cr_assert_eq(drpc_hpa_desired(4, 2, 0.3, 0.5), 4);
	cr_assert_eq(drpc_hpa_desired(4, 0, 0.0, 0.5), 4);
}

Test(sim_hpa, up_at_most_double_or_four_more)
{
	struct drpc_hpa_history h;

	drpc_hpa_start(&h, 1);
	cr_assert_eq(drpc_hpa_next(&h, 1, 20), 5);
	cr_assert_eq(drpc_hpa_next(&h, 5, 20), 10);
	cr_assert_eq(drpc_hpa_next(&h, 10, 20), 20);
	cr_assert_eq(drpc_hpa_next(&h, 3, 6), 6);
}

/* Down goes the largest recommendation of five minutes: 20 periods of 15 s. */
Test(sim_hpa, down_waits_for_five_minutes)
{
	struct drpc_hpa_history h;

	drpc_hpa_start(&h, 8);
	for (int i = 0; i < 19; i++)
		cr_assert_eq(drpc_hpa_next(&h, 8, 3), 8, "after %d", i);
	cr_assert_eq(drpc_hpa_next(&h, 8, 3), 3);

	/* A peak in between holds it again, and not longer. */
	drpc_hpa_start(&h, 8);
	for (int i = 0; i < 10; i++)
		drpc_hpa_next(&h, 8, 3);
	cr_assert_eq(drpc_hpa_next(&h, 8, 6), 8);
	for (int i = 0; i < 8; i++)
		cr_assert_eq(drpc_hpa_next(&h, 8, 3), 8);
	for (int i = 0; i < 11; i++)
		cr_assert_eq(drpc_hpa_next(&h, 8, 3), 6, "after %d", i);
	cr_assert_eq(drpc_hpa_next(&h, 6, 3), 3);
}

#define ONE_SERVICE                                                                  \
	"name: t\nslo-p99: 1s\n" ONE_NODE "services:\n"                              \
	"  s:\n    cpu: 1\n    replicas: 1\n    max-replicas: 10\n    startup: 5s\n" \
	"    operations: {x: [cpu: 10ms]}\n"                                         \
	"requests: {all: {to: s.x}}\n"

/* 140/s of 10 ms need 1.4 cores: at 50 % of one core each that is three replicas. */
Test(sim_hpa, settles_where_the_target_is, .timeout = 120)
{
	struct drpc_sim_app *app = make_app(ONE_SERVICE);
	const struct drpc_sim_piece piece = {1e9, 140, 140};
	const struct drpc_sim_config config = {
		.load = {.pieces = &piece, .n_pieces = 1}, .seed = 1, .warmup_s = 600};
	const char *const pairs[] = {"target=0.5"};
	const struct drpc_sim_params params = {pairs, 1, 1};
	struct drpc_sim_result r;

	cr_assert_eq(
		drpc_sim_evaluate(app, &config, &drpc_sim_policy_hpa, &params, 800, NULL, NULL, &r),
		0);
	assert_within(r.replicas_mean, 3, 0.01, "replicas");
	assert_within(r.cpu_used_cores_mean / r.cpu_cores_mean, 1.4 / 3, 0.05, "utilisation");
	drpc_sim_app_free(&app);
}

Test(sim_hpa, refuses_a_target_that_is_none)
{
	struct drpc_sim_app *app = make_app(ONE_SERVICE);
	const struct drpc_sim_piece piece = {10, 1, 1};
	const struct drpc_sim_config config = {.load = {.pieces = &piece, .n_pieces = 1}};
	const char *const zero[] = {"target=0"}, *const typo[] = {"taget=0.5"};
	struct drpc_sim_params params = {zero, 1, 1};
	struct drpc_sim_result r;

	cr_assert_eq(
		drpc_sim_evaluate(app, &config, &drpc_sim_policy_hpa, &params, 1, NULL, NULL, &r),
		-EINVAL);
	params.pairs = typo;
	cr_assert_eq(
		drpc_sim_evaluate(app, &config, &drpc_sim_policy_hpa, &params, 1, NULL, NULL, &r),
		-EINVAL);
	drpc_sim_app_free(&app);
}
