/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The counters of all tracked cgroups in one pass: CPU usage, throttling, pressure, memory. Numbers
 * as the cgroup files show them, only fresher, since the files show what was last flushed:
 *
 * - usage: what is flushed, plus each CPU's part that is not, of the cgroup and all below it;
 * - pressure: psi_group.total is brought up to date every 2 s. What has come since is averaged over
 *   the CPUs by their time not idle, exactly as the kernel will do it at the next update;
 * - memory: the page counter, inactive_file flushed plus per CPU.
 *
 * All is read without locks, in an order in which a reading torn by an update falls short rather
 * than over: the agent keeps totals from running backwards. A pass holds the cgroup mutex, so no
 * cgroup comes or goes within; only lists of a cgroup's css_sets may change, and are checked.
 * Removed cgroups are not met: what they used since the last flush shows once they are released.
 *
 * Most cgroups of a full node do nothing most of the time, and what a pass costs is the memory it
 * touches, long out of the caches by the next one. So each place in the walk, which is the same from
 * pass to pass, keeps who was met there: no lookup by id. And of a cgroup at rest no more is read
 * than what tells so: pressure's clock of the time in which a task of it or below ran or waited
 * stands still, and no task does now; its usage, where there is no such clock. What may change all
 * the same (its memory is reclaimed, say) shows within DRPC_CGROUP_REST passes, in which every
 * cgroup has its turn.
 *
 * Per-CPU pointers are turned into addresses by offsets that drpc_percpu_offsets finds: symbols
 * such as __per_cpu_offset are out of reach where kallsyms knows functions alone.
 */
#include "common.bpf.h"
#include "drpc/cgroup_abi.h"
#include "loads.bpf.h"

#define LEVELS 64 /* cgroups below that depth add nothing to the containers around them */
#define NEST   8  /* tracked cgroups inside one another */

/* Of vmstats->state: NR_INACTIVE_FILE, and since 6.11 its place in memcg_node_stat_items, which
 * begins with the same first three. Tested against memory.stat. */
#define INACTIVE_FILE 2

__u32 drpc_cpus; /* set by the agent: how many there are */
__u64 drpc_pass; /* raised by the agent before each pass */
__u64 drpc_percpu_offset[DRPC_CGROUP_CPUS];
static __u32 base_level, generation; /* of this pass */
static __u32 nearest[LEVELS];	     /* slot at or around the cgroup last visited on each level */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct drpc_cgroup_raw);
} drpc_cgroups SEC(".maps");

/* One a slot, small and in one piece, for these are written and read in every pass. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct drpc_cgroup_mark);
} drpc_marks SEC(".maps");

/* What is kept of a cgroup from pass to pass, by its place in the walk. */
struct place {
	__u64 serial;	  /* of the cgroup that was met here, never used again; 0: none */
	__u64 usage;	  /* of its own, flushed or not */
	__u64 pending;	  /* the part that those around it have not been told of */
	__u64 psi;	  /* per-CPU pointer; 0: none */
	__u64 awake;	  /* see parts */
	__u32 generation; /* of the roster, when its slot was looked up */
	__u32 slot;
	__u32 level;
	__u32 restless; /* to be read in full next time too */
	__u64 unused;
};

#define PLACE_NEW 2 /* of `restless`: not met before */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct place);
} drpc_places SEC(".maps");

static struct place beyond; /* stands in where there are more cgroups than places */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} drpc_percpu_probe SEC(".maps");

/* Where every cgroup since the boot has a number of its own, beside what the walk itself looks at. */
struct cgroup_subsys_state___serial {
	u64 serial_nr;
} __attribute__((preserve_access_index));

struct cgroup___self {
	struct cgroup_subsys_state___serial self;
} __attribute__((preserve_access_index));

/* --- where per-CPU data lies -------------------------------------------------------------------*/

