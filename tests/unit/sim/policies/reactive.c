// SPDX-License-Identifier: Apache-2.0
#include "sim/policies/policies.h"
#include "sim/sim.h"
#include "tests/unit/sim/make.h"

#define SERVICE(cpu)                                                                            \
	"name: t\nslo-p99: 200ms\n" ONE_NODE "services:\n"                                      \
	"  s:\n    cpu: " cpu "\n    min-cpu: 100m\n    max-cpu: 4\n    max-replicas: 2\n"      \
	"    memory: 512Mi\n    min-memory: 64Mi\n    max-memory: 1Gi\n    memory-base: 64Mi\n" \
	"    operations: {x: [cpu: 5ms exponential]}\n"                                         \
	"requests: {all: {to: s.x}}\n"

static struct drpc_sim_result run(const char *text, double rps, double seconds)
{
	struct drpc_sim_app *app = make_app(text);
	const struct drpc_sim_piece piece = {1e9, rps, rps};
	const struct drpc_sim_config config = {
		.load = {.pieces = &piece, .n_pieces = 1}, .seed = 1, .warmup_s = seconds / 2};
	const struct drpc_sim_params params = {NULL, 0, 1};
	struct drpc_sim_result r;

	cr_assert_eq(drpc_sim_evaluate(app, &config, &drpc_sim_policy_reactive, &params, seconds,
				       NULL, NULL, &r),
		     0);
	drpc_sim_app_free(&app);
	return r;
}

/* 0.25 cores of four are used, 64 MiB of 512: both come down, and everything is answered in time. */
Test(sim_reactive, takes_back_what_is_idle, .timeout = 120)
{
	const struct drpc_sim_result r = run(SERVICE("4"), 50, 240);

	cr_assert_lt(r.cpu_cores_mean, 1.2, "%g cores", r.cpu_cores_mean);
	cr_assert_lt(r.memory_mib_mean, 256, "%g MiB", r.memory_mib_mean);
	cr_assert_eq(r.oom_kills, 0);
	cr_assert_lt(r.slo_violation_rate, 0.01);
}

/* One core is used and a fifth is there: the limit goes up within seconds. */
Test(sim_reactive, raises_what_is_short, .timeout = 120)
{
	const struct drpc_sim_result r = run(SERVICE("200m"), 200, 120);

	cr_assert_gt(r.cpu_cores_mean, 1);
	cr_assert_lt(r.slo_violation_rate, 0.05, "%g missed", r.slo_violation_rate);
}

/* Calls take memory: the limit stays above the fullest replica's use, with the guard's margins. */
Test(sim_reactive, leaves_what_is_in_use, .timeout = 120)
{
	static const char text[] =
		"name: t\nslo-p99: 200ms\n" ONE_NODE "services:\n"
		"  s:\n    cpu: 2\n    min-cpu: 1\n    max-cpu: 4\n    memory: 512Mi\n"
		"    min-memory: 64Mi\n    max-memory: 1Gi\n    memory-base: 64Mi\n"
		"    memory-per-call: 1Mi\n    operations: {x: [cpu: 1ms, wait: 50ms]}\n"
		"requests: {all: {to: s.x}}\n";
	const struct drpc_sim_result r = run(text, 400, 120);

	/* 20 calls are in it on the mean: 84 MiB, and memory.high a tenth below the limit. */
	cr_assert_eq(r.oom_kills, 0);
	cr_assert_gt(r.memory_mib_mean, 84 * 1.1 / 0.9);
	cr_assert_lt(r.memory_mib_mean, 200);
}
