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