static long find_offset(__u32 cpu, __u64 *pptr)
{
	volatile __u64 *out;
	__u32 zero = 0;
	void *here;

	if (cpu >= DRPC_CGROUP_CPUS)
		return 1;
	here = bpf_map_lookup_percpu_elem(&drpc_percpu_probe, &zero, cpu);
	if (!here)
		return 0;
	out = &drpc_percpu_offset[cpu];
	*out = (__u64)here; /* through memory: the verifier forbids sums with a pointer */
	*out -= *pptr;
	return 0;
}

/* One element of a per-CPU array has both a per-CPU pointer and an address on each CPU. */
SEC("syscall")
int drpc_percpu_offsets(void *ctx)
{
	volatile __u64 *scratch = &drpc_percpu_offset[0];
	__u64 map, pptr = 0;

	*scratch = (__u64)&drpc_percpu_probe;
	map = *scratch;
	if (bpf_probe_read_kernel(&pptr, sizeof(pptr),
				  (void *)(map + bpf_core_field_offset(struct bpf_array, pptrs))))
		return 1;
	return bpf_loop(drpc_cpus, find_offset, &pptr, 0) < 0;
}

#define OFFSET(type, field) bpf_core_field_offset(type, field)

/* --- the parts of one CPU ----------------------------------------------------------------------*/

/*
 * Global, for a pass is never run twice at once, and because the verifier forgets there that the
 * per-CPU pointers are pointers: it allows no sums with those.
 */
static struct {
	/* Per-CPU pointers, 0: leave out. `watch` is psi's where only rest is asked for. */
	__u64 rstat, watch, psi, vmstats;
	__u64 clock;  /* sched_clock() now */
	__u64 usage;  /* out: not yet flushed */
	__u32 states; /* out: what tasks do now, bits of psi_states */
	__u64 awake;  /* out: sum of the times, modulo 2^32 each, in which tasks did anything */
	__u64 psi_sum[DRPC_PSI_COUNT], psi_weight;
	__s64 inactive_file;
} parts;

static __always_inline void add_usage(bool typed, __u64 offset)
{
	__u64 at = parts.rstat + offset;
	const void *stat;

	if (compat_rstat_is_base()) {
		stat = OBJECT(typed, at, struct cgroup_rstat_base_cpu);
		parts.usage += load64(typed, stat,
				      OFFSET(struct cgroup_rstat_base_cpu,
					     bstat.cputime.sum_exec_runtime)) -
			       load64(typed, stat,
				      OFFSET(struct cgroup_rstat_base_cpu,
					     last_bstat.cputime.sum_exec_runtime));
	} else {
		stat = OBJECT(typed, at, struct cgroup_rstat_cpu);
		parts.usage +=
			load64(typed, stat,
			       OFFSET(struct cgroup_rstat_cpu, bstat.cputime.sum_exec_runtime)) -
			load64(typed, stat,
			       OFFSET(struct cgroup_rstat_cpu,
				      last_bstat.cputime.sum_exec_runtime));
	}
}

/* Whether tasks run or wait on this CPU, or did: at the price of one cache line. */
static __always_inline void add_watch(bool typed, __u64 offset)
{
	const void *cpu = OBJECT(typed, parts.watch + offset, struct psi_group_cpu);
	const __u32 nonidle = bpf_core_enum_value(enum psi_states, PSI_NONIDLE);

	parts.states |= load32(typed, cpu, OFFSET(struct psi_group_cpu, state_mask));
	parts.awake += load32(typed, cpu, OFFSET(struct psi_group_cpu, times) + 4 * nonidle);
}

/* Updates come every 2 s. */
#define PSI_MOST_NS 3000000000U

/*
 * What a state's 32-bit time has come to since it was last added to the total. That may have been
 * at a later instant than the clock here shows, for the clock is as of the rq's last update: then
 * the difference is a little under nothing.
 */
static __always_inline __u32 psi_since(__u32 time, __u32 prev)
{
	__u32 since = time - prev;

	return since < PSI_MOST_NS ? since : 0;
}

