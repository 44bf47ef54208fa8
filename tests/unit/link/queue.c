// SPDX-License-Identifier: Apache-2.0
#include "link/queue.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>

#include "lib/util.h"
#include "tests/unit/link/sample.h"

Test(queue, first_in_first_out_and_bounded)
{
	struct drpc_queue *queue = NULL;
	struct drpc_experience x;

	cr_assert_eq(drpc_queue_new(100, &queue), 0);
	cr_assert_not(drpc_queue_pop(queue, &x));
	for (uint64_t round = 0; round < 5; round++) {
		for (uint64_t i = 0; i < 128; i++) {
			x = sample(round * 1000 + i);
			cr_assert_eq(drpc_queue_push(queue, &x), 0);
		}
		cr_assert_eq(drpc_queue_push(queue, &x), -ENOBUFS);
		cr_assert_eq(drpc_queue_dropped(queue), round + 1);
		for (uint64_t i = 0; i < 128; i++) {
			cr_assert(drpc_queue_pop(queue, &x));
			cr_assert_eq(x.step, round * 1000 + i + 1);
		}
		cr_assert_not(drpc_queue_pop(queue, &x));
	}
	cr_assert_eq(drpc_queue_pushed(queue), 5 * 128);
	drpc_queue_free(&queue);
	cr_assert_null(queue);
	drpc_queue_free(&queue);
}

static void *push_later(void *arg)
{
	const struct drpc_experience x = sample(3);

	usleep(20000);
	drpc_queue_push(arg, &x);
	return NULL;
}

Test(queue, waiting)
{
	struct drpc_queue *queue = NULL;
	struct drpc_experience x;
	uint64_t begin = drpc_now_ns();
	pthread_t thread;

	cr_assert_eq(drpc_queue_new(16, &queue), 0);
	drpc_queue_wait(queue, 30);
	cr_assert_geq(drpc_now_ns() - begin, 29 * DRPC_NSEC_PER_MSEC);
	begin = drpc_now_ns();
	cr_assert_eq(pthread_create(&thread, NULL, push_later, queue), 0);
	drpc_queue_wait(queue, 60000);
	cr_assert_lt(drpc_now_ns() - begin, 30 * DRPC_NSEC_PER_SEC);
	pthread_join(thread, NULL);
	cr_assert(drpc_queue_pop(queue, &x));
	drpc_queue_wake(queue);
	drpc_queue_wait(queue, 60000);
	cr_assert_lt(drpc_now_ns() - begin, 30 * DRPC_NSEC_PER_SEC);
	drpc_queue_free(&queue);
}

Test(queue, too_large)
{
	struct drpc_queue *queue = NULL;

	cr_assert_eq(drpc_queue_new(SIZE_MAX, &queue), -EINVAL);
	cr_assert_null(queue);
}
