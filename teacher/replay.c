// SPDX-License-Identifier: Apache-2.0
#include "teacher/replay.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "lib/log.h"
#include "lib/util.h"
#include "teacher/crc32c.h"
#include "teacher/sumtree.h"

#define REPLAY_VERSION 1
#define PAGE	       4096
/* What a file may grow to; more is a mistake in the configuration. */
#define MAX_BYTES      (1ULL << 40)
#define MAX_UNITS      100000
/* Priorities stay above this, so that nothing is never drawn again. */
#define MIN_PRIORITY   1e-3f

static const char replay_magic[8] = {'D', 'R', 'P', 'C', 'R', 'P', 'L', '\n'};

struct replay_head {
	char magic[8];
	uint32_t version;
	uint32_t crc; /* over the rest of the header, roster and padding too */
	uint64_t header_bytes;
	uint64_t capacity;
	uint64_t record_bytes;
	uint64_t units;
	uint64_t state;
	uint64_t action;
};

struct replay_record {
	uint32_t crc; /* from `sequence` to the record's end */
	float priority;
	uint64_t sequence; /* from 1 on; 0 is empty */
	uint32_t done;
	float reward;
	float data[];
};

struct drpc_replay {
	struct drpc_replay_shape shape;
	char **roster;
	char *path;
	int fd;
	unsigned char *map;
	size_t map_bytes;
	unsigned char *records;
	size_t record_bytes;
	size_t n_state, n_action; /* floats of all units */
	size_t capacity;
	size_t count;
	size_t head; /* where the next record goes */
	uint64_t sequence;
	size_t dropped;
	float top_priority;
	double alpha;
	struct drpc_sumtree tree; /* empty unless prioritised */
};

static struct replay_record *record_at(const struct drpc_replay *replay, size_t i)
{
	return (struct replay_record *)(replay->records + i * replay->record_bytes);
}

static uint32_t record_crc(const struct drpc_replay *replay, const struct replay_record *record)
{
	const size_t from = offsetof(struct replay_record, sequence);

	return drpc_crc32c(0, (const unsigned char *)record + from, replay->record_bytes - from);
}

static bool record_valid(const struct drpc_replay *replay, const struct replay_record *record)
{
	return record->sequence != 0 && record->crc == record_crc(replay, record);
}

/* --- header ------------------------------------------------------------------------------- */

static const char *roster_name(const struct drpc_replay_shape *shape, size_t i)
{
	return shape->roster ? shape->roster[i] : "";
}

static size_t header_bytes_of(const struct drpc_replay_shape *shape)
{
	size_t bytes = sizeof(struct replay_head);

	for (size_t i = 0; i < shape->units; i++)
		bytes += strlen(roster_name(shape, i)) + 1;
	return (bytes + PAGE - 1) / PAGE * PAGE;
}

static uint32_t header_crc(const unsigned char *map, size_t bytes)
{
	const size_t from = offsetof(struct replay_head, header_bytes);

	return drpc_crc32c(0, map + from, bytes - from);
}

/* Sizes from shape and capacity; -EINVAL where they make no file. */
static int replay_layout(const char *name, struct drpc_replay *replay)
{
	const struct drpc_replay_shape *shape = &replay->shape;

	if (shape->units < 1 || shape->units > MAX_UNITS || shape->state < 1 ||
	    shape->state > MAX_UNITS || shape->action < 1 || shape->action > MAX_UNITS ||
	    replay->capacity < 1)
		return drpc_err(
			-EINVAL,
			"replay: %s: %zu deployments of %zu state and %zu action numbers, %zu records: each must be 1 or more, the first three at most %d",
			name, shape->units, shape->state, shape->action, replay->capacity,
			MAX_UNITS);
	replay->n_state = shape->units * shape->state;
	replay->n_action = shape->units * shape->action;
	replay->record_bytes = sizeof(struct replay_record) +
			       (2 * replay->n_state + replay->n_action) * sizeof(float);
	replay->record_bytes = (replay->record_bytes + 7) / 8 * 8;
	if (replay->capacity > MAX_BYTES / replay->record_bytes)
		return drpc_err(
			-EINVAL,
			"replay: %s: %zu records of %zu bytes are more than a file may hold (%llu bytes)",
			name, replay->capacity, replay->record_bytes, MAX_BYTES);
	replay->map_bytes = header_bytes_of(shape) + replay->capacity * replay->record_bytes;
	return 0;
}

