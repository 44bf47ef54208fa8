// SPDX-License-Identifier: Apache-2.0
#include "workload/forecaster.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "workload/forecast_net.h"
#include "workload/ridge.h"

#define H	      DRPC_FORECASTER_HORIZONS
#define HELD_OUT      0.2
#define FIRST_FOLD    0.5 /* of what comes before the held-out part */
#define MAX_FOLDS     16
#define EVERY	      5 /* epochs between two looks */
#define MAX_LOOKS     64
#define N_PENALTIES   11
#define N_SHARES      10 /* of the networks: 0, 0.1 … 0.9 */
#define LINEAR_DECAY  4	 /* steps */
#define LINEAR_OTHERS 3

static const double penalties[N_PENALTIES] = {0.001, 0.003, 0.01, 0.03, 0.1, 0.2,
					      0.4,   0.8,   1.6,  3.2,	10};

/* A stretch to train on and one to look at. */
struct part {
	size_t *train, *look; /* anchors, owned */
	size_t n_train, n_look;
};

/* What is known of each fold: errors as shares of persistence, means over the horizons. */
struct folds {
	size_t n, looks;
	double ridge[N_PENALTIES][H]; /* sums over folds */
	double linear[N_PENALTIES][MAX_FOLDS];
	double blend[MAX_LOOKS][N_SHARES][MAX_FOLDS];
};

struct work {
	const struct drpc_grid *grid;
	const struct drpc_forecaster_config *config;
	struct drpc_ridge_spec ridge, linear;
	struct folds folds;
	struct drpc_forecaster_report report;
	double done, all; /* epochs, weighted by their windows */
};

struct drpc_forecaster_config drpc_forecaster_defaults(enum drpc_rnn_cell cell)
{
	return (struct drpc_forecaster_config){
		.cell = cell,
		.hidden = 24,
		.harmonics = 2,
		.folds = 5,
		.fold_members = 4,
		.members = 8,
		.epochs = 60,
		.seed = 1,
	};
}

static double truth(const struct work *work, size_t anchor, size_t h)
{
	return (double)drpc_grid_at(work->grid, anchor + h + 1, 0) -
	       (double)drpc_grid_at(work->grid, anchor, 0);
}

/* Mean squared error of (1 - share) a + share b, [n][H]; b NULL for a alone, a NULL for persistence. */
static void errors_of(const struct work *work, const struct part *part, const double *a,
		      const double *b, double share, double ret[H])
{
	for (size_t h = 0; h < H; h++) {
		double sum = 0;

		for (size_t r = 0; r < part->n_look; r++) {
			double told = a ? a[r * H + h] : 0;

			if (b)
				told += share * (b[r * H + h] - told);
			told -= truth(work, part->look[r], h);
			sum += told * told;
		}
		ret[h] = sum / (double)part->n_look;
	}
}

static double mean_share(const double errors[H], const double persistence[H])
{
	double sum = 0;

	for (size_t h = 0; h < H; h++)
		sum += errors[h] / persistence[h] / H;
	return sum;
}

/* --- parts ---------------------------------------------------------------------------------- */

static void part_done(struct part *part)
{
	free(part->train);
	free(part->look);
}

static int part_make(const struct work *work, size_t from, size_t to, struct part *ret)
{
	struct part part = {0};
	ssize_t train =
		drpc_grid_anchors(work->grid, DRPC_FORECASTER_LAGS, H, 0, from, &part.train);
	ssize_t look = drpc_grid_anchors(work->grid, DRPC_FORECASTER_LAGS, H, from, to, &part.look);

	if (train < 0 || look < 0) {
		part_done(&part);
		return drpc_err(-ENOMEM, "forecast: %zu steps", to);
	}
	/* Fewer windows than that say nothing. */
	if (train < 2 * DRPC_FORECASTER_LAGS || look < H) {
		part_done(&part);
		return drpc_err(
			-ENODATA,
			"forecast: %zd windows to train on in steps 0 to %zu and %zd to judge with up to %zu: expected at least %d and %d; the series is too short or has too many gaps",
			train, from, look, to, 2 * DRPC_FORECASTER_LAGS, H);
	}
	part.n_train = (size_t)train;
	part.n_look = (size_t)look;
	*ret = part;
	return 0;
}

