// SPDX-License-Identifier: Apache-2.0
#include "agent/runtime/worker.h"

#include <criterion/criterion.h>

#include "lib/util.h"
#include "tests/unit/agent/runtime/fake_server.h"

static char dir[32];
static struct server server;
static struct drpc_worker *worker;
static unsigned int done_count;

static void setup(void)
{
	char path[64];

	drpc_strcpy(dir, sizeof(dir), "/tmp/drpc-test.XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	server_start(&server, path);
	worker = NULL;
	done_count = 0;
	cr_assert_eq(drpc_worker_new(path, 500, &worker), 0);
}

static void teardown(void)
{
	drpc_worker_free(&worker);
	server_stop(&server);
	rmdir(dir);
}

TestSuite(worker, .init = setup, .fini = teardown, .timeout = 60);

static void on_done(struct drpc_request *rq)
{
	(void)rq;
	done_count++;
}

static void drain_until(unsigned int count, int timeout_ms)
{
	uint64_t end = drpc_now_ns() + (uint64_t)timeout_ms * DRPC_NSEC_PER_MSEC;

	while (done_count < count && drpc_now_ns() < end) {
		struct pollfd p = {.fd = drpc_worker_fd(worker), .events = POLLIN};

		poll(&p, 1, 20);
		drpc_worker_drain(worker);
	}
	cr_assert_eq(done_count, count, "%u of %u in %d ms", done_count, count, timeout_ms);
}

static void request_init(struct drpc_request *rq, const char *path)
{
	memset(rq, 0, sizeof(*rq));
	drpc_strcpy(rq->path, sizeof(rq->path), path);
	rq->timeout_ms = 2000;
	rq->reply_max = 100000;
	rq->done = on_done;
}

/* One request from its submission to its end. */
static void get(struct drpc_request *rq, const char *path, uint32_t timeout_ms)
{
	done_count = 0;
	request_init(rq, path);
	rq->timeout_ms = timeout_ms;
	drpc_worker_submit(worker, rq);
	drain_until(1, 10000);
}

Test(worker, answers_and_errors)
{
	static const struct {
		const char *prefix, *path;
		enum server_mode mode;
		int status, expected;
	} cases[] = {
		{"GET /ok", "/ok", SERVER_ANSWER, 200, 0},
		{"GET /created", "/created", SERVER_ANSWER, 201, 0},
		{"GET /bad", "/bad", SERVER_ANSWER, 400, -EINVAL},
		{"GET /none", "/none", SERVER_ANSWER, 404, -ENOENT},
		{"GET /conflict", "/conflict", SERVER_ANSWER, 409, -EEXIST},
		{"GET /broken", "/broken", SERVER_ANSWER, 500, -EREMOTEIO},
		{"GET /moved", "/moved", SERVER_ANSWER, 302, -EPROTO},
		{"GET /garbage", "/garbage", SERVER_GARBAGE, 0, -EPROTO},
		{"GET /cut", "/cut", SERVER_CUT, 0, -EPROTO},
		{"GET /endless", "/endless", SERVER_ENDLESS, 0, -EFBIG},
		{"GET /headers", "/headers", SERVER_HEADERS, 0, -EFBIG},
		{"GET /silent", "/silent", SERVER_SILENT, 0, -ETIMEDOUT},
		{"GET /drip", "/drip", SERVER_DRIP, 0, -ETIMEDOUT},
	};
	struct drpc_request rq;

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(cases); i++) {
		server_route(&server, cases[i].prefix, cases[i].mode, cases[i].status,
			     "{\"a\":\"hello there\"}");
		get(&rq, cases[i].path, 500);
		cr_expect_eq(rq.err, cases[i].expected, "%s: %d %s", cases[i].path, rq.err, rq.why);
		if (cases[i].expected)
			cr_expect(rq.why[0] != '\0', "%s", cases[i].path);
		else
			cr_expect_str_eq(rq.reply, "{\"a\":\"hello there\"}");
		drpc_request_clear(&rq);
	}
}

