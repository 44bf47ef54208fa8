// SPDX-License-Identifier: Apache-2.0
#include "agent/control.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "agent/apply.h"
#include "agent/execute/executor.h"
#include "agent/monitor/sampler.h"
#include "agent/monitor/series.h"
#include "agent/monitor/use.h"
#include "agent/record.h"
#include "lib/log.h"
#include "lib/util.h"

/* Others may change limits too; so long they may go unnoticed. */
#define LIMITS_AGE_NS (2 * DRPC_NSEC_PER_SEC)

/* An idle container uses less than this part of a CPU; it is looked at so often. */
#define IDLE_SHARE 100
#define IDLE_NS	   (2 * DRPC_NSEC_PER_SEC)

/* The tick's working arrays, one entry a deployment; they grow and stay. */
struct drpc_control_scratch {
	struct drpc_deployment **deployments;
	struct drpc_guard_request *requests;
	struct drpc_verdict *verdicts;
	/* The verdicts that are written. */
	struct drpc_deployment **writers;
	const struct drpc_verdict **written;
	int *results;
	uint64_t *ids; /* of the decisions */
	size_t size;
};

struct drpc_control *drpc_control_of(struct drpc_deployment *deployment)
{
	if (!deployment->control)
		deployment->control = calloc(1, sizeof(*deployment->control));
	return deployment->control;
}

void drpc_control_free(struct drpc_control **control)
{
	if (*control)
		drpc_decision_ring_free(&(*control)->decisions);
	free(*control);
	*control = NULL;
}

void drpc_control_scratch_free(struct drpc_control_scratch **scratch)
{
	if (!*scratch)
		return;
	free((*scratch)->deployments);
	free((*scratch)->requests);
	free((*scratch)->verdicts);
	free((*scratch)->writers);
	free((*scratch)->written);
	free((*scratch)->results);
	free((*scratch)->ids);
	free(*scratch);
	*scratch = NULL;
}

/* One growing array; false without memory, the array then stands as it was. */
#define GROW(array, size)                                                   \
	({                                                                  \
		void *_p = reallocarray((array), (size), sizeof(*(array))); \
		if (_p)                                                     \
			(array) = _p;                                       \
		_p != NULL;                                                 \
	})

static int scratch_fit(struct drpc_control_scratch *s, size_t count)
{
	size_t size = DRPC_MAX(count, 2 * s->size);

	if (count <= s->size)
		return 0;
	if (!GROW(s->deployments, size) || !GROW(s->requests, size) || !GROW(s->verdicts, size) ||
	    !GROW(s->writers, size) || !GROW(s->written, size) || !GROW(s->results, size) ||
	    !GROW(s->ids, size))
		return -ENOMEM;
	s->size = size;
	return 0;
}

/* --- observe and plan ------------------------------------------------------------------------- */

/* The planner's outputs, the fallback's where the planner fails; false where both do. */
static bool plan(struct drpc_agent *agent, struct drpc_control *control)
{
	struct drpc_planner *planners[] = {agent->planner, agent->fallback};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(planners); i++) {
		int r;

		if (!planners[i])
			continue;
		r = planners[i]->ops->decide(planners[i], &control->observed.observation,
					     control->raw);
		control->planner = planners[i]->ops->name;
		if (r == 0)
			return true;
		agent->stats.planner_failures++;
	}
	return false;
}

/* What came of the last action, told once its first whole window is there. */
static void note_outcome(struct drpc_control *control)
{
	if (control->outcome_id == 0 || control->observed.window_end_ns == 0)
		return;
	drpc_decision_set_outcome(&control->decisions, control->outcome_id,
				  (uint64_t)(control->observed.view.p99_ms * 1e6),
				  control->observed.view.throttled_share);
	control->outcome_id = 0;
}

static void fill_request(struct drpc_agent *agent, struct drpc_deployment *d,
			 struct drpc_guard_request *request)
{
	struct drpc_control *control = d->control;
	const struct drpc_observed *seen = &control->observed;
	/* Without a replica there is nothing to see, but one may be asked for. */
	bool planned = (seen->window_end_ns != 0 || d->replica_count == 0) && plan(agent, control);

