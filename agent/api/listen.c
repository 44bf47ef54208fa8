// SPDX-License-Identifier: Apache-2.0
#include "agent/api/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "lib/log.h"
#include "lib/util.h"

#define BACKLOG	    32
#define SOCKET_MODE 0660

/* Out of the reach of _cleanup_close_. */
static int steal_fd(int *fd)
{
	int stolen = *fd;

	*fd = -1;
	return stolen;
}

/* --- unix ------------------------------------------------------------------------------------- */

static int make_folder(const char *path)
{
	char folder[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char *slash;

	drpc_strcpy(folder, sizeof(folder), path);
	slash = strrchr(folder, '/');
	if (!slash || slash == folder)
		return 0;
	*slash = '\0';
	if (mkdir(folder, 0755) < 0 && errno != EEXIST)
		return drpc_err(-errno, "api: cannot make the folder %s of the socket", folder);
	return 0;
}

/* 0: the way is free (nothing was there, or a socket that nobody answers on and that is gone now). */
static int clear_stale(const struct sockaddr_un *addr)
{
	_cleanup_close_ int probe = -1;
	struct stat st;

	if (lstat(addr->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : drpc_err(-errno, "api: socket %s", addr->sun_path);
	if (!S_ISSOCK(st.st_mode))
		return drpc_err(
			-EEXIST,
			"api: %s is there and is no socket; remove it or configure another path",
			addr->sun_path);
	probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (probe < 0)
		return drpc_err(-errno, "api: cannot make a unix socket");
	/* EAGAIN: its queue is full, so somebody is there. */
	if (connect(probe, (const struct sockaddr *)addr, sizeof(*addr)) == 0 || errno == EAGAIN)
		return drpc_err(
			-EADDRINUSE,
			"api: another agent answers on %s; stop it, or configure another socket",
			addr->sun_path);
	if (errno != ECONNREFUSED && errno != ENOENT)
		return drpc_err(-errno, "api: cannot tell whether somebody answers on %s",
				addr->sun_path);
	if (unlink(addr->sun_path) < 0 && errno != ENOENT)
		return drpc_err(-errno, "api: cannot remove the stale socket %s", addr->sun_path);
	return 0;
}

int drpc_listen_unix(const char *path, struct drpc_socket_file *ret_file)
{
	_cleanup_close_ int fd = -1;
	struct stat st;
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int r;

	if (!drpc_strcpy(addr.sun_path, sizeof(addr.sun_path), path))
		return drpc_err(-ENAMETOOLONG, "api: socket %s, at most %zu characters", path,
				sizeof(addr.sun_path) - 1);
	r = make_folder(path);
	if (r == 0)
		r = clear_stale(&addr);
	if (r < 0)
		return r;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return drpc_err(-errno, "api: cannot make a unix socket");
	/* Before bind() the mode goes to the file at its birth, so it is never open to the world. */
	if (fchmod(fd, SOCKET_MODE) < 0 ||
	    bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    chmod(path, SOCKET_MODE) < 0 || listen(fd, BACKLOG) < 0 || lstat(path, &st) < 0)
		return drpc_err(-errno, "api: cannot listen on %s", path);
	*ret_file = (struct drpc_socket_file){.dev = st.st_dev, .ino = st.st_ino};
	return steal_fd(&fd);
}

void drpc_listen_unlink(const char *path, const struct drpc_socket_file *file)
{
	struct stat st;

	if (lstat(path, &st) == 0 && st.st_dev == file->dev && st.st_ino == file->ino)
		unlink(path);
}

/* --- TCP -------------------------------------------------------------------------------------- */

static int split_address(const char *address, char *host, size_t host_size, const char **ret_port)
{
	const char *colon = strrchr(address, ':');
	const char *begin = address;
	size_t len;

	/* getaddrinfo() would take 99999 for 34463. */
	if (!colon || colon[1] == '\0' || colon[1 + strspn(colon + 1, "0123456789")] != '\0' ||
	    strlen(colon + 1) > 5 || atoi(colon + 1) < 1 || atoi(colon + 1) > UINT16_MAX)
		return -EINVAL;
	len = (size_t)(colon - address);
	if (len >= 2 && address[0] == '[' && address[len - 1] == ']') {
		begin++;
		len -= 2;
	} else if (memchr(address, ':', len)) {
		return -EINVAL; /* IPv6 without brackets: which colon is the port's? */
	}
	if (len == 0 || len >= host_size)
		return -EINVAL;
	memcpy(host, begin, len);
	host[len] = '\0';
	if (strcmp(host, "localhost") == 0)
		drpc_strcpy(host, host_size, "127.0.0.1");
	*ret_port = colon + 1;
	return 0;
}

int drpc_listen_tcp(const char *address)
{
	const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
				       .ai_socktype = SOCK_STREAM};
	_cleanup_close_ int fd = -1;
	struct addrinfo *info = NULL;
	const char *port;
	char host[64];
	int one = 1, r;

	if (split_address(address, host, sizeof(host), &port) < 0 ||
	    getaddrinfo(host, port, &hints, &info) != 0)
		return drpc_err(
			-EINVAL,
			"api: cannot listen on '%s': expected ADDRESS:PORT such as 127.0.0.1:9464 or [::1]:9464",
			address);
	fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, info->ai_addr, info->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
		r = drpc_err(-errno, "api: cannot listen on %s", address);
		freeaddrinfo(info);
		return r;
	}
	freeaddrinfo(info);
	return steal_fd(&fd);
}
