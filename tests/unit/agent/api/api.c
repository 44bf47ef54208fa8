// SPDX-License-Identifier: Apache-2.0
#include "agent/api/api.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/util.h"
#include "tests/unit/agent/api/fixture.h"

static struct drpc_agent *agent;

static void setup(void)
{
	agent = fixture_agent();
	cr_assert_eq(drpc_api_new(agent, &agent->api), 0);
}

static void teardown(void)
{
	fixture_free(&agent);
}

TestSuite(api, .init = setup, .fini = teardown, .timeout = 60);

/* --- what is answered ------------------------------------------------------------------------- */

Test(api, answers_on_the_unix_socket)
{
	struct stat st;
	char *body;

	cr_expect_eq(fixture_get(agent, "/v1/containers", &body), 200);
	cr_expect_not_null(strstr(body, "\"web-1\""));
	free(body);
	cr_expect_eq(fixture_get(agent, "/v1/deployments/shop%2Fweb/explain", &body), 200);
	free(body);
	cr_expect_eq(fixture_get(agent, "/v1/containers/web-1/hist?since=30", &body), 200);
	free(body);
	cr_expect_eq(fixture_get(agent, "/v1/containers/web-1/hist?since=99", &body), 400);
	free(body);
	cr_expect_eq(fixture_get(agent, "/metrics", &body), 200);
	cr_expect_str_eq(body + strlen(body) - 6, "# EOF\n");
	free(body);
	cr_assert_eq(stat(agent->config.socket, &st), 0);
	cr_expect_eq(st.st_mode & 0777, 0660);
}

Test(api, keeps_a_connection_for_several_requests)
{
	static const char two[] = "GET /v1/doctor HTTP/1.1\r\nHost: x\r\n\r\n"
				  "GET /v1/edges HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
	int status;
	char *reply = fixture_raw(agent, two, sizeof(two) - 1, &status);
	char *second = strstr(reply + 1, "HTTP/1.1 200");

	cr_expect_eq(status, 200);
	cr_expect_not_null(second, "the second is answered too");
	free(reply);
}

Test(api, takes_a_body)
{
	static const char post[] = "POST /v1/pause HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
				   "Content-Length: 26\r\n\r\n{\"deployment\": \"shop/web\"}";
	static const char chunked[] = "POST /v1/resume HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
				      "Transfer-Encoding: chunked\r\n\r\n"
				      "d\r\n{\"deployment\"\r\nd\r\n: \"shop/web\"}\r\n0\r\n\r\n";
	struct drpc_deployment *d = drpc_roster_deployment(agent->roster, "shop/web");
	int status;

	free(fixture_raw(agent, post, sizeof(post) - 1, &status));
	cr_expect_eq(status, 200);
	cr_expect(d->paused);
	free(fixture_raw(agent, chunked, sizeof(chunked) - 1, &status));
	cr_expect_eq(status, 200);
	cr_expect_not(d->paused);
}

/* --- what is refused -------------------------------------------------------------------------- */

/* Refused with a status of its class, and the connection ended: fixture_raw() returned. */
static void refused(const char *what, const char *bytes, size_t size, int from, int to)
{
	uint64_t begin_ns = drpc_now_ns();
	int status;
	char *reply = fixture_raw(agent, bytes, size, &status);

	cr_expect(status >= from && status <= to, "%s gave %d", what, status);
	cr_expect_lt(drpc_now_ns() - begin_ns, 5 * DRPC_NSEC_PER_SEC, "%s: closed at once", what);
	free(reply);
}

#define REFUSED(what, text, from, to) refused(what, text, sizeof(text) - 1, from, to)

