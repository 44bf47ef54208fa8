// SPDX-License-Identifier: Apache-2.0
#include "teacher/imitation.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "nn/blas.h"
#include "nn/floats.h"

#define OUTPUTS	      DRPC_OUT_COUNT
/* A feature that hardly moves is not blown up. */
#define MIN_DEVIATION 1e-3
/* Scaled features beyond this say nothing but "far outside". */
#define CLIP	      5.0f

struct drpc_imitation {
	struct drpc_imitation_config config;
	struct drpc_mlp net;
	struct drpc_mlp_work work;
	struct drpc_adam adam;
	struct drpc_rng rng;
	size_t count, head;
	bool scaled;  /* offset and scale are fixed */
	bool trained; /* a round went well */
	float offset[DRPC_F_COUNT], scale[DRPC_F_COUNT];
	float *params, *m, *v, *grads, *keep; /* [n_params] */
	float *features;		      /* [capacity][n_inputs], raw */
	float *outputs;			      /* [capacity][3] */
	float *x, *y, *dy;		      /* one batch */
	uint64_t *order;		      /* [capacity] */
	float *allocation;
};

struct drpc_imitation_config drpc_imitation_defaults(unsigned int n_inputs)
{
	struct drpc_imitation_config config = {
		.n_inputs = n_inputs,
		.capacity = 20000,
		.batch = 64,
		.epochs = 101,
		.lr = 1e-4,
		.decay = 0.01,
	};

	for (unsigned int i = 0; i < n_inputs && i < DRPC_F_COUNT; i++)
		config.inputs[i] = (enum drpc_feature)i;
	return config;
}

static int check_config(const struct drpc_imitation_config *c)
{
	const struct drpc_adam adam = drpc_adam_make(c->lr, c->decay);

	if (c->n_inputs < 1 || c->n_inputs > DRPC_F_COUNT)
		return drpc_err(-EINVAL, "imitation: %u inputs, expected 1..%d", c->n_inputs,
				DRPC_F_COUNT);
	if (c->batch < 1 || c->epochs < 1 || c->capacity < c->batch)
		return drpc_err(
			-EINVAL,
			"imitation: batch %zu, epochs %zu, capacity %zu: expected 1 or more, and room for a batch",
			c->batch, c->epochs, c->capacity);
	return drpc_adam_check(&adam, "imitation");
}

static int imitation_allocate(struct drpc_imitation *im)
{
	const struct drpc_imitation_config *c = &im->config;
	const size_t n = im->net.n_params;
	const size_t sizes[] = {n,
				n,
				n,
				n,
				n,
				c->capacity * c->n_inputs,
				c->capacity * OUTPUTS,
				c->batch * c->n_inputs,
				c->batch * OUTPUTS,
				c->batch * OUTPUTS,
				c->capacity * 2};
	float **const parts[] = {&im->params,	      &im->m,	    &im->v, &im->grads, &im->keep,
				 &im->features,	      &im->outputs, &im->x, &im->y,	&im->dy,
				 (float **)&im->order};

	if (drpc_floats_new(DRPC_ARRAY_SIZE(sizes), sizes, parts, &im->allocation) < 0)
		return drpc_err(-ENOMEM, "imitation: %zu pairs", c->capacity);
	return 0;
}

int drpc_imitation_new(const struct drpc_imitation_config *config, struct drpc_imitation **ret)
{
	const struct drpc_mlp_spec spec = {
		.in = config->n_inputs,
		.heads = 1,
		.n_layers = 3,
		.layers = {{DRPC_STUDENT_HIDDEN, true, DRPC_ACT_RELU},
			   {DRPC_STUDENT_HIDDEN, false, DRPC_ACT_NONE},
			   {OUTPUTS, false, DRPC_ACT_TANH}},
	};
	struct drpc_imitation *im;
	int err;

	err = check_config(config);
	if (err)
		return err;
	drpc_blas_init();
	im = calloc(1, sizeof(*im));
	if (!im)
		return drpc_err(-ENOMEM, "imitation");
	im->config = *config;
	im->adam = drpc_adam_make(config->lr, config->decay);
	im->rng = drpc_rng_make(config->seed, 0);
	err = drpc_mlp_init(&im->net, &spec);
	if (!err)
		err = drpc_mlp_work_new(&im->work, &im->net, config->batch);
	if (!err)
		err = imitation_allocate(im);
	if (err) {
		drpc_imitation_free(&im);
		return err;
	}
	drpc_mlp_randomize(&im->net, &im->rng, im->params);
	*ret = im;
	return 0;
}

