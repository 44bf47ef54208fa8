// SPDX-License-Identifier: Apache-2.0
/* `drpc-sim compare`: all policies on a suite of traces and some seeds, over all processors. */
#include <argp.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/log.h"
#include "lib/util.h"
#include "tools/sim/contest.h"
#include "tools/sim/pool.h"
#include "tools/sim/sim.h"
#include "tools/sim/suite.h"

#define DEFAULT_APP    "deploy/apps/train-ticket.yaml"
#define SEED_FIRST     1001 /* of the simulations; training has others */
#define POLICIES_MAX   32
#define RESULTS_MAX    (256UL * 1024 * 1024)
#define FILE_BYTES_MAX (256UL * 1024 * 1024)

enum { KEY_JSON = 0x100, KEY_SCALE, KEY_MODELS, KEY_RESULTS, KEY_JOBS };

struct arguments {
	const char *app, *cluster, *suite, *trace, *policies, *models, *results;
	double seconds, warmup, scale;
	size_t seeds, jobs;
	bool json;
};

struct job {
	const struct drpc_sim_policy *policy;
	const char *model; /* model=FILE, NULL for none */
	const struct sim_workload *workload;
	uint64_t seed;
	char key[24];
	struct json_object *result; /* borrowed from `all` */
};

struct comparison {
	const struct arguments *arguments;
	struct drpc_sim_app *app;
	struct sim_suite suite;
	const struct drpc_sim_policy *policies[POLICIES_MAX];
	char *models[POLICIES_MAX]; /* "model=FILE" */
	uint64_t digests[POLICIES_MAX];
	size_t n_policies;
	struct job *jobs;
	size_t n_jobs;
	size_t *open; /* jobs without a result */
	size_t n_open;
	int results_fd;
	struct json_object *all; /* what the file holds, by key */
};

