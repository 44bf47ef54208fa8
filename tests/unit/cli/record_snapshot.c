// SPDX-License-Identifier: Apache-2.0
#include "tools/drpc/record_snapshot.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"

#define COUNTERS                                                                                \
	"\"errors\":1,\"seen\":9,\"lost\":0,\"in_flight\":2,\"total_ns\":900,\"queue_ns\":300," \
	"\"service_ns\":500,\"send_ns\":100,\"cpu_usage_usec\":40,\"periods\":10,"              \
	"\"throttled\":4,\"throttled_usec\":6,\"memory_bytes\":1000,"                           \
	"\"working_set_bytes\":900,\"memory_limit_bytes\":5000,\"oom_kills\":0,"                \
	"\"cpu_limit_cores\":0.5,\"slo_p99_ms\":200,\"deployment\":\"d\""
#define CONTAINER(id, end, hist) \
	"{\"id\":\"" id "\",\"name\":\"n\",\"end_ns\":" end ",\"buckets\":" hist "," COUNTERS "}"
#define TOTALS(containers, edges)                                                                \
	"{\"schema\":3,\"time_ns\":5000000000,\"containers\":[" containers "],\"edges\":[" edges \
	"]}"
#define EDGE(count)                                                                       \
	"{\"caller\":\"b\",\"callee\":\"a\",\"address\":\"10.0.0.1:80\",\"count\":" count \
	",\"failures\":0,\"sum_ns\":70}"

static int parse(const char *text, struct drpc_snapshot *ret)
{
	struct json_object *o = json_tokener_parse(text);
	char why[160] = "";
	int r;

	cr_assert_not_null(o, "%s", text);
	r = drpc_snapshot_parse(o, ret, why, sizeof(why));
	cr_expect_eq(r == 0, why[0] == '\0', "a reason for what failed, and none otherwise");
	json_object_put(o);
	return r;
}

Test(record_snapshot, parsed)
{
	struct drpc_snapshot s;

	cr_assert_eq(
		parse(TOTALS(CONTAINER("b", "70", "[[88,3],[91,2]]") "," CONTAINER("a", "60", "[]"),
			     EDGE("5")),
		      &s),
		0);
	cr_expect_eq(s.time_ms, 5000);
	cr_assert_eq(s.n_containers, 2);
	cr_expect_str_eq(s.containers[0].container.id, "a", "in order");
	cr_expect_str_eq(s.containers[1].container.deployment, "d");
	cr_expect_eq(s.containers[1].container.slo_ns, 200e6);
	cr_expect_eq(s.containers[1].hist[88], 3);
	cr_expect_eq(s.containers[1].totals.throttled, 4);
	cr_expect_eq(s.containers[1].totals.cpu_limit_cores, 0.5);
	cr_expect_eq(s.containers[1].end_ns, 70);
	cr_assert_eq(s.n_edges, 1);
	cr_expect_eq(s.edges[0].caller, 1);
	cr_expect_eq(s.edges[0].callee, 0);
	drpc_snapshot_release(&s);
}

Test(record_snapshot, outside_and_gone)
{
	struct drpc_snapshot s;

	cr_assert_eq(parse(TOTALS(CONTAINER("a", "60", "[]"),
				  "{\"caller\":null,\"callee\":\"a\",\"address\":\"x\",\"count\":1,"
				  "\"failures\":0,\"sum_ns\":1},"
				  "{\"caller\":\"a\",\"callee\":null,\"address\":\"y\",\"count\":1,"
				  "\"failures\":0,\"sum_ns\":1}"),
			   &s),
		     0);
	cr_assert_eq(s.n_edges, 1, "nobody's calls are left out");
	cr_expect_eq(s.edges[0].callee, DRPC_RECORDING_OUTSIDE);
	drpc_snapshot_release(&s);
}

