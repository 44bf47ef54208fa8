/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's event loop: descriptors and timers on one thread, on io_uring. Where the kernel or a
 * seccomp filter refuses io_uring (kernel.io_uring_disabled, EPERM, ENOSYS) the same interface runs
 * on epoll and timerfd; `drpc doctor` says which.
 *
 * Callbacks run on the thread of drpc_loop_run() and may add and remove sources, their own too.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct drpc_loop;
struct drpc_source;

/* `events` are poll(2) bits that occurred; 0 for timers. */
typedef void (*drpc_source_fn)(struct drpc_source *source, uint32_t events, void *arg);

enum drpc_loop_backend {
	DRPC_LOOP_ANY, /* io_uring, else epoll */
	DRPC_LOOP_URING,
	DRPC_LOOP_EPOLL,
};

/* Returns 0, or a negative errno (the backend asked for is refused by the kernel). */
int drpc_loop_new(enum drpc_loop_backend backend, struct drpc_loop **ret);
void drpc_loop_free(struct drpc_loop **loop); /* NULL-safe; frees every source, closes no fd */

/* "io_uring" or "epoll". */
const char *drpc_loop_name(const struct drpc_loop *loop);

/* Watches `fd` (borrowed: stays the caller's) for poll(2) `events`, level-triggered. */
int drpc_loop_add_fd(struct drpc_loop *loop, int fd, uint32_t events, drpc_source_fn fn, void *arg,
		     struct drpc_source **ret);

/*
 * Calls back every `interval_ns`, first after one interval. Absolute schedule: a late call does not
 * shift the next ones, and intervals missed altogether are skipped, not made up for.
 */
int drpc_loop_add_timer(struct drpc_loop *loop, uint64_t interval_ns, drpc_source_fn fn, void *arg,
			struct drpc_source **ret);

/* NULL-safe; nulls its argument; no callback comes after it returns. */
void drpc_loop_remove(struct drpc_loop *loop, struct drpc_source **source);

/* Runs until drpc_loop_stop(). Returns the code given there, or a negative errno. */
int drpc_loop_run(struct drpc_loop *loop);

/* From a callback: drpc_loop_run() returns `code` (>= 0) after it. */
void drpc_loop_stop(struct drpc_loop *loop, int code);