/*
 * What get_recent_times() in kernel/sched/psi.c finds for one CPU. Loops are unrolled, for the 6.1
 * verifier refuses one whose body falls through to its head.
 */
static __always_inline void add_psi(bool typed, __u64 offset)
{
	const void *cpu = OBJECT(typed, parts.psi + offset, struct psi_group_cpu);
	const __u32 nonidle = bpf_core_enum_value(enum psi_states, PSI_NONIDLE);
	__u64 times = OFFSET(struct psi_group_cpu, times);
	__u64 prev = OFFSET(struct psi_group_cpu, times_prev);
	__u32 time[DRPC_PSI_COUNT], mask, delta, weight;
	__u64 start;

	mask = load32(typed, cpu, OFFSET(struct psi_group_cpu, state_mask));
	weight = load32(typed, cpu, times + 4 * nonidle);
	if (!(mask >> nonidle & 1) && weight == load32(typed, cpu, prev + 4 * nonidle))
		return;
#pragma clang loop unroll(full) /* times before state_start: written the other way round */
	for (int s = 0; s < DRPC_PSI_COUNT; s++)
		time[s] = load32(typed, cpu, times + 4 * s);
	start = load64(typed, cpu, OFFSET(struct psi_group_cpu, state_start));
	delta = parts.clock > start ? parts.clock - start : 0;
	weight = psi_since(weight + (mask >> nonidle & 1 ? delta : 0),
			   load32(typed, cpu, prev + 4 * nonidle));
	weight >>= 10; /* about microseconds: sums over all CPUs stay under 64 bits */
#pragma clang loop unroll(full)
	for (int s = 0; s < DRPC_PSI_COUNT; s++)
		parts.psi_sum[s] += (__u64)psi_since(time[s] + (mask >> s & 1 ? delta : 0),
						     load32(typed, cpu, prev + 4 * s)) *
				    weight;
	parts.psi_weight += weight;
}

static __always_inline void add_vmstats(bool typed, __u64 offset)
{
	const void *stat = OBJECT(typed, parts.vmstats + offset, struct memcg_vmstats_percpu);

	parts.inactive_file +=
		load64(typed, stat,
		       OFFSET(struct memcg_vmstats_percpu, state) + 8 * INACTIVE_FILE) -
		load64(typed, stat,
		       OFFSET(struct memcg_vmstats_percpu, state_prev) + 8 * INACTIVE_FILE);
}

static __always_inline long add_cpu(bool typed, __u32 cpu)
{
	__u64 offset;

	if (cpu >= DRPC_CGROUP_CPUS)
		return 1;
	offset = drpc_percpu_offset[cpu];
	if (parts.rstat)
		add_usage(typed, offset);
	if (parts.watch)
		add_watch(typed, offset);
	if (parts.psi)
		add_psi(typed, offset);
	if (parts.vmstats)
		add_vmstats(typed, offset);
	return 0;
}

static long add_cpu_typed(__u32 cpu, void *unused)
{
	return add_cpu(true, cpu);
}

static long add_cpu_untyped(__u32 cpu, void *unused)
{
	return add_cpu(false, cpu);
}

/* --- one cgroup --------------------------------------------------------------------------------*/

/*
 * The state of a controller for a cgroup. Where the controller has a v1 hierarchy, the container's
 * cgroup there is found through its processes: that of a css_set of this cgroup, or one around it,
 * that bears the same name. NULL where there is none.
 */
