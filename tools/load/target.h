/* SPDX-License-Identifier: Apache-2.0 */
/* Where requests go: a URL, taken apart and resolved. */
#pragma once

#include <sys/socket.h>

#define DRPC_TARGET_ADDRESSES 16

#define DRPC_TARGET_FORM \
	"http://HOST[:PORT][/PATH], http://[IPV6][:PORT][/PATH] or unix:/SOCKET[:/PATH]"

struct drpc_target_address {
	socklen_t len;
	struct sockaddr_storage addr;
};

struct drpc_target {
	char name[320]; /* HOST:PORT or unix:/SOCKET: one target for each name */
	char host[256]; /* without brackets; the socket's path for unix */
	char port[8];	/* "" for unix */
	char host_header[272];
	unsigned int count;
	struct drpc_target_address addresses[DRPC_TARGET_ADDRESSES];
};

/*
 * Takes a URL apart; its path ("/" where it has none) goes to *ret_path, which the caller frees.
 * `flag` names the option in the message. Returns 0, -EINVAL or -ENOMEM.
 */
int drpc_target_parse(struct drpc_target *target, const char *flag, const char *url,
		      char **ret_path);

/*
 * Fills in the addresses; blocks while the name is looked up. Silent: returns 0, -ENOENT for a
 * name that has none, -EAGAIN where the name service did not answer, or another negative errno;
 * *ret_why is a text for the message.
 */
int drpc_target_resolve(struct drpc_target *target, const char **ret_why);
