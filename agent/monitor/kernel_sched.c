/* SPDX-License-Identifier: Apache-2.0 */
/* The sched concern: run-queue latency and context switches. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "agent/monitor/kernel_load.h"
#include "lib/log.h"
#include "lib/util.h"
#include "sched.skel.h"

struct drpc_sched {
	struct sched_bpf *bpf;
};

#define LOST_MOVES \
	"the wait of a task that is moved to another CPU while waiting counts from the move on"

static const struct drpc_need sched_need = {
	.name = "run queue wait",
	.lost = "run queue wait and context switches are not measured",
	.rungs = {{.name = "tp_btf/sched_switch", .programs = {"on_switch_moves"}},
		  {.name = "tp_btf/sched_switch, no moves",
		   .programs = {"on_switch_here"},
		   .lost = LOST_MOVES},
		  {.name = "tp_btf/sched_wakeup",
		   .programs = {"on_wakeup", "on_wakeup_new", "on_switch_woken"},
		   .lost = "costs four times as much"}},
};

static bool has_member(const struct btf *btf, const struct btf_type *type, const char *name)
{
	const struct btf_member *m = btf_members(type);

	for (int i = 0; i < btf_vlen(type); i++) {
		if (!strcmp(btf__name_by_offset(btf, m[i].name_off), name))
			return true;
	}
	return false;
}

/*
 * Whether task storage comes from an allocator that may be called with a run queue locked: since
 * 6.4 (08a7ce384e33, "bpf: Use bpf_mem_cache_alloc/free in bpf_local_storage_elem"). Before, the
 * page allocator may wake kswapd, and with it wait for the lock that is held.
 */
static bool task_storage_never_waits(void)
{
	struct btf *btf = btf__load_vmlinux_btf();
	const struct btf_type *type;
	bool never = false;
	int id;

	if (libbpf_get_error(btf))
		return false;
	id = btf__find_by_name_kind(btf, "bpf_local_storage_map", BTF_KIND_STRUCT);
	if (id > 0) {
		type = btf__type_by_id(btf, (uint32_t)id);
		never = has_member(btf, type, "bpf_ma") ||
			has_member(btf, type, "use_kmalloc_nolock");
	}
	btf__free(btf);
	return never;
}

static void *sched_open_skel(const struct drpc_kernel *kernel)
{
	struct sched_bpf *bpf = sched_bpf__open();

	if (bpf)
		DRPC_CONFIGURE(bpf, kernel);
	return bpf;
}

static struct bpf_object *sched_object(void *skel)
{
	return ((struct sched_bpf *)skel)->obj;
}

static void sched_destroy_skel(void *skel)
{
	sched_bpf__destroy(skel);
}

static const struct drpc_object_ops sched_ops = {
	.open = sched_open_skel,
	.object = sched_object,
	.destroy = sched_destroy_skel,
};

static void sched_close(struct drpc_kernel *kernel)
{
	if (!kernel->sched)
		return;
	sched_bpf__destroy(kernel->sched->bpf);
	free(kernel->sched);
	kernel->sched = NULL;
}

static int load(struct drpc_kernel *kernel, struct drpc_sched *sched, const struct drpc_need *need)
{
	sched->bpf = sched_open_skel(kernel);
	if (!sched->bpf)
		return drpc_err(-errno, "sched: cannot open the programs");
	bpf_map__set_autocreate(sched->bpf->maps.drpc_sched_tasks,
				drpc_need_uses(need, "on_switch_moves"));
	bpf_map__set_autocreate(sched->bpf->maps.drpc_sched_woken,
				drpc_need_uses(need, "on_switch_woken"));
	return drpc_kernel_load(kernel, "sched", sched->bpf->skeleton, need, 1);
}

static int sched_open(struct drpc_kernel *kernel)
{
	struct drpc_need need = sched_need;
	int r;

	if (!task_storage_never_waits())
		memmove(&need.rungs[0], &need.rungs[1], sizeof(need.rungs) - sizeof(*need.rungs));
	r = drpc_ladder_climb(kernel, "sched", &sched_ops, &need, 1);
	if (r <= 0)
		return r < 0 ? r : -ENOTSUP;
	kernel->sched = calloc(1, sizeof(*kernel->sched));
	if (!kernel->sched)
		return drpc_err(-ENOMEM, "sched: no memory");
	r = load(kernel, kernel->sched, &need);
	if (r < 0)
		sched_close(kernel);
	return r;
}

const struct drpc_concern drpc_concern_sched = {
	.name = "sched",
	.without = "no waits for a CPU, no context switches: CPU pressure stands in for them",
	.open = sched_open,
	.close = sched_close,
};
