/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread-pool server. All connections and the listening socket sit in one epoll set; a worker
 * takes one event, serves what it stands for to the end, and comes back. With all workers busy
 * nothing is read or accepted: requests wait in their sockets and connections in the backlog, in
 * the order in which they came, as in front of a server that has run out of threads.
 */
#pragma once

#include "tools/testbed/service.h"

struct tb_server;

/* Listens and starts the workers. Returns 0 or a negative errno, logged. */
int tb_server_new(struct tb_service *service, struct tb_server **ret);

/* The port that is listened on: the kernel's choice where 0 was asked for. */
unsigned int tb_server_port(const struct tb_server *server);

/* Ends clients that are too slow or idle for too long. To be called several times a second. */
void tb_server_tick(struct tb_server *server);

/*
 * Takes no more connections than those already in the backlog, and asks clients to close with each
 * answer. Idle connections are closed after the drain time.
 */
void tb_server_drain(struct tb_server *server);

/* Whether draining is over: no connection is left. */
bool tb_server_drained(struct tb_server *server);

/* Stops the workers; a request under way is finished first. */
void tb_server_free(struct tb_server **server);