void drpc_imitation_free(struct drpc_imitation **imitation)
{
	struct drpc_imitation *im = *imitation;

	if (!im)
		return;
	drpc_mlp_work_done(&im->work);
	free(im->allocation);
	free(im);
	*imitation = NULL;
}

/* --- pairs -------------------------------------------------------------------------------- */

int drpc_imitation_push(struct drpc_imitation *im, const float features[DRPC_F_COUNT],
			const float outputs[DRPC_OUT_COUNT])
{
	const unsigned int n = im->config.n_inputs;
	float *row = im->features + im->head * n;

	for (unsigned int i = 0; i < n; i++) {
		const enum drpc_feature f = im->config.inputs[i];

		if (!isfinite(features[f]))
			return drpc_err(-EDOM, "imitation: feature %s is %g, pair refused",
					drpc_feature_names[f], (double)features[f]);
	}
	for (int i = 0; i < OUTPUTS; i++) {
		if (!(fabsf(outputs[i]) <= 1.0f))
			return drpc_err(
				-EDOM,
				"imitation: the teacher's output %d is %g, expected -1..1, pair refused",
				i, (double)outputs[i]);
	}
	for (unsigned int i = 0; i < n; i++)
		row[i] = features[im->config.inputs[i]];
	memcpy(im->outputs + im->head * OUTPUTS, outputs, OUTPUTS * sizeof(*outputs));
	im->head = (im->head + 1) % im->config.capacity;
	im->count = DRPC_MIN(im->count + 1, im->config.capacity);
	return 0;
}

size_t drpc_imitation_count(const struct drpc_imitation *im)
{
	return im->count;
}

/* --- training ----------------------------------------------------------------------------- */

static void fix_scaling(struct drpc_imitation *im)
{
	const unsigned int n = im->config.n_inputs;

	for (unsigned int i = 0; i < n; i++) {
		double mean = 0, var = 0;

		for (size_t r = 0; r < im->count; r++)
			mean += (double)im->features[r * n + i] / (double)im->count;
		for (size_t r = 0; r < im->count; r++) {
			const double off = (double)im->features[r * n + i] - mean;

			var += off * off / (double)im->count;
		}
		im->offset[i] = (float)mean;
		im->scale[i] = (float)(1.0 / fmax(sqrt(var), MIN_DEVIATION));
	}
	im->scaled = true;
}

int drpc_imitation_scale(struct drpc_imitation *im, const float offset[DRPC_F_COUNT],
			 const float scale[DRPC_F_COUNT])
{
	const unsigned int n = im->config.n_inputs;

	if (im->scaled)
		return drpc_err(-EINVAL, "imitation: the inputs' scaling is fixed already");
	for (unsigned int i = 0; i < n; i++) {
		const enum drpc_feature f = im->config.inputs[i];

		if (!isfinite(offset[f]) || !isfinite(scale[f]) || scale[f] == 0.0f)
			return drpc_err(
				-EINVAL,
				"imitation: feature %s has offset %g and scale %g, expected finite numbers and a scale other than 0",
				drpc_feature_names[f], (double)offset[f], (double)scale[f]);
	}
	for (unsigned int i = 0; i < n; i++) {
		im->offset[i] = offset[im->config.inputs[i]];
		im->scale[i] = scale[im->config.inputs[i]];
	}
	im->scaled = true;
	return 0;
}

int drpc_imitation_rate(struct drpc_imitation *im, double lr)
{
	struct drpc_adam adam = im->adam;
	int err;

	adam.lr = lr;
	err = drpc_adam_check(&adam, "imitation");
	if (!err)
		im->adam = adam;
	return err;
}

static void scale_row(const struct drpc_imitation *im, const float *raw, float *ret)
{
	for (unsigned int i = 0; i < im->config.n_inputs; i++)
		ret[i] = DRPC_CLAMP((raw[i] - im->offset[i]) * im->scale[i], -CLIP, CLIP);
}

