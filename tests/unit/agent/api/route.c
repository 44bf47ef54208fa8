// SPDX-License-Identifier: Apache-2.0
#include "agent/api/route.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "agent/api/metrics.h"
#include "agent/control.h"
#include "lib/hist.h"
#include "lib/util.h"
#include "tests/unit/agent/api/fixture.h"

/* --- percent-encoding ------------------------------------------------------------------------- */

static int decode(const char *src, const char *expected)
{
	static char dst[32];
	int r = drpc_url_decode(src, strlen(src), dst, sizeof(dst));

	if (r == 0 && expected)
		cr_expect_str_eq(dst, expected);
	return r;
}

Test(route, url_decode)
{
	cr_expect_eq(decode("web-1", "web-1"), 0);
	cr_expect_eq(decode("shop%2Fweb", "shop/web"), 0);
	cr_expect_eq(decode("shop%2fweb", "shop/web"), 0);
	cr_expect_eq(decode("a%25b%20c+d", "a%b c+d"), 0, "a plus is a plus in a path");
	cr_expect_eq(decode("%252F", "%2F"), 0, "decoded once, not twice");
	cr_expect_eq(decode("%c3%bc", "ü"), 0);
	cr_expect_eq(decode("", ""), 0);
	cr_expect_eq(decode("%", NULL), -EINVAL);
	cr_expect_eq(decode("a%2", NULL), -EINVAL);
	cr_expect_eq(decode("%zz", NULL), -EINVAL);
	cr_expect_eq(decode("%2g", NULL), -EINVAL);
	cr_expect_eq(decode("%-1", NULL), -EINVAL);
	cr_expect_eq(decode("a%00b", NULL), -EINVAL);
	cr_expect_eq(decode("0123456789012345678901234567890", NULL), 0);
	cr_expect_eq(decode("01234567890123456789012345678901", NULL), -ENAMETOOLONG);
	/* The length counts, not what follows. */
	cr_expect_eq(drpc_url_decode("ab%41", 3, (char[8]){0}, 8), -EINVAL);
}

/* --- replies ---------------------------------------------------------------------------------- */

static struct drpc_agent *agent;
static struct drpc_metrics *metrics;

static void setup(void)
{
	agent = fixture_agent();
	cr_assert_eq(drpc_metrics_new(&metrics), 0);
}

static void teardown(void)
{
	drpc_metrics_free(&metrics);
	fixture_free(&agent);
}

TestSuite(route, .init = setup, .fini = teardown);

/* The answer parsed; NULL where it is no JSON. */
static struct json_object *ask_with(const struct drpc_api_request *request, unsigned int status)
{
	struct drpc_api_reply reply;
	struct json_object *o;
	char *text;

	drpc_route(agent, metrics, request, &reply);
	cr_expect_eq(reply.status, status, "%s %s gave %u", request->method, request->path,
		     reply.status);
	cr_assert_not_null(reply.body);
	text = strndup(reply.body, reply.size);
	o = json_tokener_parse(text);
	free(text);
	free(reply.body);
	return o;
}

static struct json_object *get(const char *path, unsigned int status)
{
	return ask_with(
		&(struct drpc_api_request){
			.method = "GET", .path = path, .body = "", .local = true},
		status);
}

static struct json_object *post(const char *path, const char *body, unsigned int status)
{
	return ask_with(
		&(struct drpc_api_request){
			.method = "POST", .path = path, .body = body, .local = true},
		status);
}

/* Exactly these fields, in any order; the names are a contract. */
static void has_fields(struct json_object *o, const char *const *names, size_t n)
{
	cr_assert(json_object_is_type(o, json_type_object));
	cr_expect_eq((size_t)json_object_object_length(o), n);
	for (size_t i = 0; i < n; i++)
		cr_expect(json_object_object_get_ex(o, names[i], NULL), "%s is missing", names[i]);
}

#define HAS_FIELDS(o, ...)                                \
	has_fields(o, (const char *const[]){__VA_ARGS__}, \
		   DRPC_ARRAY_SIZE(((const char *const[]){__VA_ARGS__})))

static struct json_object *field(struct json_object *o, const char *name)
{
	struct json_object *value = NULL;

	cr_assert(json_object_object_get_ex(o, name, &value), "%s is missing", name);
	return value;
}

static double number(struct json_object *o, const char *name)
{
	return json_object_get_double(field(o, name));
}

