/* SPDX-License-Identifier: Apache-2.0 */
/* The latency concern: turns on server-role connections, edges from client-role ones. */
#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>

#include "agent/monitor/kernel_latency.h"
#include "agent/monitor/kernel_load.h"
#include "lib/log.h"
#include "lib/util.h"

enum {
	NEED_ARRIVED,
	NEED_READ,
	NEED_WROTE,
	NEED_STATE,
	NEED_ACCEPT,
	NEED_RESETS,
	NEED_SEED,
	NEED_COUNT,
};

/* Without these there are no turns. */
#define VITAL_NEEDS (NEED_STATE + 1)

static const struct drpc_need latency_needs[NEED_COUNT] = {
	[NEED_ARRIVED] = {.name = "data arrived",
			  .lost = "no latency at all",
			  .rungs = {{.name = "tp_btf/tcp_probe", .programs = {"on_tcp_probe"}}}},
	[NEED_READ] =
		{
			.name = "application read",
			.lost = "no latency at all",
			.rungs = {{.name = "tp_btf/sock_recv_length",
				   .programs = {"on_sock_recv_length"}},
				  {.name = "fexit/tcp_recvmsg",
				   .programs = {"on_tcp_recvmsg"},
				   .function = "tcp_recvmsg",
				   .arity = 5},
				  {.name = "fexit/tcp_recvmsg (5.15)",
				   .programs = {"on_tcp_recvmsg_nonblock"},
				   .function = "tcp_recvmsg",
				   .arity = 6}},
		},
	[NEED_WROTE] =
		{
			.name = "application wrote",
			.lost = "no latency at all",
			.rungs = {{.name = "tp_btf/sock_send_length",
				   .programs = {"on_sock_send_length"}},
				  {.name = "fexit/tcp_sendmsg+tcp_sendpage",
				   .programs = {"on_tcp_sendmsg", "on_tcp_sendpage"}},
				  {.name = "fexit/tcp_sendmsg", .programs = {"on_tcp_sendmsg"}}},
		},
	[NEED_STATE] = {.name = "connection state",
			.lost = "no latency at all",
			.rungs = {{.name = "tp_btf/inet_sock_set_state",
				   .programs = {"on_set_state"}}}},
	[NEED_ACCEPT] =
		{
			.name = "accept wait",
			.lost = "accept wait is not measured",
			.rungs = {{.name = "fexit/inet_csk_accept",
				   .programs = {"on_accept"},
				   .function = "inet_csk_accept",
				   .arity = 2},
				  {.name = "fexit/inet_csk_accept (< 6.10)",
				   .programs = {"on_accept_flags"},
				   .function = "inet_csk_accept",
				   .arity = 4},
				  {.name = "first read",
				   .lost = "upper bound: until the first request is read"}},
		},
	[NEED_RESETS] = {.name = "resets",
			 .lost = "resets are not counted",
			 .rungs = {{.name = "tp_btf/tcp_receive_reset+tcp_send_reset",
				    .programs = {"on_receive_reset", "on_send_reset"}},
				   {.name = "tp_btf/tcp_receive_reset",
				    .programs = {"on_receive_reset"},
				    .lost = "resets sent are not counted"}}},
	[NEED_SEED] = {.name = "open connections",
		       .lost = "connections from before the start are not measured",
		       .rungs = {{.name = "iter/tcp", .programs = {"seed_tcp"}}}},
};

static void *latency_open_skel(const struct drpc_kernel *kernel)
{
	struct latency_bpf *bpf = latency_bpf__open();
	uint32_t edges = kernel->options.edges ? DRPC_EDGES_MAX : 1;

	if (!bpf)
		return NULL;
	DRPC_CONFIGURE(bpf, kernel);
	bpf->rodata->drpc_edges_on = kernel->options.edges;
	bpf->rodata->drpc_hooks_alone = kernel->options.hooks_alone;
	bpf->rodata->drpc_edge_max = edges;
	if (bpf_map__set_max_entries(bpf->maps.drpc_edge_index, edges) < 0 ||
	    bpf_map__set_max_entries(bpf->maps.drpc_edge_table, edges) < 0 ||
	    bpf_map__set_max_entries(bpf->maps.drpc_edge_free, edges) < 0 ||
	    bpf_map__set_max_entries(bpf->maps.drpc_endpoints,
				     kernel->options.edges ? DRPC_ENDPOINTS_MAX : 1) < 0) {
		latency_bpf__destroy(bpf);
		errno = EINVAL;
		return NULL;
	}
	return bpf;
}

static struct bpf_object *latency_object(void *skel)
{
	return ((struct latency_bpf *)skel)->obj;
}

static void latency_destroy_skel(void *skel)
{
	latency_bpf__destroy(skel);
}

static const struct drpc_object_ops latency_ops = {
	.open = latency_open_skel,
	.object = latency_object,
	.destroy = latency_destroy_skel,
};

static int load(struct drpc_kernel *kernel, struct drpc_latency *latency,
		const struct drpc_need *needs)
{
	struct latency_bpf *bpf = latency_open_skel(kernel);

	if (!bpf)
		return drpc_err(-errno, "latency: cannot open the programs");
	latency->bpf = bpf;
	bpf->rodata->drpc_accept_hook =
		needs[NEED_ACCEPT].chosen && needs[NEED_ACCEPT].chosen->programs[0];
	return drpc_kernel_load(kernel, "latency", bpf->skeleton, needs, NEED_COUNT);
}

static void latency_close(struct drpc_kernel *kernel)
{
	struct drpc_latency *latency = kernel->latency;

	if (!latency)
		return;
	drpc_edges_release(latency);
	latency_bpf__destroy(latency->bpf);
	free(latency);
	kernel->latency = NULL;
}

static int latency_open(struct drpc_kernel *kernel)
{
	struct drpc_need needs[NEED_COUNT];
	int r;

	memcpy(needs, latency_needs, sizeof(needs));
	r = drpc_ladder_climb(kernel, "latency", &latency_ops, needs, NEED_COUNT);
	if (r < 0)
		return r;
	for (int i = 0; i < VITAL_NEEDS; i++)
		if (!needs[i].chosen)
			return -ENOTSUP;
	kernel->latency = calloc(1, sizeof(*kernel->latency));
	if (!kernel->latency)
		return drpc_err(-ENOMEM, "latency: no memory");
	kernel->latency->can_seed = needs[NEED_SEED].chosen;
	r = load(kernel, kernel->latency, needs);
	if (r == 0 && kernel->options.edges)
		r = drpc_edges_reserve(kernel->latency);
	if (r < 0)
		latency_close(kernel);
	return r;
}

/*
 * The kernel does not run a program that is running on this CPU already: a softirq inside the same
 * hook, or, on a preemptible kernel with trampolines, another thread. What that loses is repaired
 * or lost by a turn; how often it happened is for doctor.
 */
uint64_t drpc_latency_missed_runs(const struct drpc_kernel *kernel)
{
	struct bpf_program *prog;
	uint64_t sum = 0;

	if (!kernel->latency)
		return 0;
	bpf_object__for_each_program(prog, kernel->latency->bpf->obj)
	{
		struct bpf_prog_info info = {0};
		uint32_t size = sizeof(info);

		if (bpf_program__fd(prog) >= 0 &&
		    bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &size) == 0)
			sum += info.recursion_misses;
	}
	return sum;
}

const struct drpc_concern drpc_concern_latency = {
	.name = "latency",
	.without =
		"no request latency, no rates, no edges: decisions go by CPU, memory and pressure alone",
	.open = latency_open,
	.close = latency_close,
	.untrack = drpc_edges_forget,
};
