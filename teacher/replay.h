/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The replay buffer: transitions (state, action, reward, next state, done) in a memory-mapped ring.
 *
 * Each record carries a CRC over itself, so that a process that dies in the middle of a write, or a
 * machine that does, costs the torn records alone: opening drops them and says how many. The file
 * names the roster it belongs to and its shape; another roster's file is refused. One process at a
 * time (the file is locked).
 *
 *   header, whole pages: struct replay_head, then the roster's names, each ended by NUL
 *   records [capacity]:  crc u32, priority f32, sequence u64, done u32, reward f32,
 *                        state [units state], action [units action], next state, f32 each
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nn/rng.h"

#define DRPC_REPLAY_CAPACITY 1000000

/* Per-deployment vectors side by side: state [units][state], action [units][action]. */
struct drpc_replay_shape {
	size_t units;
	size_t state;
	size_t action;
	const char *const *roster; /* [units] names, or NULL for none */
};

struct drpc_transition {
	const float *state;
	const float *action;
	const float *next;
	float reward;
	bool done; /* ended for good; a time limit is not the end */
};

struct drpc_replay;

/*
 * Opens or creates; path NULL keeps it in memory. Returns 0; -EINVAL for shapes or capacities of 0
 * or beyond what a file can hold, -ENODATA for a file cut within its header, -EILSEQ for one that
 * is no replay file, -EBADMSG for a damaged header, -ESTALE for another roster, shape or capacity,
 * -EBUSY where another process has it, or what the system said. Logged.
 */
int drpc_replay_open(const char *path, const struct drpc_replay_shape *shape, size_t capacity,
		     struct drpc_replay **ret);

/* Writes back, unmaps, closes. NULL-safe; nulls its argument. */
void drpc_replay_close(struct drpc_replay **replay);

/* Waits until all records are on the disk. Returns 0 or a negative errno (logged). */
int drpc_replay_sync(struct drpc_replay *replay);

/*
 * Adds one, over the oldest once the ring is full. -EDOM (logged, nothing changed) where a number is
 * not finite.
 */
int drpc_replay_push(struct drpc_replay *replay, const struct drpc_transition *transition);

/* Number of the youngest record, counted from the first ever; checkpoints keep it. */
uint64_t drpc_replay_sequence(const struct drpc_replay *replay);

/*
 * Forgets records younger than `sequence`, so that a resumed training draws what it would have drawn.
 * Returns how many of those could not be undone because older records were overwritten by them; they
 * stay. 0 means that the buffer is as it was.
 */
size_t drpc_replay_rewind(struct drpc_replay *replay, uint64_t sequence);

size_t drpc_replay_count(const struct drpc_replay *replay);
size_t drpc_replay_capacity(const struct drpc_replay *replay);
const struct drpc_replay_shape *drpc_replay_shape(const struct drpc_replay *replay);
/* Records that opening found damaged. */
size_t drpc_replay_dropped(const struct drpc_replay *replay);

/* Transition i of 0..count-1; its pointers stand until that record is overwritten. */
struct drpc_transition drpc_replay_get(const struct drpc_replay *replay, size_t i);

/* Asks the processor for record i ahead of its use. */
void drpc_replay_prefetch(const struct drpc_replay *replay, size_t i);

/* --- drawing ------------------------------------------------------------------------------ */

/* n indices, uniform with repetition. The buffer must not be empty. */
void drpc_replay_draw(const struct drpc_replay *replay, struct drpc_rng *rng, size_t n,
		      uint64_t *ret);

/*
 * Prioritised drawing (Schaul et al., proportional): turns it on, with the priorities that the
 * file holds. -ENOMEM (logged).
 */
int drpc_replay_prioritize(struct drpc_replay *replay, double alpha);

bool drpc_replay_is_prioritized(const struct drpc_replay *replay);

/*
 * n indices with probability priority^alpha / sum, one from each n-th of the sum, and the weights
 * (count P)^-beta over the largest of them.
 */
void drpc_replay_draw_prioritized(const struct drpc_replay *replay, struct drpc_rng *rng,
				  double beta, size_t n, uint64_t *ret, float *ret_weights);

/* New priority (an absolute TD error); new records get the highest seen. */
void drpc_replay_set_priority(struct drpc_replay *replay, size_t i, float priority);
float drpc_replay_priority(const struct drpc_replay *replay, size_t i);
