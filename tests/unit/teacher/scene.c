// SPDX-License-Identifier: Apache-2.0
/* Rewards against values computed by hand, algorithm 2, and numbers that are none. */
#include "teacher/scene.h"
#include "tests/unit/sim/make.h"

static const char two_services[] = "name: pair\n"
				   "slo-p99: 100ms\n"
				   "cluster: {nodes: [{cpu: 8, memory: 8Gi}]}\n"
				   "defaults: {min-cpu: 100m, max-cpu: 2, min-memory: 100Mi,\n"
				   "  memory: 400Mi, max-memory: 1Gi, max-replicas: 3}\n"
				   "services:\n"
				   "  front:\n"
				   "    operations:\n"
				   "      get: [{cpu: 1ms}, {call: back.get}]\n"
				   "  back:\n"
				   "    optional: true\n"
				   "    operations: {get: [{cpu: 2ms}]}\n"
				   "requests: {all: {to: front.get}}\n";

/* --- reward ------------------------------------------------------------------------------------- */

static struct drpc_sim_obs watched(const struct drpc_sim_node_obs *nodes, size_t n)
{
	return (struct drpc_sim_obs){
		.nodes = nodes, .n_nodes = n, .ended = 1000, .p99_ns = 50e6, .slo_ns = 100e6};
}

static const struct drpc_scene_reward cube = {
	.cpu = 0.75, .memory = 0.75, .exponent = 3, .objective_ns = 100e6};

Test(scene, reward_is_one_where_all_is_as_wanted)
{
	const struct drpc_sim_node_obs node = {.cpu_allocated_cores = 8,
					       .memory_allocated_bytes = 4e9,
					       .cpu_usage_cores = 6,
					       .memory_usage_bytes = 3e9};
	const struct drpc_sim_obs obs = watched(&node, 1);

	cr_assert_float_eq(drpc_scene_reward(&cube, &obs), 1, 1e-12);
}

Test(scene, reward_by_hand)
{
	/* CPU 0.5 and memory 0.9 on one machine, both as wanted on the other:
	 * (0.25^3 + 0.15^3) / 2 = 0.0095; late by half the objective: exp(-0.25); 100 of 1000 failed. */
	const struct drpc_sim_node_obs nodes[] = {{.cpu_allocated_cores = 10,
						   .memory_allocated_bytes = 1e9,
						   .cpu_usage_cores = 5,
						   .memory_usage_bytes = 9e8},
						  {.cpu_allocated_cores = 4,
						   .memory_allocated_bytes = 4e9,
						   .cpu_usage_cores = 3,
						   .memory_usage_bytes = 3e9}};
	struct drpc_scene_reward square = cube;
	struct drpc_sim_obs obs = watched(nodes, 2);

	cr_assert_float_eq(drpc_scene_reward(&cube, &obs), 1 / 1.0095, 1e-12);
	obs.p99_ns = 150e6;
	cr_assert_float_eq(drpc_scene_reward(&cube, &obs), exp(-0.25) / 1.0095, 1e-12);
	obs.failed = 100;
	cr_assert_float_eq(drpc_scene_reward(&cube, &obs), 0.9 * exp(-0.25) / 1.0095, 1e-12);
	/* (0.0625 + 0.0225) / 2 */
	square.exponent = 2;
	obs.failed = 0;
	obs.p99_ns = 1e6;
	cr_assert_float_eq(drpc_scene_reward(&square, &obs), 1 / 1.0425, 1e-12);
}

Test(scene, a_machine_without_limits_does_not_count)
{
	const struct drpc_sim_node_obs nodes[] = {{.cpu_allocated_cores = 10,
						   .memory_allocated_bytes = 1e9,
						   .cpu_usage_cores = 2.5,
						   .memory_usage_bytes = 7.5e8},
						  {.cpu_cores = 8}};
	const struct drpc_sim_obs obs = watched(nodes, 2);

	cr_assert_float_eq(drpc_scene_reward(&cube, &obs), 1 / 1.125, 1e-12);
}

Test(scene, no_reward_for_what_is_no_number)
{
	const struct drpc_sim_node_obs node = {.cpu_allocated_cores = 8, .cpu_usage_cores = NAN};
	const struct drpc_sim_obs obs = watched(&node, 1);

	cr_assert_eq(drpc_scene_reward(&cube, &obs), 0);
}

/* --- state -------------------------------------------------------------------------------------- */