Test(worker, posts_its_body)
{
	struct drpc_request rq;
	char body[64];

	server_route(&server, "POST /x", SERVER_ANSWER, 200, "{}");
	request_init(&rq, "/x");
	rq.post = true;
	rq.body = strdup("{\"Memory\":5}");
	drpc_worker_submit(worker, &rq);
	drain_until(1, 5000);
	cr_expect_eq(rq.err, 0, "%s", rq.why);
	server_last_body(&server, body, sizeof(body));
	cr_expect_str_eq(body, "{\"Memory\":5}");
	drpc_request_clear(&rq);
}

Test(worker, nobody_listens)
{
	struct drpc_request rq;

	server_stop(&server);
	get(&rq, "/ok", 2000);
	cr_expect_eq(rq.err, -ECONNREFUSED);
	cr_expect_str_eq(rq.why, "No such file or directory");
	drpc_request_clear(&rq);
}

Test(worker, delayed_and_hastened)
{
	struct drpc_request rq;
	uint64_t begin = drpc_now_ns();

	server_route(&server, "GET /ok", SERVER_ANSWER, 200, "{}");
	request_init(&rq, "/ok");
	rq.delay_ms = 200;
	drpc_worker_submit(worker, &rq);
	drain_until(1, 5000);
	cr_expect_geq(drpc_now_ns() - begin, 200 * DRPC_NSEC_PER_MSEC);
	rq.delay_ms = 60000;
	done_count = 0;
	drpc_worker_submit(worker, &rq);
	drpc_worker_reschedule(worker, &rq, 0);
	drain_until(1, 5000);
	cr_expect_eq(rq.err, 0);
	drpc_request_clear(&rq);
}

/* A slow engine: many at a time, but bounded, and a stream takes nobody's place. */
Test(worker, many_at_a_time)
{
	enum { N = 100 };
	struct drpc_request *rq = calloc(N, sizeof(*rq));
	struct drpc_request stream;

	server_route(&server, "GET /ok", SERVER_ANSWER, 200, "{}");
	server_route(&server, "GET /stream", SERVER_STREAM, 200, "[");
	server.hold_ms = 10;
	request_init(&stream, "/stream");
	stream.timeout_ms = 0;
	drpc_worker_submit(worker, &stream);
	for (int i = 0; i < N; i++) {
		request_init(&rq[i], "/ok");
		rq[i].timeout_ms = 20000;
		drpc_worker_submit(worker, &rq[i]);
	}
	drain_until(N, 30000);
	for (int i = 0; i < N; i++) {
		cr_expect_eq(rq[i].err, 0, "%s", rq[i].why);
		drpc_request_clear(&rq[i]);
	}
	pthread_mutex_lock(&server.lock);
	cr_expect_gt(server.in_flight_most, 3);
	cr_expect_leq(server.in_flight_most, 9);
	pthread_mutex_unlock(&server.lock);
	drpc_worker_free(&worker);
	cr_expect_eq(stream.err, -ECANCELED);
	drpc_request_clear(&stream);
	free(rq);
}

Test(worker, freed_at_any_moment)
{
	for (int round = 0; round < 30; round++) {
		struct drpc_request rq[6];
		char path[64];

		server_route(&server, "GET /ok", SERVER_ANSWER, 200, "{}");
		server_route(&server, "GET /silent", SERVER_SILENT, 0, NULL);
		done_count = 0;
		for (int i = 0; i < 6; i++) {
			request_init(&rq[i], i % 2 ? "/silent" : "/ok");
			rq[i].delay_ms = i == 4 ? 5000 : 0;
			drpc_worker_submit(worker, &rq[i]);
		}
		usleep((unsigned int)(round * 100));
		uint64_t begin = drpc_now_ns();
		drpc_worker_free(&worker);
		cr_expect_lt(drpc_now_ns() - begin, 2 * DRPC_NSEC_PER_SEC);
		cr_expect_eq(done_count, 6, "each is given back once");
		for (int i = 0; i < 6; i++) {
			cr_expect(rq[i].err == -ECANCELED || (i % 2 == 0 && rq[i].err == 0));
			drpc_request_clear(&rq[i]);
		}
		/* Threads of the server are not reused: begin afresh before they run out. */
		if (round % 5 == 4) {
			snprintf(path, sizeof(path), "%s/s", dir);
			server_stop(&server);
			server_start(&server, path);
		}
		cr_assert_eq(drpc_worker_new(server.path, 500, &worker), 0);
	}
}
