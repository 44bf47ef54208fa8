// SPDX-License-Identifier: Apache-2.0
/* What training costs besides TD3: student, distillation, GRU, replay buffer. */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "lib/util.h"
#include "nn/blas.h"
#include "nn/student.h"
#include "teacher/imitation.h"
#include "teacher/predictor.h"
#include "teacher/replay.h"
#include "tools/bench/bench.h"

#define SAMPLES 2001

/* Options that are numbers: --name N each. */
struct number {
	const char *name;
	size_t *value;
	size_t least, most;
};

/* Returns 0; 1 after --help; -EINVAL, with the reason printed. */
static int parse_numbers(int argc, char **argv, const char *what, const struct number *numbers,
			 size_t n)
{
	struct option options[12] = {0};
	int opt, at;

	for (size_t i = 0; i < n; i++)
		options[i] = (struct option){numbers[i].name, required_argument, NULL, 'n'};
	options[n] = (struct option){"help", no_argument, NULL, 'h'};
	optind = 0;
	while ((opt = getopt_long(argc, argv, "", options, &at)) != -1) {
		char *end;

		if (opt == 'n') {
			*numbers[at].value = strtoul(optarg, &end, 10);
			if (*end == '\0' && *numbers[at].value >= numbers[at].least &&
			    *numbers[at].value <= numbers[at].most)
				continue;
			fprintf(stderr, "drpc-bench %s: --%s %s: expected %zu..%zu\n", argv[0],
				numbers[at].name, optarg, numbers[at].least, numbers[at].most);
		}
		fprintf(opt == 'h' ? stdout : stderr, "usage: drpc-bench %s", argv[0]);
		for (size_t i = 0; i < n; i++)
			fprintf(opt == 'h' ? stdout : stderr, " [--%s N]", numbers[i].name);
		fprintf(opt == 'h' ? stdout : stderr, "\n%s\n", what);
		return opt == 'h' ? 1 : -EINVAL;
	}
	return 0;
}

static float *drawn(size_t n, uint64_t seed)
{
	struct drpc_rng rng = drpc_rng_make(seed, 1);
	float *x = aligned_alloc(64, (n * sizeof(*x) + 63) / 64 * 64);

	if (x)
		drpc_rng_symmetric(&rng, 1.0f, n, x);
	return x;
}

/* --- student ------------------------------------------------------------------------------ */

int bench_student(int argc, char **argv, struct bench_report *report)
{
	static double one[SAMPLES], batch[SAMPLES];
	static struct drpc_student student;
	size_t n = 5, rows = 120;
	const struct number numbers[] = {{"inputs", &n, 1, DRPC_STUDENT_MAX_INPUTS},
					 {"rows", &rows, 1, 4096}};
	_cleanup_free_ float *params = NULL, *x = NULL, *y = NULL;
	int err = parse_numbers(argc, argv, "Forward pass of a student, warm: one state, and many.",
				numbers, 2);

	if (err)
		return err < 0 ? err : 0;
	params = drawn(drpc_student_params(n), 1);
	x = drawn(4096 * DRPC_STUDENT_MAX_INPUTS, 2);
	y = drawn(4096 * 3, 3);
	if (!params || !x || !y)
		return -ENOMEM;
	err = drpc_student_pack(&student, (unsigned int)n, params);
	if (err)
		return err;
	bench_pin(0);
	for (size_t i = 0; i < SAMPLES; i++) {
		uint64_t begin = drpc_now_ns();

		/* Each state waits for the outputs before it: latency, not throughput. */
		for (size_t k = 0; k < 100; k++) {
			x[k * n] += y[0] * 1e-30f;
			drpc_student_forward(&student, x + k * n, y);
		}
		one[i] = (double)(drpc_now_ns() - begin) / 100;
		begin = drpc_now_ns();
		drpc_student_forward_batch(&student, rows, x, y);
		batch[i] = (double)(drpc_now_ns() - begin) / 1e3;
	}
	bench_add(report, "ns", bench_median(one, SAMPLES), "student_ns_p50");
	bench_add(report, "us", bench_median(batch, SAMPLES), "student_%zu_us", rows);
	return 0;
}

