// SPDX-License-Identifier: Apache-2.0
/* The link within a process: agents' threads push and take, a teacher's receives and announces. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "link/link.h"
#include "tests/lib/tap.h"
#include "tests/unit/link/sample.h"

#define PRODUCERS 3
#define RECORDS	  20000
#define POLICIES  300

static struct drpc_link *self;
static atomic_uint refused;
static unsigned int received[PRODUCERS], out_of_order;

static void *produce(void *arg)
{
	const uint64_t producer = (uint64_t)(uintptr_t)arg;
	struct drpc_experience x = sample(producer);

	for (uint64_t i = 1; i <= RECORDS; i++) {
		x.policy_version = producer;
		x.step = i;
		if (drpc_link_publish(self, &x) < 0)
			atomic_fetch_add(&refused, 1);
		/* So that the queue is full at times, and empty at others. */
		if (i % 5000 == 0)
			usleep(1000);
	}
	return NULL;
}

static int take(void *arg, const char *node, uint64_t sequence, const struct drpc_experience *x)
{
	static uint64_t last[PRODUCERS];

	(void)arg;
	(void)node;
	(void)sequence;
	out_of_order += x->step <= last[x->policy_version];
	last[x->policy_version] = x->step;
	received[x->policy_version]++;
	return 0;
}

static int load(void *arg, const char *name, const void *payload, size_t bytes, void **ret)
{
	(void)arg;
	(void)name;
	*ret = strndup(payload, bytes);
	return 0;
}

static atomic_bool done;

/* Told last of all to look once more. */
static void *agent(void *arg)
{
	uint64_t *serial = arg;

	for (bool last = false; !last;) {
		struct drpc_news *news;

		last = atomic_load(&done);
		while ((news = drpc_link_next(self))) {
			if (news->serial == *serial + 1 && strcmp(news->policy, "policy") == 0)
				*serial = news->serial;
			drpc_news_free(&news);
		}
		usleep(100);
	}
	return NULL;
}

static bool announce(const struct drpc_signer *signer, uint64_t serial)
{
	const struct drpc_envelope e = {.kind = DRPC_ENVELOPE_POLICY,
					.name = "web",
					.serial = serial,
					.version = serial,
					.payload = "policy",
					.payload_bytes = 6};
	_cleanup_free_ unsigned char *data = NULL;
	size_t bytes;

	return drpc_envelope_seal(signer, &e, &data, &bytes) == 0 &&
	       drpc_link_announce(self, data, bytes) == 0;
}

static void test(const struct drpc_signer *signer)
{
	pthread_t producers[PRODUCERS], taker;
	struct drpc_link_stats stats;
	uint64_t seen = 0, announced = 0;
	unsigned int total = 0;

	pthread_create(&taker, NULL, agent, &seen);
	for (uint64_t i = 0; i < PRODUCERS; i++)
		pthread_create(&producers[i], NULL, produce, (void *)(uintptr_t)i);
	do {
		drpc_link_receive(self, 5, take, NULL);
		if (announced < POLICIES && announce(signer, announced + 1))
			announced++;
		drpc_link_stats(self, &stats);
	} while (stats.queued + stats.queue_dropped < (uint64_t)PRODUCERS * RECORDS ||
		 announced < POLICIES);
	for (int i = 0; i < PRODUCERS; i++)
		pthread_join(producers[i], NULL);
	while (drpc_link_receive(self, 1, take, NULL) > 0) {}
	atomic_store(&done, true);
	pthread_join(taker, NULL);
	for (int i = 0; i < PRODUCERS; i++)
		total += received[i];
	drpc_link_stats(self, &stats);
	tap_ok(total + refused == PRODUCERS * RECORDS, "every record came or was counted");
	tap_ok(stats.queue_dropped == refused && stats.queued == total, "by the link as well");
	tap_ok(out_of_order == 0, "in the order of each producer");
	tap_ok(seen == POLICIES, "every policy came, in order");
}

/* Over NATS the sender's thread has the rest; here nobody answers it. */
static void test_nats(void)
{
	const struct drpc_link_config link = {.node = "node", .queue_records = 1024};
	const struct drpc_link_nats_config nats = {
		.servers = "nats://127.0.0.1:1", .backlog_bytes = 100000, .flush_ms = 10};
	pthread_t producers[PRODUCERS];
	struct drpc_link_stats stats;
	uint64_t end = drpc_now_ns() + 20 * DRPC_NSEC_PER_SEC;

	refused = 0;
	if (!tap_ok(drpc_link_nats_new(&link, &nats, &self) == 0, "a link without a server"))
		return;
	for (uint64_t i = 0; i < PRODUCERS; i++)
		pthread_create(&producers[i], NULL, produce, (void *)(uintptr_t)i);
	for (int i = 0; i < PRODUCERS; i++)
		pthread_join(producers[i], NULL);
	do {
		usleep(10000);
		drpc_link_stats(self, &stats);
	} while (stats.backlog_records + stats.backlog_dropped < stats.queued &&
		 drpc_now_ns() < end);
	tap_ok(stats.queued + refused == PRODUCERS * RECORDS &&
		       stats.backlog_records + stats.backlog_dropped == stats.queued,
	       "every record waits or was counted");
	drpc_link_free(&self);
}

int main(void)
{
	struct drpc_store_config config = {.load = load, .unload = free};
	struct drpc_link_config link = {.node = "node", .queue_records = 1024};
	struct drpc_keyring *keyring = NULL;
	struct drpc_signer *signer = NULL;
	struct drpc_store *store = NULL;

	drpc_log_set_level(DRPC_LOG_ERROR);
	if (drpc_signer_ephemeral(&signer) == 0 && drpc_keyring_new(&keyring) == 0 &&
	    drpc_keyring_trust(keyring, signer) == 0) {
		config.keyring = keyring;
		if (drpc_store_open(&config, &store) == 0) {
			link.store = store;
			if (tap_ok(drpc_link_inprocess_new(&link, &self) == 0, "a link"))
				test(signer);
		}
	}
	drpc_link_free(&self);
	test_nats();
	drpc_store_close(&store);
	drpc_keyring_free(&keyring);
	drpc_signer_free(&signer);
	return tap_done();
}
