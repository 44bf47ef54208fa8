/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches of experience on the wire: protobuf, link/experience.proto.
 *
 * Writing appends to a buffer of the caller's: protobuf messages that follow one another are one
 * message, so a batch grows record by record and never moves. Reading checks every field; what it
 * gives lives in the reader until its next call. Neither allocates per call.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "link/experience.h"

#define DRPC_BATCH_FORMAT	1
#define DRPC_BATCH_MAX_RECORDS	256
#define DRPC_BATCH_RECORD_BYTES 1024 /* what a record takes at most; it takes far less */
#define DRPC_BATCH_HEAD_BYTES	160
#define DRPC_BATCH_MAX_BYTES \
	(DRPC_BATCH_HEAD_BYTES + DRPC_BATCH_MAX_RECORDS * DRPC_BATCH_RECORD_BYTES)

/* Sequence numbers end here; no node lives that long. */
#define DRPC_SEQUENCE_MAX (1ULL << 62)

struct drpc_batch_head {
	char node[DRPC_LINK_NAME_BYTES];
	uint64_t epoch;		 /* which start of the node's agent: link/epoch.h */
	uint64_t first_sequence; /* of the first record; they are numbered from 1 in each epoch */
};

/* Bytes written; -ENOSPC (nothing is written) where `capacity` has no room. */
ssize_t drpc_batch_begin(const struct drpc_batch_head *head, void *buffer, size_t capacity);

/* Appends one record at `buffer` + `used`; what it took. -ENOSPC as above. */
ssize_t drpc_batch_add(const struct drpc_experience *x, void *buffer, size_t used, size_t capacity);

struct drpc_batch {
	struct drpc_batch_head head;
	size_t count; /* records as they were numbered, 1 or more */
	const struct drpc_experience
		*records;		  /* [count]; those with a verdict are not to be used */
	const enum drpc_reject *verdicts; /* [count] */
};

struct drpc_batch_reader;

int drpc_batch_reader_new(struct drpc_batch_reader **ret);
void drpc_batch_reader_free(struct drpc_batch_reader **reader); /* NULL-safe; nulls */

/* Why the batch as a whole is refused; `ret` is then untouched. Borrowed until the next call. */
enum drpc_reject drpc_batch_read(struct drpc_batch_reader *reader, const void *data, size_t bytes,
				 struct drpc_batch *ret);
