/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "agent/monitor/kernel_internal.h"
#include "agent/monitor/kernel_maps.h"
#include "lib/log.h"
#include "lib/util.h"

#define DEFAULT_CONTAINERS 1024
#define DEFAULT_BUDGET	   (32 * DRPC_MIB)
#define SLOW_GAP_NS	   (10 * DRPC_NSEC_PER_MSEC)

struct concern_choice {
	const struct drpc_concern *concern;
	bool wanted;
};

#define N_CONCERNS 5

static void list_concerns(const struct drpc_kernel_options *o, struct concern_choice *list)
{
	list[0] = (struct concern_choice){&drpc_concern_latency, o->latency || o->edges};
	list[1] = (struct concern_choice){&drpc_concern_sched, o->sched};
	list[2] = (struct concern_choice){&drpc_concern_memory, o->memory};
	list[3] = (struct concern_choice){&drpc_concern_lifecycle, o->lifecycle};
	list[4] = (struct concern_choice){&drpc_concern_cgroup_iter, o->cgroup_iter};
}

/* libbpf's word is for debugging: what a refusal means is told by the hook status. */
static int libbpf_message(enum libbpf_print_level level, const char *fmt, va_list args)
{
	char line[512];
	size_t len;

	if (!drpc_log_enabled(DRPC_LOG_DEBUG))
		return 0;
	(void)level;
	vsnprintf(line, sizeof(line), fmt, args);
	len = strlen(line);
	while (len && line[len - 1] == '\n')
		line[--len] = '\0';
	drpc_log(DRPC_LOG_DEBUG, "%s", line);
	return 0;
}

void drpc_kernel_format_peer(char *dst, size_t size, const uint8_t addr[16], uint16_t port)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	char text[INET6_ADDRSTRLEN] = "";

	if (!memcmp(addr, mapped, sizeof(mapped))) {
		inet_ntop(AF_INET, addr + 12, text, sizeof(text));
		snprintf(dst, size, "%s:%u", text, port);
	} else {
		inet_ntop(AF_INET6, addr, text, sizeof(text));
		snprintf(dst, size, "[%s]:%u", text, port);
	}
}

static int on_record(void *arg, void *data, size_t size)
{
	const struct drpc_ring_event *record = data;
	const struct drpc_ring_path_event *with_path = data;
	struct drpc_kernel *kernel = arg;
	char peer[64];
	struct drpc_event event;

	if (size < sizeof(*record) || !kernel->event_fn)
		return 0;
	event = (struct drpc_event){
		.kind = (enum drpc_event_kind)record->kind,
		.time_ns = record->time_ns,
		.cgroup_id = record->cgroup_id,
		.pid = record->pid,
		.slot = record->slot,
		.duration_ns = record->duration_ns,
	};
	if (size > sizeof(*record) && memchr(with_path->path, '\0', size - sizeof(*record)))
		event.path = with_path->path;
	if (record->kind == DRPC_EVENT_SLOW) {
		drpc_kernel_format_peer(peer, sizeof(peer), record->peer, record->peer_port);
		event.peer = peer;
	}
	kernel->event_fn(&event, kernel->event_arg);
	return 0;
}

static int make_frame(struct drpc_kernel *kernel)
{
	int r = drpc_maps_create(kernel);

	if (r < 0)
		return r;
	kernel->runtime->generation = 1;
	kernel->runtime->slow_min_ns = UINT64_MAX;
	kernel->runtime->slow_gap_ns = SLOW_GAP_NS;
	kernel->slot_cgroup = calloc(kernel->slots, sizeof(*kernel->slot_cgroup));
	if (!kernel->slot_cgroup)
		return drpc_err(-ENOMEM, "kernel: no memory for %u slots", kernel->slots);
	kernel->slot_hint = DRPC_SLOT_OTHER + 1;
	kernel->ring = ring_buffer__new(kernel->map_fd[DRPC_MAP_EVENTS], on_record, kernel, NULL);
	if (!kernel->ring)
		return drpc_err(-errno, "kernel: cannot open the ring buffer");
	return 0;
}

