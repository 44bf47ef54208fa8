// SPDX-License-Identifier: Apache-2.0
#include "agent/runtime/engine.h"

#include "lib/util.h"
#include "tests/unit/agent/runtime/data.h"
#include "tests/unit/agent/runtime/fake_server.h"

#define BOTH (DRPC_LIMIT_CPU | DRPC_LIMIT_MEMORY)
#define API  "/v1.41/containers"

static char dir[32], path[64];
static struct server server;
static struct drpc_runtime *rt;
static char *version;

static unsigned int events[DRPC_RUNTIME_STATE + 1];
static char last_id[DRPC_ID_MAX];

static bool done;
static int err;
static char why[192];
static struct drpc_runtime_limits limits;
static size_t listed;

static void on_event(void *arg, const struct drpc_runtime_event *event)
{
	(void)arg;
	events[event->kind]++;
	if (event->id[0])
		drpc_strcpy(last_id, sizeof(last_id), event->id);
}

static void on_container(void *arg, int e, const char *text, const struct drpc_runtime_container *c)
{
	(void)arg;
	done = true;
	err = e;
	drpc_strcpy(why, sizeof(why), text);
	if (c)
		limits = c->limits;
}

static void on_list(void *arg, int e, const char *text, const struct drpc_runtime_container *list,
		    size_t n)
{
	(void)arg;
	(void)list;
	done = true;
	err = e;
	drpc_strcpy(why, sizeof(why), text);
	listed = n;
}

static void start_server(void)
{
	server_start(&server, path);
	server_route(&server, "GET /version", SERVER_ANSWER, 200, version);
	server_route(&server, "GET /_ping", SERVER_ANSWER, 200, "OK");
	server_route(&server, "GET /v1.41/events", SERVER_STREAM, 200, "\n");
}

