// SPDX-License-Identifier: Apache-2.0
#include "link/queue.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

#include "lib/log.h"
#include "lib/util.h"

#define RECORDS_MIN 16
#define RECORDS_MAX (1UL << 22)
#define CACHE_LINE  64

/*
 * A cell's turn says what may be done with it: `n` it waits for the n-th record, `n + 1` it holds it. A
 * push takes its number by moving `tail` on, and then owns the cell; numbers count up for ever.
 */
struct queue_cell {
	_Atomic(uint64_t) turn;
	struct drpc_experience record;
};

struct drpc_queue {
	size_t mask;
	int fd;
	struct queue_cell *cells;
	_Alignas(CACHE_LINE) _Atomic(uint64_t) tail;
	_Atomic(uint64_t) dropped;
	_Alignas(CACHE_LINE) uint64_t head; /* the reader's own */
	atomic_bool asleep;
};

int drpc_queue_new(size_t records, struct drpc_queue **ret)
{
	struct drpc_queue *queue;
	size_t n = RECORDS_MIN;

	if (records > RECORDS_MAX)
		return drpc_err(-EINVAL, "link: a queue of %zu records, at most %lu", records,
				RECORDS_MAX);
	while (n < records)
		n *= 2;
	queue = aligned_alloc(_Alignof(struct drpc_queue), sizeof(*queue));
	if (!queue)
		return drpc_err(-ENOMEM, "link: a queue of %zu records", n);
	*queue = (struct drpc_queue){.mask = n - 1, .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
	queue->cells = calloc(n, sizeof(*queue->cells));
	if (queue->fd < 0 || !queue->cells) {
		drpc_queue_free(&queue);
		return drpc_err(-ENOMEM, "link: a queue of %zu records", n);
	}
	for (size_t i = 0; i < n; i++)
		atomic_init(&queue->cells[i].turn, i);
	*ret = queue;
	return 0;
}

void drpc_queue_free(struct drpc_queue **queue)
{
	if (!*queue)
		return;
	drpc_closep(&(*queue)->fd);
	free((*queue)->cells);
	free(*queue);
	*queue = NULL;
}

int drpc_queue_push(struct drpc_queue *queue, const struct drpc_experience *x)
{
	uint64_t number = atomic_load_explicit(&queue->tail, memory_order_relaxed);
	struct queue_cell *cell;

	for (;;) {
		int64_t behind;

		cell = &queue->cells[number & queue->mask];
		behind =
			(int64_t)(atomic_load_explicit(&cell->turn, memory_order_acquire) - number);
		if (behind < 0) {
			/* Still holds the record of a whole round ago. */
			atomic_fetch_add_explicit(&queue->dropped, 1, memory_order_relaxed);
			return -ENOBUFS;
		}
		if (behind == 0 && atomic_compare_exchange_weak_explicit(
					   &queue->tail, &number, number + 1, memory_order_relaxed,
					   memory_order_relaxed))
			break;
		if (behind > 0)
			number = atomic_load_explicit(&queue->tail, memory_order_relaxed);
	}
	cell->record = *x;
	/* In one order with `asleep`: either the reader sees the record, or it is woken. */
	atomic_store(&cell->turn, number + 1);
	if (atomic_load(&queue->asleep))
		drpc_queue_wake(queue);
	return 0;
}

static bool ready(struct drpc_queue *queue)
{
	return atomic_load(&queue->cells[queue->head & queue->mask].turn) == queue->head + 1;
}

bool drpc_queue_pop(struct drpc_queue *queue, struct drpc_experience *ret)
{
	struct queue_cell *cell = &queue->cells[queue->head & queue->mask];

	if (!ready(queue))
		return false;
	*ret = cell->record;
	atomic_store_explicit(&cell->turn, queue->head + queue->mask + 1, memory_order_release);
	queue->head++;
	return true;
}

void drpc_queue_wait(struct drpc_queue *queue, unsigned int timeout_ms)
{
	struct pollfd fd = {.fd = queue->fd, .events = POLLIN};
	uint64_t n;

	atomic_store(&queue->asleep, true);
	if (!ready(queue) && poll(&fd, 1, (int)DRPC_MIN(timeout_ms, 3600000U)) > 0 &&
	    read(queue->fd, &n, sizeof(n)) < 0)
		drpc_debug("link: the queue was woken by nobody");
	atomic_store(&queue->asleep, false);
}

void drpc_queue_wake(struct drpc_queue *queue)
{
	const uint64_t one = 1;

	/* It only fails where the counter is full: then the reader wakes anyway. */
	if (write(queue->fd, &one, sizeof(one)) < 0)
		return;
}

uint64_t drpc_queue_pushed(const struct drpc_queue *queue)
{
	return atomic_load_explicit(&queue->tail, memory_order_relaxed);
}

uint64_t drpc_queue_dropped(const struct drpc_queue *queue)
{
	return atomic_load_explicit(&queue->dropped, memory_order_relaxed);
}
