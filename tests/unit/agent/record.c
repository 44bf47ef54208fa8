// SPDX-License-Identifier: Apache-2.0
#include "agent/record.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/util.h"

Test(record, one_header_and_a_line_a_state)
{
	char path[] = "/tmp/drpc-record-XXXXXX";
	struct drpc_observation observation = {.features = {0.25f, 0.5f, 2, 0.1f}};
	_cleanup_free_ char *text = NULL;
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	close(fd);
	/* Opened twice: the second run goes on in the same file. */
	for (int run = 0; run < 2; run++) {
		struct drpc_record *record = NULL;

		cr_assert_eq(drpc_record_open(path, &record), 0);
		drpc_record_state(record, "shop/\"a\",b", 1500000000ULL, &observation);
		drpc_record_close(&record);
		cr_expect_null(record);
	}
	cr_assert_gt(drpc_read_file_at(AT_FDCWD, path, 65536, &text), 0);
	cr_expect_str_eq(text,
			 "time,deployment,cpu_util,mem_util,replicas,rate_krps,rate_pred_krps,"
			 "p99_over_slo,queue_share,cpu_pressure,throttled_share,mem_pressure\n"
			 "1.500,\"shop/\"\"a\"\",b\",0.25,0.5,2,0.1,0,0,0,0,0,0\n"
			 "1.500,\"shop/\"\"a\"\",b\",0.25,0.5,2,0.1,0,0,0,0,0,0\n");
	unlink(path);
}

Test(record, full_disk_ends_the_recording_alone)
{
	struct drpc_record *record = NULL;
	struct drpc_observation observation = {0};

	if (access("/dev/full", W_OK) < 0)
		cr_skip_test("there is no /dev/full");
	cr_assert_eq(drpc_record_open("/dev/full", &record), 0);
	for (int i = 0; i < 10000; i++)
		drpc_record_state(record, "web", 1, &observation);
	drpc_record_close(&record);
	drpc_record_state(NULL, "web", 1, &observation);
}

Test(record, unwritable_path)
{
	struct drpc_record *record = NULL;

	cr_expect_eq(drpc_record_open("/nonexistent/states.csv", &record), -ENOENT);
	cr_expect_null(record);
}
