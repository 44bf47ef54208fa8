// SPDX-License-Identifier: Apache-2.0
#include "agent/api/route.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "agent/api/json.h"
#include "agent/api/metrics.h"
#include "agent/monitor/series.h"
#include "lib/util.h"

#define JSON_TYPE "application/json"

/* --- replies ---------------------------------------------------------------------------------- */

/* Takes over the reference. */
static void reply_json(struct drpc_api_reply *ret, unsigned int status, struct json_object *o)
{
	const char *text;
	size_t len = 0;

	text = o ? json_object_to_json_string_length(o, JSON_C_TO_STRING_PLAIN, &len) : NULL;
	*ret = (struct drpc_api_reply){.status = status, .type = JSON_TYPE};
	ret->body = text ? malloc(len + 1) : NULL;
	if (ret->body) {
		memcpy(ret->body, text, len);
		ret->body[len] = '\n';
		ret->size = len + 1;
	} else {
		ret->status = 503;
	}
	json_object_put(o);
}

void drpc_reply_error(struct drpc_api_reply *ret, unsigned int status, const char *fmt, ...)
{
	struct json_object *o = json_object_new_object();
	char raw[512], text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(raw, sizeof(raw), fmt, args);
	va_end(args);
	/* It may hold what the client sent. */
	drpc_sanitize(text, sizeof(text), raw);
	json_object_object_add(o, "error", json_object_new_string(text));
	reply_json(ret, status, o);
}

/* --- the path --------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int drpc_url_decode(const char *src, size_t len, char *dst, size_t dst_size)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		int c = (unsigned char)src[i];

		if (c == '%') {
			int high = i + 2 < len ? hex_digit(src[i + 1]) : -1;
			int low = high >= 0 ? hex_digit(src[i + 2]) : -1;

			if (low < 0)
				return -EINVAL;
			c = high * 16 + low;
			i += 2;
		}
		if (c == '\0')
			return -EINVAL;
		if (n + 1 >= dst_size)
			return -ENAMETOOLONG;
		dst[n++] = (char)c;
	}
	dst[n] = '\0';
	return 0;
}

/* The name between `prefix` and `suffix`, decoded. Names may hold slashes, encoded or not. 1, or 0
 * where the path has another shape, or a negative errno where the name is malformed. */
static int path_name(const char *path, const char *prefix, const char *suffix, char *name,
		     size_t name_size)
{
	size_t len = strlen(path), before = strlen(prefix), after = strlen(suffix);
	int r;

	if (len <= before + after || strncmp(path, prefix, before) != 0 ||
	    strcmp(path + len - after, suffix) != 0)
		return 0;
	r = drpc_url_decode(path + before, len - before - after, name, name_size);
	return r < 0 ? r : 1;
}

/* --- GET -------------------------------------------------------------------------------------- */

static int parse_since(const char *text, uint64_t *ret_ns)
{
	char *end;
	double sec;

	if (!text) {
		*ret_ns = 0;
		return 0;
	}
	/* Digits and a point alone: no sign, no exponent, no "inf". */
	if (text[0] == '\0' || strspn(text, "0123456789.") != strlen(text))
		return -EINVAL;
	sec = strtod(text, &end);
	if (*end != '\0' || !(sec > 0 && sec <= DRPC_HISTORY_SEC))
		return -EINVAL;
	*ret_ns = (uint64_t)(sec * 1e9);
	return 0;
}

static void get_container(struct drpc_agent *agent, const struct drpc_api_request *request,
			  const char *name, bool hist, struct drpc_api_reply *ret)
{
	const struct drpc_container *c = drpc_roster_find(agent->roster, name);
	uint64_t span_ns, now_ns = drpc_now_ns();

	if (!c) {
		drpc_reply_error(ret, 404,
				 "there is no container '%s', or the prefix is not unique", name);
		return;
	}
	if (!hist) {
		reply_json(ret, 200, drpc_json_container(agent, c, now_ns));
		return;
	}
	if (parse_since(request->since, &span_ns) < 0) {
		drpc_reply_error(ret, 400, "since=%s: expected seconds, over 0 and at most %d",
				 request->since, DRPC_HISTORY_SEC);
		return;
	}
	reply_json(ret, 200, drpc_json_hist(c, now_ns, span_ns));
}

static void get_explain(struct drpc_agent *agent, const char *name, struct drpc_api_reply *ret)
{
	const struct drpc_deployment *d = drpc_roster_deployment(agent->roster, name);
	const struct drpc_container *c;

	/* People type what `ls` shows first: the container's name. */
	if (!d) {
		c = drpc_roster_find(agent->roster, name);
		d = c ? c->deployment : NULL;
	}
	if (!d)
		drpc_reply_error(ret, 404, "there is no deployment '%s'", name);
	else
		reply_json(ret, 200, drpc_json_explain(d));
}

static void get_metrics(struct drpc_agent *agent, struct drpc_metrics *metrics,
			const struct drpc_api_request *request, struct drpc_api_reply *ret)
{
	*ret = (struct drpc_api_reply){.status = 200};
	if (drpc_metrics_expose(metrics, agent, request->accept, &ret->body, &ret->size,
				&ret->type) < 0)
		ret->status = 503;
}

