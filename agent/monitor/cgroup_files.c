// SPDX-License-Identifier: Apache-2.0
#include "agent/monitor/cgroup_files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "agent/monitor/cgroup_parse.h"
#include "lib/log.h"
#include "lib/util.h"

/* The longest of these files, memory.stat, has some 3 KiB; what lies beyond is not looked at. */
#define FILE_BYTES	16384
#define MOUNTINFO_BYTES (4 * DRPC_MIB)

enum source {
	V2_CPU_STAT,
	V2_CPU_PRESSURE,
	V2_MEM_PRESSURE,
	V2_IO_PRESSURE,
	V2_MEM_CURRENT,
	V2_MEM_STAT,
	V2_MEM_EVENTS,
	V1_CPU_STAT,
	V1_MEM_USAGE,
	V1_MEM_STAT,
	V1_MEM_OOM,
	SOURCE_COUNT,
};

enum folder { FOLDER_V2, FOLDER_V1_CPU, FOLDER_V1_MEM, FOLDER_COUNT };

static const struct {
	enum folder folder;
	const char *name;
} sources[SOURCE_COUNT] = {
	[V2_CPU_STAT] = {FOLDER_V2, "cpu.stat"},
	[V2_CPU_PRESSURE] = {FOLDER_V2, "cpu.pressure"},
	[V2_MEM_PRESSURE] = {FOLDER_V2, "memory.pressure"},
	[V2_IO_PRESSURE] = {FOLDER_V2, "io.pressure"},
	[V2_MEM_CURRENT] = {FOLDER_V2, "memory.current"},
	[V2_MEM_STAT] = {FOLDER_V2, "memory.stat"},
	[V2_MEM_EVENTS] = {FOLDER_V2, "memory.events"},
	[V1_CPU_STAT] = {FOLDER_V1_CPU, "cpu.stat"},
	[V1_MEM_USAGE] = {FOLDER_V1_MEM, "memory.usage_in_bytes"},
	[V1_MEM_STAT] = {FOLDER_V1_MEM, "memory.stat"},
	[V1_MEM_OOM] = {FOLDER_V1_MEM, "memory.oom_control"},
};

struct drpc_cgroup_files {
	int folder[FOLDER_COUNT];
	int fd[SOURCE_COUNT];
};

/* --- mounts ------------------------------------------------------------------------------------*/

/* Undoes mountinfo's octal escapes (\040) in place. */
static void unescape(char *s)
{
	char *out = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
		    s[3] >= '0' && s[3] <= '7') {
			*out++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*out++ = *s;
		}
	}
	*out = '\0';
}

static bool has_option(const char *options, const char *wanted)
{
	size_t len = strlen(wanted);

	for (const char *p = options; p; p = strchr(p, ',')) {
		p += *p == ',';
		if (strncmp(p, wanted, len) == 0 && (p[len] == ',' || p[len] == '\0'))
			return true;
	}
	return false;
}

