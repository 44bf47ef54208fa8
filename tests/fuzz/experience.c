// SPDX-License-Identifier: Apache-2.0
/*
 * Messages from the network: batches, envelopes, modes. What is accepted of a batch is possible, and
 * comes out the same when it is written and read again.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"
#include "link/codec.h"
#include "link/envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned char again[DRPC_BATCH_MAX_BYTES];

static void check_batch(struct drpc_batch_reader *reader, const struct drpc_batch *batch)
{
	struct drpc_experience *copies = malloc(batch->count * sizeof(*copies));
	const struct drpc_batch_head head = batch->head;
	struct drpc_batch back;
	size_t kept = 0, used;

	assert(copies && batch->count > 0 && batch->count <= DRPC_BATCH_MAX_RECORDS);
	assert(drpc_link_name_ok(head.node));
	used = (size_t)drpc_batch_begin(&head, again, sizeof(again));
	assert(used <= DRPC_BATCH_HEAD_BYTES);
	for (size_t i = 0; i < batch->count; i++) {
		ssize_t n;

		assert(batch->verdicts[i] < DRPC_REJECT_COUNT);
		if (batch->verdicts[i] != DRPC_REJECT_NONE)
			continue;
		copies[kept] = batch->records[i];
		assert(drpc_experience_check(&copies[kept]) == DRPC_REJECT_NONE);
		n = drpc_batch_add(&copies[kept++], again, used, sizeof(again));
		assert(n > 0 && n <= DRPC_BATCH_RECORD_BYTES);
		used += (size_t)n;
	}
	if (kept) {
		assert(drpc_batch_read(reader, again, used, &back) == DRPC_REJECT_NONE);
		assert(back.count == kept && strcmp(back.head.node, head.node) == 0);
		for (size_t i = 0; i < kept; i++) {
			assert(back.verdicts[i] == DRPC_REJECT_NONE);
			assert(memcmp(back.records[i].state, copies[i].state,
				      sizeof(copies[i].state)) == 0);
			assert(memcmp(&back.records[i].latency, &copies[i].latency,
				      sizeof(copies[i].latency)) == 0);
			assert(back.records[i].duration_ns == copies[i].duration_ns);
		}
	}
	free(copies);
}

static void check_mode(const uint8_t *data, size_t size)
{
	char text[DRPC_MODE_TEXT_BYTES];
	struct drpc_mode_order order;

	if (drpc_mode_order_parse(data, size, &order) < 0)
		return;
	assert(order.exploration >= 0 && order.exploration <= 1);
	assert(drpc_mode_order_parse(text, drpc_mode_order_format(&order, text), &order) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct drpc_batch_reader *reader;
	struct drpc_envelope e;
	struct drpc_batch batch;

	if (!reader && drpc_batch_reader_new(&reader) < 0)
		return 0;
	if (drpc_batch_read(reader, data, size, &batch) == DRPC_REJECT_NONE)
		check_batch(reader, &batch);
	if (drpc_envelope_peek(data, size, &e) == 0)
		assert(e.payload_bytes > 0 && e.payload_bytes < size);
	check_mode(data, size);
	return 0;
}
