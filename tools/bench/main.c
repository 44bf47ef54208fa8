// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "tools/bench/report.h"

static const struct bench benches[] = {
	{"hist", "histogram: cost of an index and of a quantile, worst error", bench_hist},
	{"inference", "student: forward pass", bench_inference},
	{"tick", "control tick: 40 deployments sampled, decided, written, verified", bench_tick},
	{"overhead", "what measuring costs servers: exchange, nginx, redis, agent", bench_overhead},
	{"capture", "what is captured of nginx and redis, against the wire", bench_capture},
	{"td3", "training: one TD3 update, beside the products it needs", bench_td3},
	{"pendulum", "training: Pendulum-v1 over seeds, and learning curves", bench_pendulum},
	{"student", "training: a student's forward pass, one state and 120", bench_student},
	{"distil", "training: one step of imitation", bench_distil},
	{"gru", "training: predictors, a step and a forecast", bench_gru},
	{"sim", "simulator: events per second, and what ten times the services cost", bench_sim},
	{"replay", "training: the replay buffer", bench_replay},
	{"link", "experience: its bytes on the wire, and what a core takes in", bench_link},
};

static void usage(FILE *out)
{
	fprintf(out, "usage: drpc-bench NAME [--json] [options]\n"
		     "       drpc-bench NAME --help\n\nbenchmarks:\n");
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(benches); i++)
		fprintf(out, "  %-12s %s\n", benches[i].name, benches[i].help);
	fprintf(out, "\nPrints name, value and unit of each figure; --json prints a list of\n"
		     "{name, unit, value}. Exit status: 0 measured, 1 failed, 2 usage.\n");
}

/* Takes --json out of the arguments. */
static int take_json(int argc, char **argv, bool *ret_json)
{
	int kept = 0;

	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			*ret_json = true;
		else
			argv[kept++] = argv[i];
	}
	argv[kept] = NULL;
	return kept;
}

int main(int argc, char **argv)
{
	struct bench_report report = {0};
	int r = -ENOENT;

	argc = take_json(argc, argv, &report.json);
	if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		usage(stdout);
		return 0;
	}
	if (argc >= 2 && strcmp(argv[1], "--version") == 0) {
		printf("drpc-bench %s\n", DRPC_VERSION);
		return 0;
	}
	if (argc < 2) {
		usage(stderr);
		return 2;
	}

	drpc_log_set_level(DRPC_LOG_WARN);
	report.figures = json_object_new_array();
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(benches); i++) {
		if (strcmp(benches[i].name, argv[1]) == 0)
			r = benches[i].run(argc - 1, argv + 1, &report);
	}
	if (r == -ENOENT)
		fprintf(stderr, "drpc-bench: there is no benchmark '%s'; see drpc-bench --help\n",
			argv[1]);
	else
		bench_report_print(&report, stdout);
	json_object_put(report.figures);
	if (r == -ENOENT || r == -EINVAL)
		return 2;
	return r < 0;
}
