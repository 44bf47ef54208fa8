// SPDX-License-Identifier: Apache-2.0
#include "workload/profile.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "nn/blas.h"
#include "nn/mlp.h"
#include "nn/optim.h"
#include "nn/rng.h"

#define WIDTH	   24
#define STEPS	   6000
#define LR	   5e-3
#define MAX_POINTS 10000
#define BETWEEN	   4 /* points put in between two measured ones */
/* A fall of less than this share of the curve's height is the network's, not the profile's. */
#define FALL_SHARE 0.005
#define INPUTS	   2

/*
 * Profiles rise within the first few requests and again near the limit, orders of magnitude apart: the
 * grid and the network see a load in halves, its share of the range and that share's logarithm.
 */
static double log_share(const struct drpc_profile *p, double load)
{
	return log1p((load - p->load_min) / (p->load_max - p->load_min) * 1000) / log1p(1000);
}

static double grid_of(const struct drpc_profile *p, double load)
{
	const double share = (load - p->load_min) / (p->load_max - p->load_min);

	return 0.5 * (share + log_share(p, load));
}

static double load_of(const struct drpc_profile *p, double at)
{
	double low = p->load_min, high = p->load_max;

	for (int i = 0; i < 80; i++) {
		const double mid = 0.5 * (low + high);

		if (grid_of(p, mid) < at)
			low = mid;
		else
			high = mid;
	}
	return 0.5 * (low + high);
}

struct trainer {
	struct drpc_mlp net;
	struct drpc_mlp_work work;
	struct drpc_adam adam;
	size_t rows;
	float *params, *m, *v, *grads; /* owned, in one allocation */
	float *x, *y, *dy;
	double offset, scale; /* of the utilisation */
};

static void fill_inputs(const struct drpc_profile *p, double load, float *x)
{
	x[0] = (float)(2 * (load - p->load_min) / (p->load_max - p->load_min) - 1);
	x[1] = (float)(2 * log_share(p, load) - 1);
}

static void trainer_done(struct trainer *t)
{
	drpc_mlp_work_done(&t->work);
	free(t->params);
}

static int trainer_init(struct trainer *t, size_t points, uint64_t seed)
{
	const struct drpc_mlp_spec spec = {.in = INPUTS,
					   .heads = 1,
					   .n_layers = 3,
					   .layers = {{WIDTH, false, DRPC_ACT_TANH},
						      {WIDTH, false, DRPC_ACT_TANH},
						      {1, false, DRPC_ACT_NONE}}};
	struct drpc_rng rng = drpc_rng_make(seed, 0);
	size_t n;
	int err = drpc_mlp_init(&t->net, &spec);

	if (err)
		return err;
	drpc_blas_init();
	t->rows = DRPC_MAX(points, DRPC_PROFILE_GRID + 1);
	err = drpc_mlp_work_new(&t->work, &t->net, t->rows);
	if (err)
		return err;
	n = (t->net.n_params + 15) / 16 * 16;
	t->params = aligned_alloc(64, (4 * n + (t->rows + 15) / 16 * 16 * (INPUTS + 2)) *
					      sizeof(float));
	if (!t->params)
		return drpc_err(-ENOMEM, "profile: %zu points", points);
	memset(t->params, 0, 4 * n * sizeof(float));
	t->m = t->params + n;
	t->v = t->m + n;
	t->grads = t->v + n;
	t->x = t->grads + n;
	t->y = t->x + INPUTS * ((t->rows + 15) / 16 * 16);
	t->dy = t->y + (t->rows + 15) / 16 * 16;
	drpc_mlp_randomize(&t->net, &rng, t->params);
	t->adam = drpc_adam_make(LR, 0);
	return 0;
}

static int train(struct trainer *t, size_t n)
{
	for (size_t i = 0; i < STEPS; i++) {
		const double left = 1 - (double)i / STEPS;
		double norm;

		t->adam.lr = fmax(LR * left, DRPC_LR_MIN);
		drpc_mlp_forward(&t->net, t->params, 1, n, t->x, INPUTS, &t->work);
		drpc_mse(n, drpc_mlp_output(&t->net, &t->work), t->y, t->dy);
		drpc_mlp_backward(&t->net, t->params, 1, n, t->x, INPUTS, &t->work,
				  &(struct drpc_mlp_grad){.dout = t->dy, .grads = t->grads});
		norm = drpc_grad_norm(t->net.n_params, t->grads);
		if (!isfinite(norm))
			return drpc_err(-EDOM, "profile: training diverged in step %zu", i);
		drpc_adam_step(&t->adam, t->net.n_params, t->params, t->grads, t->m, t->v,
			       drpc_grad_scale(norm, 1), NULL, 0);
	}
	return 0;
}

/* The curve over the whole range, and what never falls above it. */
static void tabulate(struct trainer *t, struct drpc_profile *p)
{
	const float *out;
	double top = -INFINITY;

	for (size_t i = 0; i <= DRPC_PROFILE_GRID; i++)
		fill_inputs(p, load_of(p, (double)i / DRPC_PROFILE_GRID), t->x + i * INPUTS);
	drpc_mlp_forward(&t->net, t->params, 1, DRPC_PROFILE_GRID + 1, t->x, INPUTS, &t->work);
	out = drpc_mlp_output(&t->net, &t->work);
	p->worst_fall = 0;
	for (size_t i = 0; i <= DRPC_PROFILE_GRID; i++) {
		p->curve[i] = fmax((double)out[i] / t->scale + t->offset, 0);
		p->worst_fall = fmax(p->worst_fall, top - p->curve[i]);
		top = fmax(top, p->curve[i]);
		p->envelope[i] = top;
	}
	p->monotone = p->worst_fall <= FALL_SHARE * (top - p->curve[0]);
}