static int open_concerns(struct drpc_kernel *kernel)
{
	struct concern_choice list[N_CONCERNS];
	int opened = 0, wanted = 0;

	list_concerns(&kernel->options, list);
	for (int i = 0; i < N_CONCERNS; i++) {
		int r;

		if (!list[i].wanted)
			continue;
		wanted++;
		r = list[i].concern->open(kernel);
		if (r == 0)
			opened++;
		else
			drpc_warn("kernel: %s: %s; %s; `drpc doctor` says more",
				  list[i].concern->name, strerror(-r), list[i].concern->without);
	}
	if (wanted && !opened)
		return drpc_err(
			-ENOTSUP,
			"kernel: none of the programs could be loaded (root, or CAP_BPF with CAP_PERFMON, and BTF are needed)");
	if (kernel->map_bytes > kernel->options.map_budget_bytes)
		return drpc_err(-ENOSPC, "kernel: maps take %llu KiB, the budget is %llu KiB",
				(unsigned long long)(kernel->map_bytes / 1024),
				(unsigned long long)(kernel->options.map_budget_bytes / 1024));
	return 0;
}

int drpc_kernel_open(const struct drpc_kernel_options *options, struct drpc_kernel **ret)
{
	struct drpc_kernel *kernel = calloc(1, sizeof(*kernel));
	int r = -ENOMEM;

	if (!kernel)
		return drpc_err(r, "kernel: no memory");
	kernel->options = *options;
	if (!kernel->options.max_containers)
		kernel->options.max_containers = DEFAULT_CONTAINERS;
	if (!kernel->options.map_budget_bytes)
		kernel->options.map_budget_bytes = DEFAULT_BUDGET;
	kernel->slots = kernel->options.max_containers + 1;
	for (int i = 0; i < DRPC_MAP_COUNT; i++)
		kernel->map_fd[i] = -1;
	if (options->force_rung) {
		kernel->force_rung = strdup(options->force_rung);
		if (!kernel->force_rung)
			goto fail;
	}
	kernel->options.force_rung = kernel->force_rung;

	libbpf_set_print(libbpf_message);
	r = make_frame(kernel);
	if (r < 0)
		goto fail;
	r = open_concerns(kernel);
	if (r < 0)
		goto fail;
	*ret = kernel;
	return 0;
fail:
	drpc_kernel_close(&kernel);
	return r;
}

void drpc_kernel_close(struct drpc_kernel **kernel_ptr)
{
	struct drpc_kernel *kernel = *kernel_ptr;
	struct concern_choice list[N_CONCERNS];

	if (!kernel)
		return;
	list_concerns(&kernel->options, list);
	for (int i = N_CONCERNS - 1; i >= 0; i--)
		if (list[i].wanted)
			list[i].concern->close(kernel);
	ring_buffer__free(kernel->ring);
	drpc_maps_destroy(kernel);
	free(kernel->slot_cgroup);
	free(kernel->force_rung);
	free(kernel);
	*kernel_ptr = NULL;
}

const struct drpc_hook_status *drpc_kernel_hooks(const struct drpc_kernel *kernel,
						 size_t *ret_count)
{
	*ret_count = kernel->n_hooks;
	return kernel->hooks;
}

/* --- roster ----------------------------------------------------------------------------------- */

static void bump_generation(struct drpc_kernel *kernel)
{
	__atomic_add_fetch(&kernel->runtime->generation, 1, __ATOMIC_RELEASE);
}

/* A free slot, or DRPC_SLOT_OTHER. */
static uint32_t free_slot(struct drpc_kernel *kernel)
{
	if (kernel->slots_used == kernel->slots - 1)
		return DRPC_SLOT_OTHER;
	for (uint32_t n = 1; n < kernel->slots; n++) {
		uint32_t slot = kernel->slot_hint;

		kernel->slot_hint = slot + 1 < kernel->slots ? slot + 1 : 1;
		if (!kernel->slot_cgroup[slot])
			return slot;
	}
	return DRPC_SLOT_OTHER;
}

static void tell_concerns(struct drpc_kernel *kernel, uint64_t cgroup_id, uint32_t slot, bool come)
{
	struct concern_choice list[N_CONCERNS];

	list_concerns(&kernel->options, list);
	for (int i = 0; i < N_CONCERNS; i++) {
		void (*tell)(struct drpc_kernel *, uint64_t, uint32_t) =
			come ? list[i].concern->track : list[i].concern->untrack;

		if (list[i].wanted && tell)
			tell(kernel, cgroup_id, slot);
	}
}

