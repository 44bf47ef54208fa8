/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between kernel.c and the concerns (latency, sched, memory, lifecycle, cgroup). Each concern is a
 * BPF object of its own, so that one refused object does not take the rest down; they share maps,
 * which kernel.c makes once.
 *
 * A concern's open():
 *   1. describes its needs, each a ladder of rungs, best first;
 *   2. drpc_ladder_climb() tries the rungs by loading and attaching each program alone, and
 *      records a drpc_hook_status a need;
 *   3. opens its skeleton, DRPC_CONFIGURE()s it, drpc_kernel_share_maps(), drpc_ladder_autoload(),
 *      loads and attaches.
 */
#pragma once

#include <bpf/libbpf.h>

#include "agent/monitor/kernel.h"

enum drpc_shared_map {
	DRPC_MAP_ROSTER,
	DRPC_MAP_COUNTERS,
	DRPC_MAP_SLOT_INFOS,
	DRPC_MAP_RUNTIMES,
	DRPC_MAP_EVENTS,
	DRPC_MAP_LOSSES,
	DRPC_MAP_COUNT,
};

#define DRPC_HOOKS_MAX 32
#define DRPC_EDGES_MAX 4096

/* State of the concerns, private to their files. */
struct drpc_latency;
struct drpc_sched;
struct drpc_memory;
struct drpc_lifecycle;
struct drpc_cgroup_iter;

struct drpc_kernel {
	struct drpc_kernel_options options;
	char *force_rung; /* copy, or NULL */

	int map_fd[DRPC_MAP_COUNT];
	uint64_t map_bytes; /* of every map, private ones too */
	uint32_t slots, shard_bits;

	const struct drpc_slot_shard *counters; /* slots << shard_bits of them */
	size_t counters_bytes;
	bool *counters_mapped;		   /* which pieces of them are: kernel_maps.c */
	struct drpc_slot_info *slot_infos; /* mapped, `slots` of them */
	size_t slot_infos_bytes;
	struct drpc_tunables *runtime; /* mapped */
	size_t runtime_bytes;
	struct ring_buffer *ring;
	drpc_event_fn event_fn; /* during drpc_kernel_consume() only */
	void *event_arg;

	uint64_t *slot_cgroup; /* cgroup id of each slot in use, 0: free; `slots` of them */
	uint32_t slots_used, slot_hint;

	struct drpc_hook_status hooks[DRPC_HOOKS_MAX];
	size_t n_hooks;

	struct drpc_latency *latency;
	struct drpc_sched *sched;
	struct drpc_memory *memory;
	struct drpc_lifecycle *lifecycle;
	struct drpc_cgroup_iter *cgroup_iter;
};

/*
 * open() returns 0 when at least one of the concern's needs is met, else a negative errno; it
 * leaves a status for every need either way, and nothing else on failure. close() is NULL-safe in
 * the concern's own pointer and nulls it. track/untrack (may be NULL) are told of the roster.
 */
struct drpc_concern {
	const char *name;    /* as in options.force_rung */
	const char *without; /* what is lost where none of it works, and what takes over */
	int (*open)(struct drpc_kernel *kernel);
	void (*close)(struct drpc_kernel *kernel);
	void (*track)(struct drpc_kernel *kernel, uint64_t cgroup_id, uint32_t slot);
	void (*untrack)(struct drpc_kernel *kernel, uint64_t cgroup_id, uint32_t slot);
};

extern const struct drpc_concern drpc_concern_latency;
extern const struct drpc_concern drpc_concern_sched;
extern const struct drpc_concern drpc_concern_memory;
extern const struct drpc_concern drpc_concern_lifecycle;
extern const struct drpc_concern drpc_concern_cgroup_iter;

/* Of the latency concern. */
int drpc_latency_seed(struct drpc_kernel *kernel, pid_t pid);
uint64_t drpc_latency_missed_runs(const struct drpc_kernel *kernel);
size_t drpc_latency_edges(struct drpc_kernel *kernel, struct drpc_edge *edges, size_t max);

/* An IPv6 address (or IPv4 mapped into it) and port as text: "10.0.0.7:5432", "[fe80::1]:80". */
void drpc_kernel_format_peer(char *dst, size_t size, const uint8_t addr[16], uint16_t port);

/* Of the cgroup_iter concern; kernel.c's drpc_kernel_scan_cgroups()/cgroup() pass through. */
int drpc_cgroup_iter_scan(struct drpc_kernel *kernel);
bool drpc_cgroup_iter_get(const struct drpc_kernel *kernel, uint32_t slot,
			  struct drpc_cgroup_counters *ret);
bool drpc_cgroup_iter_at_rest(const struct drpc_kernel *kernel, uint32_t slot);

/* Gives an opened, not yet loaded object the shared maps. 0 or a negative errno, logged. */
int drpc_kernel_share_maps(const struct drpc_kernel *kernel, struct bpf_object *object);

/* Adds the memory of an object's private maps to kernel->map_bytes, after its load. */
void drpc_kernel_account_maps(struct drpc_kernel *kernel, struct bpf_object *object);

/* What every object's read-only data needs; `skel` is opened and not yet loaded. */
#define DRPC_CONFIGURE(skel, kernel)                                    \
	do {                                                            \
		(skel)->rodata->drpc_shard_bits = (kernel)->shard_bits; \
		(skel)->rodata->drpc_slots = (kernel)->slots;           \
	} while (0)

/* --- hook ladder (kernel_ladder.c) --- */

/* Adds a status; `reason` is a format, "" where there is nothing to say. */
void drpc_kernel_hook(struct drpc_kernel *kernel, const char *need, const char *rung, bool working,
		      const char *reason, ...) __attribute__((format(printf, 5, 6)));

/*
 * Whether options.force_rung allows this rung: true without a word for this concern, else where
 * the rung's name contains the forced text: "latency=fexit" allows "fexit/tcp_recvmsg". Needs that
 * have no rung of that name are left alone.
 */
bool drpc_kernel_rung_allowed(const struct drpc_kernel *kernel, const char *concern,
			      const char *rung);

#define DRPC_RUNG_PROGRAMS 4

struct drpc_rung {
	const char *name;			  /* "tp_btf/sock_recv_length" */
	const char *programs[DRPC_RUNG_PROGRAMS]; /* BPF functions that make it up */
	const char *lost; /* what this rung gives up against the best, NULL: nothing */
	/* A program for one prototype of a kernel function: the function, how many arguments. */
	const char *function;
	int arity;
};

#define DRPC_NEED_RUNGS 4

struct drpc_need {
	const char *name; /* "application read" */
	const char *lost; /* what is lost where no rung works, completes the status' reason */
	struct drpc_rung rungs[DRPC_NEED_RUNGS];
	const struct drpc_rung *chosen; /* output: NULL where no rung works */
};

/*
 * How to get at an object once more for a trial: opens it, configured, not loaded. The trial loads
 * one program of it and throws it away.
 */
struct drpc_object_ops {
	void *(*open)(const struct drpc_kernel *kernel); /* the skeleton; NULL and errno */
	struct bpf_object *(*object)(void *skel);
	void (*destroy)(void *skel);
};

/*
 * Chooses a rung for each need by trying, and records the statuses. Returns how many needs found
 * one, or a negative errno where not even a trial was possible.
 */
int drpc_ladder_climb(struct drpc_kernel *kernel, const char *concern,
		      const struct drpc_object_ops *ops, struct drpc_need *needs, size_t n_needs);

/* Turns autoload on for the programs of the chosen rungs, off for all others. */
void drpc_ladder_autoload(struct bpf_object *object, const struct drpc_need *needs, size_t n_needs);
