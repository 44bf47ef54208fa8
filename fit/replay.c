// SPDX-License-Identifier: Apache-2.0
#include "fit/replay.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "lib/log.h"
#include "lib/util.h"

#define WARMUP_S    2.0
#define INTERVAL_NS 500000000ULL /* of observations; whole CFS periods */
#define SEED_STEP   7919
#define TAIL	    0.01 /* rarer requests count no more than this */

/* --- conditions --------------------------------------------------------------------------------- */

/* What of an application is set to a point, to be put back. */
struct kept {
	struct drpc_sim_service *services;
	double overcommit;
};

static int keep(struct drpc_sim_app *app, struct kept *kept)
{
	kept->services = calloc(app->n_services + 1, sizeof(*kept->services));
	if (!kept->services)
		return -ENOMEM;
	for (uint32_t i = 0; i < app->n_services; i++)
		kept->services[i] = app->services[i];
	kept->overcommit = app->cpu_overcommit;
	return 0;
}

static void put_back(struct drpc_sim_app *app, struct kept *kept)
{
	for (uint32_t i = 0; i < app->n_services; i++)
		app->services[i] = kept->services[i];
	app->cpu_overcommit = kept->overcommit;
	free(kept->services);
}

static void set_conditions(struct drpc_sim_app *app, const struct drpc_fit_point *point,
			   const uint32_t *place)
{
	app->cpu_overcommit = 1e6; /* what ran did have room */
	for (uint32_t i = 0; i < app->n_services; i++) {
		struct drpc_sim_service *s = &app->services[i];
		const struct drpc_fit_stat *stat =
			place[i] == UINT32_MAX ? NULL : &point->stats[place[i]];

		/* Memory is not what is compared. */
		s->memory_bytes = s->min_memory_bytes = s->max_memory_bytes = 1;
		s->memory_base_bytes = s->memory_per_call_bytes = s->cache_bytes = 0;
		if (!stat || stat->replica_s <= 0)
			continue;
		s->replicas = (uint32_t)fmax(1, round(stat->replica_s / point->seconds));
		s->max_replicas = DRPC_MAX(s->max_replicas, s->replicas);
		s->min_replicas = DRPC_MIN(s->min_replicas, s->replicas);
		s->cpu_cores = s->min_cpu_cores = s->max_cpu_cores = stat->cpu_limit_cores;
	}
}

/* Weights of the classes by the rates from outside; their sum. */
static double set_shares(const struct drpc_sim_app *app, const double *outside_rps, double *shares)
{
	double sum = 0;

	for (uint32_t c = 0; c < app->n_classes; c++) {
		shares[c] = outside_rps[app->calls[app->classes[c].site].service];
		sum += shares[c];
	}
	return sum;
}

/* --- runs --------------------------------------------------------------------------------------- */

static void add(struct drpc_fit_simulated *to, const struct drpc_sim_service_obs *o, double seconds)
{
	to->requests += o->requests;
	to->periods += o->periods;
	to->throttled += o->throttled_periods;
	to->cpu_s += o->cpu_usage_cores * seconds;
	to->seconds += seconds;
	for (size_t b = 0; b < DRPC_HIST_BUCKETS; b++)
		to->hist[b] += o->hist[b];
}

static int run(const struct drpc_sim_app *app, const struct drpc_sim_config *config, double seconds,
	       struct drpc_fit_simulated *ret)
{
	const uint64_t end_ns = (uint64_t)((WARMUP_S + seconds) * 1e9);
	const struct drpc_sim_obs *obs;
	struct drpc_sim *sim = NULL;
	int r = drpc_sim_new(app, config, &sim);

	if (r)
		return r;
	while ((r = drpc_sim_step(sim, end_ns, &obs)) > 0) {
		const double span_s = (double)(obs->end_ns - obs->begin_ns) * 1e-9;

		if ((double)obs->begin_ns < WARMUP_S * 1e9 - 1)
			continue;
		for (size_t i = 0; i < obs->n_services; i++)
			add(&ret[i], &obs->services[i], span_s);
	}
	drpc_sim_free(&sim);
	return r;
}

