// SPDX-License-Identifier: Apache-2.0
/*
 * One TD3 update against its floor: the matrix products that it cannot do without, each in the fastest
 * way that OpenBLAS has for its shape, one pass over all of them in turns with the updates.
 */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <string.h>

#include "lib/util.h"
#include "nn/blas.h"
#include "teacher/td3.h"
#include "tools/bench/bench.h"
#include "tools/bench/products.h"

#define MAX_PRODUCTS 32
#define PAIRS	     10 /* of updates in a round */

struct options {
	struct drpc_td3_config config;
	size_t transitions;
	int rounds;
};

static void add(struct bench_product **next, enum bench_operand weights, size_t nets, size_t times,
		size_t m, size_t n, size_t k)
{
	*(*next)++ = (struct bench_product){
		.weights = weights, .nets = nets, .times = times, .m = m, .n = n, .k = k};
}

/* What a pair of updates (delay 2: one of them moves the actor) multiplies. */
static size_t list_products(const struct drpc_td3_config *c, struct bench_product *ret)
{
	const size_t b = c->batch, s = c->units * c->state, a = c->units * c->action;
	const size_t delay = c->policy_delay;
	size_t in_actor = s, in_critic = s + a;
	struct bench_product *next = ret;

	for (size_t l = 0; l < c->n_hidden; l++) {
		const size_t h = c->hidden[l];

		/* Actor: target and own forward, weights' gradients, the inner inputs'. */
		add(&next, BENCH_B, 2, delay + 1, b, h, in_actor);
		add(&next, BENCH_C, 1, 1, in_actor, h, b);
		if (l > 0)
			add(&next, BENCH_B, 1, 1, b, in_actor, h);
		/* Critics, first layers as one: target, own, and weights' gradients; in the actor's
		 * step the first critic forward, and back to its inputs. */
		if (l == 0) {
			add(&next, BENCH_B, 2, 2 * delay, b, 2 * h, in_critic);
			add(&next, BENCH_C, 1, delay, in_critic, 2 * h, b);
			add(&next, BENCH_B, 1, 1, b, h, in_critic);
			add(&next, BENCH_B, 1, 1, b, a, h);
		} else {
			add(&next, BENCH_B, 4, 4 * delay + 1, b, h, in_critic);
			add(&next, BENCH_C, 2, 2 * delay, in_critic, h, b);
			add(&next, BENCH_B, 2, 2 * delay + 1, b, in_critic, h);
		}
		in_actor = in_critic = h;
	}
	add(&next, BENCH_B, 2, delay + 1, b, a, in_actor);
	add(&next, BENCH_C, 1, 1, in_actor, a, b);
	add(&next, BENCH_B, 1, 1, b, in_actor, a);
	add(&next, BENCH_B, 4, 4 * delay + 1, b, 1, in_critic);
	add(&next, BENCH_C, 2, 2 * delay, in_critic, 1, b);
	add(&next, BENCH_B, 2, 2 * delay + 1, b, in_critic, 1);
	return (size_t)(next - ret);
}

static int fill(struct drpc_replay *replay, const struct drpc_td3_config *c, size_t n)
{
	const size_t ns = c->units * c->state, na = c->units * c->action;
	_cleanup_free_ float *x = malloc((2 * ns + na) * sizeof(*x));
	struct drpc_rng rng = drpc_rng_make(1, 77);

	if (!x)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct drpc_transition t = {.state = x, .action = x + ns, .next = x + ns + na};
		int err;

		drpc_rng_symmetric(&rng, 1.0f, 2 * ns + na, x);
		t.reward = x[0] * x[ns];
		t.done = i % 100 == 99;
		err = drpc_replay_push(replay, &t);
		if (err)
			return err;
	}
	return 0;
}

static int measure(const struct options *o, struct drpc_td3 *td3, struct drpc_replay *replay,
		   struct bench_report *report)
{
	const unsigned int delay = o->config.policy_delay;
	struct bench_product products[MAX_PRODUCTS];
	/* A pooled teacher's products depend on the roster; its update is timed alone. */
	const size_t n = o->config.kind == DRPC_TD3_JOINT ? list_products(&o->config, products) : 0;
	_cleanup_free_ double *times = calloc((size_t)o->rounds * PAIRS, sizeof(*times));
	_cleanup_free_ double *passes = calloc((size_t)o->rounds * PAIRS, sizeof(*passes));
	size_t n_times = 0;
	double flops = 0, floor_us = 0, update_us = 0;
	int err = times && passes ? bench_products_start(products, n) : -ENOMEM;

