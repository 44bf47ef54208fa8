// SPDX-License-Identifier: Apache-2.0
#include "agent/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"

/* A busy server's table is long; one that comes up has a few lines. */
#define TABLE_MAX_BYTES (512UL << 10)
#define STAT_MAX_BYTES	(1UL << 20)
#define LISTEN		"0A"
/* user nice system idle iowait irq softirq steal; guests are in user already */
#define CPU_FIELDS	8
#define CPU_IDLE	3
#define CPU_IOWAIT	4

/* An address as the kernel prints it, words of the host's order: "0100007F" is 127.0.0.1. */
static bool is_loopback(const char *address, size_t len)
{
	static const char six[] = "00000000000000000000000001000000";

	if (len == sizeof(six) - 1 && strncmp(address, six, len) == 0)
		return true;
	/* IPv4, or in the last word of an IPv6 address that maps one. */
	if (len == sizeof(six) - 1 && strncmp(address, "0000000000000000FFFF0000", 24) != 0)
		return false;
	return len >= 8 && strncmp(address + len - 2, "7F", 2) == 0;
}

bool drpc_sockets_text_listens(const char *text)
{
	/* The first line holds the titles. */
	for (const char *line = strchr(text, '\n'); line; line = strchr(line, '\n')) {
		char local[40], state[4];
		const char *colon;

		line++;
		if (sscanf(line, " %*u: %39s %*s %3s", local, state) != 2 ||
		    strcmp(state, LISTEN) != 0)
			continue;
		colon = strchr(local, ':');
		if (colon && !is_loopback(local, (size_t)(colon - local)))
			return true;
	}
	return false;
}

int drpc_sockets_listen(pid_t pid)
{
	static const char *const tables[] = {"tcp", "tcp6"};
	bool seen = false;
	int err = 0;

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(tables); i++) {
		_cleanup_free_ char *text = NULL;
		char path[48];
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/%d/net/%s", (int)pid, tables[i]);
		n = drpc_read_file_at(AT_FDCWD, path, TABLE_MAX_BYTES, &text);
		if (n < 0) {
			err = (int)n;
			continue;
		}
		seen = true;
		if (drpc_sockets_text_listens(text))
			return 1;
	}
	/* A kernel without IPv6 has one table alone. */
	return seen ? 0 : err;
}

int drpc_sockets_node_cpu(uint64_t *ret_all, uint64_t *ret_idle)
{
	_cleanup_free_ char *text = NULL;
	ssize_t n = drpc_read_file_at(AT_FDCWD, "/proc/stat", STAT_MAX_BYTES, &text);
	uint64_t field[CPU_FIELDS] = {0}, all = 0;
	char *at;

	if (n < 0)
		return (int)n;
	if (strncmp(text, "cpu ", 4) != 0)
		return -EBADMSG;
	at = text + 4;
	for (size_t i = 0; i < CPU_FIELDS; i++) {
		field[i] = strtoull(at, &at, 10);
		all += field[i];
	}
	*ret_all = all;
	*ret_idle = field[CPU_IDLE] + field[CPU_IOWAIT];
	return 0;
}