/* --- one fit -------------------------------------------------------------------------------- */

static int run_ridge(struct drpc_ridge_system *system, const struct work *work,
		     const struct part *part, const double lambdas[H], double *ret)
{
	struct drpc_ridge ridge;
	int err = drpc_ridge_solve(system, lambdas, &ridge);

	if (err)
		return err;
	for (size_t r = 0; r < part->n_look; r++)
		drpc_ridge_run(&ridge, work->grid, part->look[r], ret + r * H);
	drpc_ridge_done(&ridge);
	return 0;
}

static void progress(struct work *work, const struct part *part)
{
	work->done += (double)part->n_train;
	if (work->config->on_progress)
		work->config->on_progress(work->config->arg, fmin(work->done / work->all, 1));
}

/* Adds a network's forecasts to sum [looks][n][H], a look each EVERY epochs. */
static int run_net(struct work *work, const struct part *part, uint64_t seed, size_t epochs,
		   double weight, double *sum)
{
	const struct drpc_forecast_net_config config = {
		.cell = work->config->cell,
		.hidden = work->config->hidden,
		.window = DRPC_FORECASTER_LAGS,
		.horizons = H,
		.harmonics = work->config->harmonics,
		.batch = 64,
		.lr = 1e-3,
		.decay = 0.01,
		.noise = 0.2,
		.max_grad_norm = 1,
	};
	_cleanup_free_ double *told = calloc(part->n_look * H, sizeof(*told));
	struct drpc_forecast_net *net = NULL;
	int err = told ? 0 : drpc_err(-ENOMEM, "forecast: %zu windows", part->n_look);

	if (!err)
		err = drpc_forecast_net_new(&config, work->grid, part->train, part->n_train, seed,
					    &net);
	for (size_t e = 1; !err && e <= epochs; e++) {
		double *at = sum + (e / EVERY - 1) * part->n_look * H;

		err = drpc_forecast_net_epoch(net, work->grid, part->train, part->n_train, 1);
		progress(work, part);
		if (err || e % EVERY)
			continue;
		drpc_forecast_net_run(net, work->grid, part->look, part->n_look, told);
		for (size_t i = 0; i < part->n_look * H; i++)
			at[i] += told[i] * weight;
	}
	drpc_forecast_net_free(&net);
	return err;
}

/* --- folds ---------------------------------------------------------------------------------- */

static int fold_ridge(struct work *work, const struct part *part, const double persistence[H],
		      double *told)
{
	struct drpc_ridge_system *system = NULL;
	int err = drpc_ridge_prepare(&work->ridge, work->grid, part->train, part->n_train, &system);

	for (size_t k = 0; !err && k < N_PENALTIES; k++) {
		double lambdas[H], errors[H];

		for (size_t h = 0; h < H; h++)
			lambdas[h] = penalties[k];
		err = run_ridge(system, work, part, lambdas, told);
		if (err)
			break;
		errors_of(work, part, told, NULL, 0, errors);
		for (size_t h = 0; h < H; h++)
			work->folds.ridge[k][h] += errors[h] / persistence[h];
	}
	drpc_ridge_system_free(&system);
	return err;
}

/* told [penalties][n][H] keeps the forecasts: the one to blend with is chosen later. */
static int fold_linear(struct work *work, const struct part *part, size_t fold,
		       const double persistence[H], double *told)
{
	struct drpc_ridge_system *system = NULL;
	int err =
		drpc_ridge_prepare(&work->linear, work->grid, part->train, part->n_train, &system);

	for (size_t k = 0; !err && k < N_PENALTIES; k++) {
		double *at = told + k * part->n_look * H, lambdas[H], errors[H];

		for (size_t h = 0; h < H; h++)
			lambdas[h] = penalties[k];
		err = run_ridge(system, work, part, lambdas, at);
		if (err)
			break;
		errors_of(work, part, at, NULL, 0, errors);
		work->folds.linear[k][fold] = mean_share(errors, persistence);
	}
	drpc_ridge_system_free(&system);
	return err;
}