/* --- distillation ------------------------------------------------------------------------- */

int bench_distil(int argc, char **argv, struct bench_report *report)
{
	static double times[SAMPLES];
	size_t n = 5, batch = 64;
	const struct number numbers[] = {{"inputs", &n, 1, DRPC_F_COUNT},
					 {"batch", &batch, 1, 4096}};
	_cleanup_free_ float *x = NULL, *y = NULL;
	struct drpc_imitation_config config;
	struct drpc_imitation *imitation = NULL;
	int err = parse_numbers(argc, argv,
				"One step of imitation: forward, backward, AdamW of a student.",
				numbers, 2);

	if (err)
		return err < 0 ? err : 0;
	config = drpc_imitation_defaults((unsigned int)n);
	config.batch = batch;
	x = drawn(batch * n, 1);
	y = drawn(batch * DRPC_OUT_COUNT, 2);
	err = x && y ? drpc_imitation_new(&config, &imitation) : -ENOMEM;
	if (err)
		return err;
	bench_pin(0);
	for (size_t i = 0; i < SAMPLES; i++) {
		const uint64_t begin = drpc_now_ns();

		for (int k = 0; k < 10; k++)
			drpc_imitation_step(imitation, x, y);
		times[i] = (double)(drpc_now_ns() - begin) / 1e4;
	}
	bench_add(report, "us", bench_median(times, SAMPLES), "distil_step_us");
	drpc_imitation_free(&imitation);
	return 0;
}

/* --- recurrent ---------------------------------------------------------------------------- */

static int time_forecast(const struct drpc_predictor_config *c, const float *x,
			 struct bench_report *report)
{
	const struct drpc_forecast_info info = {
		.cell = c->cell,
		.n_inputs = c->n_inputs,
		.hidden = c->hidden,
		.window = c->window,
		.horizons = c->horizons,
		.step_s = 300,
		.scale = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}};
	static double times[SAMPLES];
	_cleanup_free_ float *params = drawn(drpc_forecast_params(&info), 5);
	struct drpc_forecast *forecast = NULL;
	float ahead[DRPC_FORECAST_MAX_HORIZONS];
	int err = params ? drpc_forecast_new(&info, params, &forecast) : -ENOMEM;

	for (size_t i = 0; !err && i < SAMPLES; i++) {
		const uint64_t begin = drpc_now_ns();

		for (int k = 0; k < 10; k++)
			err = drpc_forecast_run(forecast, x, ahead);
		times[i] = (double)(drpc_now_ns() - begin) / 1e4;
	}
	if (!err)
		bench_add(report, "us", bench_median(times, SAMPLES), "%s_infer_us",
			  c->cell == DRPC_RNN_GRU ? "gru" : "lstm");
	drpc_forecast_free(&forecast);
	return err;
}

static int time_cell(const struct drpc_predictor_config *c, struct bench_report *report)
{
	static double times[SAMPLES];
	_cleanup_free_ float *x = drawn(c->window * c->batch * c->n_inputs, 1);
	_cleanup_free_ float *y = drawn(c->batch * c->horizons, 2);
	const size_t samples = 401;
	struct drpc_predictor *p = NULL;
	int err = x && y ? drpc_predictor_new(c, &p) : -ENOMEM;

	if (err)
		return err;
	for (size_t i = 0; i < samples; i++) {
		const uint64_t begin = drpc_now_ns();

		drpc_predictor_step(p, c->batch, x, y);
		times[i] = (double)(drpc_now_ns() - begin) / 1e3;
	}
	bench_add(report, "us", bench_median(times, samples), "%s_train_us",
		  c->cell == DRPC_RNN_GRU ? "gru" : "lstm");
	drpc_predictor_free(&p);
	return time_forecast(c, x, report);
}

