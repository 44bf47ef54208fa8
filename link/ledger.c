// SPDX-License-Identifier: Apache-2.0
#include "link/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "lib/log.h"
#include "lib/util.h"
#include "link/codec.h"

#define LEDGER_VERSION 1
#define PAGE	       4096
#define BLOCK_BITS     64
#define EPOCHS	       2 /* the node's present one, and the one before */
#define INDEX_SLOTS    (2 * DRPC_LEDGER_NODES)
/* A node that says to be further ahead than this has lost its mind, not its messages. */
#define JUMP_MAX       (1ULL << 32)

static const char ledger_magic[8] = {'D', 'R', 'P', 'C', 'L', 'D', 'G', '\n'};

struct ledger_block {
	uint64_t number; /* sequence number / BLOCK_BITS, plus 1; 0: none yet */
	uint64_t bits;
};

struct ledger_epoch {
	uint64_t epoch; /* 0: none */
	/* For people: nothing is decided by them. */
	uint64_t newest, accepted;
	uint64_t reserved;
	struct ledger_block blocks[DRPC_LEDGER_BLOCKS];
};

struct ledger_node {
	char name[DRPC_LINK_NAME_BYTES];
	uint32_t current; /* which of `epochs` */
	uint32_t reserved;
	uint64_t lost;
	uint64_t unused[14];
	struct ledger_epoch epochs[EPOCHS];
};

struct ledger_head {
	char magic[8];
	uint32_t version;
	uint32_t node_bytes;
	uint32_t blocks;
	uint32_t nodes; /* in use */
	unsigned char unused[PAGE - 24];
};

_Static_assert(sizeof(struct ledger_block) == 16, "an entry lies within a sector");
_Static_assert(offsetof(struct ledger_epoch, blocks) % 16 == 0, "entries are aligned");
_Static_assert(offsetof(struct ledger_node, epochs) % 16 == 0, "entries are aligned");
_Static_assert(sizeof(struct ledger_node) % 16 == 0, "entries are aligned");
_Static_assert(sizeof(struct ledger_head) == PAGE, "a page");

struct drpc_ledger {
	int fd;
	char *path;
	struct ledger_head *head;
	struct ledger_node *nodes;
	uint16_t index[INDEX_SLOTS]; /* by hash of the name: place in `nodes`, plus 1 */
	bool changed;
};

#define MAP_BYTES (sizeof(struct ledger_head) + DRPC_LEDGER_NODES * sizeof(struct ledger_node))

/* --- opening -------------------------------------------------------------------------------- */

static size_t slot_of(const struct drpc_ledger *ledger, const char *name)
{
	size_t slot = drpc_hash_str(name) % INDEX_SLOTS;

	while (ledger->index[slot] &&
	       strcmp(ledger->nodes[ledger->index[slot] - 1].name, name) != 0)
		slot = (slot + 1) % INDEX_SLOTS;
	return slot;
}

static void index_all(struct drpc_ledger *ledger)
{
	memset(ledger->index, 0, sizeof(ledger->index));
	for (uint32_t i = 0; i < ledger->head->nodes; i++)
		ledger->index[slot_of(ledger, ledger->nodes[i].name)] = (uint16_t)(i + 1);
}

static int check_head(const struct drpc_ledger *ledger)
{
	const struct ledger_head *head = ledger->head;

	if (memcmp(head->magic, ledger_magic, sizeof(head->magic)) != 0)
		return drpc_err(-EILSEQ, "ledger: %s is not a ledger; move it away", ledger->path);
	if (head->version != LEDGER_VERSION || head->node_bytes != sizeof(struct ledger_node) ||
	    head->blocks != DRPC_LEDGER_BLOCKS)
		return drpc_err(-EPROTONOSUPPORT,
				"ledger: %s has format version %u, this program reads %d",
				ledger->path, head->version, LEDGER_VERSION);
	if (head->nodes > DRPC_LEDGER_NODES)
		return drpc_err(-EILSEQ, "ledger: %s is damaged: %u nodes, at most %u",
				ledger->path, head->nodes, DRPC_LEDGER_NODES);
	for (uint32_t i = 0; i < head->nodes; i++) {
		if (!drpc_link_name_ok(ledger->nodes[i].name) || ledger->nodes[i].current >= EPOCHS)
			return drpc_err(-EILSEQ, "ledger: %s is damaged at node %u", ledger->path,
					i);
	}
	return 0;
}

