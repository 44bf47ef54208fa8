// SPDX-License-Identifier: Apache-2.0
/*
 * The simulator's CFS bandwidth control against the kernel's. Threads in a cgroup with a real cpu.max
 * serve requests that are due at even intervals, each so much CPU time; the same is simulated, with the
 * CPU time that a request was found to take (waking up is part of it); throttled periods, their share and
 * the mean latency must agree. Run by tests/vm/suite/sim-cfs.sh.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "lib/util.h"
#include "sim/sim.h"
#include "tests/lib/tap.h"

#define ROOT	  "/sys/fs/cgroup"
#define TOLERANCE 0.05
#define THREADS	  4
#define MS	  1000000ULL

struct scenario {
	const char *name;
	double limit_cores;
	int threads, requests;
	uint64_t work_ns, interval_ns;
};

/* Hundred requests meet each millisecond of a period once, wherever periods begin. */
static const struct scenario scenarios[] = {
	{"one thread, two thirds of the limit", 0.2, 1, 100, 30 * MS, 237 * MS},
	{"two threads, seven tenths of the limit", 0.5, 2, 100, 60 * MS, 173 * MS},
	{"overload, twice the limit", 0.3, 2, 100, 40 * MS, 67 * MS},
};

/* Shared with the process in the cgroup. */
struct served {
	const struct scenario *scenario;
	uint64_t begin_ns;
	atomic_int next;
	_Atomic uint64_t latency_ns;
};

struct measured {
	double usage_ns, periods, throttled, mean_ns;
};

static uint64_t thread_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * DRPC_NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

static void burn(uint64_t ns)
{
	const uint64_t end = thread_cpu_ns() + ns;

	while (thread_cpu_ns() < end) {
		for (volatile int i = 0; i < 20000; i++)
			;
	}
}

static void *serve(void *arg)
{
	struct served *s = arg;

	for (;;) {
		const int i = atomic_fetch_add(&s->next, 1);
		const uint64_t due = s->begin_ns + (uint64_t)(i + 1) * s->scenario->interval_ns;
		const struct timespec t = {(time_t)(due / DRPC_NSEC_PER_SEC),
					   (long)(due % DRPC_NSEC_PER_SEC)};

		if (i >= s->scenario->requests)
			return NULL;
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
			;
		burn(s->scenario->work_ns);
		atomic_fetch_add(&s->latency_ns, drpc_now_ns() - due);
	}
}

/* In the child: joins the cgroup and serves. */
static int serve_all(struct served *s, const char *cgroup)
{
	pthread_t threads[THREADS];
	char path[256];

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	if (drpc_write_file_at(AT_FDCWD, path, "0") < 0)
		return 1;
	s->begin_ns = drpc_now_ns();
	for (int i = 0; i < s->scenario->threads; i++) {
		if (pthread_create(&threads[i], NULL, serve, s) != 0)
			return 1;
	}
	for (int i = 0; i < s->scenario->threads; i++)
		pthread_join(threads[i], NULL);
	return 0;
}

static double field(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? strtod(at + strlen(name), NULL) : NAN;
}

static int measure(const struct scenario *sc, const char *cgroup, struct measured *ret)
{
	struct served *s =
		mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	_cleanup_free_ char *stat = NULL;
	char path[256], limit[64];
	int status = 0;
	pid_t pid;

	if (s == MAP_FAILED)
		return -ENOMEM;
	s->scenario = sc;
	snprintf(path, sizeof(path), "%s/cpu.max", cgroup);
	snprintf(limit, sizeof(limit), "%d 100000", (int)(sc->limit_cores * 1e5));
	if (drpc_write_file_at(AT_FDCWD, path, limit) < 0)
		return -EIO;
	pid = fork();
	if (pid == 0)
		_exit(serve_all(s, cgroup));
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		return -ECHILD;
	snprintf(path, sizeof(path), "%s/cpu.stat", cgroup);
	if (drpc_read_file_at(AT_FDCWD, path, 4096, &stat) < 0)
		return -EIO;
	*ret = (struct measured){.usage_ns = field(stat, "usage_usec ") * 1e3,
				 .periods = field(stat, "nr_periods "),
				 .throttled = field(stat, "nr_throttled "),
				 .mean_ns = (double)s->latency_ns / sc->requests};
	munmap(s, sizeof(*s));
	return 0;
}