static void header_write(struct drpc_replay *replay)
{
	const size_t bytes = header_bytes_of(&replay->shape);
	struct replay_head head = {
		.version = REPLAY_VERSION,
		.header_bytes = bytes,
		.capacity = replay->capacity,
		.record_bytes = replay->record_bytes,
		.units = replay->shape.units,
		.state = replay->shape.state,
		.action = replay->shape.action,
	};
	char *names = (char *)replay->map + sizeof(head);

	for (size_t i = 0; i < replay->shape.units; i++)
		names = stpcpy(names, roster_name(&replay->shape, i)) + 1;
	/* The magic last: a file without it was never finished, and is begun anew. */
	memcpy(replay->map, &head, sizeof(head));
	head.crc = header_crc(replay->map, bytes);
	memcpy(head.magic, replay_magic, sizeof(head.magic));
	memcpy(replay->map, &head, sizeof(head));
}

/* Compares a file's header, already mapped whole, with what was asked for. */
static int header_check(const struct drpc_replay *replay, size_t file_bytes)
{
	const size_t bytes = header_bytes_of(&replay->shape);
	const char *path = replay->path;
	struct replay_head head;
	const char *names;

	memcpy(&head, replay->map, sizeof(head));
	if (head.version != REPLAY_VERSION)
		return drpc_err(-EPROTONOSUPPORT,
				"replay: %s has format version %u, this program reads %d", path,
				head.version, REPLAY_VERSION);
	if (head.units != replay->shape.units || head.state != replay->shape.state ||
	    head.action != replay->shape.action || head.capacity != replay->capacity)
		return drpc_err(
			-ESTALE,
			"replay: %s holds %llu records of %llu deployments × (%llu state, %llu action), expected %zu of %zu × (%zu, %zu): move it away or name another file",
			path, (unsigned long long)head.capacity, (unsigned long long)head.units,
			(unsigned long long)head.state, (unsigned long long)head.action,
			replay->capacity, replay->shape.units, replay->shape.state,
			replay->shape.action);
	if (head.header_bytes > file_bytes)
		return drpc_err(-ENODATA, "replay: %s is cut within its header: %zu bytes of %llu",
				path, file_bytes, (unsigned long long)head.header_bytes);
	if (head.header_bytes > replay->map_bytes ||
	    head.crc != header_crc(replay->map, head.header_bytes))
		return drpc_err(-EBADMSG,
				"replay: %s is damaged: its header does not match its checksum",
				path);
	names = (const char *)replay->map + sizeof(head);
	for (size_t i = 0; i < replay->shape.units; i++) {
		const size_t left = (size_t)((const char *)replay->map + head.header_bytes - names);
		const char *want = roster_name(&replay->shape, i);

		if (strncmp(names, want, left) != 0)
			return drpc_err(
				-ESTALE,
				"replay: %s is of another roster: deployment %zu is '%.64s', expected '%.64s': move it away or name another file",
				path, i, names, want);
		names += strlen(want) + 1;
	}
	if (head.header_bytes != bytes)
		return drpc_err(-ESTALE,
				"replay: %s is of another roster: it names other deployments",
				path);
	return 0;
}

/* --- opening ------------------------------------------------------------------------------ */

/* Drops damaged records: the last good one takes a hole's place, so that 0..count-1 are good. */
static void replay_recover(struct drpc_replay *replay)
{
	size_t end = replay->capacity;
	uint64_t newest = 0;
	size_t newest_at = 0;

	/* Records fill from the front: behind the last that was ever written all is zero. */
	while (end > 0 && record_at(replay, end - 1)->sequence == 0 &&
	       record_at(replay, end - 1)->crc == 0)
		end--;
	for (size_t i = 0; i < end; i++) {
		struct replay_record *record = record_at(replay, i);

		while (!record_valid(replay, record) && i < end) {
			struct replay_record *last = record_at(replay, --end);

			replay->dropped++;
			if (last != record)
				memcpy(record, last, replay->record_bytes);
			memset(last, 0, replay->record_bytes);
		}
		if (i >= end)
			break;
		if (record->sequence > newest) {
			newest = record->sequence;
			newest_at = i;
		}
		if (!(record->priority >= MIN_PRIORITY && isfinite(record->priority)))
			record->priority = 1.0f;
		replay->top_priority = fmaxf(replay->top_priority, record->priority);
	}
	replay->count = end;
	replay->sequence = newest;
	replay->head = end < replay->capacity ? end : (newest_at + 1) % replay->capacity;
	if (replay->dropped)
		drpc_warn("replay: %s: %zu records were damaged and are dropped, %zu are good",
			  replay->path, replay->dropped, replay->count);
}

