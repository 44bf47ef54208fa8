/* SPDX-License-Identifier: Apache-2.0 */
/* The journal's lines: "CRC32C JSON\n", the check sum over the JSON text in eight hex digits. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "agent/execute/journal.h"

#define DRPC_JOURNAL_HEADER   "drpc-journal 2\n"
#define DRPC_JOURNAL_HEADER_1 "drpc-journal 1\n" /* without replicas; read, never written */
#define DRPC_JOURNAL_MAGIC    "drpc-journal "	 /* of every version */
#define DRPC_JOURNAL_LINE_MAX 8192

struct drpc_journal_line {
	bool open;  /* false: closes the record of this id and cgroup, or deployment */
	bool scale; /* it is about replicas: `replicas` holds, not `record` */
	struct drpc_journal_record record;
	struct drpc_journal_scale replicas;
};

/* Write one line with its newline. Return its length, or -ENOMEM, -ENOBUFS. */
int drpc_journal_format_open(const struct drpc_journal_record *record,
			     char line[DRPC_JOURNAL_LINE_MAX]);
int drpc_journal_format_close(const char *id, const char *cgroup, const char *reason,
			      char line[DRPC_JOURNAL_LINE_MAX]);

int drpc_journal_format_scale(const struct drpc_journal_scale *scale,
			      char line[DRPC_JOURNAL_LINE_MAX]);
int drpc_journal_format_unscale(const char *deployment, const char *reason,
				char line[DRPC_JOURNAL_LINE_MAX]);

/* `line` is `len` bytes without the newline. -EBADMSG: damaged. */
int drpc_journal_parse_line(const char *line, size_t len, struct drpc_journal_line *ret);
