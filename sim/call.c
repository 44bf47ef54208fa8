// SPDX-License-Identifier: Apache-2.0
/*
 * Calls: sent, queued, worked on, waiting for their own calls, answered; with timeouts and retries.
 *
 * Every attempt is one struct sim_call and ends once: answered to a caller that waits, or quietly
 * where it does not any more (a timeout, a caller that was killed). Whether a caller still waits is
 * told by its generation. Timeouts of the same length expire in the order in which they began: each
 * length has one list and one event, which looks at the list's head.
 */
#include "include/drpc/hist_index.h"
#include "lib/util.h"
#include "sim/internal.h"

static void run(struct drpc_sim *sim, uint32_t call);
static void finish(struct drpc_sim *sim, uint32_t call, bool ok);

/* --- the pool ----------------------------------------------------------------------------------- */

uint32_t sim_call_take(struct drpc_sim *sim)
{
	uint32_t call = sim->free_call;
	struct sim_call *c;

	if (call != SIM_NONE) {
		c = &sim->calls[call];
		sim->free_call = c->next;
	} else if (sim->n_calls < sim->calls_max) {
		call = sim->n_calls++;
		c = &sim->calls[call];
		drpc_simq_clear(&sim->queue, sim->at_call + call);
	} else {
		sim->full = true;
		return SIM_NONE;
	}
	sim->total_calls++;
	c->flags = 0;
	c->open = 0;
	c->waited_ns = 0;
	c->replica = SIM_NONE;
	return call;
}

static void give_back(struct drpc_sim *sim, uint32_t call)
{
	struct sim_call *c = &sim->calls[call];

	if (c->flags & SIM_CALL_TRACED)
		sim_span_drop(sim, c);
	c->generation++;
	c->state = SIM_CALL_FREE;
	c->next = sim->free_call;
	sim->free_call = call;
}

/* --- timeouts ----------------------------------------------------------------------------------- */

static void timeout_begin(struct drpc_sim *sim, uint32_t call, uint32_t class)
{
	struct sim_timeout *t = &sim->timeouts[class];
	struct sim_call *c = &sim->calls[call];

	c->flags |= SIM_CALL_TIMED;
	c->deadline_ns = sim->now_ns + t->duration_ns;
	c->sooner = t->last;
	c->later = SIM_NONE;
	if (t->last != SIM_NONE)
		sim->calls[t->last].later = call;
	else
		t->first = call;
	t->last = call;
	/* An event that is pending for one that has gone meanwhile finds this one. */
	if (sim->queue.at[sim->at_timeout + class] == DRPC_SIMQ_NONE)
		drpc_simq_set(&sim->queue, sim->at_timeout + class, c->deadline_ns);
}

static void timeout_end(struct drpc_sim *sim, struct sim_call *c)
{
	struct sim_timeout *t;

	if (!(c->flags & SIM_CALL_TIMED))
		return;
	t = &sim->timeouts[sim->app->calls[c->site].timeout_class];
	c->flags &= (uint8_t)~SIM_CALL_TIMED;
	if (c->sooner != SIM_NONE)
		sim->calls[c->sooner].later = c->later;
	else
		t->first = c->later;
	if (c->later != SIM_NONE)
		sim->calls[c->later].sooner = c->sooner;
	else
		t->last = c->sooner;
}

/* --- answers ------------------------------------------------------------------------------------ */

static void end_request(struct drpc_sim *sim, const struct sim_call *c, bool ok)
{
	struct sim_class *class =
		&sim->classes[c->site - (sim->app->n_calls - sim->app->n_classes)];
	const uint64_t latency = sim->now_ns - c->first_ns;

	if (c->flags & SIM_CALL_TRACED)
		sim_span_tell(sim, c);
	sim->open_requests--;
	class->ended++;
	sim->interval_ended++;
	if (ok) {
		const unsigned int bucket = drpc_hist_bucket(latency);

		sim_fine_add(&sim->total, latency);
		sim->late += (double)latency > sim->app->slo_ns;
		class->latency_ns += (double)latency;
		class->hist[bucket]++;
		sim->interval_latency_ns += (double)latency;
		sim->interval_hist[bucket]++;
	} else {
		sim->failed++;
		sim->failures[c->cause]++;
		sim->interval_failed++;
		class->failed++;
	}
}

