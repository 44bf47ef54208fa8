// SPDX-License-Identifier: Apache-2.0
#include "agent/execute/replicas_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"

/* Originals before copies, then by number, then by age: the last is the first to go. */
static int compare(const void *a, const void *b)
{
	const struct replicas_member *x = a, *y = b;

	if (x->clone != y->clone)
		return x->clone ? 1 : -1;
	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	if (x->created_sec != y->created_sec)
		return x->created_sec < y->created_sec ? -1 : 1;
	return strcmp(x->name, y->name);
}

static bool is_dead(const char *state)
{
	return strcmp(state, "exited") == 0 || strcmp(state, "created") == 0 ||
	       strcmp(state, "dead") == 0 || strcmp(state, "stopped") == 0 ||
	       strcmp(state, "configured") == 0;
}

int replicas_members(const struct drpc_runtime_container *containers, size_t n,
		     const char *deployment, struct replicas_member **ret, size_t *ret_count)
{
	struct replicas_member *members = calloc(n + 1, sizeof(*members));
	size_t count = 0;

	if (!members)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const struct drpc_runtime_container *c = &containers[i];
		struct replicas_member *m = &members[count];
		char name[DRPC_NAME_MAX];

		drpc_runtime_container_deployment(c, name);
		if (strcmp(name, deployment) != 0 && strcmp(c->clone_of, deployment) != 0)
			continue;
		*m = (struct replicas_member){
			.clone = c->clone_of[0] != '\0',
			.running = c->running,
			.dead = is_dead(c->state),
			.number = c->number,
			.created_sec = c->created_sec,
		};
		drpc_strcpy(m->id, sizeof(m->id), c->id);
		drpc_strcpy(m->name, sizeof(m->name), c->name);
		count++;
	}
	qsort(members, count, sizeof(*members), compare);
	*ret = members;
	*ret_count = count;
	return 0;
}

bool replicas_stopped(const struct drpc_journal_scale *scale, const char *id)
{
	for (size_t i = 0; scale && i < scale->stopped_count; i++) {
		if (strcmp(scale->stopped[i].id, id) == 0)
			return true;
	}
	return false;
}

/* Chooses up to `most` members that the test takes, from the first or from the last. */
static size_t choose(struct replicas_member *members, size_t n, size_t most, bool from_last,
		     bool (*takes)(const struct replicas_member *m,
				   const struct drpc_journal_scale *scale),
		     const struct drpc_journal_scale *scale)
{
	size_t chosen = 0;

	for (size_t i = 0; i < n && chosen < most; i++) {
		struct replicas_member *m = &members[from_last ? n - 1 - i : i];

		if (takes(m, scale)) {
			m->chosen = true;
			chosen++;
		}
	}
	return chosen;
}

static bool dead_copy(const struct replicas_member *m, const struct drpc_journal_scale *scale)
{
	(void)scale;
	return m->clone && m->dead;
}

static bool may_start(const struct replicas_member *m, const struct drpc_journal_scale *scale)
{
	return !m->clone && m->dead && replicas_stopped(scale, m->id);
}

static bool runs(const struct replicas_member *m, const struct drpc_journal_scale *scale)
{
	(void)scale;
	return m->running;
}

/* Also one that the engine restarts over and over. */
static bool copy_that_lives(const struct replicas_member *m, const struct drpc_journal_scale *scale)
{
	(void)scale;
	return m->clone && !m->dead;
}

/* The copy's number comes after all others; its source is the first that runs. */
static struct replicas_plan clone_plan(const struct replicas_member *members, size_t n)
{
	struct replicas_plan plan = {.step = STEP_STUCK, .source = n, .number = 1};

	for (size_t i = 0; i < n; i++) {
		plan.number = DRPC_MAX(plan.number, members[i].number + 1);
		if (members[i].running && plan.step == STEP_STUCK) {
			plan.step = STEP_CLONE;
			plan.source = i;
		}
	}
	/* Names without a number count as the first. */
	plan.number = DRPC_MAX(plan.number, 2U);
	return plan;
}

struct replicas_plan replicas_plan(struct replicas_member *members, size_t n,
				   enum replicas_goal goal, uint32_t count,
				   const struct drpc_journal_scale *scale)
{
	const struct replicas_plan none = {.step = STEP_NONE};
	size_t running = 0;

	for (size_t i = 0; i < n; i++) {
		members[i].chosen = false;
		running += members[i].running;
	}
	/* What comes up comes up first, but for the dead, which hold names and nothing else. */
	if (choose(members, n, n, false, dead_copy, NULL) > 0)
		return (struct replicas_plan){.step = STEP_REMOVE};
	if (goal == GOAL_SWEEP)
		return none;
	if (goal == GOAL_RESTORE) {
		if (choose(members, n, n, false, may_start, scale) > 0)
			return (struct replicas_plan){.step = STEP_START};
		if (choose(members, n, n, false, copy_that_lives, NULL) > 0)
			return (struct replicas_plan){.step = STEP_STOP};
		return none;
	}
	if (running < count) {
		if (choose(members, n, count - running, false, may_start, scale) > 0)
			return (struct replicas_plan){.step = STEP_START};
		return clone_plan(members, n);
	}
	if (running > count) {
		choose(members, n, running - count, true, runs, NULL);
		return (struct replicas_plan){.step = STEP_STOP};
	}
	return none;
}
