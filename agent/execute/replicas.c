// SPDX-License-Identifier: Apache-2.0
#include "agent/execute/replicas.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/execute/replicas_internal.h"
#include "lib/log.h"
#include "lib/util.h"

/* Deployments that are changed at once: the worker's other places stay free. */
#define AT_WORK_MAX  4
/* Copies that a goal may take beyond those it needs: some end as soon as they are ready. */
#define SPARE_CLONES 2
/* Beyond all other waiting: for an engine that is away. */
#define AWAY_NS	     (60 * DRPC_NSEC_PER_SEC)
#define SWEEP_NS     (2 * DRPC_NSEC_PER_SEC)
#define PUMP_MS	     10

/* --- groups ----------------------------------------------------------------------------------- */

static struct replicas_group *group_find(const struct drpc_replicas *r, const char *deployment)
{
	struct replicas_group *g = r->groups;

	while (g && strcmp(g->deployment, deployment) != 0)
		g = g->next;
	return g;
}

static struct replicas_group *group_get(struct drpc_replicas *r, const char *deployment)
{
	struct replicas_group *g = group_find(r, deployment), **link = &r->groups;

	if (g)
		return g;
	g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	g->replicas = r;
	g->reported = true;
	drpc_strcpy(g->deployment, sizeof(g->deployment), deployment);
	while (*link)
		link = &(*link)->next;
	*link = g;
	return g;
}

static void group_free(struct replicas_group *g)
{
	free(g->targets);
	free(g->members);
	free(g);
}

static bool group_idle(const struct replicas_group *g)
{
	return g->phase == PHASE_IDLE && !g->restart && g->retry_ns == 0;
}

int drpc_replicas_new(const struct drpc_replicas_config *config, struct drpc_replicas **ret)
{
	struct drpc_replicas *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->config = *config;
	/* What an earlier run left, so that it is shown and can be put back. */
	for (size_t i = 0; i < drpc_journal_scale_count(config->journal); i++) {
		if (!group_get(r, drpc_journal_scale_at(config->journal, i)->deployment)) {
			drpc_replicas_free(&r);
			return -ENOMEM;
		}
	}
	*ret = r;
	return 0;
}

void drpc_replicas_free(struct drpc_replicas **replicas)
{
	struct drpc_replicas *r = *replicas;

	while (r && r->groups) {
		struct replicas_group *g = r->groups;

		assert(g->outstanding == 0);
		r->groups = g->next;
		group_free(g);
	}
	free(r);
	*replicas = NULL;
}

/* --- rounds ----------------------------------------------------------------------------------- */

void replicas_phase(struct replicas_group *g, enum replicas_phase phase)
{
	g->phase = phase;
	g->phase_ns = drpc_now_ns();
}

void replicas_note(struct replicas_group *g, int err, const char *why)
{
	if (g->err == 0) {
		g->err = err;
		drpc_strcpy(g->why, sizeof(g->why), why);
	}
}

static void report(struct replicas_group *g, int err, const char *why)
{
	const struct drpc_replicas_config *config = &g->replicas->config;

	if (g->reported)
		return;
	g->reported = true;
	if (config->on_done)
		config->on_done(config->arg, g->deployment, err, why);
}

/* Nothing is left that differs from what was found. */
static void close_record(struct replicas_group *g)
{
	const struct drpc_journal_scale *scale = replicas_scale_of(g);

	if (!scale || g->clones > 0 || scale->stopped_count > 0)
		return;
	if (drpc_journal_scale_close(g->replicas->config.journal, g->deployment, "restored") < 0)
		drpc_warn("replicas: %s is as it was found, but its record stays open, ignoring",
			  g->deployment);
}

static void goal_begin(struct replicas_group *g, enum replicas_goal goal)
{
	g->goal = goal;
	g->err = 0;
	g->why[0] = '\0';
	g->clones_made = 0;
	g->retry_ns = 0;
	g->begun_ns = drpc_now_ns();
}

