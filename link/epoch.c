// SPDX-License-Identifier: Apache-2.0
#include "link/epoch.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "lib/file.h"
#include "lib/log.h"
#include "lib/util.h"
#include "link/codec.h"

#define TEXT_MAX 32

/* Digits and a line's end; 0 for everything else. */
static uint64_t parse(const char *text)
{
	char *end;
	unsigned long long value;

	if (!isdigit((unsigned char)*text))
		return 0;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || strcmp(end, "\n") != 0 || value >= DRPC_SEQUENCE_MAX)
		return 0;
	return value;
}

int drpc_epoch_next(const char *path, uint64_t *ret)
{
	uint64_t epoch = drpc_realtime_ns() / DRPC_NSEC_PER_USEC, last = 0;
	_cleanup_free_ char *text = NULL;
	char next[TEXT_MAX];
	ssize_t n;
	int err;

	if (!path) {
		*ret = epoch;
		return 0;
	}
	n = drpc_read_file_at(AT_FDCWD, path, TEXT_MAX, &text);
	if (n >= 0)
		last = parse(text);
	if (n < 0 ? n != -ENOENT : last == 0)
		drpc_warn("link: %s holds no epoch, it is replaced: the clock has to do", path);
	epoch = DRPC_MAX(epoch, last + 1);
	snprintf(next, sizeof(next), "%llu\n", (unsigned long long)epoch);
	err = drpc_file_replace(path, next, strlen(next), 0600);
	if (err)
		return drpc_err(err, "link: cannot write %s", path);
	*ret = epoch;
	return 0;
}
