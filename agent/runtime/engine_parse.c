// SPDX-License-Identifier: Apache-2.0
#include "agent/runtime/engine_parse.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <strings.h>

#include "lib/util.h"

#define JSON_DEPTH    32
#define ADDRESSES_MAX 32
#define LABELS_MAX    512
#define API_WISH      "1.41"

/* --- JSON ------------------------------------------------------------------------------------- */

int drpc_engine_parse_json(const char *text, size_t len, struct json_object **ret)
{
	struct json_tokener *tokener;
	struct json_object *o;
	size_t end;

	if (!text || len == 0 || len > INT_MAX)
		return -EBADMSG;
	tokener = json_tokener_new_ex(JSON_DEPTH);
	if (!tokener)
		return -ENOMEM;
	o = json_tokener_parse_ex(tokener, text, (int)len);
	end = json_tokener_get_parse_end(tokener);
	json_tokener_free(tokener);
	while (end < len && drpc_engine_is_space(text[end]))
		end++;
	if (!o || end < len) {
		json_object_put(o);
		return -EBADMSG;
	}
	*ret = o;
	return 0;
}

static struct json_object *member(struct json_object *o, const char *key, enum json_type type)
{
	struct json_object *v;

	if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, key, &v) ||
	    !json_object_is_type(v, type))
		return NULL;
	return v;
}

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v = member(o, key, json_type_string);

	return v ? json_object_get_string(v) : "";
}

static void take_text(struct json_object *o, const char *key, char *dst, size_t dst_size)
{
	drpc_sanitize(dst, dst_size, text_of(o, key));
}

static int64_t number_of(struct json_object *o, const char *key)
{
	struct json_object *v = member(o, key, json_type_int);

	return v ? json_object_get_int64(v) : 0;
}

bool drpc_engine_id_valid(const char *id)
{
	size_t len =
		strspn(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.-");

	return len > 0 && id[len] == '\0' && len < DRPC_ID_MAX && id[0] != '.';
}

/* --- version ---------------------------------------------------------------------------------- */

/* "1.41" as 1041; 0 where it is no version. */
static unsigned int api_number(const char *text)
{
	unsigned long major, minor;
	char *end;

	major = strtoul(text, &end, 10);
	if (end == text || *end != '.' || major > 99)
		return 0;
	text = end + 1;
	minor = strtoul(text, &end, 10);
	if (end == text || *end != '\0' || minor > 999)
		return 0;
	return (unsigned int)(major * 1000 + minor);
}

int drpc_engine_parse_version(const char *text, size_t len, struct drpc_engine_version *ret)
{
	_cleanup_json_ struct json_object *o = NULL;
	struct drpc_engine_version v = {.kind = "docker"};
	struct json_object *components;
	unsigned int api, least, most;
	int r = drpc_engine_parse_json(text, len, &o);

	if (r < 0)
		return r;
	most = api_number(text_of(o, "ApiVersion"));
	least = api_number(text_of(o, "MinAPIVersion"));
	if (most == 0)
		return -EBADMSG;
	/* What we use has not changed since 1.41; newer engines refuse old versions, though. */
	api = DRPC_MAX(DRPC_MIN(api_number(API_WISH), most), least);
	snprintf(v.api, sizeof(v.api), "%u.%u", api / 1000, api % 1000);
	take_text(o, "Version", v.version, sizeof(v.version));
	components = member(o, "Components", json_type_array);
	for (size_t i = 0; components && i < json_object_array_length(components); i++) {
		if (strstr(text_of(json_object_array_get_idx(components, i), "Name"), "Podman"))
			drpc_strcpy(v.kind, sizeof(v.kind), "podman");
	}
	*ret = v;
	return 0;
}

/* --- containers ------------------------------------------------------------------------------- */

void drpc_runtime_container_clear(struct drpc_runtime_container *c)
{
	for (size_t i = 0; i < c->label_count; i++) {
		free(c->labels[i].key);
		free(c->labels[i].value);
	}
	free(c->labels);
	free(c->addresses);
	c->labels = NULL;
	c->addresses = NULL;
	c->label_count = c->address_count = 0;
}

void drpc_runtime_containers_free(struct drpc_runtime_container **list, size_t count)
{
	for (size_t i = 0; *list && i < count; i++)
		drpc_runtime_container_clear(&(*list)[i]);
	free(*list);
	*list = NULL;
}

/* The name among the aliases that links make ("/other/alias"). */
static void take_name(const char *text, char *dst, size_t dst_size)
{
	while (*text == '/')
		text++;
	if (*text && !strchr(text, '/'))
		drpc_sanitize(dst, dst_size, text);
}

static void take_compose(struct json_object *labels, struct drpc_runtime_container *c)
{
	static const char *const prefixes[] = {"com.docker.compose", "io.podman.compose"};
	char key[64];

	/* `compose run` makes containers that are no replicas of their service. */
	if (strcasecmp(text_of(labels, "com.docker.compose.oneoff"), "true") == 0)
		return;
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(prefixes) && c->service[0] == '\0'; i++) {
		snprintf(key, sizeof(key), "%s.project", prefixes[i]);
		take_text(labels, key, c->project, sizeof(c->project));
		snprintf(key, sizeof(key), "%s.service", prefixes[i]);
		take_text(labels, key, c->service, sizeof(c->service));
		snprintf(key, sizeof(key), "%s.container-number", prefixes[i]);
		c->number = (uint32_t)strtoul(text_of(labels, key), NULL, 10);
	}
}

