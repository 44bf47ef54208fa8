// SPDX-License-Identifier: Apache-2.0
#include "agent/execute/cgroupfs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/execute/cgroupfs_parse.h"
#include "lib/util.h"

#define QUOTA_MIN_USEC	1000ULL
#define PERIOD_MIN_USEC 1000ULL
#define PERIOD_MAX_USEC 1000000ULL

/* Longest content: two 20-digit numbers and their separators. */
#define TEXT_MAX 64

static const char *const file_names[DRPC_CGROUPFS_FILES] = {"cpu.max", "cpu.max.burst",
							    "memory.high", "memory.max"};
static const uint32_t file_what[DRPC_CGROUPFS_FILES] = {DRPC_LIMIT_CPU, DRPC_LIMIT_CPU,
							DRPC_LIMIT_MEMORY, DRPC_LIMIT_MEMORY};

__attribute__((format(printf, 4, 5))) static int fail(int err, char *why, size_t why_size,
						      const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, why_size, fmt, args);
	va_end(args);
	return err;
}

/* The errno of a call on one of the files, as this module's errors. */
static int file_error(int err)
{
	switch (err) {
	case ENODEV:
	case ENOENT:
		return -ENODEV;
	case EPERM:
	case EACCES:
		return -EACCES;
	default:
		return -err;
	}
}

static const char *error_text(int err)
{
	switch (err) {
	case -ENODEV:
		return "the cgroup is gone";
	case -EOPNOTSUPP:
		return "the cgroup has no such controller";
	case -EROFS:
		return "the cgroup file system is mounted read-only";
	default:
		return strerror(-err);
	}
}

/* --- open and close --------------------------------------------------------------------------- */

static int open_dir(int root_fd, const char *path, uint64_t cgroup_id, char *why, size_t why_size)
{
	struct stat st;
	int fd;

	while (*path == '/')
		path++;
	fd = openat(root_fd, *path ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) {
		int err = errno == ENOTDIR ? -ENODEV : file_error(errno);

		return fail(err, why, why_size, "/%s: %s", path, error_text(err));
	}
	if (fstat(fd, &st) < 0 || (cgroup_id && st.st_ino != cgroup_id)) {
		close(fd);
		return fail(-ENODEV, why, why_size,
			    "/%s: the cgroup is gone, another has its name now", path);
	}
	return fd;
}

/* Opens one file for writing, else for reading. *write_err tells why not for writing. */
static int open_file(int dir_fd, enum drpc_cgroupfs_file file, int *write_err)
{
	/* From Linux 6.16 on O_NONBLOCK spares the writer the reclaim of the container's memory;
	 * earlier kernels ignore it. */
	int flags = O_CLOEXEC | O_NONBLOCK;
	int fd = openat(dir_fd, file_names[file], O_RDWR | flags);

	if (fd >= 0)
		return fd;
	*write_err = errno == ENOENT ? -EOPNOTSUPP : file_error(errno);
	if (errno == ENOENT)
		return -1;
	return openat(dir_fd, file_names[file], O_RDONLY | flags);
}

int drpc_cgroupfs_open(int root_fd, const char *path, uint64_t cgroup_id, struct drpc_cgroupfs *ret,
		       char *why, size_t why_size)
{
	struct drpc_cgroupfs cg = DRPC_CGROUPFS_CLOSED;

	cg.dir_fd = open_dir(root_fd, path, cgroup_id, why, why_size);
	if (cg.dir_fd < 0)
		return cg.dir_fd;
	cg.readable = cg.writable = DRPC_LIMIT_CPU | DRPC_LIMIT_MEMORY;
	for (int f = 0; f < DRPC_CGROUPFS_FILES; f++) {
		int err = 0;

		cg.fd[f] = open_file(cg.dir_fd, f, &err);
		if (f == DRPC_CGROUPFS_CPU_BURST && err == -EOPNOTSUPP)
			continue;
		if (cg.fd[f] < 0)
			cg.readable &= ~file_what[f];
		if (err) {
			cg.writable &= ~file_what[f];
			cg.write_err = err;
		}
	}
	cg.current_fd = openat(cg.dir_fd, "memory.current", O_RDONLY | O_CLOEXEC);
	*ret = cg;
	return 0;
}