int drpc_kernel_track(struct drpc_kernel *kernel, uint64_t cgroup_id, uint32_t *ret_slot)
{
	uint32_t slot;
	int r;

	if (!cgroup_id)
		return drpc_err(-EINVAL, "kernel: cgroup id 0 cannot be tracked");
	if (bpf_map_lookup_elem(kernel->map_fd[DRPC_MAP_ROSTER], &cgroup_id, &slot) == 0)
		return drpc_err(-EEXIST, "kernel: cgroup %llu is tracked already",
				(unsigned long long)cgroup_id);
	slot = free_slot(kernel);
	r = drpc_maps_reach(kernel, slot);
	if (r < 0)
		return r;
	/* The epoch first: whoever finds the slot must not take it for its former owner's. */
	if (slot != DRPC_SLOT_OTHER) {
		kernel->slot_infos[slot].slow_ns = 0;
		__atomic_add_fetch(&kernel->slot_infos[slot].epoch, 1, __ATOMIC_RELEASE);
	}
	r = bpf_map_update_elem(kernel->map_fd[DRPC_MAP_ROSTER], &cgroup_id, &slot, BPF_NOEXIST);
	if (r < 0)
		return drpc_err(r, "kernel: cannot track cgroup %llu",
				(unsigned long long)cgroup_id);
	if (slot != DRPC_SLOT_OTHER) {
		kernel->slot_cgroup[slot] = cgroup_id;
		kernel->slots_used++;
	}
	bump_generation(kernel);
	tell_concerns(kernel, cgroup_id, slot, true);
	*ret_slot = slot;
	return 0;
}

void drpc_kernel_untrack(struct drpc_kernel *kernel, uint64_t cgroup_id, uint32_t slot)
{
	if (bpf_map_delete_elem(kernel->map_fd[DRPC_MAP_ROSTER], &cgroup_id) < 0)
		return; /* was not tracked */
	if (slot != DRPC_SLOT_OTHER && slot < kernel->slots &&
	    kernel->slot_cgroup[slot] == cgroup_id) {
		drpc_kernel_set_slow(kernel, slot, 0);
		kernel->slot_cgroup[slot] = 0;
		kernel->slots_used--;
	}
	bump_generation(kernel);
	tell_concerns(kernel, cgroup_id, slot, false);
}

void drpc_kernel_set_slow(struct drpc_kernel *kernel, uint32_t slot, uint64_t slow_ns)
{
	uint64_t least = UINT64_MAX;

	if (slot >= kernel->slots || kernel->slot_infos[slot].slow_ns == slow_ns)
		return;
	kernel->slot_infos[slot].slow_ns = slow_ns;
	for (uint32_t i = 0; i < kernel->slots; i++)
		if (kernel->slot_infos[i].slow_ns && kernel->slot_infos[i].slow_ns < least)
			least = kernel->slot_infos[i].slow_ns;
	kernel->runtime->slow_min_ns = least;
}

/* --- counters --------------------------------------------------------------------------------- */

#define SHARD_WORDS (offsetof(struct drpc_slot_shard, hist) / sizeof(uint64_t))

static const struct drpc_slot_shard *first_shard(const struct drpc_kernel *kernel, uint32_t slot)
{
	return &kernel->counters[(size_t)slot << kernel->shard_bits];
}

uint64_t drpc_kernel_activity(const struct drpc_kernel *kernel, uint32_t slot)
{
	uint64_t sum = 0;

	if (slot >= kernel->slots)
		return 0;
	for (uint32_t i = 0; i < 1U << kernel->shard_bits; i++) {
		const uint64_t *word = (const uint64_t *)(first_shard(kernel, slot) + i);

		for (size_t w = 0; w < SHARD_WORDS; w++)
			sum += __atomic_load_n(&word[w], __ATOMIC_RELAXED);
	}
	return sum;
}

