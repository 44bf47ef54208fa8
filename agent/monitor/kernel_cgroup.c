/* SPDX-License-Identifier: Apache-2.0 */
/* The cgroup concern: all tracked cgroups' counters in one pass of an iterator. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "agent/monitor/kernel_internal.h"
#include "cgroup_iter.skel.h"
#include "include/drpc/cgroup_abi.h"
#include "lib/log.h"
#include "lib/util.h"

#define NEED	  "cgroup counters"
#define NEED_LOST "counters come from the cgroup files"

/* Cgroups that are no containers, beside as many as there are slots: their places are kept too. */
#define UNTRACKED_PLACES 1000

/* CPUs may be plugged in; it is looked after so often. */
#define PASSES_PER_CPU_COUNT 64

/* What a slot was last said to have: totals never run backwards. */
struct last {
	uint64_t cgroup_id;
	struct drpc_cgroup_counters counters;
};

struct drpc_cgroup_iter {
	struct cgroup_iter_bpf *bpf;
	struct bpf_link *link;
	const struct drpc_cgroup_raw *raw;    /* mapped, one a slot */
	const struct drpc_cgroup_mark *marks; /* mapped, one a slot */
	size_t raw_bytes, marks_bytes;
	uint64_t page_bytes;
	struct last *last; /* one a slot */
};

/* --- loading ---------------------------------------------------------------------------------- */

static struct cgroup_iter_bpf *open_skel(const struct drpc_kernel *kernel)
{
	struct cgroup_iter_bpf *bpf = cgroup_iter_bpf__open();

	if (!bpf)
		return NULL;
	DRPC_CONFIGURE(bpf, kernel);
	bpf->bss->drpc_cpus = (uint32_t)libbpf_num_possible_cpus();
	bpf_map__set_max_entries(bpf->maps.drpc_cgroups, kernel->slots);
	bpf_map__set_max_entries(bpf->maps.drpc_marks, kernel->slots);
	bpf_map__set_max_entries(bpf->maps.drpc_places, 2 * kernel->slots + UNTRACKED_PLACES);
	return bpf;
}

/* Attaches the iterator to the tree it is to walk: fd 0 is the kernel's word for all of it. */
static int attach(const struct drpc_kernel *kernel, const struct bpf_program *program,
		  struct bpf_link **ret)
{
	int root = kernel->options.cgroup_root_fd;
	union bpf_iter_link_info info = {
		.cgroup.order = BPF_CGROUP_ITER_DESCENDANTS_PRE,
		.cgroup.cgroup_fd = root > 0 ? (uint32_t)root : 0,
	};
	LIBBPF_OPTS(bpf_iter_attach_opts, opts, .link_info = &info, .link_info_len = sizeof(info));
	struct bpf_link *link = bpf_program__attach_iter(program, &opts);
	long err = libbpf_get_error(link);

	if (err)
		return (int)err;
	*ret = link;
	return 0;
}

static int find_percpu_offsets(struct cgroup_iter_bpf *bpf)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	int r = bpf_prog_test_run_opts(bpf_program__fd(bpf->progs.drpc_percpu_offsets), &opts);

	if (r < 0)
		return r;
	return opts.retval ? -EFAULT : 0;
}

/*
 * CPUs up to the last that is plugged in, on line or not. A virtual machine may have a hundred
 * possible ones beyond.
 */
static uint32_t present_cpus(uint32_t possible)
{
	_cleanup_free_ char *text = NULL;
	unsigned long last;
	char *at;

	if (drpc_read_file_at(AT_FDCWD, "/sys/devices/system/cpu/present", 4096, &text) < 0)
		return possible;
	/* "0-3,8-11": the last number in it. */
	at = text + strcspn(text, "\n");
	while (at > text && at[-1] >= '0' && at[-1] <= '9')
		at--;
	last = strtoul(at, NULL, 10);
	return last < possible ? (uint32_t)last + 1 : possible;
}

/* One pass, which calls the program for each cgroup and prints nothing. */
static int run_pass(struct drpc_cgroup_iter *iter)
{
	_cleanup_close_ int fd = -1;
	char none[16];
	ssize_t n;

	if (iter->bpf->bss->drpc_pass++ % PASSES_PER_CPU_COUNT == 0)
		iter->bpf->bss->drpc_cpus = present_cpus((uint32_t)libbpf_num_possible_cpus());
	fd = bpf_iter_create(bpf_link__fd(iter->link));
	if (fd < 0)
		return -errno;
	do {
		n = read(fd, none, sizeof(none));
	} while (n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN)));
	return n < 0 ? -errno : 0;
}

