// SPDX-License-Identifier: Apache-2.0
#include "link/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/file.h"
#include "lib/log.h"
#include "lib/util.h"

#define ENDING	     ".envelope"
/* A file's name takes 255 bytes; tokens of long names are cut and told apart by a hash. */
#define TOKEN_KEPT   180
#define INDEX_SLOTS  (2 * DRPC_STORE_NAMES)
#define DIGEST_SHOWN 6

/* Without its payload, which is in its file alone. */
struct store_entry {
	bool mode;
	struct drpc_envelope e;
};

struct drpc_store {
	struct drpc_store_config config;
	char *folder;
	struct store_entry *entries;
	size_t count, capacity;
	uint16_t index[INDEX_SLOTS]; /* by hash: place in `entries`, plus 1 */
	struct drpc_store_stats stats;
};

_Static_assert(DRPC_STORE_NAMES < UINT16_MAX, "places fit the index");

int drpc_store_open(const struct drpc_store_config *config, struct drpc_store **ret)
{
	struct drpc_store *store = calloc(1, sizeof(*store));

	if (!store)
		return drpc_err(-ENOMEM, "link: store");
	store->config = *config;
	if (config->folder) {
		if (mkdir(config->folder, 0700) < 0 && errno != EEXIST) {
			int err = -errno;

			drpc_store_close(&store);
			return drpc_err(err, "link: cannot make %s", config->folder);
		}
		store->folder = strdup(config->folder);
		if (!store->folder) {
			drpc_store_close(&store);
			return drpc_err(-ENOMEM, "link: store");
		}
	}
	*ret = store;
	return 0;
}

void drpc_store_close(struct drpc_store **store)
{
	if (!*store)
		return;
	free((*store)->folder);
	free((*store)->entries);
	free(*store);
	*store = NULL;
}

void drpc_store_stats(const struct drpc_store *store, struct drpc_store_stats *ret)
{
	*ret = store->stats;
}

/* --- names ---------------------------------------------------------------------------------- */

static size_t slot_of(const struct drpc_store *store, const char *name, bool mode)
{
	size_t slot = (drpc_hash_str(name) + mode) % INDEX_SLOTS;

	while (store->index[slot]) {
		const struct store_entry *entry = &store->entries[store->index[slot] - 1];

		if (entry->mode == mode && strcmp(entry->e.name, name) == 0)
			break;
		slot = (slot + 1) % INDEX_SLOTS;
	}
	return slot;
}

static const struct drpc_envelope *find(const struct drpc_store *store, const char *name, bool mode)
{
	const size_t slot = slot_of(store, name, mode);

	return store->index[slot] ? &store->entries[store->index[slot] - 1].e : NULL;
}

int drpc_store_find(const struct drpc_store *store, const char *name, bool mode,
		    struct drpc_envelope *ret)
{
	const struct drpc_envelope *here = find(store, name, mode);

	if (!here)
		return -ENOENT;
	*ret = *here;
	return 0;
}

