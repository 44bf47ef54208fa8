// SPDX-License-Identifier: Apache-2.0
/*
 * CPUs: processor sharing under CFS bandwidth control.
 *
 * The n runnable calls of a replica each run on a core of their own while there are enough; where
 * there are not they share. All advance alike, so that one number, the virtual time v, tells what
 * each has had, and a heap of ends in v tells who is done next. A replica has one event pending: the
 * next end, the moment its quota is used up, or the end of its period, whichever is first. Nothing
 * happens at an idle replica: periods that passed meanwhile are caught up with when work comes.
 *
 * Bandwidth control as in kernel/sched/fair.c: the pool gets a quota at each end of a period, up to
 * quota + burst; what runs takes from it; when it is empty all stop until the period ends, which
 * counts as a throttled one. The timer stops after a whole idle period, so that idle time fills the
 * pool by two quotas at most, and nr_periods counts the periods in which it ran.
 *
 * With a scheduler's tick (`cfs-tick`): an empty pool is noticed at a tick, half of one late in the
 * mean, on each CPU that runs; what was used meanwhile is a debt that the next quota pays. What wakes up
 * meanwhile, with all CPUs idle, is throttled before it has run. And what a CPU has left of its last
 * slice when it becomes idle it keeps, up to a millisecond.
 */
#include <math.h>

#include "lib/util.h"
#include "sim/internal.h"

#define KEPT_NS 1e6 /* min_cfs_rq_runtime */
#define HALF_NS 0.5 /* of work: an event's time is a whole number of ns */

static void mark_dirty(struct drpc_sim *sim, uint32_t replica)
{
	struct sim_replica *r = &sim->replicas[replica];

	if (!r->dirty) {
		r->dirty = true;
		sim->dirty[sim->n_dirty++] = replica;
	}
}

/* --- the heap of ends --------------------------------------------------------------------------- */

