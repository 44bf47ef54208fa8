/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guard stands between every decision and every write. It judges a tick's requests of all
 * deployments together, because they share a node, and says for each what may be written and why.
 * Judging changes nothing: only what was really written is told to it, by drpc_guard_commit().
 *
 * Whatever the input, a limit that the verdict changes lies inside the policy, burst <= quota,
 * memory.high <= memory.max, and memory.max is never lowered under use + margin. docs/planners.md
 * explains the rules.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/limits.h"
#include "agent/plan/planner.h"
#include "agent/plan/proposal.h"
#include "agent/policy.h"

#define DRPC_REASON_MAX	     240
#define DRPC_FLAP_BUDGET_MAX 16

struct drpc_guard_params {
	uint64_t interval_ns;	     /* the control interval */
	uint32_t stale_intervals;    /* a window older than this many intervals freezes */
	double min_coverage;	     /* under it nothing is lowered */
	uint32_t actions_per_minute; /* per deployment; emergency raises count but always pass */
	uint32_t flap_budget;	     /* changes of direction per resource in flap_window_ns */
	uint64_t flap_window_ns;
	uint64_t cut_interval_ns;    /* between two cuts of one resource */
	uint64_t cut_after_raise_ns; /* from a raise to the next cut of that resource */
	uint64_t cut_settle_ns;	     /* from any change to the next cut: its effect is seen first */
	uint32_t cut_requests;	     /* behind a p99 that is not far under the objective */
	uint64_t scale_interval_ns;  /* between two changes of the replicas */
	uint64_t scale_in_cooldown_ns;	   /* from a scale-up to the next scale-in */
	uint64_t rollback_window_ns;	   /* after a cut of CPU or memory */
	uint64_t scale_rollback_window_ns; /* after a scale-in */
	double rollback_throttled;	   /* jumps that undo a cut, absolute */
	double rollback_cpu_pressure;
	double rollback_mem_pressure;
	double emergency_throttled; /* from here on a raise is an emergency */
	double emergency_mem_pressure;
	double cpu_margin;    /* a cut leaves usage × (1 + this) */
	double cpu_burst;     /* burst as a share of the quota; 0: left alone, but <= quota */
	double memory_margin; /* over use for memory.max, over working set for memory.high */
	uint64_t memory_margin_bytes; /* and at least so much over use */
	double memory_high_gap;	      /* memory.high is this share under the figure */
	double brownout_busy;	      /* the node is short from this share of its CPU on */
	uint64_t brownout_after_ns;   /* short for so long: something optional leaves */
	uint64_t brownout_calm_ns;    /* room for so long: it comes back */
};

void drpc_guard_params_defaults(struct drpc_guard_params *params);

/* The node. Zero capacity counts as unknown: nothing is shared out then. */
struct drpc_guard_node {
	uint64_t cpu_mcpu, memory_bytes;	     /* capacity, without what is kept free */
	uint64_t other_cpu_mcpu, other_memory_bytes; /* used outside the requests */
};

enum drpc_guard_axis {
	DRPC_AXIS_CPU,
	DRPC_AXIS_MEMORY,
	DRPC_AXIS_REPLICAS,
	DRPC_AXIS_COUNT,
};

struct drpc_guard_axis_state {
	uint64_t raised_ns, cut_ns;		  /* last moves; 0: never */
	int direction;				  /* of the last one: 1 raise, -1 cut, 0 none */
	uint32_t turned;			  /* changes of direction so far */
	uint64_t turned_ns[DRPC_FLAP_BUDGET_MAX]; /* the last of them, a ring */
	uint64_t undo_until_ns; /* the last cut may still be undone; 0: nothing to undo */
	uint64_t undo;		/* to this figure */
	float undo_throttled, undo_pressure; /* as they were before the cut */
};

/* What the guard remembers of one deployment. All zero is the state of a new one. */
struct drpc_guard_state {
	struct drpc_guard_axis_state axis[DRPC_AXIS_COUNT];
	double spent; /* actions, draining at actions_per_minute */
	uint64_t spent_ns;
};

/* One deployment at one tick. Pointers are borrowed. */
struct drpc_guard_request {
	const struct drpc_policy *policy;
	const struct drpc_guard_state *state;
	const struct drpc_observation *observation;
	const float *raw; /* the planner's outputs; refused where NULL or not finite */
	const struct drpc_proposal *proposal; /* NULL: what drpc_proposal_make() makes of raw */
	bool paused;
	uint64_t window_end_ns;		/* of the newest window; 0: there is none */
	struct drpc_limits limits;	/* as they stand, of a replica */
	uint32_t replicas;		/* of the deployment */
	uint32_t local_replicas;	/* of them on this node */
	uint64_t cpu_usage_mcpu;	/* of the busiest replica */
	uint64_t cpu_peak_mcpu;		/* of its busiest window lately; less than usage: unknown */
	uint64_t mem_use_bytes;		/* memory.current of the fullest replica; 0 unknown */
	uint64_t mem_working_set_bytes; /* of the fullest replica */
	/* Why the replicas cannot change now, in words; NULL: they can. */
	const char *replicas_blocked;
	bool scaling; /* a change of the replicas is under way: cuts wait for its end */
	/*
	 * The node is overloaded, and the application can do without this one for a while
	 * (plan/brownout.h): it goes to `brownout_replicas` at once, or comes back to as many.
	 */
	bool brownout;
	uint32_t brownout_replicas;
};

enum drpc_verdict_kind {
	DRPC_VERDICT_HOLD,	/* the planner asks for nothing */
	DRPC_VERDICT_ALLOW,	/* as proposed */
	DRPC_VERDICT_CLIP,	/* less than proposed */
	DRPC_VERDICT_REFUSE,	/* nothing of what was proposed */
	DRPC_VERDICT_FREEZE,	/* the input cannot be trusted */
	DRPC_VERDICT_ROLLBACK,	/* the last cut is undone */
	DRPC_VERDICT_RECOMMEND, /* allowed, but the mode is recommend: not written */
	DRPC_VERDICT_PAUSED,
	DRPC_VERDICT_OFF,
};

struct drpc_verdict {
	enum drpc_verdict_kind kind;
	bool write; /* limits or replicas differ from what stands, and may be written */
	bool emergency;
	struct drpc_limits limits; /* target of every replica; what stands where nothing changes */
	uint32_t replicas;
	struct drpc_proposal standing, target;
	char reason[DRPC_REASON_MAX];
};

/*
 * Judges all requests of a tick. `now_ns` is CLOCK_MONOTONIC. Does not allocate. Requests that are
 * short of capacity are served in this order: act before recommend, emergencies and missed
 * objectives before the rest.
 */
void drpc_guard_judge(const struct drpc_guard_params *params, const struct drpc_guard_node *node,
		      const struct drpc_guard_request *requests, size_t count, uint64_t now_ns,
		      struct drpc_verdict *verdicts);

/* Told after a verdict was written and verified. */
void drpc_guard_commit(const struct drpc_guard_params *params, struct drpc_guard_state *state,
		       const struct drpc_observation *observation,
		       const struct drpc_verdict *verdict, uint64_t now_ns);

const char *drpc_verdict_name(enum drpc_verdict_kind kind);
