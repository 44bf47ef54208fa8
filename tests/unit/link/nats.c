// SPDX-License-Identifier: Apache-2.0
/* What needs no server; tests/e2e/link.sh has the rest. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "lib/util.h"
#include "link/nats_internal.h"
#include "tests/unit/link/sample.h"

static char folder[] = "/tmp/drpc-nats-XXXXXX";
static char path[64];

static void setup(void)
{
	cr_assert_not_null(freopen("/dev/null", "w", stderr));
	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/f", folder);
}

static void teardown(void)
{
	unlink(path);
	cr_assert_eq(rmdir(folder), 0);
}

TestSuite(nats, .init = setup, .fini = teardown);

Test(nats, keys_of_the_broker)
{
	static const char seed[] = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
	char public[NATS_NKEY_BYTES], bad[sizeof(seed)];

	cr_assert_eq(drpc_nats_nkey_public(seed, public), 0);
	cr_assert_str_eq(public, "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4");
	for (size_t i = 0; i < sizeof(seed) - 1; i++) {
		strcpy(bad, seed);
		bad[i] = bad[i] == 'A' ? 'B' : 'A';
		/* The last character's lowest bits are no part of the key. */
		if (i < sizeof(seed) - 2)
			cr_assert_eq(drpc_nats_nkey_public(bad, public), -EINVAL, "%zu", i);
		bad[i] = '1';
		cr_assert_eq(drpc_nats_nkey_public(bad, public), -EINVAL, "%zu", i);
		bad[i] = '\0';
		cr_assert_eq(drpc_nats_nkey_public(bad, public), -EINVAL, "%zu", i);
	}
}

#define REFUSED(change)                                                                    \
	do {                                                                               \
		struct drpc_link_config config = {.node = "n"};                            \
		struct drpc_link_nats_config nats = {.servers = "nats://127.0.0.1:1"};     \
		struct drpc_link *self = NULL;                                             \
		change;                                                                    \
		cr_expect_lt(drpc_link_nats_new(&config, &nats, &self), 0, "%s", #change); \
		cr_expect_null(self);                                                      \
	} while (0)

Test(nats, settings_that_cannot_work)
{
	FILE *f = fopen(path, "w");

	fputs("no key\n", f);
	fclose(f);
	REFUSED(config.node = "");
	REFUSED(nats.servers = NULL);
	REFUSED(nats.prefix = "a.b");
	REFUSED(nats.prefix = "");
	REFUSED(nats.consumer = "a*");
	REFUSED(nats.batch_records = 257);
	REFUSED(nats.ca_file = path);
	REFUSED(nats.server_name = "x");
	REFUSED(nats.ca_file = nats.certificate_file = nats.key_file = path);
	REFUSED(nats.ca_file = nats.certificate_file = nats.key_file = "/nonexistent");
	REFUSED(nats.credentials_file = path);
	REFUSED(nats.credentials_file = "/nonexistent");
	REFUSED(nats.epoch_file = "/nonexistent/epoch");
}

static int nobody(void *arg, const char *node, uint64_t sequence, const struct drpc_experience *x)
{
	(void)arg;
	(void)node;
	(void)sequence;
	(void)x;
	cr_expect_fail("there is no server");
	return 0;
}

/* Nobody listens: nothing waits for it, the backlog stays in its bound, and all of it is counted. */
Test(nats, without_a_server)
{
	struct drpc_ledger *ledger = NULL;
	struct drpc_link_config config = {.node = "n"};
	const struct drpc_link_nats_config nats = {.servers = "nats://127.0.0.1:1",
						   .epoch_file = path,
						   .backlog_bytes = 20000,
						   .batch_records = 10,
						   .flush_ms = 10};
	struct drpc_link *self = NULL;
	struct drpc_link_stats stats;
	uint64_t begin, end;

	cr_assert_eq(drpc_ledger_open(NULL, &ledger), 0);
	config.ledger = ledger;
	cr_assert_eq(drpc_link_nats_new(&config, &nats, &self), 0);
	begin = drpc_now_ns();
	for (uint64_t i = 0; i < 2000; i++) {
		const struct drpc_experience x = sample(i);

		cr_assert_eq(drpc_link_publish(self, &x), 0);
	}
	cr_assert_lt(drpc_now_ns() - begin, DRPC_NSEC_PER_SEC);
	end = drpc_now_ns() + 20 * DRPC_NSEC_PER_SEC;
	do {
		usleep(10000);
		drpc_link_stats(self, &stats);
	} while (stats.backlog_records + stats.backlog_dropped < 2000 && drpc_now_ns() < end);
	cr_assert_eq(stats.backlog_records + stats.backlog_dropped, 2000);
	cr_assert_gt(stats.backlog_records, 20);
	cr_assert_leq(stats.backlog_bytes, 20000);
	cr_assert_not(stats.connected);
	cr_assert_eq(drpc_link_receive(self, 20, nobody, NULL), 0);
	cr_assert_eq(drpc_link_announce(self, "x", 1), -EILSEQ);
	drpc_link_free(&self);
	drpc_ledger_close(&ledger);
}
