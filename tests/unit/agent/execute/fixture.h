/* SPDX-License-Identifier: Apache-2.0 */
/* A folder on tmpfs that is laid out like a cgroup2 mount, and what tests do with it. */
#pragma once

#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/container.h"
#include "agent/limits.h"
#include "lib/util.h"

struct fixture {
	char dir[64];	  /* everything below it goes at the end */
	char journal[96]; /* a path, nothing is there yet */
	int fd;		  /* of dir/cgroup, the "mount" */
};

static inline void fixture_open(struct fixture *f)
{
	char path[96];

	drpc_strcpy(f->dir, sizeof(f->dir),
		    access("/dev/shm", W_OK) == 0 ? "/dev/shm/drpc-test.XXXXXX"
						  : "/tmp/drpc-test.XXXXXX");
	cr_assert_not_null(mkdtemp(f->dir));
	snprintf(path, sizeof(path), "%s/cgroup", f->dir);
	cr_assert_eq(mkdir(path, 0755), 0);
	f->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_geq(f->fd, 0);
	snprintf(f->journal, sizeof(f->journal), "%s/state/journal", f->dir);
}

static inline int fixture_remove_one(const char *path, const struct stat *st, int type,
				     struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* Removes everything below a path of the fixture ("" for all of it). */
static inline void fixture_remove(const struct fixture *f, const char *path)
{
	char whole[192];

	snprintf(whole, sizeof(whole), "%s%s", f->dir, path);
	cr_assert_eq(nftw(whole, fixture_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static inline void fixture_close(struct fixture *f)
{
	close(f->fd);
	fixture_remove(f, "");
}

static inline void fixture_put(const struct fixture *f, const char *cgroup, const char *file,
			       const char *text)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", cgroup + 1, file);
	fd = openat(f->fd, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	cr_assert_geq(fd, 0, "%s", path);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/* The first line of a file, as the kernel's readers see it. */
static inline const char *fixture_get(const struct fixture *f, const char *cgroup, const char *file)
{
	static char text[128];
	char path[256];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", cgroup + 1, file);
	fd = openat(f->fd, path, O_RDONLY);
	if (fd < 0)
		return "(missing)";
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n < 0 ? 0 : n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return text;
}

/* A cgroup without limits, 10 MiB in use. `cgroup` is "/name". */
static inline void fixture_cgroup(const struct fixture *f, const char *cgroup)
{
	cr_assert_eq(mkdirat(f->fd, cgroup + 1, 0755), 0);
	fixture_put(f, cgroup, "cpu.max", "max 100000\n");
	fixture_put(f, cgroup, "cpu.max.burst", "0\n");
	fixture_put(f, cgroup, "memory.high", "max\n");
	fixture_put(f, cgroup, "memory.max", "max\n");
	fixture_put(f, cgroup, "memory.current", "10485760\n");
}

static inline void fixture_container(const struct fixture *f, const char *cgroup,
				     struct drpc_container *c)
{
	struct stat st;

	memset(c, 0, sizeof(*c));
	cr_assert_eq(fstatat(f->fd, cgroup + 1, &st, 0), 0);
	c->cgroup_id = st.st_ino;
	drpc_strcpy(c->id, sizeof(c->id), cgroup + 1);
	drpc_strcpy(c->name, sizeof(c->name), cgroup + 1);
	drpc_strcpy(c->cgroup, sizeof(c->cgroup), cgroup);
}

static inline struct drpc_limits limits_of(uint64_t quota, uint64_t burst, uint64_t high,
					   uint64_t max)
{
	return (struct drpc_limits){.cpu_quota_usec = quota,
				    .cpu_period_usec = 100000,
				    .cpu_burst_usec = burst,
				    .mem_high_bytes = high,
				    .mem_max_bytes = max};
}
