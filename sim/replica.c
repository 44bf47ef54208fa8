// SPDX-License-Identifier: Apache-2.0
/*
 * Replicas: placed on nodes, started, warmed up, drained, killed for their memory and started again.
 *
 * Memory is a function of what a replica does, not a process in time: base, plus so much for each
 * call in it, plus a cache that grows by each call that ends. The first two cannot be reclaimed: where
 * they exceed the limit the kernel kills. The cache gives way, and what is missing of it makes each
 * call's work slower. Hence one comparison with a number of calls (`fits`) decides about a kill.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "sim/internal.h"

#define STREAM_STARTUP 0x7374617274ULL /* "start" */
#define STREAM_PHASE   0x7068617365ULL /* "phase" */

/* --- accounts ----------------------------------------------------------------------------------- */

static bool is_up(const struct sim_replica *r)
{
	return r->state == SIM_REPLICA_STARTING || r->state == SIM_REPLICA_READY ||
	       r->state == SIM_REPLICA_DRAINING || r->state == SIM_REPLICA_KILLED;
}

void sim_account(struct drpc_sim *sim)
{
	struct sim_account *a = &sim->account;
	const double dt = (double)(sim->now_ns - a->at_ns);

	a->cpu_ns += a->cpu * dt;
	a->memory_ns += a->memory * dt;
	a->replicas_ns += a->replicas * dt;
	a->at_ns = sim->now_ns;
}

void sim_service_account(struct drpc_sim *sim, struct sim_service *s)
{
	const double dt = (double)sim->now_ns - s->limit_since_ns;
	const double cores = s->cpu_limit > 0.0 ? s->cpu_limit : 0.0;

	s->up_ns += s->n_up * dt;
	s->limit_ns += s->n_up * cores * dt;
	s->limit_since_ns = (double)sim->now_ns;
}

/* The limits of a replica are taken from (or given back to) its node and the accounts. */
static void allocate(struct drpc_sim *sim, struct sim_replica *r, int sign)
{
	struct sim_service *s = &sim->services[r->service];
	struct sim_node *node = &sim->nodes[r->node];

	sim_account(sim);
	sim_service_account(sim, s);
	node->cpu_allocated += sign * s->cpu_limit;
	node->memory_allocated += sign * s->memory_limit;
	sim->account.cpu += sign * s->cpu_limit;
	sim->account.memory += sign * s->memory_limit;
	sim->account.replicas += sign;
	s->n_up = (uint32_t)((int)s->n_up + sign);
}

/* --- memory ------------------------------------------------------------------------------------- */

double sim_replica_fixed_bytes(const struct drpc_sim *sim, const struct sim_replica *r)
{
	const struct sim_service *s = &sim->services[r->service];

	return s->spec->memory_base_bytes + s->memory_anomaly * s->memory_limit +
	       s->spec->memory_per_call_bytes * r->holding;
}

double sim_replica_memory_bytes(const struct drpc_sim *sim, const struct sim_replica *r)
{
	const double fixed = sim_replica_fixed_bytes(sim, r);
	const double limit = sim->services[r->service].memory_limit;

	return fixed + DRPC_CLAMP(limit - fixed, 0.0, r->cache_bytes);
}

/* What makes work slower, as a factor. */
double sim_replica_slowdown(struct drpc_sim *sim, struct sim_replica *r, double work_ns)
{
	const struct sim_service *s = &sim->services[r->service];
	const struct drpc_sim_service *spec = s->spec;
	const double cold_ns = r->warm_ns - (double)sim->now_ns;
	double factor = 1.0 + s->slower;

	if (cold_ns > 0.0)
		factor *= 1.0 + (spec->warmup_factor - 1.0) * cold_ns / spec->warmup_ns;
	if (spec->reclaim_slowdown > 0.0 && r->cache_bytes > 0.0) {
		const double room = s->memory_limit - sim_replica_fixed_bytes(sim, r);

		if (room < r->cache_bytes) {
			const double missing = 1.0 - fmax(room, 0.0) / r->cache_bytes;

			r->memory_stall_ns += work_ns * factor * spec->reclaim_slowdown * missing;
			factor *= 1.0 + spec->reclaim_slowdown * missing;
		}
	}
	r->plain = r->roomy && cold_ns <= 0.0 && s->slower <= 0.0;
	return factor;
}

