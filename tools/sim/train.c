// SPDX-License-Identifier: Apache-2.0
/* `drpc-sim train`: a teacher learns on the simulator, then teaches students. */
#include <argp.h>
#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/log.h"
#include "lib/util.h"
#include "teacher/students.h"
#include "teacher/train.h"
#include "tools/sim/sim.h"

#define SETTINGS_MAX 64

enum {
	KEY_EPISODES = 0x100,
	KEY_RESUME,
	KEY_NO_STUDENTS,
	KEY_JSON,
	KEY_SET,
	KEY_JUDGE_TRACES,
	KEY_JUDGE_SECONDS
};

struct arguments {
	const char *app, *cluster, *trace, *out, *command;
	double judge_seconds;
	enum drpc_td3_kind kind;
	enum drpc_scene_profile profile;
	unsigned long episodes, jobs, judge_traces;
	uint64_t seed;
	bool resume, json, no_students;
	const char *settings[SETTINGS_MAX];
	size_t n_settings;
};

/* --- settings by name ---------------------------------------------------------------------------- */

enum type { REAL, SIZE, MSEC, SEC, FLAG };

struct setting {
	const char *name;
	enum type type;
	size_t offset;
	const char *help;
};

#define SETTING(name, type, field, help)                                    \
	{                                                                   \
		name, type, offsetof(struct drpc_train_config, field), help \
	}

static const struct setting settings[] = {
	SETTING("interval", SEC, env.period_ns, "seconds between two decisions"),
	SETTING("envs", SIZE, envs, "episodes side by side"),
	SETTING("steps", SIZE, steps, "intervals an episode"),
	SETTING("spread", REAL, spread, "limits at the start, octaves to either side"),
	SETTING("updates", REAL, updates, "of the learner a step"),
	SETTING("warm", FLAG, warm, "begin with a clone of a rule; 0: with random networks"),
	SETTING("random", SIZE, random_episodes, "episodes of random actions first"),
	SETTING("explore-from", REAL, explore_from, "deviation of exploration noise"),
	SETTING("explore-to", REAL, explore_to, "what it falls to"),
	SETTING("explore-over", SIZE, explore_episodes, "so many episodes"),
	SETTING("explore-replicas", REAL, explore_replicas, "replicas' part of that noise"),
	SETTING("reward-scale", REAL, reward_scale, "the learner gets (reward - 1) times this"),
	SETTING("learn-cpu", REAL, env.learn.cpu, "CPU utilisation that the learner is to want"),
	SETTING("learn-memory", REAL, env.learn.memory, "memory utilisation"),
	SETTING("learn-exponent", REAL, env.learn.exponent, "of utilisation errors"),
	SETTING("learn-objective", MSEC, env.learn.objective_ns, "on p99, in milliseconds"),
	SETTING("exponent", REAL, env.report.exponent, "of the reward that is reported"),
	SETTING("blind", FLAG, env.blind, "1: what is seen holds no forecast, but the rate of now"),
	SETTING("cpu-step", REAL, env.action.cpu_step, "share of the limit"),
	SETTING("memory-step", REAL, env.action.memory_step, "share of the limit"),
	SETTING("headroom", REAL, env.action.headroom, "a cut stays above use times this"),
	SETTING("hidden-1", SIZE, td3.hidden[0], "width of the first hidden layer"),
	SETTING("hidden-2", SIZE, td3.hidden[1], "of the second"),
	SETTING("embed", SIZE, td3.embed, "of the embedding (pooled)"),
	SETTING("replay", SIZE, replay, "transitions that are kept"),
	SETTING("batch", SIZE, td3.batch, "transitions an update"),
	SETTING("gamma", REAL, td3.gamma, "discount"),
	SETTING("tau", REAL, td3.tau, "of the targets"),
	SETTING("policy-noise", REAL, td3.policy_noise, "target smoothing; 0: off"),
	SETTING("actor-lr", REAL, td3.actor_lr, "learning rate"),
	SETTING("critic-lr", REAL, td3.critic_lr, "learning rate"),
	SETTING("max-norm", REAL, td3.max_grad_norm, "of gradients; 0: any"),
	SETTING("least-rps", REAL, least_rps, "of generated traces (default by the cluster)"),
	SETTING("most-rps", REAL, most_rps, "likewise"),
	SETTING("choose-every", SIZE, choose_every, "rounds between two looks"),
	SETTING("choose-traces", SIZE, choose_traces, "of a look"),
	SETTING("choose-seconds", REAL, choose_seconds, "of each of them"),
	SETTING("goal-cpu", REAL, goal.cpu, "utilisation of CPU limits that is wanted at least"),
	SETTING("goal-memory", REAL, goal.memory, "of memory limits"),
	SETTING("goal-p99", REAL, goal.p99_ms, "milliseconds at most"),
	SETTING("goal-missed", REAL, goal.missed,
		"share of requests that fail or are late, at most"),
};

