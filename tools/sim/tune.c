// SPDX-License-Identifier: Apache-2.0
/* `drpc-sim tune`: trains the policies that learn, on the training traces alone. */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/log.h"
#include "lib/util.h"
#include "nn/model_file.h"
#include "sim/policies/policies.h"
#include "tools/sim/contest.h"
#include "tools/sim/pool.h"
#include "tools/sim/sim.h"
#include "tools/sim/suite.h"

#define SEED_FIRST	    1000001 /* of the simulations; those that judge have others */
#define DEFAULT_EPISODES    20
#define TARGETS		    9
#define TARGET_FIRST	    0.40
#define TARGET_STEP	    0.05
#define MISSED_MOST	    0.01 /* of the requests, for a target to be right */
#define VALIDATION_EPISODES 10
#define VALIDATION_TRACES   5 /* one of each kind */
#define VALIDATION_SEED	    2000001
#define MODEL_MAX	    (256UL * 1024 * 1024)
#define POLICIES_MAX	    16

enum { KEY_MODELS = 0x100, KEY_JOBS };

struct arguments {
	const char *app, *cluster, *policies, *models;
	double seconds;
	size_t episodes, jobs;
};

/* Means over traces. */
struct score {
	double cores, missed;
};

struct tuning {
	const struct arguments *arguments;
	struct drpc_sim_app *app;
	struct sim_suite suite;
	const struct sim_contestant *learners[POLICIES_MAX];
	size_t n_learners;
	bool hpa;
	struct score *scores; /* shared: TARGETS × traces */
	double *standing;     /* shared: what `static` misses on each trace */
	char command[512];    /* as it was typed */
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	char *end = arg;
	double value = 0;

