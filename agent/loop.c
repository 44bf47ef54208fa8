// SPDX-License-Identifier: Apache-2.0
#include "agent/loop.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "agent/loop_internal.h"
#include "lib/log.h"
#include "lib/util.h"

void drpc_source_advance(struct drpc_source *source, uint64_t now_ns)
{
	source->due_ns += source->interval_ns;
	if (source->due_ns <= now_ns)
		source->due_ns +=
			(now_ns - source->due_ns) / source->interval_ns * source->interval_ns +
			source->interval_ns;
}

void drpc_source_dispatch(struct drpc_source *source, uint32_t events)
{
	if (!source->dead)
		source->fn(source, events, source->arg);
}

static int loop_open(const struct drpc_loop_ops *ops, struct drpc_loop **ret)
{
	struct drpc_loop *loop = calloc(1, sizeof(*loop));
	int r;

	if (!loop)
		return -ENOMEM;
	loop->ops = ops;
	r = ops->open(loop);
	if (r < 0) {
		free(loop);
		return r;
	}
	*ret = loop;
	return 0;
}

int drpc_loop_new(enum drpc_loop_backend backend, struct drpc_loop **ret)
{
	int r;

	if (backend == DRPC_LOOP_EPOLL)
		return loop_open(&drpc_loop_epoll_ops, ret);

	r = loop_open(&drpc_loop_uring_ops, ret);
	if (r == 0 || backend == DRPC_LOOP_URING)
		return r;
	drpc_info("loop: this kernel refuses io_uring (errno %d), using epoll", -r);
	return loop_open(&drpc_loop_epoll_ops, ret);
}

/* Frees dead sources that the kernel no longer refers to. */
static void sources_reap(struct drpc_loop *loop, bool all)
{
	struct drpc_source **at = &loop->sources;

	while (*at) {
		struct drpc_source *source = *at;

		if (!all && !(source->dead && !source->in_kernel)) {
			at = &source->next;
			continue;
		}
		*at = source->next;
		free(source);
	}
}

void drpc_loop_free(struct drpc_loop **loop)
{
	if (!*loop)
		return;
	for (struct drpc_source *s = (*loop)->sources; s; s = s->next) {
		if (!s->dead)
			(*loop)->ops->disarm(*loop, s);
	}
	(*loop)->ops->close(*loop);
	sources_reap(*loop, true);
	free(*loop);
	*loop = NULL;
}

const char *drpc_loop_name(const struct drpc_loop *loop)
{
	return loop->ops->name;
}

static int source_add(struct drpc_loop *loop, const struct drpc_source *template,
		      struct drpc_source **ret)
{
	struct drpc_source *source = malloc(sizeof(*source));
	int r;

	if (!source)
		return -ENOMEM;
	*source = *template;
	source->loop = loop;
	r = loop->ops->arm(loop, source);
	if (r < 0) {
		free(source);
		return r;
	}
	source->next = loop->sources;
	loop->sources = source;
	*ret = source;
	return 0;
}

int drpc_loop_add_fd(struct drpc_loop *loop, int fd, uint32_t events, drpc_source_fn fn, void *arg,
		     struct drpc_source **ret)
{
	return source_add(
		loop, &(struct drpc_source){.fn = fn, .arg = arg, .fd = fd, .events = events}, ret);
}

int drpc_loop_add_timer(struct drpc_loop *loop, uint64_t interval_ns, drpc_source_fn fn, void *arg,
			struct drpc_source **ret)
{
	assert(interval_ns > 0);
	return source_add(loop,
			  &(struct drpc_source){.fn = fn,
						.arg = arg,
						.fd = -1,
						.interval_ns = interval_ns,
						.due_ns = drpc_now_ns() + interval_ns},
			  ret);
}

void drpc_loop_remove(struct drpc_loop *loop, struct drpc_source **source)
{
	if (!*source)
		return;
	loop->ops->disarm(loop, *source);
	(*source)->dead = true;
	*source = NULL;
}

int drpc_loop_run(struct drpc_loop *loop)
{
	loop->stopping = false;
	while (!loop->stopping) {
		int r = loop->ops->wait(loop);

		if (r < 0 && r != -EINTR)
			return drpc_err(r, "loop: waiting for events failed");
		sources_reap(loop, false);
	}
	return loop->code;
}

void drpc_loop_stop(struct drpc_loop *loop, int code)
{
	loop->stopping = true;
	loop->code = code;
}
