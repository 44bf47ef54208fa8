// SPDX-License-Identifier: Apache-2.0
#include "link/store.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/util.h"

static char folder[] = "/tmp/drpc-store-XXXXXX";
static struct drpc_signer *signer;
static struct drpc_keyring *keyring;
static struct drpc_store *store;
static struct drpc_news_box box;
static int loaded; /* policies that stand */

/* A policy is a text that begins with "good". */
static int load(void *arg, const char *name, const void *payload, size_t bytes, void **ret)
{
	cr_assert_null(arg);
	cr_assert_gt(strlen(name), 0);
	if (bytes < 4 || memcmp(payload, "good", 4) != 0)
		return -EINVAL;
	*ret = strndup(payload, bytes);
	loaded++;
	return 0;
}

static void unload(void *policy)
{
	free(policy);
	loaded--;
}

static void reopen(void)
{
	const struct drpc_store_config config = {
		.folder = folder, .keyring = keyring, .load = load, .unload = unload};

	drpc_store_close(&store);
	cr_assert_eq(drpc_store_open(&config, &store), 0);
}

static void setup(void)
{
	cr_assert_not_null(freopen("/dev/null", "w", stderr));
	cr_assert_not_null(mkdtemp(folder));
	cr_assert_eq(drpc_signer_ephemeral(&signer), 0);
	cr_assert_eq(drpc_keyring_new(&keyring), 0);
	cr_assert_eq(drpc_keyring_trust(keyring, signer), 0);
	cr_assert_eq(drpc_news_box_init(&box), 0);
	reopen();
}

static void teardown(void)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	while ((entry = readdir(dir)))
		unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
	cr_assert_eq(rmdir(folder), 0);
	drpc_store_close(&store);
	drpc_news_box_done(&box);
	drpc_keyring_free(&keyring);
	drpc_signer_free(&signer);
	cr_assert_eq(loaded, 0);
}

TestSuite(store, .init = setup, .fini = teardown);

static unsigned char *sealed(enum drpc_envelope_kind kind, const char *name, uint64_t serial,
			     uint64_t version, const char *payload, size_t *ret_bytes)
{
	struct drpc_envelope e = {.kind = kind,
				  .serial = serial,
				  .version = version,
				  .payload = payload,
				  .payload_bytes = strlen(payload)};
	unsigned char *data = NULL;

	drpc_strcpy(e.name, sizeof(e.name), name);
	cr_assert_eq(drpc_envelope_seal(signer, &e, &data, ret_bytes), 0);
	return data;
}

/* Offers it and ends what comes of it. */
static int offer(enum drpc_envelope_kind kind, const char *name, uint64_t serial, uint64_t version,
		 const char *payload)
{
	size_t bytes;
	_cleanup_free_ unsigned char *data = sealed(kind, name, serial, version, payload, &bytes);
	struct drpc_news *news = NULL;
	const int r = drpc_store_offer(store, data, bytes, &news);

	cr_assert_eq(r == 1, news != NULL);
	if (news) {
		cr_assert_eq(news->kind, kind);
		cr_assert_str_eq(news->name, name);
		cr_assert_eq(news->serial, serial);
		cr_assert_eq(news->version, version);
		if (kind != DRPC_ENVELOPE_MODE)
			cr_assert_str_eq(news->policy, payload);
	}
	drpc_news_free(&news);
	return r;
}

static int policy(uint64_t serial, uint64_t version)
{
	return offer(DRPC_ENVELOPE_POLICY, "web", serial, version, "good");
}

static int rollback(uint64_t serial, uint64_t version)
{
	return offer(DRPC_ENVELOPE_ROLLBACK, "web", serial, version, "good");
}

Test(store, forward_and_back_by_word_alone)
{
	cr_assert_eq(policy(10, 5), 1);
	cr_assert_eq(policy(10, 5), 0, "the same again");
	cr_assert_eq(policy(10, 6), -ESTALE, "another one under the same serial");
	cr_assert_eq(policy(9, 6), -ESTALE);
	cr_assert_eq(policy(11, 5), -ESTALE);
	cr_assert_eq(policy(11, 4), -ESTALE, "older, and no word of a rollback");
	cr_assert_eq(policy(12, 7), 1);
	cr_assert_eq(rollback(12, 5), -ESTALE);
	cr_assert_eq(rollback(13, 5), 1);
	cr_assert_eq(policy(12, 7), -ESTALE, "replayed");
	cr_assert_eq(rollback(13, 5), 0);
	cr_assert_eq(policy(14, 8), 1);
	cr_assert_eq(rollback(13, 5), -ESTALE, "replayed");
	cr_assert_eq(offer(DRPC_ENVELOPE_POLICY, "cart", 1, 1, "good"), 1);

	struct drpc_store_stats stats;

	drpc_store_stats(store, &stats);
	cr_assert_eq(stats.accepted, 5);
	cr_assert_eq(stats.known, 2);
	cr_assert_eq(stats.older, 7);
}

Test(store, modes_are_apart_from_policies)
{
	cr_assert_eq(policy(10, 5), 1);
	cr_assert_eq(offer(DRPC_ENVELOPE_MODE, "web", 1, 0, "acting\n"), 1);
	cr_assert_eq(offer(DRPC_ENVELOPE_MODE, "web", 1, 0, "training 0.1\n"), -ESTALE);
	cr_assert_eq(offer(DRPC_ENVELOPE_MODE, "web", 2, 0, "training 2\n"), -EINVAL);
	cr_assert_eq(offer(DRPC_ENVELOPE_MODE, "web", 2, 0, "training 0.1\n"), 1);
	cr_assert_eq(policy(11, 6), 1);
}