static const char *string(struct json_object *o, const char *name)
{
	return json_object_get_string(field(o, name));
}

Test(route, ls_fields)
{
	struct json_object *list = get("/v1/containers", 200), *web;

	cr_assert_eq(json_object_array_length(list), 3);
	web = json_object_array_get_idx(list, 0);
	HAS_FIELDS(web, "id", "name", "deployment", "mode", "rate_rps", "error_rate", "p50_ms",
		   "p99_ms", "slo_p99_ms", "queue_share", "cpu_usage_cores", "cpu_limit_cores",
		   "throttled_share", "cpu_pressure", "memory_usage_mib", "memory_limit_mib",
		   "memory_pressure", "replicas", "coverage", "last_action");
	cr_expect_str_eq(string(web, "name"), "web-1");
	cr_expect_str_eq(string(web, "deployment"), "shop/web");
	cr_expect_str_eq(string(web, "mode"), "act");
	cr_expect_float_eq(number(web, "rate_rps"), 200, 1e-6, "1,000 requests in 5 s");
	cr_expect_float_eq(number(web, "p99_ms"), 4, 0.4);
	cr_expect_float_eq(number(web, "slo_p99_ms"), 200, 1e-6);
	cr_expect_float_eq(number(web, "queue_share"), 0.75, 1e-3);
	cr_expect_float_eq(number(web, "cpu_limit_cores"), 0.5, 1e-6);
	cr_expect_float_eq(number(web, "throttled_share"), 0.5, 1e-6);
	cr_expect_float_eq(number(web, "memory_usage_mib"), 48, 1e-6);
	cr_expect_float_eq(number(web, "memory_limit_mib"), 128, 1e-6);
	cr_expect_eq(number(web, "replicas"), 2);
	cr_expect_str_eq(string(web, "last_action"), "CPU 0.40 -> 0.50: throttled");
	json_object_put(list);
}

Test(route, ls_of_what_does_not_exist_is_zero)
{
	struct json_object *list = get("/v1/containers", 200);
	struct json_object *idle = json_object_array_get_idx(list, 1);
	struct json_object *hostile = json_object_array_get_idx(list, 2);

	cr_expect_eq(number(idle, "p99_ms"), 0);
	cr_expect_eq(number(idle, "coverage"), 1);
	cr_expect_eq(number(hostile, "cpu_limit_cores"), 0);
	cr_expect_str_eq(string(hostile, "name"), "we\"ird\\?");
	cr_expect_str_eq(string(hostile, "last_action"), "");
	json_object_put(list);
}

Test(route, totals_count_from_the_start)
{
	struct json_object *totals = get("/v1/totals", 200), *list = field(totals, "containers");
	struct json_object *web = json_object_array_get_idx(list, 0), *pair;

	HAS_FIELDS(totals, "schema", "time_ns", "containers", "edges");
	cr_assert_geq(json_object_array_length(list), 1);
	HAS_FIELDS(web, "id", "name", "deployment", "slo_p99_ms", "end_ns", "requests", "errors",
		   "seen", "lost", "in_flight", "total_ns", "queue_ns", "service_ns", "send_ns",
		   "buckets", "cpu_usage_usec", "periods", "throttled", "throttled_usec",
		   "memory_bytes", "working_set_bytes", "oom_kills", "cpu_limit_cores",
		   "memory_limit_bytes");
	cr_expect_str_eq(string(web, "name"), "web-1");
	cr_expect_eq(number(web, "requests"), 1000);
	cr_expect_eq(number(web, "total_ns"), 4e9, "1,000 requests of 4 ms");
	cr_expect_eq(number(web, "queue_ns"), 3e9);
	cr_expect_eq(number(web, "cpu_usage_usec"), 50000);
	cr_expect_eq(number(web, "throttled"), 1);
	cr_expect_eq(number(web, "memory_limit_bytes"), 128.0 * DRPC_MIB);
	cr_expect_float_eq(number(web, "cpu_limit_cores"), 0.5, 1e-9);
	cr_assert_eq(json_object_array_length(field(web, "buckets")), 1);
	pair = json_object_array_get_idx(field(web, "buckets"), 0);
	cr_expect_eq(json_object_get_int(json_object_array_get_idx(pair, 0)),
		     drpc_hist_index(4 * DRPC_NSEC_PER_MSEC));
	cr_expect_eq(json_object_get_int(json_object_array_get_idx(pair, 1)), 1000);
	json_object_put(totals);
}

