// SPDX-License-Identifier: Apache-2.0
#include "agent/scale.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "agent/control.h"
#include "agent/engine_link.h"
#include "agent/execute/replicas.h"
#include "agent/monitor/sampler.h"
#include "agent/monitor/series.h"
#include "agent/sockets.h"
#include "lib/log.h"
#include "lib/util.h"

#define BUSY_NS	     DRPC_NSEC_PER_SEC
#define RETRY_NS     (15 * DRPC_NSEC_PER_SEC)
#define RETRIES_MAX  5U
#define REASON_SHOWN 110

struct drpc_scale {
	struct drpc_agent *agent;
	struct drpc_replicas *replicas;
	struct drpc_brownout node;
	/* Of the whole machine, from /proc/stat: all of it and what was idle, as last read. */
	uint64_t busy_ns, all, idle;
	double busy; /* share in use of late; negative: not known */
	bool holding;
	struct drpc_brownout_item *items;
	size_t item_count;
};

/* --- what the replicas ask -------------------------------------------------------------------- */

static int64_t on_inflight(void *arg, const char *id)
{
	struct drpc_agent *agent = arg;
	struct drpc_container *c = drpc_roster_find(agent->roster, id);
	struct drpc_window_scalars w;

	if (!c || c->slot == DRPC_SLOT_OTHER || !agent->kernel || !agent->config.bpf.latency)
		return -1;
	drpc_sampler_catch_up(agent->sampler, c);
	return c->series && drpc_series_last(c->series, &w) ? w.inflight : -1;
}

/* Its first accepted connection, or a socket that takes them, whichever is seen first. */
static int on_listens(void *arg, const char *id, int32_t pid)
{
	struct drpc_agent *agent = arg;
	const struct drpc_container *c = drpc_roster_find(agent->roster, id);
	const struct drpc_total *total = c && c->series ? drpc_series_total(c->series) : NULL;

	if (total && total->accepts > 0)
		return 1;
	if (pid <= 0 && c)
		pid = c->init_pid;
	return pid > 0 ? drpc_sockets_listen(pid) : -ESRCH;
}

/* --- results ---------------------------------------------------------------------------------- */

/* What was seen when it was decided; in a brownout it is others that suffer, as the guard says. */
static void explain(struct drpc_scaling *s, const struct drpc_observation *o)
{
	const float *f = o->features;

	if (s->brownout)
		snprintf(s->because, sizeof(s->because), "%.*s", REASON_SHOWN, s->asked.reason);
	else if (f[DRPC_F_P99_SLO] > 0)
		snprintf(s->because, sizeof(s->because),
			 "p99 %.0f%% of the objective, throttled %.0f%%, CPU %.0f%%, queue %.0f%%",
			 (double)f[DRPC_F_P99_SLO] * 100, (double)f[DRPC_F_THROTTLED] * 100,
			 (double)f[DRPC_F_CPU_UTIL] * 100, (double)f[DRPC_F_QUEUE_SHARE] * 100);
	else
		snprintf(s->because, sizeof(s->because),
			 "throttled %.0f%%, CPU %.0f%% of its limit",
			 (double)f[DRPC_F_THROTTLED] * 100, (double)f[DRPC_F_CPU_UTIL] * 100);
}

static void describe(struct drpc_scaling *s, const char *verb)
{
	snprintf(s->last, sizeof(s->last), "%sreplicas %u → %u · %s", verb,
		 s->asked.standing.replicas, s->asked.target.replicas, s->because);
}

static void on_done(void *arg, const char *deployment, int err, const char *why)
{
	struct drpc_agent *agent = arg;
	struct drpc_deployment *d = drpc_roster_deployment(agent->roster, deployment);
	struct drpc_control *control = d ? d->control : NULL;
	struct drpc_scaling *s;

	if (!control || !control->scaling.pending)
		return;
	s = &control->scaling;
	s->pending = false;
	if (err < 0 && err != -ECANCELED) {
		uint64_t wait_ns = RETRY_NS << DRPC_MIN(s->failures, RETRIES_MAX);

		s->failures++;
		s->retry_ns = drpc_now_ns() + wait_ns;
		agent->stats.failed++;
		snprintf(s->last, sizeof(s->last), "cannot scale: %.*s", 200, why);
		drpc_strcpy(control->last_action, sizeof(control->last_action), s->last);
		return;
	}
	if (err < 0)
		return;
	s->failures = 0;
	s->retry_ns = 0;
	if (s->brownout && s->asked.target.replicas == 0)
		drpc_brownout_left(&s->away, s->asked.standing.replicas, s->asked_use_mcpu,
				   drpc_now_ns());
	else if (drpc_brownout_away(&s->away))
		drpc_brownout_returned(&s->away, drpc_now_ns());
	describe(s, "");
	drpc_control_scaled(agent, d, &s->asked, s->asked_id, drpc_now_ns());
	drpc_strcpy(control->last_action, sizeof(control->last_action), s->last);
	drpc_info("scale: %s: %s", d->name, s->last);
}

/* --- life ------------------------------------------------------------------------------------- */

