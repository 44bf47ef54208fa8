// SPDX-License-Identifier: Apache-2.0
#include "agent/monitor/sampler.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "agent/monitor/cgroup_files.h"
#include "agent/monitor/series.h"
#include "agent/monitor/use.h"
#include "lib/log.h"
#include "lib/util.h"

/* A container at rest is left alone for a few ticks, and its series brought up to date then. */
#define TICKS_KEPT DRPC_RECENT_WINDOWS

struct drpc_sampler {
	struct drpc_kernel *kernel;
	struct drpc_cgroup_roots roots;
	bool iterator;	      /* the kernel's pass works */
	uint32_t file_groups; /* DRPC_CG_* groups that only the files have, as seen so far */
	/* The last ones, the very last at tick % TICKS_KEPT; 0 before the first. */
	uint64_t ticks_ns[TICKS_KEPT];
	size_t tick;
};

/* What the sampler keeps per container, beside the series. */
struct drpc_sample_state {
	struct drpc_cgroup_files *files;
	struct drpc_cgroup_counters from_files; /* last reading */
	uint64_t cpu_usage_usec;		/* when that was */
	uint64_t activity;			/* kernel's, at the last window */
	uint64_t attached_ns;
	bool read_once;
};

int drpc_sampler_new(struct drpc_kernel *kernel, struct drpc_sampler **ret)
{
	struct drpc_sampler *sampler = calloc(1, sizeof(*sampler));
	int r;

	if (!sampler)
		return -ENOMEM;
	sampler->kernel = kernel;
	sampler->roots = DRPC_CGROUP_ROOTS_NONE;
	r = drpc_cgroup_roots_open(&sampler->roots);
	if (r < 0) {
		free(sampler);
		return r;
	}
	sampler->iterator = kernel && drpc_kernel_scan_cgroups(kernel) == 0;
	*ret = sampler;
	return 0;
}

void drpc_sampler_free(struct drpc_sampler **sampler)
{
	if (!*sampler)
		return;
	drpc_cgroup_roots_close(&(*sampler)->roots);
	free(*sampler);
	*sampler = NULL;
}

static void sample_container(struct drpc_sampler *sampler, struct drpc_container *c,
			     uint64_t now_ns);

int drpc_sampler_attach(struct drpc_sampler *sampler, struct drpc_container *container)
{
	struct drpc_cgroup_paths paths = {.v2 = container->cgroup};
	char v1_cpu[PATH_MAX], v1_memory[PATH_MAX];
	struct drpc_sample_state *state;
	bool is_new = !container->series;
	int r;

	if (!container->series) {
		r = drpc_series_new(&container->series);
		if (r < 0)
			return r;
	}
	if (!container->sample) {
		container->sample = calloc(1, sizeof(*container->sample));
		if (!container->sample)
			return -ENOMEM;
	}
	state = container->sample;
	drpc_cgroup_files_close(&state->files);
	if (container->init_pid > 0 &&
	    drpc_cgroup_v1_paths(container->init_pid, v1_cpu, v1_memory, PATH_MAX) == 0) {
		paths.v1_cpu = v1_cpu[0] ? v1_cpu : NULL;
		paths.v1_memory = v1_memory[0] ? v1_memory : NULL;
	}
	r = drpc_cgroup_files_open(&sampler->roots, &paths, &state->files);
	/* The base now, not at the next tick: what is served until then counts. */
	if (is_new) {
		state->attached_ns = drpc_now_ns();
		sample_container(sampler, container, state->attached_ns);
	}
	return r;
}

void drpc_sampler_detach(struct drpc_container *container)
{
	if (container->sample)
		drpc_cgroup_files_close(&container->sample->files);
	free(container->sample);
	container->sample = NULL;
	drpc_series_free(&container->series);
	drpc_use_free(&container->use);
}

/* Fills in the groups that `into` lacks. */
static void counters_merge(struct drpc_cgroup_counters *into,
			   const struct drpc_cgroup_counters *from)
{
	uint32_t missing = from->valid & ~into->valid;

	if (missing & DRPC_CG_CPU)
		into->cpu_usage_usec = from->cpu_usage_usec;
	if (missing & DRPC_CG_THROTTLE) {
		into->nr_periods = from->nr_periods;
		into->nr_throttled = from->nr_throttled;
		into->throttled_usec = from->throttled_usec;
	}
	if (missing & DRPC_CG_PSI_CPU) {
		into->cpu_some_usec = from->cpu_some_usec;
		into->cpu_full_usec = from->cpu_full_usec;
	}
	if (missing & DRPC_CG_PSI_MEM) {
		into->mem_some_usec = from->mem_some_usec;
		into->mem_full_usec = from->mem_full_usec;
	}
	if (missing & DRPC_CG_PSI_IO) {
		into->io_some_usec = from->io_some_usec;
		into->io_full_usec = from->io_full_usec;
	}
	if (missing & DRPC_CG_MEM) {
		into->mem_current_bytes = from->mem_current_bytes;
		into->mem_working_set_bytes = from->mem_working_set_bytes;
	}
	if (missing & DRPC_CG_OOM)
		into->oom_kills = from->oom_kills;
	into->valid |= missing;
}