static int try_program(const struct drpc_kernel *kernel, struct drpc_cgroup_iter *iter, bool typed)
{
	struct cgroup_iter_bpf *bpf = open_skel(kernel);
	int r;

	if (!bpf)
		return -errno;
	iter->bpf = bpf;
	bpf_program__set_autoload(bpf->progs.on_cgroup_typed, typed);
	bpf_program__set_autoload(bpf->progs.on_cgroup_untyped, !typed);
	r = drpc_kernel_share_maps(kernel, bpf->obj);
	if (r == 0)
		r = cgroup_iter_bpf__load(bpf);
	if (r == 0)
		r = find_percpu_offsets(bpf);
	if (r == 0)
		r = attach(kernel,
			   typed ? bpf->progs.on_cgroup_typed : bpf->progs.on_cgroup_untyped,
			   &iter->link);
	if (r == 0)
		r = run_pass(iter);
	if (r < 0) {
		bpf_link__destroy(iter->link);
		cgroup_iter_bpf__destroy(bpf);
		iter->link = NULL;
		iter->bpf = NULL;
	}
	return r;
}

/* Programs of this concern need more than a load and an attach to be tried: a ladder of its own. */
static const struct {
	const char *name;
	bool typed;
} rungs[] = {
	{"iter/cgroup, plain loads", true},
	{"iter/cgroup, probe reads", false},
};

static int climb(struct drpc_kernel *kernel, struct drpc_cgroup_iter *iter)
{
	char why[80] = "";
	int r = -ENOTSUP;

	if (libbpf_num_possible_cpus() > DRPC_CGROUP_CPUS) {
		drpc_kernel_hook(kernel, NEED, "", false, NEED_LOST ": more than %d CPUs",
				 DRPC_CGROUP_CPUS);
		return -ENOTSUP;
	}
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(rungs); i++) {
		if (!drpc_kernel_rung_allowed(kernel, "cgroup", rungs[i].name)) {
			snprintf(why, sizeof(why), "left out by force_rung");
			continue;
		}
		r = try_program(kernel, iter, rungs[i].typed);
		drpc_debug("kernel: %s: %s: %s", NEED, rungs[i].name,
			   r == 0 ? "works" : strerror(-r));
		if (r == 0) {
			drpc_kernel_hook(kernel, NEED, rungs[i].name, true, "%s", why);
			return 0;
		}
		snprintf(why, sizeof(why), "%s: %s", rungs[i].name, strerror(-r));
	}
	drpc_kernel_hook(kernel, NEED, "", false, NEED_LOST "; %s", why);
	return -ENOTSUP;
}

/* An array's values, for reading. */
static int map_values(const struct bpf_map *map, size_t bytes, const void **ret, size_t *ret_bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *p;

	bytes = (bytes + page - 1) & ~(page - 1);
	p = mmap(NULL, bytes, PROT_READ, MAP_SHARED, bpf_map__fd(map), 0);
	if (p == MAP_FAILED)
		return drpc_err(-errno, "cgroup: cannot map the counters");
	*ret = p;
	*ret_bytes = bytes;
	return 0;
}

static int map_raw(const struct drpc_kernel *kernel, struct drpc_cgroup_iter *iter)
{
	int r = map_values(iter->bpf->maps.drpc_cgroups, kernel->slots * sizeof(*iter->raw),
			   (const void **)&iter->raw, &iter->raw_bytes);

	if (r == 0)
		r = map_values(iter->bpf->maps.drpc_marks, kernel->slots * sizeof(*iter->marks),
			       (const void **)&iter->marks, &iter->marks_bytes);
	if (r < 0)
		return r;
	iter->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	iter->last = calloc(kernel->slots, sizeof(*iter->last));
	return iter->last ? 0 : drpc_err(-ENOMEM, "cgroup: no memory for %u slots", kernel->slots);
}

static void cgroup_close(struct drpc_kernel *kernel)
{
	struct drpc_cgroup_iter *iter = kernel->cgroup_iter;

	if (!iter)
		return;
	if (iter->raw)
		munmap((void *)iter->raw, iter->raw_bytes);
	if (iter->marks)
		munmap((void *)iter->marks, iter->marks_bytes);
	bpf_link__destroy(iter->link);
	cgroup_iter_bpf__destroy(iter->bpf);
	free(iter->last);
	free(iter);
	kernel->cgroup_iter = NULL;
}

static int cgroup_open(struct drpc_kernel *kernel)
{
	int r;

	kernel->cgroup_iter = calloc(1, sizeof(*kernel->cgroup_iter));
	if (!kernel->cgroup_iter)
		return drpc_err(-ENOMEM, "cgroup: no memory");
	r = climb(kernel, kernel->cgroup_iter);
	if (r == 0) {
		drpc_kernel_account_maps(kernel, kernel->cgroup_iter->bpf->obj);
		r = map_raw(kernel, kernel->cgroup_iter);
	}
	if (r < 0)
		cgroup_close(kernel);
	return r;
}

/* --- reading ---------------------------------------------------------------------------------- */

int drpc_cgroup_iter_scan(struct drpc_kernel *kernel)
{
	int r = run_pass(kernel->cgroup_iter);

	return r < 0 ? drpc_err(r, "cgroup: the iterator's pass failed") : 0;
}