static int take_labels(struct json_object *labels, struct drpc_runtime_container *c)
{
	if (!labels)
		return 0;
	take_compose(labels, c);
	take_text(labels, DRPC_CLONE_LABEL, c->clone_of, sizeof(c->clone_of));
	c->labels = calloc((size_t)json_object_object_length(labels) + 1, sizeof(*c->labels));
	if (!c->labels)
		return -ENOMEM;
	json_object_object_foreach (labels, key, value) {
		struct drpc_runtime_label *l = &c->labels[c->label_count];

		if (!json_object_is_type(value, json_type_string) || c->label_count == LABELS_MAX)
			continue;
		l->key = strdup(key);
		l->value = strdup(json_object_get_string(value));
		c->label_count++;
		if (!l->key || !l->value)
			return -ENOMEM;
	}
	return 0;
}

static void add_address(struct drpc_runtime_container *c, const char *text)
{
	if (*text == '\0' || strlen(text) >= DRPC_ADDRESS_MAX || c->address_count == ADDRESSES_MAX)
		return;
	for (size_t i = 0; i < c->address_count; i++) {
		if (strcmp(c->addresses[i], text) == 0)
			return;
	}
	drpc_sanitize(c->addresses[c->address_count++], DRPC_ADDRESS_MAX, text);
}

static int take_addresses(struct json_object *o, struct drpc_runtime_container *c)
{
	struct json_object *settings = member(o, "NetworkSettings", json_type_object);
	struct json_object *networks = member(settings, "Networks", json_type_object);

	c->addresses = calloc(ADDRESSES_MAX, sizeof(*c->addresses));
	if (!c->addresses)
		return -ENOMEM;
	add_address(c, text_of(settings, "IPAddress"));
	add_address(c, text_of(settings, "GlobalIPv6Address"));
	if (!networks)
		return 0;
	json_object_object_foreach (networks, key, network) {
		(void)key;
		add_address(c, text_of(network, "IPAddress"));
		add_address(c, text_of(network, "GlobalIPv6Address"));
	}
	return 0;
}

static void take_limits(struct json_object *host, struct drpc_runtime_limits *ret)
{
	ret->nano_cpus = number_of(host, "NanoCpus");
	ret->cpu_quota_usec = number_of(host, "CpuQuota");
	ret->cpu_period_usec = number_of(host, "CpuPeriod");
	ret->memory_bytes = number_of(host, "Memory");
	ret->memory_swap_bytes = number_of(host, "MemorySwap");
	ret->memory_reservation_bytes = number_of(host, "MemoryReservation");
}

static enum drpc_runtime_health health_of(struct json_object *state)
{
	static const char *const names[] = {
		[DRPC_HEALTH_NONE] = "none",
		[DRPC_HEALTH_STARTING] = "starting",
		[DRPC_HEALTH_HEALTHY] = "healthy",
		[DRPC_HEALTH_UNHEALTHY] = "unhealthy",
	};
	struct json_object *health = member(state, "Health", json_type_object);

	/* Podman of old. */
	if (!health)
		health = member(state, "Healthcheck", json_type_object);
	for (size_t i = DRPC_HEALTH_STARTING; i < DRPC_ARRAY_SIZE(names); i++) {
		if (strcmp(text_of(health, "Status"), names[i]) == 0)
			return (enum drpc_runtime_health)i;
	}
	return DRPC_HEALTH_NONE;
}

