// SPDX-License-Identifier: Apache-2.0
#include "tools/drpc/client.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/util.h"
#include "tools/drpc/cli.h"

/* A server that gives one answer to one connection, whatever is asked. */
struct server {
	char folder[32], path[64];
	const char *answer;
	char request[4096];
	int fd;
	pthread_t thread;
};

static void *serve(void *arg)
{
	struct server *server = arg;
	int fd = accept(server->fd, NULL, NULL);

	(void)!recv(fd, server->request, sizeof(server->request) - 1, 0);
	(void)!send(fd, server->answer, strlen(server->answer), MSG_NOSIGNAL);
	close(fd);
	return NULL;
}

static void server_start(struct server *server, const char *answer)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	memset(server, 0, sizeof(*server));
	strcpy(server->folder, "/tmp/drpc-test-XXXXXX");
	cr_assert_not_null(mkdtemp(server->folder));
	snprintf(server->path, sizeof(server->path), "%s/s", server->folder);
	server->answer = answer;
	drpc_strcpy(addr.sun_path, sizeof(addr.sun_path), server->path);
	server->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(server->fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	if (!answer)
		return; /* bound, and nobody listens */
	cr_assert_eq(listen(server->fd, 1), 0);
	cr_assert_eq(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void server_end(struct server *server)
{
	if (server->answer)
		pthread_join(server->thread, NULL);
	close(server->fd);
	unlink(server->path);
	rmdir(server->folder);
}

/* Asks a server that answers so; the reason goes to `why`. */
static int ask(const char *answer, struct json_object **ret, char *why, size_t why_size)
{
	struct drpc_client *client;
	struct server server;
	int r;

	server_start(&server, answer);
	cr_assert_eq(drpc_client_new(server.path, &client), 0);
	r = drpc_client_get(client, "/v1/status", ret);
	drpc_strcpy(why, why_size, drpc_client_why(client));
	drpc_client_free(&client);
	cr_expect_null(client);
	server_end(&server);
	return r;
}

#define HTTP(status, body) "HTTP/1.1 " status "\r\nConnection: close\r\n\r\n" body

Test(client, an_answer)
{
	struct json_object *o = NULL;
	char why[512];

	cr_expect_eq(ask(HTTP("200 OK", "{\"pid\": 7}"), &o, why, sizeof(why)), 0);
	cr_expect_eq(drpc_field_number(o, "pid"), 7);
	cr_expect_str_empty(why);
	json_object_put(o);
}

Test(client, answers_that_are_none)
{
	struct json_object *o = NULL;
	char why[512];

	cr_expect_eq(ask(HTTP("404 Not Found", "{\"error\": \"there is no 'x\\u001b'\"}"), &o, why,
			 sizeof(why)),
		     -ENOENT);
	cr_expect_str_eq(why, "there is no 'x?'", "what the terminal would obey is replaced");
	cr_expect_eq(ask(HTTP("400 Bad Request", "{\"error\": \"since\"}"), &o, why, sizeof(why)),
		     -EIO);
	cr_expect_eq(ask(HTTP("200 OK", "<html>"), &o, why, sizeof(why)), -EPROTO);
	cr_expect_not_null(strstr(why, "no drpc agent"));
	cr_expect_eq(ask(HTTP("503 No", ""), &o, why, sizeof(why)), -EPROTO);
	cr_expect_eq(ask("SSH-2.0-OpenSSH_9.2\r\n", &o, why, sizeof(why)), -EIO);
	cr_expect_null(o, "outputs are untouched on failure");
}

Test(client, no_agent_says_how_to_start_one)
{
	struct json_object *o = NULL;
	char why[512];

	cr_expect_eq(ask(NULL, &o, why, sizeof(why)), -ECONNREFUSED);
	cr_expect_not_null(strstr(why, "nobody listens"), "%s", why);
	cr_expect_not_null(strstr(why, "systemctl start drpc-agent"));
}

Test(client, no_socket)
{
	struct drpc_client *client;
	struct json_object *o = NULL;

	cr_assert_eq(drpc_client_new("/tmp/drpc-there-is-no-such-folder/s", &client), 0);
	cr_expect_eq(drpc_client_get(client, "/v1/status", &o), -ECONNREFUSED);
	cr_expect_not_null(strstr(drpc_client_why(client), "there is no such socket"), "%s",
			   drpc_client_why(client));
	drpc_client_free(&client);
	drpc_client_free(&client);
}

Test(client, names_are_encoded)
{
	struct drpc_client *client;
	struct json_object *o = NULL;
	struct server server;
	char *path;

	server_start(&server, HTTP("200 OK", "[]"));
	cr_assert_eq(drpc_client_new(server.path, &client), 0);
	path = drpc_client_path(client, "/v1/deployments/", "shop/we b?#%", "/explain");
	cr_expect_str_eq(path, "/v1/deployments/shop%2Fwe%20b%3F%23%25/explain");
	cr_expect_eq(drpc_client_get(client, path, &o), 0);
	json_object_put(o);
	free(path);
	drpc_client_free(&client);
	server_end(&server);
	cr_expect_eq(strncmp(server.request,
			     "GET /v1/deployments/shop%2Fwe%20b%3F%23%25/explain HTTP/1.1\r\n", 58),
		     0, "%s", server.request);
}

Test(client, post_carries_its_body)
{
	struct json_object *o = NULL, *body = json_tokener_parse("{\"deployment\": \"a\"}");
	struct drpc_client *client;
	struct server server;

	server_start(&server, HTTP("200 OK", "{}"));
	cr_assert_eq(drpc_client_new(server.path, &client), 0);
	cr_expect_eq(drpc_client_post(client, "/v1/pause", body, &o), 0);
	json_object_put(o);
	json_object_put(body);
	drpc_client_free(&client);
	server_end(&server);
	cr_expect_eq(strncmp(server.request, "POST /v1/pause ", 15), 0);
	cr_expect_not_null(strstr(server.request, "\r\n\r\n{ \"deployment\": \"a\" }"));
}