/* A call of `parent` has come to its end, well or not, or was not made at all. */
static void child_ended(struct drpc_sim *sim, uint32_t parent, bool ok, uint8_t cause)
{
	struct sim_call *p = &sim->calls[parent];

	if (!ok) {
		p->flags |= SIM_CALL_FAILED;
		p->cause = cause;
	}
	if (--p->open == 0 && p->state == SIM_CALL_WAITING) {
		struct sim_replica *r = &sim->replicas[p->replica];

		if (sim->services[r->service].spec->holds_worker) {
			run(sim, parent);
		} else if (r->busy < r->workers) {
			r->busy++;
			run(sim, parent);
		} else {
			sim_line_join(sim, r, parent);
		}
	}
}

/* Whether somebody waits for what becomes of this attempt. */
static bool is_awaited(const struct drpc_sim *sim, const struct sim_call *c)
{
	if (c->flags & SIM_CALL_ORPHAN)
		return false;
	return c->flags & SIM_CALL_ROOT || sim->calls[c->parent].generation == c->parent_generation;
}

/* The same call once more, after the backoff. */
static bool retry(struct drpc_sim *sim, const struct sim_call *c)
{
	const struct drpc_sim_call_site *site = &sim->app->calls[c->site];
	uint32_t again;
	struct sim_call *n;

	if (c->attempt >= site->retries)
		return false;
	again = sim_call_take(sim);
	if (again == SIM_NONE)
		return false;
	n = &sim->calls[again];
	n->random = drpc_sim_mix(c->random ^ DRPC_SIM_GOLDEN);
	n->parent = c->parent;
	n->parent_generation = c->parent_generation;
	n->site = c->site;
	n->flags = c->flags & SIM_CALL_ROOT;
	n->first_ns = c->first_ns;
	n->attempt = (uint16_t)(c->attempt + 1);
	if (c->flags & SIM_CALL_TRACED)
		sim_span_again(sim, c, n);
	if (site->backoff_ns) {
		n->state = SIM_CALL_BACKOFF;
		drpc_simq_set(&sim->queue, sim->at_call + again,
			      sim->now_ns + (site->backoff_ns << DRPC_MIN(c->attempt, 16)));
	} else {
		sim_call_send(sim, again);
	}
	return true;
}

/* The caller knows what became of this attempt: an answer, or none in time. */
static void settle(struct drpc_sim *sim, struct sim_call *c, bool ok)
{
	if (c->flags & SIM_CALL_TRACED)
		sim_span_end(sim, c, ok);
	if (!ok && retry(sim, c))
		return;
	if (c->flags & SIM_CALL_ROOT)
		end_request(sim, c, ok);
	else
		child_ended(sim, c->parent, ok || sim->app->calls[c->site].optional, c->cause);
}

static void deliver(struct drpc_sim *sim, uint32_t call)
{
	struct sim_call *c = &sim->calls[call];

	timeout_end(sim, c);
	if (is_awaited(sim, c))
		settle(sim, c, !(c->flags & SIM_CALL_FAILED));
	give_back(sim, call);
}

void sim_timeout_event(struct drpc_sim *sim, uint32_t timeout)
{
	struct sim_timeout *t = &sim->timeouts[timeout];

	while (t->first != SIM_NONE && sim->calls[t->first].deadline_ns <= sim->now_ns) {
		struct sim_call *c = &sim->calls[t->first];

		const bool awaited = is_awaited(sim, c);

		/* The service does not know, and works on. */
		timeout_end(sim, c);
		c->flags |= SIM_CALL_ORPHAN;
		if (awaited) {
			c->cause = DRPC_SIM_FAILED_TIMEOUT;
			settle(sim, c, false);
		}
	}
	if (t->first != SIM_NONE)
		drpc_simq_set(&sim->queue, sim->at_timeout + timeout,
			      sim->calls[t->first].deadline_ns);
	else
		drpc_simq_unset(&sim->queue, sim->at_timeout + timeout);
}

