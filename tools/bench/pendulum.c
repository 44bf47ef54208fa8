// SPDX-License-Identifier: Apache-2.0
/*
 * Pendulum-v1 and the linear-quadratic task over seeds: episodes and processor time until the last
 * ten training episodes average -200, and learning curves as gnuplot draws them.
 */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "teacher/tasks.h"
#include "tools/bench/bench.h"

#define MAX_SEEDS    50
#define MAX_EPISODES 500
#define SOLVED	     (-200.0)

struct options {
	const struct drpc_task *task;
	size_t seeds, episodes;
	const char *script;
};

/* The settings of all tests and figures. Chosen after trying five on the same ten seeds: see
 * "Learning curves" in docs/learning.md. */
static struct drpc_td3_config settings_of(const struct drpc_task *task, uint64_t seed)
{
	struct drpc_td3_config c = drpc_td3_defaults(DRPC_TD3_JOINT, 1, task->state, task->action);

	c.hidden[0] = c.hidden[1] = 64;
	c.norm = false;
	c.batch = 100;
	c.actor_lr = c.critic_lr = 1e-3;
	c.gamma = 0.98;
	c.tau = 0.01;
	c.seed = seed;
	return c;
}

/* The first episode at which ten in a row average SOLVED; 0 for none. */
static size_t solved_at(const double *returns, size_t n)
{
	for (size_t i = 10; i <= n; i++) {
		double mean = 0;

		for (size_t k = i - 10; k < i; k++)
			mean += returns[k] / 10;
		if (mean >= SOLVED)
			return i;
	}
	return 0;
}

/* Mean cost of the best controller there is, over random starts. */
static double lq_optimum(void)
{
	struct drpc_rng rng = drpc_rng_make(1, 0);
	double sum = 0;

	for (int i = 0; i < 1000; i++) {
		double x[2];

		drpc_task_lq.reset(x, &rng);
		sum += drpc_task_lq_cost(x) / 1000;
	}
	return sum;
}

/* Episode, mean, mean ± deviation, smallest, largest over seeds; costs where sign is -1. */
static void plot_data(const struct options *o, double (*returns)[MAX_EPISODES], double sign,
		      FILE *out)
{
	fprintf(out, "$data << END\n");
	for (size_t e = 0; e < o->episodes; e++) {
		double mean = 0, var = 0, low = INFINITY, high = -INFINITY;

		for (size_t s = 0; s < o->seeds; s++) {
			const double value = sign * returns[s][e];

			mean += value / (double)o->seeds;
			low = fmin(low, value);
			high = fmax(high, value);
		}
		for (size_t s = 0; s < o->seeds; s++)
			var += pow(sign * returns[s][e] - mean, 2) / (double)o->seeds;
		/* A band that a logarithmic axis can show ends where the values do. */
		fprintf(out, "%zu %g %g %g %g %g\n", e + 1, mean, fmax(low, mean - sqrt(var)),
			fmin(high, mean + sqrt(var)), low, high);
	}
	fprintf(out, "END\n");
}

/* A gnuplot script, which draws an SVG on its standard output. */
static int plot(const struct options *o, double (*returns)[MAX_EPISODES])
{
	const bool lq = o->task == &drpc_task_lq;
	FILE *out = fopen(o->script, "w");

	if (!out)
		return drpc_err(-errno, "bench: cannot write %s", o->script);
	fprintf(out,
		"set terminal svg size 720,420 font 'sans,13' background 'white'\n"
		"set grid\nset xlabel 'episode'\n"
		"set title 'TD3 on %s, training episodes of %zu seeds'\n",
		lq ? "the linear-quadratic task" : "Pendulum-v1", o->seeds);
	fprintf(out, lq ? "set key top right\nset logscale y\nset ylabel 'cost'\n"
			: "set key bottom right\nset ylabel 'sum of rewards'\n");
	plot_data(o, returns, lq ? -1 : 1, out);
	fprintf(out, "plot $data using 1:5:6 with filledcurves fc rgb '#e8eef7' "
		     "title 'smallest to largest', $data using 1:3:4 with filledcurves "
		     "fc rgb '#b8cbe8' title 'mean ± deviation', $data using 1:2 with lines lw 2 "
		     "lc rgb '#1f4e9c' title 'mean'");
	if (lq)
		fprintf(out, ", %g with lines dt 2 lc rgb '#a03030' title 'optimum'", lq_optimum());
	fprintf(out, "\n");
	return fclose(out) == 0 ? 0 : drpc_err(-errno, "bench: cannot write %s", o->script);
}

