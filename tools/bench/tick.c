// SPDX-License-Identifier: Apache-2.0
/*
 * The control tick as the agent runs it: 40 deployments are sampled (BPF where it loads), observed,
 * decided by the student, judged, written to cpu.max, memory.high and memory.max, read back and
 * compared. The guard's waiting times are off, and the student's outputs are turned so that every
 * tick moves every deployment: nothing is skipped for being unchanged.
 *
 * The limit files are the cgroups' own where those have them (cgroup v2 with controllers), else a
 * folder on tmpfs with the same layout: then the kernel's part of a write is that of tmpfs.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/apply.h"
#include "agent/control.h"
#include "agent/execute/executor.h"
#include "agent/execute/journal.h"
#include "agent/monitor/sampler.h"
#include "lib/log.h"
#include "lib/util.h"
#include "nn/policy_file.h"
#include "tools/bench/bench.h"

#define DEPLOYMENTS 40
#define WARM_UP	    20
#define TICKS	    500

struct turned {
	struct drpc_planner planner;
	struct drpc_policy_net *net;
	uint64_t calls;
};

struct fixture {
	struct drpc_agent agent;
	struct turned turned;
	char cgroups[300]; /* real cgroups, one a deployment */
	char folder[64];   /* journal, and the limit files where the cgroups have none */
	bool real_files;
	uint64_t real_id[DEPLOYMENTS];
	int tracked;
};

/* --- a planner that always moves -------------------------------------------------------------- */

static int turned_decide(struct drpc_planner *planner, const struct drpc_observation *observation,
			 float raw[DRPC_OUT_COUNT])
{
	struct turned *t = (struct turned *)planner;
	int r = drpc_policy_net_forward(t->net, observation->features, raw);

	/* The cost is the student's; the direction changes from tick to tick. */
	raw[DRPC_OUT_REPLICAS] = copysignf(1, raw[DRPC_OUT_REPLICAS]);
	raw[DRPC_OUT_CPU] = t->calls++ / DEPLOYMENTS % 2 ? -1 : 1;
	raw[DRPC_OUT_MEMORY] = 1;
	return r;
}

static const struct drpc_planner_ops turned_ops = {.name = "student", .decide = turned_decide};

static int make_planner(struct fixture *f)
{
	struct drpc_policy_info info = {.n_inputs = DRPC_F_COUNT, .clip = 5, .reward = NAN};
	float params[1024];

	for (unsigned int i = 0; i < DRPC_F_COUNT; i++)
		info.inputs[i] =
			(struct drpc_policy_input){.feature = (enum drpc_feature)i, .scale = 1};
	for (size_t i = 0; i < drpc_student_params(DRPC_F_COUNT); i++)
		params[i] = (float)(i * 2654435761U % 1000) / 1000 - 0.5f;
	f->turned.planner.ops = &turned_ops;
	f->agent.planner = &f->turned.planner;
	return drpc_policy_net_new(&info, params, &f->turned.net);
}

/* --- cgroups and files ------------------------------------------------------------------------ */

static int make_file(const char *folder, const char *name, const char *text)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_fclose_ FILE *f = NULL;

	if (asprintf(&path, "%s/%s", folder, name) < 0)
		return -ENOMEM;
	f = fopen(path, "we");
	if (!f)
		return -errno;
	return fputs(text, f) < 0 ? -EIO : 0;
}

/* cpu.max and so on beside the real cgroup's path, under our own folder. */
static int make_layout(const struct fixture *f, const char *relative)
{
	char path[600];
	int r;

	snprintf(path, sizeof(path), "%s%s", f->folder, relative);
	if (mkdir(path, 0755) < 0)
		return -errno;
	r = make_file(path, "cpu.max", "50000 100000\n");
	if (r == 0)
		r = make_file(path, "cpu.max.burst", "0\n");
	if (r == 0)
		r = make_file(path, "memory.high", "max\n");
	if (r == 0)
		r = make_file(path, "memory.max", "104857600\n");
	return r == 0 ? make_file(path, "memory.current", "1048576\n") : r;
}

static int prepare_real_files(const char *path)
{
	_cleanup_free_ char *cpu = NULL, *memory = NULL;

	if (asprintf(&cpu, "%s/cpu.max", path) < 0 || asprintf(&memory, "%s/memory.max", path) < 0)
		return -ENOMEM;
	return drpc_write_file_at(AT_FDCWD, cpu, "50000 100000") == 0 &&
			       drpc_write_file_at(AT_FDCWD, memory, "104857600") == 0
		       ? 0
		       : -ENOTSUP;
}

