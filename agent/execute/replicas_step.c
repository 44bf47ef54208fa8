// SPDX-License-Identifier: Apache-2.0
/* The steps of a round: removing, starting, copying, waiting, draining, stopping. */
#include <errno.h>
#include <string.h>

#include "agent/execute/replicas_internal.h"
#include "lib/log.h"
#include "lib/util.h"

#define LOOK_NS		(500 * DRPC_NSEC_PER_MSEC)
/* Where neither health nor sockets can be seen, a replica that runs so long is ready. */
#define RUNS_NS		(2 * DRPC_NSEC_PER_SEC)
/* A stop holds a place of the worker's for as long as the container takes. */
#define STOPS_MAX	2
/* At the end, and for `drpc restore`, nobody waits for long. */
#define HURRY_GRACE_SEC 5

static int act(struct replicas_group *g, size_t target);
static void step_ended(struct replicas_group *g);

/* --- the journal ------------------------------------------------------------------------------ */

/* The record as it stands, or a new one. */
static void record_of(const struct replicas_group *g, struct drpc_journal_scale *ret)
{
	const struct drpc_journal_scale *scale = replicas_scale_of(g);

	if (scale) {
		*ret = *scale;
		return;
	}
	*ret = (struct drpc_journal_scale){.realtime_ns = drpc_realtime_ns()};
	drpc_strcpy(ret->deployment, sizeof(ret->deployment), g->deployment);
}

static int journal_before_clone(struct replicas_group *g)
{
	struct drpc_journal_scale scale;

	if (replicas_scale_of(g))
		return 0;
	record_of(g, &scale);
	return drpc_journal_scale_put(g->replicas->config.journal, &scale);
}

static int journal_before_stop(struct replicas_group *g)
{
	struct drpc_journal_scale scale;
	size_t before;

	record_of(g, &scale);
	before = scale.stopped_count;
	for (size_t i = 0; i < g->target_count; i++) {
		const struct replicas_target *t = &g->targets[i];
		size_t n = scale.stopped_count;

		if (t->clone || replicas_stopped(&scale, t->id))
			continue;
		if (n == DRPC_JOURNAL_STOPPED_MAX)
			return -E2BIG;
		drpc_strcpy(scale.stopped[n].id, sizeof(scale.stopped[n].id), t->id);
		drpc_strcpy(scale.stopped[n].name, sizeof(scale.stopped[n].name), t->name);
		scale.stopped_count++;
	}
	if (scale.stopped_count == before)
		return 0;
	return drpc_journal_scale_put(g->replicas->config.journal, &scale);
}

/* It runs again, or is gone: it need not be started any more. */
static void journal_started(struct replicas_group *g, const char *id)
{
	struct drpc_journal_scale scale;

	record_of(g, &scale);
	for (size_t i = 0; i < scale.stopped_count; i++) {
		if (strcmp(scale.stopped[i].id, id) != 0)
			continue;
		scale.stopped[i] = scale.stopped[--scale.stopped_count];
		/* Where this fails it is started once more, which changes nothing. */
		if (drpc_journal_scale_put(g->replicas->config.journal, &scale) < 0)
			drpc_warn("replicas: %s: cannot note that %s runs again, ignoring",
				  g->deployment, id);
		return;
	}
}

/* --- readiness -------------------------------------------------------------------------------- */

static int listens(const struct replicas_group *g, const char *id, int32_t pid)
{
	const struct drpc_replicas_config *config = &g->replicas->config;

	return config->listens ? config->listens(config->arg, id, pid) : -EOPNOTSUPP;
}

/* 1 ready, 0 not yet, or a negative errno. */
static int readiness(const struct replicas_group *g, struct replicas_target *t,
		     const struct drpc_runtime_container *c, uint64_t now_ns)
{
	int open;

	if (!c->running)
		return -ESHUTDOWN;
	if (t->running_ns == 0)
		t->running_ns = now_ns;
	if (g->replicas->hurry)
		return 1;
	if (c->health == DRPC_HEALTH_UNHEALTHY)
		return -EIO;
	if (c->health != DRPC_HEALTH_NONE)
		return c->health == DRPC_HEALTH_HEALTHY;
	open = listens(g, t->id, c->pid);
	/* One whose source takes no connections either will not begin to. */
	if (open == 0 && (!g->source[0] || listens(g, g->source, 0) != 0))
		return 0;
	return open > 0 || now_ns - t->running_ns >= RUNS_NS;
}

/* The copy did not come up: it goes, and so does the goal. A container of the owner's stays. */
static void never_ready(struct replicas_group *g, size_t target, int err, const char *why)
{
	struct replicas_target *t = &g->targets[target];

	if (!t->clone) {
		drpc_warn("replicas: %s: %s was started but is not ready: %s, ignoring",
			  g->deployment, t->name, why);
		t->done = true;
		return;
	}
	replicas_note(g, err, why);
	g->step = STEP_REMOVE;
	replicas_phase(g, PHASE_ACT);
	act(g, target);
}

