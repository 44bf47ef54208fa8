// SPDX-License-Identifier: Apache-2.0
/* The worker thread and the engine on top of it: everything that two threads of the agent touch. */
#include <stdatomic.h>

#include "agent/runtime/engine.h"
#include "agent/runtime/worker.h"
#include "lib/log.h"
#include "tests/lib/tap.h"
#include "tests/unit/agent/runtime/fake_server.h"

#define REQUESTS 60

static const char version[] =
	"{\"ApiVersion\":\"1.41\",\"MinAPIVersion\":\"1.12\",\"Version\":\"1\"}";
static const char inspect[] = "{\"Id\":\"abc\",\"Name\":\"/web\",\"State\":{\"Running\":true,"
			      "\"Pid\":5},\"HostConfig\":{\"NanoCpus\":300000000}}";
static const char event[] =
	"{\"Type\":\"container\",\"Action\":\"start\",\"Actor\":{\"ID\":\"abc\","
	"\"Attributes\":{\"name\":\"web\"}}}\n";

static char socket_path[64];
static struct server server;

static void start(void)
{
	server_start(&server, socket_path);
	server_route(&server, "GET /version", SERVER_ANSWER, 200, version);
	server_route(&server, "GET /_ping", SERVER_ANSWER, 200, "OK");
	server_route(&server, "GET /v1.41/events", SERVER_STREAM, 200, "\n");
	server_route(&server, "GET /v1.41/containers/json", SERVER_ANSWER, 200, "[]");
	server_route(&server, "GET /v1.41/containers/abc/json", SERVER_ANSWER, 200, inspect);
	server_route(&server, "POST /v1.41/containers/abc/update", SERVER_ANSWER, 200, "{}");
}

/* --- the worker ------------------------------------------------------------------------------- */

static unsigned int done_count, parsed_count;
static atomic_uint noted;

static void note_deliver(struct drpc_note *note)
{
	atomic_fetch_add(&noted, 1);
	free(note);
}

static int on_reply(struct drpc_request *rq)
{
	struct drpc_note *note = calloc(1, sizeof(*note));

	note->deliver = note_deliver;
	drpc_worker_post(rq->worker, note);
	*(unsigned int *)rq->arg = (unsigned int)rq->reply_len;
	return 0;
}

static void on_done(struct drpc_request *rq)
{
	done_count++;
	parsed_count += rq->err == 0 && *(unsigned int *)rq->arg == 2;
}

static void test_worker(void)
{
	static struct drpc_request rq[REQUESTS];
	static unsigned int parsed[REQUESTS];
	struct drpc_worker *worker = NULL;
	uint64_t end = drpc_now_ns() + 30 * DRPC_NSEC_PER_SEC;

	if (!tap_ok(drpc_worker_new(socket_path, 1000, &worker) == 0, "a worker starts"))
		return;
	for (unsigned int i = 0; i < REQUESTS; i++) {
		drpc_strcpy(rq[i].path, sizeof(rq[i].path), "/v1.41/containers/json");
		rq[i].timeout_ms = 20000;
		rq[i].delay_ms = i % 7;
		rq[i].reply_max = 1000;
		rq[i].on_reply = on_reply;
		rq[i].done = on_done;
		rq[i].arg = &parsed[i];
		drpc_worker_submit(worker, &rq[i]);
		drpc_worker_reschedule(worker, &rq[i / 2], 0);
	}
	while (done_count < REQUESTS && drpc_now_ns() < end) {
		struct pollfd p = {.fd = drpc_worker_fd(worker), .events = POLLIN};

		poll(&p, 1, 50);
		drpc_worker_drain(worker);
	}
	tap_ok(done_count == REQUESTS && parsed_count == REQUESTS,
	       "%u of %d requests are answered, %u parsed", done_count, REQUESTS, parsed_count);
	for (unsigned int i = 0; i < REQUESTS; i++)
		drpc_worker_submit(worker, &rq[i]);
	usleep(5000);
	drpc_worker_free(&worker);
	tap_ok(done_count == 2 * REQUESTS, "freed in the middle, each is given back once");
	tap_ok(atomic_load(&noted) >= REQUESTS, "notes arrive");
	for (unsigned int i = 0; i < REQUESTS; i++)
		drpc_request_clear(&rq[i]);
}

/* --- the engine ------------------------------------------------------------------------------- */

static unsigned int events, answers;

static void on_event(void *arg, const struct drpc_runtime_event *e)
{
	(void)arg;
	events += e->kind == DRPC_RUNTIME_START;
}

static void on_container(void *arg, int err, const char *why,
			 const struct drpc_runtime_container *c)
{
	(void)arg;
	(void)why;
	answers += err == 0 && c->limits.nano_cpus == 300000000;
}

static void pump(struct drpc_runtime *rt, const unsigned int *counter, unsigned int count)
{
	uint64_t end = drpc_now_ns() + 30 * DRPC_NSEC_PER_SEC;
	bool never = false;

	while (*counter < count && drpc_now_ns() < end)
		drpc_runtime_wait(rt, &never, 10);
}

static void test_engine(void)
{
	struct drpc_runtime_limits present = {.nano_cpus = 500000000};
	struct drpc_limits target = {.cpu_quota_usec = 30000, .cpu_period_usec = 100000};
	struct drpc_runtime *rt = NULL;

	if (!tap_ok(drpc_engine_new(socket_path, on_event, NULL, &rt) == 0 &&
			    drpc_runtime_wait_ready(rt, 30000) == 0,
		    "an engine answers"))
		return;
	for (int i = 0; i < 20; i++) {
		drpc_runtime_update(rt, "abc", &present, &target, DRPC_LIMIT_CPU, on_container,
				    NULL);
		for (int k = 0; k < 500 && !server_push(&server, event); k++)
			usleep(10000);
	}
	pump(rt, &answers, 20);
	pump(rt, &events, 20);
	tap_ok(answers == 20 && events == 20, "%u updates, %u events", answers, events);
	server_stop(&server);
	for (int i = 0; i < 1000 && rt->state != DRPC_RUNTIME_AWAY; i++) {
		bool never = false;

		drpc_runtime_wait(rt, &never, 10);
	}
	tap_ok(rt->state == DRPC_RUNTIME_AWAY, "it is seen to go");
	start();
	tap_ok(drpc_runtime_wait_ready(rt, 30000) == 0, "and to come back");
	drpc_runtime_inspect(rt, "abc", on_container, NULL);
	drpc_runtime_free(&rt);
	tap_ok(!rt, "freed with a call under way");
}

int main(void)
{
	char dir[] = "/tmp/drpc-thread.XXXXXX";

	drpc_log_set_level(DRPC_LOG_ERROR);
	if (!mkdtemp(dir))
		return 1;
	snprintf(socket_path, sizeof(socket_path), "%s/s", dir);
	start();
	test_worker();
	test_engine();
	server_stop(&server);
	rmdir(dir);
	return tap_done();
}
