// SPDX-License-Identifier: Apache-2.0
/*
 * A container that runs into its memory limit: its stalls in reclaim, its OOM kill, on each rung.
 * Needs the memory controller on cgroup2.
 */
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "lib/hist.h"
#include "lib/util.h"
#include "tests/bpf/lib/cg.h"
#include "tests/lib/tap.h"

#define LIMIT "16M"

static struct drpc_event kills[8];
static int n_kills;

static void on_event(const struct drpc_event *event, void *unused)
{
	(void)unused;
	if (event->kind == DRPC_EVENT_OOM_KILL && n_kills < (int)DRPC_ARRAY_SIZE(kills))
		kills[n_kills++] = *event;
}

static void too_much(void *unused)
{
	size_t bytes = 128 * DRPC_MIB;
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)unused;
	for (size_t i = 0; i < bytes; i += 4096)
		p[i] = 1;
}

/* Lets a process of `name` be killed for want of memory; its pid, 0 where it was not killed. */
static pid_t run_out(const char *name, uint64_t *ret_ns)
{
	uint64_t from = drpc_now_ns();
	pid_t pid = cg_spawn(name, -1, too_much, NULL);
	int status;

	waitpid(pid, &status, 0);
	*ret_ns = drpc_now_ns() - from;
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? pid : 0;
}

static void test_rung(const char *force, const char *rung)
{
	struct drpc_kernel *kernel =
		cg_open((struct drpc_kernel_options){.memory = true, .force_rung = force});
	struct drpc_slot_shard counters;
	uint64_t id, took, stalls;
	uint32_t slot;
	pid_t pid;

	if (!kernel || strcmp(cg_rung(kernel, "OOM kill"), rung) != 0) {
		tap_skip("this kernel refuses it", rung);
		drpc_kernel_close(&kernel);
		return;
	}
	cg_make("box");
	cg_write("box", "memory.max", LIMIT);
	cg_make("box/inner");
	drpc_kernel_consume(kernel, on_event, NULL);

	n_kills = 0;
	pid = run_out("box/inner", &took);
	drpc_kernel_consume(kernel, on_event, NULL);
	tap_ok(pid && n_kills == 0, "%s: a kill in a cgroup that is not tracked is no event", rung);

	id = cg_id("box");
	if (drpc_kernel_track(kernel, id, &slot) < 0)
		cg_die("cannot track");
	pid = run_out("box/inner", &took);
	drpc_kernel_consume(kernel, on_event, NULL);
	tap_ok(pid && n_kills == 1 && kills[0].pid == (uint32_t)pid,
	       "%s: the kill is one event, of the right process (%d)", rung, n_kills);
	tap_ok(n_kills == 1 && kills[0].cgroup_id == id && kills[0].slot == slot,
	       "%s: of the tracked cgroup around it", rung);
	drpc_kernel_read_slot(kernel, slot, &counters);
	tap_ok(counters.oom_kills == 1, "%s: and counted (%llu)", rung,
	       (unsigned long long)counters.oom_kills);
	stalls = drpc_hist_count(counters.hist[DRPC_HIST_RECLAIM]);
	printf("# %llu stalls, %.3f ms of %.3f ms\n", (unsigned long long)stalls,
	       (double)counters.sum_ns[DRPC_HIST_RECLAIM] / 1e6, (double)took / 1e6);
	tap_ok(stalls > 0 && counters.sum_ns[DRPC_HIST_RECLAIM] > 0 &&
		       counters.sum_ns[DRPC_HIST_RECLAIM] < took,
	       "%s: it stood still in reclaim before, for a part of its life", rung);

	drpc_kernel_untrack(kernel, id, slot);
	cg_remove("box/inner");
	cg_remove("box");
	drpc_kernel_close(&kernel);
}

int main(void)
{
	struct drpc_kernel *kernel;

	cg_begin();
	kernel = cg_open((struct drpc_kernel_options){.memory = true});
	tap_ok(kernel && *cg_rung(kernel, "reclaim, own limit") &&
		       *cg_rung(kernel, "reclaim, whole node") && *cg_rung(kernel, "OOM kill"),
	       "the programs load");
	if (kernel)
		cg_show(kernel);
	drpc_kernel_close(&kernel);
	if (!cg_enable("memory")) {
		tap_skip("no memory controller on cgroup2", "stalls and OOM kills");
		return tap_done();
	}
	test_rung(NULL, "tp_btf/mark_victim");
	test_rung("memory=exit", "tp_btf/mark_victim + exit");
	return tap_done();
}
