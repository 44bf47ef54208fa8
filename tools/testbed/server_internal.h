/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the two halves of the server: connections' coming and going, and what they carry. */
#pragma once

#include <pthread.h>

#include "tools/testbed/server.h"

/* How long a client may take to close after the last answer. */
#define TB_LINGER_NS 1000000000ULL

enum tb_conn_phase {
	TB_CONN_HEAD,
	TB_CONN_BODY,
	TB_CONN_LINGER, /* answered; what the client still sends is thrown away */
};

/*
 * Belongs to the worker that took its event, and to nobody while it is armed. Then the tick may
 * look at the atomic fields and at the descriptor, under the server's lock, which closing takes.
 */
struct tb_conn {
	struct tb_conn *prev, *next; /* server's list; under the lock */
	int fd;
	_Atomic uint64_t deadline_ns; /* 0: a worker has it */
	atomic_bool idle;	      /* armed with nothing of a request received */
	atomic_bool expired;	      /* the tick has shut down reading */
	enum tb_conn_phase phase;
	uint64_t begun_ns; /* when the first byte of the request at hand was seen */
	char *data;	   /* owned */
	size_t len, size, scanned;
	bool continued;		   /* 100 Continue has been sent */
	struct tb_request request; /* its path points into data until the head is dropped */
	size_t head_len;
	struct drpc_http_body body;
};

struct tb_worker {
	struct tb_server *server;
	struct tb_caller *caller;
	pthread_t thread;
	bool running;
};

struct tb_server {
	struct tb_service *service;
	const struct tb_options *options;
	int listener;
	int epoll;
	int stop; /* eventfd */
	unsigned int port;
	pthread_mutex_t lock;
	struct tb_conn conns; /* list head */
	unsigned int conn_count;
	bool accept_paused;	 /* under the lock: at the limit, the listener is not armed */
	uint64_t drain_until_ns; /* 0: not draining; used by the ticking thread only */
	struct tb_worker *workers;
	char filler[16 * 1024];
};

/*
 * A worker's turn on a connection that can be read: all complete requests on it are served.
 * Returns false where the connection is to be closed.
 */
bool tb_conn_turn(struct tb_worker *worker, struct tb_conn *conn);