int drpc_scale_new(struct drpc_agent *agent, struct drpc_scale **ret)
{
	struct drpc_replicas_config config = {
		.journal = agent->journal,
		.ready_timeout_ns = agent->config.scale.ready_timeout_ns,
		.drain_timeout_ns = agent->config.scale.drain_timeout_ns,
		.stop_grace_sec = (uint32_t)(agent->config.scale.stop_grace_ns / DRPC_NSEC_PER_SEC),
		.inflight = on_inflight,
		.listens = on_listens,
		.on_done = on_done,
		.arg = agent,
	};
	struct drpc_scale *scale;
	int r;

	if (!agent->engine || !agent->journal)
		return 0;
	config.runtime = drpc_engine_link_runtime(agent->engine);
	scale = calloc(1, sizeof(*scale));
	if (!scale)
		return -ENOMEM;
	scale->agent = agent;
	scale->busy = -1;
	r = drpc_replicas_new(&config, &scale->replicas);
	if (r < 0) {
		free(scale);
		return r;
	}
	*ret = scale;
	return 0;
}

void drpc_scale_free(struct drpc_scale **scale)
{
	if (!*scale)
		return;
	drpc_replicas_free(&(*scale)->replicas);
	free((*scale)->items);
	free(*scale);
	*scale = NULL;
}

/* --- the tick --------------------------------------------------------------------------------- */

static void read_busy(struct drpc_scale *scale, uint64_t now_ns)
{
	uint64_t all, idle;

	if (scale->busy_ns && now_ns - scale->busy_ns < BUSY_NS)
		return;
	scale->busy_ns = now_ns;
	if (drpc_sockets_node_cpu(&all, &idle) < 0) {
		scale->busy = -1;
		return;
	}
	if (scale->all && all > scale->all && idle >= scale->idle)
		scale->busy = 1 - (double)(idle - scale->idle) / (double)(all - scale->all);
	scale->all = all;
	scale->idle = idle;
}

/* Deployments that have lost all replicas to us stay in the roster, so that they can come back. */
static void hold(struct drpc_scale *scale)
{
	struct drpc_roster *roster = scale->agent->roster;
	struct drpc_deployment *d = drpc_roster_next_deployment(roster, NULL), *next;

	if (drpc_replicas_count(scale->replicas) == 0 && !scale->holding)
		return;
	scale->holding = false;
	for (; d; d = next) {
		struct drpc_replicas_status status;
		bool held = drpc_replicas_status(scale->replicas, d->name, &status);

		next = drpc_roster_next_deployment(roster, d);
		scale->holding |= held;
		drpc_roster_hold(roster, d, held);
	}
}

void drpc_scale_tick(struct drpc_agent *agent, uint64_t now_ns)
{
	if (!agent->scale)
		return;
	read_busy(agent->scale, now_ns);
	drpc_replicas_tick(agent->scale->replicas, now_ns);
	hold(agent->scale);
}

/* --- for the guard ---------------------------------------------------------------------------- */

static const char *blocked(const struct drpc_agent *agent, const struct drpc_deployment *d,
			   struct drpc_scaling *s, uint64_t now_ns)
{
	const struct drpc_runtime *rt;
	struct drpc_replicas_status status;

	if (!agent->scale)
		return "cannot change, there is no container engine here, or no journal";
	rt = drpc_engine_link_runtime(agent->engine);
	if (d->replicas && !d->replicas->engine_known)
		return "cannot change, the engine does not know this container";
	if (drpc_replicas_status(agent->scale->replicas, d->name, &status) && status.busy) {
		snprintf(s->blocked, sizeof(s->blocked), "a change is under way: %s",
			 status.doing[0] ? status.doing : "beginning");
		return s->blocked;
	}
	if (rt->state != DRPC_RUNTIME_READY) {
		snprintf(s->blocked, sizeof(s->blocked),
			 "cannot change, the engine is away: %.150s", rt->why);
		return s->blocked;
	}
	if (now_ns < s->retry_ns) {
		snprintf(s->blocked, sizeof(s->blocked), "%.150s; trying again in %.0f s", s->last,
			 (double)(s->retry_ns - now_ns) / (double)DRPC_NSEC_PER_SEC);
		return s->blocked;
	}
	return NULL;
}

static bool items_fit(struct drpc_scale *scale, size_t count)
{
	void *p;

	if (count == 0)
		return true;
	if (count <= scale->item_count)
		return scale->items != NULL;
	p = reallocarray(scale->items, count, sizeof(*scale->items));
	if (!p)
		return false;
	scale->items = p;
	scale->item_count = count;
	return true;
}

static uint64_t use_of(const struct drpc_control *control)
{
	/* CPU of the mean replica, times those that were measured. */
	return (uint64_t)(control->observed.view.cpu_usage_cores * 1000 *
			  control->observed.replicas);
}

static void judge_brownout(struct drpc_agent *agent, struct drpc_deployment *const *deployments,
			   struct drpc_guard_request *requests, size_t count, uint64_t now_ns)
{
	struct drpc_scale *scale = agent->scale;