Test(route, container_by_name_and_by_id)
{
	struct json_object *one = get("/v1/containers/web-1", 200), *by_id;
	char path[100];

	cr_expect_str_eq(string(one, "name"), "web-1");
	snprintf(path, sizeof(path), "/v1/containers/%s", string(one, "id"));
	by_id = get(path, 200);
	cr_expect_str_eq(string(by_id, "name"), "web-1");
	json_object_put(by_id);
	json_object_put(one);
	json_object_put(get("/v1/containers/none", 404));
	json_object_put(get("/v1/containers/we%22ird%5C%3F", 200));
}

static void check_phase(struct json_object *hist, const char *name, uint64_t count, double mean_ms)
{
	struct json_object *phase = field(hist, name), *buckets = field(phase, "buckets");
	uint64_t sum = 0;
	double last = 0;

	HAS_FIELDS(phase, "count", "mean_ms", "p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms",
		   "buckets");
	cr_expect_eq(number(phase, "count"), count, "%s", name);
	cr_expect_float_eq(number(phase, "mean_ms"), mean_ms, 1e-3, "%s", name);
	for (size_t i = 0; i < json_object_array_length(buckets); i++) {
		struct json_object *b = json_object_array_get_idx(buckets, i);

		HAS_FIELDS(b, "le_ms", "count");
		cr_expect_gt(number(b, "le_ms"), last, "in order");
		cr_expect_gt(number(b, "count"), 0, "empty buckets are left out");
		last = number(b, "le_ms");
		sum += (uint64_t)number(b, "count");
	}
	cr_expect_eq(sum, count, "%s", name);
	cr_expect_float_eq(number(phase, "max_ms"), last, 1e-9);
}

Test(route, hist_fields)
{
	struct json_object *hist = get("/v1/containers/web-1/hist", 200);

	HAS_FIELDS(hist, "container", "count", "errors", "coverage", "dropped", "schema", "total",
		   "queue", "service", "send");
	cr_expect_str_eq(string(hist, "container"), "web-1");
	cr_expect_eq(number(hist, "count"), 1000);
	cr_expect_eq(number(hist, "errors"), 0);
	cr_expect_eq(number(hist, "coverage"), 1);
	cr_expect_eq(number(hist, "schema"), 3);
	HAS_FIELDS(field(hist, "dropped"), "closed", "reset", "no_storage", "moved", "clock");
	check_phase(hist, "total", 1000, 4);
	check_phase(hist, "queue", 1000, 3);
	check_phase(hist, "service", 1000, 1);
	check_phase(hist, "send", 1000, 0);
	json_object_put(hist);

	hist = get("/v1/containers/web-2/hist", 200);
	cr_expect_eq(number(hist, "count"), 0);
	check_phase(hist, "total", 0, 0);
	json_object_put(hist);
}

Test(route, hist_since)
{
	static const char *const bad[] = {"0",	"-1",  "65",	"abc",
					  "",	"1e9", "inf",	"nan",
					  "1 ", "3x",  "1.2.3", "99999999999999999999"};
	struct drpc_api_request request = {
		.method = "GET", .path = "/v1/containers/web-1/hist", .since = "30", .body = ""};
	struct json_object *hist = ask_with(&request, 200);

	cr_expect_eq(number(hist, "count"), 1000);
	json_object_put(hist);
	request.since = "64";
	json_object_put(ask_with(&request, 200));
	request.since = "0.5";
	json_object_put(ask_with(&request, 200));
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(bad); i++) {
		request.since = bad[i];
		json_object_put(ask_with(&request, 400));
	}
}

Test(route, names_with_slashes)
{
	struct json_object *list;

	/* A container named like the endpoint's end, too. */
	fixture_container(agent, "a/hist");
	json_object_put(get("/v1/containers/a%2Fhist", 200));
	json_object_put(get("/v1/containers/a%2Fhist/hist", 200));
	json_object_put(get("/v1/containers/a/hist/hist", 200));
	json_object_put(get("/v1/containers/a/hist", 404));
	list = get("/v1/deployments/shop%2Fweb/explain", 200);
	cr_expect(json_object_is_type(list, json_type_array));
	json_object_put(list);
	json_object_put(get("/v1/deployments/shop/web/explain", 200));
	json_object_put(get("/v1/deployments/web-1/explain", 200));
	json_object_put(get("/v1/deployments/none/explain", 404));
	json_object_put(get("/v1/containers/%zz/hist", 400));
	json_object_put(get("/v1/containers/a%00b", 400));
}