/* What the programs leave out because it follows from the rest. */
static void complete(struct drpc_slot_shard *s)
{
	uint32_t total = 0, sent_later = 0;

	s->sum_ns[DRPC_HIST_TOTAL] = s->sum_ns[DRPC_HIST_QUEUE] + s->sum_ns[DRPC_HIST_SERVICE] +
				     s->sum_ns[DRPC_HIST_SEND];
	/* Most responses are sent at once: the lowest bucket has what no other has. */
	for (int b = 0; b < DRPC_HIST_BUCKETS; b++) {
		total += s->hist[DRPC_HIST_TOTAL][b];
		sent_later += b ? s->hist[DRPC_HIST_SEND][b] : 0;
	}
	s->hist[DRPC_HIST_SEND][0] = total - sent_later;
}

void drpc_kernel_read_slot(const struct drpc_kernel *kernel, uint32_t slot,
			   struct drpc_slot_shard *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (slot >= kernel->slots)
		return;
	for (uint32_t i = 0; i < 1U << kernel->shard_bits; i++) {
		const struct drpc_slot_shard *shard = first_shard(kernel, slot) + i;
		const uint64_t *from = (const uint64_t *)shard;
		uint64_t *to = (uint64_t *)ret;
		const uint32_t *hist = &shard->hist[0][0];
		uint32_t *sum = &ret->hist[0][0];

		for (size_t w = 0; w < SHARD_WORDS; w++)
			to[w] += __atomic_load_n(&from[w], __ATOMIC_RELAXED);
		for (size_t b = 0; b < DRPC_HIST_COUNT * DRPC_HIST_BUCKETS; b++)
			sum[b] += __atomic_load_n(&hist[b], __ATOMIC_RELAXED);
	}
	complete(ret);
}

/* --- passing through -------------------------------------------------------------------------- */

int drpc_kernel_seed_sockets(struct drpc_kernel *kernel, pid_t pid)
{
	return drpc_latency_seed(kernel, pid);
}

size_t drpc_kernel_edges(struct drpc_kernel *kernel, struct drpc_edge *edges, size_t max)
{
	return drpc_latency_edges(kernel, edges, max);
}

int drpc_kernel_scan_cgroups(struct drpc_kernel *kernel)
{
	return kernel->cgroup_iter ? drpc_cgroup_iter_scan(kernel) : -ENOTSUP;
}

bool drpc_kernel_cgroup(const struct drpc_kernel *kernel, uint32_t slot,
			struct drpc_cgroup_counters *ret)
{
	return kernel->cgroup_iter && drpc_cgroup_iter_get(kernel, slot, ret);
}

bool drpc_kernel_cgroup_at_rest(const struct drpc_kernel *kernel, uint32_t slot)
{
	return kernel->cgroup_iter && drpc_cgroup_iter_at_rest(kernel, slot);
}

int drpc_kernel_event_fd(const struct drpc_kernel *kernel)
{
	return ring_buffer__epoll_fd(kernel->ring);
}

int drpc_kernel_consume(struct drpc_kernel *kernel, drpc_event_fn fn, void *arg)
{
	int n;

	kernel->event_fn = fn;
	kernel->event_arg = arg;
	n = ring_buffer__consume(kernel->ring);
	kernel->event_fn = NULL;
	return n;
}

static uint64_t sum_losses(const struct drpc_kernel *kernel, enum drpc_lost what)
{
	int cpus = libbpf_num_possible_cpus();
	uint64_t per_cpu[1024], sum = 0; /* the kernel writes one value a possible CPU */
	uint32_t key = what;

	if (cpus <= 0 || cpus > (int)DRPC_ARRAY_SIZE(per_cpu) ||
	    bpf_map_lookup_elem(kernel->map_fd[DRPC_MAP_LOSSES], &key, per_cpu) < 0)
		return 0;
	for (int i = 0; i < cpus; i++)
		sum += per_cpu[i];
	return sum;
}

void drpc_kernel_stats(const struct drpc_kernel *kernel, struct drpc_kernel_stats *ret)
{
	*ret = (struct drpc_kernel_stats){
		.lost_events = sum_losses(kernel, DRPC_LOST_EVENT),
		.lost_edges = sum_losses(kernel, DRPC_LOST_EDGE),
		.lost_stalls = sum_losses(kernel, DRPC_LOST_STALL),
		.missed_runs = drpc_latency_missed_runs(kernel),
		.map_bytes = kernel->map_bytes,
		.slots_used = kernel->slots_used,
		.slots_max = kernel->slots - 1,
		.shards = 1U << kernel->shard_bits,
	};
}