void drpc_cgroupfs_close(struct drpc_cgroupfs *cg)
{
	for (int f = 0; f < DRPC_CGROUPFS_FILES; f++)
		drpc_closep(&cg->fd[f]);
	drpc_closep(&cg->current_fd);
	drpc_closep(&cg->dir_fd);
	*cg = DRPC_CGROUPFS_CLOSED;
}

/* --- read ------------------------------------------------------------------------------------- */

static int read_text(int fd, const char *name, char text[TEXT_MAX + 1], char *why, size_t why_size)
{
	ssize_t n;

	do {
		n = pread(fd, text, TEXT_MAX, 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		int err = file_error(errno);

		return fail(err, why, why_size, "%s: %s", name, error_text(err));
	}
	text[n] = '\0';
	return 0;
}

static int read_file(const struct drpc_cgroupfs *cg, enum drpc_cgroupfs_file file,
		     struct drpc_limits *limits, char *why, size_t why_size)
{
	char text[TEXT_MAX + 1], shown[TEXT_MAX + 1];
	int r;

	if (cg->fd[file] < 0) {
		if (file == DRPC_CGROUPFS_CPU_BURST) {
			limits->cpu_burst_usec = 0;
			return 0;
		}
		return fail(-EOPNOTSUPP, why, why_size, "%s: %s", file_names[file],
			    error_text(-EOPNOTSUPP));
	}
	r = read_text(cg->fd[file], file_names[file], text, why, why_size);
	if (r < 0)
		return r;
	switch (file) {
	case DRPC_CGROUPFS_CPU_MAX:
		r = drpc_cgroupfs_parse_cpu_max(text, &limits->cpu_quota_usec,
						&limits->cpu_period_usec);
		break;
	case DRPC_CGROUPFS_CPU_BURST:
		r = drpc_cgroupfs_parse_value(text, &limits->cpu_burst_usec);
		break;
	case DRPC_CGROUPFS_MEM_HIGH:
		r = drpc_cgroupfs_parse_value(text, &limits->mem_high_bytes);
		break;
	default:
		r = drpc_cgroupfs_parse_value(text, &limits->mem_max_bytes);
		break;
	}
	if (r < 0) {
		drpc_sanitize(shown, sizeof(shown), text);
		return fail(-EBADMSG, why, why_size, "%s: holds \"%s\", which no kernel writes",
			    file_names[file], shown);
	}
	return 0;
}

int drpc_cgroupfs_read(const struct drpc_cgroupfs *cg, uint32_t what, struct drpc_limits *ret,
		       char *why, size_t why_size)
{
	struct drpc_limits limits = *ret;

	for (int f = 0; f < DRPC_CGROUPFS_FILES; f++) {
		int r = what & file_what[f] ? read_file(cg, f, &limits, why, why_size) : 0;

		if (r < 0)
			return r;
	}
	*ret = limits;
	return 0;
}

/* --- write ------------------------------------------------------------------------------------ */

static void format_value(char text[TEXT_MAX], uint64_t value)
{
	if (value == DRPC_UNLIMITED)
		drpc_strcpy(text, TEXT_MAX, "max\n");
	else
		snprintf(text, TEXT_MAX, "%" PRIu64 "\n", value);
}

/* What to write to `file` for `limits`; the newline ends a longer text of before. */
static void format_file(char text[TEXT_MAX], enum drpc_cgroupfs_file file,
			const struct drpc_limits *limits)
{
	switch (file) {
	case DRPC_CGROUPFS_CPU_MAX:
		if (limits->cpu_quota_usec == DRPC_UNLIMITED)
			snprintf(text, TEXT_MAX, "max %" PRIu64 "\n", limits->cpu_period_usec);
		else
			snprintf(text, TEXT_MAX, "%" PRIu64 " %" PRIu64 "\n",
				 limits->cpu_quota_usec, limits->cpu_period_usec);
		break;
	case DRPC_CGROUPFS_CPU_BURST:
		format_value(text, limits->cpu_burst_usec);
		break;
	case DRPC_CGROUPFS_MEM_HIGH:
		format_value(text, limits->mem_high_bytes);
		break;
	default:
		format_value(text, limits->mem_max_bytes);
		break;
	}
}

static int write_file(const struct drpc_cgroupfs *cg, enum drpc_cgroupfs_file file,
		      const struct drpc_limits *limits, struct drpc_cgroupfs_stats *stats,
		      char *why, size_t why_size)
{
	char text[TEXT_MAX];
	uint64_t begin_ns;
	size_t len;
	ssize_t n;
	int err;

	format_file(text, file, limits);
	len = strlen(text);
	begin_ns = stats ? drpc_now_ns() : 0;
	do {
		n = pwrite(cg->fd[file], text, len, 0);
	} while (n < 0 && errno == EINTR);
	err = n < 0 ? file_error(errno) : (size_t)n == len ? 0 : -EIO;
	if (stats) {
		stats->writes++;
		stats->write_ns += drpc_now_ns() - begin_ns;
	}
	if (err) {
		text[len - 1] = '\0';
		return fail(err, why, why_size, "%s: cannot write \"%s\": %s", file_names[file],
			    text, error_text(err));
	}
	return 0;
}

static uint64_t round_pages(uint64_t bytes)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	/* The kernel's page counter ends at LONG_MAX bytes and shows "max" there. */
	return bytes / page >= (uint64_t)LONG_MAX / page ? DRPC_UNLIMITED : bytes / page * page;
}

