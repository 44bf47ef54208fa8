// SPDX-License-Identifier: Apache-2.0
/* Clone, start, stop and remove over HTTP, against a server that is told what to answer. */
#include "agent/runtime/engine.h"

#include <errno.h>

#include "lib/util.h"
#include "tests/unit/agent/runtime/data.h"
#include "tests/unit/agent/runtime/fake_server.h"

#define ID   "525af24a1cab603e3fb5fc98271357db75c8e82d9008da32d83fadd89451e008"
#define API  "/v1.41/containers/"
#define NEW  "aa5af24a1cab603e3fb5fc98271357db75c8e82d9008da32d83fadd89451e0ff"
#define MADE "{\"Id\":\"" NEW "\"}"

static char dir[32], path[64], requests[4096];
static struct server server;
static struct drpc_runtime *rt;
static char *version, *source;
static bool done;
static int err;
static char why[192], got[DRPC_ID_MAX];

static void on_container(void *arg, int e, const char *text, const struct drpc_runtime_container *c)
{
	(void)arg;
	done = true;
	err = e;
	drpc_strcpy(why, sizeof(why), text);
	drpc_strcpy(got, sizeof(got), c ? c->id : "");
}

static void setup(void)
{
	drpc_strcpy(dir, sizeof(dir), "/tmp/drpc-test.XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	version = data_read("docker-version.json");
	source = data_read("docker-inspect.json");
	server_start(&server, path);
	server_route(&server, "GET /version", SERVER_ANSWER, 200, version);
	server_route(&server, "GET /_ping", SERVER_ANSWER, 200, "OK");
	server_route(&server, "GET " API ID "/json", SERVER_ANSWER, 200, source);
	server_route(&server, "GET " API NEW "/json", SERVER_ANSWER, 200,
		     "{\"Id\":\"" NEW "\",\"State\":{\"Running\":true,\"Pid\":7},"
		     "\"Config\":{\"Labels\":{\"io.drpc.clone\":\"shop/front\"}}}");
	server_route(&server, "POST " API "create", SERVER_ANSWER, 201, MADE);
	server_route(&server, "POST " API NEW "/start", SERVER_ANSWER, 204, "");
	server_route(&server, "DELETE " API NEW, SERVER_ANSWER, 204, "");
	cr_assert_eq(drpc_engine_new(path, NULL, NULL, &rt), 0);
	cr_assert_eq(drpc_runtime_wait_ready(rt, 5000), 0);
	done = false;
}

static void teardown(void)
{
	drpc_runtime_free(&rt);
	server_stop(&server);
	free(version);
	free(source);
	rmdir(dir);
}

TestSuite(engine_replica, .init = setup, .fini = teardown);

static int copy(void)
{
	const struct drpc_clone_spec spec = {.deployment = "shop/front", .number = 3};

	done = false;
	cr_assert_eq(drpc_runtime_clone(rt, ID, &spec, on_container, NULL), 0);
	cr_assert_eq(drpc_runtime_wait(rt, &done, 10000), 0);
	server_log(&server, requests, sizeof(requests));
	return err;
}

Test(engine_replica, clones)
{
	char body[16384];

	cr_expect_eq(copy(), 0, "%s", why);
	cr_expect_str_eq(got, NEW);
	cr_expect_str_eq(requests, "POST " API "create?name=ca-3\nPOST " API NEW "/start\n");
	server_last_body(&server, body, sizeof(body));
	cr_expect_str_eq(body, "", "start has none");
}

Test(engine_replica, the_name_is_taken)
{
	server_route(&server, "POST " API "create", SERVER_ANSWER, 409,
		     "{\"message\":\"Conflict. The container name is already in use\"}");
	cr_expect_eq(copy(), -EEXIST);
	cr_expect_not_null(strstr(why, "already in use"), "%s", why);
	cr_expect_not_null(strstr(requests, "name=ca-4\n"), "the next number: %s", requests);
	cr_expect_null(strstr(requests, "DELETE"), "somebody else's");
}

Test(engine_replica, the_image_is_gone)
{
	server_route(&server, "POST " API "create", SERVER_ANSWER, 404,
		     "{\"message\":\"No such image: sha256:d0\"}");
	cr_expect_eq(copy(), -ENOENT);
	cr_expect_not_null(strstr(why, "No such image"), "%s", why);
}

Test(engine_replica, what_does_not_start_is_removed)
{
	server_route(&server, "POST " API NEW "/start", SERVER_ANSWER, 500,
		     "{\"message\":\"no space left\"}");
	cr_expect_eq(copy(), -EREMOTEIO);
	cr_expect_not_null(strstr(why, "no space left"), "the first failure is told: %s", why);
	cr_expect_not_null(strstr(requests, "DELETE " API NEW "?force=1&v=1\n"), "%s", requests);
}

Test(engine_replica, an_answer_without_an_id)
{
	server_route(&server, "POST " API "create", SERVER_ANSWER, 201, "{\"Id\":\"../x\"}");
	cr_expect_eq(copy(), -EBADMSG);
	server_route(&server, "POST " API "create", SERVER_GARBAGE, 0, "");
	cr_expect_eq(copy(), -EPROTO);
	cr_expect_eq(rt->state, DRPC_RUNTIME_AWAY);
}

Test(engine_replica, start_of_what_runs)
{
	server_route(&server, "POST " API NEW "/start", SERVER_ANSWER, 304, "");
	cr_assert_eq(drpc_runtime_start(rt, NEW, on_container, NULL), 0);
	cr_assert_eq(drpc_runtime_wait(rt, &done, 5000), 0);
	cr_expect_eq(err, 0, "%s", why);
	cr_expect_eq(rt->state, DRPC_RUNTIME_READY);
}

static int stop(const char *id, bool keep)
{
	done = false;
	cr_assert_eq(drpc_runtime_stop(rt, id, 7, keep, on_container, NULL), 0);
	cr_assert_eq(drpc_runtime_wait(rt, &done, 5000), 0);
	server_log(&server, requests, sizeof(requests));
	return err;
}

Test(engine_replica, stops)
{
	server_route(&server, "POST " API NEW "/stop", SERVER_ANSWER, 204, "");
	cr_expect_eq(stop(NEW, false), 0, "%s", why);
	cr_expect_str_eq(requests, "POST " API NEW "/stop?t=7\n");
	server_route(&server, "GET " API NEW "/json", SERVER_ANSWER, 200,
		     "{\"Id\":\"" NEW "\",\"HostConfig\":{\"AutoRemove\":true}}");
	cr_expect_eq(stop(NEW, true), -EPERM);
	cr_expect_str_eq(requests, "", "one that stopping would remove is not touched");
	cr_expect_eq(stop("0123456789abcdef", true), -ENOENT);
}

static int take_away(const char *id)
{
	done = false;
	cr_assert_eq(drpc_runtime_remove(rt, id, on_container, NULL), 0);
	cr_assert_eq(drpc_runtime_wait(rt, &done, 5000), 0);
	server_log(&server, requests, sizeof(requests));
	return err;
}

Test(engine_replica, removes_what_drpc_made)
{
	cr_expect_eq(take_away(NEW), 0, "%s", why);
	cr_expect_str_eq(requests, "DELETE " API NEW "?force=1&v=1\n");
	cr_expect_eq(take_away(ID), -EPERM);
	cr_expect_not_null(strstr(why, "nothing else"), "%s", why);
	cr_expect_str_eq(requests, "", "a container of the owner is never removed");
}

Test(engine_replica, freed_in_the_middle)
{
	const struct drpc_clone_spec spec = {.deployment = "shop/front", .number = 3};

	server_route(&server, "POST " API "create", SERVER_SILENT, 0, "");
	cr_assert_eq(drpc_runtime_clone(rt, ID, &spec, on_container, NULL), 0);
	usleep(100000);
	drpc_runtime_dispatch(rt);
	usleep(100000);
	drpc_runtime_free(&rt);
	cr_expect(done);
	cr_expect_eq(err, -ECANCELED);
}