/* --- arguments ---------------------------------------------------------------------------------- */

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;

	switch (key) {
	case 'a':
		a->app = arg;
		return 0;
	case 'c':
		a->cluster = arg;
		return 0;
	case 's':
		a->suite = arg;
		return 0;
	case 't':
		a->trace = arg;
		return 0;
	case 'p':
		a->policies = arg;
		return 0;
	case 'n':
		a->seeds = (size_t)sim_number(state, "--seeds", arg, 1);
		return 0;
	case 'S':
		a->seconds = sim_number(state, "--seconds", arg, 1);
		return 0;
	case 'w':
		a->warmup = sim_number(state, "--warmup", arg, 0);
		return 0;
	case KEY_SCALE:
		a->scale = sim_number(state, "--scale", arg, 0);
		return 0;
	case KEY_MODELS:
		a->models = arg;
		return 0;
	case KEY_RESULTS:
		a->results = arg;
		return 0;
	case KEY_JOBS:
		a->jobs = (size_t)sim_number(state, "--jobs", arg, 1);
		return 0;
	case KEY_JSON:
		a->json = true;
		return 0;
	case ARGP_KEY_END:
		if (!a->suite == !a->trace)
			argp_error(state, "expected --suite paper|held-out, or --trace FILE");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* --- what is compared --------------------------------------------------------------------------- */

static int digest_file(const char *path, uint64_t *ret)
{
	_cleanup_free_ char *text = NULL;
	const ssize_t n = drpc_read_file_at(AT_FDCWD, path, FILE_BYTES_MAX, &text);
	uint64_t hash = 0xcbf29ce484222325ULL;

	if (n < 0)
		return drpc_err((int)n, "cannot read %s", path);
	for (ssize_t i = 0; i < n; i++)
		hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3ULL;
	*ret = (*ret ^ hash) * 0x100000001b3ULL;
	return 0;
}

/* The files of a folder in the order of their names. */
static int digest_folder(const char *path, uint64_t *ret)
{
	struct dirent **names = NULL;
	const int n = scandir(path, &names, NULL, alphasort);
	int err = n < 0 ? -errno : 0;

	for (int i = 0; i < n; i++) {
		_cleanup_free_ char *file = NULL;

		if (!err && names[i]->d_name[0] != '.')
			err = asprintf(&file, "%s/%s", path, names[i]->d_name) < 0
				      ? -ENOMEM
				      : digest_file(file, ret);
		free(names[i]);
	}
	free(names);
	return err;
}

/* A model, and the predictor that may lie beside it; students are a folder of files. */
static int digest_model(const char *path, uint64_t *ret)
{
	_cleanup_free_ char *beside = NULL;
	struct stat st;
	int err;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return digest_folder(path, ret);
	err = digest_file(path, ret);
	if (!err && asprintf(&beside, "%s.gru", path) < 0)
		err = -ENOMEM;
	if (!err && access(beside, F_OK) == 0)
		err = digest_file(beside, ret);
	return err;
}

/* Adds a policy; without a model that it needs, 0 or -ENOENT by `wanted`. */
static int add_policy(struct comparison *c, const char *name, bool wanted)
{
	const struct sim_contestant *contestant = sim_contestant_find(name);
	const struct drpc_sim_policy *policy =
		wanted ? sim_policy_find(name) : sim_policy_known(name);
	_cleanup_free_ char *path = NULL;
	bool there;

	if (!policy)
		return wanted ? -EINVAL : 0;
	if (c->n_policies == POLICIES_MAX)
		return drpc_err(-E2BIG, "--policies: at most %d", POLICIES_MAX);
	if (contestant && contestant->has_model) {
		path = sim_model_find(c->arguments->models, c->app->name, name);
		if (!path)
			return -ENOMEM;
		there = access(path, R_OK) == 0;
		if (!there && contestant->needs_model) {
			if (wanted)
				return drpc_err(-ENOENT, "%s: it is not trained (%s)", name, path);
			drpc_warn("%s is not trained (%s): it is left out", name, path);
			return 0;
		}
		if (there && (digest_model(path, &c->digests[c->n_policies]) < 0 ||
			      asprintf(&c->models[c->n_policies], "model=%s", path) < 0))
			return -ENOMEM;
	}
	c->policies[c->n_policies++] = policy;
	return 0;
}

static int add_policies(struct comparison *c)
{
	_cleanup_free_ char *list = NULL;
	char *save = NULL;
	int err = 0;

	if (!c->arguments->policies) {
		for (const struct sim_contestant *p = sim_contestants; p->policy && !err; p++)
			err = add_policy(c, p->policy, false);
		return err;
	}
	list = strdup(c->arguments->policies);
	if (!list)
		return -ENOMEM;
	for (char *p = strtok_r(list, ",", &save); p && !err; p = strtok_r(NULL, ",", &save))
		err = add_policy(c, p, true);
	return err;
}

/* A result is kept under a key that changes with everything that it depends on. */
static void make_key(const struct comparison *c, const struct job *job, uint64_t app_digest,
		     uint64_t model_digest, char *ret, size_t size)
{
	char text[512];

	snprintf(text, sizeof(text), "%s %s %s %llx %llx %llx %llu", DRPC_VERSION,
		 job->policy->name, job->workload->name,
		 (unsigned long long)sim_workload_digest(job->workload, c->app->n_classes),
		 (unsigned long long)app_digest, (unsigned long long)model_digest,
		 (unsigned long long)job->seed);
	snprintf(ret, size, "%016llx", (unsigned long long)drpc_hash_str(text));
}

static int make_jobs(struct comparison *c)
{
	uint64_t app_digest = 0;
	int err = digest_file(c->arguments->app, &app_digest);

	if (!err && c->arguments->cluster)
		err = digest_file(c->arguments->cluster, &app_digest);
	if (err)
		return err;
	c->jobs = calloc(c->n_policies * c->suite.n * c->arguments->seeds + 1, sizeof(*c->jobs));
	c->open = calloc(c->n_policies * c->suite.n * c->arguments->seeds + 1, sizeof(*c->open));
	if (!c->jobs || !c->open)
		return -ENOMEM;
	for (size_t p = 0; p < c->n_policies; p++) {
		for (size_t w = 0; w < c->suite.n; w++) {
			for (size_t s = 0; s < c->arguments->seeds; s++) {
				struct job *job = &c->jobs[c->n_jobs++];

				job->policy = c->policies[p];
				job->model = c->models[p];
				job->workload = &c->suite.workloads[w];
				job->seed = SEED_FIRST + s;
				make_key(c, job, app_digest, c->digests[p], job->key,
					 sizeof(job->key));
			}
		}
	}
	return 0;
}

/* --- results ------------------------------------------------------------------------------------ */

/* Lines of the results file become `all`; one that was cut by a crash is passed over. */
static int read_results(struct comparison *c)
{
	_cleanup_free_ char *text = NULL;
	char *save = NULL;
	const ssize_t n = drpc_read_file_at(AT_FDCWD, c->arguments->results, RESULTS_MAX, &text);

	json_object_put(c->all);
	c->all = json_object_new_object();
	if (!c->all)
		return -ENOMEM;
	if (n < 0)
		return n == -ENOENT ? 0 : drpc_err((int)n, "cannot read %s", c->arguments->results);
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		struct json_object *o = json_tokener_parse(line), *key, *result;

		if (o && json_object_object_get_ex(o, "key", &key) &&
		    json_object_object_get_ex(o, "result", &result))
			json_object_object_add(c->all, json_object_get_string(key),
					       json_object_get(result));
		json_object_put(o);
	}
	return 0;
}