void drpc_cgroupfs_round(const struct drpc_cgroupfs *cg, struct drpc_limits *limits)
{
	limits->mem_high_bytes = round_pages(limits->mem_high_bytes);
	limits->mem_max_bytes = round_pages(limits->mem_max_bytes);
	if (cg->fd[DRPC_CGROUPFS_CPU_BURST] < 0)
		limits->cpu_burst_usec = 0;
}

static int check_target(const struct drpc_limits *t, uint32_t what, char *why, size_t why_size)
{
	if (what & DRPC_LIMIT_CPU) {
		if (t->cpu_period_usec < PERIOD_MIN_USEC || t->cpu_period_usec > PERIOD_MAX_USEC)
			return fail(-EINVAL, why, why_size,
				    "cpu.max: period of %" PRIu64 " us, not within 1000..1000000",
				    t->cpu_period_usec);
		if (t->cpu_quota_usec < QUOTA_MIN_USEC)
			return fail(-EINVAL, why, why_size,
				    "cpu.max: quota of %" PRIu64 " us, at least 1000 are needed",
				    t->cpu_quota_usec);
		if (t->cpu_burst_usec > t->cpu_quota_usec)
			return fail(-EINVAL, why, why_size,
				    "cpu.max.burst: %" PRIu64 " us exceed the quota of %" PRIu64,
				    t->cpu_burst_usec, t->cpu_quota_usec);
	}
	if (what & DRPC_LIMIT_MEMORY && (t->mem_max_bytes == 0 || t->mem_high_bytes == 0))
		return fail(-EINVAL, why, why_size, "memory: a limit of 0 bytes kills");
	return 0;
}

/* Refuses a smaller memory.max that the memory in use leaves no room for. */
static int check_memory_room(const struct drpc_cgroupfs *cg,
			     const struct drpc_cgroupfs_change *change,
			     const struct drpc_limits *target, char *why, size_t why_size)
{
	char text[TEXT_MAX + 1];
	uint64_t current;
	int r;

	if (cg->current_fd < 0)
		return fail(-EOPNOTSUPP, why, why_size,
			    "memory.max: not lowered, memory.current is missing");
	r = read_text(cg->current_fd, "memory.current", text, why, why_size);
	if (r < 0)
		return r;
	if (drpc_cgroupfs_parse_value(text, &current) < 0)
		return fail(-EBADMSG, why, why_size, "memory.current: holds no number");
	if (current > target->mem_max_bytes ||
	    target->mem_max_bytes - current < change->memory_margin_bytes)
		return fail(
			-EBUSY, why, why_size,
			"memory.max: %llu MiB in use and %llu MiB margin do not fit into %llu MiB",
			current / DRPC_MIB, change->memory_margin_bytes / DRPC_MIB,
			target->mem_max_bytes / DRPC_MIB);
	return 0;
}

/*
 * The files to write, in order. The burst never exceeds the quota on the way, and memory.high leads
 * memory.max down and follows it up.
 */
