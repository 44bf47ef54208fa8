/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by journal.c (the file, limits) and journal_scale.c (replicas). */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "agent/execute/journal_format.h"

struct drpc_journal {
	char path[PATH_MAX];
	int fd, lock_fd;
	off_t end;   /* of the last whole line */
	bool dirty;  /* what is on disk behind `end` is not known: compact before writing more */
	size_t dead; /* lines that no open record needs */
	size_t damaged;
	struct drpc_journal_record *records;
	uint64_t *keys; /* of the records, for a quick search */
	size_t count, size;
	struct drpc_journal_scale *scales; /* few: searched one by one */
	size_t scale_count;
};

/* Appends whole lines durably, or leaves the file as it was. */
int drpc_journal_append(struct drpc_journal *j, const char *lines, size_t len);

/* Cuts the file back to its header: works on a full disk too. */
int drpc_journal_empty_file(struct drpc_journal *j);

/* Compacts where most lines are dead. */
int drpc_journal_tidy(struct drpc_journal *j);

/* A line of the file that is about replicas. -ENOMEM. */
int drpc_journal_scale_take(struct drpc_journal *j, const struct drpc_journal_line *line);
