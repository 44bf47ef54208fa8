// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>
#include <stdlib.h>

#include "lib/util.h"
#include "sim/policies/autothrottle.h"

#define SLO 100e6

static struct drpc_tower make_tower(uint64_t seed)
{
	struct drpc_tower tower = {.slo_ns = SLO, .rng = drpc_rng_make(seed, 0)};

	tower.samples = calloc(DRPC_TOWER_SAMPLES, sizeof(*tower.samples));
	cr_assert_not_null(tower.samples);
	return tower;
}

Test(sim_tower, cost_is_allocation_where_the_objective_is_met_and_latency_above_two_elsewhere)
{
	const struct drpc_tower_sample samples[] = {
		{100, 0, 50e6f, 10}, {100, 1, 100e6f, 20}, {100, 2, 99e6f, 30},
		{100, 3, 150e6f, 5}, {100, 4, 350e6f, 6},  {100, 5, 200e6f, 7},
	};
	double costs[6];

	drpc_tower_costs(samples, 6, SLO, costs);
	cr_assert_float_eq(costs[0], 0, 1e-6);
	cr_assert_float_eq(costs[1], 0.5, 1e-6);
	cr_assert_float_eq(costs[2], 1, 1e-6);
	cr_assert_float_eq(costs[3], 2, 1e-6);
	cr_assert_float_eq(costs[4], 3, 1e-6);
	cr_assert_float_eq(costs[5], 2.25, 1e-6);
}

Test(sim_tower, a_lone_sample_costs_the_middle)
{
	const struct drpc_tower_sample met = {100, 0, 50e6f, 10}, missed = {100, 0, 150e6f, 10};
	double cost;

	drpc_tower_costs(&met, 1, SLO, &cost);
	cr_assert_float_eq(cost, 0.5, 1e-9);
	drpc_tower_costs(&missed, 1, SLO, &cost);
	cr_assert_float_eq(cost, 2.5, 1e-9);
}

/* High targets save cores but miss the objective at high rates: what is best depends on the rate. */
Test(sim_tower, finds_the_best_action_for_the_rate)
{
	struct drpc_tower tower = make_tower(1);
	int low, high;

	for (int round = 0; round < 4; round++) {
		for (int a = 0; a < DRPC_TOWER_ACTIONS; a++) {
			const int first = a / DRPC_TOWER_TARGETS, second = a % DRPC_TOWER_TARGETS;
			const float target = (float)(first + second);
			const float rate = round % 2 ? 700 : 200;
			const struct drpc_tower_sample s = {
				.rps = rate,
				.action = (float)a,
				.latency_ns = rate > 500 && target > 6 ? 300e6f : 50e6f,
				.allocation = rate / 20 - target,
			};

			drpc_tower_add(&tower, &s);
		}
	}
	low = drpc_tower_best(&tower, 200);
	high = drpc_tower_best(&tower, 700);
	cr_assert_geq(low / DRPC_TOWER_TARGETS + low % DRPC_TOWER_TARGETS, 12);
	cr_assert_leq(high / DRPC_TOWER_TARGETS + high % DRPC_TOWER_TARGETS, 6);
	free(tower.samples);
}

Test(sim_tower, knows_nothing_without_samples)
{
	struct drpc_tower tower = make_tower(1);

	cr_assert_eq(drpc_tower_best(&tower, 200), -1);
	free(tower.samples);
}

Test(sim_tower, explores_all_evenly)
{
	struct drpc_tower tower = make_tower(3);
	int tried[DRPC_TOWER_ACTIONS] = {0};

	for (int i = 0; i < 2 * DRPC_TOWER_ACTIONS; i++) {
		const struct drpc_tower_sample s = {.action =
							    (float)drpc_tower_least_tried(&tower)};

		tried[(int)s.action]++;
		drpc_tower_add(&tower, &s);
	}
	for (int a = 0; a < DRPC_TOWER_ACTIONS; a++)
		cr_assert_eq(tried[a], 2, "action %d: %d times", a, tried[a]);
	free(tower.samples);
}

Test(sim_tower, neighbours_are_a_step_of_one_target_away)
{
	struct drpc_tower tower = make_tower(5);
	int seen[DRPC_TOWER_ACTIONS] = {0}, stayed = 0;

	for (int i = 0; i < 1000; i++) {
		const int a = drpc_tower_neighbour(&tower, 0, 0.5);

		seen[a]++;
		stayed += a == 0;
	}
	cr_assert(stayed > 400 && stayed < 600, "%d", stayed);
	cr_assert(seen[1] > 150 && seen[DRPC_TOWER_TARGETS] > 150);
	cr_assert_eq(stayed + seen[1] + seen[DRPC_TOWER_TARGETS], 1000);
	for (int i = 0; i < 100; i++)
		cr_assert_eq(drpc_tower_neighbour(&tower, 40, 0), 40);
	free(tower.samples);
}

Test(sim_tower, groups_are_two_means)
{
	const double usage[] = {0.1, 2.0, 0.2, 1.8, 0.15, 2.2};
	const double equal[] = {1, 1, 1};
	uint8_t group[6];

	cr_assert_eq(drpc_tower_groups(usage, 6, group), 0);
	for (int i = 0; i < 6; i++)
		cr_assert_eq(group[i], usage[i] > 1);
	cr_assert_eq(drpc_tower_groups(equal, 3, group), 0);
	cr_assert(group[0] == group[1] && group[1] == group[2]);
}