static int plan_steps(const struct drpc_limits *now, const struct drpc_limits *target,
		      uint32_t what, enum drpc_cgroupfs_file steps[DRPC_CGROUPFS_FILES])
{
	int n = 0;

	if (what & DRPC_LIMIT_CPU) {
		if (target->cpu_burst_usec < now->cpu_burst_usec)
			steps[n++] = DRPC_CGROUPFS_CPU_BURST;
		if (target->cpu_quota_usec != now->cpu_quota_usec ||
		    target->cpu_period_usec != now->cpu_period_usec)
			steps[n++] = DRPC_CGROUPFS_CPU_MAX;
		if (target->cpu_burst_usec > now->cpu_burst_usec)
			steps[n++] = DRPC_CGROUPFS_CPU_BURST;
	}
	if (what & DRPC_LIMIT_MEMORY) {
		if (target->mem_high_bytes < now->mem_high_bytes)
			steps[n++] = DRPC_CGROUPFS_MEM_HIGH;
		if (target->mem_max_bytes != now->mem_max_bytes)
			steps[n++] = DRPC_CGROUPFS_MEM_MAX;
		if (target->mem_high_bytes > now->mem_high_bytes)
			steps[n++] = DRPC_CGROUPFS_MEM_HIGH;
	}
	return n;
}

/* Backwards through states that have all been in force a moment ago. */
static void put_back(const struct drpc_cgroupfs *cg, const struct drpc_limits *before,
		     const enum drpc_cgroupfs_file *steps, int n, int err, char *why,
		     size_t why_size)
{
	bool failed = false;
	size_t len;

	/* Nothing to tell of a cgroup that went, and nothing to put back. */
	if (n == 0 || err == -ENODEV)
		return;
	while (n-- > 0) {
		char ignored[160];

		failed |= write_file(cg, steps[n], before, NULL, ignored, sizeof(ignored)) < 0;
	}
	len = strlen(why);
	snprintf(why + len, why_size - len,
		 failed ? "; NOT all could be put back" : "; what was changed is put back");
}

static int verify(const struct drpc_cgroupfs *cg, uint32_t what, const struct drpc_limits *target,
		  char *why, size_t why_size)
{
	struct drpc_limits after = *target;
	char want[TEXT_MAX], got[TEXT_MAX];
	int r = drpc_cgroupfs_read(cg, what, &after, why, why_size);

	if (r < 0)
		return r;
	for (int f = 0; f < DRPC_CGROUPFS_FILES; f++) {
		format_file(want, f, target);
		format_file(got, f, &after);
		if (what & file_what[f] && strcmp(want, got) != 0) {
			want[strcspn(want, "\n")] = '\0';
			got[strcspn(got, "\n")] = '\0';
			return fail(-EIO, why, why_size, "%s: wrote \"%s\", read back \"%s\"",
				    file_names[f], want, got);
		}
	}
	return 0;
}

int drpc_cgroupfs_apply(const struct drpc_cgroupfs *cg, const struct drpc_cgroupfs_change *change,
			struct drpc_limits *before, char *why, size_t why_size)
{
	enum drpc_cgroupfs_file steps[DRPC_CGROUPFS_FILES];
	struct drpc_limits now = before ? *before : change->target, target = change->target;
	bool shrinks;
	int n, i, r;

	why[0] = '\0';
	drpc_cgroupfs_round(cg, &target);
	r = drpc_cgroupfs_read(cg, change->what, &now, why, why_size);
	if (r < 0)
		return r;
	if (before)
		*before = now;
	r = check_target(&target, change->what, why, why_size);
	if (r < 0)
		return r;
	n = plan_steps(&now, &target, change->what, steps);
	if (n == 0)
		return 0;
	if ((cg->writable & change->what) != change->what)
		return fail(cg->write_err, why, why_size, "limits cannot be written: %s",
			    error_text(cg->write_err));
	shrinks = change->what & DRPC_LIMIT_MEMORY && target.mem_max_bytes < now.mem_max_bytes &&
		  !change->force;
	if (shrinks)
		r = check_memory_room(cg, change, &target, why, why_size);
	if (r < 0)
		return r;
	for (i = 0; i < n && r == 0; i++) {
		/* Once more right before it counts: the container allocates meanwhile. */
		if (steps[i] == DRPC_CGROUPFS_MEM_MAX && shrinks)
			r = check_memory_room(cg, change, &target, why, why_size);
		if (r == 0)
			r = write_file(cg, steps[i], &target, change->stats, why, why_size);
	}
	if (r == 0)
		r = verify(cg, change->what, &target, why, why_size);
	else
		i--; /* the step that failed changed nothing */
	if (r < 0) {
		put_back(cg, &now, steps, i, r, why, why_size);
		return r;
	}
	return n;
}
