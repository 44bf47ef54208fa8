// SPDX-License-Identifier: Apache-2.0
/*
 * The frame of the programs: what they cost the verifier, what their maps cost in memory, that the
 * ladder takes the rung it is told to and says what became of the others, and that the kernel's
 * arithmetic is ours.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "lib/hist.h"
#include "lib/util.h"
#include "selftest.skel.h"
#include "tests/bpf/lib/cg.h"
#include "tests/bpf/lib/conn.h"
#include "tests/lib/tap.h"

#define INSNS_MAX  100000
#define CONTAINERS 1000

static const struct drpc_kernel_options everything = {
	.latency = true,
	.sched = true,
	.memory = true,
	.lifecycle = true,
	.edges = true,
	.cgroup_iter = true,
	.max_containers = CONTAINERS,
	.cgroup_root_fd = -1,
};

/* The highest id of a program that is loaded now. */
static uint32_t newest_program(void)
{
	uint32_t id = 0, next;

	while (bpf_prog_get_next_id(id, &next) == 0)
		id = next;
	return id;
}

static void test_instructions(uint32_t after)
{
	uint32_t id = after, worst = 0, programs = 0;
	bool told = false;

	while (bpf_prog_get_next_id(id, &id) == 0) {
		int fd = bpf_prog_get_fd_by_id(id);
		struct bpf_prog_info info = {0};
		uint32_t size = sizeof(info);

		if (fd < 0)
			continue;
		if (bpf_obj_get_info_by_fd(fd, &info, &size) == 0) {
			printf("# %-16s %6u verified instructions, %u bytes jited\n", info.name,
			       info.verified_insns, info.jited_prog_len);
			programs++;
			told |= info.verified_insns > 0;
			worst = DRPC_MAX(worst, info.verified_insns);
		}
		close(fd);
	}
	if (!told)
		tap_skip("this kernel does not tell (before 5.16)", "verified instructions");
	else
		tap_ok(programs > 0 && worst <= INSNS_MAX,
		       "%u programs, none over %d verified instructions: %u", programs, INSNS_MAX,
		       worst);
}

static void test_memory(void)
{
	struct drpc_kernel_options options = everything;
	struct drpc_kernel *kernel = NULL;
	struct drpc_kernel_stats stats;
	uint32_t before = newest_program();

	kernel = cg_open(options);
	if (!kernel) {
		cg_no_latency("memory");
		return;
	}
	cg_show(kernel);
	test_instructions(before);
	drpc_kernel_stats(kernel, &stats);
	printf("# maps: %llu KiB, %u shards\n", (unsigned long long)stats.map_bytes / 1024,
	       stats.shards);
	tap_ok(stats.slots_max == CONTAINERS && stats.map_bytes <= 32 * DRPC_MIB &&
		       stats.map_bytes >= CONTAINERS * sizeof(struct drpc_slot_shard),
	       "%d containers with everything on: maps within 32 MiB", CONTAINERS);
	drpc_kernel_close(&kernel);

	options.map_budget_bytes = 14 * DRPC_MIB;
	tap_ok(drpc_kernel_open(&options, &kernel) == 0, "within 14 MiB");
	if (kernel) {
		drpc_kernel_stats(kernel, &stats);
		tap_ok(stats.shards == 1 && stats.map_bytes <= options.map_budget_bytes,
		       "by fewer shards: %u, %llu KiB", stats.shards,
		       (unsigned long long)stats.map_bytes / 1024);
	}
	drpc_kernel_close(&kernel);
	options.map_budget_bytes = 8 * DRPC_MIB;
	tap_ok(drpc_kernel_open(&options, &kernel) == -ENOSPC && !kernel,
	       "a budget that cannot be kept is refused");
}

static void test_one_shard(void)
{
	struct drpc_kernel *kernel = cg_open((struct drpc_kernel_options){
		.latency = true, .max_containers = CONTAINERS, .map_budget_bytes = 14 * DRPC_MIB});
	struct conn_meter m;
	struct drpc_slot_shard got;
	struct conn c;

	if (!kernel)
		return;
	m = conn_mark(kernel, conn_track(kernel, "srv"));
	c = conn_open("srv", NULL);
	for (int i = 0; i < 100; i++)
		conn_exchange(&c, 10, 10);
	got = conn_since(&m);
	tap_ok(got.turns == 100 && conn_consistent(&got), "one shard for all CPUs counts as well");
	tap_ok(drpc_kernel_activity(kernel, m.slot) != 0 && drpc_kernel_activity(kernel, 5) == 0,
	       "activity tells who did something");
	conn_close(&c);
	drpc_kernel_close(&kernel);
}

static void test_ladder(void)
{
	struct drpc_kernel *kernel = NULL;
	struct drpc_kernel_options options = {.latency = true,
					      .cgroup_root_fd = -1,
					      .max_containers = 4,
					      .force_rung = "latency=no-such-rung"};
	struct conn_meter m;
	struct conn c;

	tap_ok(drpc_kernel_open(&options, &kernel) == -ENOTSUP && !kernel,
	       "a rung that does not exist leaves nothing behind");
	options.force_rung = "sched=whatever";
	tap_ok(drpc_kernel_open(&options, &kernel) == 0, "what is forced on another is not ours");
	if (!kernel)
		return;
	m = conn_mark(kernel, conn_track(kernel, "srv"));
	c = conn_open("srv", NULL);
	drpc_kernel_close(&kernel);
	tap_ok(!kernel, "closed, and the handle is gone");
	conn_exchange(&c, 10, 10); /* nothing is attached any more: must not disturb anybody */
	conn_close(&c);
	(void)m;
	drpc_kernel_close(&kernel);
}

/* --- arithmetic ------------------------------------------------------------------------------- */

static int kernel_bucket(int fd, uint64_t value)
{
	uint64_t args[1] = {value};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = args, .ctx_size_in = sizeof(args));

	if (bpf_prog_test_run_opts(fd, &opts) < 0)
		return -1;
	return (int)opts.retval;
}

static void test_arithmetic(void)
{
	struct selftest_bpf *bpf = selftest_bpf__open_and_load();
	unsigned int wrong = 0, asked = 0;
	uint64_t value = 1;
	int fd;

	if (!bpf) {
		tap_ok(false, "bucket arithmetic: the program loads");
		return;
	}
	fd = bpf_program__fd(bpf->progs.hist_bucket);
	for (unsigned int b = 0; b < DRPC_HIST_OVERFLOW; b++) {
		uint64_t bound = drpc_hist_bound_ns(b);

		wrong += kernel_bucket(fd, bound - 1) != (int)drpc_hist_index(bound - 1);
		wrong += kernel_bucket(fd, bound) != (int)b;
		wrong += kernel_bucket(fd, bound + 1) != (int)b + 1;
		asked += 3;
	}
	for (int i = 0; i < 20000; i++) {
		uint64_t v;

		value = value * 6364136223846793005ULL + 1442695040888963407ULL;
		v = value >> (value & 63);
		wrong += kernel_bucket(fd, v) != (int)drpc_hist_index(v);
		asked++;
	}
	tap_ok(wrong == 0, "the kernel's buckets are ours: %u of %u differ", wrong, asked);
	selftest_bpf__destroy(bpf);
}

int main(void)
{
	cg_begin();
	cg_make("srv");
	test_arithmetic();
	test_memory();
	test_one_shard();
	test_ladder();
	return tap_done();
}