/* What follows from its memory limit. */
static void fit_memory(struct drpc_sim *sim, struct sim_replica *r)
{
	const struct sim_service *s = &sim->services[r->service];
	const struct drpc_sim_service *spec = s->spec;
	const double room = s->memory_limit * (1.0 - s->memory_anomaly) - spec->memory_base_bytes;
	const double most =
		spec->holds_worker ? (double)spec->workers : INFINITY; /* calls that hold memory */
	const double calls =
		spec->memory_per_call_bytes > 0.0 ? most * spec->memory_per_call_bytes : 0.0;

	if (room < 0.0)
		r->fits = 0;
	else if (spec->memory_per_call_bytes <= 0.0)
		r->fits = UINT32_MAX;
	else
		r->fits = (uint32_t)fmin(room / spec->memory_per_call_bytes, 4e9);
	r->roomy = spec->reclaim_slowdown <= 0.0 || spec->cache_bytes <= 0.0 ||
		   spec->cache_bytes + calls <= room;
	r->plain = false;
}

void sim_service_check_memory(struct drpc_sim *sim, uint32_t service)
{
	const struct sim_service *s = &sim->services[service];

	for (uint32_t i = s->first_replica; i < s->first_replica + s->n_slots; i++) {
		struct sim_replica *r = &sim->replicas[i];

		fit_memory(sim, r);
		if ((r->state == SIM_REPLICA_READY || r->state == SIM_REPLICA_DRAINING) &&
		    (r->holding > r->fits || r->fits == 0))
			sim_replica_oom(sim, i);
	}
}

/* --- states ------------------------------------------------------------------------------------- */

static void set_timer(struct drpc_sim *sim, uint32_t replica, uint64_t time_ns)
{
	drpc_simq_set(&sim->queue, sim->at_life + replica, time_ns);
}

static void serve(struct drpc_sim *sim, uint32_t replica)
{
	struct sim_replica *r = &sim->replicas[replica];
	struct sim_service *s = &sim->services[r->service];

	r->state = SIM_REPLICA_READY;
	r->ready_ns = sim->now_ns;
	r->warm_ns = (double)sim->now_ns + s->spec->warmup_ns;
	r->cache_bytes = 0.0;
	fit_memory(sim, r);
	s->ready[s->n_ready++] = replica;
	if (r->fits == 0) /* its limit was set below its base meanwhile */
		sim_replica_oom(sim, replica);
}

static void no_longer_ready(struct drpc_sim *sim, uint32_t replica)
{
	struct sim_service *s = &sim->services[sim->replicas[replica].service];

	for (uint32_t i = 0; i < s->n_ready; i++) {
		if (s->ready[i] == replica) {
			/* The order of the others stays: it is the round robin's. */
			memmove(&s->ready[i], &s->ready[i + 1],
				(s->n_ready - i - 1) * sizeof(s->ready[0]));
			s->n_ready--;
			return;
		}
	}
}

static void start(struct drpc_sim *sim, uint32_t replica, double delay_ns)
{
	struct sim_replica *r = &sim->replicas[replica];

	r->state = SIM_REPLICA_STARTING;
	set_timer(sim, replica, sim->now_ns + (uint64_t)delay_ns);
}

static double startup_ns(struct drpc_sim *sim, const struct sim_replica *r)
{
	uint64_t stream = drpc_sim_stream(sim->config.seed ^ STREAM_STARTUP, sim->placements++);

	return drpc_sim_draw(&sim->tables, &sim->services[r->service].spec->startup, &stream);
}

/* All calls in it fail; what is on the CPU is off it. */
static void drop_calls(struct drpc_sim *sim, uint32_t replica)
{
	struct sim_replica *r = &sim->replicas[replica];

	sim_cpu_clear(sim, replica);
	r->busy = r->resident = r->holding = r->n_queued = 0;
	for (uint32_t i = 0; i < sim->n_calls; i++) {
		const struct sim_call *c = &sim->calls[i];

		if (c->replica == replica &&
		    (c->state == SIM_CALL_QUEUED || c->state == SIM_CALL_RUNNING ||
		     c->state == SIM_CALL_WAITING || c->state == SIM_CALL_SLEEPING))
			sim_call_killed(sim, i);
	}
}

static void remove_replica(struct drpc_sim *sim, uint32_t replica)
{
	struct sim_replica *r = &sim->replicas[replica];
	struct sim_service *s = &sim->services[r->service];

	sim_cpu_settle(sim, r);
	if (is_up(r))
		allocate(sim, r, -1);
	if (r->state == SIM_REPLICA_DRAINING)
		s->n_draining--;
	else
		s->n_live--;
	drpc_simq_unset(&sim->queue, sim->at_life + replica);
	r->state = SIM_REPLICA_NONE;
	r->restarts = 0;
}

void sim_replica_left(struct drpc_sim *sim, uint32_t replica)
{
	remove_replica(sim, replica);
}

