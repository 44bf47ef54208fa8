/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node agent as a whole: what it owns, and its life. One thread (the loop's) touches all of it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "agent/config.h"
#include "agent/loop.h"
#include "agent/monitor/discover.h"
#include "agent/monitor/kernel.h"
#include "agent/plan/guard.h"
#include "agent/plan/planner.h"
#include "agent/roster.h"

struct drpc_api;
struct drpc_executor;
struct drpc_journal;
struct drpc_record;
struct drpc_engine_link;
struct drpc_sampler;
struct drpc_scale;
struct drpc_subtree_lock;
struct drpc_watch;
struct drpc_control_scratch;
struct drpc_apply_scratch;

struct drpc_agent_stats {
	uint64_t ticks;
	uint64_t late_ticks; /* began more than half a window late */
	uint64_t decisions, applied, failed, planner_failures;
	uint64_t verdicts[DRPC_VERDICT_OFF + 1]; /* by enum drpc_verdict_kind */
	uint64_t events, rescans;
	uint64_t tick_ns_last, tick_ns_max, tick_ns_sum; /* CPU time of the tick */
	uint64_t last_tick_ns;
};

struct drpc_agent {
	struct drpc_config config;
	struct drpc_discover discover;
	struct drpc_loop *loop;
	struct drpc_roster *roster;
	struct drpc_kernel *kernel; /* NULL: no BPF here, latency is not measured */
	struct drpc_sampler *sampler;
	struct drpc_watch *watch;
	struct drpc_planner *planner;
	struct drpc_planner *fallback; /* reactive; asked where the planner fails */
	struct drpc_journal *journal;  /* NULL: it cannot be kept here, so nothing is acted on */
	struct drpc_executor *executor;
	struct drpc_engine_link *engine; /* NULL: no engine was found */
	struct drpc_scale *scale;	 /* NULL: replicas are left alone */
	struct drpc_api *api;
	struct drpc_record *record; /* NULL: states are not written down */
	struct drpc_subtree_lock *lock;
	struct drpc_control_scratch *scratch;
	struct drpc_apply_scratch *apply_scratch;
	struct drpc_source *timer, *signals;
	int cgroup_fd; /* folder of the cgroup2 mount */
	int signal_fd;
	struct drpc_guard_node node; /* what may be shared out */
	uint64_t next_decision_ns;
	uint64_t started_realtime_ns;
	bool paused; /* `drpc pause` without a name */
	struct drpc_agent_stats stats;
};

/* Starts everything in order; on failure everything started is taken down again. `states_path`, if
 * not NULL, is where the states behind decisions are written (record.h). */
int drpc_agent_start(const struct drpc_config *config, const char *states_path,
		     struct drpc_agent **ret);

/* Runs until SIGINT, SIGTERM or drpc_loop_stop(). Returns the exit status. */
int drpc_agent_run(struct drpc_agent *agent);

/* Puts every limit back, closes everything. NULL-safe, nulls its argument. */
void drpc_agent_stop(struct drpc_agent **agent);

/* For the API. `deployment` NULL means all. -ENOENT: there is none of that name. */
int drpc_agent_pause(struct drpc_agent *agent, const char *deployment, bool paused);

/* Puts original limits and replicas back now, and pauses what was restored so that it stays so. */
int drpc_agent_restore(struct drpc_agent *agent, const char *deployment, unsigned int *ret_count);
