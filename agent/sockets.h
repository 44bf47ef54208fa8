/* SPDX-License-Identifier: Apache-2.0 */
/* What /proc tells of a process's network, and of the machine's CPUs. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Whether a TCP socket other than on the loopback takes connections in the network namespace of
 * this process: 1, 0, or a negative errno where that cannot be seen.
 */
int drpc_sockets_listen(pid_t pid);

/* The same of the text of /proc/PID/net/tcp or tcp6. */
bool drpc_sockets_text_listens(const char *text);

/* Time of all CPUs since the boot, and what of it they were idle, in the kernel's ticks. */
int drpc_sockets_node_cpu(uint64_t *ret_all, uint64_t *ret_idle);