static int run(const struct options *o, struct bench_report *report)
{
	const struct drpc_task_settings settings = {.episodes = o->episodes,
						    .random_steps = 600,
						    .explore = 0.1,
						    .capacity = o->episodes * o->task->steps};
	static double returns[MAX_SEEDS][MAX_EPISODES], episodes[MAX_SEEDS], cpu[MAX_SEEDS];
	double last = 0, reached = 0;
	size_t unsolved = 0;

	bench_pin(0);
	for (size_t s = 0; s < o->seeds; s++) {
		const struct drpc_td3_config c = settings_of(o->task, s);
		const uint64_t begin = bench_thread_cpu_ns();
		struct drpc_td3 *td3 = NULL;
		double seconds, mean;
		size_t at;
		int err = drpc_td3_new(&c, &td3);

		if (!err)
			err = drpc_task_train(o->task, &settings, td3, returns[s]);
		seconds = (double)(bench_thread_cpu_ns() - begin) / 1e9;
		if (!err)
			err = drpc_task_evaluate(o->task, td3, 100, s, &mean);
		drpc_td3_free(&td3);
		if (err)
			return err;
		at = solved_at(returns[s], o->episodes);
		unsolved += at == 0;
		episodes[s] = at ? (double)at : (double)o->episodes;
		cpu[s] = seconds * episodes[s] / (double)o->episodes;
		reached += mean / (double)o->seeds;
		for (size_t e = o->episodes - 10; e < o->episodes; e++)
			last += returns[s][e] / (double)(10 * o->seeds);
	}
	bench_add(report, "return", reached, "%s_return_mean", o->task->name);
	bench_add(report, "return", last, "%s_last_10_training_mean", o->task->name);
	if (o->task == &drpc_task_pendulum) {
		bench_add(report, "episodes", bench_median(episodes, o->seeds),
			  "pendulum_episodes_median");
		bench_add(report, "s", bench_median(cpu, o->seeds), "pendulum_cpu_s_median");
		bench_add(report, "seeds", (double)unsolved, "pendulum_unsolved");
		/* One step of everything: act, move, push, update. */
		bench_add(report, "us",
			  1e6 * bench_median(cpu, o->seeds) / bench_median(episodes, o->seeds) /
				  200,
			  "pendulum_step_us");
	}
	if (o->task == &drpc_task_lq)
		bench_add(report, "return", -lq_optimum(), "lq_optimum");
	return o->script ? plot(o, returns) : 0;
}

static int usage(FILE *out, int ret)
{
	fprintf(out,
		"usage: drpc-bench pendulum [--task pendulum|lq] [--seeds N] [--episodes N] [--gnuplot FILE]\n"
		"Trains over seeds. --gnuplot writes a script that draws the learning curves:\n"
		"gnuplot FILE > curves.svg\n");
	return ret;
}

int bench_pendulum(int argc, char **argv, struct bench_report *report)
{
	static const struct option options[] = {{"task", required_argument, NULL, 't'},
						{"seeds", required_argument, NULL, 's'},
						{"episodes", required_argument, NULL, 'e'},
						{"gnuplot", required_argument, NULL, 'g'},
						{"help", no_argument, NULL, 'h'},
						{0}};
	struct options o = {.task = &drpc_task_pendulum, .seeds = 10, .episodes = 60};
	int opt;

	optind = 0;
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 't' && strcmp(optarg, "lq") == 0)
			o.task = &drpc_task_lq;
		else if (opt == 't' && strcmp(optarg, "pendulum") == 0)
			o.task = &drpc_task_pendulum;
		else if (opt == 's')
			o.seeds = strtoul(optarg, NULL, 10);
		else if (opt == 'e')
			o.episodes = strtoul(optarg, NULL, 10);
		else if (opt == 'g')
			o.script = optarg;
		else
			return opt == 'h' ? usage(stdout, 0) : usage(stderr, -EINVAL);
	}
	if (o.seeds < 1 || o.seeds > MAX_SEEDS || o.episodes < 10 || o.episodes > MAX_EPISODES)
		return usage(stderr, -EINVAL);
	return run(&o, report);
}
