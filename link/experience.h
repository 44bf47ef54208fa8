/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Experience: what became of one decision for one deployment (s, a, r, s', ended or not), as agents
 * record it and the teacher learns from it. A plain struct, without pointers: it is copied.
 *
 *   struct drpc_experience x;
 *   drpc_experience_start(&x, "web", step, realtime_ns, features);
 *   drpc_experience_act(&x, DRPC_BY_STUDENT, version, raw, applied);
 *   …one step later…
 *   drpc_experience_finish(&x, duration_ns, features, &reward, coverage, histogram);
 *   drpc_link_publish(link, &x);
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "include/drpc/features.h"
#include "include/drpc/hist.h"

#define DRPC_LINK_NAME_BYTES 128 /* of a deployment or node, with its end */

/* A bucket of the summary is an octave: 8 of the histogram's, its first and last alone. */
#define DRPC_LINK_OCTAVES 28

enum drpc_experience_flag {
	DRPC_X_DONE = 1 << 0,	      /* ended for good */
	DRPC_X_TRUNCATED = 1 << 1,    /* the record ends here, the world does not */
	DRPC_X_STALE = 1 << 2,	      /* decided on windows that were too old */
	DRPC_X_LOW_COVERAGE = 1 << 3, /* … or that saw too little of the traffic */
	DRPC_X_GUARD = 1 << 4,	      /* what was applied is not what was planned */
	DRPC_X_EXPLORED = 1 << 5,     /* with exploration noise on purpose */
	DRPC_X_ALL = (1 << 6) - 1,
};

enum drpc_experience_planner {
	DRPC_BY_RULES,
	DRPC_BY_STUDENT,
	DRPC_BY_TEACHER,
	DRPC_BY_COUNT,
};

/* total = qos / (1 + cpu + memory), teacher/reward.h. */
struct drpc_experience_reward {
	float total, qos, cpu, memory;
};

/* The requests between the two states. All zero where there were none. */
struct drpc_experience_latency {
	uint64_t requests;
	uint64_t p50_ns, p99_ns, max_ns;
	uint64_t octaves[DRPC_LINK_OCTAVES];
};

struct drpc_experience {
	char deployment[DRPC_LINK_NAME_BYTES];
	uint64_t realtime_ns;	 /* of the decision */
	uint64_t step;		 /* the deployment's decisions, counted from 1 */
	uint64_t duration_ns;	 /* from the decision to `next`; whole microseconds are kept */
	uint64_t policy_version; /* that decided; 0: none, rules */
	enum drpc_experience_planner planner;
	uint32_t flags;
	float state[DRPC_F_COUNT];
	float action[DRPC_OUT_COUNT];  /* that was applied */
	float planned[DRPC_OUT_COUNT]; /* what the planner said; = action without DRPC_X_GUARD */
	float next[DRPC_F_COUNT];
	struct drpc_experience_reward reward;
	float coverage; /* 0..1 */
	struct drpc_experience_latency latency;
};

/* --- building ------------------------------------------------------------------------------- */

/* Everything else is zero. A name that is too long is cut; control characters are replaced. */
void drpc_experience_start(struct drpc_experience *x, const char *deployment, uint64_t step,
			   uint64_t realtime_ns, const float features[DRPC_F_COUNT]);

/*
 * Who decided what, and what was applied of it. Outputs within the dead band are the same as 0; where
 * the two differ otherwise, DRPC_X_GUARD is set. `applied` NULL: all of it, as planned.
 */
void drpc_experience_act(struct drpc_experience *x, enum drpc_experience_planner planner,
			 uint64_t policy_version, const float planned[DRPC_OUT_COUNT],
			 const float applied[DRPC_OUT_COUNT]);

/*
 * The output that moves a figure so: 0 where it did not move, else (after - before) / (before × step)
 * clipped to -1..1. A move smaller than any output makes (the guard's) counts as the smallest one.
 */
float drpc_experience_moved(double before, double after, double step);

/* `hist` may be NULL: no requests. */
void drpc_experience_finish(struct drpc_experience *x, uint64_t duration_ns,
			    const float next[DRPC_F_COUNT],
			    const struct drpc_experience_reward *reward, float coverage,
			    const uint32_t hist[DRPC_HIST_BUCKETS]);

void drpc_experience_latency_of(const uint32_t hist[DRPC_HIST_BUCKETS],
				struct drpc_experience_latency *ret);

/* --- judging -------------------------------------------------------------------------------- */

/* Why something that came was not accepted. Names stand in metrics and logs. */
enum drpc_reject {
	DRPC_REJECT_NONE,
	/* A batch, whole. */
	DRPC_REJECT_FORMAT,    /* cut, garbled, not ours */
	DRPC_REJECT_VERSION,   /* a format this program does not read */
	DRPC_REJECT_SIZE,      /* more records or bytes than a batch has */
	DRPC_REJECT_NODE,      /* no name of a node */
	DRPC_REJECT_SUBJECT,   /* came by another node's subject */
	DRPC_REJECT_SEQUENCE,  /* numbers that no sender gives */
	DRPC_REJECT_DUPLICATE, /* accepted before */
	DRPC_REJECT_EPOCH,     /* from before the node's last two starts */
	DRPC_REJECT_LATE,      /* so far behind that it cannot be told from a duplicate */
	DRPC_REJECT_NODES,     /* more nodes than there is room for */
	/* One record; the rest of its batch counts. */
	DRPC_REJECT_NAME,
	DRPC_REJECT_TIME,
	DRPC_REJECT_PLANNER,
	DRPC_REJECT_FLAGS,
	DRPC_REJECT_STATE,
	DRPC_REJECT_ACTION,
	DRPC_REJECT_REWARD,
	DRPC_REJECT_COVERAGE,
	DRPC_REJECT_LATENCY,
	DRPC_REJECT_COUNT,
};

const char *drpc_reject_name(enum drpc_reject reject);

/* Whether each field is possible; the first that is not. */
enum drpc_reject drpc_experience_check(const struct drpc_experience *x);

/* Whether a text can be a node's or a deployment's name: 1..127 bytes that may be printed. */
bool drpc_link_name_ok(const char *name);

/*
 * A name as one token of a subject or a key: letters, digits, '-' and '_' as they are, other bytes as
 * =HH. Two names never give one token. `ret` takes DRPC_LINK_TOKEN_BYTES.
 */
#define DRPC_LINK_TOKEN_BYTES (3 * DRPC_LINK_NAME_BYTES)
void drpc_link_token(const char *name, char *ret);
