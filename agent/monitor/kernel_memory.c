/* SPDX-License-Identifier: Apache-2.0 */
/* The memory concern: stalls in direct reclaim, OOM kills. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "agent/monitor/kernel_load.h"
#include "lib/log.h"
#include "lib/util.h"
#include "memory.skel.h"

struct drpc_memory {
	struct memory_bpf *bpf;
};

enum { NEED_OWN_LIMIT, NEED_NODE, NEED_OOM, NEED_COUNT };

static const struct drpc_need memory_needs[NEED_COUNT] = {
	[NEED_OWN_LIMIT] = {.name = "reclaim, own limit",
			    .lost = "stalls at a container's own memory limit are not measured",
			    .rungs = {{.name = "tp_btf/mm_vmscan_memcg_reclaim",
				       .programs = {"on_memcg_reclaim_begin",
						    "on_memcg_reclaim_end"}}}},
	[NEED_NODE] = {.name = "reclaim, whole node",
		       .lost = "stalls for want of memory on the node are not measured",
		       .rungs = {{.name = "tp_btf/mm_vmscan_direct_reclaim",
				  .programs = {"on_direct_reclaim_begin",
					       "on_direct_reclaim_end"}}}},
	[NEED_OOM] = {.name = "OOM kill",
		      .lost = "OOM kills are seen in the cgroup's counters only",
		      .rungs = {{.name = "tp_btf/mark_victim", .programs = {"on_mark_victim"}},
				{.name = "tp_btf/mark_victim + exit",
				 .programs = {"on_mark_victim_id", "on_victim_exit"},
				 .lost = "told when the victim exits, an instant later"}}},
};

static void *memory_open_skel(const struct drpc_kernel *kernel)
{
	struct memory_bpf *bpf = memory_bpf__open();

	if (bpf)
		DRPC_CONFIGURE(bpf, kernel);
	return bpf;
}

static struct bpf_object *memory_object(void *skel)
{
	return ((struct memory_bpf *)skel)->obj;
}

static void memory_destroy_skel(void *skel)
{
	memory_bpf__destroy(skel);
}

static const struct drpc_object_ops memory_ops = {
	.open = memory_open_skel,
	.object = memory_object,
	.destroy = memory_destroy_skel,
};

static void memory_close(struct drpc_kernel *kernel)
{
	if (!kernel->memory)
		return;
	memory_bpf__destroy(kernel->memory->bpf);
	free(kernel->memory);
	kernel->memory = NULL;
}

static int load(struct drpc_kernel *kernel, struct drpc_memory *memory,
		const struct drpc_need *needs)
{
	memory->bpf = memory_open_skel(kernel);
	if (!memory->bpf)
		return drpc_err(-errno, "memory: cannot open the programs");
	bpf_map__set_autocreate(memory->bpf->maps.drpc_oom_victims,
				drpc_need_uses(&needs[NEED_OOM], "on_victim_exit"));
	return drpc_kernel_load(kernel, "memory", memory->bpf->skeleton, needs, NEED_COUNT);
}

static int memory_open(struct drpc_kernel *kernel)
{
	struct drpc_need needs[NEED_COUNT];
	int r;

	memcpy(needs, memory_needs, sizeof(needs));
	r = drpc_ladder_climb(kernel, "memory", &memory_ops, needs, NEED_COUNT);
	if (r <= 0)
		return r < 0 ? r : -ENOTSUP;
	kernel->memory = calloc(1, sizeof(*kernel->memory));
	if (!kernel->memory)
		return drpc_err(-ENOMEM, "memory: no memory");
	r = load(kernel, kernel->memory, needs);
	if (r < 0)
		memory_close(kernel);
	return r;
}

const struct drpc_concern drpc_concern_memory = {
	.name = "memory",
	.without =
		"no stalls in reclaim: memory pressure stands in for them, and OOM kills are seen in the cgroup's counters",
	.open = memory_open,
	.close = memory_close,
};