int bench_gru(int argc, char **argv, struct bench_report *report)
{
	struct drpc_predictor_config c = drpc_predictor_defaults(8);
	const struct number numbers[] = {
		{"inputs", &c.n_inputs, 1, DRPC_FORECAST_MAX_INPUTS},
		{"hidden", &c.hidden, 1, DRPC_RNN_MAX_HIDDEN},
		{"steps", &c.window, 1, DRPC_FORECAST_MAX_WINDOW},
		{"batch", &c.batch, 1, 65536},
	};
	int err = parse_numbers(
		argc, argv, "Predictors, GRU and LSTM: a training step, and one series' forecast.",
		numbers, 4);

	if (err)
		return err < 0 ? err : 0;
	bench_pin(0);
	err = time_cell(&c, report);
	c.cell = DRPC_RNN_LSTM;
	return err ? err : time_cell(&c, report);
}

/* --- replay ------------------------------------------------------------------------------- */

/* Draws batches and reads what was drawn, as an update does. */
static void time_draws(struct drpc_replay *replay, bool prioritized, size_t n_state,
		       struct bench_report *report)
{
	static double times[SAMPLES];
	struct drpc_rng rng = drpc_rng_make(3, 3);
	uint64_t at[256];
	float weight[256];
	volatile float sink = 0;

	for (size_t i = 0; i < SAMPLES; i++) {
		const uint64_t begin = drpc_now_ns();

		if (prioritized)
			drpc_replay_draw_prioritized(replay, &rng, 0.4, 256, at, weight);
		else
			drpc_replay_draw(replay, &rng, 256, at);
		for (size_t k = 0; k < 256; k++) {
			struct drpc_transition t;

			if (k + 8 < 256)
				drpc_replay_prefetch(replay, at[k + 8]);
			t = drpc_replay_get(replay, at[k]);
			for (size_t s = 0; s < n_state; s++)
				sink += t.state[s] + t.next[s];
			if (prioritized)
				drpc_replay_set_priority(replay, at[k], fabsf(t.reward) + 0.1f);
		}
		times[i] = (double)(drpc_now_ns() - begin) / 1e3;
	}
	(void)sink;
	bench_add(report, "us", bench_median(times, SAMPLES), "replay_draw_256_%s_us",
		  prioritized ? "prioritised" : "uniform");
}

int bench_replay(int argc, char **argv, struct bench_report *report)
{
	size_t state = 17, action = 6, records = 200000;
	const struct number numbers[] = {{"state", &state, 1, 4096},
					 {"action", &action, 1, 4096},
					 {"records", &records, 1000, 1000000}};
	struct drpc_replay_shape shape = {.units = 1};
	struct drpc_replay *replay = NULL;
	char path[] = "/tmp/drpc-bench-replay-XXXXXX";
	_cleanup_free_ float *x = NULL;
	uint64_t begin;
	int fd, err;

	err = parse_numbers(argc, argv, "The replay buffer in a file: push, open again, draw.",
			    numbers, 3);
	if (err)
		return err < 0 ? err : 0;
	shape.state = state;
	shape.action = action;
	x = drawn(2 * state + action, 1);
	fd = mkstemp(path);
	if (!x || fd < 0)
		return -ENOMEM;
	close(fd);
	bench_pin(0);
	err = drpc_replay_open(path, &shape, records, &replay);
	begin = drpc_now_ns();
	for (size_t i = 0; !err && i < records; i++)
		err = drpc_replay_push(
			replay,
			&(struct drpc_transition){x, x + state, x + state + action, x[0], false});
	if (!err) {
		bench_add(report, "ns", (double)(drpc_now_ns() - begin) / (double)records,
			  "replay_push_ns");
		drpc_replay_close(&replay);
		begin = drpc_now_ns();
		err = drpc_replay_open(path, &shape, records, &replay);
	}
	if (!err) {
		bench_add(report, "ns", (double)(drpc_now_ns() - begin) / (double)records,
			  "replay_check_ns");
		time_draws(replay, false, state, report);
		err = drpc_replay_prioritize(replay, 0.6);
	}
	if (!err)
		time_draws(replay, true, state, report);
	drpc_replay_close(&replay);
	unlink(path);
	return err;
}