static int open_file(struct drpc_ledger *ledger, bool *ret_empty)
{
	struct stat st;

	ledger->fd = open(ledger->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (ledger->fd < 0)
		return drpc_err(-errno, "ledger: cannot open %s", ledger->path);
	if (flock(ledger->fd, LOCK_EX | LOCK_NB) < 0)
		return drpc_err(-EBUSY, "ledger: %s is in use by another process", ledger->path);
	if (fstat(ledger->fd, &st) < 0)
		return drpc_err(-errno, "ledger: cannot stat %s", ledger->path);
	*ret_empty = st.st_size == 0;
	if (st.st_size != 0 && (size_t)st.st_size != MAP_BYTES)
		return drpc_err(-EILSEQ, "ledger: %s has %lld bytes, a ledger has %zu",
				ledger->path, (long long)st.st_size, MAP_BYTES);
	if (*ret_empty) {
		int err = ftruncate(ledger->fd, (off_t)MAP_BYTES) < 0 ? errno : 0;

		if (!err)
			err = posix_fallocate(ledger->fd, 0, sizeof(struct ledger_head));
		if (err)
			return drpc_err(-err, "ledger: cannot make room in %s", ledger->path);
	}
	return 0;
}

static int open_in(struct drpc_ledger *ledger, const char *path)
{
	bool empty = true;
	void *map;
	int err;

	if (path) {
		ledger->path = strdup(path);
		err = ledger->path ? open_file(ledger, &empty) : -ENOMEM;
		if (err)
			return err;
	}
	map = mmap(NULL, MAP_BYTES, PROT_READ | PROT_WRITE,
		   path ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, ledger->fd, 0);
	if (map == MAP_FAILED)
		return drpc_err(-errno, "ledger: cannot map %s", path ? path : "memory");
	ledger->head = map;
	ledger->nodes = (struct ledger_node *)(ledger->head + 1);
	/* A ledger that was never finished has no magic, and nothing in it. */
	if (ledger->head->magic[0] == '\0' && ledger->head->nodes == 0)
		empty = true;
	if (empty) {
		ledger->head->version = LEDGER_VERSION;
		ledger->head->node_bytes = sizeof(struct ledger_node);
		ledger->head->blocks = DRPC_LEDGER_BLOCKS;
		memcpy(ledger->head->magic, ledger_magic, sizeof(ledger_magic));
		ledger->changed = true;
		err = drpc_ledger_sync(ledger);
	} else {
		err = check_head(ledger);
	}
	if (!err)
		index_all(ledger);
	return err;
}

int drpc_ledger_open(const char *path, struct drpc_ledger **ret)
{
	struct drpc_ledger *ledger = calloc(1, sizeof(*ledger));
	int err;

	if (!ledger)
		return drpc_err(-ENOMEM, "ledger");
	ledger->fd = -1;
	err = open_in(ledger, path);
	if (err) {
		drpc_ledger_close(&ledger);
		return err;
	}
	*ret = ledger;
	return 0;
}

void drpc_ledger_close(struct drpc_ledger **ledger)
{
	struct drpc_ledger *l = *ledger;

	if (!l)
		return;
	if (l->head)
		munmap(l->head, MAP_BYTES);
	if (l->fd >= 0)
		close(l->fd);
	free(l->path);
	free(l);
	*ledger = NULL;
}

int drpc_ledger_sync(struct drpc_ledger *ledger)
{
	if (!ledger->changed || ledger->fd < 0)
		return 0;
	/* Pages that were not touched cost nothing. */
	if (msync(ledger->head, MAP_BYTES, MS_SYNC) < 0 || fdatasync(ledger->fd) < 0)
		return drpc_err(-errno, "ledger: cannot sync %s", ledger->path);
	ledger->changed = false;
	return 0;
}

/* --- taking --------------------------------------------------------------------------------- */

static struct ledger_node *node_of(struct drpc_ledger *ledger, const char *name)
{
	const size_t slot = slot_of(ledger, name);
	struct ledger_node *node;

	if (ledger->index[slot])
		return &ledger->nodes[ledger->index[slot] - 1];
	if (ledger->head->nodes == DRPC_LEDGER_NODES)
		return NULL;
	node = &ledger->nodes[ledger->head->nodes];
	/* A full disk must say so here, not end the process when a page is written. */
	if (ledger->fd >= 0) {
		const int err = posix_fallocate(
			ledger->fd, (off_t)((char *)node - (char *)ledger->head), sizeof(*node));

		if (err) {
			drpc_err(-err, "ledger: no room for node '%s' in %s", name, ledger->path);
			return NULL;
		}
	}
	drpc_strcpy(node->name, sizeof(node->name), name);
	ledger->index[slot] = (uint16_t)++ledger->head->nodes;
	return node;
}

/* The bits of one block that lie in first..last. */
static uint64_t bits_of(uint64_t block, uint64_t first, uint64_t last)
{
	const uint64_t begin = block * BLOCK_BITS, end = begin + BLOCK_BITS - 1;
	const uint64_t from = DRPC_MAX(first, begin) - begin;
	const uint64_t to = DRPC_MIN(last, end) - begin;

	return (~0ULL >> (BLOCK_BITS - 1 - (to - from))) << from;
}

static enum drpc_reject look(const struct ledger_epoch *e, uint64_t first, uint64_t last)
{
	for (uint64_t b = first / BLOCK_BITS; b <= last / BLOCK_BITS; b++) {
		const struct ledger_block *block = &e->blocks[b % DRPC_LEDGER_BLOCKS];

		if (block->number > b + 1)
			return DRPC_REJECT_LATE;
		if (block->number == b + 1 && (block->bits & bits_of(b, first, last)))
			return DRPC_REJECT_DUPLICATE;
	}
	return DRPC_REJECT_NONE;
}

static void mark(struct ledger_epoch *e, uint64_t first, uint64_t last)
{
	for (uint64_t b = first / BLOCK_BITS; b <= last / BLOCK_BITS; b++) {
		struct ledger_block *block = &e->blocks[b % DRPC_LEDGER_BLOCKS];

		if (block->number != b + 1)
			*block = (struct ledger_block){.number = b + 1};
		block->bits |= bits_of(b, first, last);
	}
	e->newest = DRPC_MAX(e->newest, last);
	e->accepted += last - first + 1;
}

static uint64_t missing_of(const struct ledger_epoch *e)
{
	return e->newest > e->accepted ? e->newest - e->accepted : 0;
}

/*
 * The window of an epoch; NULL for one from before those that are remembered. The window of the one
 * before the last is used again, and loses its name on the disk before its content: a machine that dies
 * in between must not come back with a window that is empty under an old name.
 */
static struct ledger_epoch *epoch_of(struct drpc_ledger *ledger, struct ledger_node *node,
				     uint64_t epoch)
{
	struct ledger_epoch *current = &node->epochs[node->current];
	struct ledger_epoch *other = &node->epochs[!node->current];

	if (epoch == current->epoch)
		return current;
	if (epoch < current->epoch)
		return epoch == other->epoch ? other : NULL;
	if (current->epoch != 0) {
		node->lost += missing_of(other);
		if (other->epoch != 0) {
			other->epoch = other->newest = other->accepted = 0;
			ledger->changed = true;
			if (drpc_ledger_sync(ledger) < 0)
				return NULL;
		}
		memset(other, 0, sizeof(*other));
		node->current = !node->current;
		current = other;
	}
	current->epoch = epoch;
	return current;
}

enum drpc_reject drpc_ledger_take(struct drpc_ledger *ledger, const char *node, uint64_t epoch,
				  uint64_t first, size_t count)
{
	const uint64_t last = first + count - 1;
	struct ledger_node *at;
	struct ledger_epoch *e;
	enum drpc_reject verdict;

	if (!drpc_link_name_ok(node))
		return DRPC_REJECT_NODE;
	if (epoch == 0 || first == 0 || first > DRPC_SEQUENCE_MAX || count == 0 ||
	    count > DRPC_BATCH_MAX_RECORDS)
		return DRPC_REJECT_SEQUENCE;
	at = node_of(ledger, node);
	if (!at)
		return DRPC_REJECT_NODES;
	/* Before a new epoch is begun for it: numbers of one that was never heard of start low. */
	if (epoch > at->epochs[at->current].epoch && last > JUMP_MAX)
		return DRPC_REJECT_SEQUENCE;
	e = epoch_of(ledger, at, epoch);
	if (!e)
		return DRPC_REJECT_EPOCH;
	if (last > e->newest && last - e->newest > JUMP_MAX)
		return DRPC_REJECT_SEQUENCE;
	verdict = look(e, first, last);
	if (verdict != DRPC_REJECT_NONE)
		return verdict;
	mark(e, first, last);
	ledger->changed = true;
	return DRPC_REJECT_NONE;
}

bool drpc_ledger_forget(struct drpc_ledger *ledger, const char *node)
{
	const size_t slot = slot_of(ledger, node);
	struct ledger_node *at;

	if (!ledger->index[slot])
		return false;
	/* The last one takes its place. */
	at = &ledger->nodes[ledger->index[slot] - 1];
	ledger->head->nodes--;
	if (at != &ledger->nodes[ledger->head->nodes])
		memcpy(at, &ledger->nodes[ledger->head->nodes], sizeof(*at));
	memset(&ledger->nodes[ledger->head->nodes], 0, sizeof(*at));
	index_all(ledger);
	ledger->changed = true;
	return true;
}

size_t drpc_ledger_count(const struct drpc_ledger *ledger)
{
	return ledger->head->nodes;
}

struct drpc_ledger_node drpc_ledger_node(const struct drpc_ledger *ledger, size_t i)
{
	const struct ledger_node *node = &ledger->nodes[i];
	const struct ledger_epoch *e = &node->epochs[node->current];

	return (struct drpc_ledger_node){
		.name = node->name,
		.epoch = e->epoch,
		.newest = e->newest,
		.accepted = e->accepted,
		.missing = missing_of(e),
		.lost = node->lost + missing_of(&node->epochs[!node->current]),
	};
}