/* False where the path is none of ours. */
static bool get(struct drpc_agent *agent, struct drpc_metrics *metrics,
		const struct drpc_api_request *request, struct drpc_api_reply *ret)
{
	const char *path = request->path;
	char name[DRPC_PATH_MAX];
	int r;

	if (strcmp(path, "/metrics") == 0) {
		get_metrics(agent, metrics, request, ret);
	} else if (strcmp(path, "/v1/status") == 0) {
		reply_json(ret, 200, drpc_json_status(agent));
	} else if (strcmp(path, "/v1/containers") == 0) {
		reply_json(ret, 200, drpc_json_containers(agent, drpc_now_ns()));
	} else if (strcmp(path, "/v1/use") == 0) {
		reply_json(ret, 200, drpc_json_use(agent, drpc_now_ns()));
	} else if (strcmp(path, "/v1/doctor") == 0) {
		reply_json(ret, 200, drpc_json_doctor(agent));
	} else if (strcmp(path, "/v1/edges") == 0) {
		reply_json(ret, 200, drpc_json_edges(agent));
	} else if (strcmp(path, "/v1/totals") == 0) {
		reply_json(ret, 200, drpc_json_totals(agent));
	} else if ((r = path_name(path, "/v1/containers/", "/hist", name, sizeof(name))) > 0) {
		get_container(agent, request, name, true, ret);
	} else if (r == 0 &&
		   (r = path_name(path, "/v1/deployments/", "/explain", name, sizeof(name))) > 0) {
		get_explain(agent, name, ret);
	} else if (r == 0 && (r = path_name(path, "/v1/containers/", "", name, sizeof(name))) > 0) {
		get_container(agent, request, name, false, ret);
	} else if (r < 0) {
		drpc_reply_error(ret, 400, "malformed name in the path: %s",
				 r == -ENAMETOOLONG ? "too long" : "broken percent-encoding");
	} else {
		return false;
	}
	return true;
}

/* --- POST ------------------------------------------------------------------------------------- */

/* {"deployment": "NAME"} or nothing at all (everybody); *ret_name is borrowed from *ret_object. */
static int parse_body(const char *body, struct json_object **ret_object, const char **ret_name)
{
	struct json_object *o, *value = NULL;
	struct json_tokener *tokener;
	size_t len = strlen(body);
	bool whole;

	*ret_object = NULL;
	*ret_name = NULL;
	if (strspn(body, " \t\r\n") == len)
		return 0;
	tokener = json_tokener_new_ex(4);
	if (!tokener)
		return -ENOMEM;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	o = json_tokener_parse_ex(tokener, body, (int)len);
	whole = json_tokener_get_error(tokener) == json_tokener_success;
	json_tokener_free(tokener);
	if (!whole || !json_object_is_type(o, json_type_object) || json_object_object_length(o) > 1)
		goto refuse;
	if (json_object_object_length(o) == 1) {
		if (!json_object_object_get_ex(o, "deployment", &value) ||
		    (value && !json_object_is_type(value, json_type_string)))
			goto refuse;
		*ret_name = value ? json_object_get_string(value) : NULL;
	}
	*ret_object = o;
	return 0;
refuse:
	json_object_put(o);
	return -EINVAL;
}

enum command { CMD_NONE, CMD_PAUSE, CMD_RESUME, CMD_RESTORE };

static enum command command_of(const char *path)
{
	if (strcmp(path, "/v1/pause") == 0)
		return CMD_PAUSE;
	if (strcmp(path, "/v1/resume") == 0)
		return CMD_RESUME;
	if (strcmp(path, "/v1/restore") == 0)
		return CMD_RESTORE;
	return CMD_NONE;
}

static void post(struct drpc_agent *agent, enum command command,
		 const struct drpc_api_request *request, struct drpc_api_reply *ret)
{
	struct json_object *body, *answer;
	unsigned int restored = 0;
	const char *name;
	int r;

	r = parse_body(request->body, &body, &name);
	if (r < 0) {
		drpc_reply_error(ret, r == -ENOMEM ? 503 : 400,
				 "malformed body: expected nothing or {\"deployment\": \"NAME\"}");
		return;
	}
	if (command == CMD_RESTORE)
		r = drpc_agent_restore(agent, name, &restored);
	else
		r = drpc_agent_pause(agent, name, command == CMD_PAUSE);
	if (r == -ENOENT) {
		drpc_reply_error(ret, 404, "there is no deployment '%s'", name ? name : "");
	} else if (r < 0) {
		drpc_reply_error(ret, 500, "%s: %s; the agent's log says more", request->path,
				 strerror(-r));
	} else {
		answer = json_object_new_object();
		json_object_object_add(answer, "deployment",
				       name ? json_object_new_string(name) : NULL);
		if (command == CMD_RESTORE)
			json_object_object_add(answer, "restored", json_object_new_int64(restored));
		json_object_object_add(answer, "paused",
				       json_object_new_boolean(command != CMD_RESUME));
		reply_json(ret, 200, answer);
	}
	json_object_put(body);
}

/* --- both ------------------------------------------------------------------------------------- */

void drpc_route(struct drpc_agent *agent, struct drpc_metrics *metrics,
		const struct drpc_api_request *request, struct drpc_api_reply *ret)
{
	enum command command = command_of(request->path);
	bool is_post = strcmp(request->method, "POST") == 0;

	if (strcmp(request->method, "GET") != 0 && !is_post) {
		drpc_reply_error(
			ret, 405,
			"method %.16s: there is GET, and POST for /v1/pause, /v1/resume and /v1/restore",
			request->method);
		ret->allow = "GET, POST";
	} else if (command != CMD_NONE && !is_post) {
		drpc_reply_error(ret, 405, "%s takes POST", request->path);
		ret->allow = "POST";
	} else if (command != CMD_NONE && !request->local) {
		drpc_reply_error(ret, 403, "%s is taken on the unix socket alone", request->path);
	} else if (command != CMD_NONE) {
		post(agent, command, request, ret);
	} else if (is_post) {
		drpc_reply_error(ret, 405, "POST is for /v1/pause, /v1/resume and /v1/restore");
		ret->allow = "GET";
	} else if (!get(agent, metrics, request, ret)) {
		drpc_reply_error(ret, 404, "unknown path %.128s; see docs/api.md", request->path);
	}
}
