// SPDX-License-Identifier: Apache-2.0
#include "teacher/students.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/log.h"
#include "lib/util.h"
#include "teacher/train_internal.h"

#define SHARED	      "shared"
#define CAPACITY      20000
#define SHARED_EPOCHS 4 /* of a deployment's are one of the shared one's, which has all pairs */

struct school {
	const struct drpc_train_config *train;
	const struct drpc_students_config *config;
	struct drpc_td3 *teacher;
	size_t n;			    /* deployments; the shared student is number n */
	struct drpc_imitation **imitations; /* [n + 1] */
	struct drpc_policy_net **nets;	    /* [n + 1], of the last round; NULL before */
	float *says;			    /* [n][3], the teacher */
	bool students_act, shared_acts, learn;
	/* What the teacher met on judging traces. */
	float *features, *outputs; /* [pairs][n] */
	size_t pairs, room;
};

struct drpc_students_config drpc_students_defaults(void)
{
	return (struct drpc_students_config){
		.rounds = 4, .traces = 8, .seconds = 300, .epochs = 60, .lr = 2e-3};
}

/* --- acting ---------------------------------------------------------------------------------------- */

static int keep_pair(struct school *s, const float *features)
{
	const size_t f = s->n * DRPC_F_COUNT, o = s->n * (size_t)DRPC_OUT_COUNT;

	if (s->n == 0) /* no deployments, nothing to keep */
		return 0;
	if (s->pairs == s->room) {
		const size_t room = s->room ? 2 * s->room : 256;
		float *more = realloc(s->features, room * f * sizeof(*more));

		if (!more)
			return -ENOMEM;
		s->features = more;
		more = realloc(s->outputs, room * o * sizeof(*more));
		if (!more)
			return -ENOMEM;
		s->outputs = more;
		s->room = room;
	}
	memcpy(s->features + s->pairs * f, features, f * sizeof(*features));
	memcpy(s->outputs + s->pairs * o, s->says, o * sizeof(*s->says));
	s->pairs++;
	return 0;
}

static int students_answer(const struct school *s, const float *features, float *actions)
{
	int err = 0;

	for (size_t i = 0; i < s->n && !err; i++)
		err = drpc_policy_net_forward(s->nets[s->shared_acts ? s->n : i],
					      features + i * DRPC_F_COUNT,
					      actions + i * DRPC_OUT_COUNT);
	return err;
}

/* Students answer for themselves; whoever acts, a lesson hears what the teacher says. */
static int act(void *arg, const struct drpc_env *env, float *actions)
{
	struct school *s = arg;
	const float *features = drpc_env_features(env);
	int err = drpc_train_teacher_acts(s->teacher, env, s->says);

	for (size_t i = 0; i < s->n && s->learn && !err; i++) {
		err = drpc_imitation_push(s->imitations[i], features + i * DRPC_F_COUNT,
					  s->says + i * DRPC_OUT_COUNT);
		if (!err)
			err = drpc_imitation_push(s->imitations[s->n], features + i * DRPC_F_COUNT,
						  s->says + i * DRPC_OUT_COUNT);
	}
	if (!err && s->students_act)
		return students_answer(s, features, actions);
	if (!err && !s->learn)
		err = keep_pair(s, features);
	if (!err)
		memcpy(actions, s->says, s->n * DRPC_OUT_COUNT * sizeof(*actions));
	return err;
}

/* --- lessons --------------------------------------------------------------------------------------- */

static int imitate(struct school *s, size_t i, bool last)
{
	const struct drpc_policy_info none = {.reward = NAN};
	const int rates = last ? 4 : 1;
	double loss;
	int err = 0;

	for (int k = 0; k < rates && !err; k++) {
		/* Down to a tenth at the end. */
		err = drpc_imitation_rate(s->imitations[i], s->config->lr * pow(0.1, k / 3.0));
		if (!err)
			err = drpc_imitation_train(s->imitations[i], &loss);
	}
	if (err)
		return err;
	drpc_policy_net_free(&s->nets[i]);
	return drpc_imitation_policy(s->imitations[i], &none, &s->nets[i]);
}

static int imitate_piece(void *arg, size_t i)
{
	struct school *s = arg;

	return imitate(s, i, false);
}

static int imitate_last(void *arg, size_t i)
{
	struct school *s = arg;

	return imitate(s, i, true);
}

static int lessons(struct school *s)
{
	const struct drpc_students_config *c = s->config;
	struct drpc_train_config on = *s->train;
	struct drpc_crew *crew = NULL;
	struct drpc_train_score score;
	int err = drpc_crew_new(on.jobs, &crew);

	for (size_t round = 0; round < c->rounds && !err; round++) {
		struct train_stage stage = {0};
		/* In training's part of the seeds, away from the small numbers that tests take. */
		const uint64_t first =
			DRPC_ENV_CHOOSING / 2 + on.seed % 1000 * 100000 + round * c->traces;

		s->learn = true;
		s->students_act = round > 0;
		err = train_stage_init(&stage, &on.env, c->traces);
		stage.spread = on.spread;
		if (!err)
			err = train_judge(&on, &stage, crew, first, c->seconds, act, s, &score);
		train_stage_done(&stage);
		if (err)
			break;
		drpc_crew_start(crew, s->n + 1,
				round + 1 == c->rounds ? imitate_last : imitate_piece, s);
		err = drpc_crew_finish(crew);
	}
	s->learn = false;
	drpc_crew_free(&crew);
	return err;
}