/* What the file is before it is mapped: new or of a size that can be ours. */
static int replay_check_file(struct drpc_replay *replay, size_t *ret_bytes)
{
	struct replay_head head;
	struct stat st;
	ssize_t n;

	if (fstat(replay->fd, &st) < 0)
		return drpc_err(-errno, "replay: cannot stat %s", replay->path);
	if (!S_ISREG(st.st_mode))
		return drpc_err(-EINVAL, "replay: %s is not a regular file", replay->path);
	*ret_bytes = 0;
	if (st.st_size == 0)
		return 0;
	n = pread(replay->fd, &head, sizeof(head), 0);
	if (n < 0)
		return drpc_err(-errno, "replay: cannot read %s", replay->path);
	if (n >= (ssize_t)sizeof(head) && !memcmp(head.magic, "\0\0\0\0\0\0\0\0", 8) &&
	    head.header_bytes == 0)
		return 0;
	if (memcmp(head.magic, replay_magic, DRPC_MIN((size_t)n, sizeof(head.magic))) != 0)
		return drpc_err(-EILSEQ, "replay: %s is not a replay file", replay->path);
	if ((size_t)n < sizeof(head))
		return drpc_err(-ENODATA, "replay: %s is cut within its header: %zd bytes",
				replay->path, n);
	*ret_bytes = (size_t)st.st_size;
	return 0;
}