/* The time of one way over the network; 0 without one. */
static uint64_t wire_ns(struct drpc_sim *sim, struct sim_call *c, const struct sim_service *s)
{
	double ns = s->network_ns;

	if (sim->network)
		ns += drpc_sim_draw(&sim->tables, &sim->wire, &c->random);
	return (uint64_t)ns;
}

static void reply(struct drpc_sim *sim, uint32_t call)
{
	struct sim_call *c = &sim->calls[call];
	uint64_t ns;

	c->state = SIM_CALL_REPLIED;
	if (!is_awaited(sim, c)) {
		timeout_end(sim, c);
		give_back(sim, call);
		return;
	}
	ns = wire_ns(sim, c, &sim->services[sim->app->calls[c->site].service]);
	if (ns == 0) {
		deliver(sim, call);
		return;
	}
	drpc_simq_set(&sim->queue, sim->at_call + call, sim->now_ns + ns);
}

/* --- in the service ----------------------------------------------------------------------------- */

void sim_line_join(struct drpc_sim *sim, struct sim_replica *r, uint32_t call)
{
	struct sim_call *c = &sim->calls[call];

	c->state = SIM_CALL_QUEUED;
	c->mark_ns = sim->now_ns;
	c->next = SIM_NONE;
	if (r->n_queued++)
		sim->calls[r->last].next = call;
	else
		r->first = call;
	r->last = call;
}

/* A call that a worker begins with takes memory; false: there was none, and the replica is gone. */
static bool hold(struct drpc_sim *sim, struct sim_call *c)
{
	struct sim_replica *r = &sim->replicas[c->replica];

	if (c->flags & SIM_CALL_HOLDS)
		return true;
	if (r->holding >= r->fits) {
		c->state = SIM_CALL_QUEUED;
		sim_replica_oom(sim, c->replica);
		return false;
	}
	c->flags |= SIM_CALL_HOLDS;
	r->holding++;
	r->peak_holding = DRPC_MAX(r->peak_holding, r->holding);
	return true;
}

/* Workers that are free take from the line. What they take may end at once and come here again:
 * the loop below goes on then, instead of a recursion as deep as the line is long. */
static void serve_line(struct drpc_sim *sim, struct sim_replica *r)
{
	if (r->serving_line)
		return;
	r->serving_line = true;
	while (r->n_queued && r->busy < r->workers) {
		const uint32_t call = r->first;
		struct sim_call *c = &sim->calls[call];

		if (!hold(sim, c))
			break;
		r->first = c->next;
		r->n_queued--;
		r->busy++;
		c->waited_ns += sim->now_ns - c->mark_ns;
		run(sim, call);
	}
	r->serving_line = false;
}

static void finish(struct drpc_sim *sim, uint32_t call, bool ok)
{
	struct sim_call *c = &sim->calls[call];
	struct sim_replica *r = &sim->replicas[c->replica];
	const uint32_t replica = c->replica;
	struct sim_service *s = &sim->services[r->service];
	const uint64_t latency = sim->now_ns - c->arrived_ns;

	c->state = SIM_CALL_REPLIED; /* no longer in the replica, whatever happens to that below */
	s->ended++;
	s->latency_ns += (double)latency;
	s->waited_ns += (double)c->waited_ns;
	s->hist[drpc_hist_bucket(latency)]++;
	if (!ok) {
		c->flags |= SIM_CALL_FAILED;
		s->errors++;
	}
	r->busy--;
	r->resident--;
	r->holding--;
	if (r->cache_bytes < s->spec->cache_bytes)
		r->cache_bytes += s->spec->cache_per_call_bytes;
	if (r->n_queued)
		serve_line(sim, r);
	if (r->state == SIM_REPLICA_DRAINING && !r->resident)
		sim_replica_left(sim, replica);
	reply(sim, call);
}

