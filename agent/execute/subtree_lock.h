/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One agent per cgroup subtree. The kernel's own lock on the cgroup folders: exclusive on the
 * subtree's root, shared on every folder above it, so that equal and nested subtrees exclude each
 * other and separate ones do not. Ends with the process, however that ends; leaves no file behind.
 */
#pragma once

struct drpc_subtree_lock;

/* `path` as in drpc_cgroupfs_open. -EBUSY: another agent acts there (logged with its pid). */
int drpc_subtree_lock_new(int root_fd, const char *path, struct drpc_subtree_lock **ret);
void drpc_subtree_lock_free(struct drpc_subtree_lock **lock); /* NULL-safe, nulls its argument */