static int replay_map_file(struct drpc_replay *replay)
{
	size_t bytes = 0;
	int err;

	replay->fd = open(replay->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (replay->fd < 0)
		return drpc_err(-errno, "replay: cannot open %s", replay->path);
	if (flock(replay->fd, LOCK_EX | LOCK_NB) < 0)
		return drpc_err(-EBUSY, "replay: %s is in use by another process", replay->path);
	err = replay_check_file(replay, &bytes);
	if (err)
		return err;
	/* The header is judged before the file is touched: someone else's stays as it is. */
	if (bytes) {
		const size_t head_bytes = DRPC_MIN(bytes, replay->map_bytes);

		replay->map = mmap(NULL, head_bytes, PROT_READ, MAP_SHARED, replay->fd, 0);
		if (replay->map == MAP_FAILED) {
			replay->map = NULL;
			return drpc_err(-errno, "replay: cannot map %s", replay->path);
		}
		err = header_check(replay, bytes);
		munmap(replay->map, head_bytes);
		replay->map = NULL;
		if (err)
			return err;
		if (bytes < replay->map_bytes)
			drpc_warn("replay: %s is cut short: %zu bytes of %zu; what is left is used",
				  replay->path, bytes, replay->map_bytes);
	}
	/* Real blocks, not a sparse file: a full disk must fail here, not as SIGBUS in a write. */
	err = posix_fallocate(replay->fd, 0, (off_t)replay->map_bytes);
	if (err)
		return drpc_err(-err, "replay: cannot give %s its %zu bytes", replay->path,
				replay->map_bytes);
	replay->map =
		mmap(NULL, replay->map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, replay->fd, 0);
	if (replay->map == MAP_FAILED) {
		replay->map = NULL;
		return drpc_err(-errno, "replay: cannot map %zu bytes of %s", replay->map_bytes,
				replay->path);
	}
	if (!bytes)
		header_write(replay);
	return 0;
}

static int replay_map_memory(struct drpc_replay *replay)
{
	replay->map = mmap(NULL, replay->map_bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (replay->map == MAP_FAILED) {
		replay->map = NULL;
		return drpc_err(-errno, "replay: cannot have %zu bytes of memory",
				replay->map_bytes);
	}
	header_write(replay);
	return 0;
}

static int replay_copy_names(struct drpc_replay *replay, const struct drpc_replay_shape *shape,
			     const char *path)
{
	replay->path = strdup(path ? path : "(memory)");
	if (!replay->path)
		return -ENOMEM;
	if (!shape->roster)
		return 0;
	replay->roster = calloc(shape->units + 1, sizeof(*replay->roster));
	if (!replay->roster)
		return -ENOMEM;
	for (size_t i = 0; i < shape->units; i++) {
		replay->roster[i] = strdup(shape->roster[i]);
		if (!replay->roster[i])
			return -ENOMEM;
	}
	replay->shape.roster = (const char *const *)replay->roster;
	return 0;
}

int drpc_replay_open(const char *path, const struct drpc_replay_shape *shape, size_t capacity,
		     struct drpc_replay **ret)
{
	struct drpc_replay *replay = calloc(1, sizeof(*replay));
	int err;

	if (!replay)
		return drpc_err(-ENOMEM, "replay");
	replay->fd = -1;
	replay->shape = *shape;
	replay->capacity = capacity;
	replay->top_priority = 1.0f;
	err = replay_layout(path ? path : "(memory)", replay);
	if (!err) {
		err = replay_copy_names(replay, shape, path);
		if (err)
			drpc_err(err, "replay: %zu names", shape->units);
	}
	if (!err)
		err = path ? replay_map_file(replay) : replay_map_memory(replay);
	if (err) {
		drpc_replay_close(&replay);
		return err;
	}
	replay->records = replay->map + header_bytes_of(&replay->shape);
	if (path)
		replay_recover(replay);
	*ret = replay;
	return 0;
}

void drpc_replay_close(struct drpc_replay **replay)
{
	struct drpc_replay *r = *replay;

	if (!r)
		return;
	if (r->map)
		munmap(r->map, r->map_bytes);
	if (r->fd >= 0)
		close(r->fd);
	for (size_t i = 0; r->roster && r->roster[i]; i++)
		free(r->roster[i]);
	free(r->roster);
	free(r->path);
	drpc_sumtree_done(&r->tree);
	free(r);
	*replay = NULL;
}

int drpc_replay_sync(struct drpc_replay *replay)
{
	if (replay->fd >= 0 && msync(replay->map, replay->map_bytes, MS_SYNC) < 0)
		return drpc_err(-errno, "replay: cannot write %s back", replay->path);
	return 0;
}

/* --- records ------------------------------------------------------------------------------ */

static int check_finite(const struct drpc_replay *replay, const char *what, const float *x,
			size_t n, size_t per_unit)
{
	for (size_t i = 0; i < n; i++) {
		if (!isfinite(x[i]))
			return drpc_err(
				-EDOM,
				"replay: %s %zu of deployment %zu (%s) is %g, transition refused",
				what, i % per_unit, i / per_unit,
				roster_name(&replay->shape, i / per_unit), (double)x[i]);
	}
	return 0;
}

int drpc_replay_push(struct drpc_replay *replay, const struct drpc_transition *t)
{
	struct replay_record *record = record_at(replay, replay->head);
	const size_t ns = replay->n_state, na = replay->n_action;

	if (!isfinite(t->reward))
		return drpc_err(-EDOM, "replay: reward is %g, transition refused",
				(double)t->reward);
	if (check_finite(replay, "state", t->state, ns, replay->shape.state) < 0 ||
	    check_finite(replay, "next state", t->next, ns, replay->shape.state) < 0 ||
	    check_finite(replay, "action", t->action, na, replay->shape.action) < 0)
		return -EDOM;
	record->sequence = ++replay->sequence;
	record->done = t->done;
	record->reward = t->reward;
	memcpy(record->data, t->state, ns * sizeof(float));
	memcpy(record->data + ns, t->action, na * sizeof(float));
	memcpy(record->data + ns + na, t->next, ns * sizeof(float));
	record->crc = record_crc(replay, record);
	drpc_replay_set_priority(replay, replay->head, replay->top_priority);
	replay->head = (replay->head + 1) % replay->capacity;
	replay->count = DRPC_MIN(replay->count + 1, replay->capacity);
	return 0;
}

uint64_t drpc_replay_sequence(const struct drpc_replay *replay)
{
	return replay->sequence;
}

size_t drpc_replay_rewind(struct drpc_replay *replay, uint64_t sequence)
{
	if (sequence >= replay->sequence)
		return 0;
	if (replay->sequence > replay->capacity)
		return (size_t)DRPC_MIN(replay->sequence - sequence, (uint64_t)replay->capacity);
	while (replay->count > 0 && record_at(replay, replay->count - 1)->sequence > sequence) {
		memset(record_at(replay, --replay->count), 0, replay->record_bytes);
		if (replay->tree.nodes)
			drpc_sumtree_set(&replay->tree, replay->count, 0.0);
	}
	replay->head = replay->count;
	replay->sequence = sequence;
	return 0;
}

size_t drpc_replay_count(const struct drpc_replay *replay)
{
	return replay->count;
}

size_t drpc_replay_capacity(const struct drpc_replay *replay)
{
	return replay->capacity;
}

const struct drpc_replay_shape *drpc_replay_shape(const struct drpc_replay *replay)
{
	return &replay->shape;
}

size_t drpc_replay_dropped(const struct drpc_replay *replay)
{
	return replay->dropped;
}

struct drpc_transition drpc_replay_get(const struct drpc_replay *replay, size_t i)
{
	const struct replay_record *record = record_at(replay, i);

	return (struct drpc_transition){
		.state = record->data,
		.action = record->data + replay->n_state,
		.next = record->data + replay->n_state + replay->n_action,
		.reward = record->reward,
		.done = record->done != 0,
	};
}

void drpc_replay_prefetch(const struct drpc_replay *replay, size_t i)
{
	const unsigned char *record = replay->records + i * replay->record_bytes;

	for (size_t at = 0; at < replay->record_bytes; at += 64)
		__builtin_prefetch(record + at);
}

/* --- drawing ------------------------------------------------------------------------------ */

void drpc_replay_draw(const struct drpc_replay *replay, struct drpc_rng *rng, size_t n,
		      uint64_t *ret)
{
	drpc_rng_indices(rng, replay->count, n, ret);
}

int drpc_replay_prioritize(struct drpc_replay *replay, double alpha)
{
	int err = drpc_sumtree_new(&replay->tree, replay->capacity);

	if (err)
		return err;
	replay->alpha = alpha;
	for (size_t i = 0; i < replay->count; i++)
		drpc_sumtree_set(&replay->tree, i,
				 pow((double)record_at(replay, i)->priority, alpha));
	return 0;
}

bool drpc_replay_is_prioritized(const struct drpc_replay *replay)
{
	return replay->tree.nodes != NULL;
}

void drpc_replay_draw_prioritized(const struct drpc_replay *replay, struct drpc_rng *rng,
				  double beta, size_t n, uint64_t *ret, float *ret_weights)
{
	const double total = drpc_sumtree_total(&replay->tree);
	double largest = 0;

	for (size_t i = 0; i < n; i++) {
		const double at = ((double)i + drpc_rng_uniform(rng)) / (double)n * total;
		double p, weight;

		ret[i] = drpc_sumtree_find(&replay->tree, at);
		p = drpc_sumtree_get(&replay->tree, ret[i]) / total;
		weight = pow((double)replay->count * p, -beta);
		largest = fmax(largest, weight);
		ret_weights[i] = (float)weight;
	}
	for (size_t i = 0; i < n; i++)
		ret_weights[i] = (float)((double)ret_weights[i] / largest);
}

void drpc_replay_set_priority(struct drpc_replay *replay, size_t i, float priority)
{
	priority = isfinite(priority) ? fmaxf(priority, MIN_PRIORITY) : replay->top_priority;
	record_at(replay, i)->priority = priority;
	replay->top_priority = fmaxf(replay->top_priority, priority);
	if (replay->tree.nodes)
		drpc_sumtree_set(&replay->tree, i, pow((double)priority, replay->alpha));
}

float drpc_replay_priority(const struct drpc_replay *replay, size_t i)
{
	return record_at(replay, i)->priority;
}
