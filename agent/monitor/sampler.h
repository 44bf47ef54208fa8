/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes one window of every container: the kernel's histograms, and the cgroup's counters from the
 * iterator's single pass, from the files where the iterator cannot tell (on hybrid hosts, or
 * without BPF). Files of a cgroup that used no CPU since they were last read are not read again.
 */
#pragma once

#include "agent/monitor/kernel.h"
#include "agent/roster.h"

struct drpc_sampler;

/* `kernel` (borrowed) may be NULL: then there are only files. */
int drpc_sampler_new(struct drpc_kernel *kernel, struct drpc_sampler **ret);
void drpc_sampler_free(struct drpc_sampler **sampler); /* NULL-safe; nulls */

/* Opens what a new container needs (its init_pid, if known, leads to v1 folders). Returns 0 or a
 * negative errno: the container is then sampled from the kernel's counters alone. */
int drpc_sampler_attach(struct drpc_sampler *sampler, struct drpc_container *container);

/* Frees a container's series and files. */
void drpc_sampler_detach(struct drpc_container *container);

/*
 * One window for everybody; for a container at rest (container->at_rest), which used no CPU in it,
 * only when it is at rest no more, within DRPC_CGROUP_REST ticks, or by drpc_sampler_catch_up().
 * Until then its series ends at an earlier tick. Requests that nobody took up, because whoever should
 * was given no CPU at all, are seen as late.
 */
void drpc_sampler_tick(struct drpc_sampler *sampler, struct drpc_roster *roster, uint64_t now_ns);

/* Brings the series of a container at rest up to the last tick. */
void drpc_sampler_catch_up(const struct drpc_sampler *sampler, struct drpc_container *container);

/* "cgroup iterator", "files" or both, for doctor and status. */
const char *drpc_sampler_source(const struct drpc_sampler *sampler);
