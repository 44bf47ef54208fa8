// SPDX-License-Identifier: Apache-2.0
#include "agent/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/engine_link.h"
#include "agent/monitor/sampler.h"
#include "lib/log.h"
#include "lib/util.h"

#define RESCAN_WITH_EVENTS_NS (10 * DRPC_NSEC_PER_SEC)
#define RESCAN_ALONE_NS	      DRPC_NSEC_PER_SEC

struct drpc_watch {
	struct drpc_agent *agent;
	struct drpc_source *events, *rescan;
	/* Network namespaces whose open sockets were looked through, by inode. */
	ino_t *seeded;
	size_t seeded_count;
	bool told_over_cap;
};

/* --- sockets that were open before us --------------------------------------------------------- */

static pid_t first_pid(const struct drpc_agent *agent, const struct drpc_container *c)
{
	_cleanup_free_ char *path = NULL, *procs = NULL;

	if (c->init_pid > 0)
		return c->init_pid;
	if (asprintf(&path, "%s%s/cgroup.procs", agent->discover.mount, c->cgroup) < 0)
		return 0;
	if (drpc_read_file_at(AT_FDCWD, path, DRPC_MIB, &procs) <= 0)
		return 0;
	return (pid_t)strtol(procs, NULL, 10);
}

static bool seeded_before(struct drpc_watch *watch, ino_t netns)
{
	ino_t *bigger;

	for (size_t i = 0; i < watch->seeded_count; i++) {
		if (watch->seeded[i] == netns)
			return true;
	}
	bigger = reallocarray(watch->seeded, watch->seeded_count + 1, sizeof(ino_t));
	if (!bigger)
		return false;
	watch->seeded = bigger;
	watch->seeded[watch->seeded_count++] = netns;
	return false;
}

static void seed_sockets(struct drpc_watch *watch, const struct drpc_container *c)
{
	pid_t pid = first_pid(watch->agent, c);
	char path[48];
	struct stat st;
	int n;

	if (!watch->agent->kernel || !watch->agent->config.bpf.latency || pid <= 0)
		return;
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	if (stat(path, &st) < 0 || seeded_before(watch, st.st_ino))
		return;
	n = drpc_kernel_seed_sockets(watch->agent->kernel, pid);
	if (n < 0)
		drpc_warn(
			"watch: connections of %s that were open before are not measured (%s), ignoring",
			c->name, strerror(-n));
	else if (n > 0)
		drpc_info("watch: %s: %d connections were open already, measured from now on",
			  c->name, n);
}

/* --- coming and going ------------------------------------------------------------------------- */

static struct drpc_container *welcome(struct drpc_watch *watch,
				      const struct drpc_cgroup_found *found)
{
	struct drpc_agent *agent = watch->agent;
	struct drpc_container *c;
	int r;

	r = drpc_roster_add(agent->roster, found, &c);
	if (r <= 0)
		return NULL;
	if (c->slot == DRPC_SLOT_OTHER && agent->kernel && !watch->told_over_cap) {
		watch->told_over_cap = true;
		drpc_warn(
			"watch: over max_containers (%u): the latency of further containers is counted together, as \"other\"; they go by CPU, memory and pressure",
			agent->config.max_containers);
	}
	r = drpc_sampler_attach(agent->sampler, c);
	if (r < 0 && r != -ENOENT)
		drpc_warn("watch: counters of %s: %s, ignoring", c->cgroup, strerror(-r));
	if (found->runtime && agent->engine)
		drpc_engine_link_describe(agent->engine, c->id);
	drpc_debug("watch: %s is here, slot %u", c->cgroup, c->slot);
	return c;
}

static void on_found(const struct drpc_cgroup_found *found, void *arg)
{
	welcome(arg, found);
}

static int scan(struct drpc_watch *watch)
{
	struct drpc_agent *agent = watch->agent;
	int r;

	drpc_roster_mark(agent->roster);
	r = drpc_discover_scan(&agent->discover, on_found, watch);
	if (r < 0)
		return r;
	agent->stats.rescans++;
	drpc_roster_sweep(agent->roster);
	/* After everybody has a slot: one namespace may serve several containers. */
	for (struct drpc_container *c = NULL; (c = drpc_roster_next(agent->roster, c));) {
		if (!c->seeded) {
			c->seeded = true;
			seed_sockets(watch, c);
		}
	}
	return r;
}

