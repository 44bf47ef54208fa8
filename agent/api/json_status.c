// SPDX-License-Identifier: Apache-2.0
#include "agent/api/json.h"

#include <math.h>

#include "agent/control.h"
#include "agent/engine_link.h"
#include "agent/execute/replicas.h"
#include "agent/monitor/sampler.h"
#include "agent/plan/student.h"
#include "lib/util.h"

static void add_string(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, value ? json_object_new_string(value) : NULL);
}

static void add_count(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

/* --- status ----------------------------------------------------------------------------------- */

/* The slot that containers over the cap share: how many they are, requests answered by them all. */
static struct json_object *other_of(const struct drpc_agent *agent)
{
	struct json_object *o = json_object_new_object();
	struct drpc_slot_shard slot;
	uint64_t containers = 0;

	for (const struct drpc_container *c = NULL; (c = drpc_roster_next(agent->roster, c));)
		containers += c->slot == DRPC_SLOT_OTHER;
	drpc_kernel_read_slot(agent->kernel, DRPC_SLOT_OTHER, &slot);
	add_count(o, "containers", containers);
	add_count(o, "count", slot.turns);
	return o;
}

static struct json_object *kernel_of(const struct drpc_agent *agent)
{
	struct json_object *o;
	struct drpc_kernel_stats s;

	if (!agent->kernel)
		return NULL;
	o = json_object_new_object();
	drpc_kernel_stats(agent->kernel, &s);
	add_count(o, "slots_used", s.slots_used);
	add_count(o, "slots_max", s.slots_max);
	json_object_object_add(o, "other", other_of(agent));
	add_count(o, "map_bytes", s.map_bytes);
	add_count(o, "lost_events", s.lost_events);
	add_count(o, "lost_edges", s.lost_edges);
	return o;
}

static struct json_object *control_of(const struct drpc_agent *agent)
{
	const struct drpc_agent_stats *s = &agent->stats;
	struct json_object *o = json_object_new_object();
	struct json_object *verdicts = json_object_new_object();

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(s->verdicts); i++)
		add_count(verdicts, drpc_verdict_name((enum drpc_verdict_kind)i), s->verdicts[i]);
	add_count(o, "ticks", s->ticks);
	add_count(o, "late_ticks", s->late_ticks);
	json_object_object_add(o, "tick_us_last", drpc_json_number((double)s->tick_ns_last / 1e3));
	json_object_object_add(o, "tick_us_max", drpc_json_number((double)s->tick_ns_max / 1e3));
	add_count(o, "decisions", s->decisions);
	add_count(o, "applied", s->applied);
	add_count(o, "failed", s->failed);
	json_object_object_add(o, "verdicts", verdicts);
	return o;
}

static struct json_object *engine_of(const struct drpc_agent *agent)
{
	const struct drpc_runtime *runtime;
	struct json_object *o;

	if (!agent->engine)
		return NULL;
	runtime = drpc_engine_link_runtime(agent->engine);
	o = json_object_new_object();
	add_string(o, "kind", runtime->kind);
	add_string(o, "version", runtime->version);
	add_string(o, "state", drpc_runtime_state_name(runtime->state));
	add_string(o, "why", runtime->why);
	return o;
}

/* What its owner should look at: labels that were refused. */
static struct json_object *problems_of(const struct drpc_agent *agent)
{
	struct json_object *list = json_object_new_array();
	const struct drpc_deployment *d = NULL;

	while ((d = drpc_roster_next_deployment(agent->roster, d))) {
		struct json_object *problem;

		if (d->config_error[0] == '\0')
			continue;
		problem = json_object_new_object();
		add_string(problem, "deployment", d->name);
		add_string(problem, "problem", d->config_error);
		json_object_array_add(list, problem);
	}
	return list;
}

/* Deployments whose replicas drpc has changed, or is changing. */
static struct json_object *scaled_of(const struct drpc_agent *agent)
{
	struct json_object *list = json_object_new_array();
	const struct drpc_deployment *d = NULL;

	while ((d = drpc_roster_next_deployment(agent->roster, d))) {
		struct drpc_replicas_status status;
		struct json_object *o;

		if (!drpc_scale_status(agent, d, &status))
			continue;
		o = json_object_new_object();
		add_string(o, "deployment", d->name);
		add_count(o, "replicas", d->replica_count);
		add_count(o, "copies", status.clones);
		add_count(o, "stopped", status.stopped);
		add_string(o, "doing", status.doing);
		add_string(o, "last_action", d->control ? d->control->scaling.last : "");
		json_object_array_add(list, o);
	}
	return list;
}