static __always_inline __u64 v1_state(bool typed, struct cgroup *cgrp, __u64 index_offset)
{
	__u64 head = (__u64)cgrp + OFFSET(struct cgroup, cset_links);
	__u64 next = (__u64)cgrp->cset_links.next, css;
	const void *link, *cset, *state, *v1, *kn, *root;
	__u32 hash = cgrp->kn->hash;

	if (next == head)
		return 0;
	link = OBJECT(typed, next - OFFSET(struct cgrp_cset_link, cset_link),
		      struct cgrp_cset_link);
	cset = OBJECT(typed, load64(typed, link, OFFSET(struct cgrp_cset_link, cset)),
		      struct css_set);
	if (load64(typed, cset, OFFSET(struct css_set, dfl_cgrp)) != (__u64)cgrp)
		return 0;
	css = load64(typed, cset, OFFSET(struct css_set, subsys) + index_offset);
	for (int climb = 0; climb < 4 && css; climb++) {
		state = OBJECT(typed, css, struct cgroup_subsys_state);
		v1 = OBJECT(typed, load64(typed, state, OFFSET(struct cgroup_subsys_state, cgroup)),
			    struct cgroup);
		root = OBJECT(typed, load64(typed, v1, OFFSET(struct cgroup, root)),
			      struct cgroup_root);
		if (load32(typed, root, OFFSET(struct cgroup_root, hierarchy_id)) == 0)
			return 0;
		kn = OBJECT(typed, load64(typed, v1, OFFSET(struct cgroup, kn)),
			    struct kernfs_node);
		if (load32(typed, kn, OFFSET(struct kernfs_node, hash)) == hash)
			return css;
		css = load64(typed, state, OFFSET(struct cgroup_subsys_state, parent));
	}
	return 0;
}

static __always_inline __u64 controller(bool typed, struct cgroup *cgrp, __u32 id)
{
	__u64 css = load64(true, cgrp, OFFSET(struct cgroup, subsys) + 8 * id);

	return css ? css : v1_state(typed, cgrp, 8 * id);
}

static __always_inline void read_throttle(bool typed, struct cgroup *cgrp,
					  struct drpc_cgroup_raw *raw)
{
	__u64 css =
		controller(typed, cgrp, bpf_core_enum_value(enum cgroup_subsys_id, cpu_cgrp_id));
	const void *group;

	if (!css || !bpf_core_field_exists(struct task_group, cfs_bandwidth))
		return;
	group = OBJECT(typed, css - OFFSET(struct task_group, css), struct task_group);
	raw->nr_periods = load32(typed, group, OFFSET(struct task_group, cfs_bandwidth.nr_periods));
	raw->nr_throttled =
		load32(typed, group, OFFSET(struct task_group, cfs_bandwidth.nr_throttled));
	raw->throttled_ns =
		load64(typed, group, OFFSET(struct task_group, cfs_bandwidth.throttled_time));
	raw->valid |= DRPC_RAW_THROTTLE;
}

static __always_inline void read_memory(bool typed, struct cgroup *cgrp,
					struct drpc_cgroup_raw *raw)
{
	__u64 css =
		controller(typed, cgrp, bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id));
	const void *memcg, *vmstats;

	if (!css)
		return;
	memcg = OBJECT(typed, css - OFFSET(struct mem_cgroup, css), struct mem_cgroup);
	raw->mem_pages = load64(typed, memcg, OFFSET(struct mem_cgroup, memory.usage));
	raw->oom_kills =
		load64(typed, memcg,
		       OFFSET(struct mem_cgroup, memory_events) +
			       8 * bpf_core_enum_value(enum memcg_memory_event, MEMCG_OOM_KILL));
	vmstats = OBJECT(typed, load64(typed, memcg, OFFSET(struct mem_cgroup, vmstats)),
			 struct memcg_vmstats);
	parts.inactive_file =
		load64(typed, vmstats, OFFSET(struct memcg_vmstats, state) + 8 * INACTIVE_FILE);
	parts.vmstats = load64(typed, memcg, OFFSET(struct mem_cgroup, vmstats_percpu));
	raw->valid |= DRPC_RAW_MEM;
}

static __always_inline void read_psi(bool typed, struct cgroup *cgrp, struct drpc_cgroup_raw *raw)
{
	const void *psi;
	__u64 at = (__u64)cgrp->psi;

	if (!at)
		return;
	psi = OBJECT(typed, at, struct psi_group);
	if (!load8(typed, psi, OFFSET(struct psi_group, enabled)))
		return;
#pragma clang loop unroll(full) /* total before parts: an update in between counts in neither */
	for (int s = 0; s < DRPC_PSI_COUNT; s++)
		raw->psi_ns[s] = load64(typed, psi, OFFSET(struct psi_group, total) + 8 * s);
	parts.psi = load64(typed, psi, OFFSET(struct psi_group, pcpu));
	parts.clock = bpf_get_current_task_btf()->se.cfs_rq->rq->clock;
	raw->valid |= DRPC_RAW_PSI;
}

