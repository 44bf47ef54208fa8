// SPDX-License-Identifier: Apache-2.0
/*
 * The student's forward pass, as the agent calls it: a loaded policy, all features in, three
 * outputs out, finite checks and scaling included. Warm: the same policy again and again, with
 * states that differ. Timed in batches, since one pass is shorter than reading the clock twice.
 */
#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "include/drpc/features.h"
#include "lib/util.h"
#include "nn/policy_file.h"
#include "tools/bench/bench.h"

#define STATES	64
#define BATCH	512
#define BATCHES 2000

static float noise(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (float)(*seed >> 40) / (float)(1 << 24) - 0.5f;
}

static int make_net(unsigned int n_inputs, struct drpc_policy_net **ret)
{
	struct drpc_policy_info info = {.n_inputs = n_inputs, .clip = 5, .reward = NAN};
	float params[1024];
	uint64_t seed = 1;

	for (unsigned int i = 0; i < n_inputs; i++)
		info.inputs[i] =
			(struct drpc_policy_input){.feature = (enum drpc_feature)i, .scale = 1};
	for (size_t i = 0; i < drpc_student_params(n_inputs); i++)
		params[i] = noise(&seed);
	return drpc_policy_net_new(&info, params, ret);
}

static int measure(unsigned int n_inputs, double *ret_p50, double *ret_p99)
{
	static float states[STATES][DRPC_F_COUNT];
	static double batch_ns[BATCHES];
	struct drpc_policy_net *net;
	volatile float sink = 0;
	uint64_t seed = 2;
	int r;

	r = make_net(n_inputs, &net);
	if (r < 0)
		return r;
	for (size_t s = 0; s < STATES; s++) {
		for (size_t f = 0; f < DRPC_F_COUNT; f++)
			states[s][f] = noise(&seed) + 0.5f;
	}
	for (size_t b = 0; b < BATCHES; b++) {
		uint64_t start = drpc_now_ns();

		for (size_t i = 0; i < BATCH; i++) {
			float out[DRPC_OUT_COUNT];

			r = drpc_policy_net_forward(net, states[i % STATES], out);
			sink += out[0];
		}
		batch_ns[b] = (double)(drpc_now_ns() - start) / BATCH;
	}
	(void)sink;
	drpc_policy_net_free(&net);
	*ret_p50 = bench_median(batch_ns, BATCHES);
	*ret_p99 = bench_percentile(batch_ns, BATCHES, 0.99);
	return r;
}

int bench_inference(int argc, char **argv, struct bench_report *report)
{
	static const struct argp argp = {.doc = "Forward pass of the student network, warm."};
	double p50, p99;
	int r;

	if (argp_parse(&argp, argc, argv, 0, NULL, NULL) != 0)
		return -EINVAL;
	r = measure(DRPC_F_PAPER_COUNT, &p50, &p99);
	if (r < 0)
		return r;
	bench_add(report, "ns", p50, "student_ns_p50");
	bench_add(report, "ns", p99, "student_ns_p99");
	r = measure(DRPC_F_COUNT, &p50, &p99);
	if (r < 0)
		return r;
	bench_add(report, "ns", p50, "student_node_profile_ns_p50");
	return 0;
}
