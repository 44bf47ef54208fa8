// SPDX-License-Identifier: Apache-2.0
#include "lib/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/util.h"

static int write_all(int fd, const unsigned char *data, size_t bytes)
{
	while (bytes > 0) {
		ssize_t n = write(fd, data, bytes);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		data += n;
		bytes -= (size_t)n;
	}
	return 0;
}

/* A rename is on the disk only when its folder is. */
static int sync_folder(const char *path)
{
	_cleanup_free_ char *copy = strdup(path);
	_cleanup_close_ int fd = -1;

	if (!copy)
		return -ENOMEM;
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

int drpc_file_replace(const char *path, const void *data, size_t bytes, mode_t mode)
{
	_cleanup_close_ int fd = -1;
	char temporary[PATH_MAX];
	int err;

	if (snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path) >= (int)sizeof(temporary))
		return -ENAMETOOLONG;
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = write_all(fd, data, bytes);
	if (!err && (fchmod(fd, mode) < 0 || fsync(fd) < 0 || rename(temporary, path) < 0))
		err = -errno;
	if (err) {
		unlink(temporary);
		return err;
	}
	return sync_folder(path);
}