/* What `got` should have been where the teacher says `want`. */
static float nearest_same(float want, float got)
{
	const float size = fabsf(want), sign = want < 0 ? -1.0f : 1.0f;
	const float least = DRPC_DEAD_BAND + DRPC_SAME_MARGIN;

	if (!(size > DRPC_DEAD_BAND))
		return DRPC_CLAMP(got, DRPC_SAME_MARGIN - DRPC_DEAD_BAND,
				  DRPC_DEAD_BAND - DRPC_SAME_MARGIN);
	return sign * DRPC_CLAMP(sign * got, DRPC_MAX(least, size - DRPC_SAME_OFF),
				 DRPC_MAX(least, size + DRPC_SAME_OFF));
}

double drpc_imitation_step(struct drpc_imitation *im, const float *states, const float *outputs)
{
	const size_t batch = im->config.batch, n = im->net.n_params;
	const float *got, *want = outputs;
	double loss, norm;

	drpc_mlp_forward(&im->net, im->params, 1, batch, states, im->config.n_inputs, &im->work);
	got = drpc_mlp_output(&im->net, &im->work);
	if (im->config.same_decision) {
		for (size_t i = 0; i < batch * OUTPUTS; i++)
			im->dy[i] = nearest_same(outputs[i], got[i]);
		want = im->dy;
	}
	loss = drpc_mse(batch * OUTPUTS, got, want, im->dy);
	drpc_mlp_backward(&im->net, im->params, 1, batch, states, im->config.n_inputs, &im->work,
			  &(struct drpc_mlp_grad){.dout = im->dy, .grads = im->grads});
	norm = drpc_grad_norm(n, im->grads);
	if (!isfinite(norm))
		return NAN;
	drpc_adam_step(&im->adam, n, im->params, im->grads, im->m, im->v, 1.0, NULL, 0.0);
	return loss;
}

/* Fisher and Yates. */
static void shuffle(struct drpc_imitation *im)
{
	for (size_t i = im->count - 1; i > 0; i--) {
		uint64_t other, keep = im->order[i];

		drpc_rng_indices(&im->rng, i + 1, 1, &other);
		im->order[i] = im->order[other];
		im->order[other] = keep;
	}
}

static double epoch(struct drpc_imitation *im)
{
	const size_t batch = im->config.batch, n = im->config.n_inputs;
	double sum = 0;
	size_t steps = 0;

	shuffle(im);
	for (size_t from = 0; from + batch <= im->count; from += batch, steps++) {
		double loss;

		for (size_t i = 0; i < batch; i++) {
			const size_t r = im->order[from + i];

			scale_row(im, im->features + r * n, im->x + i * n);
			memcpy(im->y + i * OUTPUTS, im->outputs + r * OUTPUTS,
			       OUTPUTS * sizeof(float));
		}
		loss = drpc_imitation_step(im, im->x, im->y);
		if (!isfinite(loss))
			return NAN;
		sum += loss;
	}
	return sum / (double)steps;
}

int drpc_imitation_train(struct drpc_imitation *im, double *ret_loss)
{
	const size_t bytes = im->net.n_params * sizeof(float);
	double loss = 0;

	if (im->count < im->config.batch)
		return drpc_err(-ENODATA,
				"imitation: %zu pairs, a batch needs %zu: collect more first",
				im->count, im->config.batch);
	if (!im->scaled)
		fix_scaling(im);
	for (size_t i = 0; i < im->count; i++)
		im->order[i] = i;
	memcpy(im->keep, im->params, bytes);
	for (size_t i = 0; i < im->config.epochs; i++) {
		loss = epoch(im);
		if (!isfinite(loss)) {
			memcpy(im->params, im->keep, bytes);
			memset(im->m, 0, bytes);
			memset(im->v, 0, bytes);
			im->adam.t = 0;
			return drpc_err(
				-EDOM,
				"imitation: the loss or its gradient is not finite in epoch %zu; the student is as it was before the round",
				i);
		}
	}
	im->trained = true;
	*ret_loss = loss;
	return 0;
}

/* --- report ------------------------------------------------------------------------------- */

static enum drpc_move move_of(float output)
{
	if (!(fabsf(output) > DRPC_DEAD_BAND))
		return DRPC_MOVE_NONE;
	return output > 0 ? DRPC_MOVE_UP : DRPC_MOVE_DOWN;
}