/* Room for one more, before anything is written that needs it. */
static int make_room(struct drpc_store *store)
{
	const size_t capacity = DRPC_MAX(2 * store->capacity, (size_t)16);
	struct store_entry *bigger;

	if (store->count < store->capacity)
		return 0;
	if (store->count == DRPC_STORE_NAMES)
		return -ENOSPC;
	bigger = realloc(store->entries, capacity * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	store->entries = bigger;
	store->capacity = capacity;
	return 0;
}

/* There is room. */
static void remember(struct drpc_store *store, const struct drpc_envelope *e)
{
	const bool mode = e->kind == DRPC_ENVELOPE_MODE;
	const size_t slot = slot_of(store, e->name, mode);
	struct store_entry *entry;

	if (!store->index[slot])
		store->index[slot] = (uint16_t)++store->count;
	entry = &store->entries[store->index[slot] - 1];
	*entry = (struct store_entry){.mode = mode, .e = *e};
	entry->e.payload = NULL;
	entry->e.payload_bytes = 0;
}

static int path_of(const struct drpc_store *store, const struct drpc_envelope *e,
		   char ret[PATH_MAX])
{
	char token[DRPC_LINK_TOKEN_BYTES], hash[24] = "";
	int n;

	drpc_link_token(e->name, token);
	if (strlen(token) > TOKEN_KEPT) {
		token[TOKEN_KEPT] = '\0';
		snprintf(hash, sizeof(hash), "+%016llx",
			 (unsigned long long)drpc_hash_str(e->name));
	}
	n = snprintf(ret, PATH_MAX, "%s/%s-%s%s" ENDING, store->folder,
		     e->kind == DRPC_ENVELOPE_MODE ? "mode" : "policy", token, hash);
	return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* --- judging -------------------------------------------------------------------------------- */

/* 1: newer, 0: the same, -ESTALE. */
static int compare(const struct drpc_store *store, const struct drpc_envelope *e)
{
	const struct drpc_envelope *here = find(store, e->name, e->kind == DRPC_ENVELOPE_MODE);

	if (!here)
		return 1;
	if (e->serial == here->serial && memcmp(e->digest, here->digest, sizeof(e->digest)) == 0)
		return 0;
	if (e->serial <= here->serial ||
	    (e->kind == DRPC_ENVELOPE_POLICY && e->version <= here->version))
		return -ESTALE;
	return 1;
}

static int news_of(struct drpc_store *store, const struct drpc_envelope *e, struct drpc_news **ret)
{
	struct drpc_news *news = calloc(1, sizeof(*news));
	int err;

	if (!news)
		return drpc_err(-ENOMEM, "link: %s", e->name);
	news->kind = e->kind;
	news->serial = e->serial;
	news->version = e->version;
	news->created_ns = e->created_ns;
	news->unload = store->config.unload;
	drpc_strcpy(news->name, sizeof(news->name), e->name);
	if (e->kind != DRPC_ENVELOPE_MODE) {
		err = store->config.load(store->config.arg, e->name, e->payload, e->payload_bytes,
					 &news->policy);
	} else {
		err = drpc_mode_order_parse(e->payload, e->payload_bytes, &news->mode);
		if (err)
			drpc_err(err, "link: mode of '%s' is neither acting nor training", e->name);
	}
	if (err) {
		free(news);
		return err;
	}
	*ret = news;
	return 0;
}

static int refuse(struct drpc_store *store, const char *name, int err)
{
	uint64_t *counter = &store->stats.garbled;

	if (err == -ENOKEY || err == -EKEYREJECTED)
		counter = &store->stats.unsigned_by_us;
	else if (err == -ESTALE)
		counter = &store->stats.older;
	else if (err == -ENOSPC)
		counter = &store->stats.unusable;
	++*counter;
	drpc_warn("link: what came for '%s' is refused, the present one stays: %s", name,
		  drpc_envelope_why(err));
	return err;
}

int drpc_store_offer(struct drpc_store *store, const void *data, size_t bytes,
		     struct drpc_news **ret)
{
	struct drpc_news *news = NULL;
	char path[PATH_MAX];
	struct drpc_envelope e;
	int r;

	r = drpc_envelope_open(store->config.keyring, data, bytes, &e);
	if (r < 0)
		return refuse(store, "an unknown name", r);
	r = compare(store, &e);
	if (r <= 0) {
		store->stats.known += r == 0;
		return r < 0 ? refuse(store, e.name, r) : 0;
	}
	r = make_room(store);
	if (r < 0)
		return refuse(store, e.name, r);
	r = news_of(store, &e, &news);
	if (r < 0) {
		store->stats.unusable++;
		return r;
	}
	if (store->folder) {
		r = path_of(store, &e, path);
		if (r == 0)
			r = drpc_file_replace(path, data, bytes, 0600);
		if (r < 0) {
			drpc_news_free(&news);
			store->stats.unusable++;
			return drpc_err(r, "link: cannot keep what came for '%s' in %s", e.name,
					store->folder);
		}
	}
	remember(store, &e);
	store->stats.accepted++;
	*ret = news;
	return 1;
}

/* --- restoring ------------------------------------------------------------------------------ */

static int restore_file(struct drpc_store *store, int dir_fd, const char *file,
			struct drpc_news **ret)
{
	_cleanup_free_ char *data = NULL;
	const ssize_t bytes = drpc_read_file_at(dir_fd, file, DRPC_ENVELOPE_BYTES, &data);
	struct drpc_envelope e;
	int err;

	if (bytes < 0)
		return drpc_err((int)bytes, "link: cannot read %s/%s", store->folder, file);
	err = drpc_envelope_open(store->config.keyring, data, (size_t)bytes, &e);
	if (err) {
		drpc_warn("link: %s/%s is not used: %s", store->folder, file,
			  drpc_envelope_why(err));
		return err;
	}
	/* Two files of one name are a copy that somebody made: the newer counts. */
	if (compare(store, &e) != 1)
		return -ESTALE;
	err = make_room(store);
	if (!err)
		err = news_of(store, &e, ret);
	if (!err)
		remember(store, &e);
	return err;
}

int drpc_store_restore(struct drpc_store *store, struct drpc_news_box *box)
{
	struct dirent *entry;
	int count = 0;
	DIR *dir;

	if (!store->folder)
		return 0;
	dir = opendir(store->folder);
	if (!dir)
		return drpc_err(-errno, "link: cannot list %s", store->folder);
	while ((entry = readdir(dir))) {
		const char *ending = strstr(entry->d_name, ENDING);
		struct drpc_news *news = NULL;

		/* What follows the ending is the rest of a write that was cut short. */
		if (!ending || ending[strlen(ENDING)] != '\0')
			continue;
		if (restore_file(store, dirfd(dir), entry->d_name, &news) < 0)
			continue;
		drpc_news_put(box, news);
		count++;
	}
	closedir(dir);
	return count;
}
