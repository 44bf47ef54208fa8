// SPDX-License-Identifier: Apache-2.0
#include "agent/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "agent/api/api.h"
#include "agent/apply.h"
#include "agent/control.h"
#include "agent/engine_link.h"
#include "agent/execute/executor.h"
#include "agent/execute/journal.h"
#include "agent/execute/subtree_lock.h"
#include "agent/monitor/sampler.h"
#include "agent/plan/student.h"
#include "agent/record.h"
#include "agent/scale.h"
#include "agent/watch.h"
#include "lib/log.h"
#include "lib/util.h"

/* Engines are told of a limit once it stood for so long, so that their inspect stays true. */
#define SETTLE_NS (10 * DRPC_NSEC_PER_SEC)

/* How long leftovers of an earlier run, and the end of this one, may wait for the engine. */
#define RESTORE_TIMEOUT_MS 15000
#define ENGINE_READY_MS	   3000
/* Copies are given their time to end. */
#define SCALE_RESTORE_MS   12000

/* --- what the roster asks --------------------------------------------------------------------- */

static uint32_t on_track(uint64_t cgroup_id, void *arg)
{
	struct drpc_agent *agent = arg;
	uint32_t slot = DRPC_SLOT_OTHER;

	if (agent->kernel && drpc_kernel_track(agent->kernel, cgroup_id, &slot) < 0)
		return DRPC_SLOT_OTHER;
	return slot;
}

static void on_untrack(uint64_t cgroup_id, uint32_t slot, void *arg)
{
	struct drpc_agent *agent = arg;

	if (agent->kernel)
		drpc_kernel_untrack(agent->kernel, cgroup_id, slot);
}

static void on_policy(const char *deployment, struct drpc_policy *ret, void *arg)
{
	drpc_config_policy(&((struct drpc_agent *)arg)->config, deployment, ret);
}

static void on_gone(struct drpc_container *container, void *arg)
{
	struct drpc_agent *agent = arg;

	drpc_api_gone(agent->api, container);
	if (agent->executor)
		drpc_executor_gone(agent->executor, container->cgroup_id);
	drpc_sampler_detach(container);
}

static void on_deployment_gone(struct drpc_deployment *deployment, void *arg)
{
	(void)arg;
	drpc_control_free(&deployment->control);
}

static void on_engine_result(void *arg, uint64_t cgroup_id, int err, const char *why)
{
	struct drpc_agent *agent = arg;
	struct drpc_container *c = drpc_roster_by_cgroup(agent->roster, cgroup_id);

	if (c)
		drpc_control_applied(agent, c->deployment, err, why);
}

/* --- the tick --------------------------------------------------------------------------------- */

static uint64_t thread_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * DRPC_NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static void on_timer(struct drpc_source *source, uint32_t events, void *arg)
{
	struct drpc_agent *agent = arg;
	struct drpc_agent_stats *stats = &agent->stats;
	uint64_t now_ns = drpc_now_ns(), cpu_ns = thread_cpu_ns();

	(void)source;
	(void)events;
	if (stats->last_tick_ns && now_ns - stats->last_tick_ns > agent->config.window_ns * 3 / 2)
		stats->late_ticks++;
	stats->last_tick_ns = now_ns;
	drpc_control_tick(agent, now_ns);
	stats->tick_ns_last = thread_cpu_ns() - cpu_ns;
	stats->tick_ns_max = DRPC_MAX(stats->tick_ns_max, stats->tick_ns_last);
	stats->tick_ns_sum += stats->tick_ns_last;
	stats->ticks++;
	/* Only after a whole tick: an agent that hangs in one must be found out. */
	sd_notify(0, "WATCHDOG=1");
}

