/* SPDX-License-Identifier: Apache-2.0 */
/* What agent/loop.c shares with its two backends. */
#pragma once

#include "agent/loop.h"

struct drpc_source {
	struct drpc_loop *loop;
	struct drpc_source *next; /* in loop->sources */
	drpc_source_fn fn;
	void *arg;
	int fd;		      /* watched descriptor, or the epoll backend's timerfd; -1 for none */
	uint32_t events;      /* poll(2) bits */
	uint64_t interval_ns; /* 0: a descriptor */
	uint64_t due_ns;      /* CLOCK_MONOTONIC, next call of a timer */
	bool in_kernel;	      /* a request is outstanding: must not be freed yet */
	bool dead;	      /* removed: no more callbacks */
};

struct drpc_loop_ops {
	const char *name;
	int (*open)(struct drpc_loop *loop);
	void (*close)(struct drpc_loop *loop);
	int (*arm)(struct drpc_loop *loop, struct drpc_source *source);
	void (*disarm)(struct drpc_loop *loop, struct drpc_source *source);
	/* Waits for at least one event and dispatches what there is. 0 or a negative errno. */
	int (*wait)(struct drpc_loop *loop);
};

struct drpc_loop {
	const struct drpc_loop_ops *ops;
	struct drpc_source *sources;
	void *backend;
	bool stopping;
	int code;
};

/* Moves a timer's due time past `now` on its own grid. */
void drpc_source_advance(struct drpc_source *source, uint64_t now_ns);

/* Calls the source back unless it is dead. */
void drpc_source_dispatch(struct drpc_source *source, uint32_t events);

extern const struct drpc_loop_ops drpc_loop_uring_ops;
extern const struct drpc_loop_ops drpc_loop_epoll_ops;