static void finish(struct replicas_group *g, int err, const char *why)
{
	bool again = err < 0 && g->goal == GOAL_RESTORE;

	replicas_phase(g, PHASE_IDLE);
	g->restart = false;
	g->retry_ns = again ? drpc_now_ns() + REPLICAS_RETRY_NS : 0;
	if (again)
		drpc_warn("replicas: %s: not yet as it was found, trying again: %s", g->deployment,
			  why);
	else if (err < 0 && g->goal == GOAL_COUNT)
		drpc_warn("replicas: %s: %s (%s)", g->deployment, why, strerror(-err));
	if (err == 0)
		close_record(g);
	if (g->goal != GOAL_COUNT)
		return;
	report(g, err, why);
	if (err == 0 || !replicas_scale_of(g))
		return;
	/* What is left of it, if anything, goes in a while; so does the record where nothing is. */
	goal_begin(g, GOAL_SWEEP);
	g->retry_ns = drpc_now_ns() + SWEEP_NS;
}

static size_t at_work(const struct drpc_replicas *r)
{
	size_t n = 0;

	for (const struct replicas_group *g = r->groups; g; g = g->next)
		n += g->phase == PHASE_ACT || (g->phase == PHASE_DRAIN && g->outstanding > 0);
	return n;
}

static void count_members(struct replicas_group *g)
{
	const struct drpc_journal_scale *scale = replicas_scale_of(g);

	g->clones = 0;
	for (size_t i = 0; i < g->member_count; i++)
		g->clones += g->members[i].clone;
	g->stopped = scale ? (uint32_t)scale->stopped_count : 0;
}

/* What was stopped and is gone meanwhile need not be started any more. */
static void forget_gone(struct replicas_group *g)
{
	const struct drpc_journal_scale *scale = replicas_scale_of(g);
	struct drpc_journal_scale left;

	if (!scale)
		return;
	left = *scale;
	left.stopped_count = 0;
	for (size_t i = 0; i < scale->stopped_count; i++) {
		bool there = false;

		/* One that somebody started again is theirs again. */
		for (size_t k = 0; k < g->member_count; k++)
			there |= strcmp(g->members[k].id, scale->stopped[i].id) == 0 &&
				 !g->members[k].running;
		if (there)
			left.stopped[left.stopped_count++] = scale->stopped[i];
	}
	if (left.stopped_count < scale->stopped_count)
		drpc_journal_scale_put(g->replicas->config.journal, &left);
}

/* The engine went away before a copy that did not come up could be removed. */
static struct replicas_plan rest_of_failure(struct replicas_group *g)
{
	struct replicas_plan plan = {.step = STEP_NONE};

	for (size_t i = 0; i < g->member_count; i++) {
		struct replicas_member *m = &g->members[i];

		m->chosen = false;
		for (size_t t = 0; t < g->target_count && m->clone; t++)
			m->chosen |= g->step == STEP_REMOVE && !g->targets[t].done &&
				     strcmp(g->targets[t].id, m->id) == 0;
		if (m->chosen)
			plan.step = STEP_REMOVE;
	}
	return plan;
}

static void round_begin(struct replicas_group *g)
{
	struct replicas_plan plan;

	forget_gone(g);
	count_members(g);
	if (g->err) {
		plan = rest_of_failure(g);
		if (plan.step == STEP_NONE)
			finish(g, g->err, g->why);
		else
			replicas_step_begin(g, &plan);
		return;
	}
	plan = replicas_plan(g->members, g->member_count, g->goal, g->count, replicas_scale_of(g));
	switch (plan.step) {
	case STEP_NONE:
		finish(g, 0, "");
		return;
	case STEP_STUCK:
		finish(g, -ENOENT, "no container of it runs that could be copied");
		return;
	case STEP_CLONE:
		if (g->clones_made++ >= g->count + SPARE_CLONES) {
			finish(g, -EIO, "its copies end as soon as they are made");
			return;
		}
		break;
	default:
		break;
	}
	if (at_work(g->replicas) >= AT_WORK_MAX) {
		replicas_phase(g, PHASE_QUEUED);
		return;
	}
	replicas_step_begin(g, &plan);
}

