/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every place where kernels between 5.15 and now differ, and nothing else. A shim names the change
 * that made it necessary. Include after vmlinux.h.
 */
#pragma once

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

/*
 * kernfs_node::parent became __parent in 6.15 (633488947ef6, "kernfs: Use RCU to access
 * kernfs_node::parent").
 */
struct kernfs_node___parent {
	struct kernfs_node *parent;
} __attribute__((preserve_access_index));

struct kernfs_node___rcu_parent {
	struct kernfs_node *__parent;
} __attribute__((preserve_access_index));

static __always_inline struct kernfs_node *compat_kernfs_parent(const struct kernfs_node *kn)
{
	const struct kernfs_node___parent *before = (const void *)kn;
	const struct kernfs_node___rcu_parent *now = (const void *)kn;

	if (bpf_core_field_exists(before->parent))
		return BPF_CORE_READ(before, parent);
	return BPF_CORE_READ(now, __parent);
}

/*
 * A cgroup's per-CPU usage: cgroup_rstat_cpu in cgroup::rstat_cpu became cgroup_rstat_base_cpu in
 * cgroup::rstat_base_cpu in 6.16 (a97915559f5c, "cgroup: change rstat function signatures from
 * cgroup-based to css-based", and what followed). The two fields of interest kept their names.
 */
struct cgroup_rstat_cpu {
	struct cgroup_base_stat bstat;
	struct cgroup_base_stat last_bstat;
} __attribute__((preserve_access_index));

struct cgroup_rstat_base_cpu {
	struct cgroup_base_stat bstat;
	struct cgroup_base_stat last_bstat; /* what of bstat has gone into cgroup::bstat */
} __attribute__((preserve_access_index));

struct cgroup___rstat_cpu {
	struct cgroup_rstat_cpu *rstat_cpu;
} __attribute__((preserve_access_index));

struct cgroup___rstat_base_cpu {
	struct cgroup_rstat_base_cpu *rstat_base_cpu;
} __attribute__((preserve_access_index));

#define compat_rstat_is_base() \
	bpf_core_field_exists(((struct cgroup___rstat_base_cpu *)0)->rstat_base_cpu)
