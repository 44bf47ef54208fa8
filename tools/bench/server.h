/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nginx and redis as servers under test, each with a cheap and a dear request: one process each, pinned, in a cgroup of its
 * own.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum server_kind {
	SERVER_NGINX, /* a small static file */
	SERVER_REDIS, /* GET */
	/* Work enough for a request that the client has time left: its own queue is none then. */
	SERVER_NGINX_GZIP,
	SERVER_REDIS_BITCOUNT,
	SERVER_COUNT,
};

struct server {
	enum server_kind kind;
	uint16_t port;	/* on 127.0.0.1 */
	pid_t pid;	/* the process that answers */
	pid_t root_pid; /* the one that was started */
	uint64_t cgroup_id;
	const char *request;
	size_t request_len, response_len;
	char folder[64];	       /* configuration, data, logs */
	char parent[300], cgroup[320]; /* one parent for all of this process */
};

/* The cgroup that the servers of this process are put under; `mount` is cgroup2's. */
void server_parent_cgroup(const char *mount, char *ret, size_t size);

const char *server_name(enum server_kind kind);

/* Starts one, pinned to `cpu`, in a new cgroup. Returns 0 or a negative errno, reason logged. */
int server_start(enum server_kind kind, int cpu, struct server *ret);

/* Stops it and removes its cgroup and folder. */
void server_stop(struct server *server);

/* CPU time of the answering process so far, in nanoseconds. */
uint64_t server_cpu_ns(const struct server *server);