	*request = (struct drpc_guard_request){
		.policy = &d->policy,
		.state = &control->guard,
		.observation = &seen->observation,
		.raw = planned ? control->raw : NULL,
		.paused = agent->paused || d->paused,
		.window_end_ns = seen->window_end_ns,
		.limits = control->limits,
		.replicas = d->replica_count,
		.local_replicas = d->replica_count,
		.cpu_usage_mcpu = seen->cpu_usage_mcpu,
		.cpu_peak_mcpu = drpc_peak_most(&control->cpu_peak, seen->observation.now_ns),
		.mem_use_bytes = seen->mem_use_bytes,
		.mem_working_set_bytes = seen->mem_working_set_bytes,
	};
}

/*
 * Reads the limits in force after each change of ours, and now and then in case somebody else has
 * changed them: windows from before that do not count either. Where they cannot be read, those last
 * known are shown, and nothing is decided on them.
 */
static void refresh_limits(struct drpc_agent *agent, struct drpc_deployment *d, uint64_t now_ns)
{
	struct drpc_control *control = d->control;
	bool due = !control->limits_known || control->limits_stale ||
		   now_ns - control->limits_ns >= LIMITS_AGE_NS;
	struct drpc_limits limits;

	if (!due)
		return;
	if (drpc_apply_read(agent, d, &limits) < 0) {
		control->limits_stale = true;
		return;
	}
	if (control->limits_known && !control->limits_stale &&
	    !drpc_limits_equal(&limits, &control->limits)) {
		drpc_info("control: somebody else changed the limits of %s", d->name);
		control->changed_ns = now_ns;
	}
	control->limits = limits;
	control->limits_known = true;
	control->limits_stale = false;
	control->limits_ns = now_ns;
}

static bool replica_is_idle(const struct drpc_container *c)
{
	struct drpc_window_scalars w;

	if (c->at_rest)
		return true;
	return c->series && drpc_series_last(c->series, &w) && w.seen == 0 && w.turns == 0 &&
	       w.inflight == 0 && w.cg.valid & DRPC_CG_CPU && w.cg.nr_throttled == 0 &&
	       w.cg.mem_some_usec == 0 &&
	       w.cg.cpu_usage_usec * IDLE_SHARE < (w.end_ns - w.start_ns) / 1000;
}

/*
 * Most containers of a full node do nothing most of the time. Where nothing happened in the last
 * window and no limit was changed of late, every two seconds is often enough: the first window in which
 * something happens ends it.
 */
static bool may_wait(const struct drpc_deployment *d, uint64_t now_ns)
{
	const struct drpc_control *control = d->control;

	if (now_ns - control->looked_ns >= IDLE_NS || now_ns - control->changed_ns < 2 * IDLE_NS ||
	    control->outcome_id != 0)
		return false;
	for (const struct drpc_container *c = d->replicas; c; c = c->next_replica) {
		if (!replica_is_idle(c))
			return false;
	}
	return true;
}

/* Observes everybody and collects a request from each deployment that is ready for a decision. */
static size_t collect(struct drpc_agent *agent, uint64_t now_ns)
{
	struct drpc_control_scratch *s = agent->scratch;
	size_t n = 0;

	for (struct drpc_deployment *d = NULL;
	     (d = drpc_roster_next_deployment(agent->roster, d));) {
		struct drpc_control *control = drpc_control_of(d);

		if (!control || scratch_fit(s, n + 1) < 0) {
			drpc_warn("control: no memory to decide for %s, ignoring", d->name);
			continue;
		}
		if (control->changed_ns == 0)
			control->changed_ns = now_ns;
		if (may_wait(d, now_ns))
			continue;
		control->looked_ns = now_ns;
		for (struct drpc_container *c = d->replicas; c; c = c->next_replica)
			drpc_sampler_catch_up(agent->sampler, c);
		if (d->replica_count > 0)
			refresh_limits(agent, d, now_ns);
		drpc_observe(d, &control->limits, control->changed_ns, now_ns, &control->holt,
			     &control->observed);
		drpc_peak_push(&control->cpu_peak, now_ns, control->observed.cpu_last_mcpu);
		note_outcome(control);
		/* Without a whole window since the last change there is nothing to go by yet; a
		 * window that never comes is the guard's business (stale). A usage that cannot be
		 * read must not pass for an idle container. */
		if (d->replica_count > 0 &&
		    (control->limits_stale || !control->observed.cpu_known ||
		     drpc_apply_pending(agent, d) ||
		     (control->observed.window_end_ns == 0 &&
		      now_ns - control->changed_ns < 2 * agent->config.window_ns)))
			continue;
		if (control->observed.window_end_ns != 0)
			drpc_record_state(agent->record, d->name, drpc_realtime_ns(),
					  &control->observed.observation);
		s->deployments[n] = d;
		fill_request(agent, d, &s->requests[n]);
		n++;
	}
	return n;
}

