// SPDX-License-Identifier: Apache-2.0
#include "agent/engine_link.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "agent/monitor/sampler.h"
#include "agent/runtime/engine.h"
#include "agent/scale.h"
#include "lib/log.h"
#include "lib/util.h"

#define LABELS_MAX 128

struct drpc_engine_link {
	struct drpc_agent *agent;
	struct drpc_runtime *runtime;
	struct drpc_source *source;
	enum drpc_runtime_state told; /* last state that was logged */
};

/* --- into the roster -------------------------------------------------------------------------- */

static void take(struct drpc_engine_link *link, const struct drpc_runtime_container *rc)
{
	struct drpc_agent *agent = link->agent;
	struct drpc_container *c = drpc_roster_find(agent->roster, rc->id);
	struct drpc_label labels[LABELS_MAX];
	char deployment[2 * DRPC_NAME_MAX + 1];
	size_t n = DRPC_MIN(rc->label_count, (size_t)LABELS_MAX);
	bool pid_is_new;

	if (!c)
		return;
	if (rc->label_count > LABELS_MAX)
		drpc_warn("engine: %s has %zu labels, only the first %d are looked at", c->name,
			  rc->label_count, LABELS_MAX);
	for (size_t i = 0; i < n; i++)
		labels[i] = (struct drpc_label){rc->labels[i].key, rc->labels[i].value};
	snprintf(deployment, sizeof(deployment), "%s/%s", rc->project, rc->service);
	pid_is_new = rc->pid > 0 && rc->pid != c->init_pid;
	if (drpc_roster_describe(agent->roster, c,
				 &(struct drpc_container_info){
					 .name = rc->name,
					 .deployment = rc->service[0] ? deployment : NULL,
					 .labels = labels,
					 .label_count = n,
					 .init_pid = rc->pid > 0 ? rc->pid : c->init_pid,
				 }) < 0)
		drpc_warn("engine: no memory to describe %s, ignoring", rc->name);
	else if (pid_is_new)
		drpc_sampler_attach(agent->sampler, c);
}

static void on_list(void *arg, int err, const char *why,
		    const struct drpc_runtime_container *containers, size_t n)
{
	struct drpc_engine_link *link = arg;

	if (err == -ECANCELED)
		return;
	if (err < 0) {
		drpc_warn("engine: cannot list containers: %s", why);
		return;
	}
	for (size_t i = 0; i < n; i++)
		take(link, &containers[i]);
}

static void on_container(void *arg, int err, const char *why,
			 const struct drpc_runtime_container *container)
{
	struct drpc_engine_link *link = arg;

	if (err == 0)
		take(link, container);
	else if (err != -ENOENT && err != -ECANCELED)
		drpc_warn("engine: cannot inspect a container: %s", why);
}

void drpc_engine_link_describe(struct drpc_engine_link *link, const char *id)
{
	if (link->runtime->state == DRPC_RUNTIME_READY)
		drpc_runtime_inspect(link->runtime, id, on_container, link);
	/* Otherwise the resync that comes with READY lists everybody. */
}

/* --- from the engine -------------------------------------------------------------------------- */

static void tell_state(struct drpc_engine_link *link)
{
	const struct drpc_runtime *rt = link->runtime;

	if (rt->state == link->told)
		return;
	link->told = rt->state;
	if (rt->state == DRPC_RUNTIME_READY)
		drpc_info("engine: %s %s answers", rt->kind, rt->version);
	else if (rt->state == DRPC_RUNTIME_AWAY)
		drpc_warn("engine: does not answer: %s; containers keep their names, trying again",
			  rt->why);
}

static void on_event(void *arg, const struct drpc_runtime_event *event)
{
	struct drpc_engine_link *link = arg;

	switch (event->kind) {
	case DRPC_RUNTIME_STATE:
		tell_state(link);
		return;
	case DRPC_RUNTIME_RESYNC:
		drpc_runtime_list(link->runtime, on_list, link);
		drpc_scale_event(link->agent, NULL);
		return;
	case DRPC_RUNTIME_START:
		drpc_engine_link_describe(link, event->id);
		drpc_scale_event(link->agent, event->id);
		return;
	case DRPC_RUNTIME_DIE:
	case DRPC_RUNTIME_DESTROY:
		drpc_scale_event(link->agent, event->id);
		return;
	case DRPC_RUNTIME_UPDATE:
		/* The cgroup tree tells who is gone, the control loop reads limits anew. */
		return;
	}
}

static void on_ready(struct drpc_source *source, uint32_t events, void *arg)
{
	struct drpc_engine_link *link = arg;

	(void)source;
	(void)events;
	drpc_runtime_dispatch(link->runtime);
}

/* --- life ------------------------------------------------------------------------------------- */

static int find_socket(const struct drpc_config *config, char *ret, size_t size)
{
	int r = -ENOENT;

	for (size_t i = 0; i < config->engine_count && r < 0; i++)
		r = drpc_engine_find(config->engines[i], ret, size);
	return r;
}

int drpc_engine_link_new(struct drpc_agent *agent, struct drpc_engine_link **ret)
{
	char socket[DRPC_CONFIG_SOCKET_MAX];
	struct drpc_engine_link *link;
	int r;

	r = find_socket(&agent->config, socket, sizeof(socket));
	if (r < 0)
		return r;
	link = calloc(1, sizeof(*link));
	if (!link)
		return -ENOMEM;
	link->agent = agent;
	r = drpc_engine_new(socket, on_event, link, &link->runtime);
	if (r == 0)
		r = drpc_loop_add_fd(agent->loop, drpc_runtime_fd(link->runtime), POLLIN, on_ready,
				     link, &link->source);
	if (r < 0) {
		drpc_engine_link_free(&link);
		return drpc_err(r, "engine: cannot use %s", socket);
	}
	*ret = link;
	return 0;
}

void drpc_engine_link_free(struct drpc_engine_link **link)
{
	if (!*link)
		return;
	drpc_loop_remove((*link)->agent->loop, &(*link)->source);
	drpc_runtime_free(&(*link)->runtime);
	free(*link);
	*link = NULL;
}

struct drpc_runtime *drpc_engine_link_runtime(struct drpc_engine_link *link)
{
	return link->runtime;
}
