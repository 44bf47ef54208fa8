// SPDX-License-Identifier: Apache-2.0
/*
 * Run-queue latency against the scheduler's own books (/proc/PID/schedstat): the waits and the
 * switch-ins of a container's tasks, on each rung of the ladder; and what the hook costs.
 */
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/hist.h"
#include "lib/util.h"
#include "tests/bpf/lib/cg.h"
#include "tests/lib/tap.h"

#define TASKS 3

struct truth {
	uint64_t wait_ns, switches;
};

static struct truth books(const pid_t *pids, int n)
{
	struct truth t = {0};

	for (int i = 0; i < n; i++) {
		uint64_t wait, switches;

		if (!cg_schedstat(pids[i], &wait, &switches))
			cg_die("no schedstat of %d", pids[i]);
		t.wait_ns += wait;
		t.switches += switches;
	}
	return t;
}

static void stop_all(const pid_t *pids, int n)
{
	for (int i = 0; i < n; i++)
		cg_stop(pids[i]);
}

/* Lets stopped burners run for a while: what the scheduler says of that, and what we say. */
static void run_for(struct drpc_kernel *kernel, uint32_t slot, const pid_t *pids, int n,
		    unsigned int ms, struct truth *ret_truth, struct drpc_slot_shard *ret)
{
	struct truth from = books(pids, n), to;
	struct drpc_slot_shard before, after;

	drpc_kernel_read_slot(kernel, slot, &before);
	for (int i = 0; i < n; i++)
		kill(pids[i], SIGCONT);
	cg_sleep_ms(ms);
	stop_all(pids, n);
	to = books(pids, n);
	drpc_kernel_read_slot(kernel, slot, &after);
	*ret_truth = (struct truth){to.wait_ns - from.wait_ns, to.switches - from.switches};
	*ret = after;
	ret->ctx_switches -= before.ctx_switches;
	ret->sum_ns[DRPC_HIST_RUNQ] -= before.sum_ns[DRPC_HIST_RUNQ];
	for (int b = 0; b < DRPC_HIST_BUCKETS; b++)
		ret->hist[DRPC_HIST_RUNQ][b] -= before.hist[DRPC_HIST_RUNQ][b];
}

static bool within(uint64_t a, uint64_t b, double share, uint64_t slack)
{
	uint64_t diff = a > b ? a - b : b - a;

	return (double)diff <= share * (double)b + (double)slack;
}

static void check(const char *what, const struct truth *truth, const struct drpc_slot_shard *got,
		  double share)
{
	uint64_t n = drpc_hist_count(got->hist[DRPC_HIST_RUNQ]);
	uint64_t sum = got->sum_ns[DRPC_HIST_RUNQ];

	printf("# %s: %llu switches (scheduler: %llu), %.3f ms waited (%.3f), p50 %.0f us\n", what,
	       (unsigned long long)got->ctx_switches, (unsigned long long)truth->switches,
	       (double)sum / 1e6, (double)truth->wait_ns / 1e6,
	       drpc_hist_quantile_ns(got->hist[DRPC_HIST_RUNQ], 0.5) / 1e3);
	tap_ok(truth->switches >= 4 && within(got->ctx_switches, truth->switches, 0.02, 2),
	       "%s: context switches are the scheduler's", what);
	tap_ok(within(n, got->ctx_switches, 0.02, 2), "%s: each switch-in is a value", what);
	tap_ok(truth->wait_ns > DRPC_NSEC_PER_MSEC && within(sum, truth->wait_ns, share, 500000),
	       "%s: the time waited is the scheduler's", what);
}

static void pin(const pid_t *pids, int n, int cpus)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	for (int i = 0; i < cpus; i++)
		CPU_SET(i, &set);
	for (int i = 0; i < n; i++)
		sched_setaffinity(pids[i], sizeof(set), &set);
}

