// SPDX-License-Identifier: Apache-2.0
#include "teacher/states.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/log.h"

#define HEADER                                                                 \
	"time,deployment,cpu_util,mem_util,replicas,rate_krps,rate_pred_krps," \
	"p99_over_slo,queue_share,cpu_pressure,throttled_share,mem_pressure\n"

static char path[] = "/tmp/drpc-states-XXXXXX";

static void setup(void)
{
	drpc_log_set_level(DRPC_LOG_ERROR);
	close(mkstemp(path));
}

static void teardown(void)
{
	unlink(path);
}

TestSuite(states, .init = setup, .fini = teardown);

static void store(const char *text)
{
	FILE *f = fopen(path, "w");

	cr_assert_not_null(f);
	fputs(text, f);
	cr_assert_eq(fclose(f), 0);
}

Test(states, a_deployment_of_a_file_is_a_group)
{
	struct drpc_states states = {0};

	store(HEADER "1,\"a\",1,2,3,4,5,6,7,8,9,10\n"
		     "2,\"b, \"\"so\"\"\",0,0,1,0,0,0,0,0,0,0\n"
		     "3,\"a\",11,2,3,4,5,6,7,8,9,10\n");
	cr_assert_eq(drpc_states_load(path, &states), 0);
	cr_assert_eq(states.count, 3);
	cr_assert_eq(states.group_count, 2);
	cr_assert_eq(states.groups[0], 0);
	cr_assert_eq(states.groups[1], 1);
	cr_assert_eq(states.groups[2], 0);
	for (int i = 0; i < DRPC_F_COUNT; i++)
		cr_assert_eq(states.features[i], (float)(i + 1));
	cr_assert_eq(drpc_states_load(path, &states), 0);
	cr_assert_eq(states.group_count, 4, "another file, other groups");
	cr_assert_eq(states.groups[3], 2);
	drpc_states_free(&states);
}

Test(states, columns_are_found_by_name)
{
	struct drpc_states states = {0};

	store("mem_pressure,cpu_util,mem_util,replicas,rate_krps,rate_pred_krps,p99_over_slo,"
	      "queue_share,cpu_pressure,throttled_share,remark\n"
	      "10,1,2,3,4,5,6,7,8,9,well\n");
	cr_assert_eq(drpc_states_load(path, &states), 0);
	cr_assert_eq(states.group_count, 1);
	for (int i = 0; i < DRPC_F_COUNT; i++)
		cr_assert_eq(states.features[i], (float)(i + 1));
	drpc_states_free(&states);
}

Test(states, whole_groups_are_held_out)
{
	const float f[DRPC_F_COUNT] = {0};
	struct drpc_states states = {0}, held_out = {0};

	for (int i = 0; i < 40; i++)
		cr_assert_eq(drpc_states_add(&states, (uint32_t)i % 10, f), 0);
	cr_assert_eq(drpc_states_split(&states, 5, &held_out), 0);
	cr_assert_eq(states.count, 32);
	cr_assert_eq(held_out.count, 8);
	for (size_t i = 0; i < states.count; i++)
		cr_assert_neq(states.groups[i] % 5, 4);
	for (size_t i = 0; i < held_out.count; i++)
		cr_assert_eq(held_out.groups[i] % 5, 4);
	drpc_states_free(&states);
	drpc_states_free(&held_out);

	for (int i = 0; i < 9; i++)
		cr_assert_eq(drpc_states_add(&states, (uint32_t)i % 3, f), 0);
	cr_assert_eq(drpc_states_split(&states, 5, &held_out), 0, "fewer groups than five");
	cr_assert_eq(states.count, 6);
	cr_assert_eq(held_out.count, 3);
	drpc_states_free(&states);
	drpc_states_free(&held_out);

	cr_assert_eq(drpc_states_add(&states, 0, f), 0);
	cr_assert_eq(drpc_states_split(&states, 5, &held_out), -ENODATA);
	cr_assert_eq(states.count, 1);
	drpc_states_free(&states);
}

Test(states, what_is_no_recording_is_refused_and_leaves_nothing)
{
	static const char *const bad[] = {
		"",
		"time,deployment,cpu_util\n1,a,0.5\n",
		HEADER "1,a,1,2,3,4,5,6,7,8,9\n",
		HEADER "1,a,1,2,3,4,5,6,7,8,9,10,11\n",
		HEADER "1,a,1,2,3,4,5,6,nan,8,9,10\n",
		HEADER "1,a,1,2,3,4,5,6,7,8,9,10\n1,a,1,2,3,4,5,6,7,8,9,ten\n",
	};
	const float f[DRPC_F_COUNT] = {0};
	struct drpc_states states = {0};

	cr_assert_eq(drpc_states_add(&states, 0, f), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		store(bad[i]);
		cr_assert_eq(drpc_states_load(path, &states), -EINVAL, "file %zu", i);
		cr_assert_eq(states.count, 1);
		cr_assert_eq(states.group_count, 1);
	}
	cr_assert_eq(drpc_states_load("/nowhere/states", &states), -ENOENT);
	drpc_states_free(&states);
}