static void sample_cgroup(struct drpc_sampler *sampler, struct drpc_container *c,
			  struct drpc_cgroup_counters *ret)
{
	struct drpc_sample_state *state = c->sample;
	bool from_iterator;

	memset(ret, 0, sizeof(*ret));
	from_iterator = sampler->iterator && c->slot != DRPC_SLOT_OTHER &&
			drpc_kernel_cgroup(sampler->kernel, c->slot, ret);
	if (!state->files)
		return;
	/* Once read, we know which groups only the files have; none: leave them alone. */
	if (from_iterator && state->read_once &&
	    ((state->from_files.valid & ~ret->valid) == 0 ||
	     ret->cpu_usage_usec == state->cpu_usage_usec)) {
		counters_merge(ret, &state->from_files);
		return;
	}
	if (drpc_cgroup_files_read(state->files, &state->from_files) < 0)
		return;
	state->read_once = true;
	state->cpu_usage_usec = ret->cpu_usage_usec;
	if (from_iterator)
		sampler->file_groups |= state->from_files.valid & ~ret->valid;
	counters_merge(ret, &state->from_files);
}

static void push(struct drpc_container *c, uint64_t now_ns, const struct drpc_slot_shard *slot,
		 const struct drpc_cgroup_counters *cg)
{
	if (drpc_series_push(c->series, now_ns, slot, cg) < 0)
		drpc_warn("monitor: no memory for the measurements of %s, ignoring", c->name);
}

/* The windows that a container slept through, which end before `until_ns`. */
static void push_idle(const struct drpc_sampler *sampler, struct drpc_container *c,
		      uint64_t until_ns)
{
	for (size_t i = 1; i <= TICKS_KEPT; i++) {
		uint64_t tick_ns = sampler->ticks_ns[(sampler->tick + i) % TICKS_KEPT];

		if (tick_ns > drpc_series_end_ns(c->series) && tick_ns < until_ns)
			push(c, tick_ns, NULL, drpc_series_counters(c->series));
	}
}

static void sample_container(struct drpc_sampler *sampler, struct drpc_container *c,
			     uint64_t now_ns)
{
	struct drpc_sample_state *state = c->sample;
	struct drpc_slot_shard slot;
	struct drpc_cgroup_counters cg;
	bool moved = false;

	if (drpc_series_end_ns(c->series))
		push_idle(sampler, c, now_ns);
	sample_cgroup(sampler, c, &cg);
	if (sampler->kernel && c->slot != DRPC_SLOT_OTHER) {
		uint64_t activity = drpc_kernel_activity(sampler->kernel, c->slot);

		/* A slot's former owner may have left counts: the first window reads the base. */
		moved = activity != state->activity;
		state->activity = activity;
		if (moved)
			drpc_kernel_read_slot(sampler->kernel, c->slot, &slot);
	}
	push(c, now_ns, moved ? &slot : NULL, &cg);
}

void drpc_sampler_tick(struct drpc_sampler *sampler, struct drpc_roster *roster, uint64_t now_ns)
{
	/* Of a window that is shorter than this, shares and rates say nothing: it is left to grow. */
	uint64_t last_ns = sampler->ticks_ns[sampler->tick];
	uint64_t sliver_ns = last_ns ? (now_ns - last_ns) / 2 : 0;
	struct drpc_container *c = NULL;

	sampler->tick = (sampler->tick + 1) % TICKS_KEPT;
	sampler->ticks_ns[sampler->tick] = now_ns;
	if (sampler->iterator && drpc_kernel_scan_cgroups(sampler->kernel) < 0) {
		drpc_warn("monitor: the cgroup iterator stopped working, reading files instead");
		sampler->iterator = false;
	}
	while ((c = drpc_roster_next(roster, c))) {
		c->at_rest =
			sampler->iterator && drpc_kernel_cgroup_at_rest(sampler->kernel, c->slot);
		if (!c->at_rest && c->series && c->sample &&
		    now_ns - c->sample->attached_ns >= sliver_ns)
			sample_container(sampler, c, now_ns);
	}
}

void drpc_sampler_catch_up(const struct drpc_sampler *sampler, struct drpc_container *container)
{
	if (container->at_rest && container->series && drpc_series_end_ns(container->series))
		push_idle(sampler, container, UINT64_MAX);
}

const char *drpc_sampler_source(const struct drpc_sampler *sampler)
{
	if (!sampler->iterator)
		return "files";
	return sampler->file_groups ? "cgroup iterator and files" : "cgroup iterator";
}