static void test_rung(const char *force, const char *name, double share)
{
	struct drpc_kernel *kernel =
		cg_open((struct drpc_kernel_options){.sched = true, .force_rung = force});
	struct drpc_slot_shard got;
	struct truth truth;
	pid_t pids[TASKS];
	uint32_t slot, outer_slot;
	uint64_t id;
	bool moves;

	if (!kernel) {
		tap_ok(false, "%s: the kernel takes the programs", name);
		return;
	}
	cg_show(kernel);
	moves = !strstr(cg_rung(kernel, "run queue wait"), "no moves");
	cg_make("box");
	id = cg_make("box/inner");
	if (drpc_kernel_track(kernel, id, &slot) < 0)
		cg_die("cannot track");

	for (int i = 0; i < TASKS; i++) {
		pids[i] = cg_spawn("box/inner", 0, cg_burn, NULL);
		cg_stop(pids[i]);
	}
	run_for(kernel, slot, pids, 2, 600, &truth, &got);
	check("two tasks on one CPU", &truth, &got, share);

	if (sysconf(_SC_NPROCESSORS_ONLN) > 1 && moves) {
		pin(pids, TASKS, 2);
		run_for(kernel, slot, pids, TASKS, 1200, &truth, &got);
		check("three tasks over two CPUs", &truth, &got, share);
		pin(pids, TASKS, 1);
	}

	/* Another slot for the cgroup around it: caches must notice. */
	drpc_kernel_untrack(kernel, id, slot);
	if (drpc_kernel_track(kernel, cg_id("box"), &outer_slot) < 0)
		cg_die("cannot track");
	run_for(kernel, outer_slot, pids, 2, 500, &truth, &got);
	check("tasks in a cgroup below", &truth, &got, share);
	drpc_kernel_untrack(kernel, cg_id("box"), outer_slot);
	run_for(kernel, outer_slot, pids, 2, 100, &truth, &got);
	tap_ok(truth.switches > 0 && got.ctx_switches == 0, "%s: who is not tracked is not counted",
	       name);

	for (int i = 0; i < TASKS; i++)
		cg_kill(pids[i]);
	cg_remove("box/inner");
	cg_remove("box");
	drpc_kernel_close(&kernel);
}

/* --- cost ------------------------------------------------------------------------------------- */

#define ROUNDS	 15
#define EXCHANGE 250
#define BATCHES	 60

struct pipes {
	int there[2], back[2];
};

static void echo(void *arg)
{
	struct pipes *p = arg;
	char c;

	close(p->there[1]);
	while (read(p->there[0], &c, 1) == 1 && write(p->back[1], &c, 1) == 1) {}
}

/* Waits for a start, times batches, sends the best, which nobody disturbed: two switches an
 * exchange. */
static void ping(void *arg)
{
	struct pipes *p = arg;
	char c = 0;

	for (;;) {
		double best = 1e18;

		if (read(p[1].there[0], &c, 1) != 1)
			return;
		for (int b = 0; b < BATCHES; b++) {
			uint64_t t = drpc_now_ns();

			for (int i = 0; i < EXCHANGE; i++)
				if (write(p[0].there[1], &c, 1) != 1 ||
				    read(p[0].back[0], &c, 1) != 1)
					return;
			best = DRPC_MIN(best, (double)(drpc_now_ns() - t) / (2.0 * EXCHANGE));
		}
		if (write(p[1].back[1], &best, sizeof(best)) != (ssize_t)sizeof(best))
			return;
	}
}

static double measure(struct pipes *control)
{
	double ns;

	if (write(control->there[1], "", 1) != 1 ||
	    read(control->back[0], &ns, sizeof(ns)) != (ssize_t)sizeof(ns))
		cg_die("the pair of processes is gone");
	return ns;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Nanoseconds the hook adds to a switch between two processes on one CPU, in turns without, with. */
static double added_ns(struct pipes *control, bool tracked)
{
	double added[ROUNDS];

	for (int r = 0; r < ROUNDS; r++) {
		double without = measure(control), with;
		struct drpc_kernel *kernel = cg_open((struct drpc_kernel_options){.sched = true});
		uint32_t slot;

		if (!kernel || (tracked && drpc_kernel_track(kernel, cg_id("pair"), &slot) < 0))
			cg_die("cannot load");
		with = measure(control);
		drpc_kernel_close(&kernel);
		added[r] = with - without;
	}
	qsort(added, ROUNDS, sizeof(*added), by_value);
	return added[ROUNDS / 2];
}

static void test_cost(void)
{
	struct pipes p[2];
	pid_t a, b;

	if (cg_emulated()) {
		tap_skip("software emulation", "the hook costs at most 200 ns a switch");
		return;
	}
	for (int i = 0; i < 2; i++)
		if (pipe(p[i].there) < 0 || pipe(p[i].back) < 0)
			cg_die("pipe");
	cg_make("pair");
	a = cg_spawn("pair", 0, echo, &p[0]);
	b = cg_spawn("pair", 0, ping, p);
	for (int tracked = 1; tracked >= 0; tracked--) {
		double ns = added_ns(&p[1], tracked);

		tap_ok(ns <= 200, "%s task: the hook adds %.0f ns to a switch, at most 200",
		       tracked ? "a container's" : "any other", ns);
	}
	cg_kill(b);
	cg_kill(a);
	cg_remove("pair");
}

int main(void)
{
	uint64_t wait, switches;

	cg_begin();
	if (!cg_schedstat(getpid(), &wait, &switches)) {
		tap_skip("no /proc/PID/schedstat in this kernel", "run queue latency");
		return tap_done();
	}
	test_rung(NULL, "best rung", 0.01);
	test_rung("sched=no moves", "rung without moves", 0.01);
	test_rung("sched=sched_wakeup", "rung with time stamps", 0.1);
	test_cost();
	return tap_done();
}