void sim_replica_oom(struct drpc_sim *sim, uint32_t replica)
{
	struct sim_replica *r = &sim->replicas[replica];
	struct sim_service *s = &sim->services[r->service];
	double backoff;

	/* Who ran for twice the longest wait is no crash loop any more, as a kubelet sees it. */
	if ((double)(sim->now_ns - r->ready_ns) >= 2 * sim->app->restart_max_ns)
		r->restarts = 0;
	backoff = fmin(sim->app->restart_ns * ldexp(1.0, (int)DRPC_MIN(r->restarts, 30u)),
		       sim->app->restart_max_ns);
	s->oom_kills++;
	sim->oom_kills++;
	s->peak_bytes = fmax(s->peak_bytes, s->memory_limit);
	if (r->state == SIM_REPLICA_DRAINING) {
		remove_replica(sim, replica);
	} else {
		no_longer_ready(sim, replica);
		r->state = SIM_REPLICA_KILLED;
		r->restarts++;
		set_timer(sim, replica, sim->now_ns + (uint64_t)backoff);
	}
	drop_calls(sim, replica);
}

void sim_replica_event(struct drpc_sim *sim, uint32_t replica)
{
	struct sim_replica *r = &sim->replicas[replica];

	drpc_simq_unset(&sim->queue, sim->at_life + replica);
	switch (r->state) {
	case SIM_REPLICA_STARTING:
		serve(sim, replica);
		break;
	case SIM_REPLICA_KILLED:
		start(sim, replica, startup_ns(sim, r));
		break;
	case SIM_REPLICA_DRAINING:
		remove_replica(sim, replica);
		drop_calls(sim, replica);
		break;
	default:
		break;
	}
}

/* --- placement ---------------------------------------------------------------------------------- */

/* The node with the smallest share of its CPU allocated, of those that have room. */
static uint32_t find_node(const struct drpc_sim *sim, const struct sim_service *s)
{
	uint32_t best = SIM_NONE;
	double best_share = INFINITY;

	for (uint32_t i = 0; i < sim->app->n_nodes; i++) {
		const struct drpc_sim_node *spec = &sim->app->nodes[i];
		const struct sim_node *node = &sim->nodes[i];
		const double cpu = node->cpu_allocated + s->cpu_limit;
		const double memory = node->memory_allocated + s->memory_limit;
		const double share = fmax(cpu / (spec->cpu_cores * sim->app->cpu_overcommit),
					  memory / spec->memory_bytes);

		/* A hair of tolerance: limits are sums of fractions. */
		if (share <= 1.0 + 1e-9 && share < best_share) {
			best = i;
			best_share = share;
		}
	}
	return best;
}

static bool place(struct drpc_sim *sim, uint32_t replica)
{
	struct sim_replica *r = &sim->replicas[replica];
	struct sim_service *s = &sim->services[r->service];
	const uint32_t node = find_node(sim, s);
	uint64_t stream;

	if (node == SIM_NONE)
		return false;
	stream = drpc_sim_stream(sim->config.seed ^ STREAM_PHASE, replica);
	r->node = node;
	r->at_ns = sim->now_ns;
	r->phase_ns = drpc_sim_next(&stream) % SIM_PERIOD_NS;
	r->restarts = 0;
	r->quota = r->timer = false;
	allocate(sim, r, 1);
	sim_cpu_limit(sim, replica, s->cpu_limit, s->spec->cpu_burst_ns);
	if (sim->now_ns == 0) { /* the run begins with what runs already */
		serve(sim, replica);
		r->warm_ns = 0.0;
	} else {
		start(sim, replica, startup_ns(sim, r));
	}
	return true;
}

/* --- scaling ------------------------------------------------------------------------------------ */

static void add_replica(struct drpc_sim *sim, struct sim_service *s)
{
	for (uint32_t i = s->first_replica; i < s->first_replica + s->n_slots; i++) {
		if (sim->replicas[i].state != SIM_REPLICA_NONE)
			continue;
		s->n_live++;
		sim->replicas[i].state = SIM_REPLICA_PENDING;
		if (!place(sim, i))
			sim->any_pending = true;
		return;
	}
}

static void add_replicas(struct drpc_sim *sim, struct sim_service *s)
{
	while (s->n_live < s->wanted && s->n_live + s->n_draining < s->n_slots)
		add_replica(sim, s);
	if (s->n_live < s->wanted)
		sim->any_pending = true;
}