Test(api, malformed_requests)
{
	REFUSED("garbage", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, 499);
	REFUSED("words", "hello there general\r\n\r\n", 400, 499);
	REFUSED("no version", "GET /v1/status\r\n\r\n", 400, 499);
	REFUSED("another version", "GET /v1/status HTTP/9.1\r\nHost: x\r\n\r\n", 400, 505);
	REFUSED("no host", "GET /v1/status HTTP/1.1\r\n\r\n", 400, 499);
	REFUSED("header without a colon", "GET /v1/status HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n",
		400, 499);
	REFUSED("negative length",
		"POST /v1/pause HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400, 499);
	REFUSED("length is no number",
		"POST /v1/pause HTTP/1.1\r\nHost: x\r\nContent-Length: 1x\r\n\r\n{", 400, 499);
	REFUSED("chunk size is no number",
		"POST /v1/pause HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
		400, 499);
	REFUSED("NUL in the body",
		"POST /v1/pause HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n{\0}", 400, 499);
	REFUSED("broken escape", "GET /v1/containers/%zz/hist HTTP/1.1\r\nHost: x\r\n\r\n", 400,
		499);
	REFUSED("unknown method", "BREW /v1/status HTTP/1.1\r\nHost: x\r\n\r\n", 405, 405);
	REFUSED("unknown path", "GET /v1/nothing HTTP/1.1\r\nHost: x\r\n\r\n", 404, 404);
	cr_expect_not(agent->paused);
}

static void refused_filled(const char *what, const char *before, size_t fill, const char *after,
			   int from, int to)
{
	size_t head = strlen(before), tail = strlen(after);
	char *bytes = malloc(head + fill + tail + 1);

	memcpy(bytes, before, head);
	memset(bytes + head, 'a', fill);
	memcpy(bytes + head + fill, after, tail + 1);
	refused(what, bytes, head + fill + tail, from, to);
	free(bytes);
}

Test(api, oversized_requests)
{
	static const char body_head[] =
		"POST /v1/pause HTTP/1.1\r\nHost: x\r\nContent-Length: 4097\r\n\r\n";
	static const char chunk_head[] =
		"POST /v1/pause HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1001\r\n";

	refused_filled("path", "GET /", 100000, " HTTP/1.1\r\nHost: x\r\n\r\n", 400, 499);
	refused_filled("header", "GET /v1/status HTTP/1.1\r\nHost: x\r\nX: ", 100000, "\r\n\r\n",
		       400, 499);
	refused_filled("body", body_head, 4097, "", 413, 413);
	refused_filled("chunked body", chunk_head, 4097, "\r\n0\r\n\r\n", 413, 413);
	refused_filled("no line at all", "", 200000, "", 400, 499);
	/* At the bound it is taken, and refused for what it says. */
	refused_filled("body of 4 KiB",
		       "POST /v1/pause HTTP/1.1\r\nHost: x\r\nContent-Length: 4096\r\n\r\n", 4096,
		       "", 400, 400);
}

Test(api, many_headers)
{
	char *bytes = calloc(1, 300000);
	size_t n = (size_t)sprintf(bytes, "GET /v1/status HTTP/1.1\r\nHost: x\r\n");

	for (int i = 0; i < 10000; i++)
		n += (size_t)sprintf(bytes + n, "X-%d: y\r\n", i);
	n += (size_t)sprintf(bytes + n, "\r\n");
	refused("headers", bytes, n, 400, 499);
	free(bytes);
}

/* --- slow and many ---------------------------------------------------------------------------- */

#define SLOW 36 /* more than are served at once */

struct slow {
	const char *socket;
	unsigned int late, other; /* connections that were ended with a 408, or otherwise */
	int wake;
};

static int connect_to(const char *socket_path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	drpc_strcpy(addr.sun_path, sizeof(addr.sun_path), socket_path);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Clients that send a header, a byte at a time, for as long as they are let. */
static void *drip_thread(void *arg)
{
	static const char head[] = "GET /v1/status HTTP/1.1\r\nX: ";
	struct slow *slow = arg;
	struct pollfd fds[SLOW];
	unsigned int open = SLOW;

	for (size_t i = 0; i < SLOW; i++) {
		fds[i] = (struct pollfd){.fd = connect_to(slow->socket), .events = POLLIN};
		if (send(fds[i].fd, head, sizeof(head) - 1, MSG_NOSIGNAL) < 0)
			slow->other++;
	}
	while (open > 0) {
		poll(fds, SLOW, 200);
		for (size_t i = 0; i < SLOW; i++) {
			char reply[256] = "";

			if (fds[i].fd < 0)
				continue;
			if (fds[i].revents == 0) {
				(void)!send(fds[i].fd, "a", 1, MSG_NOSIGNAL);
				continue;
			}
			(void)!recv(fds[i].fd, reply, sizeof(reply) - 1, 0);
			if (strncmp(reply, "HTTP/1.1 408", 12) == 0)
				slow->late++;
			else
				slow->other++;
			close(fds[i].fd);
			fds[i].fd = -1;
			open--;
		}
	}
	(void)!write(slow->wake, "x", 1);
	return NULL;
}

Test(api, slow_clients_are_cut_and_others_served)
{
	struct slow slow = {.socket = agent->config.socket};
	uint64_t begin_ns = drpc_now_ns();
	pthread_t thread;
	int fds[2];
	char *body;

	cr_assert_eq(pipe(fds), 0);
	slow.wake = fds[1];
	cr_assert_eq(pthread_create(&thread, NULL, drip_thread, &slow), 0);
	usleep(200000); /* all places are taken before this one comes */
	cr_expect_eq(fixture_get(agent, "/v1/status", &body), 200);
	cr_expect_gt(drpc_now_ns() - begin_ns, 5 * DRPC_NSEC_PER_SEC, "it had to wait for a place");
	cr_expect_lt(drpc_now_ns() - begin_ns, 15 * DRPC_NSEC_PER_SEC);
	free(body);
	/* Those that came later have their time, too: requests keep the loop running. */
	for (struct pollfd done = {.fd = fds[0], .events = POLLIN}; poll(&done, 1, 100) == 0;)
		if (fixture_get(agent, "/v1/doctor", &body) >= 0)
			free(body);
	pthread_join(thread, NULL);
	cr_expect_eq(slow.late, SLOW, "%u were told so, %u ended otherwise", slow.late, slow.other);
	cr_expect_lt(drpc_now_ns() - begin_ns, 30 * DRPC_NSEC_PER_SEC);
	close(fds[0]);
	close(fds[1]);
}

/* --- TCP, and the socket's file --------------------------------------------------------------- */

struct tcp {
	int port;
	char reply[4096];
	int wake;
};

static void *tcp_thread(void *arg)
{
	static const char post[] = "POST /v1/pause HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
				   "Connection: close\r\n\r\n";
	struct tcp *tcp = arg;
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_port = htons((uint16_t)tcp->port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ssize_t n;
	size_t size = 0;

	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 &&
	    send(fd, post, sizeof(post) - 1, MSG_NOSIGNAL) > 0) {
		while ((n = recv(fd, tcp->reply + size, sizeof(tcp->reply) - size - 1, 0)) > 0)
			size += (size_t)n;
	}
	close(fd);
	(void)!write(tcp->wake, "x", 1);
	return NULL;
}

static void on_wake(struct drpc_source *source, uint32_t events, void *arg)
{
	(void)source;
	(void)events;
	drpc_loop_stop(arg, 0);
}

/* A port that was free a moment ago. */
static int free_port(void)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	close(fd);
	return ntohs(addr.sin_port);
}

Test(api, tcp_reads_and_changes_nothing)
{
	struct tcp tcp = {.port = free_port()};
	struct drpc_source *source = NULL;
	pthread_t thread;
	int fds[2];

	drpc_api_free(&agent->api);
	snprintf(agent->config.listen, sizeof(agent->config.listen), "127.0.0.1:%d", tcp.port);
	cr_assert_eq(drpc_api_new(agent, &agent->api), 0);
	cr_assert_eq(pipe(fds), 0);
	tcp.wake = fds[1];
	drpc_loop_add_fd(agent->loop, fds[0], POLLIN, on_wake, agent->loop, &source);
	cr_assert_eq(pthread_create(&thread, NULL, tcp_thread, &tcp), 0);
	drpc_loop_run(agent->loop);
	pthread_join(thread, NULL);
	cr_expect_eq(strncmp(tcp.reply, "HTTP/1.1 403", 12), 0, "%s", tcp.reply);
	cr_expect_not(agent->paused);
	drpc_loop_remove(agent->loop, &source);
	close(fds[0]);
	close(fds[1]);
}

Test(api, bad_tcp_addresses)
{
	static const char *const bad[] = {
		"9464",	    "127.0.0.1",	"127.0.0.1:",  "127.0.0.1:http", "example.org:1",
		"::1:9464", "127.0.0.1:999999", "256.0.0.1:1", ":9464"};

	drpc_api_free(&agent->api);
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(bad); i++) {
		drpc_strcpy(agent->config.listen, sizeof(agent->config.listen), bad[i]);
		cr_expect_eq(drpc_api_new(agent, &agent->api), -EINVAL, "%s", bad[i]);
		cr_expect_null(agent->api);
		cr_expect_eq(access(agent->config.socket, F_OK), -1, "nothing is left behind");
	}
	agent->config.listen[0] = '\0';
}