Test(record_snapshot, other_forms)
{
	struct drpc_snapshot s;

	cr_expect_eq(parse("{}", &s), -EPROTO);
	cr_expect_eq(parse("[]", &s), -EPROTO);
	cr_expect_eq(parse("{\"schema\":4,\"time_ns\":1,\"containers\":[],\"edges\":[]}", &s),
		     -EPROTO);
	cr_expect_eq(parse("{\"schema\":3,\"time_ns\":-1,\"containers\":[],\"edges\":[]}", &s),
		     -EPROTO);
	cr_expect_eq(parse("{\"schema\":3,\"time_ns\":1,\"containers\":{},\"edges\":[]}", &s),
		     -EPROTO);
	cr_expect_eq(parse(TOTALS("{\"id\":\"a\"}", ""), &s), -EPROTO);
	cr_expect_eq(parse(TOTALS("7", ""), &s), -EPROTO);
	cr_expect_eq(parse(TOTALS(CONTAINER("", "1", "[]"), ""), &s), -EPROTO);
	cr_expect_eq(parse(TOTALS(CONTAINER("a", "-1", "[]"), ""), &s), -EPROTO);
	cr_expect_eq(parse(TOTALS(CONTAINER("a", "1", "[[210,1]]"), ""), &s), -EPROTO);
	cr_expect_eq(parse(TOTALS(CONTAINER("a", "1", "[[1]]"), ""), &s), -EPROTO);
	cr_expect_eq(parse(TOTALS(CONTAINER("a", "1", "7"), ""), &s), -EPROTO);
	cr_expect_eq(parse(TOTALS("", "{\"caller\":\"a\"}"), &s), -EPROTO);
}

static void interval(const char *before, const char *after, struct drpc_recording_interval *ret,
		     struct drpc_snapshot s[2])
{
	cr_assert_eq(parse(before, &s[0]), 0);
	cr_assert_eq(parse(after, &s[1]), 0);
	cr_assert_eq(drpc_snapshot_interval(&s[0], &s[1], ret), 0);
}

static void done(struct drpc_recording_interval *i, struct drpc_snapshot s[2])
{
	drpc_snapshot_interval_release(i);
	drpc_snapshot_release(&s[0]);
	drpc_snapshot_release(&s[1]);
}

Test(record_snapshot, differences)
{
	struct drpc_recording_interval i;
	struct drpc_snapshot s[2];

	interval(TOTALS(CONTAINER("a", "1000000000", "[[88,3]]") "," CONTAINER("b", "1000000000",
									       "[]"),
			EDGE("5")),
		 TOTALS(CONTAINER("a", "3000000000",
				  "[[88,5],[91,2]]") "," CONTAINER("b", "3000000000", "[]"),
			EDGE("8")),
		 &i, s);
	cr_assert_eq(i.n_containers, 2);
	cr_assert_eq(i.n_samples, 2);
	cr_expect_float_eq(i.samples[0].span_s, 2, 1e-9);
	cr_expect_eq(i.samples[0].time_ms, 5000);
	cr_expect_eq(i.samples[0].requests, 4, "what the histogram counts");
	cr_expect_eq(i.samples[0].hist[88], 2);
	cr_expect_eq(i.samples[0].cpu_usec, 0);
	cr_expect_eq(i.samples[0].working_set_bytes, 900, "a level");
	cr_assert_eq(i.n_edges, 1);
	cr_expect_eq(i.edges[0].count, 3);
	cr_expect_eq(i.edges[0].sum_ns, 0);
	done(&i, s);
}

Test(record_snapshot, what_came_or_began_anew_has_no_interval_yet)
{
	struct drpc_recording_interval i;
	struct drpc_snapshot s[2];

	interval(TOTALS(CONTAINER("a", "2000000000", "[[88,3]]"), ""),
		 TOTALS(CONTAINER("a", "3000000000", "[[88,1]]") "," CONTAINER("b", "3000000000",
									       "[]"),
			EDGE("8")),
		 &i, s);
	cr_expect_eq(i.n_samples, 0, "a's counters went back, b is new");
	cr_expect_eq(i.n_edges, 0, "of b nobody knows since when");
	done(&i, s);
	interval(TOTALS(CONTAINER("a", "2000000000", "[]"), ""),
		 TOTALS(CONTAINER("a", "2000000000", "[]"), ""), &i, s);
	cr_expect_eq(i.n_samples, 0, "no window has passed");
	done(&i, s);
}

Test(record_snapshot, an_edge_that_is_new)
{
	struct drpc_recording_interval i;
	struct drpc_snapshot s[2];

	interval(TOTALS(CONTAINER("a", "1", "[]") "," CONTAINER("b", "1", "[]"), ""),
		 TOTALS(CONTAINER("a", "2", "[]") "," CONTAINER("b", "2", "[]"), EDGE("8")), &i, s);
	cr_assert_eq(i.n_edges, 1);
	cr_expect_eq(i.edges[0].count, 8);
	done(&i, s);
}
