// SPDX-License-Identifier: Apache-2.0
/* Intervals: what a policy is shown of them, now or later, and the result's fine histogram. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/hist.h"
#include "lib/util.h"
#include "sim/internal.h"

#define FINE_BITS 6 /* buckets an octave, as a power of two */

/* --- fine histogram: 64 buckets an octave, exact below 64 ns ------------------------------------ */

void sim_fine_add(struct sim_fine *fine, uint64_t ns)
{
	unsigned int bucket = (unsigned int)ns;

	if (ns >= 1u << FINE_BITS) {
		const int shift = 63 - __builtin_clzll(ns) - FINE_BITS;

		bucket = ((unsigned int)shift << FINE_BITS) + (unsigned int)(ns >> shift);
	}
	fine->count++;
	fine->sum_ns += (double)ns;
	fine->max_ns = fmax(fine->max_ns, (double)ns);
	fine->buckets[DRPC_MIN(bucket, (unsigned int)SIM_FINE_BUCKETS - 1)]++;
}

double drpc_sim_latency_bucket_ns(unsigned int bucket)
{
	const unsigned int octave = bucket >> FINE_BITS, cell = bucket & ((1u << FINE_BITS) - 1);

	if (octave == 0)
		return cell;
	return ldexp((double)((1u << FINE_BITS) + cell), (int)octave - 1);
}

/* Interpolated inside its bucket. */
static double quantile(const uint32_t *counts, double rank)
{
	double below = 0.0;

	for (unsigned int b = 0; b < SIM_FINE_BUCKETS; b++) {
		const double n = counts[b];

		if (n > 0.0 && below + n >= rank) {
			const double begin = drpc_sim_latency_bucket_ns(b);

			return begin + (drpc_sim_latency_bucket_ns(b + 1) - begin) *
					       fmax(rank - below, 0.0) / n;
		}
		below += n;
	}
	return 0.0;
}

/* Never above the largest value. */
double sim_fine_quantile_ns(const struct sim_fine *fine, double q)
{
	return fmin(quantile(fine->buckets, q * (double)fine->count), fine->max_ns);
}

const uint32_t *drpc_sim_latencies(const struct drpc_sim *sim)
{
	return sim->total.buckets;
}

double drpc_sim_latency_quantile_ns(const uint32_t *counts, double q)
{
	double count = 0.0;

	for (unsigned int b = 0; b < SIM_FINE_BUCKETS; b++)
		count += counts[b];
	return quantile(counts, q * count);
}

/* --- snapshots ---------------------------------------------------------------------------------- */

/* One interval as it will be shown. */
struct snapshot {
	struct drpc_sim_obs obs;
	struct drpc_sim_service_obs *services;
	struct drpc_sim_node_obs *nodes;
	struct drpc_sim_class_obs *classes;
	struct drpc_sim_period *samples; /* services × period_samples */
	uint32_t *hists;		 /* services + 1 for the whole */
};

struct sim_snapshots {
	size_t n, closed, shown;
	struct snapshot *ring;
	/* The last periods of each service, a ring each. */
	struct drpc_sim_period *periods;
	double *usage_before; /* by replica */
	uint64_t *throttled_before;
	uint64_t n_periods;
};

static int snapshot_init(struct drpc_sim *sim, struct snapshot *s)
{
	const struct drpc_sim_app *app = sim->app;
	const size_t samples = (size_t)app->n_services * sim->config.needs.period_samples;

	s->services = calloc(app->n_services, sizeof(*s->services));
	s->nodes = calloc(app->n_nodes, sizeof(*s->nodes));
	s->classes = calloc(app->n_classes, sizeof(*s->classes));
	s->samples = calloc(samples + 1, sizeof(*s->samples));
	s->hists = calloc(((size_t)app->n_services + 1) * DRPC_HIST_BUCKETS, sizeof(*s->hists));
	return s->services && s->nodes && s->classes && s->samples && s->hists ? 0 : -ENOMEM;
}

