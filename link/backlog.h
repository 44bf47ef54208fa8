/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches that the broker has not confirmed, oldest first, bounded by bytes: where a new one does not
 * fit, the oldest go, and their records are counted. A batch keeps its bytes and its number for ever, so
 * that the same one sent twice is recognised. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct drpc_backlog_entry {
	struct drpc_backlog_entry *prev, *next;
	uint64_t first_sequence;
	uint32_t records;
	uint32_t attempts;    /* how often it was sent */
	uint64_t deadline_ns; /* sent: when the answer is overdue; else: not to be sent before */
	bool sent;	      /* and not answered yet */
	size_t bytes;
	unsigned char data[];
};

struct drpc_backlog {
	size_t bytes_max, bytes; /* with the entries themselves */
	uint64_t records;
	uint32_t in_flight;
	uint64_t dropped; /* records; some may have arrived without the answer having come back */
	struct drpc_backlog_entry *oldest, *newest;
};

/*
 * Copies the bytes. -EFBIG where one batch alone is more than the bound, -ENOMEM: its records are then
 * counted as dropped.
 */
int drpc_backlog_add(struct drpc_backlog *backlog, uint64_t first_sequence, uint32_t records,
		     const void *data, size_t bytes);

/* The oldest that is not under way and may be sent now; NULL for none. */
struct drpc_backlog_entry *drpc_backlog_next(const struct drpc_backlog *backlog, uint64_t now_ns);

void drpc_backlog_sent(struct drpc_backlog *backlog, struct drpc_backlog_entry *entry,
		       uint64_t deadline_ns);

/* Under way no longer: to be sent again, at the earliest then. */
void drpc_backlog_again(struct drpc_backlog *backlog, struct drpc_backlog_entry *entry,
			uint64_t not_before_ns);

/* Everything whose answer is overdue; returns how many. */
uint32_t drpc_backlog_overdue(struct drpc_backlog *backlog, uint64_t now_ns);

/* Everything that is under way: the connection is gone. */
void drpc_backlog_again_all(struct drpc_backlog *backlog);

/* NULL where it is not there (any more). */
struct drpc_backlog_entry *drpc_backlog_find(const struct drpc_backlog *backlog,
					     uint64_t first_sequence);

void drpc_backlog_remove(struct drpc_backlog *backlog, struct drpc_backlog_entry *entry);
void drpc_backlog_clear(struct drpc_backlog *backlog);