Test(route, explain_fields)
{
	struct drpc_control *control = drpc_roster_deployment(agent->roster, "shop/web")->control;
	struct drpc_decision decision = {
		.realtime_ns = 1777625703120000000ULL,
		.verdict = DRPC_VERDICT_CLIP,
		.applied = true,
		.planner = "reactive",
		.features = {[DRPC_F_CPU_UTIL] = 0.5F},
		.raw = {0, 0.75F, -1},
		.cpu_delta_mcpu = 100,
		.memory_delta_bytes = -8 * (int64_t)DRPC_MIB,
		.replicas_before = 2,
		.replicas_after = 3,
		.replicas_delta = 1,
		.before = {.cpu_quota_usec = 40000,
			   .cpu_period_usec = 100000,
			   .mem_high_bytes = 56 * DRPC_MIB,
			   .mem_max_bytes = 64 * DRPC_MIB},
		.after = {.cpu_quota_usec = DRPC_UNLIMITED,
			  .cpu_period_usec = 100000,
			  .mem_high_bytes = DRPC_UNLIMITED,
			  .mem_max_bytes = DRPC_UNLIMITED},
		.reason = "max-cpu",
	};
	struct json_object *list, *o;

	drpc_decision_push(&control->decisions, &decision);
	decision.outcome_known = true;
	decision.outcome_p99_ns = 143000000;
	decision.outcome_throttled = 0.25;
	decision.realtime_ns += DRPC_NSEC_PER_SEC;
	drpc_decision_push(&control->decisions, &decision);
	list = get("/v1/deployments/shop%2Fweb/explain", 200);
	cr_assert_eq(json_object_array_length(list), 2);
	o = json_object_array_get_idx(list, 0);
	HAS_FIELDS(o, "time", "planner", "features", "raw", "action", "guard", "applied", "before",
		   "after", "outcome");
	cr_expect_str_eq(string(o, "time"), "2026-05-01T08:55:04.120Z", "the newest first");
	cr_expect_eq((size_t)json_object_object_length(field(o, "features")), DRPC_F_COUNT);
	cr_expect_eq(number(field(o, "features"), "cpu_util"), 0.5);
	cr_expect_eq(json_object_array_length(field(o, "raw")), 3);
	HAS_FIELDS(field(o, "action"), "cpu_cores", "memory_mib", "replicas");
	cr_expect_float_eq(number(field(o, "action"), "cpu_cores"), 0.1, 1e-9);
	cr_expect_float_eq(number(field(o, "action"), "memory_mib"), -8, 1e-9);
	HAS_FIELDS(field(o, "guard"), "verdict", "reason");
	cr_expect_str_eq(string(field(o, "guard"), "verdict"),
			 drpc_verdict_name(DRPC_VERDICT_CLIP));
	HAS_FIELDS(field(o, "before"), "cpu_cores", "memory_mib", "replicas");
	HAS_FIELDS(field(o, "after"), "cpu_cores", "memory_mib", "replicas");
	cr_expect_float_eq(number(field(o, "before"), "cpu_cores"), 0.4, 1e-9);
	cr_expect_eq(number(field(o, "after"), "cpu_cores"), 0, "0 is no limit");
	cr_expect_eq(number(field(o, "after"), "replicas"), 3);
	HAS_FIELDS(field(o, "outcome"), "p99_ms", "throttled_share");
	cr_expect_eq(number(field(o, "outcome"), "p99_ms"), 143);
	o = json_object_array_get_idx(list, 1);
	HAS_FIELDS(field(o, "outcome"), "p99_ms", "throttled_share");
	cr_expect_null(field(field(o, "outcome"), "p99_ms"), "not known yet");
	json_object_put(list);
}

