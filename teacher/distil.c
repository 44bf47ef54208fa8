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
#define EPOCHS	     4

/* A state whose features need but move by this share for the rules to decide otherwise is at a border. */
#define BORDER 0.03f

/* Of the variations that a student answers right already, so many are taught on. */
#define KEEP_RIGHT 0.35

/*
 * Where the rules change their mind (docs/planners.md) is where a student must see well. Beyond
 * that a feature is clipped: a p99 of ten times the objective says what one of four times does.
 * Rates count by their ratio alone.
 */
static const float offsets[DRPC_F_COUNT] = {
	[DRPC_F_CPU_UTIL] = 0.6f, [DRPC_F_MEM_UTIL] = 0.7f,    [DRPC_F_REPLICAS] = 2,
	[DRPC_F_P99_SLO] = 0.8f,  [DRPC_F_QUEUE_SHARE] = 0.5f,
};
static const float scales[DRPC_F_COUNT] = {
	[DRPC_F_CPU_UTIL] = 4,	    [DRPC_F_MEM_UTIL] = 5,     [DRPC_F_REPLICAS] = 1,
	[DRPC_F_RATE] = 10,	    [DRPC_F_RATE_PRED] = 10,   [DRPC_F_P99_SLO] = 2,
	[DRPC_F_QUEUE_SHARE] = 4,   [DRPC_F_CPU_PRESSURE] = 2, [DRPC_F_THROTTLED] = 5,
	[DRPC_F_MEM_PRESSURE] = 40,
};

/* Where a feature is drawn anew, it is drawn from here, evenly on a logarithmic scale. */
static const struct {
	enum drpc_feature feature;
	double low, high;
} ranges[] = {
	{DRPC_F_CPU_UTIL, 0.02, 1.5}, {DRPC_F_MEM_UTIL, 0.2, 1},    {DRPC_F_P99_SLO, 0.1, 10},
	{DRPC_F_QUEUE_SHARE, 0.1, 1}, {DRPC_F_THROTTLED, 0.003, 1}, {DRPC_F_MEM_PRESSURE, 1e-4, 1},
};

struct drpc_distil_config drpc_distil_defaults(void)
{
	return (struct drpc_distil_config){
		.n_inputs = DRPC_F_COUNT,
		.rounds = 200,
		.variations = 8,
		.lr = 3e-3,
		.seed = 1,
		.data = "",
		.source = "",
		.command = "",
	};
}

/* --- states to teach on ----------------------------------------------------------------------- */

/* Even on a logarithmic scale. */
static float drawn(struct drpc_rng *rng, double low, double high)
{
	return (float)(low * exp(drpc_rng_uniform(rng) * log(high / low)));
}

/*
 * A recording visits few of the places where a rule changes its mind. Variations of a state, with
 * features moved or taken from another state, are labelled by the same rules and fill the gaps;
 * they lie where real states lie, not anywhere. What a recording on one machine cannot show is drawn
 * widely: rates of other services, how fast they grow, how many replicas there are, pressure.
 */
static void vary(const struct drpc_states *states, size_t i, struct drpc_rng *rng,
		 float ret[DRPC_F_COUNT])
{
	const float *other;
	uint64_t pick;

	drpc_rng_indices(rng, states->count, 1, &pick);
	other = states->features + pick * DRPC_F_COUNT;
	memcpy(ret, states->features + i * DRPC_F_COUNT, DRPC_F_COUNT * sizeof(*ret));
	for (int f = 0; f < DRPC_F_COUNT; f++) {
		const double u = drpc_rng_uniform(rng);

		if (f == DRPC_F_REPLICAS || f == DRPC_F_RATE || f == DRPC_F_RATE_PRED)
			continue;
		if (u < 0.15)
			ret[f] = other[f];
		else if (u < 0.5)
			ret[f] *= (float)(0.5 + drpc_rng_uniform(rng) * 1.2);
	}
	if (drpc_rng_uniform(rng) < 0.3) {
		const float factor = drawn(rng, 0.03, 30);

		ret[DRPC_F_RATE] *= factor;
		ret[DRPC_F_RATE_PRED] *= factor;
	}
	if (drpc_rng_uniform(rng) < 0.3)
		ret[DRPC_F_RATE_PRED] = ret[DRPC_F_RATE] * drawn(rng, 0.5, 2.5);
	if (drpc_rng_uniform(rng) < 0.2)
		ret[DRPC_F_REPLICAS] = (float)(int)(drpc_rng_uniform(rng) * 8);
	for (size_t f = 0; f < DRPC_ARRAY_SIZE(ranges); f++) {
		if (drpc_rng_uniform(rng) < 0.1)
			ret[ranges[f].feature] = drawn(rng, ranges[f].low, ranges[f].high);
	}
}

