// SPDX-License-Identifier: Apache-2.0
#include "agent/runtime/clone.h"

#include <ctype.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <string.h>

#include "agent/runtime/engine_parse.h"
#include "lib/util.h"

#define NUMBER_LABEL	 "com.docker.compose.container-number"
#define NAME_CHARACTERS	 "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.-"
#define SHORT_ID_LEN	 12
#define SHARED_NET_MODES 3

/* --- JSON ------------------------------------------------------------------------------------- */

static struct json_object *child(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	return json_object_is_type(o, json_type_object) && json_object_object_get_ex(o, key, &v)
		       ? v
		       : NULL;
}

static const char *text(struct json_object *o, const char *key)
{
	struct json_object *v = child(o, key);

	return json_object_is_type(v, json_type_string) ? json_object_get_string(v) : "";
}

static int refuse(char *why, size_t why_size, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int refuse(char *why, size_t why_size, const char *fmt, ...)
{
	char raw[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(raw, sizeof(raw), fmt, args);
	va_end(args);
	drpc_sanitize(why, why_size, raw);
	return -EOPNOTSUPP;
}

/* --- what there cannot be two of -------------------------------------------------------------- */

static int check_ports(struct json_object *host, char *why, size_t why_size)
{
	struct json_object *ports = child(host, "PortBindings");

	if (!json_object_is_type(ports, json_type_object))
		return 0;
	json_object_object_foreach (ports, port, bindings) {
		size_t n = json_object_is_type(bindings, json_type_array)
				   ? json_object_array_length(bindings)
				   : 0;

		for (size_t i = 0; i < n; i++) {
			const char *host_port =
				text(json_object_array_get_idx(bindings, i), "HostPort");

			/* Without a number the engine takes any free port. */
			if (*host_port && strcmp(host_port, "0") != 0)
				return refuse(
					why, why_size,
					"it publishes %s at port %s of the host, which only one container can have",
					port, host_port);
		}
	}
	return 0;
}

static int check_networks(struct json_object *root, struct json_object *host, char *why,
			  size_t why_size)
{
	struct json_object *networks = child(child(root, "NetworkSettings"), "Networks");
	const char *mode = text(host, "NetworkMode");

	if (strcmp(mode, "host") == 0)
		return refuse(why, why_size, "it is in the host's network, whose ports are taken");
	if (strncmp(mode, "container:", 10) == 0 || strncmp(mode, "ns:", 3) == 0)
		return refuse(why, why_size, "it lives in another container's network");
	if (!json_object_is_type(networks, json_type_object))
		return 0;
	json_object_object_foreach (networks, name, endpoint) {
		struct json_object *ipam = child(endpoint, "IPAMConfig");
		const char *address = text(ipam, "IPv4Address");

		if (!*address)
			address = text(ipam, "IPv6Address");
		if (*address)
			return refuse(why, why_size, "it has the fixed address %s in network %s",
				      address, name);
		if (!drpc_engine_id_valid(name))
			return refuse(why, why_size, "the network %s has a name that is none",
				      name);
	}
	return 0;
}

static int check_mounts(struct json_object *root, char *why, size_t why_size)
{
	static const char *const shared[] = {"bind", "volume", "tmpfs", ""};
	struct json_object *mounts = child(root, "Mounts");
	size_t n =
		json_object_is_type(mounts, json_type_array) ? json_object_array_length(mounts) : 0;

	for (size_t i = 0; i < n; i++) {
		struct json_object *mount = json_object_array_get_idx(mounts, i);
		const char *type = text(mount, "Type");
		size_t k = 0;

		while (k < DRPC_ARRAY_SIZE(shared) && strcmp(type, shared[k]) != 0)
			k++;
		if (k == DRPC_ARRAY_SIZE(shared))
			return refuse(why, why_size, "its mount at %s is of type %s",
				      text(mount, "Destination"), type);
	}
	return 0;
}

/* Somebody else counts the replicas of these. */
static int check_owner(struct json_object *labels, char *why, size_t why_size)
{
	if (*text(labels, "com.docker.swarm.service.id"))
		return refuse(why, why_size, "it is a task of a swarm service; scale the service");
	if (*text(labels, "io.kubernetes.pod.uid"))
		return refuse(why, why_size, "it belongs to a pod of Kubernetes");
	return 0;
}

static int check(struct json_object *root, struct json_object *config, struct json_object *host,
		 char *why, size_t why_size)
{
	int r = check_owner(child(config, "Labels"), why, why_size);

	if (r == 0)
		r = check_ports(host, why, why_size);
	if (r == 0)
		r = check_networks(root, host, why, why_size);
	if (r == 0)
		r = check_mounts(root, why, why_size);
	if (r == 0 && *text(config, "MacAddress"))
		r = refuse(why, why_size, "it has a fixed MAC address");
	return r;
}

/* --- making ----------------------------------------------------------------------------------- */

/* A deep copy of a member, NULL where there is none. */
static struct json_object *copy(struct json_object *o, const char *key)
{
	struct json_object *from = child(o, key), *to = NULL;

	return from && json_object_deep_copy(from, &to, NULL) == 0 ? to : NULL;
}

/* "shop-front-1" → "shop-front-", "web" → "web-". */
static void base_of(const char *name, uint32_t number, char ret[DRPC_NAME_MAX])
{
	char digits[16];
	size_t len, tail;

	while (*name == '/')
		name++;
	len = strlen(name);
	tail = (size_t)snprintf(digits, sizeof(digits), "%u", number);
	if (number > 0 && len > tail + 1 && strcmp(name + len - tail, digits) == 0 &&
	    strchr("-_", name[len - tail - 1]))
		snprintf(ret, DRPC_NAME_MAX, "%.*s", (int)(len - tail), name);
	else
		snprintf(ret, DRPC_NAME_MAX, "%.*s-", DRPC_NAME_MAX - 16, name);
}

/*
 * What the others are found by in this network. The container's own id and name are its own, unless
 * its name is all that there is.
 */
static struct json_object *aliases_of(struct json_object *endpoint, const char *id,
				      const char *name)
{
	struct json_object *from = child(endpoint, "Aliases"), *to = json_object_new_array();
	size_t n = json_object_is_type(from, json_type_array) ? json_object_array_length(from) : 0;

	for (size_t i = 0; to && i < n; i++) {
		const char *alias = json_object_get_string(json_object_array_get_idx(from, i));

		if (!alias || strcmp(alias, name) == 0 ||
		    (strlen(alias) >= SHORT_ID_LEN && strncmp(alias, id, strlen(alias)) == 0))
			continue;
		json_object_array_add(to, json_object_new_string(alias));
	}
	if (to && json_object_array_length(to) == 0)
		json_object_array_add(to, json_object_new_string(name));
	return to;
}

static struct json_object *endpoint_of(struct json_object *from, const char *id, const char *name)
{
	struct json_object *to = json_object_new_object();

	json_object_object_add(to, "Aliases", aliases_of(from, id, name));
	json_object_object_add(to, "Links", copy(from, "Links"));
	json_object_object_add(to, "DriverOpts", copy(from, "DriverOpts"));
	return to;
}

static bool is_default(const char *network)
{
	static const char *const names[SHARED_NET_MODES] = {"bridge", "default", "podman"};

	for (size_t i = 0; i < SHARED_NET_MODES; i++) {
		if (strcmp(network, names[i]) == 0)
			return true;
	}
	return false;
}

/* The first network goes with the create call, which takes no more than one; the rest is kept. */
static int make_networks(struct json_object *root, struct json_object *host, const char *id,
			 const char *name, struct drpc_clone *c)
{
	struct json_object *networks = child(child(root, "NetworkSettings"), "Networks");
	const char *mode = text(host, "NetworkMode");
	struct json_object *config, *endpoints;

	if (!json_object_is_type(networks, json_type_object))
		return 0;
	json_object_object_foreach (networks, network, endpoint) {
		bool first = strcmp(network, mode) == 0 ||
			     strcmp(text(endpoint, "NetworkID"), mode) == 0;

		/* The default bridge knows no names, and is where the mode says so. */
		if (is_default(network))
			continue;
		if (!first) {
			if (c->network_count == DRPC_CLONE_NETWORKS_MAX)
				return -E2BIG;
			drpc_strcpy(c->networks[c->network_count].name, DRPC_NAME_MAX, network);
			c->networks[c->network_count++].endpoint = endpoint_of(endpoint, id, name);
			continue;
		}
		config = json_object_new_object();
		endpoints = json_object_new_object();
		json_object_object_add(endpoints, network, endpoint_of(endpoint, id, name));
		json_object_object_add(config, "EndpointsConfig", endpoints);
		json_object_object_add(c->body, "NetworkingConfig", config);
	}
	return 0;
}

/* "/db:/web/data" of inspect → "db:data" as create takes it. */
static void make_links(struct json_object *host)
{
	struct json_object *from = child(host, "Links"), *to;
	size_t n = json_object_is_type(from, json_type_array) ? json_object_array_length(from) : 0;

	to = json_object_new_array();
	for (size_t i = 0; i < n; i++) {
		const char *link = json_object_get_string(json_object_array_get_idx(from, i));
		const char *colon = link ? strchr(link, ':') : NULL;
		const char *alias = colon ? strrchr(colon, '/') : NULL;
		char words[2 * DRPC_NAME_MAX + 2];

		if (!alias)
			continue;
		snprintf(words, sizeof(words), "%.*s:%s", (int)(colon - link - (*link == '/')),
			 link + (*link == '/'), alias + 1);
		json_object_array_add(to, json_object_new_string(words));
	}
	json_object_object_add(host, "Links", to);
}

/* Podman shows "RLIMIT_NOFILE" and takes "nofile". */
static void make_ulimits(struct json_object *host)
{
	static const char prefix[] = "RLIMIT_";
	struct json_object *ulimits = child(host, "Ulimits");
	size_t n = json_object_is_type(ulimits, json_type_array) ? json_object_array_length(ulimits)
								 : 0;

	for (size_t i = 0; i < n; i++) {
		struct json_object *ulimit = json_object_array_get_idx(ulimits, i);
		const char *name = text(ulimit, "Name");
		char lower[32];
		size_t len = 0;

		if (strncmp(name, prefix, sizeof(prefix) - 1) != 0)
			continue;
		for (name += sizeof(prefix) - 1; *name && len < sizeof(lower) - 1; name++)
			lower[len++] = (char)tolower((unsigned char)*name);
		lower[len] = '\0';
		json_object_object_add(ulimit, "Name", json_object_new_string(lower));
	}
}

static void set_number(struct json_object *o, const char *key, int64_t value)
{
	if (value)
		json_object_object_add(o, key, json_object_new_int64(value));
}

static int64_t number(struct json_object *o, const char *key)
{
	struct json_object *v = child(o, key);

	return json_object_is_type(v, json_type_int) ? json_object_get_int64(v) : 0;
}

/* The engine may not have been told yet what is in force on the others. */
static void make_limits(struct json_object *host, const struct drpc_clone_spec *spec,
			unsigned int cpus)
{
	struct drpc_runtime_limits present = {
		.nano_cpus = number(host, "NanoCpus"),
		.cpu_quota_usec = number(host, "CpuQuota"),
		.cpu_period_usec = number(host, "CpuPeriod"),
		.memory_bytes = number(host, "Memory"),
		.memory_swap_bytes = number(host, "MemorySwap"),
		.memory_reservation_bytes = number(host, "MemoryReservation"),
	};
	struct drpc_runtime_limits update;

	if (!spec->what ||
	    drpc_runtime_limits_update(&present, &spec->limits, spec->what, cpus, &update) < 0)
		return;
	set_number(host, "NanoCpus", update.nano_cpus);
	set_number(host, "CpuQuota", update.cpu_quota_usec);
	set_number(host, "CpuPeriod", update.cpu_period_usec);
	set_number(host, "Memory", update.memory_bytes);
	set_number(host, "MemorySwap", update.memory_swap_bytes);
}

static void make_labels(struct json_object *body, const struct drpc_clone_spec *spec)
{
	struct json_object *labels = child(body, "Labels");

	if (!json_object_is_type(labels, json_type_object)) {
		labels = json_object_new_object();
		json_object_object_add(body, "Labels", labels);
	}
	json_object_object_del(labels, "com.docker.compose.replace");
	json_object_object_add(labels, DRPC_CLONE_LABEL, json_object_new_string(spec->deployment));
	/* One that went by its own name would be a deployment of its own. */
	if (!*text(labels, "com.docker.compose.service") &&
	    !*text(labels, "io.podman.compose.service") && !*text(labels, "drpc.io/deployment"))
		json_object_object_add(labels, "drpc.deployment",
				       json_object_new_string(spec->deployment));
}

static int make(struct json_object *root, const struct drpc_clone_spec *spec, unsigned int cpus,
		struct drpc_clone *c)
{
	const char *id = text(root, "Id"), *name = text(root, "Name");
	struct json_object *host;

	while (*name == '/')
		name++;
	c->body = copy(root, "Config");
	host = copy(root, "HostConfig");
	if (!c->body || !host) {
		json_object_put(host);
		return -ENOMEM;
	}
	json_object_object_add(c->body, "HostConfig", host);
	base_of(name, (uint32_t)strtoul(text(child(c->body, "Labels"), NUMBER_LABEL), NULL, 10),
		c->base);
	/* It goes into an address. */
	if (strspn(c->base, NAME_CHARACTERS) != strlen(c->base))
		return -EBADMSG;
	/* The engine's own choice was the id. */
	if (strncmp(text(c->body, "Hostname"), id, SHORT_ID_LEN) == 0)
		json_object_object_del(c->body, "Hostname");
	/* The very image: its name may mean another one by now. */
	if (*text(root, "Image"))
		json_object_object_add(c->body, "Image",
				       json_object_new_string(text(root, "Image")));
	json_object_object_del(host, "ContainerIDFile");
	json_object_object_add(host, "AutoRemove", json_object_new_boolean(false));
	make_links(host);
	make_ulimits(host);
	make_limits(host, spec, cpus);
	make_labels(c->body, spec);
	return make_networks(root, host, id, name, c);
}

int drpc_clone_make(const char *inspect, size_t len, const struct drpc_clone_spec *spec,
		    unsigned int cpus, struct drpc_clone *ret, char *why, size_t why_size)
{
	_cleanup_json_ struct json_object *root = NULL;
	struct drpc_clone c = {0};
	struct json_object *config, *host;
	int r = drpc_engine_parse_json(inspect, len, &root);

	if (r < 0)
		return r;
	config = child(root, "Config");
	host = child(root, "HostConfig");
	if (!json_object_is_type(config, json_type_object) ||
	    !json_object_is_type(host, json_type_object) || strlen(text(root, "Id")) < SHORT_ID_LEN)
		return -EBADMSG;
	r = check(root, config, host, why, why_size);
	if (r == 0)
		r = make(root, spec, cpus, &c);
	if (r == -E2BIG)
		r = refuse(why, why_size, "it is in more than %d networks",
			   DRPC_CLONE_NETWORKS_MAX);
	if (r < 0) {
		drpc_clone_clear(&c);
		return r;
	}
	*ret = c;
	return 0;
}

const char *drpc_clone_number(struct drpc_clone *clone, uint32_t n, char *name, size_t name_size)
{
	struct json_object *labels = child(clone->body, "Labels");
	char digits[16];

	snprintf(digits, sizeof(digits), "%u", n);
	snprintf(name, name_size, "%s%s", clone->base, digits);
	if (*text(labels, "com.docker.compose.service"))
		json_object_object_add(labels, NUMBER_LABEL, json_object_new_string(digits));
	return json_object_to_json_string_ext(clone->body, JSON_C_TO_STRING_PLAIN);
}

void drpc_clone_clear(struct drpc_clone *clone)
{
	json_object_put(clone->body);
	for (size_t i = 0; i < clone->network_count; i++)
		json_object_put(clone->networks[i].endpoint);
	*clone = (struct drpc_clone){0};
}
