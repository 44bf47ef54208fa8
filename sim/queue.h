/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event queue: an implicit 4-ary heap, keys inlined, one pending event a handle.
 *
 * Whoever can have something pending (a replica, a call, a timer) is a small number, its handle, and
 * has at most one event, which may be moved or taken back: under processor sharing every arrival
 * moves a completion, and stale copies would outnumber the live ones. An entry is 16 bytes and the
 * four children of an entry share a cache line, so that a level costs one line; some hundred events
 * are pending where thousands of requests are on their way, and they stay in the first-level cache.
 *
 * Events of the same time come in an order that depends on the calls before alone. Memory is
 * reserved once, as address space: nothing moves, nothing is allocated later.
 */
#pragma once

#include <stdint.h>

#define DRPC_SIMQ_NONE UINT32_MAX

struct drpc_simq_entry {
	uint64_t time_ns;
	uint32_t handle;
	uint32_t unused;
};

struct drpc_simq {
	struct drpc_simq_entry *heap; /* heap[4 k + 1] begins a cache line */
	uint32_t *at;		      /* handle → index in the heap, DRPC_SIMQ_NONE */
	uint32_t n;
	uint32_t handles; /* how many there can be */
	void *base;
	uint64_t base_bytes;
};

/* For handles 0 .. handles - 1. Returns 0 or -ENOMEM. */
int drpc_simq_init(struct drpc_simq *q, uint32_t handles);
void drpc_simq_release(struct drpc_simq *q);
/* Must be called for a handle before its first use. */
static inline void drpc_simq_clear(struct drpc_simq *q, uint32_t handle)
{
	q->at[handle] = DRPC_SIMQ_NONE;
}

static inline void drpc_simq_put(struct drpc_simq *q, uint32_t i, struct drpc_simq_entry e)
{
	q->heap[i] = e;
	q->at[e.handle] = i;
}

static inline void drpc_simq_up(struct drpc_simq *q, uint32_t i, struct drpc_simq_entry e)
{
	while (i > 0) {
		const uint32_t parent = (i - 1) / 4;

		if (q->heap[parent].time_ns <= e.time_ns)
			break;
		drpc_simq_put(q, i, q->heap[parent]);
		i = parent;
	}
	drpc_simq_put(q, i, e);
}

static inline void drpc_simq_down(struct drpc_simq *q, uint32_t i, struct drpc_simq_entry e)
{
	for (;;) {
		const struct drpc_simq_entry *heap = q->heap;
		const uint32_t c = 4 * i + 1;
		uint32_t least;

		if (c + 4 <= q->n) {
			const uint32_t a = c + (heap[c + 1].time_ns < heap[c].time_ns);
			const uint32_t b = c + 2 + (heap[c + 3].time_ns < heap[c + 2].time_ns);

			least = heap[b].time_ns < heap[a].time_ns ? b : a;
		} else {
			if (c >= q->n)
				break;
			least = c;
			for (uint32_t k = c + 1; k < q->n; k++)
				least = heap[k].time_ns < heap[least].time_ns ? k : least;
		}
		if (heap[least].time_ns >= e.time_ns)
			break;
		drpc_simq_put(q, i, heap[least]);
		i = least;
	}
	drpc_simq_put(q, i, e);
}

/* Sets or moves the handle's event. */
static inline void drpc_simq_set(struct drpc_simq *q, uint32_t handle, uint64_t time_ns)
{
	const struct drpc_simq_entry e = {.time_ns = time_ns, .handle = handle};
	const uint32_t i = q->at[handle];

	if (i == DRPC_SIMQ_NONE)
		drpc_simq_up(q, q->n++, e);
	else if (time_ns < q->heap[i].time_ns)
		drpc_simq_up(q, i, e);
	else
		drpc_simq_down(q, i, e);
}

/* Takes the handle's event back; nothing happens where it has none. */
static inline void drpc_simq_unset(struct drpc_simq *q, uint32_t handle)
{
	const uint32_t i = q->at[handle];
	struct drpc_simq_entry last;

	if (i == DRPC_SIMQ_NONE)
		return;
	q->at[handle] = DRPC_SIMQ_NONE;
	last = q->heap[--q->n];
	if (i == q->n)
		return;
	if (i > 0 && last.time_ns < q->heap[(i - 1) / 4].time_ns)
		drpc_simq_up(q, i, last);
	else
		drpc_simq_down(q, i, last);
}