/* One line of mountinfo: "36 35 98:0 /root /mount opts [optional…] - type source superopts". */
static void take_mount(char *line, struct drpc_cgroup_roots *roots)
{
	char *save = NULL, *mount = NULL, *type, *options;
	char *dash = strstr(line, " - ");

	if (!dash)
		return;
	*dash = '\0';
	type = strtok_r(dash + 3, " ", &save);
	options = strtok_r(NULL, " ", &save) ? strtok_r(NULL, " ", &save) : NULL;
	if (!type || !options || strncmp(type, "cgroup", 6) != 0)
		return;
	save = NULL;
	for (int field = 0; field < 5; field++)
		mount = strtok_r(field ? NULL : line, " ", &save);
	if (!mount)
		return;
	unescape(mount);
	if (strcmp(type, "cgroup2") == 0 && roots->v2 < 0) {
		roots->v2 = open(mount, O_PATH | O_DIRECTORY | O_CLOEXEC);
	} else if (strcmp(type, "cgroup") == 0) {
		if (roots->v1_cpu < 0 && has_option(options, "cpu"))
			roots->v1_cpu = open(mount, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (roots->v1_memory < 0 && has_option(options, "memory"))
			roots->v1_memory = open(mount, O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
}

int drpc_cgroup_roots_open(struct drpc_cgroup_roots *ret)
{
	struct drpc_cgroup_roots roots = DRPC_CGROUP_ROOTS_NONE;
	_cleanup_free_ char *text = NULL;
	char *save = NULL;
	ssize_t n;

	n = drpc_read_file_at(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_BYTES, &text);
	if (n < 0)
		return drpc_err((int)n, "cgroups: cannot read /proc/self/mountinfo");
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		take_mount(line, &roots);
	if (roots.v2 < 0) {
		drpc_cgroup_roots_close(&roots);
		return drpc_err(-ENOENT, "cgroups: no cgroup2 file system is mounted");
	}
	*ret = roots;
	return 0;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void drpc_cgroup_roots_close(struct drpc_cgroup_roots *roots)
{
	close_fd(&roots->v2);
	close_fd(&roots->v1_cpu);
	close_fd(&roots->v1_memory);
}

int drpc_cgroup_v1_paths(pid_t pid, char *ret_cpu, char *ret_memory, size_t size)
{
	_cleanup_free_ char *text = NULL;
	char proc[64];
	ssize_t n;

	snprintf(proc, sizeof(proc), "/proc/%d/cgroup", pid);
	n = drpc_read_file_at(AT_FDCWD, proc, FILE_BYTES, &text);
	if (n < 0)
		return n == -ENOENT ? -ESRCH : (int)n;
	if (!drpc_cgroup_parse_proc(text, (size_t)n, "cpu", ret_cpu, size))
		ret_cpu[0] = '\0';
	if (!drpc_cgroup_parse_proc(text, (size_t)n, "memory", ret_memory, size))
		ret_memory[0] = '\0';
	return 0;
}

/* --- opening -----------------------------------------------------------------------------------*/

static bool path_climbs(const char *path)
{
	for (const char *p = path; p; p = strchr(p, '/')) {
		p += *p == '/';
		if (p[0] == '.' && p[1] == '.' && (p[2] == '/' || p[2] == '\0'))
			return true;
	}
	return false;
}

/* Opens a folder below a root. `path` "" or "/" is the root itself. */
static int open_folder(int root, const char *path)
{
	int fd;

	if (path_climbs(path))
		return -EINVAL;
	path += strspn(path, "/");
	fd = openat(root, *path ? path : ".", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* A container's v1 folder, -1 where it has none: it then simply has no such counters. */
static int open_v1_folder(int root, const char *path, const char *v2_path)
{
	int fd;

	path = path ? path : v2_path;
	if (root < 0 || path[strspn(path, "/")] == '\0')
		return -1;
	fd = open_folder(root, path);
	return fd < 0 ? -1 : fd;
}

int drpc_cgroup_files_open(const struct drpc_cgroup_roots *roots,
			   const struct drpc_cgroup_paths *paths, struct drpc_cgroup_files **ret)
{
	struct drpc_cgroup_files *files = malloc(sizeof(*files));
	int v2;

	if (!files)
		return -ENOMEM;
	v2 = open_folder(roots->v2, paths->v2);
	if (v2 < 0) {
		free(files);
		drpc_debug("cgroup %s: cannot open: %s", paths->v2, strerror(-v2));
		return v2;
	}
	files->folder[FOLDER_V2] = v2;
	files->folder[FOLDER_V1_CPU] = open_v1_folder(roots->v1_cpu, paths->v1_cpu, paths->v2);
	files->folder[FOLDER_V1_MEM] =
		open_v1_folder(roots->v1_memory, paths->v1_memory, paths->v2);
	for (int i = 0; i < SOURCE_COUNT; i++) {
		int folder = files->folder[sources[i].folder];

		files->fd[i] = -1;
		if (folder >= 0)
			files->fd[i] =
				openat(folder, sources[i].name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	}
	*ret = files;
	return 0;
}

void drpc_cgroup_files_close(struct drpc_cgroup_files **files)
{
	if (!*files)
		return;
	for (int i = 0; i < SOURCE_COUNT; i++)
		close_fd(&(*files)->fd[i]);
	for (int i = 0; i < FOLDER_COUNT; i++)
		close_fd(&(*files)->folder[i]);
	free(*files);
	*files = NULL;
}

/* --- reading -----------------------------------------------------------------------------------*/

static ssize_t read_fd(int fd, char buf[FILE_BYTES])
{
	ssize_t n;

	if (fd < 0)
		return -ENOENT;
	do {
		n = pread(fd, buf, FILE_BYTES, 0);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static ssize_t read_source(const struct drpc_cgroup_files *files, enum source source,
			   char buf[FILE_BYTES])
{
	return read_fd(files->fd[source], buf);
}

static void read_pressure(const struct drpc_cgroup_files *files, enum source source, uint64_t *some,
			  uint64_t *full, uint32_t bit, struct drpc_cgroup_counters *counters)
{
	char buf[FILE_BYTES];
	ssize_t n = read_source(files, source, buf);

	if (n > 0 && drpc_cgroup_parse_pressure(buf, (size_t)n, some, full))
		counters->valid |= bit;
}

/* The three files that a memory controller of either version has under other names. */
struct memory_names {
	enum source usage, stat, oom;
	const char *inactive_file;
};

static const struct memory_names memory_v2 = {V2_MEM_CURRENT, V2_MEM_STAT, V2_MEM_EVENTS,
					      "inactive_file"};
static const struct memory_names memory_v1 = {V1_MEM_USAGE, V1_MEM_STAT, V1_MEM_OOM,
					      "total_inactive_file"};

static void read_memory(const struct drpc_cgroup_files *files,
			struct drpc_cgroup_counters *counters)
{
	const struct memory_names *names = files->fd[V2_MEM_CURRENT] >= 0 ? &memory_v2 : &memory_v1;
	uint64_t current, inactive = 0;
	char buf[FILE_BYTES];
	ssize_t n = read_source(files, names->usage, buf);

	if (n > 0 && drpc_cgroup_parse_number(buf, (size_t)n, &current)) {
		n = read_source(files, names->stat, buf);
		if (n > 0)
			drpc_cgroup_parse_key(buf, (size_t)n, names->inactive_file, &inactive);
		counters->mem_current_bytes = current;
		counters->mem_working_set_bytes = current - DRPC_MIN(current, inactive);
		counters->valid |= DRPC_CG_MEM;
	}
	n = read_source(files, names->oom, buf);
	if (n > 0 && drpc_cgroup_parse_key(buf, (size_t)n, "oom_kill", &counters->oom_kills))
		counters->valid |= DRPC_CG_OOM;
}

int drpc_cgroup_files_read(const struct drpc_cgroup_files *files, struct drpc_cgroup_counters *ret)
{
	struct drpc_cgroup_counters c = {0};
	char buf[FILE_BYTES];
	ssize_t n = read_source(files, V2_CPU_STAT, buf);

	if (n == -ENODEV)
		return -ENODEV;
	if (n > 0)
		drpc_cgroup_parse_cpu_stat(buf, (size_t)n, &c);
	if (!(c.valid & DRPC_CG_THROTTLE)) {
		n = read_source(files, V1_CPU_STAT, buf);
		if (n > 0)
			drpc_cgroup_parse_cpu_stat_v1(buf, (size_t)n, &c);
	}
	read_pressure(files, V2_CPU_PRESSURE, &c.cpu_some_usec, &c.cpu_full_usec, DRPC_CG_PSI_CPU,
		      &c);
	read_pressure(files, V2_MEM_PRESSURE, &c.mem_some_usec, &c.mem_full_usec, DRPC_CG_PSI_MEM,
		      &c);
	read_pressure(files, V2_IO_PRESSURE, &c.io_some_usec, &c.io_full_usec, DRPC_CG_PSI_IO, &c);
	read_memory(files, &c);
	*ret = c;
	return 0;
}

/* --- limits ------------------------------------------------------------------------------------*/

/* Limits are read now and then, so these files are opened for each reading. */
static ssize_t read_named(int folder, const char *name, char buf[FILE_BYTES])
{
	_cleanup_close_ int fd = -1;

	if (folder < 0)
		return -ENOENT;
	fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : read_fd(fd, buf);
}

static bool named_limit(int folder, const char *name, uint64_t *ret)
{
	char buf[FILE_BYTES];
	ssize_t n = read_named(folder, name, buf);

	return n > 0 && drpc_cgroup_parse_limit(buf, (size_t)n, ret);
}

static bool named_number(int folder, const char *name, uint64_t *ret)
{
	char buf[FILE_BYTES];
	ssize_t n = read_named(folder, name, buf);

	return n > 0 && drpc_cgroup_parse_number(buf, (size_t)n, ret);
}

static bool cpu_limits_v2(int folder, struct drpc_limits *limits)
{
	char buf[FILE_BYTES];
	ssize_t n = read_named(folder, "cpu.max", buf);

	if (n <= 0 || !drpc_cgroup_parse_cpu_max(buf, (size_t)n, limits))
		return false;
	named_number(folder, "cpu.max.burst", &limits->cpu_burst_usec);
	return true;
}

static bool cpu_limits_v1(int folder, struct drpc_limits *limits)
{
	uint64_t quota, period;
	char buf[FILE_BYTES];
	ssize_t n = read_named(folder, "cpu.cfs_quota_us", buf);

	if (n <= 0 || !drpc_cgroup_parse_quota_v1(buf, (size_t)n, &quota) ||
	    !named_number(folder, "cpu.cfs_period_us", &period) || period == 0)
		return false;
	limits->cpu_quota_usec = quota;
	limits->cpu_period_usec = period;
	named_number(folder, "cpu.cfs_burst_us", &limits->cpu_burst_usec);
	return true;
}

static bool memory_limits_v1(int folder, struct drpc_limits *limits)
{
	uint64_t max;

	if (!named_number(folder, "memory.limit_in_bytes", &max))
		return false;
	/* "None" is the largest whole number of pages, of 4 to 64 KiB, in a signed 64-bit value. */
	limits->mem_max_bytes = max >= (uint64_t)INT64_MAX - 0xffff ? DRPC_UNLIMITED : max;
	return true;
}

int drpc_cgroup_files_on_v1(const struct drpc_cgroup_files *files)
{
	int v2 = files->folder[FOLDER_V2], on_v1 = 0;

	if (files->folder[FOLDER_V1_CPU] >= 0 && faccessat(v2, "cpu.max", F_OK, 0) < 0)
		on_v1 |= DRPC_CGROUP_LIMITS_CPU;
	if (files->folder[FOLDER_V1_MEM] >= 0 && faccessat(v2, "memory.max", F_OK, 0) < 0)
		on_v1 |= DRPC_CGROUP_LIMITS_MEM;
	return on_v1;
}

int drpc_cgroup_files_limits(const struct drpc_cgroup_files *files, struct drpc_limits *ret)
{
	struct drpc_limits limits = {.cpu_quota_usec = DRPC_UNLIMITED,
				     .cpu_period_usec = 100000,
				     .mem_high_bytes = DRPC_UNLIMITED,
				     .mem_max_bytes = DRPC_UNLIMITED};
	int v2 = files->folder[FOLDER_V2], found = 0;
	char buf[FILE_BYTES];

	/* A removed folder opens nothing any more; the descriptor held open knows the reason. */
	if (read_source(files, V2_CPU_STAT, buf) == -ENODEV)
		return -ENODEV;
	if (cpu_limits_v2(v2, &limits) || cpu_limits_v1(files->folder[FOLDER_V1_CPU], &limits))
		found |= DRPC_CGROUP_LIMITS_CPU;
	if (named_limit(v2, "memory.max", &limits.mem_max_bytes)) {
		named_limit(v2, "memory.high", &limits.mem_high_bytes);
		found |= DRPC_CGROUP_LIMITS_MEM;
	} else if (memory_limits_v1(files->folder[FOLDER_V1_MEM], &limits)) {
		found |= DRPC_CGROUP_LIMITS_MEM;
	}
	*ret = limits;
	return found;
}
