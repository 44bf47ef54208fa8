// SPDX-License-Identifier: Apache-2.0
#include "teacher/tasks.h"

#include <criterion/criterion.h>
#include <math.h>

/* Gymnasium's Pendulum-v1, computed by hand: one step from a known state. */
Test(tasks, pendulum_moves_by_its_equations)
{
	double x[2] = {M_PI, 1.0}, reward;
	const float action = 0.5f;
	float seen[3];

	reward = drpc_task_pendulum.step(x, &action);
	/* -(pi^2 + 0.1 + 0.001); speed 1 + (15 sin pi + 3) 0.05; angle pi + 1.15 * 0.05 */
	cr_assert_float_eq(reward, -(M_PI * M_PI + 0.1 + 0.001), 1e-9);
	cr_assert_float_eq(x[1], 1.15, 1e-9);
	cr_assert_float_eq(x[0], M_PI + 0.0575, 1e-9);
	drpc_task_pendulum.observe(x, seen);
	cr_assert_float_eq((double)seen[0], cos(M_PI + 0.0575), 1e-6);
	cr_assert_float_eq((double)seen[1], sin(M_PI + 0.0575), 1e-6);
	/* A whole turn further on it is the same pendulum. */
	x[0] = 0.3;
	x[1] = 0;
	reward = drpc_task_pendulum.step(x, &action);
	x[0] = 0.3 - 4 * M_PI;
	x[1] = 0;
	cr_assert_float_eq(drpc_task_pendulum.step(x, &action), reward, 1e-9);
	/* Speed ends at 8. */
	x[1] = 7.99;
	x[0] = 1.5;
	drpc_task_pendulum.step(x, &action);
	cr_assert_eq(x[1], 8.0);
}

/* The Riccati cost is what the optimal controller pays, and others pay more. */
Test(tasks, lq_cost_is_that_of_its_controller)
{
	const double start[2] = {0.3, -0.25};
	double x[2] = {start[0], start[1]}, paid = 0, other = 0;

	for (size_t t = 0; t < drpc_task_lq.steps; t++) {
		const float u = (float)drpc_task_lq_action(x);

		cr_assert(fabsf(u) <= 1.0f);
		paid -= drpc_task_lq.step(x, &u);
	}
	/* The gain is that of the first step all along: the last steps could do a hair better. */
	cr_assert_float_eq(paid, drpc_task_lq_cost(start), 1e-3 * paid);
	x[0] = start[0];
	x[1] = start[1];
	for (size_t t = 0; t < drpc_task_lq.steps; t++) {
		const float u = 0.4f * (float)drpc_task_lq_action(x);

		other -= drpc_task_lq.step(x, &u);
	}
	cr_assert_gt(other, 1.005 * paid);
}

static struct drpc_td3 *trainer(const struct drpc_task *task, uint64_t seed)
{
	struct drpc_td3_config c = drpc_td3_defaults(DRPC_TD3_JOINT, 1, task->state, task->action);
	struct drpc_td3 *td3 = NULL;

	c.hidden[0] = c.hidden[1] = 64;
	c.norm = false;
	c.batch = 100;
	c.actor_lr = c.critic_lr = 1e-3;
	c.gamma = 0.98;
	c.tau = 0.01;
	c.seed = seed;
	cr_assert_eq(drpc_td3_new(&c, &td3), 0);
	return td3;
}

/* A few seeds, so that sanitised runs stay short; drpc-bench pendulum trains ten. */
Test(tasks, td3_swings_the_pendulum_up)
{
	const struct drpc_task_settings settings = {
		.episodes = 40, .random_steps = 600, .explore = 0.1, .capacity = 10000};
	double mean = 0;

	for (uint64_t seed = 0; seed < 3; seed++) {
		struct drpc_td3 *td3 = trainer(&drpc_task_pendulum, seed);
		double returns[40], reached;

		cr_assert_eq(drpc_task_train(&drpc_task_pendulum, &settings, td3, returns), 0);
		cr_assert_eq(drpc_task_evaluate(&drpc_task_pendulum, td3, 20, seed, &reached), 0);
		cr_assert_geq(reached, -300.0, "seed %d reached %g", (int)seed, reached);
		mean += reached / 3;
		drpc_td3_free(&td3);
	}
	cr_assert_geq(mean, -200.0, "mean over seeds %g", mean);
}

/* Near a cost that no controller can beat, over seeds: within a quarter of it. */
Test(tasks, td3_comes_near_the_optimal_cost)
{
	const struct drpc_task_settings settings = {
		.episodes = 80, .random_steps = 600, .explore = 0.1, .capacity = 10000};
	double paid = 0, optimal = 0;

	for (uint64_t seed = 0; seed < 3; seed++) {
		struct drpc_td3 *td3 = trainer(&drpc_task_lq, seed);
		struct drpc_rng rng = drpc_rng_make(1, 1001);
		double returns[80], reached, x[2];

		cr_assert_eq(drpc_task_train(&drpc_task_lq, &settings, td3, returns), 0);
		cr_assert_eq(drpc_task_evaluate(&drpc_task_lq, td3, 50, 1, &reached), 0);
		paid -= reached / 3;
		/* From the same starts. */
		for (int i = 0; i < 50; i++) {
			drpc_task_lq.reset(x, &rng);
			optimal += drpc_task_lq_cost(x) / 150;
		}
		drpc_td3_free(&td3);
	}
	cr_assert_geq(paid, 0.999 * optimal, "better than optimal: the cost is wrong");
	cr_assert_leq(paid, 1.25 * optimal, "cost %g, optimal %g", paid, optimal);
}