/* Those that had no room, or no slot while others drain. */
void sim_replicas_place(struct drpc_sim *sim)
{
	sim->any_pending = false;
	for (uint32_t i = 0; i < sim->n_replicas; i++) {
		if (sim->replicas[i].state == SIM_REPLICA_PENDING && !place(sim, i))
			sim->any_pending = true;
	}
	for (uint32_t i = 0; i < sim->app->n_services; i++)
		add_replicas(sim, &sim->services[i]);
}

/* Which one goes: pending, killed, starting ones before those that serve, the youngest of these. */
static uint32_t choose_leaving(const struct drpc_sim *sim, const struct sim_service *s)
{
	static const int order[] = {[SIM_REPLICA_PENDING] = 4,
				    [SIM_REPLICA_KILLED] = 3,
				    [SIM_REPLICA_STARTING] = 2,
				    [SIM_REPLICA_READY] = 1,
				    [SIM_REPLICA_DRAINING] = 0};
	uint32_t best = SIM_NONE;

	for (uint32_t i = s->first_replica; i < s->first_replica + s->n_slots; i++) {
		const struct sim_replica *r = &sim->replicas[i];
		const struct sim_replica *b = best == SIM_NONE ? NULL : &sim->replicas[best];

		if (order[r->state] == 0)
			continue;
		if (!b || order[r->state] > order[b->state] ||
		    (r->state == b->state && r->ready_ns >= b->ready_ns))
			best = i;
	}
	return best;
}

static void leave(struct drpc_sim *sim, uint32_t replica)
{
	struct sim_replica *r = &sim->replicas[replica];
	struct sim_service *s = &sim->services[r->service];

	if (r->state != SIM_REPLICA_READY || !r->resident) {
		if (r->state == SIM_REPLICA_READY)
			no_longer_ready(sim, replica);
		remove_replica(sim, replica);
		return;
	}
	no_longer_ready(sim, replica);
	r->state = SIM_REPLICA_DRAINING;
	s->n_live--;
	s->n_draining++;
	set_timer(sim, replica, sim->now_ns + (uint64_t)s->spec->drain_ns);
}

void sim_replicas_scale(struct drpc_sim *sim, uint32_t service, uint32_t wanted)
{
	struct sim_service *s = &sim->services[service];

	s->wanted = wanted;
	while (s->n_live > wanted)
		leave(sim, choose_leaving(sim, s));
	if (sim->any_pending)
		sim_replicas_place(sim);
	add_replicas(sim, s);
	sim_cpu_flush(sim);
}

/* --- set up ------------------------------------------------------------------------------------- */

int sim_replicas_init(struct drpc_sim *sim)
{
	const struct drpc_sim_app *app = sim->app;
	size_t jobs = 0, slots = 0;

	for (uint32_t i = 0; i < app->n_services; i++) {
		sim->services[i].first_replica = sim->n_replicas;
		sim->services[i].n_slots = 2 * app->services[i].max_replicas;
		sim->n_replicas += sim->services[i].n_slots;
		jobs += (size_t)sim->services[i].n_slots * app->services[i].workers;
	}
	slots = sim->n_replicas;
	sim->replicas = aligned_alloc(64, (slots * sizeof(*sim->replicas) + 63) / 64 * 64);
	sim->jobs = calloc(jobs + 1, sizeof(*sim->jobs));
	sim->ready = calloc(slots + 1, sizeof(*sim->ready));
	sim->active = calloc(slots * app->n_nodes + 1, sizeof(*sim->active));
	sim->dirty = calloc(slots + 1, sizeof(*sim->dirty));
	if (!sim->replicas || !sim->jobs || !sim->ready || !sim->active || !sim->dirty)
		return -ENOMEM;
	memset(sim->replicas, 0, slots * sizeof(*sim->replicas));
	jobs = 0;
	for (uint32_t n = 0; n < app->n_nodes; n++) {
		sim->nodes[n].active = sim->active + (size_t)n * slots;
		sim->nodes[n].capacity = app->nodes[n].cpu_cores;
	}
	for (uint32_t i = 0; i < app->n_services; i++) {
		struct sim_service *s = &sim->services[i];

		s->spec = &app->services[i];
		s->ready = sim->ready + s->first_replica;
		s->cpu_limit = s->spec->cpu_cores;
		s->memory_limit = s->spec->memory_bytes;
		s->weight = 100;
		for (uint32_t k = s->first_replica; k < s->first_replica + s->n_slots; k++) {
			struct sim_replica *r = &sim->replicas[k];

			r->service = i;
			r->workers = s->spec->workers;
			r->jobs = sim->jobs + jobs;
			r->active_at = SIM_NONE;
			jobs += s->spec->workers;
		}
	}
	return 0;
}