int sim_snapshots_init(struct drpc_sim *sim)
{
	const struct drpc_sim_needs *needs = &sim->config.needs;
	struct sim_snapshots *s = calloc(1, sizeof(*s));
	int err = 0;

	sim->snapshots = s;
	if (!s)
		return -ENOMEM;
	s->n = needs->lag_ns / needs->period_ns + 2;
	s->ring = calloc(s->n, sizeof(*s->ring));
	s->periods = calloc((size_t)sim->app->n_services * needs->period_samples + 1,
			    sizeof(*s->periods));
	s->usage_before = calloc(sim->n_replicas + 1, sizeof(*s->usage_before));
	s->throttled_before = calloc(sim->n_replicas + 1, sizeof(*s->throttled_before));
	if (!s->ring || !s->periods || !s->usage_before || !s->throttled_before)
		return -ENOMEM;
	for (size_t i = 0; i < s->n && !err; i++)
		err = snapshot_init(sim, &s->ring[i]);
	return err;
}

void sim_snapshots_free(struct drpc_sim *sim)
{
	struct sim_snapshots *s = sim->snapshots;

	if (!s)
		return;
	for (size_t i = 0; s->ring && i < s->n; i++) {
		free(s->ring[i].services);
		free(s->ring[i].nodes);
		free(s->ring[i].classes);
		free(s->ring[i].samples);
		free(s->ring[i].hists);
	}
	free(s->ring);
	free(s->periods);
	free(s->usage_before);
	free(s->throttled_before);
	free(s);
	sim->snapshots = NULL;
}

/* --- sampling ----------------------------------------------------------------------------------- */

void sim_sample_memory(struct drpc_sim *sim)
{
	for (uint32_t i = 0; i < sim->n_replicas; i++) {
		const struct sim_replica *r = &sim->replicas[i];

		if (r->state == SIM_REPLICA_READY || r->state == SIM_REPLICA_DRAINING)
			sim->account.memory_used_sum += sim_replica_memory_bytes(sim, r);
	}
	sim->account.memory_samples++;
}

void sim_sample_periods(struct drpc_sim *sim)
{
	struct sim_snapshots *snap = sim->snapshots;
	const uint32_t depth = sim->config.needs.period_samples;

	for (uint32_t i = 0; i < sim->app->n_services; i++) {
		const struct sim_service *s = &sim->services[i];
		double usage = 0.0, throttled = 0.0;
		uint32_t replicas = 0;

		for (uint32_t k = s->first_replica; k < s->first_replica + s->n_slots; k++) {
			struct sim_replica *r = &sim->replicas[k];

			sim_cpu_settle(sim, r);
			usage += r->usage_ns - snap->usage_before[k];
			throttled += r->throttled_periods > snap->throttled_before[k];
			replicas +=
				r->state == SIM_REPLICA_READY || r->state == SIM_REPLICA_DRAINING;
			snap->usage_before[k] = r->usage_ns;
			snap->throttled_before[k] = r->throttled_periods;
		}
		snap->periods[(size_t)i * depth + snap->n_periods % depth] =
			(struct drpc_sim_period){
				.usage_cores = (float)(usage / (double)SIM_PERIOD_NS),
				.throttled = replicas ? (float)fmin(throttled / replicas, 1.0) : 0,
			};
	}
	snap->n_periods++;
}

/* --- closing ------------------------------------------------------------------------------------ */