Test(scene, numbers_that_are_none_get_no_further)
{
	struct drpc_sim_app *app = make_app(two_services);
	struct drpc_sim_service_obs services[2] = {0};
	struct drpc_sim_obs obs = {.end_ns = 5000000000ULL, .services = services, .n_services = 2};
	float state[2 * DRPC_SCENE_MAX_WIDTH];
	struct drpc_scene *scene = NULL;

	for (int i = 0; i < 2; i++)
		services[i] = (struct drpc_sim_service_obs){.cpu_utilisation = NAN,
							    .memory_utilisation = INFINITY,
							    .rate_rps = NAN,
							    .p99_ns = -INFINITY,
							    .queue_share = NAN,
							    .cpu_pressure = NAN,
							    .throttled_ratio = NAN,
							    .memory_pressure = NAN};
	cr_assert_eq(drpc_scene_new(app, &scene), 0);
	drpc_scene_look(scene, &obs);
	for (int p = DRPC_SCENE_PAPER; p <= DRPC_SCENE_NODE; p++) {
		const size_t width = drpc_scene_width((enum drpc_scene_profile)p);

		memset(state, 0xff, sizeof(state)); /* NANs, all of them */
		drpc_scene_state(scene, (enum drpc_scene_profile)p, state);
		for (size_t i = 0; i < 2 * width; i++)
			cr_assert(isfinite(state[i]) && fabsf(state[i]) <= 3, "state %zu: %g", i,
				  (double)state[i]);
		cr_assert(p == DRPC_SCENE_NODE || isnan(state[2 * width]));
	}
	for (int i = 0; i < 2 * DRPC_F_COUNT; i++)
		cr_assert(isfinite(drpc_scene_features(scene)[i]));
	drpc_scene_free(&scene);
	drpc_sim_app_free(&app);
}

Test(scene, an_objective_is_known_where_users_call)
{
	struct drpc_sim_app *app = make_app(two_services);
	struct drpc_sim_service_obs services[2] = {{.p99_ns = 50e6, .rate_rps = 200},
						   {.p99_ns = 20e6, .rate_rps = 100}};
	const struct drpc_sim_obs obs = {
		.end_ns = 5000000000ULL, .services = services, .n_services = 2};
	struct drpc_scene *scene = NULL;
	const float *f;

	cr_assert_eq(drpc_scene_new(app, &scene), 0);
	drpc_scene_look(scene, &obs);
	f = drpc_scene_features(scene);
	cr_assert_float_eq(f[DRPC_F_P99_SLO], 0.5f, 1e-6f);
	cr_assert_eq(f[DRPC_F_COUNT + DRPC_F_P99_SLO], 0);
	cr_assert_float_eq(f[DRPC_F_RATE], 0.2f, 1e-6f);
	cr_assert_float_eq(f[DRPC_F_RATE_PRED], 0.2f, 1e-6f);
	drpc_scene_free(&scene);
	drpc_sim_app_free(&app);
}

/* --- action ------------------------------------------------------------------------------------- */

struct applied {
	double cpu, memory;
	uint32_t replicas;
};

/* What outputs do to a service that has limits of 1 core and 400 MiB and one replica. */
static struct applied apply(const struct drpc_scene_action *params, uint32_t service,
			    double used_cores, double peak_bytes, uint32_t wanted,
			    const float outputs[3])
{
	const struct drpc_sim_piece none = {1, 0, 0};
	const struct drpc_sim_service_obs seen = {.index = service,
						  .wanted = wanted,
						  .ready = wanted,
						  .cpu_limit_cores = 1,
						  .memory_limit_bytes = 400 * 0x1p20,
						  .cpu_usage_cores = used_cores,
						  .memory_peak_bytes = peak_bytes};
	struct drpc_sim_app *app = make_app(two_services);
	const struct drpc_sim_config config = {.load = {.pieces = &none, .n_pieces = 1},
					       .needs = {.period_ns = 100000000}};
	const struct drpc_sim_obs *obs = NULL;
	struct drpc_sim *sim = NULL;
	struct applied ret;

	cr_assert_eq(drpc_sim_new(app, &config, &sim), 0);
	cr_assert_eq(drpc_sim_set_replicas(sim, service, wanted), 0);
	cr_assert_eq(drpc_scene_apply(params, sim, &seen, outputs), 0);
	cr_assert_eq(drpc_sim_step(sim, 100000000, &obs), 1);
	ret = (struct applied){.cpu = obs->services[service].cpu_limit_cores,
			       .memory = obs->services[service].memory_limit_bytes / 0x1p20,
			       .replicas = obs->services[service].wanted};
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
	return ret;
}

Test(scene, inside_of_the_dead_band_nothing_moves)
{
	const struct drpc_scene_action params = drpc_scene_action_defaults();
	const struct applied a =
		apply(&params, 0, 0.1, 64e6, 2, (const float[]){0.5f, -0.5f, 0.49f});

	cr_assert_eq(a.cpu, 1);
	cr_assert_eq(a.memory, 400);
	cr_assert_eq(a.replicas, 2);
}

