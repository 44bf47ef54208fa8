// SPDX-License-Identifier: Apache-2.0
/* Training on small applications: that it helps, that it is the same however it is run, and what it
 * does with settings and folders that do not fit. */
#include <dirent.h>
#include <stdlib.h>

#include "teacher/students.h"
#include "tests/unit/sim/make.h"

/* Three tiers, small rates, limits of five times what is needed. */
static const char three_tier[] =
	"name: small\n"
	"slo-p99: 200ms\n"
	"cluster: {nodes: [{name: n, count: 2, cpu: 2, memory: 2Gi}], network: 100us exponential,\n"
	"  cpu-overcommit: 2}\n"
	"defaults: {max-replicas: 3, cpu: 1, min-cpu: 50m, max-cpu: 2, memory: 400Mi,\n"
	"  min-memory: 64Mi, max-memory: 1Gi, memory-base: 100Mi, startup: 2s}\n"
	"services:\n"
	"  web:\n"
	"    operations:\n"
	"      get: [{cpu: 4ms exponential}, {call: app.get}]\n"
	"  app:\n"
	"    operations:\n"
	"      get: [{cpu: 10ms exponential}, {call: db.get}]\n"
	"  db:\n"
	"    operations:\n"
	"      get: [{cpu: 6ms exponential}]\n"
	"requests: {all: {to: web.get}}\n";

static char *make_folder(void)
{
	char *folder = strdup("/tmp/drpc-train-XXXXXX");

	cr_assert_not_null(mkdtemp(folder));
	return folder;
}

static void remove_folder(char *folder)
{
	char command[256];

	snprintf(command, sizeof(command), "rm -r %s", folder);
	cr_assert_eq(system(command), 0);
	free(folder);
}

static struct drpc_train_config quick(const struct drpc_sim_app *app, enum drpc_td3_kind kind)
{
	struct drpc_train_config c = drpc_train_defaults(app, kind, DRPC_SCENE_PAPER);

	c.episodes = 8;
	c.envs = 2;
	c.steps = 10;
	c.random_episodes = 4;
	c.choose_every = 1;
	c.choose_traces = 2;
	c.choose_seconds = 50;
	c.td3.batch = 16;
	c.td3.n_hidden = 2;
	c.td3.hidden[0] = c.td3.hidden[1] = 16;
	c.replay = 500;
	c.least_rps = 5;
	c.most_rps = 20;
	c.seed = 3;
	return c;
}

static void assert_same(const struct drpc_td3 *a, const struct drpc_td3 *b)
{
	cr_assert_eq(a->actor.net.n_params, b->actor.net.n_params);
	cr_assert_eq(
		memcmp(a->actor.params, b->actor.params, a->actor.net.n_params * sizeof(float)), 0);
}

static void assert_same_scores(const struct drpc_train_report *a, const struct drpc_train_report *b)
{
	cr_assert_eq(a->n_scores, b->n_scores);
	cr_assert_eq(a->best, b->best);
	cr_assert_eq(a->updates, b->updates);
	cr_assert_eq(memcmp(a->scores, b->scores, a->n_scores * sizeof(a->scores[0])), 0);
}

/* --- that it helps ------------------------------------------------------------------------------- */

Test(train, a_short_training_beats_no_training, .timeout = 300)
{
	struct drpc_sim_app *app = make_app(three_tier);
	struct drpc_train_config c = quick(app, DRPC_TD3_POOLED);
	static struct drpc_train_report report;
	struct drpc_train_score before, after;
	struct drpc_td3 *td3 = NULL, *untrained = NULL;
	struct drpc_td3_config fresh;

	c.episodes = 240;
	c.envs = 4;
	c.steps = 30;
	c.random_episodes = 8;
	c.explore_episodes = 180;
	c.choose_every = 5;
	c.choose_seconds = 150;
	c.updates = 2;
	c.td3.batch = 64;
	c.td3.hidden[0] = c.td3.hidden[1] = 32;
	c.replay = 5000;
	c.jobs = 2;
	cr_assert_eq(drpc_train(&c, &td3, &report), 0);
	/* As it was before the first episode, on traces that neither training nor choosing had. */
	fresh = td3->config;
	cr_assert_eq(drpc_td3_new(&fresh, &untrained), 0);
	cr_assert_eq(drpc_train_judge(&c, DRPC_ENV_JUDGED, 4, 200, drpc_train_teacher_acts,
				      untrained, &before),
		     0);
	cr_assert_eq(
		drpc_train_judge(&c, DRPC_ENV_JUDGED, 4, 200, drpc_train_teacher_acts, td3, &after),
		0);
	cr_assert_gt(after.reward, before.reward + 0.05, "reward %g, untrained %g", after.reward,
		     before.reward);
	cr_assert_gt(after.cpu, 3 * before.cpu, "CPU %g, untrained %g", after.cpu, before.cpu);
	drpc_td3_free(&td3);
	drpc_td3_free(&untrained);
	drpc_sim_app_free(&app);
}