static int set(struct drpc_train_config *config, const char *pair)
{
	const size_t n = strcspn(pair, "=");

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(settings) && pair[n]; i++) {
		const struct setting *s = &settings[i];
		void *at = (char *)config + s->offset;
		char *end;
		double value;

		if (strlen(s->name) != n || strncmp(pair, s->name, n) != 0)
			continue;
		value = strtod(pair + n + 1, &end);
		if (end == pair + n + 1 || *end || !(value >= 0 && value <= 1e9))
			return drpc_err(-EINVAL, "--set %s, expected a number from 0", pair);
		switch (s->type) {
		case SIZE:
			*(size_t *)at = (size_t)value;
			break;
		case SEC:
			*(uint64_t *)at = (uint64_t)llround(value * 1e9);
			break;
		case FLAG:
			*(bool *)at = value != 0;
			break;
		case MSEC:
			*(double *)at = value * 1e6;
			break;
		default:
			*(double *)at = value;
		}
		return 0;
	}
	return drpc_err(-EINVAL, "--set %s: no such setting, drpc-sim train --help lists them",
			pair);
}

/* --- arguments ------------------------------------------------------------------------------------ */

static unsigned long count(struct argp_state *state, const char *what, const char *arg,
			   unsigned long most)
{
	char *end;
	const unsigned long n = strtoul(arg, &end, 10);

	if (end == arg || *end || *arg == '-' || n < 1 || n > most)
		argp_error(state, "%s: '%s', expected a number from 1 to %lu", what, arg, most);
	return n;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	char *end;

	switch (key) {
	case 'a':
		a->app = arg;
		return 0;
	case 'c':
		a->cluster = arg;
		return 0;
	case 't':
		a->trace = arg;
		return 0;
	case 'T':
		if (strcmp(arg, "joint") != 0 && strcmp(arg, "pooled") != 0)
			argp_error(state, "--teacher: '%s', expected joint or pooled", arg);
		a->kind = strcmp(arg, "joint") ? DRPC_TD3_POOLED : DRPC_TD3_JOINT;
		return 0;
	case 'p':
		if (drpc_scene_profile_parse(arg, &a->profile) < 0)
			argp_error(state, "--profile: '%s', expected paper or node", arg);
		return 0;
	case KEY_EPISODES:
		a->episodes = count(state, "--episodes", arg, 1000000);
		return 0;
	case 's':
		a->seed = strtoull(arg, &end, 10);
		if (end == arg || *end || *arg == '-')
			argp_error(state, "--seed: '%s', expected a whole number", arg);
		return 0;
	case 'o':
		a->out = arg;
		return 0;
	case 'j':
		a->jobs = count(state, "--jobs", arg, 1024);
		return 0;
	case KEY_JUDGE_TRACES:
		a->judge_traces = count(state, "--judge-traces", arg, 1000);
		return 0;
	case KEY_JUDGE_SECONDS:
		a->judge_seconds = (double)count(state, "--judge-seconds", arg, 1000000);
		return 0;
	case KEY_SET:
		if (a->n_settings == SETTINGS_MAX)
			argp_error(state, "--set: at most %d", SETTINGS_MAX);
		a->settings[a->n_settings++] = arg;
		return 0;
	case KEY_RESUME:
		a->resume = true;
		return 0;
	case KEY_NO_STUDENTS:
		a->no_students = true;
		return 0;
	case KEY_JSON:
		a->json = true;
		return 0;
	case ARGP_KEY_END:
		if (!a->app || !a->out)
			argp_error(state, "expected --app FILE and --out FOLDER");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static char *filter(int key, const char *text, void *input)
{
	char *out = NULL;
	size_t size = 0;
	FILE *f;

	(void)input;
	if (key != ARGP_KEY_HELP_POST_DOC)
		return (char *)text;
	f = open_memstream(&out, &size);
	if (!f)
		return (char *)text;
	fputs("Settings:\n", f);
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(settings); i++)
		fprintf(f, "  %s: %s\n", settings[i].name, settings[i].help);
	fclose(f);
	return out;
}

/* --- output --------------------------------------------------------------------------------------- */

static void print_score(FILE *to, const char *who, const struct drpc_train_score *s)
{
	fprintf(to,
		"%s: reward %.4f, CPU %.1f %%, memory %.1f %%, p99 %.0f ms (worst trace %.0f), objective missed by %.3f %%, failed %.3f %%, %.1f CPU-hours and %.1f GiB-hours an hour, %llu killed\n",
		who, s->reward, s->cpu * 100, s->memory * 100, s->p99_ms, s->p99_worst_ms,
		s->slo_violations * 100, s->failures * 100, s->cpu_hours, s->memory_gib_hours,
		(unsigned long long)s->oom_kills);
}

static bool on_round(void *arg, size_t episode, double reward, const struct drpc_train_score *score)
{
	char who[48];

	(void)arg;
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[Kepisode %zu, reward %.4f", episode, reward);
	if (!score)
		return true;
	snprintf(who, sizeof(who), "%sepisode %zu", isatty(STDERR_FILENO) ? "\r\033[K" : "",
		 episode);
	print_score(stderr, who, score);
	return true;
}

static void print_students(const char *who, const struct drpc_imitation_report *r,
			   const struct drpc_train_score *score)
{
	print_score(stdout, who, score);
	printf("  %.4f of the teacher's reward; %.2f %% of %zu decisions differ (replicas %.2f %%, CPU %.2f %%, memory %.2f %%), %llu are opposite\n",
	       r->reward_ratio, r->differ * 100, r->pairs, r->differ_in[DRPC_OUT_REPLICAS] * 100,
	       r->differ_in[DRPC_OUT_CPU] * 100, r->differ_in[DRPC_OUT_MEMORY] * 100,
	       (unsigned long long)drpc_imitation_opposed(r));
}

static void print_text(const struct drpc_train_report *report,
		       const struct drpc_students_report *judged)
{
	print_score(stdout, "untrained", &report->scores[0]);
	print_score(stdout, "chosen", &report->scores[report->best]);
	printf("%zu episodes, %llu updates in %.0f s; best after %zu, ", report->episodes,
	       (unsigned long long)report->updates, report->wall_s,
	       report->scores[report->best].episode);
	if (report->converged)
		printf("converged after %zu\n", report->converged);
	else
		printf("did not converge\n");
	printf("On held-out traces:\n");
	print_score(stdout, "teacher", &judged->teacher);
	if (!judged->own.pairs)
		return;
	print_students("students", &judged->own, &judged->students);
	print_students("shared student", &judged->shared, &judged->of_shared);
}

static struct json_object *real(double value)
{
	char text[32];

	if (!isfinite(value))
		return NULL;
	snprintf(text, sizeof(text), "%.9g", value);
	return json_object_new_double_s(value, text);
}

static struct json_object *score_json(const struct drpc_train_score *s)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "episode", json_object_new_uint64(s->episode));
	json_object_object_add(o, "reward", real(s->reward));
	json_object_object_add(o, "cpu_utilisation", real(s->cpu));
	json_object_object_add(o, "memory_utilisation", real(s->memory));
	json_object_object_add(o, "p99_ms", real(s->p99_ms));
	json_object_object_add(o, "p99_worst_ms", real(s->p99_worst_ms));
	json_object_object_add(o, "slo_violation_rate", real(s->slo_violations));
	json_object_object_add(o, "failure_rate", real(s->failures));
	json_object_object_add(o, "cpu_hours", real(s->cpu_hours));
	json_object_object_add(o, "memory_gib_hours", real(s->memory_gib_hours));
	json_object_object_add(o, "oom_kills", json_object_new_uint64(s->oom_kills));
	return o;
}