/*
 * A total as it is now, or as it was last said to be: a reading can be torn by the kernel's own
 * bookkeeping and fall short, and so do shares that are averaged anew.
 */
static uint64_t keep_rising(uint64_t *last, uint64_t now)
{
	*last = DRPC_MAX(*last, now);
	return *last;
}

static void take_cpu(const struct drpc_cgroup_raw *raw, struct drpc_cgroup_counters *last,
		     struct drpc_cgroup_counters *out)
{
	if (raw->valid & DRPC_RAW_CPU) {
		out->cpu_usage_usec =
			keep_rising(&last->cpu_usage_usec, raw->cpu_usage_ns / DRPC_NSEC_PER_USEC);
		out->valid |= DRPC_CG_CPU;
	}
	if (raw->valid & DRPC_RAW_THROTTLE) {
		out->nr_periods = raw->nr_periods;
		out->nr_throttled = raw->nr_throttled;
		out->throttled_usec = raw->throttled_ns / DRPC_NSEC_PER_USEC;
		out->valid |= DRPC_CG_THROTTLE;
	}
}

static void take_psi(const struct drpc_cgroup_raw *raw, struct drpc_cgroup_counters *last,
		     struct drpc_cgroup_counters *out)
{
	uint64_t *to[DRPC_PSI_COUNT] = {
		[DRPC_PSI_IO_SOME] = &out->io_some_usec,
		[DRPC_PSI_IO_FULL] = &out->io_full_usec,
		[DRPC_PSI_MEM_SOME] = &out->mem_some_usec,
		[DRPC_PSI_MEM_FULL] = &out->mem_full_usec,
		[DRPC_PSI_CPU_SOME] = &out->cpu_some_usec,
		[DRPC_PSI_CPU_FULL] = &out->cpu_full_usec,
	};

	if (!(raw->valid & DRPC_RAW_PSI))
		return;
	for (int s = 0; s < DRPC_PSI_COUNT; s++) {
		size_t at = (size_t)((char *)to[s] - (char *)out);

		*to[s] = keep_rising((uint64_t *)((char *)last + at),
				     raw->psi_ns[s] / DRPC_NSEC_PER_USEC);
	}
	out->valid |= DRPC_CG_PSI_CPU | DRPC_CG_PSI_MEM | DRPC_CG_PSI_IO;
}

static void take_memory(const struct drpc_cgroup_raw *raw, uint64_t page_bytes,
			struct drpc_cgroup_counters *out)
{
	uint64_t inactive = raw->inactive_file_pages > 0 ? (uint64_t)raw->inactive_file_pages : 0;

	if (!(raw->valid & DRPC_RAW_MEM))
		return;
	out->mem_current_bytes = raw->mem_pages * page_bytes;
	out->mem_working_set_bytes =
		(raw->mem_pages - DRPC_MIN(raw->mem_pages, inactive)) * page_bytes;
	out->oom_kills = raw->oom_kills;
	out->valid |= DRPC_CG_MEM | DRPC_CG_OOM;
}

/* The marks have the lower half of the pass' number. */
static bool is_met(const struct drpc_kernel *kernel, uint32_t slot)
{
	const struct drpc_cgroup_iter *iter = kernel->cgroup_iter;

	return slot != DRPC_SLOT_OTHER && slot < kernel->slots &&
	       iter->marks[slot].met == (uint32_t)iter->bpf->bss->drpc_pass;
}

bool drpc_cgroup_iter_at_rest(const struct drpc_kernel *kernel, uint32_t slot)
{
	const struct drpc_cgroup_iter *iter = kernel->cgroup_iter;

	return is_met(kernel, slot) && iter->marks[slot].read != iter->marks[slot].met;
}

bool drpc_cgroup_iter_get(const struct drpc_kernel *kernel, uint32_t slot,
			  struct drpc_cgroup_counters *ret)
{
	struct drpc_cgroup_iter *iter = kernel->cgroup_iter;
	struct drpc_cgroup_counters out = {0};
	const struct drpc_cgroup_raw *raw;
	struct last *last;

	if (!is_met(kernel, slot))
		return false;
	raw = &iter->raw[slot];
	if (raw->cgroup_id != kernel->slot_cgroup[slot])
		return false;
	last = &iter->last[slot];
	if (last->cgroup_id != raw->cgroup_id)
		*last = (struct last){.cgroup_id = raw->cgroup_id};
	take_cpu(raw, &last->counters, &out);
	take_psi(raw, &last->counters, &out);
	take_memory(raw, iter->page_bytes, &out);
	*ret = out;
	return true;
}

const struct drpc_concern drpc_concern_cgroup_iter = {
	.name = "cgroup",
	.without =
		"no pass of the cgroup iterator: CPU, throttling, memory and pressure are read from each container's cgroup files, which costs the agent more time",
	.open = cgroup_open,
	.close = cgroup_close,
};