static void listed(void *arg, int err, const char *why,
		   const struct drpc_runtime_container *containers, size_t n)
{
	struct replicas_group *g = arg;

	g->outstanding--;
	if (err == -ECANCELED)
		return;
	if (err < 0) {
		drpc_strcpy(g->why, sizeof(g->why), why);
		if (replicas_is_away(err))
			replicas_phase(g, PHASE_AWAY);
		else
			finish(g, err, why);
		return;
	}
	free(g->members);
	g->members = NULL;
	g->member_count = 0;
	if (replicas_members(containers, n, g->deployment, &g->members, &g->member_count) < 0)
		finish(g, -ENOMEM, "no memory");
	else
		round_begin(g);
}

static void list_begin(struct replicas_group *g)
{
	struct drpc_runtime *rt = g->replicas->config.runtime;
	int r;

	/* What failed before the goal changed does not count for the new one. */
	if (g->restart)
		g->err = 0;
	g->restart = false;
	g->away = false;
	replicas_phase(g, PHASE_LIST);
	g->outstanding++;
	r = drpc_runtime_list_all(rt, listed, g);
	if (r < 0)
		listed(g, r, r == -EHOSTDOWN ? rt->why : strerror(-r), NULL, 0);
}

void replicas_go_on(struct replicas_group *g)
{
	if (g->err && !g->restart)
		finish(g, g->err, g->why);
	else
		list_begin(g);
}

/* --- goals ------------------------------------------------------------------------------------ */

int drpc_replicas_scale(struct drpc_replicas *r, const char *deployment, uint32_t count,
			const struct drpc_limits *limits, uint32_t what)
{
	struct replicas_group *g = group_get(r, deployment);

	if (!g)
		return -ENOMEM;
	/* Cleaning up can wait, unless it has begun. */
	if (!group_idle(g) && !(g->goal == GOAL_SWEEP && g->phase == PHASE_IDLE))
		return -EBUSY;
	if (r->config.runtime->state != DRPC_RUNTIME_READY)
		return -EHOSTDOWN;
	goal_begin(g, GOAL_COUNT);
	g->count = count;
	g->limits = *limits;
	g->what = what;
	g->reported = false;
	/* Not from within: the owner hears of the end later, never before this returns. */
	replicas_phase(g, PHASE_QUEUED);
	return 0;
}

static void restore_begin(struct replicas_group *g)
{
	report(g, -ECANCELED, "put back by the operator");
	goal_begin(g, GOAL_RESTORE);
	g->restart = true;
}

unsigned int drpc_replicas_restore(struct drpc_replicas *r, const char *deployment)
{
	unsigned int n = 0;

	for (struct replicas_group *g = r->groups; g; g = g->next) {
		if (deployment && strcmp(g->deployment, deployment) != 0)
			continue;
		if (!replicas_scale_of(g) && group_idle(g))
			continue;
		restore_begin(g);
		n++;
	}
	return n;
}

void drpc_replicas_event(struct drpc_replicas *r, const char *id)
{
	for (struct replicas_group *g = r->groups; g; g = g->next) {
		bool ours = id == NULL;

		for (size_t i = 0; i < g->member_count && !ours; i++)
			ours = strcmp(g->members[i].id, id) == 0;
		if (!ours || !group_idle(g) || !replicas_scale_of(g))
			continue;
		/* The engine may start it again by itself. */
		goal_begin(g, GOAL_SWEEP);
		g->retry_ns = drpc_now_ns() + SWEEP_NS;
	}
}

/* --- time ------------------------------------------------------------------------------------- */

static void away_tick(struct replicas_group *g, uint64_t now_ns)
{
	const struct drpc_replicas_config *config = &g->replicas->config;
	uint64_t patience_ns = config->ready_timeout_ns + config->drain_timeout_ns + AWAY_NS;

	if (config->runtime->state == DRPC_RUNTIME_READY &&
	    now_ns - g->phase_ns >= DRPC_NSEC_PER_SEC / 2)
		list_begin(g);
	else if (g->goal != GOAL_RESTORE && now_ns - g->begun_ns >= patience_ns)
		finish(g, -EHOSTDOWN, config->runtime->why);
}

