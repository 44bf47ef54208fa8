/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by replicas.c (goals, rounds) and replicas_step.c (the steps of a round). */
#pragma once

#include "agent/execute/replicas.h"
#include "agent/execute/replicas_plan.h"

#define REPLICAS_RETRY_NS (5 * DRPC_NSEC_PER_SEC)

enum replicas_phase {
	PHASE_IDLE,
	PHASE_QUEUED, /* others are at work */
	PHASE_LIST,   /* the engine lists what there is */
	PHASE_ACT,    /* calls are under way */
	PHASE_READY,  /* new replicas come up */
	PHASE_DRAIN,  /* requests end, then replicas are stopped */
	PHASE_AWAY,   /* the engine does not answer */
};

/* A container that the step is about. */
struct replicas_target {
	char id[DRPC_ID_MAX];
	char name[DRPC_NAME_MAX];
	bool clone;
	bool asked; /* a call is under way */
	bool done;
	uint64_t next_ns;    /* look again then */
	uint64_t running_ns; /* seen running since; 0: not yet */
};

struct replicas_group {
	struct replicas_group *next;
	struct drpc_replicas *replicas;
	char deployment[DRPC_NAME_MAX];
	enum replicas_goal goal;
	enum replicas_phase phase;
	uint32_t count, clones_made;
	uint32_t number; /* of the copy that is being made */
	struct drpc_limits limits;
	uint32_t what;
	uint64_t begun_ns, phase_ns;
	bool reported;	   /* the owner of the COUNT goal has heard of its end */
	bool restart;	   /* the goal has changed: list again as soon as nothing is under way */
	uint64_t retry_ns; /* IDLE: begin again then; 0: never */

	enum replicas_step step;
	struct replicas_target *targets;
	size_t target_count;
	unsigned int outstanding; /* calls */
	bool away;		  /* one of them found the engine away */
	int err;		  /* the first failure of this goal */
	char why[192];

	struct replicas_member *members; /* as last listed */
	size_t member_count;
	char source[DRPC_ID_MAX]; /* of the copy that is being made */
	uint32_t clones, stopped;
};

struct drpc_replicas {
	struct drpc_replicas_config config;
	struct replicas_group *groups;
	bool hurry; /* the end: no waiting for requests or readiness */
};

/* A call's argument: what it was about. */
struct replicas_op {
	struct replicas_group *group;
	size_t target;
};

static inline const struct drpc_journal_scale *replicas_scale_of(const struct replicas_group *g)
{
	return drpc_journal_scale_find(g->replicas->config.journal, g->deployment);
}

static inline bool replicas_is_away(int err)
{
	return err == -EHOSTDOWN || err == -ECONNREFUSED || err == -ETIMEDOUT || err == -EPROTO;
}

void replicas_note(struct replicas_group *g, int err, const char *why);
void replicas_phase(struct replicas_group *g, enum replicas_phase phase);

/* Begins the next round, or ends the goal where it has failed. */
void replicas_go_on(struct replicas_group *g);

/* Carries the plan's step out; the journal comes first. */
void replicas_step_begin(struct replicas_group *g, const struct replicas_plan *plan);

/* What there is to look at in READY and DRAIN. */
void replicas_step_tick(struct replicas_group *g, uint64_t now_ns);