static void setup(void)
{
	drpc_strcpy(dir, sizeof(dir), "/tmp/drpc-test.XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	version = data_read("docker-version.json");
	rt = NULL;
	done = false;
	memset(events, 0, sizeof(events));
	start_server();
}

static void teardown(void)
{
	drpc_runtime_free(&rt);
	server_stop(&server);
	free(version);
	rmdir(dir);
}

TestSuite(engine, .init = setup, .fini = teardown, .timeout = 60);

static void connect_engine(void)
{
	cr_assert_eq(drpc_engine_new(path, on_event, NULL, &rt), 0);
	if (!rt || drpc_runtime_wait_ready(rt, 10000) < 0)
		abort();
}

static void wait_done(void)
{
	cr_assert_eq(drpc_runtime_wait(rt, &done, 10000), 0);
	done = false;
}

static void wait_state(enum drpc_runtime_state state, int timeout_ms)
{
	uint64_t end = drpc_now_ns() + (uint64_t)timeout_ms * DRPC_NSEC_PER_MSEC;
	bool never = false;

	while (rt->state != state && drpc_now_ns() < end)
		drpc_runtime_wait(rt, &never, 10);
	cr_assert_eq(rt->state, state, "%s", drpc_runtime_state_name(rt->state));
}

static void wait_event(enum drpc_runtime_event_kind kind, unsigned int count)
{
	uint64_t end = drpc_now_ns() + 10 * DRPC_NSEC_PER_SEC;
	bool never = false;

	while (events[kind] < count && drpc_now_ns() < end)
		drpc_runtime_wait(rt, &never, 10);
	cr_assert_geq(events[kind], count);
}

static void push(const char *text)
{
	for (int i = 0; i < 500 && !server_push(&server, text); i++)
		usleep(10000);
}

Test(engine, tells_who_it_is)
{
	connect_engine();
	cr_expect_str_eq(rt->kind, "docker");
	cr_expect_str_eq(rt->version, "20.10.24+dfsg1");
	cr_expect(rt->remembers);
	cr_expect(events[DRPC_RUNTIME_STATE] == 1 && events[DRPC_RUNTIME_RESYNC] == 1);
}

Test(engine, nothing_before_it_has_answered)
{
	server_route(&server, "GET /version", SERVER_SILENT, 0, NULL);
	cr_assert_eq(drpc_engine_new(path, on_event, NULL, &rt), 0);
	cr_expect_eq(rt->state, DRPC_RUNTIME_CONNECTING);
	cr_expect_eq(drpc_runtime_list(rt, on_list, NULL), -EHOSTDOWN);
	cr_expect_eq(drpc_runtime_wait_ready(rt, 50), -ETIMEDOUT);
}

Test(engine, list_and_inspect)
{
	_cleanup_free_ char *list = data_read("docker-list.json");
	_cleanup_free_ char *inspect = data_read("docker-inspect-cpus.json");

	server_route(&server, "GET " API "/json", SERVER_ANSWER, 200, list);
	server_route(&server, "GET " API "/abc/json", SERVER_ANSWER, 200, inspect);
	connect_engine();
	cr_assert_eq(drpc_runtime_list(rt, on_list, NULL), 0);
	wait_done();
	cr_expect(err == 0 && listed == 2, "%s", why);
	cr_assert_eq(drpc_runtime_inspect(rt, "abc", on_container, NULL), 0);
	wait_done();
	cr_expect(err == 0 && limits.nano_cpus == 333333333, "%s", why);
	cr_expect_eq(drpc_runtime_inspect(rt, "a/../b", on_container, NULL), -EINVAL);
	cr_assert_eq(drpc_runtime_inspect(rt, "nobody", on_container, NULL), 0);
	wait_done();
	cr_expect_eq(err, -ENOENT);
	cr_expect_str_eq(why, "page not found");
}

static const char before_json[] =
	"{\"Id\":\"abc\",\"State\":{\"Running\":true,\"Pid\":5},\"HostConfig\":{\"NanoCpus\":500000000,\"Memory\":67108864,\"MemorySwap\":134217728}}";
static const char after_json[] =
	"{\"Id\":\"abc\",\"State\":{\"Running\":true,\"Pid\":5},\"HostConfig\":{\"NanoCpus\":300000000,\"Memory\":268435456,\"MemorySwap\":335544320}}";

static int update(const char *answer, int status, const char *inspect)
{
	struct drpc_runtime_limits present = {
		.nano_cpus = 500000000, .memory_bytes = 64 << 20, .memory_swap_bytes = 128 << 20};
	struct drpc_limits target = {.cpu_quota_usec = 30000,
				     .cpu_period_usec = 100000,
				     .mem_high_bytes = DRPC_UNLIMITED,
				     .mem_max_bytes = 256 << 20};

	server_route(&server, "POST " API "/abc/update", SERVER_ANSWER, status, answer);
	server_route(&server, "GET " API "/abc/json", SERVER_ANSWER, 200, inspect);
	cr_assert_eq(drpc_runtime_update(rt, "abc", &present, &target, BOTH, on_container, NULL),
		     0);
	wait_done();
	return err;
}

Test(engine, update_is_verified)
{
	char body[256];

	connect_engine();
	cr_expect_eq(update("{\"Warnings\":null}", 200, after_json), 0, "%s", why);
	server_last_body(&server, body, sizeof(body));
	cr_expect_str_eq(body,
			 "{\"NanoCpus\":300000000,\"Memory\":268435456,\"MemorySwap\":335544320}");
	cr_expect_eq(limits.memory_swap_bytes, 335544320);
	cr_expect_eq(update("{\"Warnings\":null}", 200, before_json), -EIO);
	cr_expect_not_null(strstr(why, "shows others"), "%s", why);
}

Test(engine, update_refused)
{
	connect_engine();
	cr_expect_eq(update("{\"message\":\"Conflicting options: \\u001b[1mCPU Quota\"}", 409,
			    before_json),
		     -EEXIST);
	cr_expect_str_eq(why, "Conflicting options: ?[1mCPU Quota");
	cr_expect_eq(update("oops", 500, before_json), -EREMOTEIO);
	cr_expect_str_eq(why, "HTTP status 500");
	cr_expect_eq(update("{\"message\":\"No such container: abc\"}", 404, before_json), -ENOENT);
	cr_expect_eq(update("Not Found", 404, before_json), -EOPNOTSUPP);
	cr_expect_eq(rt->state, DRPC_RUNTIME_READY, "that says nothing of the engine itself");
}

Test(engine, restore_sends_what_differs)
{
	struct drpc_runtime_limits original = {
		.nano_cpus = 300000000, .memory_bytes = 256 << 20, .memory_swap_bytes = 320 << 20};
	char body[256];

	connect_engine();
	server_route(&server, "GET " API "/abc/json", SERVER_ANSWER, 200, after_json);
	cr_assert_eq(drpc_runtime_restore(rt, "abc", &original, BOTH, on_container, NULL), 0);
	wait_done();
	cr_expect_eq(err, 0, "nothing differs, nothing is sent: %s", why);
	server_last_body(&server, body, sizeof(body));
	cr_expect_str_eq(body, "");
	original.nano_cpus = 100000000;
	server_route(&server, "POST " API "/abc/update", SERVER_ANSWER, 200, "{}");
	cr_assert_eq(drpc_runtime_restore(rt, "abc", &original, BOTH, on_container, NULL), 0);
	wait_done();
	cr_expect_eq(err, -EIO, "this server does not do what it is told");
	server_last_body(&server, body, sizeof(body));
	cr_expect_str_eq(body, "{\"NanoCpus\":100000000}");
}

Test(engine, podman)
{
	struct drpc_runtime_limits original = {.nano_cpus = 500000000,
					       .cpu_quota_usec = 50000,
					       .cpu_period_usec = 100000,
					       .memory_bytes = 64 << 20,
					       .memory_swap_bytes = 128 << 20};
	struct drpc_limits target = {
		.cpu_quota_usec = 30000, .cpu_period_usec = 100000, .mem_max_bytes = 256 << 20};
	char body[256];

	free(version);
	version = data_read("podman-version.json");
	server_route(&server, "GET /version", SERVER_ANSWER, 200, version);
	server_route(&server, "POST /v4.0.0/libpod/containers/abc/update", SERVER_ANSWER, 201,
		     "abc");
	server_route(&server, "GET " API "/abc/json", SERVER_ANSWER, 200, before_json);
	connect_engine();
	cr_expect_str_eq(rt->kind, "podman");
	cr_expect_not(rt->remembers);
	cr_assert_eq(drpc_runtime_update(rt, "abc", &original, &target, BOTH, on_container, NULL),
		     0);
	wait_done();
	cr_expect_eq(err, 0, "%s", why);
	server_last_body(&server, body, sizeof(body));
	cr_expect_str_eq(
		body,
		"{\"cpu\":{\"quota\":30000,\"period\":100000},\"memory\":{\"limit\":268435456,\"swap\":335544320}}");
	original = (struct drpc_runtime_limits){0};
	cr_assert_eq(drpc_runtime_restore(rt, "abc", &original, BOTH, on_container, NULL), 0);
	wait_done();
	server_last_body(&server, body, sizeof(body));
	cr_expect_str_eq(
		body,
		"{\"cpu\":{\"quota\":-1,\"period\":100000},\"memory\":{\"limit\":-1,\"swap\":-1}}");
}

Test(engine, misbehaves)
{
	static const struct {
		enum server_mode mode;
		int expected;
		bool away;
	} cases[] = {
		{SERVER_GARBAGE, -EPROTO, true},
		{SERVER_CUT, -EPROTO, true},
		{SERVER_ENDLESS, -EFBIG, false},
		{SERVER_SILENT, -ETIMEDOUT, true},
	};

	connect_engine();
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(cases); i++) {
		wait_state(DRPC_RUNTIME_READY, 10000);
		server_route(&server, "GET " API "/json", cases[i].mode, 0, "[{},{},{},{}]");
		cr_assert_eq(drpc_runtime_list(rt, on_list, NULL), 0);
		wait_done();
		cr_expect_eq(err, cases[i].expected, "case %zu: %s", i, why);
		cr_expect_eq(rt->state == DRPC_RUNTIME_AWAY, cases[i].away, "case %zu", i);
	}
	wait_state(DRPC_RUNTIME_READY, 10000);
	server_route(&server, "GET " API "/json", SERVER_ANSWER, 200, "[{\"Id\":\"ab");
	cr_assert_eq(drpc_runtime_list(rt, on_list, NULL), 0);
	wait_done();
	cr_expect_eq(err, -EBADMSG);
	cr_expect_eq(rt->state, DRPC_RUNTIME_READY);
}