/* The student's policy file, null where another planner decides. */
static struct json_object *policy_of(const struct drpc_agent *agent)
{
	const struct drpc_policy_info *info =
		agent->planner ? drpc_planner_student_info(agent->planner) : NULL;
	struct json_object *o;

	if (!info)
		return NULL;
	o = json_object_new_object();
	add_string(o, "file", agent->config.policy_file);
	add_string(o, "sha256", info->digest);
	json_object_object_add(o, "created", drpc_json_time(info->created_s * DRPC_NSEC_PER_SEC));
	add_string(o, "method", info->method);
	add_string(o, "data", info->data);
	add_string(o, "program", info->program);
	add_string(o, "source", info->source);
	add_string(o, "command", info->command);
	add_count(o, "samples", info->samples);
	if (info->report.states > 0) {
		add_count(o, "held_out", info->report.states);
		json_object_object_add(o, "differ", drpc_json_number((double)info->report.differ));
		add_count(o, "opposed", info->report.opposed);
	}
	if (info->report.states > 0 && isfinite(info->report.reward_ratio))
		json_object_object_add(o, "reward_ratio",
				       drpc_json_number((double)info->report.reward_ratio));
	return o;
}

struct json_object *drpc_json_status(const struct drpc_agent *agent)
{
	struct json_object *o = json_object_new_object();
	const struct drpc_planner *planner = agent->planner ? agent->planner : agent->fallback;
	uint64_t realtime_ns = drpc_realtime_ns();
	const struct drpc_deployment *d = NULL;
	uint64_t deployments = 0;

	while ((d = drpc_roster_next_deployment(agent->roster, d)))
		deployments++;
	add_string(o, "version", DRPC_VERSION);
	add_count(o, "pid", (uint64_t)getpid());
	json_object_object_add(o, "started", drpc_json_time(agent->started_realtime_ns));
	json_object_object_add(
		o, "uptime_sec",
		drpc_json_number(
			(double)(realtime_ns - DRPC_MIN(agent->started_realtime_ns, realtime_ns)) /
			1e9));
	json_object_object_add(o, "paused", json_object_new_boolean(agent->paused));
	add_count(o, "containers", drpc_roster_count(agent->roster));
	add_count(o, "deployments", deployments);
	add_string(o, "planner", planner ? planner->ops->name : NULL);
	json_object_object_add(o, "policy", policy_of(agent));
	add_string(o, "loop", drpc_loop_name(agent->loop));
	json_object_object_add(o, "engine", engine_of(agent));
	json_object_object_add(o, "journal", json_object_new_boolean(agent->journal != NULL));
	json_object_object_add(o, "node_cpu_cores",
			       drpc_json_number((double)agent->config.node_mcpu / 1000));
	json_object_object_add(
		o, "node_memory_mib",
		drpc_json_number((double)agent->config.node_memory_bytes / (double)DRPC_MIB));
	json_object_object_add(o, "control", control_of(agent));
	json_object_object_add(o, "kernel", kernel_of(agent));
	json_object_object_add(o, "problems", problems_of(agent));
	json_object_object_add(o, "scaled", scaled_of(agent));
	return o;
}

/* --- doctor ----------------------------------------------------------------------------------- */

struct json_object *drpc_json_hooks(const struct drpc_hook_status *hooks, size_t count)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < count; i++) {
		struct json_object *hook = json_object_new_object();

		add_string(hook, "need", hooks[i].need);
		add_string(hook, "rung", hooks[i].rung);
		json_object_object_add(hook, "working", json_object_new_boolean(hooks[i].working));
		add_string(hook, "reason", hooks[i].reason);
		json_object_array_add(list, hook);
	}
	return list;
}

struct json_object *drpc_json_doctor(const struct drpc_agent *agent)
{
	struct json_object *o = json_object_new_object();
	const struct drpc_hook_status *hooks = NULL;
	size_t count = 0;

	if (agent->kernel)
		hooks = drpc_kernel_hooks(agent->kernel, &count);
	add_string(o, "loop", drpc_loop_name(agent->loop));
	add_string(o, "cgroup_mount", agent->discover.mount);
	add_string(o, "cgroup_root", agent->discover.root);
	add_string(o, "counters", agent->sampler ? drpc_sampler_source(agent->sampler) : NULL);
	json_object_object_add(o, "engine", engine_of(agent));
	json_object_object_add(o, "hooks", drpc_json_hooks(hooks, count));
	return o;
}