Test(route, status_doctor_edges)
{
	struct json_object *o = get("/v1/status", 200);

	cr_expect_str_eq(string(o, "version"), DRPC_VERSION);
	cr_expect_eq(number(o, "containers"), 3);
	cr_expect_eq(number(o, "deployments"), 2);
	cr_expect_null(field(o, "kernel"), "there is none here");
	json_object_put(o);
	o = get("/v1/doctor", 200);
	cr_expect_eq(json_object_array_length(field(o, "hooks")), 0);
	json_object_put(o);
	o = get("/v1/edges", 200);
	cr_expect_eq(json_object_array_length(o), 0);
	json_object_put(o);
}

Test(route, status_tells_of_refused_labels)
{
	static const struct drpc_label bad[] = {{"drpc.max-cpu", "lots"}};
	struct json_object *o, *problems;

	drpc_roster_describe(agent->roster, drpc_roster_find(agent->roster, "web-1"),
			     &(struct drpc_container_info){.name = "web-1",
							   .deployment = "shop/web",
							   .labels = bad,
							   .label_count = 1});
	o = get("/v1/status", 200);
	problems = field(o, "problems");
	cr_assert_eq(json_object_array_length(problems), 1);
	cr_expect_str_eq(string(json_object_array_get_idx(problems, 0), "deployment"), "shop/web");
	cr_expect_not_null(
		strstr(string(json_object_array_get_idx(problems, 0), "problem"), "max-cpu"));
	json_object_put(o);
}

Test(route, methods_and_paths)
{
	static const char *const unknown[] = {"/",
					      "/metric",
					      "/metrics/",
					      "/v1",
					      "/v1/containersx",
					      "/v2/status",
					      "/v1/containers/",
					      "/v1/deployments//explain",
					      "/v1/deployments/x",
					      ""};
	struct drpc_api_request request = {.path = "/v1/status", .body = "", .local = true};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(unknown); i++)
		json_object_put(get(unknown[i], 404));
	request.method = "DELETE";
	json_object_put(ask_with(&request, 405));
	request.method = "get";
	json_object_put(ask_with(&request, 405));
	json_object_put(post("/v1/status", "", 405));
	json_object_put(post("/nowhere", "", 405));
	json_object_put(get("/v1/pause", 405));
}

Test(route, post_is_for_the_unix_socket)
{
	struct drpc_api_request request = {.method = "POST", .path = "/v1/pause", .body = ""};

	json_object_put(ask_with(&request, 403));
	cr_expect_not(agent->paused);
	request.local = true;
	json_object_put(ask_with(&request, 200));
	cr_expect(agent->paused);
}

Test(route, pause_and_resume)
{
	struct drpc_deployment *d = drpc_roster_deployment(agent->roster, "shop/web");
	struct json_object *o = post("/v1/pause", "{\"deployment\": \"shop/web\"}", 200), *list;

	cr_expect(d->paused);
	cr_expect_not(agent->paused);
	cr_expect_str_eq(string(o, "deployment"), "shop/web");
	cr_expect(json_object_get_boolean(field(o, "paused")));
	json_object_put(o);
	list = get("/v1/containers", 200);
	cr_expect_str_eq(string(json_object_array_get_idx(list, 0), "mode"), "paused");
	json_object_put(list);
	json_object_put(post("/v1/resume", "{\"deployment\": \"shop/web\"}", 200));
	cr_expect_not(d->paused);
	json_object_put(post("/v1/pause", " \n", 200));
	cr_expect(agent->paused);
	json_object_put(post("/v1/resume", "{}", 200));
	cr_expect_not(agent->paused);
	json_object_put(post("/v1/pause", "{\"deployment\": \"none\"}", 404));
}

Test(route, malformed_bodies)
{
	static const char *const bad[] = {"x",
					  "{",
					  "[]",
					  "null",
					  "1",
					  "\"shop/web\"",
					  "{\"deployment\": 1}",
					  "{\"deployment\": \"a\", \"x\": 1}",
					  "{\"deploymen\": \"a\"}",
					  "{} {}",
					  "{}x",
					  "[[[[[[[[[[[[]]]]]]]]]]]]",
					  "{\"deployment\": {\"a\": {\"b\": {\"c\": 1}}}}"};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(bad); i++)
		json_object_put(post("/v1/pause", bad[i], 400));
	cr_expect_not(agent->paused);
}

Test(route, errors_echo_nothing_hostile)
{
	struct json_object *o = get("/\x1b[31m\xff\"", 404);

	cr_expect_null(strpbrk(string(o, "error"), "\x1b\xff"));
	json_object_put(o);
}
