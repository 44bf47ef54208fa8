// SPDX-License-Identifier: Apache-2.0
#include "agent/monitor/discover.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mntent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/log.h"
#include "lib/util.h"

#define ID_LEN	  64
#define DEPTH_MAX 12

/* --- names ------------------------------------------------------------------------------------ */

const char *drpc_discover_component_id(const char *component, size_t len, size_t *ret_len)
{
	static const char *const prefixes[] = {"",	"docker-",	   "libpod-",
					       "crio-", "cri-containerd-", "nerdctl-"};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(prefixes); i++) {
		size_t prefix = strlen(prefixes[i]);
		const char *id = component + prefix;
		size_t digits = 0;

		if (len < prefix + ID_LEN || strncmp(component, prefixes[i], prefix) != 0)
			continue;
		while (digits < ID_LEN && isxdigit((unsigned char)id[digits]))
			digits++;
		if (digits < ID_LEN)
			continue;
		if (len == prefix + ID_LEN ||
		    (len == prefix + ID_LEN + 6 && strncmp(id + ID_LEN, ".scope", 6) == 0)) {
			*ret_len = ID_LEN;
			return id;
		}
	}
	return NULL;
}

/* Folders that hold other cgroups and are nobody's service. */
static bool is_parent_name(const char *component, size_t len)
{
	static const char *const names[] = {"docker", "kubepods", "libpod_parent", "machine",
					    "garden"};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(names); i++) {
		if (strlen(names[i]) == len && strncmp(component, names[i], len) == 0)
			return true;
	}
	return len > 6 && strncmp(component + len - 6, ".slice", 6) == 0;
}

bool drpc_discover_match(const struct drpc_discover *discover, const char *path, size_t *ret_len,
			 char *id, size_t id_size, bool *ret_runtime)
{
	size_t root_len = strlen(discover->root);
	const char *first, *at;
	size_t first_len;

	if (strncmp(path, discover->root, root_len) != 0 || path[root_len] != '/')
		return false;
	first = path + root_len + 1;
	first_len = strcspn(first, "/");
	if (first_len == 0)
		return false;

	for (at = first; *at; at += *at == '/') {
		size_t len = strcspn(at, "/"), id_len;
		const char *found = drpc_discover_component_id(at, len, &id_len);

		if (found) {
			snprintf(id, id_size, "%.*s", (int)id_len, found);
			*ret_len = (size_t)(at + len - path);
			*ret_runtime = true;
			return true;
		}
		at += len;
	}

	if (!discover->children || is_parent_name(first, first_len))
		return false;
	snprintf(id, id_size, "%.*s", (int)DRPC_MIN(first_len, id_size - 1), first);
	*ret_len = (size_t)(first + first_len - path);
	*ret_runtime = false;
	return true;
}

/* --- the mount -------------------------------------------------------------------------------- */

static int find_mount(char *ret, size_t size)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *entry;
	bool found = false;

	if (!mounts)
		return -errno;
	while (!found && (entry = getmntent(mounts))) {
		if (strcmp(entry->mnt_type, "cgroup2") == 0)
			found = drpc_strcpy(ret, size, entry->mnt_dir);
	}
	endmntent(mounts);
	return found ? 0 : -ENOENT;
}

int drpc_discover_init(struct drpc_discover *discover, const char *cgroup_root)
{
	struct drpc_discover d = {0};
	_cleanup_free_ char *real = NULL;
	size_t mount_len;
	int r;

	r = find_mount(d.mount, sizeof(d.mount));
	if (r < 0)
		return drpc_err(
			r,
			"discover: no cgroup2 file system is mounted; mount one, for example: mount -t cgroup2 none /sys/fs/cgroup");
	if (!cgroup_root) {
		*discover = d;
		return 0;
	}

	real = realpath(cgroup_root, NULL);
	if (!real)
		return drpc_err(-errno, "discover: cgroup root '%s'", cgroup_root);
	mount_len = strlen(d.mount);
	if (strncmp(real, d.mount, mount_len) != 0 ||
	    (real[mount_len] != '/' && real[mount_len] != '\0'))
		return drpc_err(-EINVAL,
				"discover: cgroup root '%s' is not inside the cgroup2 mount '%s'",
				real, d.mount);
	if (!drpc_strcpy(d.root, sizeof(d.root), real + mount_len))
		return drpc_err(-ENAMETOOLONG, "discover: cgroup root '%s'", real);
	d.children = d.root[0] != '\0';
	*discover = d;
	return 0;
}

/* --- the walk --------------------------------------------------------------------------------- */

struct walk {
	const struct drpc_discover *discover;
	drpc_cgroup_found_fn fn;
	void *arg;
	char path[PATH_MAX]; /* relative to the mount */
	int found;
};

static void walk_folder(struct walk *walk, int parent_fd, const char *name, int depth)
{
	int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	size_t len = strlen(walk->path);
	struct dirent *entry;
	DIR *dir;

	/* Gone between listing and opening: nothing to report. */
	if (fd < 0)
		return;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return;
	}
	while ((entry = readdir(dir))) {
		char id[ID_LEN + 8];
		struct stat st;
		size_t own_len;
		bool runtime;
		int n;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		n = snprintf(walk->path + len, sizeof(walk->path) - len, "/%s", entry->d_name);
		if (n < 0 || (size_t)n >= sizeof(walk->path) - len) {
			walk->path[len] = '\0';
			continue;
		}
		if (drpc_discover_match(walk->discover, walk->path, &own_len, id, sizeof(id),
					&runtime)) {
			/* d_ino of a mount point would be the covered folder's: ask the file. */
			if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
				walk->found++;
				walk->fn(&(struct drpc_cgroup_found){.path = walk->path,
								     .id = id,
								     .cgroup_id = st.st_ino,
								     .runtime = runtime},
					 walk->arg);
			}
		} else if (depth < DEPTH_MAX) {
			walk_folder(walk, fd, entry->d_name, depth + 1);
		}
		walk->path[len] = '\0';
	}
	closedir(dir);
}

int drpc_discover_scan(const struct drpc_discover *discover, drpc_cgroup_found_fn fn, void *arg)
{
	_cleanup_free_ struct walk *walk = calloc(1, sizeof(*walk));
	_cleanup_free_ char *top = NULL;

	if (!walk)
		return -ENOMEM;
	*walk = (struct walk){.discover = discover, .fn = fn, .arg = arg};
	drpc_strcpy(walk->path, sizeof(walk->path), discover->root);
	if (asprintf(&top, "%s%s", discover->mount, discover->root) < 0)
		return -ENOMEM;
	if (access(top, R_OK | X_OK) < 0)
		return -errno;
	walk_folder(walk, AT_FDCWD, top, 0);
	return walk->found;
}
