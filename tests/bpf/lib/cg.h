// SPDX-License-Identifier: Apache-2.0
/*
 * Real cgroups and real processes for tests of BPF programs. Cgroups are made under the cgroup2
 * mount, below one folder named drpc-test-PID that cg_end() removes with all that is in it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/bpf.h>

#include "agent/monitor/kernel.h"
#include "agent/monitor/sample.h"
#include "tests/lib/tap.h"

/* Finds the cgroup2 mount and makes the test's folder. Ends the program with a skip where this
 * cannot be done (not root, no cgroup2). */
void cg_begin(void);
void cg_end(void);

const char *cg_mount(void);
/* The test's folder relative to the mount, "/drpc-test-PID". */
const char *cg_base(void);
/* A folder relative to the test's ("a/b"; "" for itself) as a path for system calls. */
const char *cg_path(const char *name);

/* Makes, removes; the id is the folder's inode. Failures end the program: nothing would be tested. */
uint64_t cg_make(const char *name);
void cg_remove(const char *name);
uint64_t cg_id(const char *name);

/* Whether cgroups below the test's folder have a controller ("memory"); turns it on. */
bool cg_enable(const char *controller);
void cg_write(const char *name, const char *file, const char *text);

/* Forks a process into a cgroup, on one CPU (-1: any), that runs fn(arg) and exits. Returns
 * once it is there. */
pid_t cg_spawn(const char *name, int cpu, void (*fn)(void *), void *arg);

/* Bodies of processes: burn until killed. */
void cg_burn(void *unused);

void cg_stop(pid_t pid); /* SIGSTOP, and waits until it is off the CPU */
void cg_kill(pid_t pid); /* SIGKILL and reap */

/* The files' word on a cgroup. */
bool cg_files(const char *name, struct drpc_cgroup_counters *ret);

/* Time in a task: nanoseconds on a CPU, waiting for one, switch-ins. False without schedstat. */
bool cg_schedstat(pid_t pid, uint64_t *ret_wait_ns, uint64_t *ret_switches);

/* Under software emulation costs say nothing and time runs otherwise. */
bool cg_emulated(void);
bool cg_kernel_before(unsigned int major, unsigned int minor);

void cg_sleep_ms(unsigned int ms);
void cg_die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Opens the kernel side for a few containers, the whole tree unless options say otherwise. NULL
 * where nothing that was asked for works. */
struct drpc_kernel *cg_open(struct drpc_kernel_options options);

/*
 * Whether this kernel lets us attach to a tracepoint (BPF_TRACE_RAW_TP) or to a function's exit
 * (BPF_TRACE_FEXIT): tried with a program that does nothing. So a kernel without a hook (a test is
 * skipped) is told from one that refuses a program of ours (it fails).
 */
bool cg_can_trace(enum bpf_attach_type type, const char *name);

/* What one of the two best rungs of latency cannot do without: tracepoints, or exits of functions. */
bool cg_can_measure_latency(bool by_tracepoints);

/* The latency programs did not load: skips where the kernel lacks the hooks, fails where not. */
static inline void cg_no_latency(const char *what)
{
	if (cg_can_measure_latency(true) || cg_can_measure_latency(false))
		tap_ok(false, "%s: the kernel has the hooks, and takes the latency programs", what);
	else
		tap_skip("this kernel lacks the hooks of the latency programs", what);
}

/* The rung that holds for a need, "" for none. */
const char *cg_rung(const struct drpc_kernel *kernel, const char *need);

/* Prints what came of each need, as comments. */
void cg_show(const struct drpc_kernel *kernel);