static struct json_object *students_json(const struct drpc_imitation_report *r,
					 const struct drpc_train_score *score)
{
	struct json_object *o = score_json(score);

	json_object_object_add(o, "reward_ratio", real(r->reward_ratio));
	json_object_object_add(o, "decisions", json_object_new_uint64(r->pairs));
	json_object_object_add(o, "differ", real(r->differ));
	json_object_object_add(o, "opposed", json_object_new_uint64(drpc_imitation_opposed(r)));
	return o;
}

static void print_json(const struct arguments *a, const struct drpc_train_config *c,
		       const struct drpc_train_report *report,
		       const struct drpc_students_report *judged)
{
	struct json_object *o = json_object_new_object(), *scores = json_object_new_array();

	json_object_object_add(o, "app", json_object_new_string(c->env.app->name));
	json_object_object_add(
		o, "teacher",
		json_object_new_string(a->kind == DRPC_TD3_JOINT ? "joint" : "pooled"));
	json_object_object_add(o, "profile",
			       json_object_new_string(drpc_scene_profile_name(a->profile)));
	json_object_object_add(o, "seed", json_object_new_uint64(a->seed));
	json_object_object_add(o, "episodes", json_object_new_uint64(report->episodes));
	json_object_object_add(o, "updates", json_object_new_uint64(report->updates));
	json_object_object_add(o, "wall_seconds", real(report->wall_s));
	json_object_object_add(o, "converged_episode",
			       report->converged ? json_object_new_uint64(report->converged)
						 : NULL);
	for (size_t i = 0; i < report->n_scores; i++)
		json_object_array_add(scores, score_json(&report->scores[i]));
	json_object_object_add(o, "scores", scores);
	json_object_object_add(o, "held_out", score_json(&judged->teacher));
	json_object_object_add(o, "process_mib", real(sim_process_mib()));
	if (judged->own.pairs)
		json_object_object_add(o, "students",
				       students_json(&judged->own, &judged->students));
	if (judged->own.pairs)
		json_object_object_add(o, "shared_student",
				       students_json(&judged->shared, &judged->of_shared));
	printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY));
	json_object_put(o);
}

