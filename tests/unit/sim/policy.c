// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/sim/make.h"

static const char *const pairs[] = {"target=0.6", "name=x=y", "empty="};
static const struct drpc_sim_params params = {pairs, 3, 1};

Test(sim_policy, parameters)
{
	static const char *const all[] = {"target", "name", "empty", NULL};
	static const char *const some[] = {"target", "names", "empty", NULL};
	static const char *const no_pair[] = {"target"};
	double value = 7;

	cr_assert_eq(drpc_sim_param_number(&params, "target", &value), 0);
	cr_assert_eq(value, 0.6);
	cr_assert_eq(drpc_sim_param_number(&params, "targe", &value), 0);
	cr_assert_eq(value, 0.6, "not there: untouched");
	cr_assert_eq(drpc_sim_param_number(&params, "name", &value), -EINVAL);
	cr_assert_eq(drpc_sim_param_number(&params, "empty", &value), -EINVAL);
	cr_assert_str_eq(drpc_sim_param(&params, "name"), "x=y");
	cr_assert_null(drpc_sim_param(&params, "nam"));
	cr_assert_eq(drpc_sim_params_check(&params, all), 0);
	cr_assert_eq(drpc_sim_params_check(&params, some), -EINVAL);
	cr_assert_eq(drpc_sim_params_check(&(struct drpc_sim_params){no_pair, 1, 0}, all), -EINVAL);
}

struct counter {
	int decisions;
	uint32_t replicas;
};

static struct counter counter;

static int count_create(struct drpc_sim *sim, const struct drpc_sim_params *p,
			struct drpc_sim_needs *needs, void **ret)
{
	(void)p;
	needs->period_ns = 2000000000;
	*ret = &counter;
	/* Before the run: at once, as if it had always been so. */
	return drpc_sim_set_replicas(sim, (uint32_t)drpc_sim_service_find(sim, "s"), 3);
}

static int count_decide(void *self, struct drpc_sim *sim, const struct drpc_sim_obs *obs)
{
	struct counter *c = self;

	c->decisions++;
	c->replicas = obs->services[0].ready;
	return obs->end_ns == 8000000000 ? drpc_sim_set_replicas(sim, 0, 1) : 0;
}

static const struct drpc_sim_policy counting = {
	.name = "counting", .create = count_create, .decide = count_decide};

static const char text[] =
	"name: t\nslo-p99: 1s\ncluster: {nodes: [{cpu: 4, memory: 8Gi}]}\nservices:\n"
	"  s: {max-replicas: 3, operations: {x: [cpu: 1ms]}}\nrequests: {all: {to: s.x}}\n";

Test(sim_policy, a_policy_decides_at_its_periods)
{
	struct drpc_sim_app *app = make_app(text);
	const struct drpc_sim_piece piece = {1e9, 100, 100};
	const struct drpc_sim_config config = {.load = {.pieces = &piece, .n_pieces = 1},
					       .seed = 1};
	const struct drpc_sim_params none = {NULL, 0, 1};
	struct drpc_sim_result r;

	cr_assert_eq(drpc_sim_evaluate(app, &config, &counting, &none, 21, NULL, NULL, &r), 0);
	cr_assert_eq(counter.decisions, 10);
	cr_assert_eq(counter.replicas, 1);
	cr_assert_eq(r.actions, 2);
	assert_within(r.replicas_mean, (8 * 3 + 13) / 21.0, 0.01, "replicas");
	cr_assert_eq(
		drpc_sim_evaluate(app, &config, &drpc_sim_policy_static, &none, 20, NULL, NULL, &r),
		0);
	cr_assert_eq(r.actions, 0);
	cr_assert_eq(drpc_sim_evaluate(app, &config, &drpc_sim_policy_static, &params, 20, NULL,
				       NULL, &r),
		     -EINVAL, "it has no parameters");
	drpc_sim_app_free(&app);
}