Test(scene, limits_move_by_a_share_of_themselves)
{
	const struct drpc_scene_action params = {
		.cpu_step = 0.2, .memory_step = 0.2, .headroom = 1.1};
	struct applied a = apply(&params, 0, 0.1, 64e6, 1, (const float[]){0.51f, 1, -1});

	cr_assert_float_eq(a.cpu, 1.2, 1e-9);
	cr_assert_float_eq(a.memory, 320, 1e-6);
	cr_assert_eq(a.replicas, 2);
	/* Beyond ±1 an output is clipped. */
	a = apply(&params, 0, 0.1, 64e6, 2, (const float[]){-1, -3, 0.75f});
	cr_assert_float_eq(a.cpu, 0.8, 1e-9);
	cr_assert_float_eq(a.memory, 460, 1e-4);
	cr_assert_eq(a.replicas, 1);
}

Test(scene, bounds_hold)
{
	struct drpc_scene_action params = drpc_scene_action_defaults();
	struct applied a;

	params.cpu_step = params.memory_step = 0.95;
	params.headroom = 0;
	a = apply(&params, 0, 0, 0, 3, (const float[]){1, -1, -1});
	cr_assert_float_eq(a.cpu, 0.1, 1e-9);
	cr_assert_float_eq(a.memory, 100, 1e-6);
	cr_assert_eq(a.replicas, 3);
	a = apply(&params, 0, 0, 0, 1, (const float[]){-1, 0, 0});
	cr_assert_eq(a.replicas, 1, "under the minimum the horizontal action is dropped");
}

Test(scene, what_is_in_use_is_not_cut)
{
	struct drpc_scene_action params = drpc_scene_action_defaults();
	const float down[] = {-1, -1, -1};
	struct applied a = apply(&params, 0, 0.9, 350 * 0x1p20, 1, down);

	cr_assert_float_eq(a.cpu, 0.99, 1e-9);
	cr_assert_float_eq(a.memory, 385, 1e-6);
	/* More than the limit is in use: it stays, and is not raised by a cut. */
	a = apply(&params, 0, 1.0, 390 * 0x1p20, 1, down);
	cr_assert_eq(a.cpu, 1);
	cr_assert_eq(a.memory, 400);
	/* One replica could not do the work of two. */
	a = apply(&params, 0, 1.2, 64e6, 2, (const float[]){-1, 0, 0});
	cr_assert_eq(a.replicas, 2);
	params.headroom = 0;
	a = apply(&params, 0, 0.9, 64e6, 1, down);
	cr_assert_float_eq(a.cpu, 0.7, 1e-9);
}

Test(scene, what_was_killed_gets_more_memory)
{
	const struct drpc_scene_action params = drpc_scene_action_defaults();
	struct drpc_sim_app *app = make_app(two_services);
	const struct drpc_sim_piece none = {1, 0, 0};
	const struct drpc_sim_config config = {.load = {.pieces = &none, .n_pieces = 1},
					       .needs = {.period_ns = 100000000}};
	const struct drpc_sim_service_obs seen = {
		.wanted = 1, .ready = 1, .memory_limit_bytes = 400 * 0x1p20, .oom_kills = 1};
	const struct drpc_sim_obs *obs = NULL;
	struct drpc_sim *sim = NULL;

	cr_assert_eq(drpc_sim_new(app, &config, &sim), 0);
	cr_assert_eq(drpc_scene_apply(&params, sim, &seen, (const float[]){0, 0, -1}), 0);
	cr_assert_eq(drpc_sim_step(sim, 100000000, &obs), 1);
	cr_assert_float_eq(obs->services[0].memory_limit_bytes / 0x1p20, 480, 1e-6);
	drpc_sim_free(&sim);
	drpc_sim_app_free(&app);
}

Test(scene, brownout_only_where_it_is_allowed)
{
	struct drpc_scene_action params = drpc_scene_action_defaults();
	const float down[] = {-1, 0, 0};

	cr_assert_eq(apply(&params, 1, 0, 0, 1, down).replicas, 1);
	params.brownout = true;
	cr_assert_eq(apply(&params, 1, 0, 0, 1, down).replicas, 0);
	cr_assert_eq(apply(&params, 0, 0, 0, 1, down).replicas, 1, "it is not optional");
}

Test(scene, an_output_that_is_no_number_moves_nothing)
{
	const struct drpc_scene_action params = drpc_scene_action_defaults();
	const struct applied a = apply(&params, 0, 0.1, 64e6, 2, (const float[]){NAN, NAN, -NAN});

	cr_assert_eq(a.cpu, 1);
	cr_assert_eq(a.memory, 400);
	cr_assert_eq(a.replicas, 2);
}