/* The controllers, where this cgroup2 has them; a failure shows in the missing files. */
static void enable_controllers(const char *path)
{
	_cleanup_free_ char *control = NULL;

	if (asprintf(&control, "%s/cgroup.subtree_control", path) > 0)
		(void)drpc_write_file_at(AT_FDCWD, control, "+cpu +memory");
}

static uint32_t on_track(uint64_t cgroup_id, void *arg)
{
	struct fixture *f = arg;
	uint32_t slot = DRPC_SLOT_OTHER;

	/* On tmpfs the folder's inode names the container, the real cgroup's the slot. */
	(void)cgroup_id;
	if (f->agent.kernel && f->tracked < DEPLOYMENTS)
		drpc_kernel_track(f->agent.kernel, f->real_id[f->tracked], &slot);
	f->tracked++;
	return slot;
}

static void on_untrack(uint64_t cgroup_id, uint32_t slot, void *arg)
{
	(void)cgroup_id;
	(void)slot;
	(void)arg;
}

static void on_policy(const char *deployment, struct drpc_policy *ret, void *arg)
{
	(void)deployment;
	(void)arg;
	drpc_policy_defaults(ret, 64000, 64ULL << 30);
	ret->mode = DRPC_MODE_ACT;
	ret->cpu_step = 0.1;
	ret->memory_step = 0.001;
}

static void on_gone(struct drpc_container *container, void *arg)
{
	(void)arg;
	drpc_sampler_detach(container);
}

static void on_deployment_gone(struct drpc_deployment *deployment, void *arg)
{
	(void)arg;
	drpc_control_free(&deployment->control);
}

static int add_container(struct fixture *f, int i)
{
	char path[512], relative[360], id[16];
	struct drpc_cgroup_found found = {.path = relative, .id = id};
	struct drpc_container *c;
	struct stat st;
	int r;

	snprintf(id, sizeof(id), "d%d", i);
	snprintf(relative, sizeof(relative), "%s/%s", strrchr(f->cgroups, '/'), id);
	snprintf(path, sizeof(path), "%s/%s", f->cgroups, id);
	if (mkdir(path, 0755) < 0 || stat(path, &st) < 0)
		return -errno;
	f->real_id[i] = st.st_ino;
	if (i == 0)
		f->real_files = prepare_real_files(path) == 0;
	r = f->real_files ? prepare_real_files(path) : make_layout(f, relative);
	if (r < 0)
		return r;
	if (!f->real_files) {
		snprintf(path, sizeof(path), "%s%s", f->folder, relative);
		if (stat(path, &st) < 0)
			return -errno;
	}
	found.cgroup_id = st.st_ino;
	r = drpc_roster_add(f->agent.roster, &found, &c);
	return r < 0 ? r : drpc_sampler_attach(f->agent.sampler, c);
}

/* --- the agent, as much of it as a tick needs ------------------------------------------------- */

static void configure(struct drpc_agent *agent)
{
	struct drpc_guard_params *guard = &agent->config.guard;

	agent->config.window_ns = agent->config.control_interval_ns = 200 * DRPC_NSEC_PER_MSEC;
	drpc_guard_params_defaults(guard);
	guard->cut_interval_ns = guard->cut_after_raise_ns = guard->cut_settle_ns = 0;
	guard->flap_window_ns = 1;
	guard->actions_per_minute = 1000000;
	agent->node.cpu_mcpu = 64000;
	agent->node.memory_bytes = 64ULL << 30;
}

static int open_parts(struct fixture *f)
{
	struct drpc_roster_ops ops = {
		.track = on_track,
		.untrack = on_untrack,
		.policy = on_policy,
		.gone = on_gone,
		.deployment_gone = on_deployment_gone,
		.arg = f,
	};
	struct drpc_kernel_options kernel = {
		.latency = true,
		.sched = true,
		.memory = true,
		.cgroup_iter = true,
		.cgroup_root_fd = -1,
	};
	struct drpc_discover *discover = &f->agent.discover;
	int r = drpc_discover_init(discover, NULL);

	if (r < 0)
		return r;
	if (!mkdtemp(f->folder))
		return -errno;
	snprintf(f->cgroups, sizeof(f->cgroups), "%.256s/drpc-bench-tick-%d", discover->mount,
		 (int)getpid());
	if (mkdir(f->cgroups, 0755) < 0)
		return drpc_err(-errno, "bench: cgroup %s", f->cgroups);
	enable_controllers(discover->mount);
	enable_controllers(f->cgroups);
	if (drpc_kernel_open(&kernel, &f->agent.kernel) < 0)
		drpc_warn("bench: no BPF here, counters come from files");
	r = drpc_sampler_new(f->agent.kernel, &f->agent.sampler);
	return r < 0 ? r : drpc_roster_new(&ops, &f->agent.roster);
}