static void find_results(struct comparison *c)
{
	c->n_open = 0;
	for (size_t i = 0; i < c->n_jobs; i++) {
		if (!json_object_object_get_ex(c->all, c->jobs[i].key, &c->jobs[i].result))
			c->open[c->n_open++] = i;
	}
}

static int keep_result(const struct comparison *c, const struct job *job,
		       const struct drpc_sim_result *result, const struct drpc_sim_watch *watch,
		       double wall_seconds)
{
	const struct sim_case shown = {.policy = job->policy->name,
				       .app = c->app->name,
				       .trace = job->workload->name,
				       .seed = job->seed,
				       .wall_seconds = wall_seconds,
				       .watch = watch};
	struct json_object *o = json_object_new_object();
	_cleanup_free_ char *line = NULL;
	int n;

	json_object_object_add(o, "key", json_object_new_string(job->key));
	json_object_object_add(o, "result", sim_result_json(&shown, result));
	n = asprintf(&line, "%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	json_object_put(o);
	if (n < 0)
		return -ENOMEM;
	/* One write at the end of the file: lines of several workers do not mix. */
	return write(c->results_fd, line, (size_t)n) == n
		       ? 0
		       : drpc_err(-EIO, "cannot write to %s", c->arguments->results);
}

static void on_progress(void *arg, double done)
{
	(void)arg;
	sim_pool_progress(done);
}

static int run_job(void *arg, size_t index)
{
	const struct comparison *c = arg;
	const struct job *job = &c->jobs[c->open[index]];
	const struct sim_workload *w = job->workload;
	const struct drpc_sim_params params = {&job->model, job->model ? 1 : 0, job->seed};
	const struct drpc_sim_config config = {
		.load = {.pieces = w->pieces, .n_pieces = w->n, .shares = w->shares},
		.seed = job->seed,
		.warmup_s = w->warmup,
	};
	const uint64_t begin_ns = drpc_now_ns();
	struct drpc_sim_watch watch = {0};
	struct drpc_sim_result result;
	int err = drpc_sim_evaluate_watched(c->app, &config, job->policy, &params, w->seconds,
					    on_progress, NULL, &watch, &result);

	if (err)
		return drpc_err(err, "%s, %s, seed %llu: not finished", job->policy->name, w->name,
				(unsigned long long)job->seed);
	return keep_result(c, job, &result, &watch, (double)(drpc_now_ns() - begin_ns) * 1e-9);
}

/* --- output ------------------------------------------------------------------------------------- */

static void print_json(const struct comparison *c)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < c->n_jobs; i++) {
		if (c->jobs[i].result)
			json_object_array_add(list, json_object_get(c->jobs[i].result));
	}
	printf("%s\n", json_object_to_json_string_ext(list, JSON_C_TO_STRING_PRETTY));
	json_object_put(list);
}

struct column {
	const char *key, *head, *format;
	double factor;
};