static __always_inline __u64 rstat_pointer(struct cgroup *cgrp)
{
	if (compat_rstat_is_base())
		return (__u64)((struct cgroup___rstat_base_cpu *)cgrp)->rstat_base_cpu;
	return (__u64)((struct cgroup___rstat_cpu *)cgrp)->rstat_cpu;
}

static __always_inline struct drpc_cgroup_raw *raw_of(__u32 slot)
{
	return slot < drpc_slots && slot != DRPC_SLOT_OTHER
		       ? bpf_map_lookup_elem(&drpc_cgroups, &slot)
		       : NULL;
}

static __always_inline struct drpc_cgroup_mark *mark_of(__u32 slot)
{
	return slot < drpc_slots && slot != DRPC_SLOT_OTHER
		       ? bpf_map_lookup_elem(&drpc_marks, &slot)
		       : NULL;
}

/*
 * Usage that a cgroup has and those around it have not been told of yet: those that were read anew
 * in this pass lack all of it, the others what came since the last. Of a cgroup that was not met
 * before, the latter is unknown; those around are read anew the next time.
 */
static __always_inline void add_outwards(__u32 slot, const struct place *place, __u64 pending)
{
	bool is_new = place->restless == PLACE_NEW;
	__u64 since = is_new ? 0 : pending - place->pending;

	for (int i = 0; i < NEST; i++) {
		struct drpc_cgroup_raw *raw = raw_of(slot);
		struct drpc_cgroup_mark *mark = mark_of(slot);

		if (!raw || !mark)
			return;
		raw->cpu_usage_ns += raw->pass == drpc_pass ? pending : since;
		if (since || is_new)
			mark->read = mark->stirred = drpc_pass;
		slot = raw->outer;
	}
}

/* Who was met at this place of the walk in the last pass, if it is still the same. */
static __always_inline struct place *place_of(const struct bpf_iter__cgroup *ctx,
					      struct cgroup *cgrp)
{
	__u64 serial = ((struct cgroup___self *)cgrp)->self.serial_nr;
	__u32 key = ctx->meta->seq_num;
	struct place *place = bpf_map_lookup_elem(&drpc_places, &key);

	if (!place) {
		place = &beyond;
		place->serial = 0;
	}
	if (place->serial == serial && place->generation == generation)
		return place;
	__builtin_memset(place, 0, sizeof(*place));
	place->serial = serial;
	place->generation = generation;
	place->level = cgrp->level;
	place->slot = drpc_slot_of_id(cgrp->kn->id);
	place->restless = PLACE_NEW;
	return place;
}

/* The slot of the nearest tracked cgroup strictly around this one; remembers what is around. */
static __always_inline __u32 find_outer(const struct place *place)
{
	__u32 level = place->level, outer = DRPC_SLOT_NONE;

	if (level > base_level && level - 1 < LEVELS)
		outer = nearest[(level - 1) % LEVELS];
	if (level < LEVELS)
		nearest[level % LEVELS] = raw_of(place->slot) ? place->slot : outer;
	return outer;
}

static __always_inline void begin(struct cgroup *base)
{
	const struct drpc_tunables *runtime = drpc_runtime();

	generation = runtime ? runtime->generation : 0;
	base_level = base->level;
}

static __always_inline void add_cpus(bool typed)
{
	bpf_loop(drpc_cpus, typed ? add_cpu_typed : add_cpu_untyped, NULL, 0);
}

