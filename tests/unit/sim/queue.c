// SPDX-License-Identifier: Apache-2.0
#include "sim/queue.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "sim/random.h"

#define HANDLES 500

/* The heap's order, and that every handle is where its index says. */
static void check_heap(const struct drpc_simq *q)
{
	for (uint32_t i = 0; i < q->n; i++) {
		cr_assert_eq(q->at[q->heap[i].handle], i);
		if (i)
			cr_assert_leq(q->heap[(i - 1) / 4].time_ns, q->heap[i].time_ns);
	}
}

/* Random sets, moves, removals and pops, against a plain array of what is pending. */
Test(sim_queue, agrees_with_a_plain_list)
{
	uint64_t due[HANDLES], stream = 7;
	struct drpc_simq q;
	uint32_t pending = 0;

	cr_assert_eq(drpc_simq_init(&q, HANDLES), 0);
	for (uint32_t h = 0; h < HANDLES; h++) {
		drpc_simq_clear(&q, h);
		due[h] = UINT64_MAX;
	}
	for (int step = 0; step < 100000; step++) {
		const uint32_t h = (uint32_t)(drpc_sim_next(&stream) % HANDLES);

		switch (drpc_sim_next(&stream) % 4) {
		case 0:
		case 1:
			pending += due[h] == UINT64_MAX;
			due[h] = drpc_sim_next(&stream) % 1000;
			drpc_simq_set(&q, h, due[h]);
			break;
		case 2:
			pending -= due[h] != UINT64_MAX;
			due[h] = UINT64_MAX;
			drpc_simq_unset(&q, h);
			break;
		default:
			if (q.n) {
				uint64_t least = UINT64_MAX;

				for (uint32_t k = 0; k < HANDLES; k++)
					least = due[k] < least ? due[k] : least;
				cr_assert_eq(q.heap[0].time_ns, least);
				cr_assert_eq(due[q.heap[0].handle], least);
				due[q.heap[0].handle] = UINT64_MAX;
				drpc_simq_unset(&q, q.heap[0].handle);
				pending--;
			}
		}
		cr_assert_eq(q.n, pending);
		if (step % 1000 == 0)
			check_heap(&q);
	}
	drpc_simq_release(&q);
}

Test(sim_queue, children_share_a_cache_line)
{
	struct drpc_simq q;

	cr_assert_eq(drpc_simq_init(&q, 100), 0);
	for (uint32_t i = 0; i < 20; i++)
		cr_assert_eq((uintptr_t)&q.heap[4 * i + 1] % 64, 0);
	drpc_simq_release(&q);
	drpc_simq_release(&q);
}