static void group_tick(struct replicas_group *g, uint64_t now_ns)
{
	bool ready = g->replicas->config.runtime->state == DRPC_RUNTIME_READY;

	if (g->outstanding == 0 && g->restart && ready) {
		list_begin(g);
		return;
	}
	switch (g->phase) {
	case PHASE_IDLE:
		if (g->retry_ns && now_ns >= g->retry_ns && ready) {
			goal_begin(g, g->goal);
			list_begin(g);
		}
		return;
	case PHASE_QUEUED:
		if (at_work(g->replicas) < AT_WORK_MAX)
			list_begin(g);
		return;
	case PHASE_AWAY:
		if (g->outstanding == 0)
			away_tick(g, now_ns);
		return;
	default:
		replicas_step_tick(g, now_ns);
	}
}

void drpc_replicas_tick(struct drpc_replicas *r, uint64_t now_ns)
{
	struct replicas_group **link = &r->groups, *g;

	for (g = r->groups; g; g = g->next)
		group_tick(g, now_ns);
	while ((g = *link)) {
		if (group_idle(g) && g->outstanding == 0 && !replicas_scale_of(g)) {
			*link = g->next;
			group_free(g);
		} else {
			link = &g->next;
		}
	}
}

/* --- everything back -------------------------------------------------------------------------- */

int drpc_replicas_restore_all(struct drpc_replicas *r, int timeout_ms,
			      struct drpc_restore_report *ret)
{
	uint64_t end_ns = drpc_now_ns() + (uint64_t)timeout_ms * DRPC_NSEC_PER_MSEC;
	struct drpc_restore_report report = {0};
	unsigned int begun;
	bool never = false;

	r->hurry = true;
	begun = drpc_replicas_restore(r, NULL);
	if (begun > 0)
		drpc_runtime_wait_ready(r->config.runtime, timeout_ms);
	while (r->groups && drpc_now_ns() < end_ns) {
		drpc_replicas_tick(r, drpc_now_ns());
		if (r->groups)
			drpc_runtime_wait(r->config.runtime, &never, PUMP_MS);
	}
	for (const struct replicas_group *g = r->groups; g; g = g->next) {
		report.waiting++;
		if (report.why[0] == '\0')
			drpc_strcpy(report.why, sizeof(report.why),
				    g->why[0] ? g->why : "the engine did not answer in time");
	}
	r->hurry = false;
	report.restored = begun - DRPC_MIN(begun, report.waiting);
	if (ret)
		*ret = report;
	return report.waiting ? -EAGAIN : 0;
}

/* --- telling ---------------------------------------------------------------------------------- */

size_t drpc_replicas_count(const struct drpc_replicas *r)
{
	size_t n = 0;

	for (const struct replicas_group *g = r->groups; g; g = g->next)
		n += !group_idle(g) || replicas_scale_of(g);
	return n;
}

static void say(const struct replicas_group *g, char *text, size_t size)
{
	const char *name = g->target_count > 0 ? g->targets[0].name : "";

	switch (g->phase) {
	case PHASE_IDLE:
		drpc_strcpy(text, size, "");
		return;
	case PHASE_QUEUED:
	case PHASE_LIST:
		drpc_strcpy(text, size, "looking");
		return;
	case PHASE_ACT:
		snprintf(text, size, "%s %s",
			 g->step == STEP_REMOVE	 ? "removing"
			 : g->step == STEP_CLONE ? "making"
						 : "starting",
			 name);
		return;
	case PHASE_READY:
		snprintf(text, size, "%s is coming up", name);
		return;
	case PHASE_DRAIN:
		snprintf(text, size, "draining %s", name);
		return;
	case PHASE_AWAY:
		snprintf(text, size, "waiting for the engine: %.120s",
			 g->replicas->config.runtime->why);
		return;
	}
}

bool drpc_replicas_status(const struct drpc_replicas *r, const char *deployment,
			  struct drpc_replicas_status *ret)
{
	const struct replicas_group *g = group_find(r, deployment);
	const struct drpc_journal_scale *scale = g ? replicas_scale_of(g) : NULL;

	if (!g || (group_idle(g) && !scale))
		return false;
	*ret = (struct drpc_replicas_status){
		.busy = g->goal != GOAL_SWEEP && !group_idle(g),
		.clones = g->clones,
		.stopped = scale ? (uint32_t)scale->stopped_count : 0,
	};
	say(g, ret->doing, sizeof(ret->doing));
	return true;
}
