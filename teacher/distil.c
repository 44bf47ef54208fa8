// SPDX-License-Identifier: Apache-2.0
#include "teacher/distil.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/plan/reactive.h"
#include "lib/log.h"
#include "lib/util.h"
#include "nn/rng.h"

#define STATES_LEAST 500

struct drpc_distil_config drpc_distil_defaults(void)
{
	return (struct drpc_distil_config){
		.n_inputs = DRPC_F_COUNT,
		.rounds = 40,
		.variations = 8,
		.lr = 1e-3,
		.seed = 1,
	};
}

/*
 * A recording visits few of the places where a rule changes its mind. Variations of a state, with
 * features moved or taken from another state, are labelled by the same rules and fill the gaps;
 * they lie where real states lie, not anywhere.
 */
static void vary(const struct drpc_states *states, size_t n, size_t i, struct drpc_rng *rng,
		 float ret[DRPC_F_COUNT])
{
	const float *other;
	uint64_t pick;

	drpc_rng_indices(rng, n, 1, &pick);
	other = states->features + pick * DRPC_F_COUNT;
	memcpy(ret, states->features + i * DRPC_F_COUNT, DRPC_F_COUNT * sizeof(*ret));
	for (int f = 0; f < DRPC_F_COUNT; f++) {
		double u = drpc_rng_uniform(rng);

		if (f == DRPC_F_REPLICAS)
			continue;
		if (u < 0.15)
			ret[f] = other[f];
		else if (u < 0.65)
			ret[f] *= (float)(0.5 + drpc_rng_uniform(rng) * 1.2);
	}
}

static int push_labelled(struct drpc_imitation *imitation, const float features[DRPC_F_COUNT])
{
	float raw[DRPC_OUT_COUNT];

	drpc_reactive_decide(features, raw);
	return drpc_imitation_push(imitation, features, raw);
}

static int fill(struct drpc_imitation *imitation, const struct drpc_states *states, size_t train,
		const struct drpc_distil_config *config)
{
	struct drpc_rng rng = drpc_rng_make(config->seed, 0);
	int r = 0;

	for (size_t i = 0; i < train && r == 0; i++) {
		r = push_labelled(imitation, states->features + i * DRPC_F_COUNT);
		for (unsigned int v = 0; v < config->variations && r == 0; v++) {
			float varied[DRPC_F_COUNT];

			vary(states, train, i, &rng, varied);
			r = push_labelled(imitation, varied);
		}
	}
	return r;
}

static int compare(const struct drpc_imitation *imitation, const struct drpc_states *states,
		   size_t from, struct drpc_imitation_report *ret)
{
	const float *features = states->features + from * DRPC_F_COUNT;
	const size_t n = states->count - from;
	_cleanup_free_ float *outputs = calloc(n * DRPC_OUT_COUNT, sizeof(float));

	if (!outputs)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		drpc_reactive_decide(features + i * DRPC_F_COUNT, outputs + i * DRPC_OUT_COUNT);
	return drpc_imitation_compare(imitation, n, features, outputs, NAN, NAN, ret);
}

static int save(const struct drpc_imitation *imitation, const char *data, const char *out)
{
	struct drpc_policy_info info = {
		.reward = NAN,
		.method = "imitation of the reactive planner",
		.program = "drpc-teacher distil " DRPC_VERSION,
		.created_s = (uint64_t)time(NULL),
	};

	drpc_strcpy(info.data, sizeof(info.data), data);
	return drpc_imitation_save(imitation, &info, out);
}

int drpc_distil_reactive(const struct drpc_distil_config *config, const struct drpc_states *states,
			 const char *data, const char *out, struct drpc_imitation_report *ret)
{
	struct drpc_imitation_config ic = drpc_imitation_defaults(config->n_inputs);
	const size_t train = states->count * 4 / 5;
	struct drpc_imitation *imitation = NULL;
	struct drpc_imitation_report report = {0};
	double loss = NAN;
	int r;

	if (states->count < STATES_LEAST)
		return drpc_err(-ENODATA,
				"distil: %zu states, at least %d are needed; record longer",
				states->count, STATES_LEAST);
	ic.capacity = train * (1 + config->variations);
	ic.lr = config->lr;
	ic.seed = config->seed;
	ic.epochs = 5;
	r = drpc_imitation_new(&ic, &imitation);
	if (r < 0)
		return r;
	r = fill(imitation, states, train, config);
	for (unsigned int round = 0; round < config->rounds && r == 0; round++) {
		r = drpc_imitation_train(imitation, &loss);
		if (r == 0)
			r = compare(imitation, states, train, &report);
		if (r == 0)
			drpc_info(
				"distil: round %u of %u: loss %.4f, held out: error %.4f, %.2f %% of the decisions differ",
				round + 1, config->rounds, loss, report.mse, report.differ * 100);
	}
	if (r == 0)
		r = save(imitation, data, out);
	drpc_imitation_free(&imitation);
	if (r == 0)
		*ret = report;
	return r;
}