static enum drpc_move decided(float output)
{
	return output > DRPC_DEAD_BAND	  ? DRPC_MOVE_UP
	       : output < -DRPC_DEAD_BAND ? DRPC_MOVE_DOWN
					  : DRPC_MOVE_NONE;
}

/* Whether the student decides otherwise than the rules. */
static bool mistaken(const struct drpc_policy_net *net, const float features[DRPC_F_COUNT],
		     const float raw[DRPC_OUT_COUNT])
{
	float got[DRPC_OUT_COUNT];

	if (drpc_policy_net_forward(net, features, got) < 0)
		return false;
	for (int i = 0; i < DRPC_OUT_COUNT; i++) {
		if (decided(got[i]) != decided(raw[i]))
			return true;
	}
	return false;
}

struct filler {
	struct drpc_imitation *imitation;
	const struct drpc_states *states;
	const struct drpc_policy_net *net; /* the student so far; NULL before the first round */
	struct drpc_rng rng;
};

/* A recorded state: once, and again where the student has it wrong. */
static int push_recorded(struct filler *f, size_t i)
{
	const float *features = f->states->features + i * DRPC_F_COUNT;
	float raw[DRPC_OUT_COUNT];
	int r;

	drpc_reactive_decide(features, raw);
	r = drpc_imitation_push(f->imitation, features, raw);
	if (r == 0 && f->net && mistaken(f->net, features, raw))
		r = drpc_imitation_push(f->imitation, features, raw);
	return r;
}

/* A variation; of those that the student has right only every third. */
static int push_varied(struct filler *f, size_t i)
{
	float features[DRPC_F_COUNT], raw[DRPC_OUT_COUNT];

	do {
		vary(f->states, i, &f->rng, features);
		drpc_reactive_decide(features, raw);
	} while (f->net && drpc_rng_uniform(&f->rng) > KEEP_RIGHT &&
		 !mistaken(f->net, features, raw));
	return drpc_imitation_push(f->imitation, features, raw);
}

static int fill(struct filler *f, unsigned int variations)
{
	int r = 0;

	for (size_t i = 0; i < f->states->count && r == 0; i++) {
		r = push_recorded(f, i);
		for (unsigned int v = 0; v < variations && r == 0; v++)
			r = push_varied(f, i);
	}
	return r;
}

/* --- figures ---------------------------------------------------------------------------------- */

int drpc_distil_compare(const struct drpc_policy_net *net, const struct drpc_states *states,
			struct drpc_imitation_report *ret)
{
	_cleanup_free_ float *outputs = calloc(states->count * DRPC_OUT_COUNT, sizeof(float));

	if (!outputs)
		return -ENOMEM;
	for (size_t i = 0; i < states->count; i++)
		drpc_reactive_decide(states->features + i * DRPC_F_COUNT,
				     outputs + i * DRPC_OUT_COUNT);
	return drpc_imitation_compare_net(net, states->count, states->features, outputs, ret);
}

/* Whether the rules give this output the same move with any one feature a little larger or smaller. */
static bool sure(const float features[DRPC_F_COUNT], int output, enum drpc_move move)
{
	for (int f = 0; f < 2 * DRPC_F_COUNT; f++) {
		float moved[DRPC_F_COUNT], raw[DRPC_OUT_COUNT];

		memcpy(moved, features, sizeof(moved));
		moved[f / 2] *= f % 2 ? 1 + BORDER : 1 - BORDER;
		drpc_reactive_decide(moved, raw);
		if (decided(raw[output]) != move)
			return false;
	}
	return true;
}

double drpc_distil_clear(const struct drpc_policy_net *net, const struct drpc_states *states)
{
	size_t n = 0;

	for (size_t i = 0; i < states->count; i++) {
		const float *features = states->features + i * DRPC_F_COUNT;
		float raw[DRPC_OUT_COUNT], got[DRPC_OUT_COUNT];
		bool any = false;

		drpc_reactive_decide(features, raw);
		if (drpc_policy_net_forward(net, features, got) < 0)
			return NAN;
		for (int o = 0; o < DRPC_OUT_COUNT; o++)
			any = any || (decided(got[o]) != decided(raw[o]) &&
				      sure(features, o, decided(raw[o])));
		n += any;
	}
	return states->count ? (double)n / (double)states->count : NAN;
}