int drpc_imitation_compare_net(const struct drpc_policy_net *net, size_t n, const float *features,
			       const float *outputs, struct drpc_imitation_report *ret)
{
	struct drpc_imitation_report report = {.pairs = n, .reward_ratio = NAN};

	for (size_t r = 0; r < n; r++) {
		float got[OUTPUTS];
		bool any = false;
		int err = drpc_policy_net_forward(net, features + r * DRPC_F_COUNT, got);

		if (err)
			return err;
		for (int i = 0; i < OUTPUTS; i++) {
			const float want = outputs[r * OUTPUTS + (size_t)i];
			const enum drpc_move teacher = move_of(want), student = move_of(got[i]);

			report.mse += (double)(got[i] - want) * (double)(got[i] - want) /
				      (double)(n * OUTPUTS);
			report.moves[i][teacher][student]++;
			report.differ_in[i] += (teacher != student) / (double)n;
			any = any || teacher != student;
		}
		report.differ += any / (double)n;
	}
	*ret = report;
	return 0;
}

int drpc_imitation_compare(const struct drpc_imitation *im, size_t n, const float *features,
			   const float *outputs, double teacher_reward, double student_reward,
			   struct drpc_imitation_report *ret)
{
	const struct drpc_policy_info none = {.reward = NAN};
	struct drpc_policy_net *net = NULL;
	int err = drpc_imitation_policy(im, &none, &net);

	if (!err)
		err = drpc_imitation_compare_net(net, n, features, outputs, ret);
	drpc_policy_net_free(&net);
	if (!err && teacher_reward > 0 && isfinite(student_reward))
		ret->reward_ratio = student_reward / teacher_reward;
	return err;
}

uint64_t drpc_imitation_opposed(const struct drpc_imitation_report *report)
{
	uint64_t sum = 0;

	for (int i = 0; i < OUTPUTS; i++)
		sum += report->moves[i][DRPC_MOVE_UP][DRPC_MOVE_DOWN] +
		       report->moves[i][DRPC_MOVE_DOWN][DRPC_MOVE_UP];
	return sum;
}

/* --- policy ------------------------------------------------------------------------------- */

/* W [in][out] of training to W [out][in] of policy files. */
static float *export_matrix(float *to, const float *w, size_t in, size_t out)
{
	for (size_t o = 0; o < out; o++) {
		for (size_t i = 0; i < in; i++)
			*to++ = w[i * out + o];
	}
	return to;
}

static void export_params(const struct drpc_imitation *im, float *to)
{
	for (size_t l = 0; l < 3; l++) {
		const struct drpc_mlp_view *v = &im->net.views[l];

		to = export_matrix(to, im->params + v->w, v->in, v->out);
		to = mempcpy(to, im->params + v->b, v->out * sizeof(*to));
		if (im->net.spec.layers[l].norm) {
			to = mempcpy(to, im->params + v->gamma, v->out * sizeof(*to));
			to = mempcpy(to, im->params + v->beta, v->out * sizeof(*to));
		}
	}
}

static int fill_info(const struct drpc_imitation *im, const struct drpc_policy_info *info,
		     struct drpc_policy_info *ret)
{
	if (!im->trained)
		return drpc_err(-ENODATA, "imitation: the student has not been trained yet");
	*ret = *info;
	ret->n_inputs = im->config.n_inputs;
	for (unsigned int i = 0; i < ret->n_inputs; i++)
		ret->inputs[i] = (struct drpc_policy_input){im->config.inputs[i], im->offset[i],
							    im->scale[i]};
	ret->clip = CLIP;
	ret->seed = im->config.seed;
	ret->samples = im->count;
	ret->updates = im->adam.t;
	return 0;
}

int drpc_imitation_policy(const struct drpc_imitation *im, const struct drpc_policy_info *info,
			  struct drpc_policy_net **ret)
{
	float params[1024];
	struct drpc_policy_info full;
	int err = fill_info(im, info, &full);

	if (err)
		return err;
	export_params(im, params);
	return drpc_policy_net_new(&full, params, ret);
}

int drpc_imitation_save(const struct drpc_imitation *im, const struct drpc_policy_info *info,
			const char *path)
{
	float params[1024];
	struct drpc_policy_info full;
	int err = fill_info(im, info, &full);

	if (err)
		return err;
	export_params(im, params);
	return drpc_policy_file_save(path, &full, params);
}
