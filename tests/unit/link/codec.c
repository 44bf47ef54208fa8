// SPDX-License-Identifier: Apache-2.0
#include "link/codec.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "lib/util.h"
#include "nn/rng.h"
#include "tests/unit/link/sample.h"

static unsigned char buffer[DRPC_BATCH_MAX_BYTES];
static struct drpc_batch_reader *reader;

static void setup(void)
{
	cr_assert_eq(drpc_batch_reader_new(&reader), 0);
}

static void teardown(void)
{
	drpc_batch_reader_free(&reader);
	cr_assert_null(reader);
	drpc_batch_reader_free(&reader);
}

TestSuite(codec, .init = setup, .fini = teardown);

static size_t begin(const char *node, uint64_t epoch, uint64_t first)
{
	struct drpc_batch_head head = {.epoch = epoch, .first_sequence = first};
	ssize_t n;

	drpc_strcpy(head.node, sizeof(head.node), node);
	n = drpc_batch_begin(&head, buffer, sizeof(buffer));
	cr_assert_gt(n, 0);
	return (size_t)n;
}

static size_t add(size_t used, const struct drpc_experience *x)
{
	const ssize_t n = drpc_batch_add(x, buffer, used, sizeof(buffer));

	cr_assert_gt(n, 0);
	return used + (size_t)n;
}

static size_t batch_of(size_t count)
{
	size_t used = begin("node-1", 7, 100);

	for (size_t i = 0; i < count; i++) {
		const struct drpc_experience x = sample(i);

		used = add(used, &x);
	}
	return used;
}

Test(codec, what_is_written_is_read)
{
	const size_t used = batch_of(DRPC_BATCH_MAX_RECORDS);
	struct drpc_batch batch;

	cr_assert_eq(drpc_batch_read(reader, buffer, used, &batch), DRPC_REJECT_NONE);
	cr_assert_str_eq(batch.head.node, "node-1");
	cr_assert_eq(batch.head.epoch, 7);
	cr_assert_eq(batch.head.first_sequence, 100);
	cr_assert_eq(batch.count, DRPC_BATCH_MAX_RECORDS);
	for (size_t i = 0; i < batch.count; i++) {
		const struct drpc_experience x = sample(i), *y = &batch.records[i];

		cr_assert_eq(batch.verdicts[i], DRPC_REJECT_NONE);
		cr_assert_str_eq(y->deployment, x.deployment);
		cr_assert_eq(y->realtime_ns, x.realtime_ns);
		cr_assert_eq(y->step, x.step);
		cr_assert_eq(y->duration_ns, x.duration_ns);
		cr_assert_eq(y->policy_version, x.policy_version);
		cr_assert_eq(y->planner, x.planner);
		cr_assert_eq(y->flags, x.flags);
		cr_assert_arr_eq(y->state, x.state, sizeof(x.state));
		cr_assert_arr_eq(y->action, x.action, sizeof(x.action));
		cr_assert_arr_eq(y->planned, x.planned, sizeof(x.planned));
		cr_assert_arr_eq(y->next, x.next, sizeof(x.next));
		cr_assert_arr_eq(&y->reward, &x.reward, sizeof(x.reward));
		cr_assert_eq(y->coverage, x.coverage);
		cr_assert_arr_eq(&y->latency, &x.latency, sizeof(x.latency));
	}
}

Test(codec, the_largest_record_is_under_a_kibibyte)
{
	const struct drpc_experience x = largest();
	const size_t head = begin("node", 1, 1);
	struct drpc_batch batch;
	size_t used = add(head, &x);

	cr_assert_leq(used - head, DRPC_BATCH_RECORD_BYTES);
	for (int i = 1; i < DRPC_BATCH_MAX_RECORDS; i++)
		used = add(used, &x);
	cr_assert_eq(drpc_batch_read(reader, buffer, used, &batch), DRPC_REJECT_NONE);
	for (size_t i = 0; i < batch.count; i++)
		cr_assert_eq(batch.verdicts[i], DRPC_REJECT_NONE);
	cr_assert_arr_eq(&batch.records[255].latency, &x.latency, sizeof(x.latency));
}

Test(codec, a_buffer_that_is_full_is_left_alone)
{
	const struct drpc_experience x = sample(1);
	const size_t head = begin("node", 1, 1);
	const size_t full = add(head, &x);

	memset(buffer + head, 0x55, full - head);
	cr_assert_eq(drpc_batch_add(&x, buffer, head, full - 1), -ENOSPC);
	for (size_t i = head; i < full; i++)
		cr_assert_eq(buffer[i], 0x55);
	cr_assert_eq(drpc_batch_add(&x, buffer, full + 1, full), -ENOSPC);
}

