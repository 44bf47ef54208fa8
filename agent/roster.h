/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is there: owns every container and deployment of the node. Containers come from the cgroup
 * tree, by scan or by event; names, labels and the grouping into deployments come from the engine,
 * later, where there is one. Until then a container is a deployment of its own, named by its path.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "agent/container.h"
#include "agent/monitor/discover.h"

struct drpc_roster;

struct drpc_label {
	const char *key, *value;
};

/* What an engine knows of a container. */
struct drpc_container_info {
	const char *name;	/* without a leading slash */
	const char *deployment; /* compose "project/service", NULL: the name */
	const struct drpc_label *labels;
	size_t label_count;
	pid_t init_pid;
};

struct drpc_roster_ops {
	/* A slot for a new cgroup, and its return. */
	uint32_t (*track)(uint64_t cgroup_id, void *arg);
	void (*untrack)(uint64_t cgroup_id, uint32_t slot, void *arg);
	/* The configured policy of a deployment, before labels. */
	void (*policy)(const char *deployment, struct drpc_policy *ret, void *arg);
	/* A container is about to be freed: let go of whatever refers to it. */
	void (*gone)(struct drpc_container *container, void *arg);
	/* The same for a deployment: its last replica has left. */
	void (*deployment_gone)(struct drpc_deployment *deployment, void *arg);
	void *arg;
};

int drpc_roster_new(const struct drpc_roster_ops *ops, struct drpc_roster **ret);
void drpc_roster_free(struct drpc_roster **roster); /* NULL-safe; calls `gone` for everyone */

/* Adds the container unless its cgroup is known; *ret (may be NULL) is it. 1 added, 0 known, or a
 * negative errno. */
int drpc_roster_add(struct drpc_roster *roster, const struct drpc_cgroup_found *found,
		    struct drpc_container **ret);

/* Names a container, moves it to its deployment, applies its labels. Calling again is an update. */
int drpc_roster_describe(struct drpc_roster *roster, struct drpc_container *container,
			 const struct drpc_container_info *info);

/* A deployment that is held stays when its last replica leaves; let go, an empty one leaves too. */
void drpc_roster_hold(struct drpc_roster *roster, struct drpc_deployment *deployment, bool held);

void drpc_roster_remove(struct drpc_roster *roster, struct drpc_container *container);

/*
 * Removes what was not added since the last call of drpc_roster_mark(): a scan is mark, add all
 * that was found, sweep. Returns how many went.
 */
void drpc_roster_mark(struct drpc_roster *roster);
size_t drpc_roster_sweep(struct drpc_roster *roster);

struct drpc_container *drpc_roster_by_cgroup(const struct drpc_roster *roster, uint64_t cgroup_id);
struct drpc_container *drpc_roster_by_slot(const struct drpc_roster *roster, uint32_t slot);

/* By id, a unique prefix of an id (at least 4 digits), or name. NULL for none. */
struct drpc_container *drpc_roster_find(const struct drpc_roster *roster, const char *name);
struct drpc_deployment *drpc_roster_deployment(const struct drpc_roster *roster, const char *name);

size_t drpc_roster_count(const struct drpc_roster *roster);

/* Iteration, in the order of arrival: NULL begins, NULL ends. The one given may be removed only
 * after its successor was taken. */
struct drpc_container *drpc_roster_next(const struct drpc_roster *roster,
					const struct drpc_container *after);
struct drpc_deployment *drpc_roster_next_deployment(const struct drpc_roster *roster,
						    const struct drpc_deployment *after);