#define EVENT(action, id)                                                           \
	"{\"Type\":\"container\",\"Action\":\"" action "\",\"Actor\":{\"ID\":\"" id \
	"\",\"Attributes\":{\"name\":\"web\"}}}"

Test(engine, events)
{
	connect_engine();
	push(EVENT("start", "one") "\n" EVENT("die", "two") "\n");
	wait_event(DRPC_RUNTIME_DIE, 1);
	cr_expect_eq(events[DRPC_RUNTIME_START], 1);
	cr_expect_str_eq(last_id, "two");
	/* In pieces, without newlines, with things of no concern in between. */
	push("{\"Type\":\"container\",\"Act");
	push("ion\":\"destroy\",\"Actor\":{\"ID\":\"thr");
	push("ee\"}}{\"Type\":\"image\"} 7 " EVENT("update", "four"));
	wait_event(DRPC_RUNTIME_UPDATE, 1);
	cr_expect_eq(events[DRPC_RUNTIME_DESTROY], 1);
	cr_expect_str_eq(last_id, "four");
}

Test(engine, events_that_end_or_make_no_sense)
{
	static const char *const nonsense[] = {"]", "{\"a\":}", NULL};

	connect_engine();
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(nonsense); i++) {
		push("\n"); /* it is there */
		if (nonsense[i])
			push(nonsense[i]);
		else
			server_cut_stream(&server);
		wait_state(DRPC_RUNTIME_AWAY, 10000);
		cr_expect_not_null(strstr(rt->why, "event stream"), "%s", rt->why);
		wait_state(DRPC_RUNTIME_READY, 10000);
		wait_event(DRPC_RUNTIME_RESYNC, (unsigned int)i + 2);
	}
}

