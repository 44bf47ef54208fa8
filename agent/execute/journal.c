// SPDX-License-Identifier: Apache-2.0
#include "agent/execute/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "agent/execute/journal_internal.h"
#include "lib/log.h"
#include "lib/util.h"

#define FILE_MAX_BYTES (64U << 20)
#define HEADER_LEN     (sizeof(DRPC_JOURNAL_HEADER) - 1)
/* Closed and replaced lines that are worth a compaction. */
#define DEAD_LINES_MIN 256

static uint64_t key_of(const char *id, const char *cgroup)
{
	return drpc_hash_str(id) * 31 + drpc_hash_str(cgroup);
}

int drpc_boot_id(char ret[DRPC_BOOT_ID_MAX])
{
	_cleanup_free_ char *text = NULL;
	ssize_t n = drpc_read_file_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", DRPC_BOOT_ID_MAX,
				      &text);

	if (n < 0)
		return (int)n;
	text[strcspn(text, "\n")] = '\0';
	drpc_strcpy(ret, DRPC_BOOT_ID_MAX, text);
	return 0;
}

/* --- the open records in memory --------------------------------------------------------------- */

static size_t index_of(const struct drpc_journal *j, const char *id, const char *cgroup)
{
	uint64_t key = key_of(id, cgroup);

	for (size_t i = 0; i < j->count; i++) {
		if (j->keys[i] == key && strcmp(j->records[i].id, id) == 0 &&
		    strcmp(j->records[i].cgroup, cgroup) == 0)
			return i;
	}
	return SIZE_MAX;
}

/* Room for `n` more, so that what is on disk can always be noted in memory. */
static int reserve(struct drpc_journal *j, size_t n)
{
	size_t size = DRPC_MAX(j->count + n, j->size * 2);
	void *p;

	if (j->count + n <= j->size)
		return 0;
	p = reallocarray(j->records, size, sizeof(*j->records));
	if (!p)
		return -ENOMEM;
	j->records = p;
	p = reallocarray(j->keys, size, sizeof(*j->keys));
	if (!p)
		return -ENOMEM;
	j->keys = p;
	j->size = size;
	return 0;
}

/* Notes a record; replaces one of the same container. */
static void put(struct drpc_journal *j, const struct drpc_journal_record *record)
{
	size_t i = index_of(j, record->id, record->cgroup);

	if (i == SIZE_MAX)
		i = j->count++;
	else
		j->dead++;
	j->records[i] = *record;
	j->keys[i] = key_of(record->id, record->cgroup);
}

static void drop(struct drpc_journal *j, size_t i)
{
	j->count--;
	j->records[i] = j->records[j->count];
	j->keys[i] = j->keys[j->count];
	j->dead += 2; /* its line and the one that closed it */
}

/* --- files ------------------------------------------------------------------------------------ */

