/* SPDX-License-Identifier: Apache-2.0 */
/* What implementations of link/link.h share. */
#pragma once

#include <stdatomic.h>

#include "link/link.h"
#include "link/queue.h"

/* Figures that threads add to and others read; in the order of struct drpc_link_stats. */
struct drpc_link_counters {
	atomic_bool connected;
	_Atomic(uint64_t) backlog_dropped, backlog_records, backlog_bytes;
	_Atomic(uint64_t) sent_records, sent_batches, sent_twice, resent, refused;
	_Atomic(uint64_t) accepted, failed, rejected[DRPC_REJECT_COUNT];
	_Atomic(uint64_t) announced, reconnects;
	_Atomic(uint64_t) store[sizeof(struct drpc_store_stats) / sizeof(uint64_t)];
};

struct drpc_link_ops {
	void (*free)(struct drpc_link *link);
	int (*receive)(struct drpc_link *link, unsigned int timeout_ms, drpc_link_taker taker,
		       void *arg);
	int (*announce)(struct drpc_link *link, const void *data, size_t bytes,
			const struct drpc_envelope *e);
	int (*published)(struct drpc_link *link, const char *name, bool mode,
			 struct drpc_envelope *ret);
	/* NULL: it is always held. */
	int (*lease)(struct drpc_link *link, const char *holder, uint64_t *ret_until_ns);
	int (*release)(struct drpc_link *link);
};

/* The first member of every implementation. */
struct drpc_link {
	const struct drpc_link_ops *ops;
	struct drpc_queue *queue; /* NULL: publishes nothing */
	struct drpc_news_box box;
	struct drpc_store *store;
	struct drpc_ledger *ledger;
	struct drpc_link_counters counters;
};

static inline void drpc_link_add(_Atomic(uint64_t) *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static inline void drpc_link_set(_Atomic(uint64_t) *counter, uint64_t n)
{
	atomic_store_explicit(counter, n, memory_order_relaxed);
}

/* Queue and box. On failure nothing is left. */
int drpc_link_init(struct drpc_link *link, const struct drpc_link_ops *ops,
		   const struct drpc_link_config *config);
void drpc_link_done(struct drpc_link *link);

/* Offers what came to the store; what it accepts goes into the box. Returns what the store said. */
int drpc_link_offer(struct drpc_link *link, const void *data, size_t bytes);

/* One record to the taker, counted. */
void drpc_link_take(struct drpc_link *link, drpc_link_taker taker, void *arg, const char *node,
		    uint64_t sequence, const struct drpc_experience *x);

static inline void drpc_link_reject(struct drpc_link *link, enum drpc_reject reject)
{
	drpc_link_add(&link->counters.rejected[reject], 1);
}