static void jobs_push(struct sim_replica *r, struct sim_job job)
{
	uint32_t i = r->n_jobs++;

	while (i > 0 && r->jobs[(i - 1) / 2].tag > job.tag) {
		r->jobs[i] = r->jobs[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	r->jobs[i] = job;
}

static uint32_t jobs_pop(struct sim_replica *r)
{
	const uint32_t call = r->jobs[0].call, n = --r->n_jobs;
	const struct sim_job last = r->jobs[n];
	uint32_t i = 0;

	for (;;) {
		uint32_t c = 2 * i + 1;

		if (c >= n)
			break;
		c += c + 1 < n && r->jobs[c + 1].tag < r->jobs[c].tag;
		if (r->jobs[c].tag >= last.tag)
			break;
		r->jobs[i] = r->jobs[c];
		i = c;
	}
	r->jobs[i] = last;
	return call;
}

/* --- time --------------------------------------------------------------------------------------- */

static void advance(struct sim_replica *r, uint64_t now)
{
	if (r->at_ns == now)
		return;
	if (r->n_jobs) {
		const double dt = (double)(now - r->at_ns), done = r->speed * dt;
		const double used = done * r->n_jobs;

		r->v += done;
		r->usage_ns += used;
		r->runtime_ns -= used;
		if (r->speed < 1.0)
			r->stall_ns += dt;
	}
	r->at_ns = now;
}

/* What the period timer did at each end of a period up to now. */
static void roll_periods(struct sim_replica *r, uint64_t now)
{
	while (r->timer && r->boundary_ns <= now) {
		const bool busy = r->used || r->throttled || r->n_jobs;

		r->periods++;
		r->throttled_periods += r->throttled;
		r->runtime_ns =
			fmin(r->runtime_ns + r->quota_ns, r->quota_ns + r->burst_ns + r->kept_ns);
		if (r->runtime_ns > HALF_NS)
			r->throttled = false;
		r->used = r->n_jobs > 0;
		r->timer = busy;
		r->boundary_ns += SIM_PERIOD_NS;
	}
}

/* Periods keep to their grid while the timer is off. */
static void start_timer(struct sim_replica *r, uint64_t now)
{
	r->used = true;
	if (r->timer)
		return;
	r->timer = true;
	r->boundary_ns = now + SIM_PERIOD_NS - (now + SIM_PERIOD_NS - r->phase_ns) % SIM_PERIOD_NS;
}

void sim_cpu_settle(struct drpc_sim *sim, struct sim_replica *r)
{
	advance(r, sim->now_ns);
	if (r->quota)
		roll_periods(r, sim->now_ns);
}

static void schedule(struct drpc_sim *sim, uint32_t replica)
{
	const struct sim_replica *r = &sim->replicas[replica];
	const uint32_t handle = sim->at_cpu + replica;
	double dt;

	if (!r->n_jobs) {
		drpc_simq_unset(&sim->queue, handle);
		return;
	}
	if (r->throttled) {
		drpc_simq_set(&sim->queue, handle, r->boundary_ns);
		return;
	}
	dt = r->jobs[0].tag - r->v;
	if (r->speed < 1.0)
		dt /= r->speed;
	dt = dt > 0.0 ? dt : 0.0;
	if (r->quota) {
		const double rate = r->speed * r->n_jobs;
		const double left = (double)(r->boundary_ns - sim->now_ns);

		dt = dt < left ? dt : left;
		if (dt * rate > r->runtime_ns + r->overrun_ns)
			dt = (r->runtime_ns + r->overrun_ns) / rate;
	}
	drpc_simq_set(&sim->queue, handle, sim->now_ns + (uint64_t)(dt + 0.999));
}

/* --- nodes -------------------------------------------------------------------------------------- */

static void node_list(struct drpc_sim *sim, struct sim_node *node, uint32_t replica, bool in)
{
	struct sim_replica *r = &sim->replicas[replica];

	if (in && r->active_at == SIM_NONE) {
		r->active_at = node->n_active;
		node->active[node->n_active++] = replica;
	} else if (!in && r->active_at != SIM_NONE) {
		const uint32_t last = node->active[--node->n_active];

		node->active[r->active_at] = last;
		sim->replicas[last].active_at = r->active_at;
		r->active_at = SIM_NONE;
	}
}

/* Core-nanoseconds a nanosecond for one unit of weight, so that all of the node is used and nobody
 * gets more than its demand: water filling. */
static double level_of(const struct drpc_sim *sim, const struct sim_node *node)
{
	double level = 0.0, capacity = node->capacity;

	/* Each round takes out those that are satisfied at the level so far; the level only rises. */
	for (uint32_t round = 0; round <= node->n_active; round++) {
		double left = capacity, weights = 0.0, next;

		for (uint32_t i = 0; i < node->n_active; i++) {
			const struct sim_replica *r = &sim->replicas[node->active[i]];
			const double weight = sim->services[r->service].weight;

			if (r->demand <= level * weight)
				left -= r->demand;
			else
				weights += weight;
		}
		if (weights <= 0.0)
			break;
		next = left / weights;
		if (next <= level)
			break;
		level = next;
	}
	return level;
}

static void set_speed(struct drpc_sim *sim, uint32_t replica, double cores)
{
	struct sim_replica *r = &sim->replicas[replica];
	const double speed = cores >= r->n_jobs ? 1.0 : cores / r->n_jobs;

	if (speed != r->speed) {
		advance(r, sim->now_ns);
		r->speed = speed;
		if (!r->dirty)
			schedule(sim, replica);
	}
}

void sim_cpu_rebalance(struct drpc_sim *sim, uint32_t n)
{
	struct sim_node *node = &sim->nodes[n];
	double level;

	node->contended = node->demand > node->capacity;
	level = node->contended ? level_of(sim, node) : INFINITY;
	for (uint32_t i = 0; i < node->n_active; i++) {
		const struct sim_replica *r = &sim->replicas[node->active[i]];

		set_speed(sim, node->active[i],
			  fmin(r->demand, level * sim->services[r->service].weight));
	}
}

/* A replica's runnable calls, or whether it may run, have changed. */
static void settle_demand(struct drpc_sim *sim, uint32_t replica)
{
	struct sim_replica *r = &sim->replicas[replica];
	struct sim_node *node = &sim->nodes[r->node];
	const uint32_t cores = (uint32_t)sim->app->nodes[r->node].cpu_cores;
	const uint32_t running = DRPC_MIN(r->n_jobs, DRPC_MAX(cores, 1u));
	uint32_t demand;

	r->overrun_ns = 0.5 * sim->app->cfs_tick_ns * running;
	if (r->quota && !r->throttled && r->n_jobs && r->runtime_ns <= HALF_NS - r->overrun_ns)
		r->throttled = true;
	if (!r->n_jobs)
		r->v = 0.0;
	demand = r->throttled ? 0 : running;
	node->demand += demand - r->demand;
	r->demand = demand;
	if ((r->active_at != SIM_NONE) != (demand > 0))
		node_list(sim, node, replica, demand > 0);
	if (node->contended || node->demand > node->capacity)
		sim_cpu_rebalance(sim, r->node);
	else if (demand)
		r->speed = demand == r->n_jobs ? 1.0 : (double)demand / r->n_jobs;
	if (!demand)
		r->speed = 0.0;
}

void sim_cpu_flush(struct drpc_sim *sim)
{
	while (sim->n_dirty) {
		const uint32_t replica = sim->dirty[--sim->n_dirty];

		settle_demand(sim, replica);
		sim->replicas[replica].dirty = false;
		schedule(sim, replica);
	}
}

/* --- what calls do ------------------------------------------------------------------------------ */

void sim_cpu_add(struct drpc_sim *sim, uint32_t replica, uint32_t call, double work_ns, bool wakes)
{
	struct sim_replica *r = &sim->replicas[replica];
	const uint64_t now = sim->now_ns;

	advance(r, now);
	if (r->quota) {
		roll_periods(r, now);
		start_timer(r, now);
		/* What comes to an idle CPU is not let in where nothing is left; no tick is needed. */
		if (wakes && !r->n_jobs && r->runtime_ns <= HALF_NS)
			r->throttled = true;
	}
	jobs_push(r, (struct sim_job){.tag = r->v + work_ns, .call = call});
	mark_dirty(sim, replica);
}

void sim_cpu_event(struct drpc_sim *sim, uint32_t replica)
{
	struct sim_replica *r = &sim->replicas[replica];

	sim_cpu_settle(sim, r);
	while (r->n_jobs && r->jobs[0].tag <= r->v + HALF_NS)
		sim_call_cpu_done(sim, jobs_pop(r));
	mark_dirty(sim, replica);
}

void sim_cpu_clear(struct drpc_sim *sim, uint32_t replica)
{
	struct sim_replica *r = &sim->replicas[replica];

	sim_cpu_settle(sim, r);
	r->n_jobs = 0;
	r->throttled = false;
	mark_dirty(sim, replica);
}

/* As a write to cpu.max: the pool gets the new quota at once, and what was throttled runs. */
void sim_cpu_limit(struct drpc_sim *sim, uint32_t replica, double cores, double burst_ns)
{
	struct sim_replica *r = &sim->replicas[replica];

	sim_cpu_settle(sim, r);
	r->throttled = false;
	if (cores <= 0.0) {
		r->quota = r->timer = false;
	} else {
		const double debt = r->quota ? r->runtime_ns : 0.0;

		r->quota_ns = cores * (double)SIM_PERIOD_NS;
		r->burst_ns = burst_ns;
		r->kept_ns = sim->app->cfs_tick_ns > 0.0 ? KEPT_NS : 0.0;
		r->runtime_ns = fmin(debt + r->quota_ns, r->quota_ns + burst_ns);
		r->quota = true;
		if (r->n_jobs)
			start_timer(r, sim->now_ns);
	}
	mark_dirty(sim, replica);
}
