// SPDX-License-Identifier: Apache-2.0
#include "sim/policies/firm.h"

#include <unistd.h>

#include "sim/policies/policies.h"
#include "sim/sim.h"
#include "tests/unit/sim/make.h"

Test(sim_firm, one_resource_by_the_largest_output)
{
	float action[DRPC_DDPG_ACTION] = {0};
	struct drpc_firm_choice c;

	action[5] = 0.4f;
	c = drpc_firm_choose(action);
	cr_assert_eq(c.resource, DRPC_FIRM_MEMORY);
	cr_assert_eq(c.direction, -1);
	cr_assert_eq(drpc_firm_index(c), 5);
	action[1] = 0.5f;
	c = drpc_firm_choose(action);
	cr_assert_eq(c.resource, DRPC_FIRM_CPU);
	cr_assert_eq(c.direction, 1);
	cr_assert_eq(drpc_firm_index(c), 1);
	action[0] = 0.6f;
	cr_assert_eq(drpc_firm_choose(action).direction, 0);
	/* What the simulator does not bound cannot win. */
	action[14] = action[6] = 1;
	cr_assert_eq(drpc_firm_choose(action).resource, DRPC_FIRM_CPU);
}

static struct drpc_sim_service_obs service = {
	.cpu_utilisation = 0.5, .memory_utilisation = 0.25, .rate_rps = 150};
static struct drpc_sim_class_obs classes[] = {
	{.rate_rps = 60}, {.rate_rps = 30}, {.rate_rps = 6}, {.rate_rps = 4}};
static const struct drpc_sim_obs seen = {.services = &service,
					 .n_services = 1,
					 .classes = classes,
					 .n_classes = 4,
					 .ended = 1000,
					 .failed = 10,
					 .p99_ns = 400e6,
					 .slo_ns = 200e6};

Test(sim_firm, state_of_ten)
{
	const float expected[DRPC_DDPG_STATE] = {0.5f, 0.25f, 0,    0,	  0,
						 0.5f, 1.5f,  0.6f, 0.3f, 0.06f};
	float state[DRPC_DDPG_STATE];

	drpc_firm_state(&seen, 0, 100, state);
	for (int i = 0; i < DRPC_DDPG_STATE; i++)
		cr_assert_float_eq(state[i], expected[i], 1e-6, "%d: %g", i, (double)state[i]);
	cr_assert_float_eq(drpc_firm_reward(state), 5 * 0.5 + 0.75, 1e-6);
}

Test(sim_firm, retention)
{
	struct drpc_sim_obs obs = seen;

	cr_assert_float_eq(drpc_firm_retention(&obs), 0.5, 1e-12);
	obs.p99_ns = 100e6;
	cr_assert_float_eq(drpc_firm_retention(&obs), 1, 1e-12);
	obs.failed = 11; /* more than 1 % */
	cr_assert_float_eq(drpc_firm_retention(&obs), 0.1, 1e-12);
}

#define SHOP                                                                                 \
	"name: t\nslo-p99: 100ms\n" ONE_NODE                                                 \
	"defaults: {min-cpu: 100m, max-cpu: 4, max-replicas: 3, memory: 256Mi, min-memory: " \
	"64Mi, max-memory: 1Gi}\n"                                                           \
	"services:\n"                                                                        \
	"  web:\n    cpu: 1\n    operations: {x: [cpu: 2ms, call: back.y]}\n"                \
	"  back:\n    cpu: 1\n    operations: {y: [cpu: 4ms exponential]}\n"                 \
	"requests: {all: {to: web.x}}\n"