/* Whether it is to be called at all: by chance, and a service that is switched off is left out. */
static bool is_called(const struct drpc_sim *sim, struct sim_call *c,
		      const struct drpc_sim_call_site *site)
{
	if (sim->services[site->service].off)
		return false;
	return site->probability >= 1.0 || drpc_sim_uniform(&c->random) < site->probability;
}

/* Returns false where the call was killed meanwhile: without a network all happens at once. */
static bool make_calls(struct drpc_sim *sim, uint32_t call, const struct drpc_sim_step *step)
{
	struct sim_call *c = &sim->calls[call];
	const uint32_t generation = c->generation;

	c->open = 1; /* itself, until all are sent: answers may be here at once */
	for (uint32_t i = step->first_call; i < step->first_call + step->n_calls; i++) {
		uint64_t stream = drpc_sim_next(&c->random);
		uint32_t child;
		struct sim_call *n;

		if (!is_called(sim, c, &sim->app->calls[i]))
			continue;
		child = sim_call_take(sim);
		if (child == SIM_NONE) {
			c->flags |= SIM_CALL_FAILED;
			continue;
		}
		n = &sim->calls[child];
		n->random = stream;
		n->parent = call;
		n->parent_generation = c->generation;
		n->site = i;
		n->attempt = 0;
		n->first_ns = sim->now_ns;
		c->open++;
		if (c->flags & SIM_CALL_TRACED)
			sim_span_child(sim, c, n);
		sim_call_send(sim, child);
		if (c->generation != generation)
			return false;
	}
	c->open--;
	return true;
}

static void start_work(struct drpc_sim *sim, uint32_t call, const struct drpc_sim_step *step)
{
	struct sim_call *c = &sim->calls[call];
	struct sim_replica *r = &sim->replicas[c->replica];
	double work = drpc_sim_draw(&sim->tables, &step->time, &c->random);
	bool wakes;

	if (!r->plain)
		work *= sim_replica_slowdown(sim, r, work);
	wakes = c->state != SIM_CALL_RUNNING && c->state != SIM_CALL_QUEUED;
	c->state = SIM_CALL_RUNNING;
	sim_cpu_add(sim, c->replica, call, work, wakes);
}

/* Goes on with a call that has a worker, as far as it comes. */
static void run(struct drpc_sim *sim, uint32_t call)
{
	struct sim_call *c = &sim->calls[call];

	while (c->step < c->step_end && !(c->flags & SIM_CALL_FAILED)) {
		const struct drpc_sim_step *step = &sim->app->steps[c->step++];

		switch (step->kind) {
		case DRPC_SIM_STEP_CPU:
			start_work(sim, call, step);
			return;
		case DRPC_SIM_STEP_WAIT:
			c->state = SIM_CALL_SLEEPING;
			drpc_simq_set(&sim->queue, sim->at_call + call,
				      sim->now_ns + (uint64_t)drpc_sim_draw(
							    &sim->tables, &step->time, &c->random));
			return;
		case DRPC_SIM_STEP_FAIL:
			if (drpc_sim_uniform(&c->random) < step->probability) {
				c->flags |= SIM_CALL_FAILED;
				c->cause = DRPC_SIM_FAILED_ERROR;
			}
			break;
		case DRPC_SIM_STEP_CALL:
			c->state = SIM_CALL_RUNNING;
			if (!make_calls(sim, call, step))
				return;
			if (c->open) {
				struct sim_replica *r = &sim->replicas[c->replica];

				c->state = SIM_CALL_WAITING;
				if (!sim->services[r->service].spec->holds_worker) {
					r->busy--;
					serve_line(sim, r);
				}
				return;
			}
			break;
		}
	}
	finish(sim, call, !(c->flags & SIM_CALL_FAILED));
}

void sim_call_cpu_done(struct drpc_sim *sim, uint32_t call)
{
	run(sim, call);
}