/* --- judging --------------------------------------------------------------------------------------- */

static void add_report(struct drpc_imitation_report *sum, const struct drpc_imitation_report *one,
		       size_t n)
{
	sum->pairs += one->pairs;
	sum->mse += one->mse / (double)n;
	sum->differ += one->differ / (double)n;
	for (int o = 0; o < DRPC_OUT_COUNT; o++) {
		sum->differ_in[o] += one->differ_in[o] / (double)n;
		for (int t = 0; t < DRPC_MOVES; t++) {
			for (int u = 0; u < DRPC_MOVES; u++)
				sum->moves[o][t][u] += one->moves[o][t][u];
		}
	}
}

/* Each deployment's student, or the shared one, on what the teacher met. */
static int compare(const struct school *s, bool shared, struct drpc_imitation_report *ret)
{
	_cleanup_free_ float *features = malloc(s->pairs * DRPC_F_COUNT * sizeof(*features) + 1);
	_cleanup_free_ float *outputs = malloc(s->pairs * DRPC_OUT_COUNT * sizeof(*outputs) + 1);
	struct drpc_imitation_report sum = {.reward_ratio = NAN};
	int err = features && outputs ? 0 : -ENOMEM;

	for (size_t i = 0; i < s->n && !err; i++) {
		struct drpc_imitation_report one;

		for (size_t p = 0; p < s->pairs; p++) {
			memcpy(features + p * DRPC_F_COUNT,
			       s->features + (p * s->n + i) * DRPC_F_COUNT,
			       DRPC_F_COUNT * sizeof(*features));
			memcpy(outputs + p * DRPC_OUT_COUNT,
			       s->outputs + (p * s->n + i) * DRPC_OUT_COUNT,
			       DRPC_OUT_COUNT * sizeof(*outputs));
		}
		err = drpc_imitation_compare_net(s->nets[shared ? s->n : i], s->pairs, features,
						 outputs, &one);
		if (!err)
			add_report(&sum, &one, s->n);
	}
	if (!err)
		*ret = sum;
	return err;
}

static int judge(struct school *s, size_t traces, double seconds, struct drpc_students_report *ret)
{
	int err;

	s->students_act = s->shared_acts = false;
	err = drpc_train_judge(s->train, DRPC_ENV_JUDGED, traces, seconds, act, s, &ret->teacher);
	s->students_act = true;
	if (!err)
		err = drpc_train_judge(s->train, DRPC_ENV_JUDGED, traces, seconds, act, s,
				       &ret->students);
	s->shared_acts = true;
	if (!err)
		err = drpc_train_judge(s->train, DRPC_ENV_JUDGED, traces, seconds, act, s,
				       &ret->of_shared);
	if (!err)
		err = compare(s, false, &ret->own);
	if (!err)
		err = compare(s, true, &ret->shared);
	if (err)
		return err;
	ret->own.reward_ratio = ret->students.reward / ret->teacher.reward;
	ret->shared.reward_ratio = ret->of_shared.reward / ret->teacher.reward;
	return 0;
}

/* --- files ----------------------------------------------------------------------------------------- */

static int save_one(const struct school *s, size_t i, const char *folder,
		    const struct drpc_students_report *report)
{
	const struct drpc_sim_app *app = s->train->env.app;
	const bool shared = i == s->n;
	const struct drpc_imitation_report *r = shared ? &report->shared : &report->own;
	struct drpc_policy_info info = {
		.reward = (float)(shared ? report->of_shared : report->students).reward,
		.created_s = (uint64_t)time(NULL),
		.report = {.states = r->pairs,
			   .differ = (float)r->differ,
			   .opposed = drpc_imitation_opposed(r),
			   .reward_ratio = (float)r->reward_ratio},
	};
	_cleanup_free_ char *path = NULL;

	for (int o = 0; o < DRPC_OUT_COUNT; o++)
		info.report.differ_in[o] = (float)r->differ_in[o];
	snprintf(info.method, sizeof(info.method), "imitation of a TD3 teacher (%s, %llu updates)",
		 s->teacher->config.kind == DRPC_TD3_JOINT ? "joint" : "pooled",
		 (unsigned long long)s->teacher->updates);
	snprintf(info.data, sizeof(info.data), "simulated %s, %zu rounds of %zu traces, seed %llu",
		 app->name, s->config->rounds, s->config->traces,
		 (unsigned long long)s->train->seed);
	snprintf(info.program, sizeof(info.program), "drpc-sim %s", DRPC_VERSION);
	if (s->config->source)
		drpc_strcpy(info.source, sizeof(info.source), s->config->source);
	if (s->config->command)
		drpc_strcpy(info.command, sizeof(info.command), s->config->command);
	if (asprintf(&path, "%s/%s.policy", folder, shared ? SHARED : app->services[i].name) < 0)
		return -ENOMEM;
	return drpc_imitation_save(s->imitations[i], &info, path);
}

