/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Experience on its way out of the thread that records it: a bounded queue, any number of threads push,
 * one pops. A push copies and never waits, allocates or calls the kernel (but to wake a reader that
 * sleeps). Where the queue is full the new record is dropped and counted: to make room it would have to
 * wait for the reader, which may be off the processor in the middle of a record. Tested under
 * ThreadSanitizer.
 */
#pragma once

#include <stdbool.h>

#include "link/experience.h"

struct drpc_queue;

/* Room for `records`, rounded up to a power of two, 16 or more. -ENOMEM, -EINVAL; logged. */
int drpc_queue_new(size_t records, struct drpc_queue **ret);
void drpc_queue_free(struct drpc_queue **queue); /* NULL-safe; nulls */

/* 0, or -ENOBUFS where it is full. */
int drpc_queue_push(struct drpc_queue *queue, const struct drpc_experience *x);

/* False where it is empty. */
bool drpc_queue_pop(struct drpc_queue *queue, struct drpc_experience *ret);

/* Waits until there is something to pop, drpc_queue_wake(), or the time is over. The popping thread. */
void drpc_queue_wait(struct drpc_queue *queue, unsigned int timeout_ms);

/* From any thread: ends a wait, the present or the next one. */
void drpc_queue_wake(struct drpc_queue *queue);

uint64_t drpc_queue_pushed(const struct drpc_queue *queue);
uint64_t drpc_queue_dropped(const struct drpc_queue *queue);