/* --- act and record --------------------------------------------------------------------------- */

static void describe_action(struct drpc_control *control, const struct drpc_verdict *verdict)
{
	const struct drpc_proposal *from = &verdict->standing, *to = &verdict->target;
	const double mib =
		((double)to->memory_bytes - (double)from->memory_bytes) / (double)DRPC_MIB;
	char cpu[48] = "", memory[48] = "", replicas[48] = "";

	if (to->replicas != from->replicas)
		snprintf(replicas, sizeof(replicas), "replicas %u → %u ", from->replicas,
			 to->replicas);
	if (to->cpu_mcpu != from->cpu_mcpu)
		snprintf(cpu, sizeof(cpu), "cpu %+.2f ",
			 ((double)to->cpu_mcpu - (double)from->cpu_mcpu) / 1000);
	if (to->memory_bytes != from->memory_bytes)
		snprintf(memory, sizeof(memory), "memory %+.*f MiB ", fabs(mib) < 10 ? 1 : 0, mib);
	snprintf(control->last_action, sizeof(control->last_action), "%s%s%s%s%s%.*s",
		 verdict->kind == DRPC_VERDICT_RECOMMEND ? "would: " : "", replicas, cpu, memory,
		 replicas[0] || cpu[0] || memory[0] ? "· " : "", 110, verdict->reason);
}

static uint64_t record(struct drpc_agent *agent, struct drpc_deployment *d,
		       const struct drpc_guard_request *request, const struct drpc_verdict *verdict,
		       bool applied)
{
	struct drpc_control *control = d->control;
	bool moves = !drpc_limits_equal(&verdict->limits, &request->limits) ||
		     verdict->replicas != request->replicas;
	struct drpc_decision decision, *kept;

	drpc_decision_fill(&decision, request, verdict, control->planner ? control->planner : "",
			   applied, drpc_realtime_ns());
	kept = drpc_decision_push(&control->decisions, &decision);
	agent->stats.decisions++;
	agent->stats.verdicts[verdict->kind]++;
	if (moves && verdict->kind == DRPC_VERDICT_RECOMMEND)
		describe_action(control, verdict);
	return kept ? kept->id : 0;
}

/* Limits of a verdict are in force, from `now_ns` on. */
static void committed(struct drpc_agent *agent, struct drpc_control *control,
		      const struct drpc_verdict *verdict, uint64_t decision_id, uint64_t now_ns)
{
	struct drpc_verdict done = *verdict;

	/* Replicas come later: the guard must not remember any that never do. */
	done.target.replicas = done.standing.replicas;
	drpc_guard_commit(&agent->config.guard, &control->guard, &control->observed.observation,
			  &done, now_ns);
	/* Read back at the next tick: the kernel rounds, and others may write too. */
	control->limits = verdict->limits;
	control->limits_stale = true;
	control->changed_ns = now_ns;
	control->outcome_id = decision_id;
	describe_action(control, &done);
	agent->stats.applied++;
}

void drpc_control_scaled(struct drpc_agent *agent, struct drpc_deployment *deployment,
			 const struct drpc_verdict *verdict, uint64_t decision_id, uint64_t now_ns)
{
	struct drpc_control *control = deployment->control;
	struct drpc_verdict done = *verdict;

	/* The limits were written when it was decided. */
	done.target.cpu_mcpu = done.standing.cpu_mcpu;
	done.target.memory_bytes = done.standing.memory_bytes;
	drpc_guard_commit(&agent->config.guard, &control->guard, &control->observed.observation,
			  &done, now_ns);
	drpc_decision_set_applied(&control->decisions, decision_id);
	control->limits_stale = true;
	control->changed_ns = now_ns;
	control->outcome_id = decision_id;
	agent->stats.applied++;
}

