// SPDX-License-Identifier: Apache-2.0
/* epoll backend, for kernels and sandboxes that refuse io_uring. Timers are timerfds. */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "agent/loop_internal.h"
#include "lib/util.h"

#define EVENT_BATCH 32

struct epoll_state {
	int fd;
	struct epoll_event ready[EVENT_BATCH];
};

static int epoll_open(struct drpc_loop *loop)
{
	struct epoll_state *state = calloc(1, sizeof(*state));

	if (!state)
		return -ENOMEM;
	state->fd = epoll_create1(EPOLL_CLOEXEC);
	if (state->fd < 0) {
		free(state);
		return -errno;
	}
	loop->backend = state;
	return 0;
}

static void epoll_close(struct drpc_loop *loop)
{
	struct epoll_state *state = loop->backend;

	close(state->fd);
	free(state);
}

static int timer_open(struct drpc_source *source)
{
	struct itimerspec when = {
		.it_value = {(time_t)(source->due_ns / DRPC_NSEC_PER_SEC),
			     (long)(source->due_ns % DRPC_NSEC_PER_SEC)},
		.it_interval = {(time_t)(source->interval_ns / DRPC_NSEC_PER_SEC),
				(long)(source->interval_ns % DRPC_NSEC_PER_SEC)},
	};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd < 0)
		return -errno;
	if (timerfd_settime(fd, TFD_TIMER_ABSTIME, &when, NULL) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	source->fd = fd;
	source->events = EPOLLIN;
	return 0;
}

static int epoll_arm(struct drpc_loop *loop, struct drpc_source *source)
{
	struct epoll_state *state = loop->backend;
	/* EPOLL* and POLL* bits have the same values for everything poll(2) knows. */
	struct epoll_event event = {.data.ptr = source};

	if (source->interval_ns) {
		int r = timer_open(source);

		if (r < 0)
			return r;
	}
	event.events = source->events;
	if (epoll_ctl(state->fd, EPOLL_CTL_ADD, source->fd, &event) < 0) {
		int r = -errno;

		if (source->interval_ns)
			close(source->fd);
		return r;
	}
	return 0;
}

static void epoll_disarm(struct drpc_loop *loop, struct drpc_source *source)
{
	struct epoll_state *state = loop->backend;

	epoll_ctl(state->fd, EPOLL_CTL_DEL, source->fd, NULL);
	if (source->interval_ns)
		close(source->fd);
	/* Events of this batch that are not dispatched yet see `dead`: sources are freed after it. */
}

static int epoll_wait_dispatch(struct drpc_loop *loop)
{
	struct epoll_state *state = loop->backend;
	int n = epoll_wait(state->fd, state->ready, EVENT_BATCH, -1);

	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		struct drpc_source *source = state->ready[i].data.ptr;

		if (source->dead)
			continue;
		if (source->interval_ns) {
			uint64_t expirations;

			if (read(source->fd, &expirations, sizeof(expirations)) < 0)
				continue;
			drpc_source_dispatch(source, 0);
		} else {
			drpc_source_dispatch(source, state->ready[i].events);
		}
	}
	return 0;
}

const struct drpc_loop_ops drpc_loop_epoll_ops = {
	.name = "epoll",
	.open = epoll_open,
	.close = epoll_close,
	.arm = epoll_arm,
	.disarm = epoll_disarm,
	.wait = epoll_wait_dispatch,
};
