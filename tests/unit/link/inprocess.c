// SPDX-License-Identifier: Apache-2.0
/* The whole way within a process: link.c, inprocess.c, with queue, store and news. */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "lib/util.h"
#include "link/link.h"
#include "tests/unit/link/sample.h"

static struct drpc_signer *signer;
static struct drpc_keyring *keyring;
static struct drpc_store *store;
static struct drpc_link *self;

static int load(void *arg, const char *name, const void *payload, size_t bytes, void **ret)
{
	(void)arg;
	(void)name;
	*ret = strndup(payload, bytes);
	return 0;
}

static void setup(void)
{
	struct drpc_store_config config = {.load = load, .unload = free};
	struct drpc_link_config link = {.node = "here", .queue_records = 64};

	cr_assert_not_null(freopen("/dev/null", "w", stderr));
	cr_assert_eq(drpc_signer_ephemeral(&signer), 0);
	cr_assert_eq(drpc_keyring_new(&keyring), 0);
	cr_assert_eq(drpc_keyring_trust(keyring, signer), 0);
	config.keyring = keyring;
	cr_assert_eq(drpc_store_open(&config, &store), 0);
	link.store = store;
	cr_assert_eq(drpc_link_inprocess_new(&link, &self), 0);
}

static void teardown(void)
{
	drpc_link_free(&self);
	cr_assert_null(self);
	drpc_link_free(&self);
	drpc_store_close(&store);
	drpc_keyring_free(&keyring);
	drpc_signer_free(&signer);
}

TestSuite(inprocess, .init = setup, .fini = teardown);

static int taken;

static int take(void *arg, const char *node, uint64_t sequence, const struct drpc_experience *x)
{
	cr_assert_eq(arg, &taken);
	cr_assert_str_eq(node, "here");
	cr_assert_gt(sequence, 0);
	cr_assert_eq(drpc_experience_check(x), DRPC_REJECT_NONE);
	taken++;
	return x->step == 4 ? -ENOSPC : 0;
}

Test(inprocess, experience)
{
	struct drpc_link_stats stats;
	struct drpc_experience x;

	cr_assert_eq(drpc_link_receive(self, 1, take, &taken), 0);
	for (uint64_t i = 0; i < 70; i++) {
		x = sample(i);
		if (i == 10)
			x.coverage = NAN;
		cr_assert_eq(drpc_link_publish(self, &x), i < 64 ? 0 : -ENOBUFS);
	}
	cr_assert_eq(drpc_link_receive(self, 1, take, &taken), 63);
	cr_assert_eq(taken, 63);
	drpc_link_stats(self, &stats);
	cr_assert(stats.connected);
	cr_assert_eq(stats.queued, 64);
	cr_assert_eq(stats.queue_dropped, 6);
	cr_assert_eq(stats.sent_records, 64);
	cr_assert_eq(stats.accepted, 63);
	cr_assert_eq(stats.failed, 1);
	cr_assert_eq(stats.rejected[DRPC_REJECT_COVERAGE], 1);
	cr_assert_eq(drpc_link_publish(NULL, &x), 0);
}

static int announce(enum drpc_envelope_kind kind, uint64_t serial, uint64_t version,
		    const char *payload)
{
	const struct drpc_envelope e = {.kind = kind,
					.name = "web",
					.serial = serial,
					.version = version,
					.payload = payload,
					.payload_bytes = strlen(payload)};
	_cleanup_free_ unsigned char *data = NULL;
	size_t bytes;

	cr_assert_eq(drpc_envelope_seal(signer, &e, &data, &bytes), 0);
	return drpc_link_announce(self, data, bytes);
}

static bool readable(void)
{
	struct pollfd fd = {.fd = drpc_link_fd(self), .events = POLLIN};

	return poll(&fd, 1, 0) == 1;
}

Test(inprocess, policies)
{
	struct drpc_link_stats stats;
	struct drpc_envelope e;
	struct drpc_news *news;

	cr_assert_not(readable());
	cr_assert_null(drpc_link_next(self));
	cr_assert_eq(drpc_link_published(self, "web", false, &e), -ENOENT);
	cr_assert_eq(announce(DRPC_ENVELOPE_POLICY, 3, 3, "three"), 0);
	cr_assert_eq(announce(DRPC_ENVELOPE_POLICY, 3, 3, "three"), 0);
	cr_assert_eq(announce(DRPC_ENVELOPE_POLICY, 2, 2, "two"), -ESTALE);
	cr_assert_eq(announce(DRPC_ENVELOPE_MODE, 1, 0, "training 0.1\n"), 0);
	cr_assert_eq(drpc_link_announce(self, "rubbish", 7), -EILSEQ);
	cr_assert(readable());
	news = drpc_link_next(self);
	cr_assert_eq(news->kind, DRPC_ENVELOPE_POLICY);
	cr_assert_str_eq(news->policy, "three");
	drpc_news_free(&news);
	news = drpc_link_next(self);
	cr_assert_eq(news->mode.mode, DRPC_LINK_TRAINING);
	drpc_news_free(&news);
	cr_assert_null(drpc_link_next(self));
	cr_assert_not(readable());
	cr_assert_eq(drpc_link_published(self, "web", false, &e), 0);
	cr_assert_eq(e.version, 3);
	/* One that nobody takes is freed with the link. */
	cr_assert_eq(announce(DRPC_ENVELOPE_POLICY, 4, 4, "four"), 0);
	drpc_link_stats(self, &stats);
	cr_assert_eq(stats.announced, 4);
	cr_assert_eq(stats.store.accepted, 3);
	cr_assert_eq(stats.store.older, 1);
}

Test(inprocess, the_lease_is_always_held)
{
	uint64_t until = 0;

	cr_assert_eq(drpc_link_lease(self, "here", &until), 0);
	cr_assert_gt(until, drpc_now_ns());
	cr_assert_eq(drpc_link_lease(self, "", &until), -EINVAL);
	cr_assert_eq(drpc_link_release(self), 0);
}

Test(inprocess, settings_that_cannot_work)
{
	const struct drpc_link_config bad = {.node = "a\nb"}, none = {0};
	struct drpc_link *other = NULL;

	cr_assert_eq(drpc_link_inprocess_new(&bad, &other), -EINVAL);
	cr_assert_eq(drpc_link_inprocess_new(&none, &other), 0);
	cr_assert_eq(drpc_link_receive(other, 1, take, NULL), -EINVAL);
	drpc_link_free(&other);
}