Test(store, what_cannot_be_used_changes_nothing)
{
	struct drpc_store_stats stats;
	struct drpc_envelope here;

	cr_assert_eq(policy(1, 1), 1);
	cr_assert_eq(offer(DRPC_ENVELOPE_POLICY, "web", 2, 2, "bad"), -EINVAL);
	cr_assert_eq(drpc_store_find(store, "web", false, &here), 0);
	cr_assert_eq(here.version, 1);
	cr_assert_eq(drpc_store_find(store, "web", true, &here), -ENOENT);
	cr_assert_eq(policy(2, 2), 1, "its serial is still free");
	drpc_store_stats(store, &stats);
	cr_assert_eq(stats.unusable, 1);
}

Test(store, forged_and_garbled)
{
	struct drpc_signer *other = NULL;
	struct drpc_store_stats stats;
	struct drpc_news *news = NULL;
	unsigned char *data;
	size_t bytes;

	data = sealed(DRPC_ENVELOPE_POLICY, "web", 1, 1, "good", &bytes);
	data[60] ^= 4;
	cr_assert_eq(drpc_store_offer(store, data, bytes, &news), -EBADMSG);
	cr_assert_eq(drpc_store_offer(store, data, 20, &news), -ENODATA);
	cr_assert_eq(drpc_store_offer(store, "x", 1, &news), -EILSEQ);
	free(data);
	cr_assert_eq(drpc_signer_ephemeral(&other), 0);
	struct drpc_signer *ours = signer;

	signer = other;
	data = sealed(DRPC_ENVELOPE_POLICY, "web", 1, 1, "good", &bytes);
	signer = ours;
	cr_assert_eq(drpc_store_offer(store, data, bytes, &news), -ENOKEY);
	free(data);
	drpc_signer_free(&other);
	drpc_store_stats(store, &stats);
	cr_assert_eq(stats.garbled, 3);
	cr_assert_eq(stats.unsigned_by_us, 1);
	cr_assert_null(news);
	cr_assert_eq(policy(1, 1), 1);
}

static int restored(void)
{
	reopen();
	return drpc_store_restore(store, &box);
}

static struct drpc_news *take(void)
{
	struct drpc_news *news = drpc_news_take(&box);

	cr_assert_not_null(news);
	return news;
}

Test(store, outlives_the_process)
{
	struct drpc_news *news;

	cr_assert_eq(policy(4, 4), 1);
	cr_assert_eq(rollback(5, 3), 1);
	cr_assert_eq(offer(DRPC_ENVELOPE_MODE, "shop", 9, 0, "training 0.5\n"), 1);
	cr_assert_eq(restored(), 2);
	for (int i = 0; i < 2; i++) {
		news = take();
		if (news->kind == DRPC_ENVELOPE_MODE) {
			cr_assert_str_eq(news->name, "shop");
			cr_assert_eq(news->mode.exploration, 0.5f);
		} else {
			cr_assert_eq(news->kind, DRPC_ENVELOPE_ROLLBACK);
			cr_assert_str_eq(news->policy, "good");
		}
		drpc_news_free(&news);
	}
	cr_assert_null(drpc_news_take(&box));
	cr_assert_eq(rollback(5, 3), 0);
	cr_assert_eq(policy(4, 4), -ESTALE);
	cr_assert_eq(policy(6, 4), 1);
}

static void spoil(const char *name, off_t at, const char *text)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	cr_assert_eq(pwrite(fd, text, strlen(text), at), (ssize_t)strlen(text));
	close(fd);
}

Test(store, files_that_are_not_good_are_left_out)
{
	struct drpc_news *news;

	cr_assert_eq(policy(4, 4), 1);
	cr_assert_eq(offer(DRPC_ENVELOPE_POLICY, "cart", 1, 1, "good"), 1);
	spoil("policy-web.envelope", 61, "x");
	spoil("policy-half.envelope", 0, "DRPC");
	spoil("policy-web.envelope.a1b2c3", 0, "the rest of a write that was cut short");
	spoil("notes", 0, "somebody else's");
	cr_assert_eq(restored(), 1);
	news = take();
	cr_assert_str_eq(news->name, "cart");
	drpc_news_free(&news);
	cr_assert_eq(policy(4, 4), 1, "the broker still has it");
}

Test(store, a_folder_that_cannot_be_written)
{
	const struct drpc_store_config config = {
		.folder = "/proc/drpc-store", .keyring = keyring, .load = load, .unload = unload};
	struct drpc_store *other = NULL;

	cr_assert_lt(drpc_store_open(&config, &other), 0);
	cr_assert_null(other);
	/* Gone while it is in use: what comes is not taken, as it would be forgotten. */
	cr_assert_eq(policy(1, 1), 1);
	char moved[64];

	snprintf(moved, sizeof(moved), "%s.moved", folder);
	cr_assert_eq(rename(folder, moved), 0);
	cr_assert_eq(policy(2, 2), -ENOENT);
	cr_assert_eq(rename(moved, folder), 0);
	cr_assert_eq(policy(2, 2), 1);
}

Test(store, names_that_are_too_long_for_a_file)
{
	char a[DRPC_LINK_NAME_BYTES], b[DRPC_LINK_NAME_BYTES];

	memset(a, '/', sizeof(a) - 1);
	a[sizeof(a) - 1] = '\0';
	strcpy(b, a);
	b[sizeof(b) - 2] = '+';
	cr_assert_eq(offer(DRPC_ENVELOPE_POLICY, a, 1, 1, "good"), 1);
	cr_assert_eq(offer(DRPC_ENVELOPE_POLICY, b, 1, 1, "good"), 1);
	cr_assert_eq(restored(), 2);
}