static int container_of_json(struct json_object *o, struct drpc_runtime_container *c)
{
	struct json_object *config = member(o, "Config", json_type_object);
	struct json_object *state = member(o, "State", json_type_object);
	struct json_object *host = member(o, "HostConfig", json_type_object);
	struct json_object *auto_remove = member(host, "AutoRemove", json_type_boolean);
	int64_t pid = number_of(state, "Pid");
	struct json_object *running = member(state, "Running", json_type_boolean);
	int r;

	if (!drpc_engine_id_valid(text_of(o, "Id")))
		return -EBADMSG;
	take_text(o, "Id", c->id, sizeof(c->id));
	take_name(text_of(o, "Name"), c->name, sizeof(c->name));
	take_text(config, "Image", c->image, sizeof(c->image));
	c->running = running && json_object_get_boolean(running);
	c->pid = pid > 0 && pid <= INT32_MAX ? (int32_t)pid : 0;
	take_text(state, "Status", c->state, sizeof(c->state));
	c->health = health_of(state);
	c->auto_remove = auto_remove && json_object_get_boolean(auto_remove);
	take_limits(host, &c->limits);
	r = take_labels(member(config, "Labels", json_type_object), c);
	return r < 0 ? r : take_addresses(o, c);
}

int drpc_engine_parse_container(const char *text, size_t len, struct drpc_runtime_container *ret)
{
	_cleanup_json_ struct json_object *o = NULL;
	struct drpc_runtime_container c = {0};
	int r = drpc_engine_parse_json(text, len, &o);

	if (r == 0)
		r = container_of_json(o, &c);
	if (r < 0) {
		drpc_runtime_container_clear(&c);
		return r;
	}
	*ret = c;
	return 0;
}

static int entry_of_json(struct json_object *o, struct drpc_runtime_container *c)
{
	struct json_object *names = member(o, "Names", json_type_array);
	int r;

	take_text(o, "Id", c->id, sizeof(c->id));
	take_text(o, "Image", c->image, sizeof(c->image));
	for (size_t i = 0; names && i < json_object_array_length(names); i++) {
		struct json_object *name = json_object_array_get_idx(names, i);

		if (json_object_is_type(name, json_type_string))
			take_name(json_object_get_string(name), c->name, sizeof(c->name));
	}
	take_text(o, "State", c->state, sizeof(c->state));
	c->running = strcmp(c->state, "running") == 0;
	c->created_sec = number_of(o, "Created");
	r = take_labels(member(o, "Labels", json_type_object), c);
	return r < 0 ? r : take_addresses(o, c);
}

int drpc_engine_parse_list(const char *text, size_t len, struct drpc_runtime_container **ret,
			   size_t *ret_count)
{
	_cleanup_json_ struct json_object *a = NULL;
	struct drpc_runtime_container *list;
	size_t n = 0;
	int r = drpc_engine_parse_json(text, len, &a);

	if (r < 0)
		return r;
	if (!json_object_is_type(a, json_type_array))
		return -EBADMSG;
	list = calloc(json_object_array_length(a) + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < json_object_array_length(a); i++) {
		struct json_object *o = json_object_array_get_idx(a, i);

		if (!drpc_engine_id_valid(text_of(o, "Id")))
			continue;
		r = entry_of_json(o, &list[n++]);
		if (r < 0) {
			drpc_runtime_containers_free(&list, n);
			return r;
		}
	}
	*ret = list;
	*ret_count = n;
	return 0;
}

/* --- events and errors ------------------------------------------------------------------------ */

bool drpc_engine_parse_event(struct json_object *o, struct drpc_runtime_event *ret)
{
	/* Podman says "remove" and, of old, "died". */
	static const struct {
		const char *action;
		enum drpc_runtime_event_kind kind;
	} actions[] = {
		{"start", DRPC_RUNTIME_START},	   {"die", DRPC_RUNTIME_DIE},
		{"died", DRPC_RUNTIME_DIE},	   {"update", DRPC_RUNTIME_UPDATE},
		{"destroy", DRPC_RUNTIME_DESTROY}, {"remove", DRPC_RUNTIME_DESTROY},
	};
	struct json_object *actor = member(o, "Actor", json_type_object);
	const char *id = text_of(actor, "ID");
	const char *action = text_of(o, "Action");

	if (strcmp(text_of(o, "Type"), "container") != 0 || !drpc_engine_id_valid(id))
		return false;
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(actions); i++) {
		if (strcmp(action, actions[i].action) != 0)
			continue;
		ret->kind = actions[i].kind;
		drpc_strcpy(ret->id, sizeof(ret->id), id);
		take_text(member(actor, "Attributes", json_type_object), "name", ret->name,
			  sizeof(ret->name));
		return true;
	}
	return false;
}

void drpc_engine_parse_message(const char *text, size_t len, char *ret, size_t ret_size)
{
	_cleanup_json_ struct json_object *o = NULL;

	if (drpc_engine_parse_json(text, len, &o) == 0)
		take_text(o, "message", ret, ret_size);
	else
		drpc_strcpy(ret, ret_size, "");
}
