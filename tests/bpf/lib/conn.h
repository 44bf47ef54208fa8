// SPDX-License-Identifier: Apache-2.0
/*
 * TCP connections between cgroups, both ends in the test's hands. A socket belongs to the cgroup
 * its process was in when it was made, so a test steps into a cgroup, makes its socket and steps
 * out again; what the kernel sees is what two containers would show it, in an exact order.
 * Failures end the program.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/monitor/kernel.h"

struct conn {
	int client, server;
	uint16_t port; /* of the listener */
};

/* Steps into a cgroup of the test, NULL: back to where the program was started. */
void conn_enter(const char *cgroup);

/* A listener of `cgroup` on a free port (*port 0) of `address`; an IPv6 one takes IPv4 too. */
int conn_listen(const char *cgroup, const char *address, uint16_t *port);
/* A connected socket of `cgroup`; -1 and errno where it is refused. */
int conn_connect(const char *cgroup, const char *address, uint16_t port);

/* Both: server and client of these cgroups, listening on and connecting to these addresses. */
struct conn conn_open_at(const char *server, const char *client, const char *listen_address,
			 const char *address);
/* The same on 127.0.0.1. */
struct conn conn_open(const char *server, const char *client);
void conn_close(struct conn *conn);
/* Closes an end by RST. */
void conn_abort(int *fd);

/* Exactly so many bytes out or in, in one call where they fit. */
void conn_say(int fd, size_t bytes);
void conn_hear(int fd, size_t bytes);
/* Request and response. */
void conn_exchange(const struct conn *conn, size_t request, size_t response);

/* What a slot counted since conn_mark(). */
struct conn_meter {
	struct drpc_kernel *kernel;
	uint32_t slot;
	struct drpc_slot_shard from;
};

struct conn_meter conn_mark(struct drpc_kernel *kernel, uint32_t slot);
struct drpc_slot_shard conn_since(const struct conn_meter *meter);

uint64_t conn_dropped(const struct drpc_slot_shard *counts);
/* seen - turns - dropped. */
int64_t conn_inflight(const struct drpc_slot_shard *counts);
/* Whether every histogram of turns has as many values as there are turns. */
int conn_consistent(const struct drpc_slot_shard *counts);

/* Tracks a cgroup of the test and returns its slot. */
uint32_t conn_track(struct drpc_kernel *kernel, const char *cgroup);