/* Means over the seeds of each policy and trace, and the deviation of the mean latency. */
static void print_table(const struct comparison *c)
{
	static const struct column columns[] = {
		{"mean_ms", "mean ms", "%9.1f", 1},
		{"p99_ms", "p99 ms", "%9.1f", 1},
		{"slo_violation_rate", "missed %", "%9.3f", 100},
		{"failure_rate", "failed %", "%9.3f", 100},
		{"cpu_cores_mean", "cores", "%9.2f", 1},
		{"memory_mib_mean", "MiB", "%9.0f", 1},
		{"oom_kills", "kills", "%9.1f", 1},
		{"actions", "actions", "%9.0f", 1},
	};
	const size_t seeds = c->arguments->seeds;

	printf("%-20s %-13s", "trace", "policy");
	for (size_t k = 0; k < DRPC_ARRAY_SIZE(columns); k++)
		printf(" %9s", columns[k].head);
	printf(" %9s\n", "± mean");
	for (size_t w = 0; w < c->suite.n; w++) {
		for (size_t p = 0; p < c->n_policies; p++) {
			const struct job *jobs = &c->jobs[(p * c->suite.n + w) * seeds];
			double first = 0, squares = 0, n = 0;

			printf("%-20s %-13s", c->suite.workloads[w].name, c->policies[p]->name);
			for (size_t k = 0; k < DRPC_ARRAY_SIZE(columns); k++) {
				double sum = 0;

				n = 0;
				for (size_t s = 0; s < seeds; s++) {
					struct json_object *v;

					if (!jobs[s].result ||
					    !json_object_object_get_ex(jobs[s].result,
								       columns[k].key, &v))
						continue;
					sum += json_object_get_double(v) * columns[k].factor;
					squares += k ? 0 : pow(json_object_get_double(v), 2);
					n++;
				}
				first = k ? first : sum;
				printf(" ");
				printf(columns[k].format, n > 0 ? sum / n : NAN);
			}
			printf(" %9.1f\n",
			       n > 1 ? sqrt(fmax(squares - first * first / n, 0) / (n - 1)) : 0);
		}
	}
}

/* --- command ------------------------------------------------------------------------------------ */

static int prepare(struct comparison *c)
{
	const struct arguments *a = c->arguments;
	int err = drpc_sim_app_load(a->app, a->cluster, &c->app);

	if (!err)
		err = a->suite ? sim_suite_make(a->suite, c->app, &c->suite)
			       : sim_suite_load(a->trace, a->scale, a->warmup, &c->suite);
	if (!err && a->seconds > 0)
		sim_suite_cut(&c->suite, a->seconds);
	if (!err)
		err = add_policies(c);
	if (!err)
		err = make_jobs(c);
	if (!err)
		err = read_results(c);
	if (err)
		return err;
	find_results(c);
	c->results_fd = open(a->results, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (c->results_fd < 0)
		return drpc_err(-errno, "cannot write to %s", a->results);
	return 0;
}

static void done(struct comparison *c)
{
	if (c->results_fd >= 0)
		close(c->results_fd);
	for (size_t i = 0; i < c->n_policies; i++)
		free(c->models[i]);
	free(c->jobs);
	free(c->open);
	json_object_put(c->all);
	sim_suite_done(&c->suite);
	drpc_sim_app_free(&c->app);
}

int sim_compare(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{"suite", 's', "NAME", 0, "paper or held-out", 0},
		{"trace", 't', "FILE", 0, "instead: requests a second, one line a second", 0},
		{"app", 'a', "FILE", 0, "the application (default " DEFAULT_APP ")", 0},
		{"cluster", 'c', "FILE", 0, "a cluster instead of the file's own", 0},
		{"seeds", 'n', "N", 0, "so many simulations of each (default 5)", 0},
		{"policies", 'p', "LIST", 0,
		 "names joined by commas (default all that are trained)", 0},
		{"models", KEY_MODELS, "DIR", 0,
		 "what they learnt, docs/baselines.md (default " SIM_MODELS_DIR ")", 0},
		{"seconds", 'S', "S", 0, "the first S seconds of each trace alone", 0},
		{"warmup", 'w', "S", 0, "of --trace that do not count (default 0)", 0},
		{"scale", KEY_SCALE, "X", 0, "the rates of --trace times X (default 1)", 0},
		{"results", KEY_RESULTS, "FILE", 0,
		 "kept here as they come, and not computed again (default drpc-compare.jsonl)", 0},
		{"jobs", KEY_JOBS, "N", 0, "at the same time (default: processors)", 0},
		{"json", KEY_JSON, NULL, 0, "a list of evaluate's objects", 0},
		{0},
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_option,
		.doc = "Runs all policies on the same traces with the same seeds. What is interrupted "
		       "goes on where it was.",
	};
	struct arguments a = {.app = DEFAULT_APP,
			      .models = SIM_MODELS_DIR,
			      .results = "drpc-compare.jsonl",
			      .seeds = 5,
			      .scale = 1};
	struct comparison c = {.arguments = &a, .results_fd = -1};
	int err;

	argp_parse(&argp, argc, argv, 0, NULL, &a);
	err = prepare(&c);
	if (!err && c.n_open) {
		err = sim_pool_run(c.n_open, a.jobs, run_job, &c);
		if (read_results(&c) == 0)
			find_results(&c);
	}
	if (!err && a.json)
		print_json(&c);
	else if (!err)
		print_table(&c);
	done(&c);
	return err < 0;
}
