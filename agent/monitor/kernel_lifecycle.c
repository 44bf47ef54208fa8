/* SPDX-License-Identifier: Apache-2.0 */
/* The lifecycle concern: cgroups that come and go, containers that end. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <bpf/libbpf.h>

#include "agent/monitor/kernel_load.h"
#include "lib/log.h"
#include "lib/util.h"
#include "lifecycle.skel.h"

struct drpc_lifecycle {
	struct lifecycle_bpf *bpf;
};

enum { NEED_MADE, NEED_REMOVED, NEED_EXIT, NEED_EMPTY, NEED_COUNT };

static const struct drpc_need lifecycle_needs[NEED_COUNT] = {
	[NEED_MADE] = {.name = "container made",
		       .lost = "new containers are found by looking through the tree",
		       .rungs = {{.name = "tp_btf/cgroup_mkdir", .programs = {"on_cgroup_mkdir"}}}},
	[NEED_REMOVED] = {.name = "container removed",
			  .lost = "removed containers are found by looking through the tree",
			  .rungs = {{.name = "tp_btf/cgroup_rmdir",
				     .programs = {"on_cgroup_rmdir"}},
				    {.name = "tp_btf/cgroup_release",
				     .programs = {"on_cgroup_release"},
				     .lost = "told once the last memory is given back, late"}}},
	[NEED_EXIT] = {.name = "first process ended",
		       .lost = "seen when the container is empty or removed",
		       .rungs = {{.name = "tp_btf/sched_process_exit",
				  .programs = {"on_process_exit"}}}},
	[NEED_EMPTY] = {.name = "container emptied",
			.lost = "seen when the first process ends or the container is removed",
			.rungs = {{.name = "tp_btf/cgroup_notify_populated",
				   .programs = {"on_cgroup_populated"}}}},
};

/* The id of the cgroup to stay under: its folder's inode. 0: the whole tree. */
static uint64_t root_id(const struct drpc_kernel *kernel)
{
	struct stat st;

	if (kernel->options.cgroup_root_fd < 0 || fstat(kernel->options.cgroup_root_fd, &st) < 0)
		return 0;
	return st.st_ino;
}

static void *lifecycle_open_skel(const struct drpc_kernel *kernel)
{
	struct lifecycle_bpf *bpf = lifecycle_bpf__open();

	if (!bpf)
		return NULL;
	DRPC_CONFIGURE(bpf, kernel);
	bpf->rodata->drpc_root_id = root_id(kernel);
	return bpf;
}

static struct bpf_object *lifecycle_object(void *skel)
{
	return ((struct lifecycle_bpf *)skel)->obj;
}

static void lifecycle_destroy_skel(void *skel)
{
	lifecycle_bpf__destroy(skel);
}

static const struct drpc_object_ops lifecycle_ops = {
	.open = lifecycle_open_skel,
	.object = lifecycle_object,
	.destroy = lifecycle_destroy_skel,
};

static void lifecycle_close(struct drpc_kernel *kernel)
{
	if (!kernel->lifecycle)
		return;
	lifecycle_bpf__destroy(kernel->lifecycle->bpf);
	free(kernel->lifecycle);
	kernel->lifecycle = NULL;
}

static int lifecycle_open(struct drpc_kernel *kernel)
{
	struct drpc_need needs[NEED_COUNT];
	int r;

	memcpy(needs, lifecycle_needs, sizeof(needs));
	r = drpc_ladder_climb(kernel, "lifecycle", &lifecycle_ops, needs, NEED_COUNT);
	if (r <= 0)
		return r < 0 ? r : -ENOTSUP;
	kernel->lifecycle = calloc(1, sizeof(*kernel->lifecycle));
	if (!kernel->lifecycle)
		return drpc_err(-ENOMEM, "lifecycle: no memory");
	kernel->lifecycle->bpf = lifecycle_open_skel(kernel);
	if (!kernel->lifecycle->bpf)
		r = drpc_err(-errno, "lifecycle: cannot open the programs");
	else
		r = drpc_kernel_load(kernel, "lifecycle", kernel->lifecycle->bpf->skeleton, needs,
				     NEED_COUNT);
	if (r < 0)
		lifecycle_close(kernel);
	return r;
}

const struct drpc_concern drpc_concern_lifecycle = {
	.name = "lifecycle",
	.without =
		"no events of containers: they are found by looking through the cgroup tree every second",
	.open = lifecycle_open,
	.close = lifecycle_close,
};