static bool all_done(const struct replicas_group *g)
{
	for (size_t i = 0; i < g->target_count; i++) {
		if (!g->targets[i].done)
			return false;
	}
	return true;
}

static void looked(void *arg, int err, const char *why,
		   const struct drpc_runtime_container *container)
{
	struct replicas_op op = *(struct replicas_op *)arg;
	struct replicas_group *g = op.group;
	struct replicas_target *t = &g->targets[op.target];
	uint64_t now_ns = drpc_now_ns();
	int r;

	free(arg);
	g->outstanding--;
	t->asked = false;
	t->next_ns = now_ns + LOOK_NS;
	if (err == -ECANCELED || g->restart)
		return;
	if (replicas_is_away(err)) {
		g->away = true;
		replicas_phase(g, PHASE_AWAY);
		return;
	}
	r = container ? readiness(g, t, container, now_ns) : err;
	if (r > 0)
		t->done = true;
	else if (r == -ESHUTDOWN)
		never_ready(g, op.target, r, "it ended as soon as it was started");
	else if (r < 0)
		never_ready(g, op.target, r, r == -EIO ? "its health check says unhealthy" : why);
	else if (now_ns - g->phase_ns >= g->replicas->config.ready_timeout_ns)
		never_ready(g, op.target, -ETIME, "it was not ready in time");
	if (g->outstanding > 0)
		return;
	if (g->phase == PHASE_READY && all_done(g))
		replicas_go_on(g);
	else if (g->phase == PHASE_ACT)
		step_ended(g);
}

static void ready_tick(struct replicas_group *g, uint64_t now_ns)
{
	struct drpc_runtime *rt = g->replicas->config.runtime;

	for (size_t i = 0; i < g->target_count && g->phase == PHASE_READY; i++) {
		struct replicas_target *t = &g->targets[i];
		struct replicas_op *op;

		if (t->done || t->asked || now_ns < t->next_ns)
			continue;
		op = malloc(sizeof(*op));
		if (!op)
			return;
		*op = (struct replicas_op){g, i};
		t->asked = true;
		g->outstanding++;
		if (drpc_runtime_inspect(rt, t->id, looked, op) < 0)
			looked(op, -EHOSTDOWN, rt->why, NULL);
	}
}

/* --- calls ------------------------------------------------------------------------------------ */

/* What the step makes of an answer. */
static int meaning(struct replicas_group *g, struct replicas_target *t, int err)
{
	switch (g->step) {
	case STEP_REMOVE:
	case STEP_STOP:
		/* It is gone, or somebody else is removing it. */
		return err == -ENOENT || err == -EEXIST ? 0 : err;
	case STEP_START:
		if (err == 0 || err == -ENOENT)
			journal_started(g, t->id);
		if (err == -ENOENT)
			t->done = true;
		return err == -ENOENT ? 0 : err;
	default:
		return err;
	}
}

/* All calls of the step have come back. */
static void step_ended(struct replicas_group *g)
{
	if (g->away) {
		replicas_phase(g, PHASE_AWAY);
		return;
	}
	if (!g->err && (g->step == STEP_START || g->step == STEP_CLONE) && !all_done(g)) {
		replicas_phase(g, PHASE_READY);
		return;
	}
	replicas_go_on(g);
}

static void acted(void *arg, int err, const char *why,
		  const struct drpc_runtime_container *container)
{
	struct replicas_op op = *(struct replicas_op *)arg;
	struct replicas_group *g = op.group;
	struct replicas_target *t = &g->targets[op.target];
	int r;

	free(arg);
	g->outstanding--;
	t->asked = false;
	if (err == -ECANCELED)
		return;
	r = meaning(g, t, err);
	if (replicas_is_away(r)) {
		g->away = true;
		drpc_strcpy(g->why, sizeof(g->why), why);
	} else if (r < 0) {
		replicas_note(g, r, why);
	} else if (g->step == STEP_CLONE) {
		drpc_strcpy(t->id, sizeof(t->id), container->id);
		drpc_strcpy(t->name, sizeof(t->name), container->name);
		drpc_info("replicas: %s: %s is made, a copy", g->deployment, t->name);
	} else if (r == 0 && g->step != STEP_START) {
		t->done = true;
		drpc_info("replicas: %s: %s is %s", g->deployment, t->name,
			  g->step == STEP_REMOVE ? "removed" : "stopped");
	}
	if (g->outstanding > 0)
		return;
	if (g->phase == PHASE_ACT ||
	    (g->phase == PHASE_DRAIN && (g->away || g->err || all_done(g))))
		step_ended(g);
}

