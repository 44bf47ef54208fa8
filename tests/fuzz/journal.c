// SPDX-License-Identifier: Apache-2.0
/*
 * The journal's file. Each line that begins with '+' gets its check sum and loses the plus, so that
 * what is inside is reached as well. Whatever is in it: no crash, the same records at every opening,
 * room for one more.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/execute/journal.h"
#include "lib/log.h"
#include "lib/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t crc32c(const char *data, size_t len)
{
	uint32_t crc = ~0U;

	while (len--) {
		crc ^= (uint8_t)*data++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0x82f63b78U : crc >> 1;
	}
	return ~crc;
}

static void write_file(const char *path, const char *data, size_t size)
{
	FILE *f = fopen(path, "w");
	const char *line = data, *end = data + size;

	assert(f);
	while (line < end) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));
		size_t len = newline ? (size_t)(newline - line) : (size_t)(end - line);

		if (*line == '+') {
			fprintf(f, "%08x ", crc32c(line + 1, len - 1));
			fwrite(line + 1, 1, len - 1, f);
		} else {
			fwrite(line, 1, len, f);
		}
		if (newline)
			fputc('\n', f);
		line += len + 1;
	}
	fclose(f);
}

static void check_strings(const struct drpc_journal *journal)
{
	for (size_t i = 0; i < drpc_journal_count(journal); i++) {
		const struct drpc_journal_record *r = drpc_journal_at(journal, i);

		assert(memchr(r->id, 0, sizeof(r->id)) && memchr(r->name, 0, sizeof(r->name)));
		assert(memchr(r->cgroup, 0, sizeof(r->cgroup)));
		assert(drpc_journal_find(journal, r->id, r->cgroup) == r);
	}
}

static char dir[64], path[96];

static void clean_up(void)
{
	static const char *const endings[] = {"", ".lock", ".new", ".damaged"};
	char name[128];

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(endings); i++) {
		snprintf(name, sizeof(name), "%s%s", path, endings[i]);
		unlink(name);
	}
	rmdir(dir);
}

static void set_up(void)
{
	drpc_log_set_level((enum drpc_log_level) - 1);
	snprintf(dir, sizeof(dir), "/dev/shm/drpc-fuzz-%d", getpid());
	mkdir(dir, 0700);
	snprintf(path, sizeof(path), "%s/journal", dir);
	atexit(clean_up);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct drpc_journal_record more = {.id = "\x01more", .what = DRPC_LIMIT_CPU};
	struct drpc_journal *journal = NULL;
	size_t count;
	int r;

	if (!dir[0])
		set_up();
	write_file(path, (const char *)data, size);
	r = drpc_journal_open(path, &journal);
	assert(r == 0 || r == -EBADMSG || r == -EPROTONOSUPPORT);
	if (r == 0) {
		count = drpc_journal_count(journal);
		check_strings(journal);
		drpc_journal_free(&journal);
		r = drpc_journal_open(path, &journal);
		assert(r == 0 && drpc_journal_count(journal) == count);
		count += !drpc_journal_find(journal, more.id, more.cgroup);
		r = drpc_journal_add(journal, &more, 1);
		assert(r == 0);
		drpc_journal_free(&journal);
		r = drpc_journal_open(path, &journal);
		assert(r == 0 && drpc_journal_count(journal) == count);
		drpc_journal_free(&journal);
	}
	return 0;
}
