/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets: made, bound and checked before the HTTP library gets them. */
#pragma once

#include <sys/types.h>

/* Which file a unix socket was bound to. */
struct drpc_socket_file {
	dev_t dev;
	ino_t ino;
};

/*
 * Listens on a unix socket at `path`, mode 0660; makes its folder where that is missing. A socket
 * file that nobody answers on is replaced, anything else that stands there is left alone.
 * Returns a descriptor, or a negative errno with the reason logged: -EADDRINUSE where somebody
 * answers, -EEXIST where `path` is no socket.
 */
int drpc_listen_unix(const char *path, struct drpc_socket_file *ret_file);

/* Listens on "ADDRESS:PORT", "[ADDRESS]:PORT" or "localhost:PORT" (numbers otherwise: no resolver). */
int drpc_listen_tcp(const char *address);

/* Removes the socket file, unless another one has taken its place. */
void drpc_listen_unlink(const char *path, const struct drpc_socket_file *file);