	if (!scale || !items_fit(scale, count))
		return;
	for (size_t i = 0; i < count; i++) {
		struct drpc_control *control = deployments[i]->control;
		const float *f = requests[i].observation->features;
		const double lost = control->observed.view.error_rate;
		const uint64_t use_mcpu = use_of(control);

		scale->items[i] = (struct drpc_brownout_item){
			.policy = requests[i].policy,
			.state = &control->scaling.away,
			.paused = requests[i].paused,
			.blocked = requests[i].replicas_blocked != NULL,
			.p99_over_slo = f[DRPC_F_P99_SLO],
			.cpu_pressure = f[DRPC_F_CPU_PRESSURE],
			.lost = lost,
			.replicas = requests[i].replicas,
			.use_mcpu = use_mcpu,
		};
	}
	drpc_brownout_judge(&agent->config.guard, agent->config.node_mcpu, scale->busy,
			    &scale->node, scale->items, count, now_ns);
	for (size_t i = 0; i < count; i++) {
		struct drpc_control *control = deployments[i]->control;

		requests[i].brownout = scale->items[i].act;
		requests[i].brownout_replicas = scale->items[i].to;
		/* While it is away for others, its own planner has no say in its return. */
		if (requests[i].replicas == 0 && drpc_brownout_away(&control->scaling.away))
			control->raw[DRPC_OUT_REPLICAS] = 0;
	}
}

void drpc_scale_requests(struct drpc_agent *agent, struct drpc_deployment *const *deployments,
			 struct drpc_guard_request *requests, size_t count, uint64_t now_ns)
{
	for (size_t i = 0; i < count; i++) {
		struct drpc_scaling *s = &deployments[i]->control->scaling;
		struct drpc_replicas_status status;

		requests[i].replicas_blocked = blocked(agent, deployments[i], s, now_ns);
		requests[i].scaling = agent->scale &&
				      drpc_replicas_status(agent->scale->replicas,
							   deployments[i]->name, &status) &&
				      status.busy;
		/* It came back by other hands. */
		if (requests[i].replicas > 0 && !s->pending && drpc_brownout_away(&s->away))
			drpc_brownout_returned(&s->away, now_ns);
	}
	judge_brownout(agent, deployments, requests, count, now_ns);
}

/* --- acting ----------------------------------------------------------------------------------- */

static void begin(struct drpc_agent *agent, struct drpc_deployment *d,
		  const struct drpc_guard_request *request, const struct drpc_verdict *verdict,
		  uint64_t id, uint64_t now_ns)
{
	struct drpc_control *control = d->control;
	struct drpc_scaling *s = &control->scaling;
	uint32_t what = DRPC_LIMIT_CPU | (d->policy.memory_managed ? DRPC_LIMIT_MEMORY : 0);
	int r;

	s->asked = *verdict;
	s->asked_id = id;
	s->asked_use_mcpu = use_of(control);
	s->brownout = request->brownout;
	explain(s, request->observation);
	s->pending = true;
	r = drpc_replicas_scale(agent->scale->replicas, d->name, verdict->target.replicas,
				&control->limits, what);
	/* Something is being tidied up: it is asked for again. */
	if (r == -EBUSY) {
		s->pending = false;
		return;
	}
	if (r < 0) {
		s->pending = false;
		s->retry_ns = now_ns + RETRY_NS;
		snprintf(s->last, sizeof(s->last), "cannot scale: %s", strerror(-r));
	} else {
		describe(s, "under way: ");
	}
	drpc_strcpy(control->last_action, sizeof(control->last_action), s->last);
}

void drpc_scale_write(struct drpc_agent *agent, struct drpc_deployment *const *deployments,
		      const struct drpc_guard_request *requests,
		      const struct drpc_verdict *verdicts, const uint64_t *ids, size_t count,
		      uint64_t now_ns)
{
	if (!agent->scale)
		return;
	for (int up = 1; up >= 0; up--) {
		for (size_t i = 0; i < count; i++) {
			const struct drpc_verdict *v = &verdicts[i];
			uint32_t from = v->standing.replicas, to = v->target.replicas;

			if (v->write && from != to && (to > from) == (up == 1))
				begin(agent, deployments[i], &requests[i], v, ids[i], now_ns);
		}
	}
}

void drpc_scale_event(struct drpc_agent *agent, const char *id)
{
	if (agent->scale)
		drpc_replicas_event(agent->scale->replicas, id);
}

unsigned int drpc_scale_restore(struct drpc_agent *agent, const char *deployment)
{
	return agent->scale ? drpc_replicas_restore(agent->scale->replicas, deployment) : 0;
}

int drpc_scale_restore_all(struct drpc_agent *agent, int timeout_ms,
			   struct drpc_restore_report *ret)
{
	*ret = (struct drpc_restore_report){0};
	if (!agent->scale || drpc_replicas_count(agent->scale->replicas) == 0)
		return 0;
	return drpc_replicas_restore_all(agent->scale->replicas, timeout_ms, ret);
}

bool drpc_scale_status(const struct drpc_agent *agent, const struct drpc_deployment *d,
		       struct drpc_replicas_status *ret)
{
	return agent->scale && drpc_replicas_status(agent->scale->replicas, d->name, ret);
}