static int write_all(int fd, const char *data, size_t len, off_t offset)
{
	while (len > 0) {
		ssize_t n = pwrite(fd, data, len, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		data += n;
		len -= (size_t)n;
		offset += n;
	}
	return 0;
}

/* Makes the directory entry of a new or renamed file durable. */
static int sync_dir(const char *path)
{
	char dir[PATH_MAX];
	_cleanup_close_ int fd = -1;
	char *slash;

	drpc_strcpy(dir, sizeof(dir), path);
	slash = strrchr(dir, '/');
	if (slash)
		slash[slash == dir ? 1 : 0] = '\0';
	fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

static int take_lock(struct drpc_journal *j)
{
	char path[PATH_MAX + 8], text[24];
	ssize_t n;

	snprintf(path, sizeof(path), "%s.lock", j->path);
	j->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (j->lock_fd < 0)
		return drpc_err(-errno, "journal: cannot open %s", path);
	if (flock(j->lock_fd, LOCK_EX | LOCK_NB) == 0) {
		/* For the message below, in the process that comes second. */
		snprintf(text, sizeof(text), "%d\n", getpid());
		if (ftruncate(j->lock_fd, 0) == 0 && pwrite(j->lock_fd, text, strlen(text), 0) < 0)
			drpc_debug("journal: no pid in %s, ignoring", path);
		return 0;
	}
	if (errno != EWOULDBLOCK)
		return drpc_err(-errno, "journal: cannot lock %s", path);
	n = pread(j->lock_fd, text, sizeof(text) - 1, 0);
	text[DRPC_MAX(n, 0)] = '\0';
	return drpc_err(
		-EBUSY,
		"journal: %s is in use by process %ld; ask the running agent (`drpc restore`) or stop it first",
		j->path, strtol(text, NULL, 10));
}

static int make_parent(const char *path)
{
	char dir[PATH_MAX];
	char *slash;

	drpc_strcpy(dir, sizeof(dir), path);
	slash = strrchr(dir, '/');
	if (!slash || slash == dir)
		return 0;
	*slash = '\0';
	if (mkdir(dir, 0700) == 0 || errno == EEXIST)
		return 0;
	return drpc_err(-errno, "journal: cannot make the folder %s", dir);
}

/* --- opening ---------------------------------------------------------------------------------- */

static int check_header(const struct drpc_journal *j, const char *text, size_t len)
{
	/* The machine may have gone down while the file was new. */
	if (len < HEADER_LEN && (memcmp(text, DRPC_JOURNAL_HEADER, len) == 0 ||
				 memcmp(text, DRPC_JOURNAL_HEADER_1, len) == 0))
		return 0;
	if (len >= HEADER_LEN && (memcmp(text, DRPC_JOURNAL_HEADER, HEADER_LEN) == 0 ||
				  memcmp(text, DRPC_JOURNAL_HEADER_1, HEADER_LEN) == 0))
		return 1;
	if (len >= sizeof(DRPC_JOURNAL_MAGIC) &&
	    memcmp(text, DRPC_JOURNAL_MAGIC, sizeof(DRPC_JOURNAL_MAGIC) - 1) == 0)
		return drpc_err(
			-EPROTONOSUPPORT,
			"journal: %s is of another version; run `drpc restore` of the version that wrote it",
			j->path);
	return drpc_err(-EBADMSG,
			"journal: %s is not a journal of drpc and is left alone; name another file",
			j->path);
}

static int take_line(struct drpc_journal *j, const char *line, size_t len)
{
	struct drpc_journal_line parsed;
	int r = drpc_journal_parse_line(line, len, &parsed);
	size_t i;

	if (r < 0)
		return r;
	if (parsed.scale)
		return drpc_journal_scale_take(j, &parsed);
	if (parsed.open) {
		r = reserve(j, 1);
		if (r < 0)
			return r;
		put(j, &parsed.record);
		return 0;
	}
	i = index_of(j, parsed.record.id, parsed.record.cgroup);
	if (i == SIZE_MAX)
		j->dead++;
	else
		drop(j, i);
	return 0;
}

static int take_text(struct drpc_journal *j, const char *text, size_t len)
{
	size_t at = HEADER_LEN;

	while (at < len) {
		const char *newline = memchr(text + at, '\n', len - at);
		size_t line_len = newline ? (size_t)(newline - text) - at : len - at;
		int r = take_line(j, text + at, line_len);

		if (r == -ENOMEM)
			return r;
		if (!newline) {
			/* A torn last line: its container was not touched yet. Cutting it off needs no
			 * space. One that lacks its newline alone is kept. */
			j->dirty = r == 0 || ftruncate(j->fd, j->end) < 0;
			if (r < 0)
				drpc_warn("journal: %s ends in a torn line, dropped", j->path);
			break;
		}
		if (r < 0) {
			j->damaged++;
			drpc_warn("journal: %s holds a damaged line at byte %zu, ignoring", j->path,
				  at);
		}
		at += line_len + 1;
		j->end = (off_t)at;
	}
	return 0;
}

static int start_file(struct drpc_journal *j)
{
	int r = write_all(j->fd, DRPC_JOURNAL_HEADER, HEADER_LEN, 0);

	if (r == 0 && (ftruncate(j->fd, HEADER_LEN) < 0 || fsync(j->fd) < 0))
		r = -errno;
	if (r == 0)
		r = sync_dir(j->path);
	if (r < 0)
		return drpc_err(r, "journal: cannot begin %s", j->path);
	j->end = HEADER_LEN;
	return 0;
}

static int load(struct drpc_journal *j)
{
	_cleanup_free_ char *text = NULL;
	ssize_t len;
	int r;

	j->fd = open(j->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (j->fd < 0)
		return drpc_err(-errno, "journal: cannot open %s", j->path);
	len = drpc_read_file_at(AT_FDCWD, j->path, FILE_MAX_BYTES, &text);
	if (len < 0)
		return drpc_err((int)len, "journal: cannot read %s", j->path);
	r = check_header(j, text, (size_t)len);
	if (r < 0)
		return r;
	if (r == 0)
		return start_file(j);
	j->end = HEADER_LEN;
	r = take_text(j, text, (size_t)len);
	/* Of the version before: its lines mean the same, the rest is written anew. */
	if (memcmp(text, DRPC_JOURNAL_HEADER, HEADER_LEN) != 0)
		j->dirty = true;
	return r;
}

int drpc_journal_open(const char *path, struct drpc_journal **ret)
{
	struct drpc_journal *j = calloc(1, sizeof(*j));
	int r;

	if (!j)
		return -ENOMEM;
	j->fd = j->lock_fd = -1;
	if (!drpc_strcpy(j->path, sizeof(j->path), path))
		r = drpc_err(-ENAMETOOLONG, "journal: %s", path);
	else
		r = make_parent(path);
	if (r == 0)
		r = take_lock(j);
	if (r == 0)
		r = load(j);
	if (r < 0) {
		drpc_journal_free(&j);
		return r;
	}
	/* On a full disk it stays dirty: what is recorded can be restored, nothing new be added. */
	if (j->dirty)
		drpc_journal_compact(j);
	*ret = j;
	return 0;
}

void drpc_journal_free(struct drpc_journal **journal)
{
	struct drpc_journal *j = *journal;

	if (!j)
		return;
	drpc_closep(&j->fd);
	drpc_closep(&j->lock_fd);
	free(j->records);
	free(j->keys);
	free(j->scales);
	free(j);
	*journal = NULL;
}

/* --- looking ---------------------------------------------------------------------------------- */

size_t drpc_journal_count(const struct drpc_journal *journal)
{
	return journal->count;
}

const struct drpc_journal_record *drpc_journal_at(const struct drpc_journal *journal, size_t i)
{
	return i < journal->count ? &journal->records[i] : NULL;
}

const struct drpc_journal_record *drpc_journal_find(const struct drpc_journal *journal,
						    const char *id, const char *cgroup)
{
	size_t i = index_of(journal, id, cgroup);

	return i == SIZE_MAX ? NULL : &journal->records[i];
}

/* --- writing ---------------------------------------------------------------------------------- */

static int write_records(const struct drpc_journal *j, int fd, off_t *ret_end)
{
	char line[DRPC_JOURNAL_LINE_MAX];
	off_t end = HEADER_LEN;
	int r = write_all(fd, DRPC_JOURNAL_HEADER, HEADER_LEN, 0);

	for (size_t i = 0; r == 0 && i < j->count; i++) {
		int n = drpc_journal_format_open(&j->records[i], line);

		r = n < 0 ? n : write_all(fd, line, (size_t)n, end);
		end += n;
	}
	for (size_t i = 0; r == 0 && i < j->scale_count; i++) {
		int n = drpc_journal_format_scale(&j->scales[i], line);

		r = n < 0 ? n : write_all(fd, line, (size_t)n, end);
		end += n;
	}
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	*ret_end = end;
	return r;
}

/* A journal with damaged lines is kept aside: somebody may want to read what was there. */
static void keep_damaged(struct drpc_journal *j)
{
	char path[PATH_MAX + 16];

	if (!j->damaged)
		return;
	snprintf(path, sizeof(path), "%s.damaged", j->path);
	unlink(path);
	if (link(j->path, path) == 0)
		drpc_warn("journal: the damaged file is kept as %s", path);
	j->damaged = 0;
}

/* Writes a new file beside the journal and puts it in its place. */
static int replace_file(struct drpc_journal *j, const char *path, int fd)
{
	off_t end = 0;
	int r = write_records(j, fd, &end);

	if (r == 0)
		keep_damaged(j);
	if (r == 0 && rename(path, j->path) < 0)
		r = -errno;
	if (r < 0)
		return drpc_err(r, "journal: cannot rewrite %s", j->path);
	close(j->fd);
	j->fd = fd;
	j->end = end;
	j->dead = 0;
	j->dirty = false;
	return 0;
}

int drpc_journal_compact(struct drpc_journal *j)
{
	char path[PATH_MAX + 8];
	int fd, r;

	snprintf(path, sizeof(path), "%s.new", j->path);
	unlink(path);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return drpc_err(-errno, "journal: cannot make %s", path);
	r = replace_file(j, path, fd);
	if (r < 0) {
		close(fd);
		unlink(path);
		return r;
	}
	r = sync_dir(j->path);
	return r < 0 ? drpc_err(r, "journal: cannot sync the folder of %s", j->path) : 0;
}

int drpc_journal_append(struct drpc_journal *j, const char *lines, size_t len)
{
	int r = j->dirty ? drpc_journal_compact(j) : 0;

	if (r < 0)
		return r;
	r = write_all(j->fd, lines, len, j->end);
	if (r < 0) {
		j->dirty = ftruncate(j->fd, j->end) < 0;
		return drpc_err(r, "journal: cannot write %s", j->path);
	}
	if (fdatasync(j->fd) < 0) {
		/* The kernel may have dropped the pages: only a new file is known to be whole. */
		j->dirty = true;
		return drpc_err(-errno, "journal: cannot sync %s", j->path);
	}
	j->end += (off_t)len;
	return 0;
}

/* The older original stands; what it lacks comes from `newer`, and so does the cgroup's identity. */
static void merge(struct drpc_journal_record *older, const struct drpc_journal_record *newer)
{
	uint32_t added = newer->what & ~older->what;

	/* Limits in the files of a cgroup went with it; the engine's outlive it. */
	if (!(older->what & DRPC_JOURNAL_ENGINE) &&
	    (older->cgroup_id != newer->cgroup_id || strcmp(older->boot_id, newer->boot_id) != 0)) {
		*older = *newer;
		return;
	}
	if (added & DRPC_LIMIT_CPU) {
		older->original.cpu_quota_usec = newer->original.cpu_quota_usec;
		older->original.cpu_period_usec = newer->original.cpu_period_usec;
		older->original.cpu_burst_usec = newer->original.cpu_burst_usec;
	}
	if (added & DRPC_LIMIT_MEMORY) {
		older->original.mem_high_bytes = newer->original.mem_high_bytes;
		older->original.mem_max_bytes = newer->original.mem_max_bytes;
	}
	if (added & DRPC_JOURNAL_ENGINE)
		older->engine = newer->engine;
	older->what |= added;
	older->cgroup_id = newer->cgroup_id;
	older->cgroup_dev = newer->cgroup_dev;
	memcpy(older->boot_id, newer->boot_id, sizeof(older->boot_id));
	memcpy(older->name, newer->name, sizeof(older->name));
}

/* records[i] as it will stand, given what is open and what comes earlier in the same batch. */
static void merged_record(const struct drpc_journal *j, const struct drpc_journal_record *records,
			  const struct drpc_journal_record *merged, size_t i,
			  struct drpc_journal_record *ret)
{
	const struct drpc_journal_record *older =
		drpc_journal_find(j, records[i].id, records[i].cgroup);

	for (size_t k = 0; k < i; k++) {
		if (strcmp(merged[k].id, records[i].id) == 0 &&
		    strcmp(merged[k].cgroup, records[i].cgroup) == 0)
			older = &merged[k];
	}
	if (!older) {
		*ret = records[i];
		return;
	}
	*ret = *older;
	merge(ret, &records[i]);
}

int drpc_journal_add(struct drpc_journal *j, const struct drpc_journal_record *records, size_t n)
{
	_cleanup_free_ struct drpc_journal_record *merged = calloc(n + 1, sizeof(*merged));
	_cleanup_free_ char *lines = malloc(n * DRPC_JOURNAL_LINE_MAX + 1);
	size_t len = 0;
	int r;

	if (!merged || !lines || reserve(j, n) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		merged_record(j, records, merged, i, &merged[i]);
		r = drpc_journal_format_open(&merged[i], lines + len);
		if (r < 0)
			return drpc_err(r, "journal: cannot record %s", records[i].id);
		len += (size_t)r;
	}
	r = drpc_journal_append(j, lines, len);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		put(j, &merged[i]);
	return 0;
}

int drpc_journal_empty_file(struct drpc_journal *j)
{
	/* The header too: it may be that of the version before. Written over, it needs no space. */
	if (write_all(j->fd, DRPC_JOURNAL_HEADER, HEADER_LEN, 0) < 0 ||
	    ftruncate(j->fd, HEADER_LEN) < 0 || fdatasync(j->fd) < 0)
		return drpc_err(-errno, "journal: cannot empty %s", j->path);
	j->end = HEADER_LEN;
	j->dead = 0;
	j->dirty = false;
	return 0;
}

int drpc_journal_close_record(struct drpc_journal *j, const char *id, const char *cgroup,
			      const char *reason)
{
	char line[DRPC_JOURNAL_LINE_MAX];
	size_t i = index_of(j, id, cgroup);
	int r;

	if (i == SIZE_MAX)
		return -ENOENT;
	if (j->count == 1 && j->scale_count == 0 && !j->damaged) {
		r = drpc_journal_empty_file(j);
		if (r == 0)
			j->count = 0;
		return r;
	}
	r = drpc_journal_format_close(id, cgroup, reason, line);
	if (r < 0)
		return drpc_err(r, "journal: cannot close the record of %s", id);
	r = drpc_journal_append(j, line, (size_t)r);
	if (r < 0)
		return r;
	drop(j, i);
	return drpc_journal_tidy(j);
}

int drpc_journal_tidy(struct drpc_journal *j)
{
	bool due = j->dead > DEAD_LINES_MIN && j->dead > 2 * (j->count + j->scale_count);

	return due ? drpc_journal_compact(j) : 0;
}
