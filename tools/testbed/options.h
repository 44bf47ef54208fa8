/* SPDX-License-Identifier: Apache-2.0 */
/* What a testbed service does, from flags and DRPC_TESTBED_… variables. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "tools/load/target.h"
#include "tools/testbed/work.h"

#define TB_CALLS_MAX  64
#define TB_ROUTES_MAX 64

/* A downstream call. */
struct tb_call_spec {
	struct drpc_target target;
	char *head; /* owned: the request without its empty line */
	size_t head_len;
	bool optional; /* the answer does without it */
};

/* What one request costs. */
struct tb_work {
	struct tb_dist cpu;
	uint64_t sleep_ns;
	uint64_t touch_bytes;	/* of the working set */
	uint64_t request_bytes; /* allocated, touched and held while the request is served */
	double error_rate;
	uint64_t response_bytes;
	bool parallel;
	unsigned int calls[TB_CALLS_MAX]; /* indices of specs, in order */
	unsigned int call_count;
};

struct tb_route {
	char *path; /* owned; "/" for the rest */
	size_t path_len;
	struct tb_work work;
};

struct tb_options {
	struct sockaddr_storage listen;
	socklen_t listen_len;
	char listen_text[64];
	unsigned int workers;
	unsigned int backlog;
	unsigned int max_connections;
	uint64_t max_body_bytes;
	uint64_t memory_bytes;
	uint64_t seed;
	uint64_t call_timeout_ns;
	uint64_t call_reuse_ns;	    /* a downstream connection is not used for longer */
	uint64_t client_timeout_ns; /* for a request to arrive and a response to be taken */
	uint64_t keepalive_ns;	    /* of an idle client connection */
	uint64_t drain_ns;	    /* how long idle connections are kept after SIGTERM */
	bool reuse_port;
	bool help;
	bool version;
	struct tb_call_spec calls[TB_CALLS_MAX];
	unsigned int call_count;
	struct tb_route routes[TB_ROUTES_MAX + 1]; /* the last one is "/" */
	unsigned int route_count;
	char *env_routes; /* owned: what the environment's routes point into */
};

/*
 * Reads the environment, then the flags, which overrule it. Returns 0, -EINVAL for wrong usage or
 * -ENOMEM; logged. The caller releases in any case.
 */
int tb_options_parse(struct tb_options *options, int argc, char **argv);
void tb_options_release(struct tb_options *options);

/* The route of a path: the longest one that it equals or lies below. */
const struct tb_route *tb_options_route(const struct tb_options *options, const char *path,
					size_t len);

extern const char tb_options_help[];
