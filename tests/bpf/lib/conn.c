// SPDX-License-Identifier: Apache-2.0
#include "tests/bpf/lib/conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/hist.h"
#include "lib/util.h"
#include "tests/bpf/lib/cg.h"

static char home[4096]; /* cgroup.procs of where the program was started */

static void remember_home(void)
{
	char *text = NULL, *line;

	if (drpc_read_file_at(AT_FDCWD, "/proc/self/cgroup", 65536, &text) < 0)
		cg_die("/proc/self/cgroup");
	line = strstr(text, "0::");
	if (!line)
		cg_die("no cgroup2 in /proc/self/cgroup");
	line[strcspn(line, "\n")] = '\0';
	snprintf(home, sizeof(home), "%s%s/cgroup.procs", cg_mount(), line + 3);
	drpc_freep(&text);
}

void conn_enter(const char *cgroup)
{
	char path[4200];

	if (!*home)
		remember_home();
	if (cgroup)
		snprintf(path, sizeof(path), "%s/cgroup.procs", cg_path(cgroup));
	else
		snprintf(path, sizeof(path), "%s", home);
	if (drpc_write_file_at(AT_FDCWD, path, "0") < 0)
		cg_die("entering %s", path);
}

static socklen_t parse(const char *address, uint16_t port, struct sockaddr_storage *ret)
{
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret;

	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		return sizeof(*v6);
	}
	if (inet_pton(AF_INET, address, &v4->sin_addr) != 1)
		cg_die("address %s", address);
	v4->sin_family = AF_INET;
	v4->sin_port = htons(port);
	return sizeof(*v4);
}

static int make_socket(const char *cgroup, int family)
{
	int one = 1, zero = 0, fd;

	conn_enter(cgroup);
	fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	conn_enter(NULL);
	if (fd < 0)
		cg_die("socket");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	return fd;
}

int conn_listen(const char *cgroup, const char *address, uint16_t *port)
{
	struct sockaddr_storage addr;
	socklen_t len = parse(address, *port, &addr);
	int fd = make_socket(cgroup, addr.ss_family), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&addr, len) < 0 || listen(fd, 128) < 0 ||
	    getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
		cg_die("listening on %s", address);
	*port = ntohs(addr.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&addr)->sin6_port
						 : ((struct sockaddr_in *)&addr)->sin_port);
	return fd;
}

int conn_connect(const char *cgroup, const char *address, uint16_t port)
{
	struct sockaddr_storage addr;
	socklen_t len = parse(address, port, &addr);
	int fd = make_socket(cgroup, addr.ss_family), err;

	if (connect(fd, (struct sockaddr *)&addr, len) == 0)
		return fd;
	err = errno;
	close(fd);
	errno = err;
	return -1;
}

struct conn conn_open_at(const char *server, const char *client, const char *listen_address,
			 const char *address)
{
	struct conn conn = {-1, -1, 0};
	int listener = conn_listen(server, listen_address, &conn.port), one = 1;

	conn.client = conn_connect(client, address, conn.port);
	if (conn.client < 0)
		cg_die("connecting to %s", address);
	conn.server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (conn.server < 0)
		cg_die("accept");
	setsockopt(conn.server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	close(listener);
	return conn;
}

struct conn conn_open(const char *server, const char *client)
{
	return conn_open_at(server, client, "127.0.0.1", "127.0.0.1");
}

void conn_close(struct conn *conn)
{
	if (conn->client >= 0)
		close(conn->client);
	if (conn->server >= 0)
		close(conn->server);
	conn->client = conn->server = -1;
}

void conn_abort(int *fd)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	setsockopt(*fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(*fd);
	*fd = -1;
}

static char bytes_out[1 << 16], bytes_in[1 << 16];

void conn_say(int fd, size_t bytes)
{
	while (bytes) {
		ssize_t n = write(fd, bytes_out, DRPC_MIN(bytes, sizeof(bytes_out)));

		if (n <= 0)
			cg_die("write");
		bytes -= (size_t)n;
	}
}

void conn_hear(int fd, size_t bytes)
{
	while (bytes) {
		ssize_t n = read(fd, bytes_in, DRPC_MIN(bytes, sizeof(bytes_in)));

		if (n <= 0)
			cg_die("read");
		bytes -= (size_t)n;
	}
}

void conn_exchange(const struct conn *conn, size_t request, size_t response)
{
	conn_say(conn->client, request);
	conn_hear(conn->server, request);
	conn_say(conn->server, response);
	conn_hear(conn->client, response);
}

struct conn_meter conn_mark(struct drpc_kernel *kernel, uint32_t slot)
{
	struct conn_meter meter = {.kernel = kernel, .slot = slot};

	drpc_kernel_read_slot(kernel, slot, &meter.from);
	return meter;
}

struct drpc_slot_shard conn_since(const struct conn_meter *meter)
{
	struct drpc_slot_shard now;
	const struct drpc_slot_shard *from = &meter->from;

	drpc_kernel_read_slot(meter->kernel, meter->slot, &now);
	now.seen -= from->seen;
	now.turns -= from->turns;
	now.accepts -= from->accepts;
	now.resets -= from->resets;
	now.unread -= from->unread;
	for (int i = 0; i < DRPC_DROP_COUNT; i++)
		now.dropped[i] -= from->dropped[i];
	for (int i = 0; i < DRPC_HIST_COUNT; i++) {
		now.sum_ns[i] -= from->sum_ns[i];
		for (int b = 0; b < DRPC_HIST_BUCKETS; b++)
			now.hist[i][b] -= from->hist[i][b];
	}
	return now;
}

uint64_t conn_dropped(const struct drpc_slot_shard *counts)
{
	uint64_t sum = 0;

	for (int i = 0; i < DRPC_DROP_COUNT; i++)
		sum += counts->dropped[i];
	return sum;
}

int64_t conn_inflight(const struct drpc_slot_shard *counts)
{
	return (int64_t)(counts->seen - counts->turns - conn_dropped(counts));
}

int conn_consistent(const struct drpc_slot_shard *counts)
{
	return drpc_hist_count(counts->hist[DRPC_HIST_TOTAL]) == counts->turns &&
	       drpc_hist_count(counts->hist[DRPC_HIST_QUEUE]) == counts->turns - counts->unread &&
	       drpc_hist_count(counts->hist[DRPC_HIST_SERVICE]) == counts->turns &&
	       drpc_hist_count(counts->hist[DRPC_HIST_SEND]) == counts->turns;
}

uint32_t conn_track(struct drpc_kernel *kernel, const char *cgroup)
{
	uint32_t slot;

	if (drpc_kernel_track(kernel, cg_id(cgroup), &slot) < 0)
		cg_die("tracking %s", cgroup);
	return slot;
}
