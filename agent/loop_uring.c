// SPDX-License-Identifier: Apache-2.0
/*
 * io_uring backend: one poll request per descriptor and one absolute timeout per timer, armed again
 * after each callback and submitted together with the wait: a tick costs one system call. Polls are
 * one-shot on purpose: arming looks at the descriptor's state, which makes them level-triggered,
 * while a multishot poll reports wake-ups only.
 */
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>

#include "agent/loop_internal.h"
#include "lib/util.h"

#define RING_ENTRIES 64
#define CQE_BATCH    32

static int uring_open(struct drpc_loop *loop)
{
	struct io_uring *ring = malloc(sizeof(*ring));
	int r;

	if (!ring)
		return -ENOMEM;
	r = io_uring_queue_init(RING_ENTRIES, ring, 0);
	if (r < 0) {
		free(ring);
		return r;
	}
	loop->backend = ring;
	return 0;
}

static void uring_close(struct drpc_loop *loop)
{
	io_uring_queue_exit(loop->backend);
	free(loop->backend);
}

static struct io_uring_sqe *get_sqe(struct io_uring *ring)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	if (sqe)
		return sqe;
	/* The submission queue is full: hand it over, then there is room. */
	io_uring_submit(ring);
	return io_uring_get_sqe(ring);
}

static int uring_arm(struct drpc_loop *loop, struct drpc_source *source)
{
	struct io_uring_sqe *sqe = get_sqe(loop->backend);

	if (!sqe)
		return -EBUSY;
	if (source->interval_ns) {
		/* The kernel copies it when the request is submitted, below. */
		struct __kernel_timespec ts = {
			.tv_sec = (long long)(source->due_ns / DRPC_NSEC_PER_SEC),
			.tv_nsec = (long long)(source->due_ns % DRPC_NSEC_PER_SEC),
		};
		int r;

		io_uring_prep_timeout(sqe, &ts, 0, IORING_TIMEOUT_ABS);
		io_uring_sqe_set_data(sqe, source);
		r = io_uring_submit(loop->backend);
		if (r < 0)
			return r;
	} else {
		io_uring_prep_poll_add(sqe, source->fd, source->events);
		io_uring_sqe_set_data(sqe, source);
	}
	source->in_kernel = true;
	return 0;
}

static void uring_disarm(struct drpc_loop *loop, struct drpc_source *source)
{
	struct io_uring_sqe *sqe;

	if (!source->in_kernel)
		return;
	sqe = get_sqe(loop->backend);
	if (!sqe)
		return; /* stays dead and unfreed until its next completion */
	io_uring_prep_cancel(sqe, source, 0);
	io_uring_sqe_set_data(sqe, NULL);
	io_uring_submit(loop->backend);
}

static void complete(struct drpc_loop *loop, struct drpc_source *source, int res)
{
	source->in_kernel = false;
	if (source->dead)
		return;

	if (source->interval_ns) {
		drpc_source_advance(source, drpc_now_ns());
		drpc_source_dispatch(source, 0);
	} else {
		drpc_source_dispatch(source, res < 0 ? POLLERR : (uint32_t)res);
	}
	if (!source->dead)
		uring_arm(loop, source);
}

static int uring_wait(struct drpc_loop *loop)
{
	struct io_uring *ring = loop->backend;
	struct io_uring_cqe *cqes[CQE_BATCH];
	struct {
		struct drpc_source *source;
		int res;
	} done[CQE_BATCH];
	unsigned int n;
	int r;

	r = io_uring_submit_and_wait(ring, 1);
	if (r < 0)
		return r;
	/* Copied out first: callbacks submit, and the ring's entries must be free for that. */
	n = io_uring_peek_batch_cqe(ring, cqes, CQE_BATCH);
	for (unsigned int i = 0; i < n; i++) {
		done[i].source = io_uring_cqe_get_data(cqes[i]);
		done[i].res = cqes[i]->res;
	}
	io_uring_cq_advance(ring, n);

	for (unsigned int i = 0; i < n; i++) {
		if (done[i].source)
			complete(loop, done[i].source, done[i].res);
	}
	return 0;
}

const struct drpc_loop_ops drpc_loop_uring_ops = {
	.name = "io_uring",
	.open = uring_open,
	.close = uring_close,
	.arm = uring_arm,
	.disarm = uring_disarm,
	.wait = uring_wait,
};
