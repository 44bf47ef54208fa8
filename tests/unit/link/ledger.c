// SPDX-License-Identifier: Apache-2.0
#include "link/ledger.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/util.h"
#include "link/codec.h"
#include "nn/rng.h"

static char folder[] = "/tmp/drpc-ledger-XXXXXX";
static char path[64];
static struct drpc_ledger *ledger;

static void setup(void)
{
	cr_assert_not_null(freopen("/dev/null", "w", stderr));
	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/ledger", folder);
	cr_assert_eq(drpc_ledger_open(path, &ledger), 0);
}

static void teardown(void)
{
	drpc_ledger_close(&ledger);
	cr_assert_null(ledger);
	unlink(path);
	cr_assert_eq(rmdir(folder), 0);
}

TestSuite(ledger, .init = setup, .fini = teardown);

static enum drpc_reject take(uint64_t epoch, uint64_t first, size_t count)
{
	return drpc_ledger_take(ledger, "node", epoch, first, count);
}

Test(ledger, each_once)
{
	cr_assert_eq(take(1, 1, 100), DRPC_REJECT_NONE);
	cr_assert_eq(take(1, 1, 100), DRPC_REJECT_DUPLICATE);
	cr_assert_eq(take(1, 100, 1), DRPC_REJECT_DUPLICATE);
	cr_assert_eq(take(1, 100, 64), DRPC_REJECT_DUPLICATE, "one of them is known");
	cr_assert_eq(take(1, 101, 64), DRPC_REJECT_NONE);
	/* Out of order, with a hole that is filled later. */
	cr_assert_eq(take(1, 200, 50), DRPC_REJECT_NONE);
	cr_assert_eq(drpc_ledger_node(ledger, 0).missing, 35);
	cr_assert_eq(take(1, 165, 35), DRPC_REJECT_NONE);
	cr_assert_eq(drpc_ledger_node(ledger, 0).missing, 0);
	cr_assert_eq(drpc_ledger_node(ledger, 0).newest, 249);
	/* Another node is another book. */
	cr_assert_eq(drpc_ledger_take(ledger, "other", 1, 1, 100), DRPC_REJECT_NONE);
	cr_assert_eq(drpc_ledger_count(ledger), 2);
}

Test(ledger, the_window_moves_on)
{
	const uint64_t window = DRPC_LEDGER_BLOCKS * 64;

	cr_assert_eq(take(1, 10, 1), DRPC_REJECT_NONE);
	cr_assert_eq(take(1, window + 128, 1), DRPC_REJECT_NONE);
	/* Its place has another block only where their numbers meet. */
	cr_assert_eq(take(1, 11, 1), DRPC_REJECT_NONE);
	cr_assert_eq(take(1, window + 1, 1), DRPC_REJECT_NONE);
	cr_assert_eq(take(1, 12, 1), DRPC_REJECT_LATE);
	cr_assert_eq(take(1, 10, 1), DRPC_REJECT_LATE);
}

Test(ledger, epochs)
{
	cr_assert_eq(take(5, 1, 10), DRPC_REJECT_NONE);
	cr_assert_eq(take(6, 1, 10), DRPC_REJECT_NONE);
	cr_assert_eq(take(5, 1, 10), DRPC_REJECT_DUPLICATE);
	cr_assert_eq(take(5, 11, 10), DRPC_REJECT_NONE, "late of the start before");
	cr_assert_eq(take(5, 31, 10), DRPC_REJECT_NONE);
	cr_assert_eq(drpc_ledger_node(ledger, 0).lost, 10);
	cr_assert_eq(take(9, 1, 10), DRPC_REJECT_NONE);
	cr_assert_eq(take(5, 41, 10), DRPC_REJECT_EPOCH);
	cr_assert_eq(take(7, 1, 10), DRPC_REJECT_EPOCH);
	cr_assert_eq(take(6, 1, 10), DRPC_REJECT_DUPLICATE);
	cr_assert_eq(take(9, 1, 10), DRPC_REJECT_DUPLICATE);
	cr_assert_eq(drpc_ledger_node(ledger, 0).lost, 10);
	cr_assert_eq(drpc_ledger_node(ledger, 0).epoch, 9);
}

Test(ledger, numbers_of_no_sender)
{
	cr_assert_eq(take(0, 1, 1), DRPC_REJECT_SEQUENCE);
	cr_assert_eq(take(1, 0, 1), DRPC_REJECT_SEQUENCE);
	cr_assert_eq(take(1, 1, 0), DRPC_REJECT_SEQUENCE);
	cr_assert_eq(take(1, 1, DRPC_BATCH_MAX_RECORDS + 1), DRPC_REJECT_SEQUENCE);
	cr_assert_eq(take(1, UINT64_MAX, 5), DRPC_REJECT_SEQUENCE);
	cr_assert_eq(take(1, 1ULL << 40, 5), DRPC_REJECT_SEQUENCE);
	cr_assert_eq(drpc_ledger_take(ledger, "", 1, 1, 1), DRPC_REJECT_NODE);
	cr_assert_eq(take(1, 1, 5), DRPC_REJECT_NONE);
	/* A refused batch of an epoch to come does not begin it. */
	cr_assert_eq(take(2, 1ULL << 40, 5), DRPC_REJECT_SEQUENCE);
	cr_assert_eq(take(1, 6, 5), DRPC_REJECT_NONE);
	cr_assert_eq(drpc_ledger_node(ledger, 0).epoch, 1);
}

