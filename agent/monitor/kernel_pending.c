/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for concerns whose files are not there yet; goes when they are. */
#include "agent/monitor/kernel_internal.h"
#include <errno.h>
static int o(struct drpc_kernel *k)
{
	(void)k;
	return -ENOTSUP;
}
static void c(struct drpc_kernel *k)
{
	(void)k;
}
__attribute__((weak)) const struct drpc_concern drpc_concern_sched = {"sched", o, c, 0, 0};
__attribute__((weak)) const struct drpc_concern drpc_concern_memory = {"memory", o, c, 0, 0};
__attribute__((weak)) const struct drpc_concern drpc_concern_lifecycle = {"lifecycle", o, c, 0, 0};
__attribute__((weak)) const struct drpc_concern drpc_concern_cgroup_iter = {"cgroup", o, c, 0, 0};
__attribute__((weak)) int drpc_cgroup_iter_scan(struct drpc_kernel *k)
{
	(void)k;
	return -ENOTSUP;
}
__attribute__((weak)) bool drpc_cgroup_iter_get(const struct drpc_kernel *k, uint32_t s,
						struct drpc_cgroup_counters *r)
{
	(void)k;
	(void)s;
	(void)r;
	return false;
}
