// SPDX-License-Identifier: Apache-2.0
#include "agent/monitor/use.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/hist.h"
#include "lib/util.h"

/* The scheme of latencies serves: a thousandth of a CPU is a millisecond of it, a KiB a nanosecond;
 * so it reaches from 0.001 mCPU to 64 CPUs, from 1 MiB to 64 TiB. */
#define MCPU_NS 1000000.0
#define KIB	1024.0

struct drpc_use {
	uint64_t begun_ns, last_ns;
	uint64_t covered_ns; /* by windows; the rest it was idle */
	uint64_t windows;
	uint32_t cpu[DRPC_HIST_BUCKETS], mem[DRPC_HIST_BUCKETS];
	double cpu_max_mcpu, mem_max_bytes;
	uint64_t periods, throttled, cpu_some_usec, mem_some_usec, oom_kills;
	uint64_t total_ns, queue_ns; /* of requests */
};

static unsigned int bucket(double ns)
{
	return drpc_hist_index(ns < 1e18 ? (uint64_t)ns : UINT64_MAX);
}

int drpc_use_push(struct drpc_use **use, const struct drpc_window_scalars *w)
{
	struct drpc_use *u = *use;
	double mcpu, bytes = (double)w->cg.mem_working_set_bytes;

	if (!(w->cg.valid & DRPC_CG_CPU) || w->end_ns <= w->start_ns ||
	    (u && w->end_ns <= u->last_ns))
		return 0;
	if (!u) {
		u = *use = calloc(1, sizeof(*u));
		if (!u)
			return -ENOMEM;
		u->begun_ns = w->start_ns;
	}
	mcpu = (double)w->cg.cpu_usage_usec * 1e6 / (double)(w->end_ns - w->start_ns);
	u->last_ns = w->end_ns;
	u->covered_ns += w->end_ns - w->start_ns;
	u->windows++;
	u->cpu[bucket(mcpu * MCPU_NS)]++;
	u->cpu_max_mcpu = DRPC_MAX(u->cpu_max_mcpu, mcpu);
	if (w->cg.valid & DRPC_CG_MEM) {
		u->mem[bucket(bytes / KIB)]++;
		u->mem_max_bytes = DRPC_MAX(u->mem_max_bytes, bytes);
	}
	u->periods += w->cg.nr_periods;
	u->throttled += w->cg.nr_throttled;
	u->cpu_some_usec += w->cg.cpu_some_usec;
	u->mem_some_usec += w->cg.mem_some_usec;
	u->oom_kills += w->cg.oom_kills;
	u->total_ns += w->sum_ns[DRPC_HIST_TOTAL];
	u->queue_ns += w->sum_ns[DRPC_HIST_QUEUE];
	return 0;
}

void drpc_use_free(struct drpc_use **use)
{
	free(*use);
	*use = NULL;
}

static double share(double part, double whole)
{
	return whole > 0 ? DRPC_MIN(part / whole, 1.0) : 0;
}

void drpc_use_view(const struct drpc_use *u, uint64_t now_ns, struct drpc_use_view *ret)
{
	uint32_t cpu[DRPC_HIST_BUCKETS];
	double watched_ns, idle;

	*ret = (struct drpc_use_view){0};
	if (!u)
		return;
	watched_ns = (double)(DRPC_MAX(now_ns, u->last_ns) - u->begun_ns);
	/* Windows in which nothing ran are not pushed one by one. */
	idle = (watched_ns - (double)u->covered_ns) * (double)u->windows / (double)u->covered_ns;
	memcpy(cpu, u->cpu, sizeof(cpu));
	cpu[0] += idle > 0 ? (uint32_t)DRPC_MIN(idle, 4e9 - cpu[0]) : 0;
	ret->watched_sec = watched_ns / 1e9;
	ret->cpu_p50_mcpu = drpc_hist_quantile_ns(cpu, 0.5) / MCPU_NS;
	ret->cpu_p99_mcpu = DRPC_MIN(drpc_hist_quantile_ns(cpu, 0.99) / MCPU_NS, u->cpu_max_mcpu);
	ret->cpu_max_mcpu = u->cpu_max_mcpu;
	ret->mem_p99_bytes = DRPC_MIN(drpc_hist_quantile_ns(u->mem, 0.99) * KIB, u->mem_max_bytes);
	ret->mem_max_bytes = u->mem_max_bytes;
	ret->throttled_share = share((double)u->throttled, (double)u->periods);
	ret->cpu_pressure = share((double)u->cpu_some_usec * 1e3, watched_ns);
	ret->mem_pressure = share((double)u->mem_some_usec * 1e3, watched_ns);
	ret->queue_share = share((double)u->queue_ns, (double)u->total_ns);
	ret->oom_kills = u->oom_kills;
}