/* All but usage. */
static __always_inline void read_rest(bool typed, struct cgroup *cgrp, struct drpc_cgroup_raw *raw)
{
	raw->cgroup_id = cgrp->kn->id;
	raw->valid = DRPC_RAW_CPU;
	read_throttle(typed, cgrp, raw);
	read_memory(typed, cgrp, raw);
	read_psi(typed, cgrp, raw);
	add_cpus(typed);
	raw->inactive_file_pages = parts.inactive_file;
	if (parts.psi_weight) {
#pragma clang loop unroll(full)
		for (int s = 0; s < DRPC_PSI_COUNT; s++)
			raw->psi_ns[s] += parts.psi_sum[s] / parts.psi_weight;
	}
}

/* Whether something happened in a cgroup since the last pass, as far as pressure's clock knows. */
static __always_inline bool is_awake(bool typed, struct place *place)
{
	bool awake;

	parts.watch = place->psi;
	if (!parts.watch)
		return true;
	add_cpus(typed);
	awake = parts.states || parts.awake != place->awake;
	place->awake = parts.awake;
	parts.watch = 0;
	return awake;
}

/* Whether the cgroup's counters are to be read although it may be at rest. */
static __always_inline bool is_due(const struct place *place, const struct drpc_cgroup_mark *mark)
{
	return place->restless || mark->stirred == (__u32)drpc_pass - 1 ||
	       (drpc_pass + place->slot) % DRPC_CGROUP_REST == 0;
}

/* The cgroup's own usage; what of it those around do not know of yet goes to them. */
static __always_inline bool count_usage(bool typed, struct cgroup *cgrp, struct place *place,
					__u32 outer)
{
	__u64 flushed = cgrp->bstat.cputime.sum_exec_runtime;
	__u64 told = cgrp->last_bstat.cputime.sum_exec_runtime;
	__u64 usage, pending;
	bool moved;

	parts.rstat = rstat_pointer(cgrp);
	add_cpus(typed);
	parts.rstat = 0;
	usage = flushed + parts.usage;
	pending = usage - told;
	if (outer != DRPC_SLOT_NONE)
		add_outwards(outer, place, pending);
	moved = usage != place->usage;
	place->usage = usage;
	place->pending = pending;
	return moved;
}

static __always_inline int visit(bool typed, struct bpf_iter__cgroup *ctx)
{
	struct cgroup *cgrp = ctx->cgroup;
	struct drpc_cgroup_mark *mark;
	struct drpc_cgroup_raw *raw;
	struct place *place;
	bool awake, moved;
	__u32 outer;

	if (!cgrp)
		return 0;
	if (ctx->meta->seq_num == 0)
		begin(cgrp);
	place = place_of(ctx, cgrp);
	outer = find_outer(place);
	raw = raw_of(place->slot);
	mark = mark_of(place->slot);
	if ((!raw || !mark) && outer == DRPC_SLOT_NONE)
		return 0;

	__builtin_memset(&parts, 0, sizeof(parts));
	awake = is_awake(typed, place);
	if (raw && mark) {
		mark->met = drpc_pass;
		if (!awake && outer == DRPC_SLOT_NONE && !is_due(place, mark))
			return 0;
	}
	moved = count_usage(typed, cgrp, place, outer);
	if (!raw || !mark) {
		place->restless = 0;
		return 0;
	}
	if (!moved && (!awake || !place->psi) && !is_due(place, mark))
		return 0;
	read_rest(typed, cgrp, raw);
	raw->outer = outer;
	raw->cpu_usage_ns = place->usage;
	raw->pass = drpc_pass;
	mark->read = drpc_pass;
	place->restless = moved || place->restless == PLACE_NEW || place->psi != parts.psi ||
			  parts.psi_weight;
	place->psi = parts.psi;
	return 0;
}

SEC("iter/cgroup")
int on_cgroup_typed(struct bpf_iter__cgroup *ctx)
{
	return visit(true, ctx);
}

SEC("iter/cgroup")
int on_cgroup_untyped(struct bpf_iter__cgroup *ctx)
{
	return visit(false, ctx);
}