/* What a fold leaves behind for the choice of the blend. */
struct fold {
	struct part part;
	double persistence[H];
	double *linear; /* [penalties][n][H] */
	double *net;	/* [looks][n][H] */
};

static void fold_done(struct fold *fold)
{
	part_done(&fold->part);
	free(fold->linear);
	free(fold->net);
}

static int fold_run(struct work *work, size_t k, size_t from, size_t to, struct fold *ret)
{
	const struct drpc_forecaster_config *c = work->config;
	struct fold fold = {0};
	size_t n;
	int err = part_make(work, from, to, &fold.part);

	if (err)
		return err;
	n = fold.part.n_look * H;
	fold.linear = calloc(N_PENALTIES * n + 1, sizeof(double));
	fold.net = calloc(work->folds.looks * n + 1, sizeof(double));
	if (!fold.linear || !fold.net)
		err = drpc_err(-ENOMEM, "forecast: %zu windows", n / H);
	errors_of(work, &fold.part, NULL, NULL, 0, fold.persistence);
	for (size_t h = 0; !err && h < H; h++) {
		if (!(fold.persistence[h] > 0))
			err = drpc_err(-EDOM,
				       "forecast: the series never changes in steps %zu to %zu",
				       from, to);
	}
	if (!err)
		err = fold_ridge(work, &fold.part, fold.persistence, fold.linear);
	if (!err)
		err = fold_linear(work, &fold.part, k, fold.persistence, fold.linear);
	for (size_t i = 0; !err && i < c->fold_members; i++)
		err = run_net(work, &fold.part, c->seed + 1000 * (k + 1) + i, c->epochs,
			      1.0 / (double)c->fold_members, fold.net);
	if (err)
		fold_done(&fold);
	else
		*ret = fold;
	return err;
}

/* --- choices -------------------------------------------------------------------------------- */

static double mean_of(const double *values, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += values[i] / (double)n;
	return sum;
}

/* The one-standard-error rule: a's mean is no further above the best one's, b, than that one is unsure. */
static bool about_as_good(const double *a, const double *b, size_t n)
{
	const double best = mean_of(b, n);
	double var = 0;

	for (size_t i = 0; i < n; i++)
		var += (b[i] - best) * (b[i] - best) / (double)(n - 1);
	return mean_of(a, n) <= best + sqrt(var / (double)n);
}

static void choose_ridge(struct work *work)
{
	for (size_t h = 0; h < H; h++) {
		size_t best = 0;

		for (size_t k = 1; k < N_PENALTIES; k++) {
			if (work->folds.ridge[k][h] < work->folds.ridge[best][h])
				best = k;
		}
		work->report.ridge_penalty[h] = penalties[best];
	}
}

static size_t choose_linear(struct work *work)
{
	const struct folds *folds = &work->folds;
	size_t best = 0, chosen;

	for (size_t k = 1; k < N_PENALTIES; k++) {
		if (mean_of(folds->linear[k], folds->n) < mean_of(folds->linear[best], folds->n))
			best = k;
	}
	chosen = best;
	for (size_t k = best + 1; k < N_PENALTIES; k++) {
		if (about_as_good(folds->linear[k], folds->linear[best], folds->n))
			chosen = k;
	}
	work->report.linear_penalty = penalties[chosen];
	work->report.fold_linear = mean_of(folds->linear[chosen], folds->n);
	return chosen;
}