static void close_replicas(struct drpc_sim *sim, uint32_t service, struct drpc_sim_service_obs *o,
			   double seconds)
{
	struct sim_service *s = &sim->services[service];
	struct drpc_sim_cpu_stat now = {0};
	double stall = 0.0, memory_stall = 0.0, limits = 0.0, up_ns, limit_ns;

	sim_service_account(sim, s);
	o->memory_peak_bytes = s->peak_bytes;
	for (uint32_t k = s->first_replica; k < s->first_replica + s->n_slots; k++) {
		struct sim_replica *r = &sim->replicas[k];
		double peak;

		sim_cpu_settle(sim, r);
		now.usage_ns += r->usage_ns;
		now.periods += r->periods;
		now.throttled += r->throttled_periods;
		stall += r->stall_ns;
		memory_stall += r->memory_stall_ns;
		o->ready += r->state == SIM_REPLICA_READY;
		o->starting += r->state == SIM_REPLICA_STARTING || r->state == SIM_REPLICA_KILLED;
		o->pending += r->state == SIM_REPLICA_PENDING;
		o->draining += r->state == SIM_REPLICA_DRAINING;
		if (r->state != SIM_REPLICA_READY && r->state != SIM_REPLICA_DRAINING)
			continue;
		o->concurrency += r->resident;
		o->memory_bytes += sim_replica_memory_bytes(sim, r);
		limits += s->memory_limit;
		peak = sim_replica_memory_bytes(sim, r) +
		       s->spec->memory_per_call_bytes * (r->peak_holding - r->holding);
		o->memory_peak_bytes = fmax(o->memory_peak_bytes, fmin(peak, s->memory_limit));
		r->peak_holding = r->holding;
	}
	up_ns = s->up_ns;
	limit_ns = s->limit_ns;
	o->cpu_usage_cores = (now.usage_ns - s->before.usage_ns) / seconds * 1e-9;
	o->replica_seconds = up_ns * 1e-9;
	o->cpu_utilisation = limit_ns > 0.0 ? (now.usage_ns - s->before.usage_ns) / limit_ns : 0.0;
	o->memory_utilisation = limits > 0.0 ? o->memory_bytes / limits : 0.0;
	o->periods = now.periods - s->before.periods;
	o->throttled_periods = now.throttled - s->before.throttled;
	o->throttled_ratio = o->periods ? (double)o->throttled_periods / (double)o->periods : 0.0;
	o->cpu_pressure = up_ns > 0.0 ? fmin((stall - s->stall_before) / up_ns, 1.0) : 0.0;
	o->memory_pressure =
		up_ns > 0.0 ? fmin((memory_stall - s->memory_stall_before) / up_ns, 1.0) : 0.0;
	s->before = now;
	s->stall_before = stall;
	s->memory_stall_before = memory_stall;
	s->up_ns = s->limit_ns = s->peak_bytes = 0.0;
}

static void close_service(struct drpc_sim *sim, uint32_t service, struct drpc_sim_service_obs *o,
			  uint32_t *hist, double seconds)
{
	struct sim_service *s = &sim->services[service];

	*o = (struct drpc_sim_service_obs){
		.name = s->spec->name,
		.index = service,
		.wanted = s->wanted,
		.min_replicas = s->spec->min_replicas,
		.max_replicas = s->spec->max_replicas,
		.optional = s->spec->optional,
		.cpu_limit_cores = s->cpu_limit,
		.memory_limit_bytes = s->memory_limit,
		.cpu_weight = s->weight,
		.requests = s->ended,
		.errors = s->errors,
		.rate_rps = (double)s->arrived / seconds,
		.mean_ns = s->ended ? s->latency_ns / (double)s->ended : 0.0,
		.queue_share = s->latency_ns > 0.0 ? s->waited_ns / s->latency_ns : 0.0,
		.oom_kills = s->oom_kills,
		.hist = hist,
	};
	close_replicas(sim, service, o, seconds);
	memcpy(hist, s->hist, sizeof(s->hist));
	o->p50_ns = drpc_hist_quantile_ns(hist, 0.50);
	o->p99_ns = drpc_hist_quantile_ns(hist, 0.99);
	memset(s->hist, 0, sizeof(s->hist));
	s->arrived = s->ended = s->errors = 0;
	s->latency_ns = s->waited_ns = 0.0;
	s->oom_kills = 0;
}

/* The ring of a service's periods becomes a list, the oldest first. */
static void copy_samples(struct drpc_sim *sim, struct snapshot *s, uint32_t service)
{
	const struct sim_snapshots *snap = sim->snapshots;
	const uint32_t depth = sim->config.needs.period_samples;
	struct drpc_sim_period *to = s->samples + (size_t)service * depth;
	const size_t n = DRPC_MIN(snap->n_periods, (uint64_t)depth);

	for (size_t i = 0; i < n; i++)
		to[i] = snap->periods[(size_t)service * depth + (snap->n_periods - n + i) % depth];
	s->services[service].samples = to;
	s->services[service].n_samples = n;
}