static int compare(const struct drpc_imitation *imitation, const struct drpc_states *states,
		   struct drpc_imitation_report *ret)
{
	const struct drpc_policy_info none = {.reward = NAN};
	struct drpc_policy_net *net = NULL;
	int r = drpc_imitation_policy(imitation, &none, &net);

	if (r == 0)
		r = drpc_distil_compare(net, states, ret);
	drpc_policy_net_free(&net);
	return r;
}

static int save(const struct drpc_imitation *imitation, const struct drpc_distil_config *config,
		const struct drpc_imitation_report *report, const char *out)
{
	struct drpc_policy_info info = {
		.reward = NAN,
		.method = "imitation of the reactive planner",
		.program = "drpc-teacher " DRPC_VERSION,
		.created_s = (uint64_t)time(NULL),
		.report =
			{
				.states = report->pairs,
				.differ = (float)report->differ,
				.opposed = drpc_imitation_opposed(report),
				.reward_ratio = NAN,
			},
	};

	for (int i = 0; i < DRPC_OUT_COUNT; i++)
		info.report.differ_in[i] = (float)report->differ_in[i];
	drpc_strcpy(info.data, sizeof(info.data), config->data);
	drpc_strcpy(info.source, sizeof(info.source), config->source);
	drpc_strcpy(info.command, sizeof(info.command), config->command);
	return drpc_imitation_save(imitation, &info, out);
}

/* --- teaching --------------------------------------------------------------------------------- */

/* Half a cosine down to a hundredth. */
static double rate_of(const struct drpc_distil_config *config, unsigned int round)
{
	const double done = (double)round / config->rounds;

	return config->lr * (0.01 + 0.99 * 0.5 * (1 + cos(M_PI * done)));
}

/* Each round sees the recorded states again, and other variations of them. */
static int teach_round(struct filler *f, const struct drpc_distil_config *config,
		       unsigned int round, double *ret_loss)
{
	const struct drpc_policy_info none = {.reward = NAN};
	struct drpc_policy_net *net = NULL;
	int r = drpc_imitation_rate(f->imitation, rate_of(config, round));

	if (r == 0 && round > 0)
		r = drpc_imitation_policy(f->imitation, &none, &net);
	f->net = net;
	if (r == 0)
		r = fill(f, config->variations);
	f->net = NULL;
	drpc_policy_net_free(&net);
	return r == 0 ? drpc_imitation_train(f->imitation, ret_loss) : r;
}

static int teach(struct drpc_imitation *imitation, const struct drpc_distil_config *config,
		 const struct drpc_states *states, const struct drpc_states *held_out,
		 struct drpc_imitation_report *ret)
{
	struct filler f = {
		.imitation = imitation,
		.states = states,
		.rng = drpc_rng_make(config->seed, 1),
	};
	double loss = NAN;
	int r = drpc_imitation_scale(imitation, offsets, scales);

	for (unsigned int round = 0; round < config->rounds && r == 0; round++) {
		r = teach_round(&f, config, round, &loss);
		if (r == 0)
			r = compare(imitation, held_out, ret);
		if (r == 0 && (round % 10 == 9 || round + 1 == config->rounds))
			drpc_info(
				"distil: round %u of %u: loss %.4f, held out: error %.4f, %.2f %% of the decisions differ",
				round + 1, config->rounds, loss, ret->mse, ret->differ * 100);
	}
	return r;
}

int drpc_distil_reactive(const struct drpc_distil_config *config, const struct drpc_states *states,
			 const struct drpc_states *held_out, const char *out,
			 struct drpc_imitation_report *ret)
{
	struct drpc_imitation_config ic = drpc_imitation_defaults(config->n_inputs);
	struct drpc_imitation_report report = {0};
	struct drpc_imitation *imitation = NULL;
	int r;

	if (states->count < STATES_LEAST || held_out->count == 0)
		return drpc_err(
			-ENODATA,
			"distil: %zu states to teach on and %zu held out, at least %d and 1 are needed; record longer",
			states->count, held_out->count, STATES_LEAST);
	ic.capacity = states->count * (1 + config->variations);
	ic.lr = config->lr;
	ic.seed = config->seed;
	ic.epochs = EPOCHS;
	ic.same_decision = true;
	r = drpc_imitation_new(&ic, &imitation);
	if (r < 0)
		return r;
	r = teach(imitation, config, states, held_out, &report);
	if (r == 0)
		r = save(imitation, config, &report, out);
	drpc_imitation_free(&imitation);
	if (r == 0)
		*ret = report;
	return r;
}
