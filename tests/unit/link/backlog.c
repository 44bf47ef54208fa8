// SPDX-License-Identifier: Apache-2.0
#include "link/backlog.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define COST(bytes) (sizeof(struct drpc_backlog_entry) + (bytes))

static const unsigned char data[1000] = {1, 2, 3};

static void add(struct drpc_backlog *b, uint64_t first)
{
	cr_assert_eq(drpc_backlog_add(b, first, 10, data, 100), 0);
}

Test(backlog, the_oldest_make_room)
{
	struct drpc_backlog b = {.bytes_max = 3 * COST(100)};

	for (uint64_t i = 0; i < 5; i++)
		add(&b, i * 10 + 1);
	cr_assert_eq(b.dropped, 20);
	cr_assert_eq(b.records, 30);
	cr_assert_eq(b.bytes, 3 * COST(100));
	cr_assert_eq(b.oldest->first_sequence, 21);
	cr_assert_eq(b.newest->first_sequence, 41);
	/* One that takes the room of two. */
	cr_assert_eq(drpc_backlog_add(&b, 51, 7, data, 100 + COST(50)), 0);
	cr_assert_eq(b.dropped, 40);
	cr_assert_eq(b.oldest->first_sequence, 41);
	/* One that never fits. */
	cr_assert_eq(drpc_backlog_add(&b, 58, 3, data, 1000), -EFBIG);
	cr_assert_eq(b.dropped, 43);
	cr_assert_eq(b.records, 17);
	drpc_backlog_clear(&b);
	cr_assert_eq(b.bytes, 0);
	cr_assert_eq(b.records, 0);
	cr_assert_null(b.oldest);
	cr_assert_null(b.newest);
}

Test(backlog, each_is_sent_until_it_is_confirmed)
{
	struct drpc_backlog b = {.bytes_max = 1 << 20};
	struct drpc_backlog_entry *e;

	for (uint64_t i = 0; i < 3; i++)
		add(&b, i * 10 + 1);
	for (uint64_t i = 0; i < 3; i++) {
		e = drpc_backlog_next(&b, 100);
		cr_assert_eq(e->first_sequence, i * 10 + 1);
		drpc_backlog_sent(&b, e, 200 + i);
	}
	cr_assert_null(drpc_backlog_next(&b, 1000));
	cr_assert_eq(b.in_flight, 3);
	cr_assert_eq(drpc_backlog_overdue(&b, 201), 2);
	cr_assert_eq(b.in_flight, 1);
	e = drpc_backlog_next(&b, 201);
	cr_assert_eq(e->first_sequence, 1);
	drpc_backlog_sent(&b, e, 500);
	cr_assert_eq(e->attempts, 2);
	/* Refused: later. */
	drpc_backlog_again(&b, e, 900);
	e = drpc_backlog_next(&b, 300);
	cr_assert_eq(e->first_sequence, 11);
	drpc_backlog_sent(&b, e, 500);
	cr_assert_null(drpc_backlog_next(&b, 300));
	cr_assert_eq(drpc_backlog_next(&b, 900)->first_sequence, 1);
	/* Confirmed from the middle, the end and the beginning. */
	drpc_backlog_remove(&b, drpc_backlog_find(&b, 11));
	cr_assert_null(drpc_backlog_find(&b, 11));
	drpc_backlog_again_all(&b);
	cr_assert_eq(b.in_flight, 0);
	cr_assert_eq(drpc_backlog_next(&b, 0)->first_sequence, 1);
	drpc_backlog_remove(&b, drpc_backlog_find(&b, 21));
	drpc_backlog_remove(&b, drpc_backlog_find(&b, 1));
	cr_assert_eq(b.bytes, 0);
	cr_assert_eq(b.in_flight, 0);
	cr_assert_null(b.newest);
	cr_assert_eq(b.dropped, 0);
}
