// SPDX-License-Identifier: Apache-2.0
#include "link/epoch.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "lib/util.h"

static char folder[] = "/tmp/drpc-epoch-XXXXXX";
static char path[64];

static void setup(void)
{
	cr_assert_not_null(freopen("/dev/null", "w", stderr));
	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/epoch", folder);
}

static void teardown(void)
{
	unlink(path);
	cr_assert_eq(rmdir(folder), 0);
}

TestSuite(epoch, .init = setup, .fini = teardown);

static void write_text(const char *text)
{
	FILE *f = fopen(path, "w");

	fputs(text, f);
	fclose(f);
}

static uint64_t next(void)
{
	uint64_t epoch = 0;

	cr_assert_eq(drpc_epoch_next(path, &epoch), 0);
	return epoch;
}

Test(epoch, goes_up_with_the_clock)
{
	const uint64_t before = drpc_realtime_ns() / 1000, first = next();

	cr_assert_geq(first, before);
	cr_assert_gt(next(), first);
}

Test(epoch, goes_up_where_the_clock_went_back)
{
	write_text("4000000000000000\n");
	cr_assert_eq(next(), 4000000000000001ULL);
	cr_assert_eq(next(), 4000000000000002ULL);
}

Test(epoch, a_damaged_file_is_replaced)
{
	static const char *const texts[] = {
		"",    "x", "-5\n", "12", "99999999999999999999999\n", "18446744073709551615\n",
		" 7\n"};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(texts); i++) {
		uint64_t now = drpc_realtime_ns() / 1000, epoch;

		write_text(texts[i]);
		epoch = next();
		cr_assert(epoch >= now && epoch < now + 60000000, "'%s'", texts[i]);
		cr_assert_gt(next(), epoch);
	}
}

Test(epoch, a_place_that_cannot_be_written)
{
	uint64_t epoch = 5;

	cr_assert_lt(drpc_epoch_next("/nonexistent/epoch", &epoch), 0);
	cr_assert_eq(epoch, 5);
	cr_assert_eq(drpc_epoch_next(NULL, &epoch), 0);
	cr_assert_gt(epoch, 5);
}
