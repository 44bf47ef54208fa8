// SPDX-License-Identifier: Apache-2.0
#include "tools/drpc/doctor.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "lib/util.h"
#include "tests/unit/cli/paper.h"

Test(doctor, releases)
{
	cr_expect(drpc_release_at_least("5.15.0-91-generic", 5, 15));
	cr_expect(drpc_release_at_least("6.1.0-13-amd64", 5, 15));
	cr_expect(drpc_release_at_least("10.0", 5, 15));
	cr_expect_not(drpc_release_at_least("5.4.0", 5, 15));
	cr_expect_not(drpc_release_at_least("4.18.0-513.el8", 5, 15));
	cr_expect_not(drpc_release_at_least("nonsense", 5, 15));
	cr_expect_not(drpc_release_at_least("", 5, 15));
}

Test(doctor, cgroup_modes)
{
	cr_expect_eq(drpc_cgroup_mode_of("cpuset cpu io memory hugetlb pids\n"), DRPC_CGROUPS_V2);
	cr_expect_eq(drpc_cgroup_mode_of("memory cpu"), DRPC_CGROUPS_V2);
	cr_expect_eq(drpc_cgroup_mode_of("cpuset io memory\n"), DRPC_CGROUPS_HYBRID,
		     "cpuset is not cpu");
	cr_expect_eq(drpc_cgroup_mode_of("\n"), DRPC_CGROUPS_HYBRID);
	cr_expect_eq(drpc_cgroup_mode_of(""), DRPC_CGROUPS_HYBRID);
	cr_expect_eq(drpc_cgroup_mode_of(NULL), DRPC_CGROUPS_V1);
}

static struct drpc_doctor *example(void)
{
	struct drpc_doctor *doctor = calloc(1, sizeof(*doctor));

	drpc_doctor_add(doctor, "Kernel", "version", DRPC_FINDING_OK, "%s", "6.1.0");
	drpc_finding_say(drpc_doctor_add(doctor, "Kernel", "io_uring", DRPC_FINDING_DEGRADED,
					 "not permitted"),
			 "the agent uses epoll instead", "sysctl kernel.io_uring_disabled=0");
	drpc_finding_say(drpc_doctor_add(doctor, "Services", "agent", DRPC_FINDING_MISSING, "%s",
					 "not running"),
			 "nothing is measured", "systemctl start drpc-agent");
	doctor->can_measure = true;
	return doctor;
}

Test(doctor, lines)
{
	struct drpc_doctor *doctor = example();
	struct drpc_term term = paper_term(0);
	static struct paper paper;

	drpc_doctor_print(doctor, &term, paper_emit, &paper);
	cr_expect_str_eq(paper.text,
			 "Kernel\n"
			 "  ok        version              6.1.0\n"
			 "  degraded  io_uring             not permitted\n"
			 "                                 the agent uses epoll instead\n"
			 "                                 → sysctl kernel.io_uring_disabled=0\n"
			 "\n"
			 "Services\n"
			 "  missing   agent                not running\n"
			 "                                 nothing is measured\n"
			 "                                 → systemctl start drpc-agent\n"
			 "\n"
			 "drpc can measure here, but cannot change limits.\n");
	free(doctor);
}

Test(doctor, lines_fit_the_terminal)
{
	struct drpc_doctor *doctor = example();
	struct drpc_term term = paper_term(60);
	static struct paper paper;

	drpc_finding_say(&doctor->findings[0],
			 "words that go on and on, further than the edge of the terminal, and are "
			 "broken between two of them",
			 "");
	drpc_doctor_print(doctor, &term, paper_emit, &paper);
	cr_expect_leq(paper_width(&paper), 60, "%s", paper.text);
	free(doctor);
}

Test(doctor, json)
{
	struct drpc_doctor *doctor = example();
	struct json_object *o = drpc_doctor_json(doctor), *checks, *check;
	static const char *const fields[] = {"group", "name", "state", "found", "means", "todo"};

	cr_expect(drpc_field_bool(o, "can_measure"));
	cr_expect_not(drpc_field_bool(o, "can_act"));
	cr_assert(json_object_object_get_ex(o, "checks", &checks));
	cr_expect_eq(json_object_array_length(checks), 3);
	check = json_object_array_get_idx(checks, 1);
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(fields); i++)
		cr_expect(json_object_object_get_ex(check, fields[i], NULL), "%s", fields[i]);
	cr_expect_str_eq(drpc_field_string(check, "state"), "degraded");
	json_object_put(o);
	free(doctor);
}

Test(doctor, too_many_findings_share_the_last_place)
{
	struct drpc_doctor *doctor = calloc(1, sizeof(*doctor));

	for (int i = 0; i < 2 * DRPC_FINDINGS_MAX; i++)
		drpc_doctor_add(doctor, "Kernel", "x", DRPC_FINDING_OK, "%d", i);
	cr_expect_eq(doctor->count, DRPC_FINDINGS_MAX);
	cr_expect_str_eq(doctor->findings[DRPC_FINDINGS_MAX - 1].found, "159");
	free(doctor);
}