void drpc_control_applied(struct drpc_agent *agent, struct drpc_deployment *deployment, int err,
			  const char *why)
{
	struct drpc_control *control = deployment->control;

	if (!control || !control->asked.write || drpc_apply_pending(agent, deployment))
		return;
	control->asked.write = false;
	if (err < 0) {
		agent->stats.failed++;
		snprintf(control->last_action, sizeof(control->last_action), "cannot act: %s", why);
		return;
	}
	drpc_decision_set_applied(&control->decisions, control->asked_id);
	committed(agent, control, &control->asked, control->asked_id, drpc_now_ns());
}

static bool writes_limits(const struct drpc_verdict *verdict,
			  const struct drpc_guard_request *request)
{
	return verdict->write && !drpc_limits_equal(&verdict->limits, &request->limits);
}

/* Writes the limits that may be written, then records every decision of the tick. */
static void act_on_limits(struct drpc_agent *agent, size_t n, uint64_t now_ns)
{
	struct drpc_control_scratch *s = agent->scratch;
	size_t writes = 0;

	for (size_t i = 0; i < n; i++) {
		if (!writes_limits(&s->verdicts[i], &s->requests[i]))
			continue;
		s->writers[writes] = s->deployments[i];
		s->written[writes++] = &s->verdicts[i];
	}
	if (writes > 0)
		drpc_apply_write(agent, s->writers, s->written, writes, now_ns, s->results);
	writes = 0;
	for (size_t i = 0; i < n; i++) {
		const struct drpc_verdict *verdict = &s->verdicts[i];
		struct drpc_control *control = s->deployments[i]->control;
		bool write = writes_limits(verdict, &s->requests[i]);
		int result = write ? s->results[writes++] : -ECANCELED;
		uint64_t id;

		id = record(agent, s->deployments[i], &s->requests[i], verdict, result == 0);
		s->ids[i] = id;
		if (result == 0) {
			committed(agent, control, verdict, id, now_ns);
		} else if (result == -EINPROGRESS) {
			control->asked = *verdict;
			control->asked_id = id;
		} else if (write) {
			/* A part may have been written (memory in use stays): look again. */
			control->limits_stale = true;
			agent->stats.failed++;
		}
	}
}

/* Keeps what was used, for `recommend`; who rests uses nothing. */
static void note_use(struct drpc_agent *agent)
{
	struct drpc_window_scalars w;

	for (struct drpc_container *c = NULL; (c = drpc_roster_next(agent->roster, c));) {
		if (!c->at_rest && c->series && drpc_series_last(c->series, &w) &&
		    drpc_use_push(&c->use, &w) < 0)
			return;
	}
}

void drpc_control_tick(struct drpc_agent *agent, uint64_t now_ns)
{
	struct drpc_control_scratch *s;
	size_t n;

	drpc_sampler_tick(agent->sampler, agent->roster, now_ns);
	note_use(agent);
	/* Half a window early counts: timers are not exact. */
	if (now_ns + agent->config.window_ns / 2 < agent->next_decision_ns)
		return;
	agent->next_decision_ns = now_ns + agent->config.control_interval_ns;
	if (!agent->scratch) {
		agent->scratch = calloc(1, sizeof(*agent->scratch));
		if (!agent->scratch)
			return;
	}
	s = agent->scratch;
	drpc_scale_tick(agent, now_ns);
	n = collect(agent, now_ns);
	drpc_scale_requests(agent, s->deployments, s->requests, n, now_ns);
	drpc_guard_judge(&agent->config.guard, &agent->node, s->requests, n, now_ns, s->verdicts);
	act_on_limits(agent, n, now_ns);
	/* What limits give comes at once, what replicas give in a while. */
	drpc_scale_write(agent, s->deployments, s->requests, s->verdicts, s->ids, n, now_ns);
	drpc_executor_tick(agent->executor, now_ns);
}
