/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which cgroups are containers. Every runtime leaves its container's id in the path:
 *     docker/<64 hex>                      Docker, cgroupfs driver
 *     system.slice/docker-<64 hex>.scope   Docker, systemd driver
 *     …/libpod-<64 hex>[.scope]            Podman
 *     …/crio-<64 hex>[.scope]              CRI-O
 *     …/cri-containerd-<64 hex>.scope      containerd, systemd driver
 *     kubepods/…/pod<uid>/<64 hex>         containerd, cgroupfs driver
 * The first such component counts; cgroups below it are the container's own. Under a --cgroup-root
 * the direct children that belong to no runtime count as containers too, so that an agent can look
 * after any subtree, services without a container included.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct drpc_cgroup_found {
	const char *path; /* relative to the cgroup2 mount, with a leading slash */
	const char *id;	  /* engine's id, or the last component */
	uint64_t cgroup_id;
	bool runtime; /* the id is a container runtime's */
};

typedef void (*drpc_cgroup_found_fn)(const struct drpc_cgroup_found *found, void *arg);

struct drpc_discover {
	char mount[256]; /* cgroup2 mount point */
	char root[512];	 /* subtree, relative to the mount: "" for everything */
	bool children;	 /* direct children of the root count */
};

/*
 * Finds the cgroup2 mount (from /proc/self/mountinfo) and checks that `cgroup_root`, NULL or a
 * folder inside it, exists. -ENOENT: no cgroup2 is mounted; -EINVAL: not inside the mount.
 */
int drpc_discover_init(struct drpc_discover *discover, const char *cgroup_root);

/* The id of a runtime's container in one path component, of length *ret_len; NULL for none. */
const char *drpc_discover_component_id(const char *component, size_t len, size_t *ret_len);

/*
 * Splits a path (relative to the mount) at its container: true and *ret_len, the length of the
 * container's own path, and its id. False where the path is in no container, or outside the root.
 */
bool drpc_discover_match(const struct drpc_discover *discover, const char *path, size_t *ret_len,
			 char *id, size_t id_size, bool *ret_runtime);

/* Walks the tree and reports every container. Returns how many, or a negative errno. */
int drpc_discover_scan(const struct drpc_discover *discover, drpc_cgroup_found_fn fn, void *arg);