/* --- command -------------------------------------------------------------------------------------- */

static int train(const struct arguments *a, struct drpc_train_config *config)
{
	struct drpc_students_config lessons = drpc_students_defaults();
	_cleanup_free_ struct drpc_train_report *report = calloc(1, sizeof(*report));
	struct drpc_students_report judged = {0};
	struct drpc_td3 *teacher = NULL;
	int err = report ? drpc_train(config, &teacher, report) : -ENOMEM;

	lessons.command = a->command;
	if (!err && a->no_students)
		err = drpc_train_judge(config, DRPC_ENV_JUDGED, a->judge_traces, a->judge_seconds,
				       drpc_train_teacher_acts, teacher, &judged.teacher);
	else if (!err)
		err = drpc_students_teach(config, &lessons, teacher, a->judge_traces,
					  a->judge_seconds, &judged);
	drpc_td3_free(&teacher);
	if (err)
		return err;
	if (a->json)
		print_json(a, config, report, &judged);
	else
		print_text(report, &judged);
	return 0;
}

/* How the program was called, for the policies' provenance. */
static char *command_line(int argc, char **argv)
{
	char *out = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&out, &size);

	if (!f)
		return NULL;
	fputs("drpc-sim", f);
	for (int i = 0; i < argc; i++)
		fprintf(f, " %s", argv[i]);
	return fclose(f) == 0 ? out : NULL;
}

int sim_train(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{"app", 'a', "FILE", 0, "the application", 0},
		{"cluster", 'c', "FILE", 0, "a cluster instead of the file's own", 0},
		{"teacher", 'T', "joint|pooled", 0, "form of the networks (default pooled)", 0},
		{"profile", 'p', "paper|node", 0, "what they are shown (default paper)", 0},
		{"trace", 't', "FILE", 0,
		 "windows of it, one rate a line and second, instead of generated traces", 0},
		{"episodes", KEY_EPISODES, "N", 0, "default 112", 0},
		{"seed", 's', "N", 0, "default 1", 0},
		{"out", 'o', "FOLDER", 0, "for checkpoints, teacher and students", 0},
		{"resume", KEY_RESUME, NULL, 0, "go on from the folder's last checkpoint", 0},
		{"jobs", 'j', "N", 0, "threads (default: as many as processors)", 0},
		{"set", KEY_SET, "NAME=VALUE", 0, "a setting, see below; may be repeated", 0},
		{"no-students", KEY_NO_STUDENTS, NULL, 0, "train and judge the teacher alone", 0},
		{"judge-traces", KEY_JUDGE_TRACES, "N", 0, "held-out traces (default 10)", 0},
		{"judge-seconds", KEY_JUDGE_SECONDS, "S", 0, "of each of them (default 900)", 0},
		{"json", KEY_JSON, NULL, 0, "print one JSON object", 0},
		{0},
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_option,
		.doc = "Trains a teacher on simulated episodes and its students.\v",
		.help_filter = filter,
	};
	struct arguments a = {.kind = DRPC_TD3_POOLED,
			      .episodes = 112,
			      .seed = 1,
			      .jobs = (unsigned long)sysconf(_SC_NPROCESSORS_ONLN),
			      .judge_traces = 10,
			      .judge_seconds = 900};
	_cleanup_free_ struct drpc_sim_piece *pieces = NULL;
	_cleanup_free_ char *command = command_line(argc, argv);
	struct drpc_train_config config;
	struct drpc_sim_app *app = NULL;
	int err;

	a.command = command;
	argp_parse(&argp, argc, argv, 0, NULL, &a);
	err = drpc_sim_app_load(a.app, a.cluster, &app);
	if (err)
		return 1;
	config = drpc_train_defaults(app, a.kind, a.profile);
	config.episodes = a.episodes;
	config.seed = a.seed;
	config.jobs = (unsigned int)a.jobs;
	config.out = a.out;
	config.resume = a.resume;
	config.progress = on_round;
	for (size_t i = 0; i < a.n_settings && !err; i++)
		err = set(&config, a.settings[i]);
	if (!err && a.trace) {
		err = sim_trace_pieces(a.trace, &pieces, &config.n_trace);
		config.trace = pieces;
	}
	if (!err)
		err = train(&a, &config);
	drpc_sim_app_free(&app);
	return err < 0;
}