int drpc_fit_simulate(struct drpc_sim_app *app, const struct drpc_fit_point *point,
		      const uint32_t *place, const double *outside_rps,
		      const struct drpc_fit_replay *replay, struct drpc_fit_simulated *ret)
{
	const double seconds = replay->seconds > 0 ? replay->seconds : point->seconds;
	_cleanup_free_ double *shares = calloc(app->n_classes + 1, sizeof(*shares));
	struct drpc_sim_piece piece = {.duration_s = WARMUP_S + seconds + 1};
	struct drpc_sim_config config = {.needs = {.period_ns = INTERVAL_NS}};
	struct kept kept;
	int err = shares ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < app->n_services; i++)
		ret[i] = (struct drpc_fit_simulated){0};
	if (!err)
		err = keep(app, &kept);
	if (err)
		return err;
	set_conditions(app, point, place);
	config.load = replay->load;
	if (!config.load.pieces) {
		piece.from_rps = piece.to_rps = set_shares(app, outside_rps, shares);
		config.load =
			(struct drpc_sim_load){.pieces = &piece, .n_pieces = 1, .shares = shares};
	}
	/* Without a request nothing happens. */
	for (unsigned int i = 0; i < DRPC_MAX(replay->seeds, 1u) && !err; i++) {
		config.seed = replay->seed + (uint64_t)i * SEED_STEP;
		if (replay->load.pieces || piece.from_rps > 0)
			err = run(app, &config, seconds, ret);
	}
	put_back(app, &kept);
	return err;
}

/* --- distances ---------------------------------------------------------------------------------- */

double drpc_fit_distance(const uint64_t a[DRPC_HIST_BUCKETS], const uint64_t b[DRPC_HIST_BUCKETS])
{
	double na = 0, nb = 0, fa = 0, fb = 0, before = 0, sum = 0, weights = 0;

	for (size_t i = 0; i < DRPC_HIST_BUCKETS; i++) {
		na += (double)a[i];
		nb += (double)b[i];
	}
	if (na <= 0 || nb <= 0)
		return 0;
	for (size_t i = 0; i < DRPC_HIST_BUCKETS; i++) {
		double f, spread;

		fa += (double)a[i] / na;
		fb += (double)b[i] / nb;
		f = (fa + fb) / 2;
		spread = sqrt(fmax(f * (1 - f), TAIL * (1 - TAIL)));
		/* The area between the two, over the logarithm of the latency; and what it would be
		 * if all were one e-fold apart. */
		sum += fabs(fa - fb) / spread;
		weights += (f - before) / spread;
		before = f;
	}
	return weights > 0 ? sum * (M_LN2 / DRPC_HIST_PER_OCTAVE) / weights : 0;
}

struct drpc_fit_figures drpc_fit_recorded_figures(const struct drpc_fit_point *point,
						  uint32_t source)
{
	const struct drpc_fit_stat *s = &point->stats[source];

	return (struct drpc_fit_figures){
		.p50_ms = drpc_fit_quantile_ns(s->hist, 0.50) * 1e-6,
		.p99_ms = drpc_fit_quantile_ns(s->hist, 0.99) * 1e-6,
		.mean_rps = (double)s->requests / point->seconds,
		.throttled = s->periods ? (double)s->throttled / (double)s->periods : 0,
		.cpu_cores = s->cpu_s / point->seconds,
	};
}

struct drpc_fit_figures drpc_fit_simulated_figures(const struct drpc_fit_simulated *s)
{
	const double seconds = s->seconds > 0 ? s->seconds : 1;

	return (struct drpc_fit_figures){
		.p50_ms = drpc_fit_quantile_ns(s->hist, 0.50) * 1e-6,
		.p99_ms = drpc_fit_quantile_ns(s->hist, 0.99) * 1e-6,
		.mean_rps = (double)s->requests / seconds,
		.throttled = s->periods ? (double)s->throttled / (double)s->periods : 0,
		.cpu_cores = s->cpu_s / seconds,
	};
}