/* Whatever comes, in whatever order: against a plain list of what was accepted. */
Test(ledger, never_twice)
{
	enum { NUMBERS = 100000, DRAWS = 20000 };
	_cleanup_free_ unsigned char *seen = calloc(NUMBERS + 300, 1);
	struct drpc_rng rng = drpc_rng_make(3, 1);
	size_t accepted = 0;

	for (int i = 0; i < DRAWS; i++) {
		uint64_t at[2];
		size_t count;

		drpc_rng_indices(&rng, 6000, 2, at);
		count = at[1] % 200 + 1;
		at[0] += (uint64_t)i * (NUMBERS - 6000) / DRAWS + 1;
		if (take(1, at[0], count) != DRPC_REJECT_NONE)
			continue;
		for (size_t k = 0; k < count; k++)
			cr_assert_eq(seen[at[0] + k]++, 0, "%zu", (size_t)at[0] + k);
		accepted += count;
		if (i % 1000 == 0) {
			drpc_ledger_close(&ledger);
			cr_assert_eq(drpc_ledger_open(path, &ledger), 0);
		}
	}
	cr_assert_gt(accepted, 20000);
	cr_assert_eq(drpc_ledger_node(ledger, 0).accepted, accepted);
}

Test(ledger, outlives_the_process)
{
	struct drpc_ledger *second = NULL;

	cr_assert_eq(take(4, 1, 70), DRPC_REJECT_NONE);
	cr_assert_eq(drpc_ledger_sync(ledger), 0);
	cr_assert_eq(drpc_ledger_open(path, &second), -EBUSY);
	drpc_ledger_close(&ledger);
	cr_assert_eq(drpc_ledger_open(path, &ledger), 0);
	cr_assert_eq(drpc_ledger_count(ledger), 1);
	cr_assert_str_eq(drpc_ledger_node(ledger, 0).name, "node");
	cr_assert_eq(take(4, 70, 1), DRPC_REJECT_DUPLICATE);
	cr_assert_eq(take(4, 71, 1), DRPC_REJECT_NONE);
}

Test(ledger, room_for_so_many_nodes)
{
	struct drpc_ledger *memory = NULL;
	char name[32];

	cr_assert_eq(drpc_ledger_open(NULL, &memory), 0);
	for (unsigned int i = 0; i < DRPC_LEDGER_NODES; i++) {
		snprintf(name, sizeof(name), "node-%u", i);
		cr_assert_eq(drpc_ledger_take(memory, name, 1, 1, 1), DRPC_REJECT_NONE);
	}
	cr_assert_eq(drpc_ledger_take(memory, "more", 1, 1, 1), DRPC_REJECT_NODES);
	cr_assert_eq(drpc_ledger_take(memory, "node-7", 1, 1, 1), DRPC_REJECT_DUPLICATE);
	cr_assert(drpc_ledger_forget(memory, "node-7"));
	cr_assert_not(drpc_ledger_forget(memory, "node-7"));
	cr_assert_eq(drpc_ledger_take(memory, "node-4095", 1, 1, 1), DRPC_REJECT_DUPLICATE);
	cr_assert_eq(drpc_ledger_take(memory, "node-7", 1, 1, 1), DRPC_REJECT_NONE);
	cr_assert_eq(drpc_ledger_sync(memory), 0);
	drpc_ledger_close(&memory);
}

Test(ledger, what_is_no_ledger)
{
	struct drpc_ledger *other = NULL;
	struct stat st;
	int fd;

	drpc_ledger_close(&ledger);
	fd = open(path, O_WRONLY);
	cr_assert_eq(pwrite(fd, "X", 1, 0), 1);
	cr_assert_eq(drpc_ledger_open(path, &other), -EILSEQ);
	cr_assert_eq(pwrite(fd, "DRPCLDG\n\x07", 9, 0), 9);
	cr_assert_eq(drpc_ledger_open(path, &other), -EPROTONOSUPPORT);
	cr_assert_eq(ftruncate(fd, 100), 0);
	cr_assert_eq(drpc_ledger_open(path, &other), -EILSEQ);
	cr_assert_eq(fstat(fd, &st), 0);
	cr_assert_eq(st.st_size, 100, "a file that is not ours stays as it is");
	close(fd);
	cr_assert_null(other);
}