static int call(struct replicas_group *g, struct replicas_target *t, struct replicas_op *op)
{
	const struct drpc_replicas_config *config = &g->replicas->config;
	struct drpc_clone_spec spec;

	switch (g->step) {
	case STEP_REMOVE:
		return drpc_runtime_remove(config->runtime, t->id, acted, op);
	case STEP_START:
		return drpc_runtime_start(config->runtime, t->id, acted, op);
	case STEP_STOP:
		return drpc_runtime_stop(config->runtime, t->id,
					 g->replicas->hurry ? HURRY_GRACE_SEC
							    : config->stop_grace_sec,
					 !t->clone, acted, op);
	case STEP_CLONE:
		spec = (struct drpc_clone_spec){
			.number = g->number, .limits = g->limits, .what = g->what};
		drpc_strcpy(spec.deployment, sizeof(spec.deployment), g->deployment);
		return drpc_runtime_clone(config->runtime, g->source, &spec, acted, op);
	default:
		return -EINVAL;
	}
}

/* Makes the step's call for one target; the answer comes to acted(), at the latest now. */
static int act(struct replicas_group *g, size_t target)
{
	struct replicas_op *op = malloc(sizeof(*op));
	int r;

	if (!op) {
		replicas_note(g, -ENOMEM, "no memory");
		return -ENOMEM;
	}
	*op = (struct replicas_op){g, target};
	g->targets[target].asked = true;
	g->outstanding++;
	r = call(g, &g->targets[target], op);
	if (r < 0)
		acted(op, r, r == -EHOSTDOWN ? g->replicas->config.runtime->why : strerror(-r),
		      NULL);
	return r;
}

/* --- draining --------------------------------------------------------------------------------- */

static int64_t inflight(const struct replicas_group *g, const char *id)
{
	const struct drpc_replicas_config *config = &g->replicas->config;

	return config->inflight ? config->inflight(config->arg, id) : -1;
}

static void drain_tick(struct replicas_group *g, uint64_t now_ns)
{
	bool over =
		g->replicas->hurry || now_ns - g->phase_ns >= g->replicas->config.drain_timeout_ns;

	for (size_t i = 0; i < g->target_count && g->phase == PHASE_DRAIN; i++) {
		struct replicas_target *t = &g->targets[i];
		int64_t n;

		if (t->asked || t->done || (g->outstanding >= STOPS_MAX && !g->replicas->hurry))
			continue;
		n = inflight(g, t->id);
		if (n > 0 && !over)
			continue;
		if (n > 0)
			drpc_warn("replicas: %s: %s is stopped with %lld requests in flight",
				  g->deployment, t->name, (long long)n);
		act(g, i);
	}
	/* Where there was nothing to stop. */
	if (g->phase == PHASE_DRAIN && g->outstanding == 0 && all_done(g))
		step_ended(g);
}

void replicas_step_tick(struct replicas_group *g, uint64_t now_ns)
{
	if (g->phase == PHASE_READY)
		ready_tick(g, now_ns);
	else if (g->phase == PHASE_DRAIN)
		drain_tick(g, now_ns);
	else if (g->phase == PHASE_ACT && g->outstanding == 0)
		step_ended(g); /* there was no memory for the call */
}

/* --- beginning -------------------------------------------------------------------------------- */

static int choose_targets(struct replicas_group *g, const struct replicas_plan *plan)
{
	size_t n = 0;

	free(g->targets);
	g->target_count = 0;
	g->targets = calloc(g->member_count + 1, sizeof(*g->targets));
	if (!g->targets)
		return -ENOMEM;
	for (size_t i = 0; i < g->member_count; i++) {
		const struct replicas_member *m = &g->members[i];

		if (!m->chosen)
			continue;
		drpc_strcpy(g->targets[n].id, sizeof(g->targets[n].id), m->id);
		drpc_strcpy(g->targets[n].name, sizeof(g->targets[n].name), m->name);
		g->targets[n++].clone = m->clone;
	}
	if (plan->step == STEP_CLONE) {
		g->targets[n].clone = true;
		g->number = plan->number;
		snprintf(g->targets[n++].name, sizeof(g->targets[0].name), "number %u",
			 plan->number);
		drpc_strcpy(g->source, sizeof(g->source), g->members[plan->source].id);
	} else {
		g->source[0] = '\0';
	}
	g->target_count = n;
	return 0;
}

void replicas_step_begin(struct replicas_group *g, const struct replicas_plan *plan)
{
	int r = choose_targets(g, plan);

	g->step = plan->step;
	if (r == 0 && plan->step == STEP_CLONE)
		r = journal_before_clone(g);
	else if (r == 0 && plan->step == STEP_STOP)
		r = journal_before_stop(g);
	if (r < 0) {
		replicas_note(g, r,
			      r == -E2BIG ? "too many containers would have to be remembered"
					  : "the journal cannot be written, so nothing is changed");
		replicas_go_on(g);
		return;
	}
	if (plan->step == STEP_STOP) {
		replicas_phase(g, PHASE_DRAIN);
		drain_tick(g, drpc_now_ns());
		return;
	}
	replicas_phase(g, PHASE_ACT);
	g->outstanding++; /* ours, so that none of them is the last before all have begun */
	for (size_t i = 0; i < g->target_count; i++)
		act(g, i);
	if (--g->outstanding == 0)
		step_ended(g);
}