static void fill_blends(struct work *work, const struct fold *all, size_t penalty)
{
	struct folds *folds = &work->folds;

	for (size_t k = 0; k < folds->n; k++) {
		const struct fold *fold = &all[k];
		const size_t n = fold->part.n_look * H;

		for (size_t look = 0; look < folds->looks; look++) {
			for (size_t s = 0; s < N_SHARES; s++) {
				double errors[H];

				errors_of(work, &fold->part, fold->linear + penalty * n,
					  fold->net + look * n, 0.1 * (double)s, errors);
				folds->blend[look][s][k] = mean_share(errors, fold->persistence);
			}
		}
	}
}

/* The best number of epochs for each share, then the smallest share that is about as good. */
static void choose_blend(struct work *work)
{
	const struct folds *folds = &work->folds;
	size_t look_of[N_SHARES] = {0}, best = 0, chosen;

	for (size_t s = 0; s < N_SHARES; s++) {
		for (size_t look = 1; look < folds->looks; look++) {
			if (mean_of(folds->blend[look][s], folds->n) <
			    mean_of(folds->blend[look_of[s]][s], folds->n))
				look_of[s] = look;
		}
		if (mean_of(folds->blend[look_of[s]][s], folds->n) <
		    mean_of(folds->blend[look_of[best]][best], folds->n))
			best = s;
	}
	chosen = best;
	for (size_t s = best; s-- > 1;) {
		if (about_as_good(folds->blend[look_of[s]][s], folds->blend[look_of[best]][best],
				  folds->n))
			chosen = s;
	}
	work->report.network_share = 0.1 * (double)chosen;
	work->report.epochs = (look_of[chosen] + 1) * EVERY;
	work->report.fold_model = mean_of(folds->blend[look_of[chosen]][chosen], folds->n);
}

static int run_folds(struct work *work, size_t split)
{
	struct folds *folds = &work->folds;
	struct fold fold[MAX_FOLDS] = {0};
	size_t ran = 0;
	int err = 0;

	for (; !err && ran < folds->n; ran++) {
		const double step = (1 - FIRST_FOLD) / (double)folds->n;
		const double from = FIRST_FOLD + step * (double)ran;

		err = fold_run(work, ran, (size_t)(from * (double)split),
			       (size_t)((from + step) * (double)split), &fold[ran]);
	}
	if (!err) {
		choose_ridge(work);
		fill_blends(work, fold, choose_linear(work));
		choose_blend(work);
	}
	for (size_t k = 0; k < ran; k++)
		fold_done(&fold[k]);
	return err;
}

/* --- the held-out part ---------------------------------------------------------------------- */

/* The day before, where it was measured; steps that do not make up a day have none. */
static void seasonal_errors(const struct work *work, const struct part *part, double ret[H])
{
	const double exact = DRPC_GRID_DAY_S / work->grid->step_s;
	const size_t day = (size_t)lround(exact);

	for (size_t h = 0; h < H; h++) {
		double sum = 0;
		size_t n = 0;

		for (size_t r = 0; r < part->n_look && fabs(exact - (double)day) < 1e-6; r++) {
			const size_t at = part->look[r] + h + 1;
			double off;

			if (at < day || !work->grid->measured[at - day])
				continue;
			off = (double)drpc_grid_at(work->grid, at - day, 0) -
			      (double)drpc_grid_at(work->grid, at, 0);
			sum += off * off;
			n++;
		}
		ret[h] = n ? sum / (double)n : NAN;
	}
}

static int fit_linear(struct work *work, const struct part *part,
		      const struct drpc_ridge_spec *spec, const double lambdas[H], double *told)
{
	struct drpc_ridge_system *system = NULL;
	int err = drpc_ridge_prepare(spec, work->grid, part->train, part->n_train, &system);

	if (!err)
		err = run_ridge(system, work, part, lambdas, told);
	drpc_ridge_system_free(&system);
	return err;
}