/* --- the same, however it is run ------------------------------------------------------------------ */

Test(train, resumed_bit_for_bit)
{
	static const enum drpc_td3_kind kinds[] = {DRPC_TD3_JOINT, DRPC_TD3_POOLED};
	struct drpc_sim_app *app = make_app(three_tier);
	static struct drpc_train_report whole, parts;

	for (size_t k = 0; k < DRPC_ARRAY_SIZE(kinds); k++) {
		struct drpc_train_config c = quick(app, kinds[k]);
		char *one = make_folder(), *other = make_folder();
		struct drpc_td3 *a = NULL, *b = NULL;

		c.out = one;
		cr_assert_eq(drpc_train(&c, &a, &whole), 0);
		cr_assert_gt(whole.updates, 0);
		c.out = other;
		c.episodes = 6; /* after the random ones, in the middle of exploration */
		cr_assert_eq(drpc_train(&c, &b, &parts), 0);
		drpc_td3_free(&b);
		c.episodes = 8;
		c.resume = true;
		cr_assert_eq(drpc_train(&c, &b, &parts), 0);
		assert_same(a, b);
		assert_same_scores(&whole, &parts);
		drpc_td3_free(&a);
		drpc_td3_free(&b);
		remove_folder(one);
		remove_folder(other);
	}
	drpc_sim_app_free(&app);
}

Test(train, the_same_with_any_number_of_threads)
{
	struct drpc_sim_app *app = make_app(three_tier);
	struct drpc_train_config c = quick(app, DRPC_TD3_POOLED);
	static struct drpc_train_report one, three;
	struct drpc_td3 *a = NULL, *b = NULL;

	cr_assert_eq(drpc_train(&c, &a, &one), 0);
	c.jobs = 3;
	cr_assert_eq(drpc_train(&c, &b, &three), 0);
	assert_same(a, b);
	assert_same_scores(&one, &three);
	drpc_td3_free(&a);
	drpc_td3_free(&b);
	drpc_sim_app_free(&app);
}

Test(train, another_seed_is_another_training)
{
	struct drpc_sim_app *app = make_app(three_tier);
	struct drpc_train_config c = quick(app, DRPC_TD3_POOLED);
	static struct drpc_train_report report;
	struct drpc_td3 *a = NULL, *b = NULL;

	cr_assert_eq(drpc_train(&c, &a, &report), 0);
	c.seed++;
	cr_assert_eq(drpc_train(&c, &b, &report), 0);
	cr_assert_neq(
		memcmp(a->actor.params, b->actor.params, a->actor.net.n_params * sizeof(float)), 0);
	drpc_td3_free(&a);
	drpc_td3_free(&b);
	drpc_sim_app_free(&app);
}

/* --- traces -------------------------------------------------------------------------------------- */

Test(train, traces_stay_within_their_rates)
{
	struct drpc_sim_app *app = make_app(three_tier);
	double least, most, lowest = INFINITY, highest = 0;

	drpc_env_rates(app, &least, &most);
	/* Two thirds of four cores, 20 ms a request. */
	cr_assert_float_eq(most, 4 * 2.0 / 3 / 0.020, 1e-6);
	for (uint64_t seed = 0; seed < 50; seed++) {
		struct drpc_env_load load;
		double seconds = 0;

		cr_assert_eq(drpc_env_load_draw(app, seed, 123, least, most, &load), 0);
		for (size_t i = 0; i < load.n; i++) {
			seconds += load.pieces[i].duration_s;
			lowest = fmin(lowest, load.pieces[i].from_rps);
			highest = fmax(highest, load.pieces[i].from_rps);
			cr_assert(load.pieces[i].from_rps >= least &&
				  load.pieces[i].from_rps <= most);
			cr_assert(i + 1 == load.n ||
				  load.pieces[i].to_rps == load.pieces[i + 1].from_rps);
		}
		cr_assert_geq(seconds, 123);
		cr_assert_null(load.shares, "no class is called as a user type is");
		drpc_env_load_done(&load);
	}
	cr_assert_gt(highest, 2 * lowest);
	drpc_sim_app_free(&app);
}