static void close_nodes(struct drpc_sim *sim, struct snapshot *s, double seconds)
{
	for (uint32_t n = 0; n < sim->app->n_nodes; n++) {
		const struct drpc_sim_node *spec = &sim->app->nodes[n];
		const struct sim_node *node = &sim->nodes[n];

		s->nodes[n] = (struct drpc_sim_node_obs){
			.name = spec->name,
			.cpu_cores = spec->cpu_cores,
			.memory_bytes = spec->memory_bytes,
			.cpu_allocated_cores = node->cpu_allocated,
			.memory_allocated_bytes = node->memory_allocated,
		};
	}
	for (uint32_t i = 0; i < sim->n_replicas; i++) {
		struct sim_replica *r = &sim->replicas[i];
		struct drpc_sim_node_obs *o = &s->nodes[r->node];

		o->cpu_usage_cores += (r->usage_ns - r->usage_told_ns) / seconds * 1e-9;
		r->usage_told_ns = r->usage_ns;
		if (r->state == SIM_REPLICA_READY || r->state == SIM_REPLICA_DRAINING)
			o->memory_usage_bytes += sim_replica_memory_bytes(sim, r);
	}
}

static void close_classes(struct drpc_sim *sim, struct snapshot *s, double seconds)
{
	for (uint32_t i = 0; i < sim->app->n_classes; i++) {
		struct sim_class *c = &sim->classes[i];
		const double well = (double)(c->ended - c->failed);

		s->classes[i] = (struct drpc_sim_class_obs){
			.name = sim->app->classes[i].name,
			.requests = c->ended,
			.failures = c->failed,
			.rate_rps = (double)c->arrived / seconds,
			.mean_ns = well > 0.0 ? c->latency_ns / well : 0.0,
			.p99_ns = drpc_hist_quantile_ns(c->hist, 0.99),
		};
		memset(c->hist, 0, sizeof(c->hist));
		c->arrived = c->ended = c->failed = 0;
		c->latency_ns = 0.0;
	}
}

static void close_whole(struct drpc_sim *sim, struct snapshot *s, uint32_t *hist, double seconds)
{
	struct drpc_sim_obs *o = &s->obs;
	const double well = (double)(sim->interval_ended - sim->interval_failed);

	memcpy(hist, sim->interval_hist, sizeof(sim->interval_hist));
	*o = (struct drpc_sim_obs){
		.begin_ns = sim->interval_begin_ns,
		.end_ns = sim->now_ns,
		.services = s->services,
		.n_services = sim->app->n_services,
		.nodes = s->nodes,
		.n_nodes = sim->app->n_nodes,
		.classes = s->classes,
		.n_classes = sim->app->n_classes,
		.arrived = sim->interval_arrived,
		.ended = sim->interval_ended,
		.failed = sim->interval_failed,
		.rate_rps = (double)sim->interval_arrived / seconds,
		.mean_ns = well > 0.0 ? sim->interval_latency_ns / well : 0.0,
		.p50_ns = drpc_hist_quantile_ns(hist, 0.50),
		.p99_ns = drpc_hist_quantile_ns(hist, 0.99),
		.slo_ns = sim->app->slo_ns,
		.hist = hist,
	};
	memset(sim->interval_hist, 0, sizeof(sim->interval_hist));
	sim->interval_arrived = sim->interval_ended = sim->interval_failed = 0;
	sim->interval_latency_ns = 0.0;
}

void sim_interval_close(struct drpc_sim *sim)
{
	struct sim_snapshots *snap = sim->snapshots;
	struct snapshot *s = &snap->ring[snap->closed++ % snap->n];
	const double seconds = (double)(sim->now_ns - sim->interval_begin_ns) * 1e-9;

	for (uint32_t i = 0; i < sim->app->n_services; i++) {
		close_service(sim, i, &s->services[i], s->hists + (size_t)i * DRPC_HIST_BUCKETS,
			      seconds);
		if (sim->config.needs.period_samples)
			copy_samples(sim, s, i);
	}
	close_nodes(sim, s, seconds);
	close_classes(sim, s, seconds);
	close_whole(sim, s, s->hists + (size_t)sim->app->n_services * DRPC_HIST_BUCKETS, seconds);
	if (sim->spans)
		s->obs.spans = sim_spans_take(sim, &s->obs.n_spans);
	sim->interval_begin_ns = sim->now_ns;
}

const struct drpc_sim_obs *sim_interval_show(struct drpc_sim *sim)
{
	struct sim_snapshots *snap = sim->snapshots;
	struct snapshot *s = &snap->ring[snap->shown++ % snap->n];

	s->obs.now_ns = sim->now_ns;
	return &s->obs;
}