Test(codec, one_bad_record_costs_no_other)
{
	struct drpc_experience x = sample(1);
	struct drpc_batch batch;
	size_t used = add(begin("node", 1, 1), &x);

	x.state[2] = NAN;
	used = add(used, &x);
	x = sample(2);
	used = add(used, &x);
	cr_assert_eq(drpc_batch_read(reader, buffer, used, &batch), DRPC_REJECT_NONE);
	cr_assert_eq(batch.count, 3);
	cr_assert_eq(batch.verdicts[0], DRPC_REJECT_NONE);
	cr_assert_eq(batch.verdicts[1], DRPC_REJECT_STATE);
	cr_assert_eq(batch.verdicts[2], DRPC_REJECT_NONE);
}

static enum drpc_reject verdict(size_t used)
{
	struct drpc_batch batch;

	return drpc_batch_read(reader, buffer, used, &batch);
}

Test(codec, bad_batches)
{
	const struct drpc_experience x = sample(1);
	char longest[DRPC_LINK_NAME_BYTES + 10];
	size_t used;

	cr_assert_eq(verdict(0), DRPC_REJECT_FORMAT);
	cr_assert_eq(verdict(begin("node", 1, 1)), DRPC_REJECT_SIZE);
	cr_assert_eq(verdict(sizeof(buffer) + 1), DRPC_REJECT_SIZE);
	cr_assert_eq(verdict(add(begin("no\nde", 1, 1), &x)), DRPC_REJECT_NODE);
	cr_assert_eq(verdict(add(begin("", 1, 1), &x)), DRPC_REJECT_NODE);
	cr_assert_eq(verdict(add(begin("node", 0, 1), &x)), DRPC_REJECT_SEQUENCE);
	cr_assert_eq(verdict(add(begin("node", 1, 0), &x)), DRPC_REJECT_SEQUENCE);
	cr_assert_eq(verdict(add(begin("node", 1, UINT64_MAX), &x)), DRPC_REJECT_SEQUENCE);
	cr_assert_eq(verdict(add(begin("node", UINT64_MAX, 1), &x)), DRPC_REJECT_SEQUENCE);
	memset(longest, 'n', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	/* Field 2 once more: the last counts. */
	used = add(begin("node", 1, 1), &x);
	buffer[used++] = 2 << 3 | 2;
	buffer[used++] = (unsigned char)strlen(longest) | 0x80;
	buffer[used++] = 1;
	memcpy(buffer + used, longest, strlen(longest));
	cr_assert_eq(verdict(used + strlen(longest)), DRPC_REJECT_NODE);
	/* Field 1 once more: another version. */
	used = add(begin("node", 1, 1), &x);
	buffer[used++] = 1 << 3;
	buffer[used++] = 9;
	cr_assert_eq(verdict(used), DRPC_REJECT_VERSION);
}

Test(codec, more_records_than_a_batch_has)
{
	size_t used = begin("node", 1, 1);

	/* Empty records take two bytes each, and hundreds in memory. */
	for (int i = 0; i <= DRPC_BATCH_MAX_RECORDS; i++) {
		buffer[used++] = 5 << 3 | 2;
		buffer[used++] = 0;
	}
	cr_assert_eq(verdict(used), DRPC_REJECT_SIZE);
	while (used + 2 <= sizeof(buffer)) {
		buffer[used++] = 5 << 3 | 2;
		buffer[used++] = 0;
	}
	cr_assert_eq(verdict(used), DRPC_REJECT_FORMAT);
}

Test(codec, cut_anywhere)
{
	const size_t used = batch_of(3);
	struct drpc_batch batch;

	for (size_t n = 0; n < used; n++) {
		_cleanup_free_ unsigned char *cut = malloc(n + 1);

		/* In memory of its own, so that a byte too far is seen. */
		memcpy(cut, buffer, n);
		if (drpc_batch_read(reader, cut, n, &batch) != DRPC_REJECT_NONE)
			continue;
		/* Between two records: it is a batch of fewer. */
		cr_assert_lt(batch.count, 3);
		for (size_t i = 0; i < batch.count; i++)
			cr_assert_eq(batch.verdicts[i], DRPC_REJECT_NONE);
	}
}

Test(codec, flipped_bits)
{
	const size_t used = batch_of(4);
	struct drpc_rng rng = drpc_rng_make(5, 1);
	uint64_t at[3];
	struct drpc_batch batch;

	for (int round = 0; round < 20000; round++) {
		drpc_rng_indices(&rng, used * 8, DRPC_ARRAY_SIZE(at), at);
		for (size_t i = 0; i < DRPC_ARRAY_SIZE(at); i++)
			buffer[at[i] / 8] ^= (unsigned char)(1U << at[i] % 8);
		if (drpc_batch_read(reader, buffer, used, &batch) == DRPC_REJECT_NONE) {
			for (size_t i = 0; i < batch.count; i++) {
				const struct drpc_experience x = batch.records[i];

				if (batch.verdicts[i] == DRPC_REJECT_NONE)
					cr_assert_eq(drpc_experience_check(&x), DRPC_REJECT_NONE);
			}
		}
		for (size_t i = 0; i < DRPC_ARRAY_SIZE(at); i++)
			buffer[at[i] / 8] ^= (unsigned char)(1U << at[i] % 8);
	}
	cr_assert_eq(verdict(used), DRPC_REJECT_NONE);
}
