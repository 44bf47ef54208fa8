// SPDX-License-Identifier: Apache-2.0
#include "agent/execute/subtree_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "agent/container.h"
#include "lib/log.h"
#include "lib/util.h"

/* The mount's root, every folder on the way, the subtree's root. */
#define DEPTH_MAX 64
/* "1: FLOCK  ADVISORY  WRITE 1234 00:1a:17 0 EOF": the fifth word is the process. */
#define PID_WORD  5

struct drpc_subtree_lock {
	int fds[DEPTH_MAX];
	int count;
};

/* Who holds a flock on this inode, by /proc/locks; 0 where that does not tell. */
static long holder_of(int fd)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/locks", "re");
	char line[256], want[64];
	struct stat st;
	long pid;

	if (!f || fstat(fd, &st) < 0)
		return 0;
	snprintf(want, sizeof(want), " %02x:%02x:%" PRIu64 " ", major(st.st_dev), minor(st.st_dev),
		 (uint64_t)st.st_ino);
	while (fgets(line, sizeof(line), f)) {
		/* Waiters are marked "->". */
		char *word = line, *rest = line;

		if (!strstr(line, "FLOCK") || !strstr(line, want) || strstr(line, "->"))
			continue;
		for (int i = 0; i < PID_WORD && word;) {
			word = strsep(&rest, " ");
			i += word && *word;
		}
		pid = word ? strtol(word, NULL, 10) : 0;
		if (pid > 0)
			return pid;
	}
	return 0;
}

static int refuse(int fd, const char *path, const char *taken)
{
	long pid = holder_of(fd);
	char who[64] = "another agent";

	if (pid > 0)
		snprintf(who, sizeof(who), "process %ld", pid);
	return drpc_err(
		-EBUSY,
		"agent: %s already acts on or inside cgroup %s, so this one cannot act on %s; stop it or choose another --cgroup-root",
		who, taken, path);
}

/* Opens `name` in the last folder and locks it: shared on the way, exclusive at the end. */
static int lock_step(struct drpc_subtree_lock *lock, int dir_fd, const char *name, bool last,
		     const char *path, const char *so_far)
{
	int fd;

	if (lock->count == DEPTH_MAX)
		return drpc_err(-ENAMETOOLONG, "agent: cgroup %s is too deep", path);
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return drpc_err(-errno, "agent: cannot open cgroup %s", path);
	lock->fds[lock->count++] = fd;
	if (flock(fd, (last ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return refuse(fd, path, so_far);
	return drpc_err(-errno, "agent: cannot lock cgroup %s", path);
}

static int lock_path(struct drpc_subtree_lock *lock, int root_fd, char *path)
{
	char so_far[DRPC_PATH_MAX] = "/", *name, *rest = path;
	char whole[DRPC_PATH_MAX];
	size_t len = 0;
	int r;

	drpc_strcpy(whole, sizeof(whole), *path ? path : "/");
	rest += strspn(rest, "/");
	r = lock_step(lock, root_fd, ".", *rest == '\0', whole, so_far);
	while (r == 0 && *rest != '\0') {
		name = rest;
		rest += strcspn(rest, "/");
		if (*rest != '\0') {
			*rest++ = '\0';
			rest += strspn(rest, "/");
		}
		if (strcmp(name, "..") == 0)
			return drpc_err(-EINVAL, "agent: cgroup %s must not hold \"..\"", whole);
		len += (size_t)snprintf(so_far + len, sizeof(so_far) - len, "/%s", name);
		r = lock_step(lock, lock->fds[lock->count - 1], name, *rest == '\0', whole, so_far);
	}
	return r;
}

int drpc_subtree_lock_new(int root_fd, const char *path, struct drpc_subtree_lock **ret)
{
	struct drpc_subtree_lock *lock;
	char copy[DRPC_PATH_MAX];
	int r;

	if (!drpc_strcpy(copy, sizeof(copy), path))
		return drpc_err(-ENAMETOOLONG, "agent: cgroup %s", path);
	lock = calloc(1, sizeof(*lock));
	if (!lock)
		return -ENOMEM;
	r = lock_path(lock, root_fd, copy);
	if (r < 0) {
		drpc_subtree_lock_free(&lock);
		return r;
	}
	*ret = lock;
	return 0;
}

void drpc_subtree_lock_free(struct drpc_subtree_lock **lock)
{
	if (!*lock)
		return;
	while ((*lock)->count > 0)
		close((*lock)->fds[--(*lock)->count]);
	free(*lock);
	*lock = NULL;
}