/* A tick of 4 ms is that of Debian's kernels. The mean of some seeds: the phase of the periods is theirs. */
static int simulate(const struct scenario *sc, double work_ns, struct measured *ret)
{
	const double interval_s = (double)sc->interval_ns * 1e-9;
	/* Half an interval more, so that rounding loses no request. */
	const struct drpc_sim_piece piece = {(sc->requests + 0.5) * interval_s, 1.0 / interval_s,
					     1.0 / interval_s};
	struct drpc_sim_app *app = NULL;
	char text[512], why[256];
	int err;

	snprintf(
		text, sizeof(text),
		"name: cfs\nslo-p99: 1s\ncluster: {nodes: [{cpu: 2, memory: 4Gi}], cfs-tick: 4ms}\nservices:\n"
		"  s: {cpu: %.0fm, workers: %d, operations: {x: [cpu: %.0fus]}}\n"
		"requests: {all: {to: s.x}}\n",
		sc->limit_cores * 1e3, sc->threads, work_ns * 1e-3);
	err = drpc_sim_app_parse(text, strlen(text), "cfs", &app, why, sizeof(why));
	*ret = (struct measured){0};
	for (uint64_t seed = 1; seed <= 20 && !err; seed++) {
		const struct drpc_sim_config config = {
			.load = {.pieces = &piece, .n_pieces = 1, .uniform = true}, .seed = seed};
		struct drpc_sim *sim = NULL;

		err = drpc_sim_new(app, &config, &sim);
		if (!err)
			err = drpc_sim_run(sim, (uint64_t)(piece.duration_s * 4e9));
		if (!err) {
			const struct drpc_sim_cpu_stat stat = drpc_sim_cpu_stat(sim, 0);

			ret->usage_ns += stat.usage_ns / 20;
			ret->periods += (double)stat.periods / 20;
			ret->throttled += (double)stat.throttled / 20;
			ret->mean_ns += drpc_sim_result(sim).mean_ms * 1e6 / 20;
		}
		drpc_sim_free(&sim);
	}
	drpc_sim_app_free(&app);
	return err;
}

static void compare(const struct scenario *sc, const char *what, double simulated, double measured)
{
	tap_ok(fabs(simulated - measured) <= TOLERANCE * measured,
	       "%s: %s simulated %.4g, measured %.4g (%+.1f %%)", sc->name, what, simulated,
	       measured, (simulated / measured - 1.0) * 100);
}

int main(void)
{
	char cgroup[128];

	snprintf(cgroup, sizeof(cgroup), ROOT "/drpc-cfs-%d", getpid());
	if (drpc_write_file_at(AT_FDCWD, ROOT "/cgroup.subtree_control", "+cpu") < 0) {
		tap_skip("no cgroup v2 with a CPU controller at " ROOT, "CFS bandwidth control");
		return tap_done();
	}
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(scenarios); i++) {
		const struct scenario *sc = &scenarios[i];
		struct measured real, simulated;

		if (mkdir(cgroup, 0755) < 0 || measure(sc, cgroup, &real) < 0 ||
		    simulate(sc, real.usage_ns / sc->requests, &simulated) < 0) {
			tap_ok(false, "%s: not measured", sc->name);
			rmdir(cgroup);
			continue;
		}
		rmdir(cgroup);
		printf("# %s: a request took %.2f ms of CPU, %.2f were its work\n", sc->name,
		       real.usage_ns / sc->requests * 1e-6, (double)sc->work_ns * 1e-6);
		compare(sc, "CPU ms", simulated.usage_ns * 1e-6, real.usage_ns * 1e-6);
		compare(sc, "throttled periods", simulated.throttled, real.throttled);
		compare(sc, "share of periods throttled", simulated.throttled / simulated.periods,
			real.throttled / real.periods);
		compare(sc, "mean latency ms", simulated.mean_ns * 1e-6, real.mean_ns * 1e-6);
	}
	return tap_done();
}