static int check_points(const double *load, const double *utilisation, size_t n,
			struct drpc_profile *p)
{
	p->load_min = INFINITY;
	p->load_max = -INFINITY;
	for (size_t i = 0; i < n; i++) {
		if (!(load[i] >= 0 && isfinite(load[i]) && utilisation[i] >= 0 &&
		      isfinite(utilisation[i])))
			return drpc_err(
				-EINVAL,
				"profile: point %zu has load %g and utilisation %g, expected numbers from 0",
				i, load[i], utilisation[i]);
		p->load_min = fmin(p->load_min, load[i]);
		p->load_max = fmax(p->load_max, load[i]);
	}
	if (n < 4 || n > MAX_POINTS || !(p->load_max > p->load_min))
		return drpc_err(
			-EINVAL,
			"profile: %zu points of loads %g to %g, expected 4 to %d of different loads",
			n, p->load_min, p->load_max, MAX_POINTS);
	return 0;
}

struct point {
	double load, utilisation;
};

static int compare_load(const void *a, const void *b)
{
	const double x = ((const struct point *)a)->load, y = ((const struct point *)b)->load;

	return (x > y) - (x < y);
}

static size_t add_sample(const struct drpc_profile *p, struct trainer *t, size_t row, double load,
			 double utilisation)
{
	fill_inputs(p, load, t->x + row * INPUTS);
	t->y[row] = (float)((utilisation - t->offset) * t->scale);
	return row + 1;
}

/*
 * The measured points, and points on the straight lines in between: where nothing was measured the
 * curve has no reason to swing. Returns how many.
 */
static size_t fill_samples(const struct drpc_profile *p, struct trainer *t,
			   const struct point *points, size_t n)
{
	size_t rows = 0;

	for (size_t i = 0; i < n; i++) {
		const struct point *to = &points[i], *from = i ? to - 1 : to;
		const double low = grid_of(p, from->load), high = grid_of(p, to->load);

		for (size_t k = 1; k <= BETWEEN && high > low; k++) {
			const double load =
				load_of(p, low + (high - low) * (double)k / (BETWEEN + 1));
			const double part = (load - from->load) / (to->load - from->load);

			rows = add_sample(p, t, rows, load,
					  from->utilisation +
						  part * (to->utilisation - from->utilisation));
		}
		rows = add_sample(p, t, rows, to->load, to->utilisation);
	}
	return rows;
}

static void measure_fit(struct drpc_profile *p, const struct point *points, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const double off =
			drpc_profile_utilisation(p, points[i].load) - points[i].utilisation;

		p->rmse += off * off / (double)n;
		p->worst_error = fmax(p->worst_error, fabs(off));
	}
	p->rmse = sqrt(p->rmse);
}

int drpc_profile_fit(const double *load, const double *utilisation, size_t n, uint64_t seed,
		     struct drpc_profile *ret)
{
	struct drpc_profile profile = {0};
	struct trainer trainer = {.scale = 1};
	_cleanup_free_ struct point *points = NULL;
	double var = 0;
	int err = check_points(load, utilisation, n, &profile);

	if (err)
		return err;
	points = calloc(n, sizeof(*points));
	if (!points)
		return drpc_err(-ENOMEM, "profile: %zu points", n);
	for (size_t i = 0; i < n; i++) {
		points[i] = (struct point){load[i], utilisation[i]};
		trainer.offset += utilisation[i] / (double)n;
	}
	for (size_t i = 0; i < n; i++)
		var += pow(utilisation[i] - trainer.offset, 2) / (double)n;
	trainer.scale = var > 0 ? 1 / sqrt(var) : 1;
	qsort(points, n, sizeof(*points), compare_load);
	err = trainer_init(&trainer, n * (BETWEEN + 1), seed);
	if (!err)
		err = train(&trainer, fill_samples(&profile, &trainer, points, n));
	if (!err) {
		tabulate(&trainer, &profile);
		measure_fit(&profile, points, n);
		*ret = profile;
	}
	trainer_done(&trainer);
	return err;
}

double drpc_profile_utilisation(const struct drpc_profile *profile, double load)
{
	const double held = DRPC_CLAMP(load, profile->load_min, profile->load_max);
	const double at = grid_of(profile, held) * DRPC_PROFILE_GRID;
	const size_t i = DRPC_MIN((size_t)at, DRPC_PROFILE_GRID - 1);

	return profile->curve[i] + (at - (double)i) * (profile->curve[i + 1] - profile->curve[i]);
}

double drpc_profile_load(const struct drpc_profile *profile, double utilisation)
{
	const double *e = profile->envelope;
	size_t low = 0, high = DRPC_PROFILE_GRID;
	double part;

	if (!(utilisation > e[0]))
		return profile->load_min;
	if (utilisation >= e[high]) {
		/* The smallest load that reaches the top. */
		utilisation = e[high];
	}
	/* e[low] < utilisation <= e[high] */
	while (high - low > 1) {
		const size_t mid = (low + high) / 2;

		if (e[mid] < utilisation)
			low = mid;
		else
			high = mid;
	}
	part = (utilisation - e[low]) / (e[high] - e[low]);
	return load_of(profile, ((double)low + part) / DRPC_PROFILE_GRID);
}
