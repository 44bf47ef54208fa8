/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that were open before the programs were: an iterator over the TCP sockets of one
 * network namespace, read by a thread that has moved there (a move is a thread's own affair, and
 * its end undoes it).
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>

#include <bpf/bpf.h>

#include "agent/monitor/kernel_latency.h"
#include "lib/log.h"
#include "lib/util.h"

struct seed_run {
	struct drpc_latency *latency;
	int netns_fd; /* -1: ours */
	int result;
};

/* Each byte the program writes is a connection taken in. */
static int read_iterator(int link_fd)
{
	_cleanup_close_ int fd = bpf_iter_create(link_fd);
	char marks[4096];
	int seeded = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	while ((n = read(fd, marks, sizeof(marks))) != 0) {
		if (n > 0)
			seeded += (int)n;
		else if (errno != EAGAIN && errno != EINTR)
			return -errno;
	}
	return seeded;
}

/* Listeners found last time may be gone; their ports may be clients' ports now. */
static void forget_listeners(int map_fd)
{
	unsigned char key[16];

	while (bpf_map_get_next_key(map_fd, NULL, key) == 0)
		if (bpf_map_delete_elem(map_fd, key) < 0)
			break;
}

static void *seed_thread(void *arg)
{
	struct seed_run *run = arg;
	struct latency_bpf *bpf = run->latency->bpf;

	if (run->netns_fd >= 0 && setns(run->netns_fd, CLONE_NEWNET) < 0) {
		run->result = -errno;
		return NULL;
	}
	forget_listeners(bpf_map__fd(bpf->maps.drpc_listening));
	run->result = read_iterator(bpf_link__fd(bpf->links.seed_tcp));
	return NULL;
}

int drpc_latency_seed(struct drpc_kernel *kernel, pid_t pid)
{
	_cleanup_close_ int netns_fd = -1;
	struct seed_run run = {.latency = kernel->latency};
	pthread_t thread;
	char path[64];
	int r;

	if (!kernel->latency || !kernel->latency->can_seed)
		return -ENOTSUP;
	if (pid) {
		snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
		netns_fd = open(path, O_RDONLY | O_CLOEXEC);
		if (netns_fd < 0)
			return -errno; /* the process has ended: not worth a word */
	}
	run.netns_fd = netns_fd;
	r = pthread_create(&thread, NULL, seed_thread, &run);
	if (r)
		return drpc_err(-r, "latency: cannot start a thread to look for open connections");
	pthread_join(thread, NULL);
	if (run.result < 0)
		return drpc_err(
			run.result,
			"latency: cannot look for open connections in the network namespace of process %d",
			(int)pid);
	return run.result;
}