static void on_signal(struct drpc_source *source, uint32_t events, void *arg)
{
	struct drpc_agent *agent = arg;
	struct signalfd_siginfo info;

	(void)source;
	(void)events;
	if (read(agent->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	drpc_info("agent: signal %u, putting limits back and leaving", info.ssi_signo);
	drpc_loop_stop(agent->loop, 0);
}

/* --- starting --------------------------------------------------------------------------------- */

static int start_signals(struct drpc_agent *agent)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	signal(SIGPIPE, SIG_IGN);
	/* Before any thread is made, so that all inherit it. */
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	agent->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (agent->signal_fd < 0)
		return -errno;
	return drpc_loop_add_fd(agent->loop, agent->signal_fd, POLLIN, on_signal, agent,
				&agent->signals);
}

static int start_cgroups(struct drpc_agent *agent)
{
	const char *root = agent->config.cgroup_root;
	int r;

	r = drpc_discover_init(&agent->discover, root[0] ? root : NULL);
	if (r < 0)
		return r;
	agent->cgroup_fd = open(agent->discover.mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (agent->cgroup_fd < 0)
		return drpc_err(-errno, "agent: cannot open %s", agent->discover.mount);
	r = drpc_subtree_lock_new(agent->cgroup_fd,
				  agent->discover.root[0] ? agent->discover.root : "/",
				  &agent->lock);
	return r;
}

/* Without BPF there is no latency, but CPU, memory and pressure come from files all the same. */
static int start_kernel(struct drpc_agent *agent)
{
	struct drpc_kernel_options options = {
		.max_containers = agent->config.max_containers,
		.latency = agent->config.bpf.latency,
		.sched = agent->config.bpf.sched,
		.memory = agent->config.bpf.memory,
		.lifecycle = agent->config.bpf.lifecycle,
		.edges = agent->config.bpf.edges,
		.cgroup_iter = agent->config.bpf.cgroup_iter,
		.force_rung = getenv("DRPC_FORCE_RUNG"),
		.cgroup_root_fd = agent->cgroup_fd,
	};
	int r = drpc_kernel_open(&options, &agent->kernel);

	if (r == -ENOMEM)
		return r;
	if (r < 0)
		drpc_warn(
			"agent: no BPF program could be loaded (%s): latency is not measured, limits follow CPU, memory and pressure alone; `drpc doctor` says more",
			strerror(-r));
	return drpc_sampler_new(agent->kernel, &agent->sampler);
}

static int make_parent(const char *path)
{
	_cleanup_free_ char *folder = strdup(path);
	char *slash = folder ? strrchr(folder, '/') : NULL;

	if (!slash || slash == folder)
		return 0;
	*slash = '\0';
	return mkdir(folder, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

/* Copies that an earlier run left go, what it stopped starts again. */
static void restore_replicas(struct drpc_agent *agent, const char *when)
{
	struct drpc_restore_report report;

	if (drpc_scale_restore_all(agent, SCALE_RESTORE_MS, &report) < 0)
		drpc_warn("agent: the replicas of %u deployments are still to be put back: %s; %s",
			  report.waiting, report.why, when);
	else if (report.restored > 0)
		drpc_info("agent: replicas of %u deployments are back as they were found",
			  report.restored);
}

/* Limits that an earlier run left behind go back before anything is read or decided. */
static int restore_leftovers(struct drpc_agent *agent)
{
	struct drpc_restore_report report;
	size_t n = drpc_journal_count(agent->journal);

	if (n == 0)
		return 0;
	drpc_info("agent: %zu containers have limits of an earlier run, putting the originals back",
		  n);
	if (agent->engine)
		drpc_runtime_wait_ready(drpc_engine_link_runtime(agent->engine), ENGINE_READY_MS);
	if (drpc_executor_restore_all(agent->executor, RESTORE_TIMEOUT_MS, &report) < 0)
		drpc_warn("agent: %u containers are still to be restored: %s; trying again at exit",
			  report.waiting + report.failed, report.why);
	return 0;
}

static int start_execute(struct drpc_agent *agent)
{
	struct drpc_executor_config config = {
		.cgroup_fd = agent->cgroup_fd,
		.memory_margin_bytes = agent->config.guard.memory_margin_bytes,
		.settle_ns = SETTLE_NS,
		.on_result = on_engine_result,
		.arg = agent,
	};
	int r;

	r = drpc_engine_link_new(agent, &agent->engine);
	if (r == -ENOENT)
		drpc_info(
			"agent: no container engine was found: containers go by their cgroup's name");
	else if (r < 0)
		return r;
	r = make_parent(agent->config.journal);
	if (r == 0)
		r = drpc_journal_open(agent->config.journal, &agent->journal);
	/* Another agent's journal, or a file that is none, is an error of the operator. */
	if (r == -EBUSY || r == -EBADMSG || r == -EPROTONOSUPPORT)
		return r;
	if (r < 0)
		drpc_warn(
			"agent: the journal %s cannot be kept (%s): nothing will be acted on, only recommended",
			agent->config.journal, strerror(-r));
	config.journal = agent->journal;
	config.runtime = agent->engine ? drpc_engine_link_runtime(agent->engine) : NULL;
	r = drpc_executor_new(&config, &agent->executor);
	if (r == 0)
		r = drpc_scale_new(agent, &agent->scale);
	if (r < 0 || !agent->journal)
		return r;
	if (drpc_journal_scale_count(agent->journal) > 0 && agent->engine) {
		drpc_runtime_wait_ready(drpc_engine_link_runtime(agent->engine), ENGINE_READY_MS);
		restore_replicas(agent, "trying on");
	}
	return restore_leftovers(agent);
}

static void say_policy(const char *path, const struct drpc_policy_info *info)
{
	char made[32] = "", figures[64] = "", method[DRPC_POLICY_TEXT_BYTES];
	const time_t created = (time_t)info->created_s;
	struct tm tm;

	if (created > 0 && gmtime_r(&created, &tm))
		strftime(made, sizeof(made), " of %Y-%m-%d", &tm);
	if (info->report.states > 0)
		snprintf(figures, sizeof(figures), ", %.1f %% of its decisions differ",
			 (double)info->report.differ * 100);
	drpc_sanitize(method, sizeof(method), info->method);
	drpc_info("agent: policy %s%s, SHA-256 %.16s: %s%s", path, made, info->digest, method,
		  figures);
}

static int start_planners(struct drpc_agent *agent)
{
	int r = drpc_planner_reactive_new(&agent->fallback);

	if (r < 0 || agent->config.planner != DRPC_PLANNER_STUDENT)
		return r;
	r = drpc_planner_student_new(agent->config.policy_file, &agent->planner);
	if (r < 0)
		drpc_warn("agent: policy %s is not used, the reactive planner decides",
			  agent->config.policy_file);
	else
		say_policy(agent->config.policy_file, drpc_planner_student_info(agent->planner));
	return 0;
}

static int start_roster(struct drpc_agent *agent)
{
	struct drpc_roster_ops ops = {
		.track = on_track,
		.untrack = on_untrack,
		.policy = on_policy,
		.gone = on_gone,
		.deployment_gone = on_deployment_gone,
		.arg = agent,
	};

	return drpc_roster_new(&ops, &agent->roster);
}

static int start_watch(struct drpc_agent *agent)
{
	return drpc_watch_new(agent, &agent->watch);
}

static int start_all(struct drpc_agent *agent)
{
	static int (*const steps[])(struct drpc_agent *) = {
		start_signals, start_cgroups,  start_roster, start_kernel,
		start_execute, start_planners, start_watch,
	};
	int r;

	r = drpc_loop_new(DRPC_LOOP_ANY, &agent->loop);
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(steps) && r >= 0; i++)
		r = steps[i](agent);
	if (r >= 0)
		r = drpc_api_new(agent, &agent->api);
	if (r >= 0)
		r = drpc_loop_add_timer(agent->loop, agent->config.window_ns, on_timer, agent,
					&agent->timer);
	return r;
}

int drpc_agent_start(const struct drpc_config *config, const char *states_path,
		     struct drpc_agent **ret)
{
	struct drpc_agent *agent = calloc(1, sizeof(*agent));
	int r;

	if (!agent)
		return -ENOMEM;
	agent->config = *config;
	agent->cgroup_fd = agent->signal_fd = -1;
	agent->started_realtime_ns = drpc_realtime_ns();
	drpc_config_guard_node(&agent->config, &agent->node);
	r = states_path ? drpc_record_open(states_path, &agent->record) : 0;
	if (r >= 0)
		r = start_all(agent);
	if (r < 0) {
		drpc_agent_stop(&agent);
		return r;
	}
	*ret = agent;
	return 0;
}

/* --- running and stopping --------------------------------------------------------------------- */

int drpc_agent_run(struct drpc_agent *agent)
{
	drpc_info("agent: %s mode, planner %s, window %lu ms, loop on %s, counters from %s",
		  drpc_mode_name(agent->config.mode),
		  (agent->planner ? agent->planner : agent->fallback)->ops->name,
		  (unsigned long)(agent->config.window_ns / DRPC_NSEC_PER_MSEC),
		  drpc_loop_name(agent->loop), drpc_sampler_source(agent->sampler));
	/* Loading programs took megabytes of type information that are not needed again. */
	malloc_trim(0);
	sd_notify(0, "READY=1");
	return drpc_loop_run(agent->loop);
}

static void restore_at_exit(struct drpc_agent *agent)
{
	struct drpc_restore_report report;

	if (!agent->executor || !agent->journal)
		return;
	restore_replicas(agent, "run `drpc restore` once that is mended");
	if (drpc_journal_count(agent->journal) == 0)
		return;
	if (drpc_executor_restore_all(agent->executor, RESTORE_TIMEOUT_MS, &report) < 0)
		drpc_error(
			"agent: %u containers keep changed limits: %s; run `drpc restore` once that is mended",
			report.waiting + report.failed, report.why);
	else
		drpc_info("agent: limits of %u containers are back as they were found",
			  report.restored);
}

void drpc_agent_stop(struct drpc_agent **agent)
{
	struct drpc_agent *a = *agent;

	if (!a)
		return;
	sd_notify(0, "STOPPING=1");
	restore_at_exit(a);
	drpc_api_free(&a->api);
	drpc_watch_free(&a->watch);
	drpc_engine_link_free(&a->engine);
	drpc_roster_free(&a->roster);
	drpc_scale_free(&a->scale);
	drpc_executor_free(&a->executor);
	drpc_journal_free(&a->journal);
	drpc_sampler_free(&a->sampler);
	drpc_kernel_close(&a->kernel);
	drpc_planner_free(&a->planner);
	drpc_planner_free(&a->fallback);
	drpc_control_scratch_free(&a->scratch);
	drpc_apply_scratch_free(&a->apply_scratch);
	drpc_loop_free(&a->loop);
	drpc_record_close(&a->record);
	drpc_subtree_lock_free(&a->lock);
	drpc_closep(&a->cgroup_fd);
	drpc_closep(&a->signal_fd);
	free(a);
	*agent = NULL;
}

/* --- orders from outside ---------------------------------------------------------------------- */

int drpc_agent_pause(struct drpc_agent *agent, const char *deployment, bool paused)
{
	struct drpc_deployment *d = NULL;

	if (deployment) {
		d = drpc_roster_deployment(agent->roster, deployment);
		if (!d)
			return -ENOENT;
		d->paused = paused;
		return 0;
	}
	agent->paused = paused;
	/* "Resume everything" means the ones that were paused by name, too. */
	while (!paused && (d = drpc_roster_next_deployment(agent->roster, d)))
		d->paused = false;
	return 0;
}

static unsigned int restore_deployment(struct drpc_agent *agent, struct drpc_deployment *d)
{
	unsigned int n = 0;

	d->paused = true;
	drpc_scale_restore(agent, d->name);
	for (struct drpc_container *c = d->replicas; c; c = c->next_replica)
		n += drpc_executor_release(agent->executor, c) == 0;
	if (d->control)
		d->control->limits_stale = true;
	return n;
}

int drpc_agent_restore(struct drpc_agent *agent, const char *deployment, unsigned int *ret_count)
{
	struct drpc_deployment *d = NULL;
	unsigned int n = 0;

	if (deployment) {
		d = drpc_roster_deployment(agent->roster, deployment);
		if (!d)
			return -ENOENT;
		n = restore_deployment(agent, d);
	} else {
		while ((d = drpc_roster_next_deployment(agent->roster, d)))
			n += restore_deployment(agent, d);
	}
	*ret_count = n;
	return 0;
}