static int judge(struct work *work, const struct part *part)
{
	const struct drpc_forecaster_config *c = work->config;
	struct drpc_forecaster_report *report = &work->report;
	const size_t n = part->n_look * H, looks = report->epochs / EVERY;
	_cleanup_free_ double *ridge = calloc(n, sizeof(double));
	_cleanup_free_ double *linear = calloc(n, sizeof(double));
	_cleanup_free_ double *net = calloc(looks * n + 1, sizeof(double));
	const double *last = net + (looks - 1) * n;
	double lambdas[H];
	int err = ridge && linear && net ? 0 : drpc_err(-ENOMEM, "forecast: %zu windows", n / H);

	for (size_t h = 0; h < H; h++)
		lambdas[h] = report->linear_penalty;
	if (!err)
		err = fit_linear(work, part, &work->ridge, report->ridge_penalty, ridge);
	if (!err)
		err = fit_linear(work, part, &work->linear, lambdas, linear);
	for (size_t i = 0; !err && i < c->members; i++)
		err = run_net(work, part, c->seed + i, report->epochs, 1.0 / (double)c->members,
			      net);
	if (err)
		return err;
	errors_of(work, part, linear, last, report->network_share, report->errors.model);
	errors_of(work, part, linear, NULL, 0, report->errors.linear);
	errors_of(work, part, last, NULL, 0, report->errors.network);
	errors_of(work, part, ridge, NULL, 0, report->errors.ridge);
	errors_of(work, part, NULL, NULL, 0, report->errors.persistence);
	seasonal_errors(work, part, report->errors.seasonal);
	return 0;
}

static double range_of(const struct drpc_grid *grid)
{
	double low = INFINITY, high = -INFINITY;

	for (size_t i = 0; i < grid->steps; i++) {
		if (!grid->measured[i])
			continue;
		low = fmin(low, (double)drpc_grid_at(grid, i, 0));
		high = fmax(high, (double)drpc_grid_at(grid, i, 0));
	}
	return high - low;
}

int drpc_forecaster_judge(const struct drpc_grid *grid, const struct drpc_forecaster_config *config,
			  struct drpc_forecaster_report *ret)
{
	const size_t split = (size_t)((double)grid->steps * (1 - HELD_OUT));
	struct work *work;
	struct part part = {0};
	int err;

	if (config->folds < 2 || config->folds > MAX_FOLDS || config->fold_members < 1 ||
	    config->members < 1 || config->epochs < EVERY || config->epochs > EVERY * MAX_LOOKS)
		return drpc_err(
			-EINVAL,
			"forecast: %zu folds of %zu networks, %zu in the end, %zu epochs: expected 2..%d, 1 or more, 1 or more, %d..%d",
			config->folds, config->fold_members, config->members, config->epochs,
			MAX_FOLDS, EVERY, EVERY * MAX_LOOKS);
	work = calloc(1, sizeof(*work));
	if (!work)
		return drpc_err(-ENOMEM, "forecast");
	work->grid = grid;
	work->config = config;
	work->ridge = (struct drpc_ridge_spec){
		.lags = DRPC_FORECASTER_LAGS, .horizons = H, .harmonics = 1, .others = 1};
	work->linear = (struct drpc_ridge_spec){.lags = DRPC_FORECASTER_LAGS,
						.horizons = H,
						.harmonics = config->harmonics,
						.decay = LINEAR_DECAY,
						.others = LINEAR_OTHERS};
	work->folds.n = config->folds;
	work->folds.looks = config->epochs / EVERY;
	/* A fold sees three quarters of what can be trained on, on average. */
	work->all =
		(double)split * (double)config->epochs *
		(0.75 * (double)(config->folds * config->fold_members) + (double)config->members);
	err = part_make(work, split, grid->steps, &part);
	if (!err) {
		work->report.trained = part.n_train;
		work->report.held_out = part.n_look;
		work->report.range = range_of(grid);
		err = run_folds(work, split);
		if (!err)
			err = judge(work, &part);
		part_done(&part);
	}
	if (!err)
		*ret = work->report;
	free(work);
	return err;
}