/* --- students ------------------------------------------------------------------------------------ */

Test(train, students_do_as_their_teacher, .timeout = 300)
{
	struct drpc_sim_app *app = make_app(three_tier);
	struct drpc_train_config c = quick(app, DRPC_TD3_POOLED);
	struct drpc_students_config lessons = drpc_students_defaults();
	static struct drpc_train_report report;
	struct drpc_students_report judged;
	struct drpc_policy_net **nets = NULL;
	char *folder = make_folder(), path[256];
	struct drpc_td3 *td3 = NULL;

	c.out = folder;
	c.episodes = 16;
	c.steps = 20;
	cr_assert_eq(drpc_train(&c, &td3, &report), 0);
	lessons.rounds = 2;
	lessons.traces = 4;
	lessons.seconds = 200;
	lessons.epochs = 30;
	lessons.command = "drpc-sim train";
	cr_assert_eq(drpc_students_teach(&c, &lessons, td3, 2, 100, &judged), 0);
	cr_assert_gt(judged.own.reward_ratio, 0.9);
	cr_assert_lt(judged.own.differ, 0.3);
	cr_assert_eq(judged.own.pairs, 3 * 2 * (100 * DRPC_NSEC_PER_SEC / c.env.period_ns - 1));
	/* Files for each, with where they come from. */
	snprintf(path, sizeof(path), "%s/students-paper", folder);
	cr_assert_eq(drpc_students_load(path, app, &nets), 0);
	cr_assert_eq(drpc_policy_net_info(nets[0])->n_inputs, DRPC_F_PAPER_COUNT);
	cr_assert_str_eq(drpc_policy_net_info(nets[0])->command, "drpc-sim train");
	cr_assert_neq(strcmp(drpc_policy_net_info(nets[0])->digest,
			     drpc_policy_net_info(nets[1])->digest),
		      0);
	drpc_students_free(&nets, app);
	/* One that nobody knew takes the shared one. */
	snprintf(path, sizeof(path), "%s/students-paper/db.policy", folder);
	cr_assert_eq(unlink(path), 0);
	snprintf(path, sizeof(path), "%s/students-paper", folder);
	cr_assert_eq(drpc_students_load(path, app, &nets), 0);
	drpc_students_free(&nets, app);
	drpc_td3_free(&td3);
	remove_folder(folder);
	drpc_sim_app_free(&app);
}

/* --- what does not fit --------------------------------------------------------------------------- */

Test(train, refuses_what_cannot_train)
{
	struct drpc_sim_app *app = make_app(three_tier);
	struct drpc_train_config c = quick(app, DRPC_TD3_POOLED);
	static struct drpc_train_report report;
	struct drpc_td3 *td3 = NULL;
	char *folder = make_folder();

	c.env.period_ns = 50000000;
	cr_assert_eq(drpc_train(&c, &td3, &report), -EINVAL);
	c = quick(app, DRPC_TD3_POOLED);
	c.envs = 0;
	cr_assert_eq(drpc_train(&c, &td3, &report), -EINVAL);
	c = quick(app, DRPC_TD3_POOLED);
	c.td3.gamma = 1;
	cr_assert_eq(drpc_train(&c, &td3, &report), -EINVAL);
	c = quick(app, DRPC_TD3_POOLED);
	c.resume = true;
	cr_assert_eq(drpc_train(&c, &td3, &report), -EINVAL, "no folder");
	c.out = folder;
	cr_assert_eq(drpc_train(&c, &td3, &report), -ENOENT, "nothing in it");
	cr_assert_null(td3);
	remove_folder(folder);
	drpc_sim_app_free(&app);
}

Test(train, a_folder_of_other_settings_is_not_resumed)
{
	struct drpc_sim_app *app = make_app(three_tier);
	struct drpc_train_config c = quick(app, DRPC_TD3_POOLED);
	static struct drpc_train_report report;
	struct drpc_td3 *td3 = NULL;
	char *folder = make_folder();

	c.out = folder;
	c.episodes = 2;
	cr_assert_eq(drpc_train(&c, &td3, &report), 0);
	drpc_td3_free(&td3);
	c.resume = true;
	c.td3.gamma = 0.5;
	cr_assert_eq(drpc_train(&c, &td3, &report), -EINVAL);
	cr_assert_null(td3);
	remove_folder(folder);
	drpc_sim_app_free(&app);
}
