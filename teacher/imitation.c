// SPDX-License-Identifier: Apache-2.0
#include "teacher/imitation.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "nn/blas.h"

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
	bool scaled; /* offset and scale are fixed */
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

static float *take(float **at, size_t floats)
{
	float *begin = *at;

	*at += (floats + 15) / 16 * 16;
	return begin;
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
	size_t floats = 0;
	float *at;

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(sizes); i++)
		floats += (sizes[i] + 15) / 16 * 16;
	at = aligned_alloc(64, floats * sizeof(*at));
	if (!at)
		return drpc_err(-ENOMEM, "imitation: %zu pairs", c->capacity);
	memset(at, 0, floats * sizeof(*at));
	im->allocation = at;
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(sizes); i++)
		*parts[i] = take(&at, sizes[i]);
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

static void scale_row(const struct drpc_imitation *im, const float *raw, float *ret)
{
	for (unsigned int i = 0; i < im->config.n_inputs; i++)
		ret[i] = DRPC_CLAMP((raw[i] - im->offset[i]) * im->scale[i], -CLIP, CLIP);
}

double drpc_imitation_step(struct drpc_imitation *im, const float *states, const float *outputs)
{
	const size_t batch = im->config.batch, n = im->net.n_params;
	double loss, norm;

	drpc_mlp_forward(&im->net, im->params, 1, batch, states, im->config.n_inputs, &im->work);
	loss = drpc_mse(batch * OUTPUTS, drpc_mlp_output(&im->net, &im->work), outputs, im->dy);
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
	*ret_loss = loss;
	return 0;
}

/* --- report ------------------------------------------------------------------------------- */

static bool decisions_differ(float a, float b)
{
	const bool counts_a = fabsf(a) > DRPC_DEAD_BAND, counts_b = fabsf(b) > DRPC_DEAD_BAND;

	return counts_a != counts_b || (counts_a && (a > 0) != (b > 0));
}

int drpc_imitation_compare(const struct drpc_imitation *im, size_t n, const float *features,
			   const float *outputs, double teacher_reward, double student_reward,
			   struct drpc_imitation_report *ret)
{
	const struct drpc_policy_info none = {.reward = NAN};
	struct drpc_imitation_report report = {.pairs = n, .reward_ratio = NAN};
	struct drpc_policy_net *net = NULL;
	int err = drpc_imitation_policy(im, &none, &net);

	for (size_t r = 0; !err && r < n; r++) {
		float got[OUTPUTS];
		bool any = false;

		err = drpc_policy_net_forward(net, features + r * DRPC_F_COUNT, got);
		for (int i = 0; !err && i < OUTPUTS; i++) {
			const float want = outputs[r * OUTPUTS + (size_t)i];
			const bool differs = decisions_differ(got[i], want);

			report.mse += (double)(got[i] - want) * (double)(got[i] - want) /
				      (double)(n * OUTPUTS);
			report.differ_in[i] += differs / (double)n;
			any = any || differs;
		}
		report.differ += any / (double)n;
	}
	drpc_policy_net_free(&net);
	if (err)
		return err;
	if (teacher_reward > 0 && isfinite(student_reward))
		report.reward_ratio = student_reward / teacher_reward;
	*ret = report;
	return 0;
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
	if (!im->scaled)
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