Test(engine, events_faster_than_they_are_taken)
{
	char many[4096] = "";

	connect_engine();
	for (size_t i = 0, len = 0; i < 40; i++)
		len += (size_t)snprintf(many + len, sizeof(many) - len, "%s",
					EVENT("start", "one"));
	push("\n");
	for (int i = 0; i < 100; i++)
		push(many);
	usleep(300000); /* nobody takes them meanwhile */
	wait_event(DRPC_RUNTIME_RESYNC, 2);
	cr_expect_lt(events[DRPC_RUNTIME_START], 4000, "memory is bounded");
	cr_expect_eq(rt->state, DRPC_RUNTIME_READY);
}

Test(engine, restarts)
{
	connect_engine();
	server_stop(&server);
	wait_state(DRPC_RUNTIME_AWAY, 10000);
	cr_expect_eq(drpc_runtime_list(rt, on_list, NULL), -EHOSTDOWN);
	start_server();
	wait_state(DRPC_RUNTIME_READY, 10000);
	cr_expect_geq(events[DRPC_RUNTIME_STATE], 3);
	cr_expect_geq(events[DRPC_RUNTIME_RESYNC], 2);
	push(EVENT("start", "one"));
	wait_event(DRPC_RUNTIME_START, 1);
}

Test(engine, freed_with_calls_under_way)
{
	connect_engine();
	server_route(&server, "GET " API "/json", SERVER_SILENT, 0, NULL);
	server_route(&server, "GET " API "/abc/json", SERVER_SILENT, 0, NULL);
	cr_assert_eq(drpc_runtime_list(rt, on_list, NULL), 0);
	cr_assert_eq(drpc_runtime_inspect(rt, "abc", on_container, NULL), 0);
	drpc_runtime_free(&rt);
	cr_expect(done);
	cr_expect_eq(err, -ECANCELED);
}

Test(engine, sockets)
{
	char found[108];

	cr_expect_eq(drpc_engine_find("unix:///some/where", found, sizeof(found)), 0);
	cr_expect_str_eq(found, "/some/where");
	cr_expect_eq(drpc_engine_find("tcp://1.2.3.4:5", found, sizeof(found)), -EINVAL);
	setenv("DOCKER_HOST", "unix:///nowhere/at/all", 1);
	snprintf(found, sizeof(found), "unix://%s", path);
	setenv("DOCKER_HOST", found, 1);
	cr_expect_eq(drpc_engine_find(NULL, found, sizeof(found)), 0);
	cr_expect_str_eq(found, path);
}