	if (key == 'S' || key == 'e' || key == KEY_JOBS) {
		value = strtod(arg, &end);
		if (end == arg || *end || !(value >= 1 && value <= 1e9))
			argp_error(state, "'%s', expected a number from 1 on", arg);
	}
	switch (key) {
	case 'a':
		a->app = arg;
		return 0;
	case 'c':
		a->cluster = arg;
		return 0;
	case 'p':
		a->policies = arg;
		return 0;
	case 'e':
		a->episodes = (size_t)value;
		return 0;
	case 'S':
		a->seconds = value;
		return 0;
	case KEY_MODELS:
		a->models = arg;
		return 0;
	case KEY_JOBS:
		a->jobs = (size_t)value;
		return 0;
	case ARGP_KEY_END:
		if (!a->app)
			argp_error(state, "expected --app FILE");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int run(const struct tuning *t, const struct drpc_sim_policy *policy,
	       const struct sim_workload *w, const struct drpc_sim_params *params,
	       struct drpc_sim_result *ret)
{
	const struct drpc_sim_config config = {
		.load = {.pieces = w->pieces, .n_pieces = w->n, .shares = w->shares},
		.seed = params->seed,
		.warmup_s = w->warmup,
	};

	return drpc_sim_evaluate(t->app, &config, policy, params, w->seconds, NULL, NULL, ret);
}

/*
 * What may be missed over the first `traces`: a little, and what the file's own limits miss as well,
 * as they do where the users' mix is not the one that they were made for.
 */
static double missed_most(const struct tuning *t, size_t traces)
{
	double sum = 0;

	for (size_t w = 0; w < traces; w++)
		sum += t->standing[w];
	return MISSED_MOST + sum / (double)traces;
}

/* The fewest cores of what misses the objective rarely; else what misses it least. */
static bool is_better(const struct score *a, const struct score *b, double most)
{
	if (a->missed <= most && b->missed <= most)
		return a->cores < b->cores;
	return a->missed < b->missed;
}

/* --- learners ----------------------------------------------------------------------------------- */

/* A way in which a learner may be set up; where it has several, each is trained and the best kept. */
struct variant {
	const char *policy, *setting;
};

static const struct variant variants[] = {
	{"coscal", "interval=300"}, /* its paper's */
	{"coscal", "interval=60"},
	{NULL, NULL},
};

/* Files of a learner: the training as it stands, and its best state. */
struct files {
	const char *setting; /* KEY=VALUE, or NULL */
	char *training, *best;
};

static void files_done(struct files *f)
{
	free(f->training);
	free(f->best);
}

static int files_init(const struct tuning *t, const char *policy, const char *setting,
		      struct files *ret)
{
	int n;

	*ret = (struct files){
		.setting = setting,
		.best = sim_model_path(t->arguments->models, t->app->name, policy),
	};
	if (!ret->best)
		return -ENOMEM;
	n = asprintf(&ret->training, "%s.%s%straining", ret->best, setting ? setting : "",
		     setting ? "." : "");
	return n < 0 ? -ENOMEM : 0;
}

static int load(const char *path, const char *policy, struct drpc_model *ret)
{
	char kind[64];

	snprintf(kind, sizeof(kind), "baseline-%s", policy);
	return drpc_model_file_load(path, kind, ret);
}

static int64_t episodes_done(const char *path, const char *policy)
{
	struct drpc_model model = {0};
	struct json_object *value;
	int64_t n = 0;

	if (access(path, F_OK) != 0)
		return 0;
	if (load(path, policy, &model) < 0)
		return -EINVAL;
	if (json_object_object_get_ex(model.header, "episodes", &value))
		n = json_object_get_int64(value);
	drpc_model_done(&model);
	return n;
}

/* Whole or not at all. */
static int copy_file(const char *from, const char *to)
{
	_cleanup_free_ char *data = NULL;
	_cleanup_free_ char *part = NULL;
	const ssize_t n = drpc_read_file_at(AT_FDCWD, from, MODEL_MAX, &data);
	FILE *f;
	bool well;

	if (n < 0)
		return drpc_err((int)n, "cannot read %s", from);
	if (asprintf(&part, "%s.part", to) < 0)
		return -ENOMEM;
	f = fopen(part, "we");
	if (!f)
		return drpc_err(-errno, "cannot write %s", part);
	well = fwrite(data, 1, (size_t)n, f) == (size_t)n;
	well = fclose(f) == 0 && well;
	if (!well || rename(part, to) < 0)
		return drpc_err(-EIO, "cannot write %s", to);
	return 0;
}

/* Where a model comes from: in its header, so that who has the file has that as well. */
static void tell_origin(const struct tuning *t, const char *setting, const struct score *score,
			struct json_object *header)
{
	struct json_object *o = json_object_new_object();
	const time_t now = (time_t)(drpc_realtime_ns() / DRPC_NSEC_PER_SEC);
	char date[32];
	struct tm utc;

	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
	json_object_object_add(o, "command", json_object_new_string(t->command));
	json_object_object_add(o, "version", json_object_new_string(DRPC_VERSION));
	json_object_object_add(o, "date", json_object_new_string(date));
	json_object_object_add(o, "application", json_object_new_string(t->app->name));
	json_object_object_add(o, "first_seed", json_object_new_int64(SEED_FIRST));
	json_object_object_add(o, "first_seed_of_choice", json_object_new_int64(VALIDATION_SEED));
	if (setting)
		json_object_object_add(o, "setting", json_object_new_string(setting));
	json_object_object_add(o, "cpu_cores_mean", json_object_new_double(score->cores));
	json_object_object_add(o, "slo_violation_rate", json_object_new_double(score->missed));
	json_object_object_add(header, "trained", o);
}

/* A model may have a predictor beside it. */
static int keep_best(const struct tuning *t, const char *policy, const struct files *files,
		     const struct score *score)
{
	_cleanup_free_ char *from_gru = NULL;
	_cleanup_free_ char *to_gru = NULL;
	struct drpc_model model = {0};
	int err = 0;

	if (asprintf(&from_gru, "%s.gru", files->training) < 0 ||
	    asprintf(&to_gru, "%s.gru", files->best) < 0)
		return -ENOMEM;
	if (access(from_gru, F_OK) == 0)
		err = copy_file(from_gru, to_gru);
	if (!err)
		err = load(files->training, policy, &model);
	if (err)
		return err;
	tell_origin(t, files->setting, score, model.header);
	err = drpc_model_file_save(
		files->best, json_object_get_string(json_object_object_get(model.header, "kind")),
		model.header, model.weights, model.n_weights);
	drpc_model_done(&model);
	return err;
}

/* Of the best state so far; of none, what everything is better than. */
static struct score read_score(const char *path, const char *policy)
{
	struct score score = {INFINITY, INFINITY};
	struct drpc_model model = {0};
	struct json_object *o, *cores, *missed;

	if (access(path, F_OK) != 0 || load(path, policy, &model) < 0)
		return score;
	if (json_object_object_get_ex(model.header, "trained", &o) &&
	    json_object_object_get_ex(o, "cpu_cores_mean", &cores) &&
	    json_object_object_get_ex(o, "slo_violation_rate", &missed))
		score = (struct score){json_object_get_double(cores),
				       json_object_get_double(missed)};
	drpc_model_done(&model);
	return score;
}

/* How it does without learning, on the training traces of each kind; kept where it is the best. */
static int validate(const struct tuning *t, const struct drpc_sim_policy *policy,
		    const struct files *files, int64_t episodes)
{
	const size_t traces = DRPC_MIN(t->suite.n, (size_t)VALIDATION_TRACES);
	const struct score best = read_score(files->best, policy->name);
	struct score score = {0};
	_cleanup_free_ char *pair = NULL;
	int err = asprintf(&pair, "model=%s", files->training) < 0 ? -ENOMEM : 0;

	for (size_t w = 0; w < traces && !err; w++) {
		const char *const pairs[] = {pair};
		const struct drpc_sim_params params = {pairs, 1, VALIDATION_SEED + w};
		struct drpc_sim_result result;

		err = run(t, policy, &t->suite.workloads[w], &params, &result);
		score.cores += err ? 0 : result.cpu_cores_mean / (double)traces;
		score.missed += err ? 0 : result.slo_violation_rate / (double)traces;
	}
	if (err)
		return err;
	printf("%s%s%s, episode %lld: %.2f cores, %.3f %% missed\n", policy->name,
	       files->setting ? " " : "", files->setting ? files->setting : "", (long long)episodes,
	       score.cores, score.missed * 100);
	fflush(stdout);
	return is_better(&score, &best, missed_most(t, traces))
		       ? keep_best(t, policy->name, files, &score)
		       : 0;
}

static int episode(const struct tuning *t, const struct drpc_sim_policy *policy,
		   const struct files *files, int64_t e)
{
	_cleanup_free_ char *pair = NULL;
	const char *pairs[] = {NULL, "learn=1", files->setting};
	const struct drpc_sim_params params = {pairs, files->setting ? 3 : 2,
					       SEED_FIRST + (uint64_t)e};
	struct drpc_sim_result result;
	int err;

	if (asprintf(&pair, "model=%s", files->training) < 0)
		return -ENOMEM;
	pairs[0] = pair;
	err = run(t, policy, &t->suite.workloads[(size_t)e % t->suite.n], &params, &result);
	if (err)
		return err;
	if (episodes_done(files->training, policy->name) != e + 1)
		return drpc_err(-EIO, "%s: episode %lld is not in %s", policy->name,
				(long long)e + 1, files->training);
	return 0;
}

/* Goes on where a run before this one ended. */
static int train_variant(const struct tuning *t, const struct drpc_sim_policy *policy,
			 const char *setting, double from, double to)
{
	const int64_t most = (int64_t)t->arguments->episodes;
	struct files files;
	int64_t done = 0;
	int err = files_init(t, policy->name, setting, &files);

	if (!err) {
		done = episodes_done(files.training, policy->name);
		err = done < 0 ? (int)done : 0;
	}
	for (int64_t e = done; e < most && !err; e++) {
		err = episode(t, policy, &files, e);
		if (!err && ((e + 1) % VALIDATION_EPISODES == 0 || e + 1 == most))
			err = validate(t, policy, &files, e + 1);
		sim_pool_progress(from +
				  (to - from) * (double)(e + 1 - done) / (double)(most - done));
	}
	files_done(&files);
	return err;
}

static int train(void *arg, size_t index)
{
	const struct tuning *t = arg;
	const struct drpc_sim_policy *policy = sim_policy_known(t->learners[index]->policy);
	size_t n = 0, k = 0;
	int err = 0;

	for (const struct variant *v = variants; v->policy; v++)
		n += strcmp(v->policy, policy->name) == 0;
	if (n == 0)
		return train_variant(t, policy, NULL, 0, 1);
	for (const struct variant *v = variants; v->policy && !err; v++) {
		if (strcmp(v->policy, policy->name) != 0)
			continue;
		err = train_variant(t, policy, v->setting, (double)k / (double)n,
				    (double)(k + 1) / (double)n);
		k++;
	}
	return err;
}

/* --- the autoscaler's target -------------------------------------------------------------------- */

static double target_of(size_t i)
{
	return TARGET_FIRST + TARGET_STEP * (double)i;
}

static int try_target(void *arg, size_t job)
{
	const struct tuning *t = arg;
	const struct sim_workload *w = &t->suite.workloads[job % t->suite.n];
	struct drpc_sim_result result;
	char pair[32];
	const char *const pairs[] = {pair};
	const struct drpc_sim_params params = {pairs, 1, SEED_FIRST + job % t->suite.n};
	int err;

	snprintf(pair, sizeof(pair), "target=%.2f", target_of(job / t->suite.n));
	err = run(t, &drpc_sim_policy_hpa, w, &params, &result);
	if (err)
		return err;
	t->scores[job] = (struct score){result.cpu_cores_mean, result.slo_violation_rate};
	return 0;
}

static size_t best_target(const struct tuning *t, struct score *ret)
{
	const double most = missed_most(t, t->suite.n);
	size_t best = 0;

	for (size_t i = 0; i < TARGETS; i++) {
		struct score score = {0};

		for (size_t w = 0; w < t->suite.n; w++) {
			score.cores += t->scores[i * t->suite.n + w].cores / (double)t->suite.n;
			score.missed += t->scores[i * t->suite.n + w].missed / (double)t->suite.n;
		}
		printf("hpa target %.2f: %.2f cores, %.3f %% missed\n", target_of(i), score.cores,
		       score.missed * 100);
		if (i == 0 || is_better(&score, ret, most)) {
			best = i;
			*ret = score;
		}
	}
	return best;
}

static int try_static(void *arg, size_t job)
{
	const struct tuning *t = arg;
	const struct drpc_sim_params params = {.seed = VALIDATION_SEED + job};
	struct drpc_sim_result result;
	int err = run(t, &drpc_sim_policy_static, &t->suite.workloads[job], &params, &result);

	if (!err)
		t->standing[job] = result.slo_violation_rate;
	return err;
}

/* Memory that the workers write to. */
static void *shared(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static int find_standing(struct tuning *t)
{
	t->standing = shared(t->suite.n * sizeof(*t->standing));
	if (!t->standing)
		return -ENOMEM;
	return sim_pool_run(t->suite.n, t->arguments->jobs, try_static, t);
}

static int tune_hpa(struct tuning *t)
{
	const size_t n = TARGETS * t->suite.n;
	_cleanup_free_ char *path = sim_model_path(t->arguments->models, t->app->name, "hpa-tuned");
	struct json_object *header = json_object_new_object();
	struct score score = {0};
	float target;
	int err = path && header ? 0 : -ENOMEM;

	t->scores = shared(n * sizeof(*t->scores));
	if (!err && !t->scores)
		err = -ENOMEM;
	if (!err)
		err = sim_pool_run(n, t->arguments->jobs, try_target, t);
	if (!err) {
		target = (float)target_of(best_target(t, &score));
		tell_origin(t, NULL, &score, header);
		err = drpc_model_file_save(path, "baseline-hpa", header, &target, 1);
		if (!err)
			printf("hpa-tuned: target %.2f in %s\n", (double)target, path);
	}
	if (t->scores)
		munmap(t->scores, n * sizeof(*t->scores));
	json_object_put(header);
	return err;
}

/* --- command ------------------------------------------------------------------------------------ */

static int add(struct tuning *t, const char *name)
{
	const struct sim_contestant *contestant = sim_contestant_find(name);

	if (strcmp(name, "hpa-tuned") == 0) {
		t->hpa = true;
		return 0;
	}
	if (!contestant || !contestant->learns || t->n_learners == POLICIES_MAX)
		return drpc_err(-EINVAL, "--policies: '%s' learns nothing here", name);
	t->learners[t->n_learners++] = contestant;
	return 0;
}

static int choose(struct tuning *t)
{
	_cleanup_free_ char *list = NULL;
	char *save = NULL;
	int err = 0;

	if (!t->arguments->policies) {
		t->hpa = true;
		for (const struct sim_contestant *c = sim_contestants; c->policy && !err; c++)
			err = c->learns ? add(t, c->policy) : 0;
		return err;
	}
	list = strdup(t->arguments->policies);
	if (!list)
		return -ENOMEM;
	for (char *p = strtok_r(list, ",", &save); p && !err; p = strtok_r(NULL, ",", &save))
		err = add(t, p);
	return err;
}

static void spell_command(int argc, char **argv, char *ret, size_t size)
{
	size_t len = (size_t)snprintf(ret, size, "drpc-sim");

	for (int i = 0; i < argc && len < size; i++)
		len += (size_t)snprintf(ret + len, size - len, " %s", argv[i]);
}

int sim_tune(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{"app", 'a', "FILE", 0, "the application", 0},
		{"cluster", 'c', "FILE", 0, "a cluster instead of the file's own", 0},
		{"policies", 'p', "LIST", 0,
		 "of firm, coscal, autothrottle, hpa-tuned (default all)", 0},
		{"models", KEY_MODELS, "DIR", 0,
		 "where DIR/APPLICATION.POLICY.model goes (default " SIM_MODELS_DIR ")", 0},
		{"episodes", 'e', "N", 0, "of each, in all (default 20)", 0},
		{"seconds", 'S', "S", 0, "the first S seconds of each trace alone", 0},
		{"jobs", KEY_JOBS, "N", 0, "at the same time (default: processors)", 0},
		{0},
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_option,
		.doc = "Trains the policies that learn, on the training traces alone. What is "
		       "interrupted goes on after the last whole episode.",
	};
	struct arguments a = {.models = SIM_MODELS_DIR, .episodes = DEFAULT_EPISODES};
	struct tuning t = {.arguments = &a};
	int err;

	spell_command(argc, argv, t.command, sizeof(t.command));
	argp_parse(&argp, argc, argv, 0, NULL, &a);
	err = choose(&t);
	if (!err)
		err = drpc_sim_app_load(a.app, a.cluster, &t.app);
	if (!err)
		err = sim_suite_make("train", t.app, &t.suite);
	if (!err && a.seconds > 0)
		sim_suite_cut(&t.suite, a.seconds);
	if (!err && mkdir(a.models, 0777) < 0 && errno != EEXIST)
		err = drpc_err(-errno, "cannot make %s", a.models);
	if (!err)
		err = find_standing(&t);
	if (!err && t.n_learners)
		err = sim_pool_run(t.n_learners, a.jobs, train, &t);
	if (!err && t.hpa)
		err = tune_hpa(&t);
	if (t.standing)
		munmap(t.standing, t.suite.n * sizeof(*t.standing));
	sim_suite_done(&t.suite);
	drpc_sim_app_free(&t.app);
	return err < 0;
}
