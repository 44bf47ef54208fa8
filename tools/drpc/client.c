// SPDX-License-Identifier: Apache-2.0
#include "tools/drpc/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"
#include "tools/drpc/cli.h"

#define CONNECT_MS 2000L
#define TOTAL_MS   20000L /* restoring waits for the engine */
#define REPLY_MAX  (64UL << 20)

struct drpc_client {
	CURL *curl;
	char *socket;
	char why[512];
	char *reply;
	size_t size;
	bool too_big;
};

int drpc_client_new(const char *socket, struct drpc_client **ret)
{
	struct drpc_client *client = calloc(1, sizeof(*client));

	if (!client)
		return -ENOMEM;
	client->curl = curl_easy_init();
	client->socket = strdup(socket);
	if (!client->curl || !client->socket) {
		drpc_client_free(&client);
		return -ENOMEM;
	}
	*ret = client;
	return 0;
}

void drpc_client_free(struct drpc_client **client)
{
	if (!*client)
		return;
	curl_easy_cleanup((*client)->curl);
	free((*client)->socket);
	free((*client)->reply);
	free(*client);
	*client = NULL;
}

const char *drpc_client_why(const struct drpc_client *client)
{
	return client->why;
}

char *drpc_client_path(struct drpc_client *client, const char *prefix, const char *name,
		       const char *suffix)
{
	char *encoded = curl_easy_escape(client->curl, name, 0), *path = NULL;

	if (encoded && asprintf(&path, "%s%s%s", prefix, encoded, suffix) < 0)
		path = NULL;
	curl_free(encoded);
	return path;
}

static size_t on_data(char *data, size_t size, size_t n, void *arg)
{
	struct drpc_client *client = arg;
	size_t bytes = size * n;
	char *bigger;

	if (client->size + bytes > REPLY_MAX) {
		client->too_big = true;
		return 0;
	}
	bigger = realloc(client->reply, client->size + bytes + 1);
	if (!bigger)
		return 0;
	memcpy(bigger + client->size, data, bytes);
	client->reply = bigger;
	client->size += bytes;
	client->reply[client->size] = '\0';
	return bytes;
}

static int explain_failure(struct drpc_client *client, CURLcode code)
{
	long os_errno = 0;

	curl_easy_getinfo(client->curl, CURLINFO_OS_ERRNO, &os_errno);
	if (os_errno == EACCES || os_errno == EPERM) {
		snprintf(
			client->why, sizeof(client->why),
			"the socket %s may not be used by this user; run as root or as a member of its group",
			client->socket);
		return -EACCES;
	}
	if (code == CURLE_COULDNT_CONNECT) {
		bool missing = os_errno == ENOENT || access(client->socket, F_OK) < 0;

		snprintf(
			client->why, sizeof(client->why),
			"no agent answers on %s (%s); start it by 'systemctl start drpc-agent' or 'drpc-agent', or name its socket by --socket",
			client->socket,
			missing ? "there is no such socket"
				: "the socket is there, nobody listens");
		return -ECONNREFUSED;
	}
	if (code == CURLE_OPERATION_TIMEDOUT) {
		snprintf(
			client->why, sizeof(client->why),
			"the agent does not answer in time on %s; look at its log ('journalctl -u drpc-agent')",
			client->socket);
		return -ETIMEDOUT;
	}
	snprintf(client->why, sizeof(client->why), "asking %s failed: %s", client->socket,
		 client->too_big ? "the answer is too large" : curl_easy_strerror(code));
	return -EIO;
}

/* Takes the answer apart. */
static int take_answer(struct drpc_client *client, const char *path, struct json_object **ret)
{
	struct json_object *o = client->reply ? json_tokener_parse(client->reply) : NULL;
	const char *error;
	long status = 0;
	int r = -EPROTO;

	curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status == 200 && o) {
		*ret = o;
		return 0;
	}
	error = o ? drpc_field_string(o, "error") : "";
	if (error[0] != '\0') {
		drpc_sanitize(client->why, sizeof(client->why), error);
		r = status == 404 ? -ENOENT : -EIO;
	} else {
		snprintf(
			client->why, sizeof(client->why),
			"what answers on %s is no drpc agent, or another version (%s gave status %ld)",
			client->socket, path, status);
	}
	json_object_put(o);
	return r;
}

static int perform(struct drpc_client *client, const char *path, const char *body, bool post,
		   struct json_object **ret)
{
	_cleanup_free_ char *url = NULL;
	CURLcode code;

	if (asprintf(&url, "http://drpc%s", path) < 0)
		return -ENOMEM;
	free(client->reply);
	client->reply = NULL;
	client->size = 0;
	client->too_big = false;
	client->why[0] = '\0';

	curl_easy_reset(client->curl); /* keeps the connection */
	curl_easy_setopt(client->curl, CURLOPT_UNIX_SOCKET_PATH, client->socket);
	curl_easy_setopt(client->curl, CURLOPT_URL, url);
	curl_easy_setopt(client->curl, CURLOPT_PROXY, "");
	curl_easy_setopt(client->curl, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(client->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(client->curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	curl_easy_setopt(client->curl, CURLOPT_TIMEOUT_MS, TOTAL_MS);
	curl_easy_setopt(client->curl, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(client->curl, CURLOPT_WRITEDATA, client);
	if (post)
		curl_easy_setopt(client->curl, CURLOPT_POSTFIELDS, body ? body : "");
	code = curl_easy_perform(client->curl);
	if (code != CURLE_OK)
		return explain_failure(client, code);
	return take_answer(client, path, ret);
}

int drpc_client_get(struct drpc_client *client, const char *path, struct json_object **ret)
{
	return perform(client, path, NULL, false, ret);
}

int drpc_client_post(struct drpc_client *client, const char *path, struct json_object *body,
		     struct json_object **ret)
{
	return perform(client, path, body ? json_object_to_json_string(body) : NULL, true, ret);
}