	/* First which way is the fastest for each; then pairs of updates in a row, as training has them,
	 * and passes over the products in a row. The first of each row finds caches that the other has
	 * filled, and is not counted. */
	for (int round = 0; !err && round < 40; round++)
		bench_products_round(products, n);
	bench_products_choose(products, err ? 0 : n);
	for (int round = 0; !err && round < o->rounds; round++) {
		for (int pair = -1; !err && pair < PAIRS; pair++) {
			const uint64_t begin = bench_thread_cpu_ns();

			for (unsigned int i = 0; !err && i < delay; i++)
				err = drpc_td3_update(td3, replay, NULL);
			if (pair < 0)
				continue;
			times[n_times++] = (double)(bench_thread_cpu_ns() - begin) / 1e3 / delay;
		}
		bench_products_pass_us(products, n);
		for (int pair = 0; pair < PAIRS; pair++)
			passes[n_times - PAIRS + (size_t)pair] =
				bench_products_pass_us(products, n) / delay;
	}
	if (!err) {
		update_us = bench_median(times, n_times);
		bench_add(report, "us", update_us, "update_us");
	}
	if (!err && n > 0) {
		floor_us = bench_median(passes, n_times);
		for (size_t i = 0; i < n; i++)
			flops += 2.0 * (double)(products[i].times * products[i].m * products[i].n *
						products[i].k);
		flops /= delay;
		bench_add(report, "us", floor_us, "gemm_floor_us");
		bench_add(report, "ratio", update_us / floor_us, "update_over_floor");
		bench_add(report, "GFLOP/s", flops / update_us / 1e3, "gflops");
		bench_add(report, "us", bench_products_us(products, n, BENCH_LIBRARY) / delay,
			  "gemm_in_cache_us");
		bench_add(report, "us", bench_products_us(products, n, BENCH_WHOLE) / delay,
			  "gemm_in_cache_whole_us");
		bench_add(report, "us", bench_products_us(products, n, BENCH_ANY) / delay,
			  "gemm_in_cache_own_us");
		bench_note(report, "OpenBLAS kernels: %s", drpc_blas_kernel());
	}
	bench_products_stop(products, n);
	return err;
}

static const struct option long_options[] = {
	{"state", required_argument, NULL, 's'},  {"action", required_argument, NULL, 'a'},
	{"hidden", required_argument, NULL, 'H'}, {"layernorm", no_argument, NULL, 'l'},
	{"batch", required_argument, NULL, 'b'},  {"rounds", required_argument, NULL, 'r'},
	{"pooled", required_argument, NULL, 'p'}, {"transitions", required_argument, NULL, 't'},
	{"help", no_argument, NULL, 'h'},	  {0},
};

static int usage(FILE *out, int ret)
{
	fprintf(out,
		"usage: drpc-bench td3 [--state N] [--action N] [--hidden H1,H2] [--layernorm]\n"
		"                      [--batch N] [--transitions N] [--rounds N] [--pooled UNITS]\n"
		"Times updates in pairs (the policy moves in every second one) on one core.\n");
	return ret;
}

static size_t number(const char *text)
{
	char *end;
	const unsigned long n = strtoul(text, &end, 10);

	return *end ? 0 : n;
}

static bool parse_hidden(const char *text, struct drpc_td3_config *c)
{
	c->n_hidden = 0;
	while (c->n_hidden < DRPC_TD3_MAX_HIDDEN) {
		char *end;

		c->hidden[c->n_hidden++] = strtoul(text, &end, 10);
		if (*end == '\0')
			return true;
		if (*end != ',')
			return false;
		text = end + 1;
	}
	return false;
}

static int parse(int argc, char **argv, struct options *o)
{
	struct drpc_td3_config *c = &o->config;
	int opt;

	optind = 0;
	while ((opt = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (opt) {
		case 's':
			c->state = number(optarg);
			break;
		case 'a':
			c->action = number(optarg);
			break;
		case 'H':
			if (!parse_hidden(optarg, c))
				return usage(stderr, -EINVAL);
			break;
		case 'l':
			c->norm = true;
			break;
		case 'b':
			c->batch = number(optarg);
			break;
		case 't':
			o->transitions = number(optarg);
			break;
		case 'r':
			o->rounds = (int)number(optarg);
			break;
		case 'p':
			c->kind = DRPC_TD3_POOLED;
			c->embed = 64;
			c->units = number(optarg);
			break;
		case 'h':
			return usage(stdout, 1);
		default:
			return usage(stderr, -EINVAL);
		}
	}
	if (optind < argc || o->rounds < 10 || o->transitions < c->batch)
		return usage(stderr, -EINVAL);
	return drpc_td3_check(c);
}

int bench_td3(int argc, char **argv, struct bench_report *report)
{
	struct options o = {.config = drpc_td3_defaults(DRPC_TD3_JOINT, 1, 17, 6),
			    .transitions = 100000,
			    .rounds = 60};
	struct drpc_replay_shape shape;
	struct drpc_replay *replay = NULL;
	struct drpc_td3 *td3 = NULL;
	int err;

	o.config.hidden[0] = o.config.hidden[1] = 256;
	o.config.norm = false;
	err = parse(argc, argv, &o);
	if (err)
		return err < 0 ? err : 0;
	bench_pin(0);
	shape = (struct drpc_replay_shape){
		.units = o.config.units, .state = o.config.state, .action = o.config.action};
	err = drpc_replay_open(NULL, &shape, o.transitions, &replay);
	if (!err)
		err = drpc_td3_new(&o.config, &td3);
	if (!err)
		err = fill(replay, &o.config, o.transitions);
	if (!err)
		err = measure(&o, td3, replay, report);
	drpc_td3_free(&td3);
	drpc_replay_close(&replay);
	return err;
}