static int open_executor(struct fixture *f)
{
	struct drpc_executor_config config = {
		.memory_margin_bytes = f->agent.config.guard.memory_margin_bytes,
	};
	char path[128];
	int r;

	snprintf(path, sizeof(path), "%s/journal", f->folder);
	r = drpc_journal_open(path, &f->agent.journal);
	if (r < 0)
		return r;
	f->agent.cgroup_fd = open(f->real_files ? f->agent.discover.mount : f->folder,
				  O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->agent.cgroup_fd < 0)
		return -errno;
	config.cgroup_fd = f->agent.cgroup_fd;
	config.journal = f->agent.journal;
	return drpc_executor_new(&config, &f->agent.executor);
}

static int fixture_open(struct fixture *f)
{
	char parent[400];
	int r;

	*f = (struct fixture){.folder = "/dev/shm/drpc-bench-XXXXXX", .agent.cgroup_fd = -1};
	configure(&f->agent);
	r = open_parts(f);
	if (r == 0)
		r = make_planner(f);
	if (r < 0)
		return r;
	snprintf(parent, sizeof(parent), "%s%s", f->folder, strrchr(f->cgroups, '/'));
	if (mkdir(parent, 0755) < 0)
		return -errno;
	for (int i = 0; i < DEPLOYMENTS && r == 0; i++)
		r = add_container(f, i);
	return r < 0 ? r : open_executor(f);
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static void fixture_close(struct fixture *f)
{
	drpc_roster_free(&f->agent.roster);
	drpc_executor_free(&f->agent.executor);
	drpc_journal_free(&f->agent.journal);
	drpc_sampler_free(&f->agent.sampler);
	drpc_kernel_close(&f->agent.kernel);
	drpc_control_scratch_free(&f->agent.scratch);
	drpc_apply_scratch_free(&f->agent.apply_scratch);
	drpc_policy_net_free(&f->turned.net);
	drpc_closep(&f->agent.cgroup_fd);
	for (int i = 0; i < DEPLOYMENTS; i++) {
		char path[400];

		snprintf(path, sizeof(path), "%s/d%d", f->cgroups, i);
		rmdir(path);
	}
	rmdir(f->cgroups);
	/* Ours, from mkdtemp(). */
	if (nftw(f->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS) < 0)
		drpc_warn("bench: %s stays behind, ignoring", f->folder);
}

/* --- measuring -------------------------------------------------------------------------------- */

static int measure(struct fixture *f, struct bench_report *report)
{
	static double agent_us[TICKS], write_us[TICKS];
	const struct drpc_cgroupfs_stats *stats = drpc_executor_stats(f->agent.executor);
	uint64_t now_ns = drpc_now_ns(), writes = 0;

	for (int i = -WARM_UP; i < TICKS; i++) {
		uint64_t start, took, write_ns = stats->write_ns;

		now_ns += f->agent.config.window_ns;
		if (i == 0)
			writes = stats->writes;
		start = drpc_now_ns();
		drpc_control_tick(&f->agent, now_ns);
		took = drpc_now_ns() - start;
		write_ns = stats->write_ns - write_ns;
		if (i < 0)
			continue;
		agent_us[i] = (double)(took - write_ns) / 1e3;
		write_us[i] = (double)write_ns / 1e3;
	}
	writes = stats->writes - writes;
	bench_note(report, "%d deployments, %.1f files written a tick, on %s", DEPLOYMENTS,
		   (double)writes / TICKS,
		   f->real_files ? "the cgroups' own files" : "tmpfs in the same layout");
	if (writes < (uint64_t)TICKS * DEPLOYMENTS)
		return drpc_err(-EPROTO, "bench: only %lu writes in %d ticks",
				(unsigned long)writes, TICKS);
	bench_add(report, "us", bench_median(agent_us, TICKS), "tick_40_us_p50");
	bench_add(report, "us", bench_percentile(agent_us, TICKS, 0.99), "tick_40_us_p99");
	bench_add(report, "us", bench_median(write_us, TICKS), "kernel_write_us_p50");
	bench_add(report, "files", (double)writes / TICKS, "files_written_per_tick");
	return 0;
}

int bench_tick(int argc, char **argv, struct bench_report *report)
{
	static const struct argp argp = {
		.doc = "One control tick over 40 deployments, all of which move. Needs root."};
	static struct fixture fixture;
	int r;

	if (argp_parse(&argp, argc, argv, 0, NULL, NULL) != 0)
		return -EINVAL;
	r = fixture_open(&fixture);
	if (r == 0)
		r = measure(&fixture, report);
	else
		drpc_err(r, "bench: cannot set up 40 deployments");
	fixture_close(&fixture);
	return r;
}
