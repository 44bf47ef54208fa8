/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container engine in memory: keeps limits as an engine does, writes the cgroup's files as a
 * runtime does, answers when it is dispatched, and fails as it is told to.
 */
#pragma once

#include <errno.h>
#include <sys/eventfd.h>

#include "agent/runtime/runtime.h"
#include "tests/unit/agent/execute/fixture.h"

#define FAKE_MAX 8

struct fake_call {
	char id[DRPC_ID_MAX];
	drpc_runtime_container_fn fn;
	void *arg;
	bool change;
	struct drpc_runtime_limits update;
};

struct fake_runtime {
	struct drpc_runtime rt;	  /* first */
	const struct fixture *fx; /* NULL: writes no files */
	int event_fd;
	struct drpc_runtime_container containers[FAKE_MAX];
	size_t count;
	struct fake_call calls[64];
	size_t pending;
	unsigned int inspects, updates;
	int fail;      /* every answer, while not 0 */
	bool hold;     /* answers nothing */
	bool conflict; /* more than one call at once for a container */
};

static inline struct fake_runtime *fake_of(struct drpc_runtime *rt)
{
	return (struct fake_runtime *)(void *)rt;
}

static inline struct drpc_runtime_container *fake_container(struct fake_runtime *f, const char *id)
{
	for (size_t i = 0; i < f->count; i++) {
		if (strcmp(f->containers[i].id, id) == 0)
			return &f->containers[i];
	}
	return NULL;
}

static inline int fake_push(struct fake_runtime *f, const char *id, drpc_runtime_container_fn fn,
			    void *arg, const struct drpc_runtime_limits *update)
{
	uint64_t one = 1;

	if (f->rt.state != DRPC_RUNTIME_READY)
		return -EHOSTDOWN;
	for (size_t i = 0; i < f->pending; i++)
		f->conflict |= strcmp(f->calls[i].id, id) == 0;
	cr_assert_lt(f->pending, 64);
	f->calls[f->pending] = (struct fake_call){.fn = fn, .arg = arg, .change = update != NULL};
	if (update)
		f->calls[f->pending].update = *update;
	drpc_strcpy(f->calls[f->pending++].id, DRPC_ID_MAX, id);
	cr_assert_eq(write(f->event_fd, &one, sizeof(one)), (ssize_t)sizeof(one));
	return 0;
}

static inline void fake_write_files(struct fake_runtime *f, struct drpc_runtime_container *c)
{
	char text[64], path[80];
	struct drpc_limits view;

	if (!f->fx || !c->running)
		return;
	snprintf(path, sizeof(path), "/%s", c->id);
	drpc_runtime_limits_view(&c->limits, &view);
	if (view.cpu_quota_usec == DRPC_UNLIMITED)
		drpc_strcpy(text, sizeof(text), "max 100000\n");
	else
		snprintf(text, sizeof(text), "%llu %llu\n", (unsigned long long)view.cpu_quota_usec,
			 (unsigned long long)view.cpu_period_usec);
	fixture_put(f->fx, path, "cpu.max", text);
	if (view.mem_max_bytes != DRPC_UNLIMITED) {
		snprintf(text, sizeof(text), "%llu\n", (unsigned long long)view.mem_max_bytes);
		fixture_put(f->fx, path, "memory.max", text);
	}
}

static inline void fake_change(struct fake_runtime *f, struct drpc_runtime_container *c,
			       const struct drpc_runtime_limits *u)
{
	f->updates++;
	if (u->nano_cpus)
		c->limits.nano_cpus = u->nano_cpus;
	if (u->cpu_quota_usec)
		c->limits.cpu_quota_usec = u->cpu_quota_usec;
	if (u->cpu_period_usec)
		c->limits.cpu_period_usec = u->cpu_period_usec;
	if (u->memory_bytes) {
		c->limits.memory_bytes = u->memory_bytes;
		c->limits.memory_swap_bytes = u->memory_swap_bytes;
	}
	fake_write_files(f, c);
}

/* Answers what is pending now, not what the answers lead to. */
static inline void fake_dispatch(struct drpc_runtime *rt)
{
	struct fake_runtime *f = fake_of(rt);
	struct fake_call calls[64];
	size_t n = f->pending;
	uint64_t count;

	if (f->hold)
		return;
	if (read(f->event_fd, &count, sizeof(count)) < 0)
		cr_assert_eq(errno, EAGAIN);
	memcpy(calls, f->calls, sizeof(calls));
	f->pending = 0;
	for (size_t i = 0; i < n; i++) {
		struct drpc_runtime_container *c = fake_container(f, calls[i].id);
		int err = f->fail ? f->fail : c ? 0 : -ENOENT;

		if (!err && calls[i].change)
			fake_change(f, c, &calls[i].update);
		f->inspects += !err && !calls[i].change;
		calls[i].fn(calls[i].arg, err, err ? "told to fail" : "", err ? NULL : c);
	}
}

static inline int fake_fd(const struct drpc_runtime *rt)
{
	return ((const struct fake_runtime *)(const void *)rt)->event_fd;
}

static inline int fake_inspect(struct drpc_runtime *rt, const char *id,
			       drpc_runtime_container_fn fn, void *arg)
{
	return fake_push(fake_of(rt), id, fn, arg, NULL);
}

static inline int fake_update(struct drpc_runtime *rt, const char *id,
			      const struct drpc_runtime_limits *present,
			      const struct drpc_limits *target, uint32_t what,
			      drpc_runtime_container_fn fn, void *arg)
{
	struct drpc_runtime_limits update;
	int r = drpc_runtime_limits_update(present, target, what, 64, &update);

	return r < 0 ? r : fake_push(fake_of(rt), id, fn, arg, &update);
}

static inline int fake_restore(struct drpc_runtime *rt, const char *id,
			       const struct drpc_runtime_limits *original, uint32_t what,
			       drpc_runtime_container_fn fn, void *arg)
{
	struct drpc_runtime_container *c = fake_container(fake_of(rt), id);
	struct drpc_runtime_limits update = {0};

	if (c)
		drpc_runtime_limits_restore(&c->limits, original, what, 64, &update);
	return fake_push(fake_of(rt), id, fn, arg, &update);
}

static inline void fake_free(struct drpc_runtime *rt)
{
	struct fake_runtime *f = fake_of(rt);

	for (size_t i = 0; i < f->pending; i++)
		f->calls[i].fn(f->calls[i].arg, -ECANCELED, "freed", NULL);
	f->pending = 0;
	close(f->event_fd);
}

static inline void fake_open(struct fake_runtime *f, const struct fixture *fx)
{
	static const struct drpc_runtime_ops ops = {
		.fd = fake_fd,
		.dispatch = fake_dispatch,
		.inspect = fake_inspect,
		.update = fake_update,
		.restore = fake_restore,
		.free = fake_free,
	};

	*f = (struct fake_runtime){
		.rt = {.ops = &ops, .state = DRPC_RUNTIME_READY, .kind = "fake", .remembers = true},
		.fx = fx};
	f->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	cr_assert_geq(f->event_fd, 0);
}

static inline struct drpc_runtime_container *fake_add(struct fake_runtime *f, const char *id)
{
	struct drpc_runtime_container *c = &f->containers[f->count++];

	drpc_strcpy(c->id, sizeof(c->id), id);
	drpc_strcpy(c->name, sizeof(c->name), id);
	c->running = true;
	return c;
}

/* Until nothing is left to answer. */
static inline void fake_run(struct fake_runtime *f)
{
	for (int i = 0; i < 100 && f->pending; i++)
		fake_dispatch(&f->rt);
	cr_assert_eq(f->pending, 0);
}
