/* SPDX-License-Identifier: Apache-2.0 */
/* The maps that all concerns share: made once, sized to the budget, mapped. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "agent/monitor/kernel_maps.h"
#include "lib/log.h"
#include "lib/util.h"

/* Everything but the slot counters: edges, socket and task tables, ring buffer, programs' data. */
#define OTHER_MAPS_BYTES (7 * DRPC_MIB)
/* A node's cgroups, the ones over the cap too (they must be known to count as `other`). Entries
 * take memory as they come. */
#define ROSTER_MAX	 65536
#define EVENTS_BYTES	 (256 * 1024)

struct map_spec {
	const char *name;
	enum bpf_map_type type;
	uint32_t key_size, value_size, flags;
};

static const struct map_spec specs[DRPC_MAP_COUNT] = {
	[DRPC_MAP_ROSTER] = {"drpc_roster", BPF_MAP_TYPE_HASH, 8, 4, BPF_F_NO_PREALLOC},
	[DRPC_MAP_COUNTERS] = {"drpc_counters", BPF_MAP_TYPE_ARRAY, 4,
			       sizeof(struct drpc_slot_shard), BPF_F_MMAPABLE},
	[DRPC_MAP_SLOT_INFOS] = {"drpc_slot_infos", BPF_MAP_TYPE_ARRAY, 4,
				 sizeof(struct drpc_slot_info), BPF_F_MMAPABLE},
	[DRPC_MAP_RUNTIMES] = {"drpc_runtimes", BPF_MAP_TYPE_ARRAY, 4, sizeof(struct drpc_tunables),
			       BPF_F_MMAPABLE},
	[DRPC_MAP_EVENTS] = {"drpc_events", BPF_MAP_TYPE_RINGBUF, 0, 0, 0},
	[DRPC_MAP_LOSSES] = {"drpc_losses", BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 0},
};

static size_t page_align(size_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (bytes + page - 1) & ~(page - 1);
}

/*
 * Shards per slot: one for each possible CPU if that fits the budget, else a smaller power of two.
 * Fewer shards cost cache-line traffic between CPUs, nothing else.
 */
static int choose_shards(struct drpc_kernel *kernel)
{
	uint64_t slot_bytes = (uint64_t)kernel->slots * sizeof(struct drpc_slot_shard);
	uint64_t budget = kernel->options.map_budget_bytes;
	int cpus = libbpf_num_possible_cpus();
	uint32_t bits = 0;

	if (cpus < 0)
		return drpc_err(cpus, "kernel maps: cannot tell the number of CPUs");
	while ((1 << bits) < cpus)
		bits++;
	while (bits > 0 && (slot_bytes << bits) + OTHER_MAPS_BYTES > budget)
		bits--;
	if (slot_bytes + OTHER_MAPS_BYTES > budget)
		return drpc_err(
			-ENOSPC,
			"kernel maps: %u containers need %llu MiB, the budget is %llu MiB; lower max_containers or raise the budget",
			kernel->slots - 1,
			(unsigned long long)((slot_bytes + OTHER_MAPS_BYTES) / DRPC_MIB + 1),
			(unsigned long long)(budget / DRPC_MIB));
	kernel->shard_bits = bits;
	return 0;
}

static uint32_t map_entries(const struct drpc_kernel *kernel, enum drpc_shared_map map)
{
	switch (map) {
	case DRPC_MAP_ROSTER:
		return ROSTER_MAX;
	case DRPC_MAP_COUNTERS:
		return kernel->slots << kernel->shard_bits;
	case DRPC_MAP_SLOT_INFOS:
		return kernel->slots;
	case DRPC_MAP_EVENTS:
		return EVENTS_BYTES;
	case DRPC_MAP_LOSSES:
		return DRPC_LOST_COUNT;
	default:
		return 1;
	}
}

uint64_t drpc_map_memory_bytes(int fd)
{
	_cleanup_free_ char *text = NULL;
	char path[64];
	const char *line;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	if (drpc_read_file_at(AT_FDCWD, path, 4096, &text) < 0)
		return 0;
	line = strstr(text, "memlock:");
	return line ? strtoull(line + strlen("memlock:"), NULL, 10) : 0;
}

static int map_memory(int fd, size_t bytes, void **ret)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return drpc_err(-errno, "kernel maps: cannot map %zu bytes", bytes);
	*ret = p;
	return 0;
}

/*
 * The counters are reserved whole and mapped piece by piece, when a slot of a piece is first given
 * out: the kernel puts every page of a map into the address space at once, and the agent would seem
 * to hold memory for containers that do not exist.
 */
#define PIECE_SLOTS 64U
_Static_assert(PIECE_SLOTS * sizeof(struct drpc_slot_shard) % 4096 == 0, "pieces are whole pages");