/* --- on the way --------------------------------------------------------------------------------- */

static void refuse(struct drpc_sim *sim, uint32_t call, struct sim_service *s)
{
	struct sim_call *c = &sim->calls[call];

	s->ended++;
	s->errors++;
	c->flags |= SIM_CALL_FAILED;
	c->cause = DRPC_SIM_FAILED_REFUSED;
	reply(sim, call);
}

static uint32_t choose_replica(const struct drpc_sim *sim, struct sim_service *s)
{
	uint32_t best;

	if (s->n_ready == 1)
		return s->ready[0];
	if (s->spec->balance == DRPC_SIM_ROUND_ROBIN) {
		s->turn = s->turn + 1 < s->n_ready ? s->turn + 1 : 0;
		return s->ready[s->turn];
	}
	best = s->ready[0];
	for (uint32_t i = 1; i < s->n_ready; i++) {
		if (sim->replicas[s->ready[i]].resident < sim->replicas[best].resident)
			best = s->ready[i];
	}
	return best;
}

static void arrive(struct drpc_sim *sim, uint32_t call)
{
	struct sim_call *c = &sim->calls[call];
	const struct drpc_sim_call_site *site = &sim->app->calls[c->site];
	const struct drpc_sim_operation *op = &sim->app->operations[site->operation];
	struct sim_service *s = &sim->services[site->service];
	struct sim_replica *r;

	s->arrived++;
	c->arrived_ns = sim->now_ns;
	c->step = op->first_step;
	c->step_end = op->first_step + op->n_steps;
	if (!s->n_ready) {
		refuse(sim, call, s);
		return;
	}
	c->replica = choose_replica(sim, s);
	r = &sim->replicas[c->replica];
	if (r->busy >= r->workers && r->n_queued >= s->spec->queue) {
		refuse(sim, call, s);
		return;
	}
	r->resident++;
	if (r->busy >= r->workers) {
		sim_line_join(sim, r, call);
	} else if (hold(sim, c)) {
		r->busy++;
		run(sim, call);
	}
}

void sim_call_send(struct drpc_sim *sim, uint32_t call)
{
	struct sim_call *c = &sim->calls[call];
	const struct drpc_sim_call_site *site = &sim->app->calls[c->site];
	const uint64_t ns = wire_ns(sim, c, &sim->services[site->service]);

	c->sent_ns = sim->now_ns;
	if (site->timeout_ns)
		timeout_begin(sim, call, site->timeout_class);
	if (ns == 0) {
		arrive(sim, call);
		return;
	}
	c->state = SIM_CALL_SENT;
	drpc_simq_set(&sim->queue, sim->at_call + call, sim->now_ns + ns);
}

void sim_call_event(struct drpc_sim *sim, uint32_t call)
{
	struct sim_call *c = &sim->calls[call];

	drpc_simq_unset(&sim->queue, sim->at_call + call);
	switch (c->state) {
	case SIM_CALL_SENT:
		arrive(sim, call);
		break;
	case SIM_CALL_SLEEPING:
		run(sim, call);
		break;
	case SIM_CALL_REPLIED:
		deliver(sim, call);
		break;
	case SIM_CALL_BACKOFF:
		if (is_awaited(sim, c))
			sim_call_send(sim, call);
		else
			give_back(sim, call);
		break;
	default:
		break;
	}
}

/* The answers to its own calls find another generation. */
void sim_call_killed(struct drpc_sim *sim, uint32_t call)
{
	struct sim_call *c = &sim->calls[call];
	struct sim_service *s = &sim->services[sim->app->calls[c->site].service];

	if (c->state == SIM_CALL_SLEEPING)
		drpc_simq_unset(&sim->queue, sim->at_call + call);
	c->generation++;
	c->open = 0;
	c->flags |= SIM_CALL_FAILED;
	c->cause = DRPC_SIM_FAILED_KILLED;
	s->ended++;
	s->errors++;
	reply(sim, call);
}