Test(api, a_second_agent_is_told_off)
{
	struct drpc_api *second = NULL;
	char *body;

	cr_expect_eq(drpc_api_new(agent, &second), -EADDRINUSE);
	cr_expect_null(second);
	cr_expect_eq(fixture_get(agent, "/v1/status", &body), 200, "the first goes on");
	free(body);
}

Test(api, stale_socket_is_replaced_other_files_are_not)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	char *body;
	int fd;

	drpc_api_free(&agent->api);
	cr_expect_eq(access(agent->config.socket, F_OK), -1);
	/* What an agent that was killed leaves behind. */
	drpc_strcpy(addr.sun_path, sizeof(addr.sun_path), agent->config.socket);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close(fd);
	cr_assert_eq(access(agent->config.socket, F_OK), 0);
	cr_assert_eq(drpc_api_new(agent, &agent->api), 0);
	cr_expect_eq(fixture_get(agent, "/v1/status", &body), 200);
	free(body);
	drpc_api_free(&agent->api);

	fd = open(agent->config.socket, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	cr_expect_eq(drpc_api_new(agent, &agent->api), -EEXIST);
	cr_expect_eq(unlink(agent->config.socket), 0, "the file was left alone");
}

Test(api, free_leaves_anothers_socket_alone)
{
	char other[128];
	struct stat st;

	/* Somebody has put a socket of their own in its place. */
	snprintf(other, sizeof(other), "%s.other", agent->config.socket);
	cr_assert_eq(rename(agent->config.socket, other), 0);
	cr_assert_eq(mknod(agent->config.socket, S_IFSOCK | 0600, 0), 0);
	drpc_api_free(&agent->api);
	cr_expect_eq(lstat(agent->config.socket, &st), 0);
	unlink(agent->config.socket);
	unlink(other);
}