static void on_event(const struct drpc_event *event, void *arg)
{
	struct drpc_watch *watch = arg;
	struct drpc_agent *agent = watch->agent;
	struct drpc_container *c;
	char id[DRPC_ID_MAX];
	size_t own_len;
	bool runtime;

	agent->stats.events++;
	switch (event->kind) {
	case DRPC_EVENT_CGROUP_NEW:
		if (!drpc_discover_match(&agent->discover, event->path, &own_len, id, sizeof(id),
					 &runtime) ||
		    event->path[own_len] != '\0')
			return;
		c = welcome(watch, &(struct drpc_cgroup_found){.path = event->path,
							       .id = id,
							       .cgroup_id = event->cgroup_id,
							       .runtime = runtime});
		/* Seen from its first connection on: nothing to seed. */
		if (c)
			c->seeded = true;
		return;
	case DRPC_EVENT_CGROUP_GONE:
		c = drpc_roster_by_cgroup(agent->roster, event->cgroup_id);
		if (c)
			drpc_roster_remove(agent->roster, c);
		return;
	case DRPC_EVENT_OOM_KILL:
		c = drpc_roster_by_cgroup(agent->roster, event->cgroup_id);
		drpc_warn("watch: the kernel killed process %u of %s: out of memory", event->pid,
			  c ? c->name : "an untracked cgroup");
		return;
	case DRPC_EVENT_EXIT:
	case DRPC_EVENT_SLOW:
		return;
	}
}

static void on_ring(struct drpc_source *source, uint32_t events, void *arg)
{
	struct drpc_watch *watch = arg;

	(void)source;
	(void)events;
	drpc_kernel_consume(watch->agent->kernel, on_event, watch);
}

static void on_rescan(struct drpc_source *source, uint32_t events, void *arg)
{
	struct drpc_watch *watch = arg;
	int r = scan(watch);

	(void)source;
	(void)events;
	if (r < 0)
		drpc_warn("watch: cannot scan %s%s: %s, trying again", watch->agent->discover.mount,
			  watch->agent->discover.root, strerror(-r));
}

static bool have_events(const struct drpc_agent *agent)
{
	const struct drpc_hook_status *hooks;
	size_t n;

	if (!agent->kernel || drpc_kernel_event_fd(agent->kernel) < 0)
		return false;
	hooks = drpc_kernel_hooks(agent->kernel, &n);
	for (size_t i = 0; i < n; i++) {
		if (hooks[i].working && strstr(hooks[i].rung, "cgroup_mkdir"))
			return true;
	}
	return false;
}

int drpc_watch_new(struct drpc_agent *agent, struct drpc_watch **ret)
{
	struct drpc_watch *watch = calloc(1, sizeof(*watch));
	bool events = have_events(agent);
	int r;

	if (!watch)
		return -ENOMEM;
	watch->agent = agent;
	r = drpc_loop_add_timer(agent->loop, events ? RESCAN_WITH_EVENTS_NS : RESCAN_ALONE_NS,
				on_rescan, watch, &watch->rescan);
	if (r == 0 && agent->kernel && drpc_kernel_event_fd(agent->kernel) >= 0)
		r = drpc_loop_add_fd(agent->loop, drpc_kernel_event_fd(agent->kernel), POLLIN,
				     on_ring, watch, &watch->events);
	if (r == 0)
		r = scan(watch);
	if (r < 0) {
		drpc_watch_free(&watch);
		return drpc_err(r, "watch: first scan of the cgroup tree");
	}
	drpc_info("watch: %zu containers, %s", drpc_roster_count(agent->roster),
		  events ? "new ones by kernel event" : "new ones by scan, once a second");
	*ret = watch;
	return 0;
}

void drpc_watch_free(struct drpc_watch **watch)
{
	if (!*watch)
		return;
	drpc_loop_remove((*watch)->agent->loop, &(*watch)->events);
	drpc_loop_remove((*watch)->agent->loop, &(*watch)->rescan);
	free((*watch)->seeded);
	free(*watch);
	*watch = NULL;
}