/* Learns through a file over two runs; without one it says so. */
Test(sim_firm, learns_into_its_file, .timeout = 120)
{
	struct drpc_sim_app *app = make_app(SHOP);
	const struct drpc_sim_piece piece = {1e9, 100, 100};
	const struct drpc_sim_config config = {.load = {.pieces = &piece, .n_pieces = 1}};
	char pair[64] = "model=", beside[80], *path = pair + strlen(pair);
	const char *const pairs[] = {pair, "learn=1"};
	struct drpc_sim_params params = {pairs, 2, 1};
	struct drpc_sim_result r, again;

	snprintf(path, sizeof(pair) - 6, "/tmp/drpc-test-firm.%d", getpid());
	snprintf(beside, sizeof(beside), "%s.replay", path);
	unlink(path);
	params.n_pairs = 1;
	cr_assert_eq(
		drpc_sim_evaluate(app, &config, &drpc_sim_policy_firm, &params, 60, NULL, NULL, &r),
		-ENOENT);
	params.n_pairs = 2;
	for (int run = 0; run < 2; run++)
		cr_assert_eq(drpc_sim_evaluate(app, &config, &drpc_sim_policy_firm, &params, 120,
					       NULL, NULL, &r),
			     0);
	cr_assert_gt(r.actions, 5, "something else is tried at first");
	cr_assert_eq(access(beside, F_OK), 0, "what it learns from lies beside it");
	unlink(beside);
	params.n_pairs = 1;
	cr_assert_eq(
		drpc_sim_evaluate(app, &config, &drpc_sim_policy_firm, &params, 60, NULL, NULL, &r),
		0);
	cr_assert_eq(drpc_sim_evaluate(app, &config, &drpc_sim_policy_firm, &params, 60, NULL, NULL,
				       &again),
		     0);
	cr_assert_eq(r.actions, again.actions);
	cr_assert_eq(r.mean_ms, again.mean_ms);
	unlink(path);
	drpc_sim_app_free(&app);
}

/* --- while it learns ---------------------------------------------------------------------------- */

static int windows, moved;
static double most_cores;

static int watch(void *self, struct drpc_sim *sim, const struct drpc_sim_obs *obs)
{
	double cores = 0;
	bool as_in_the_file = true;

	for (size_t i = 0; i < obs->n_services; i++) {
		cores += obs->services[i].cpu_limit_cores * obs->services[i].wanted;
		as_in_the_file &= obs->services[i].cpu_limit_cores == 1 &&
				  obs->services[i].wanted == 1 &&
				  obs->services[i].memory_limit_bytes == 256.0 * 1048576;
	}
	most_cores = fmax(most_cores, cores);
	windows++;
	moved += !as_in_the_file;
	if (windows == 13 || windows == 25)
		cr_assert(as_in_the_file, "window %d", windows);
	return drpc_sim_policy_firm.decide(self, sim, obs);
}

static void learn_watched(const char *text)
{
	struct drpc_sim_app *app = make_app(text);
	const struct drpc_sim_piece piece = {1e9, 100, 100};
	const struct drpc_sim_config config = {.load = {.pieces = &piece, .n_pieces = 1}};
	char pair[64] = "model=", beside[80], *path = pair + strlen(pair);
	const char *const pairs[] = {pair, "learn=1"};
	const struct drpc_sim_params params = {pairs, 2, 1};
	struct drpc_sim_policy policy = drpc_sim_policy_firm;
	struct drpc_sim_result r;

	snprintf(path, sizeof(pair) - 6, "/tmp/drpc-test-firm-w.%d", getpid());
	snprintf(beside, sizeof(beside), "%s.replay", path);
	unlink(path);
	policy.decide = watch;
	cr_assert_eq(drpc_sim_evaluate(app, &config, &policy, &params, 150, NULL, NULL, &r), 0);
	cr_assert_eq(windows, 30);
	cr_assert_gt(moved, 5);
	unlink(path);
	unlink(beside);
	drpc_sim_app_free(&app);
}

#define SMALL(slo, cpu)                                                                      \
	"name: t\nslo-p99: " slo "\ncluster: {nodes: [{cpu: " cpu ", memory: 8Gi}]}\n"       \
	"defaults: {min-cpu: 100m, max-cpu: 4, max-replicas: 3, memory: 256Mi, min-memory: " \
	"64Mi, max-memory: 1Gi}\n"                                                           \
	"services:\n"                                                                        \
	"  web:\n    cpu: 1\n    operations: {x: [cpu: 2ms, call: back.y]}\n"                \
	"  back:\n    cpu: 1\n    operations: {y: [cpu: 4ms exponential]}\n"                 \
	"requests: {all: {to: web.x}}\n"

/* An objective that nobody can meet: after each twelve windows the file's limits are back. */
Test(sim_firm, begins_anew_out_of_a_collapse, .timeout = 120)
{
	learn_watched(SMALL("1us", "64"));
}

/* Two cores, both handed out: nobody gets more. */
Test(sim_firm, takes_no_more_than_there_is, .timeout = 120)
{
	learn_watched(SMALL("1us", "2"));
	cr_assert_leq(most_cores, 2 + 1e-9);
}