static int save(const struct school *s, const struct drpc_students_report *report)
{
	_cleanup_free_ char *folder = NULL;
	int err = 0;

	if (!s->train->out)
		return 0;
	if (asprintf(&folder, "%s/students-%s", s->train->out,
		     drpc_scene_profile_name(s->train->env.profile)) < 0)
		return -ENOMEM;
	if (mkdir(folder, 0777) < 0 && errno != EEXIST)
		return drpc_err(-errno, "students: %s", folder);
	for (size_t i = 0; i <= s->n && !err; i++)
		err = save_one(s, i, folder, report);
	return err;
}

/* --- school ---------------------------------------------------------------------------------------- */

static int school_open(struct school *s)
{
	struct drpc_imitation_config config =
		drpc_imitation_defaults(drpc_scene_inputs(s->train->env.profile));
	int err = 0;

	s->imitations = calloc(s->n + 1, sizeof(*s->imitations));
	s->nets = calloc(s->n + 1, sizeof(*s->nets));
	s->says = calloc(s->n * DRPC_OUT_COUNT, sizeof(*s->says));
	if (!s->imitations || !s->nets || !s->says)
		return drpc_err(-ENOMEM, "students: %zu deployments", s->n);
	config.lr = s->config->lr;
	config.same_decision = true;
	for (size_t i = 0; i <= s->n && !err; i++) {
		const bool shared = i == s->n;

		config.seed = s->train->seed * 1000003 + i;
		config.capacity = shared ? s->n * CAPACITY / 8 : CAPACITY;
		config.epochs = shared ? DRPC_MAX(s->config->epochs / SHARED_EPOCHS / 2, (size_t)1)
				       : s->config->epochs;
		err = drpc_imitation_new(&config, &s->imitations[i]);
	}
	return err;
}

static void school_close(struct school *s)
{
	for (size_t i = 0; i <= s->n; i++) {
		if (s->imitations)
			drpc_imitation_free(&s->imitations[i]);
		if (s->nets)
			drpc_policy_net_free(&s->nets[i]);
	}
	free(s->imitations);
	free(s->nets);
	free(s->says);
	free(s->features);
	free(s->outputs);
}

int drpc_students_teach(const struct drpc_train_config *train,
			const struct drpc_students_config *config, struct drpc_td3 *teacher,
			size_t judge_traces, double judge_seconds, struct drpc_students_report *ret)
{
	struct school s = {.train = train,
			   .config = config,
			   .teacher = teacher,
			   .n = train->env.app->n_services};
	struct drpc_students_report report = {0};
	int err;

	if (config->rounds < 1 || config->traces < 1 || config->epochs < 1)
		return drpc_err(
			-EINVAL,
			"students: %zu rounds of %zu traces, %zu epochs: expected 1 or more",
			config->rounds, config->traces, config->epochs);
	err = school_open(&s);
	if (!err)
		err = lessons(&s);
	if (!err)
		err = judge(&s, judge_traces, judge_seconds, &report);
	if (!err)
		err = save(&s, &report);
	school_close(&s);
	if (!err)
		*ret = report;
	return err;
}

/* --- loading --------------------------------------------------------------------------------------- */

void drpc_students_free(struct drpc_policy_net ***nets, const struct drpc_sim_app *app)
{
	if (!*nets)
		return;
	for (uint32_t i = 0; i < app->n_services; i++)
		drpc_policy_net_free(&(*nets)[i]);
	free(*nets);
	*nets = NULL;
}

/* The file for a service; the caller frees. */
static char *policy_path(const char *path, bool folder, const char *service)
{
	char *file = NULL;

	if (!folder)
		return strdup(path);
	if (asprintf(&file, "%s/%s.policy", path, service) < 0)
		return NULL;
	if (access(file, F_OK) == 0)
		return file;
	free(file);
	return asprintf(&file, "%s/%s.policy", path, SHARED) < 0 ? NULL : file;
}

int drpc_students_load(const char *path, const struct drpc_sim_app *app,
		       struct drpc_policy_net ***ret)
{
	struct drpc_policy_net **nets = calloc(app->n_services, sizeof(*nets));
	struct stat st;
	int err = nets ? 0 : -ENOMEM;

	if (!err && stat(path, &st) < 0)
		err = drpc_err(-errno, "students: %s", path);
	for (uint32_t i = 0; i < app->n_services && !err; i++) {
		_cleanup_free_ char *file =
			policy_path(path, S_ISDIR(st.st_mode), app->services[i].name);

		err = file ? drpc_policy_file_load(file, &nets[i]) : -ENOMEM;
	}
	if (err) {
		drpc_students_free(&nets, app);
		return err;
	}
	*ret = nets;
	return 0;
}