static int reserve_counters(struct drpc_kernel *kernel)
{
	void *p;

	kernel->counters_bytes = page_align(((size_t)kernel->slots << kernel->shard_bits) *
					    sizeof(struct drpc_slot_shard));
	p = mmap(NULL, kernel->counters_bytes, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return drpc_err(-errno, "kernel maps: cannot reserve %zu bytes",
				kernel->counters_bytes);
	kernel->counters = p;
	kernel->counters_mapped = calloc(kernel->slots / PIECE_SLOTS + 1, sizeof(bool));
	if (!kernel->counters_mapped)
		return -ENOMEM;
	return drpc_maps_reach(kernel, DRPC_SLOT_OTHER);
}

int drpc_maps_reach(struct drpc_kernel *kernel, uint32_t slot)
{
	const size_t piece = (PIECE_SLOTS * sizeof(struct drpc_slot_shard)) << kernel->shard_bits;
	const size_t at = slot / PIECE_SLOTS * piece;
	const size_t bytes = DRPC_MIN(piece, kernel->counters_bytes - at);

	if (kernel->counters_mapped[slot / PIECE_SLOTS])
		return 0;
	if (mmap((char *)kernel->counters + at, bytes, PROT_READ, MAP_SHARED | MAP_FIXED,
		 kernel->map_fd[DRPC_MAP_COUNTERS], (off_t)at) == MAP_FAILED)
		return drpc_err(-errno, "kernel maps: cannot map the counters of slot %u", slot);
	kernel->counters_mapped[slot / PIECE_SLOTS] = true;
	return 0;
}

static int map_all(struct drpc_kernel *kernel)
{
	void *p = NULL;
	int r;

	kernel->slot_infos_bytes = page_align(kernel->slots * sizeof(struct drpc_slot_info));
	kernel->runtime_bytes = page_align(sizeof(struct drpc_tunables));

	r = reserve_counters(kernel);
	if (r < 0)
		return r;
	r = map_memory(kernel->map_fd[DRPC_MAP_SLOT_INFOS], kernel->slot_infos_bytes, &p);
	if (r < 0)
		return r;
	kernel->slot_infos = p;
	r = map_memory(kernel->map_fd[DRPC_MAP_RUNTIMES], kernel->runtime_bytes, &p);
	if (r < 0)
		return r;
	kernel->runtime = p;
	return 0;
}

int drpc_maps_create(struct drpc_kernel *kernel)
{
	int r = choose_shards(kernel);

	if (r < 0)
		return r;
	for (int i = 0; i < DRPC_MAP_COUNT; i++) {
		const struct map_spec *spec = &specs[i];
		LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = spec->flags);
		int fd = bpf_map_create(spec->type, spec->name, spec->key_size, spec->value_size,
					map_entries(kernel, i), &opts);

		if (fd < 0)
			return drpc_err(fd, "kernel maps: the kernel refuses to make %s",
					spec->name);
		kernel->map_fd[i] = fd;
		kernel->map_bytes += drpc_map_memory_bytes(fd);
	}
	return map_all(kernel);
}

void drpc_maps_destroy(struct drpc_kernel *kernel)
{
	if (kernel->counters)
		munmap((void *)kernel->counters, kernel->counters_bytes);
	if (kernel->slot_infos)
		munmap(kernel->slot_infos, kernel->slot_infos_bytes);
	if (kernel->runtime)
		munmap(kernel->runtime, kernel->runtime_bytes);
	free(kernel->counters_mapped);
	kernel->counters_mapped = NULL;
	kernel->counters = NULL;
	kernel->slot_infos = NULL;
	kernel->runtime = NULL;
	for (int i = 0; i < DRPC_MAP_COUNT; i++) {
		if (kernel->map_fd[i] >= 0)
			close(kernel->map_fd[i]);
		kernel->map_fd[i] = -1;
	}
}

static int shared_index(const char *name)
{
	for (int i = 0; i < DRPC_MAP_COUNT; i++)
		if (!strcmp(specs[i].name, name))
			return i;
	return -1;
}

int drpc_kernel_share_maps(const struct drpc_kernel *kernel, struct bpf_object *object)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, object)
	{
		int i = shared_index(bpf_map__name(map)), r;

		if (i < 0)
			continue;
		r = bpf_map__reuse_fd(map, kernel->map_fd[i]);
		if (r < 0)
			return drpc_err(r, "%s: cannot share map %s", bpf_object__name(object),
					bpf_map__name(map));
	}
	return 0;
}

void drpc_kernel_account_maps(struct drpc_kernel *kernel, struct bpf_object *object)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, object) if (shared_index(bpf_map__name(map)) < 0 &&
						  bpf_map__fd(map) >= 0) kernel->map_bytes +=
		drpc_map_memory_bytes(bpf_map__fd(map));
}
