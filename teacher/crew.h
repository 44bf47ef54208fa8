/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that work through numbered pieces of a job while the caller does something else. Which
 * thread takes which piece is left open: pieces must not touch each other.
 */
#pragma once

#include <stddef.h>

struct drpc_crew;

/* `jobs` - 1 threads: the caller is the last one, in drpc_crew_finish(). Negative errno; logged. */
int drpc_crew_new(unsigned int jobs, struct drpc_crew **ret);
void drpc_crew_free(struct drpc_crew **crew);

/* Begins work(arg, 0) .. work(arg, pieces - 1); returns at once. */
void drpc_crew_start(struct drpc_crew *crew, size_t pieces, int (*work)(void *arg, size_t piece),
		     void *arg);

/* Works along and waits for the rest. The result of the first piece that failed, in their order. */
int drpc_crew_finish(struct drpc_crew *crew);
