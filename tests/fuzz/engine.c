// SPDX-License-Identifier: Apache-2.0
/* What an engine answers: the first byte chooses the question. Names come out fit for a terminal. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/runtime/clone.h"
#include "agent/runtime/engine_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, size_t size)
{
	assert(memchr(text, 0, size));
	for (; *text; text++)
		assert((unsigned char)*text >= 0x20 && *text != 0x7f);
}

static void check_container(const struct drpc_runtime_container *c)
{
	assert(drpc_engine_id_valid(c->id));
	check_text(c->name, sizeof(c->name));
	check_text(c->image, sizeof(c->image));
	check_text(c->service, sizeof(c->service));
	assert(c->pid >= 0);
	for (size_t i = 0; i < c->label_count; i++)
		assert(c->labels[i].key && c->labels[i].value);
	for (size_t i = 0; i < c->address_count; i++)
		check_text(c->addresses[i], DRPC_ADDRESS_MAX);
}

static void try_list(const char *text, size_t len)
{
	struct drpc_runtime_container *list = NULL;
	size_t n = 0;

	if (drpc_engine_parse_list(text, len, &list, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		check_container(&list[i]);
	drpc_runtime_containers_free(&list, n);
}

static void try_limits(const struct drpc_runtime_limits *present)
{
	struct drpc_runtime_limits update;
	struct drpc_limits view;

	drpc_runtime_limits_view(present, &view);
	assert(view.cpu_period_usec > 0);
	view.cpu_quota_usec = 50000;
	view.mem_max_bytes = 64 << 20;
	if (drpc_runtime_limits_update(present, &view, DRPC_LIMIT_CPU | DRPC_LIMIT_MEMORY, 4,
				       &update) == 0)
		assert(update.memory_bytes == 0 || update.memory_swap_bytes != 0);
}

/* One more like it: whatever its parts are, the request is whole and its name can stand in a URL. */
static void try_clone(const char *text, size_t len)
{
	const struct drpc_clone_spec spec = {.deployment = "shop/front", .number = 2};
	char why[192] = "", name[DRPC_NAME_MAX];
	struct drpc_clone clone = {0};
	int r = drpc_clone_make(text, len, &spec, 4, &clone, why, sizeof(why));

	check_text(why, sizeof(why));
	if (r < 0)
		return;
	assert(drpc_clone_number(&clone, 3, name, sizeof(name)));
	assert(strspn(name, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.-") ==
	       strlen(name));
	drpc_clone_clear(&clone);
}

static void try_container(const char *text, size_t len)
{
	struct drpc_runtime_container c;

	try_clone(text, len);
	if (drpc_engine_parse_container(text, len, &c) < 0)
		return;
	check_container(&c);
	try_limits(&c.limits);
	drpc_runtime_container_clear(&c);
}

static void try_event(const char *text, size_t len)
{
	struct drpc_runtime_event event = {0};
	struct json_object *o = NULL;

	if (drpc_engine_parse_json(text, len, &o) < 0)
		return;
	if (drpc_engine_parse_event(o, &event)) {
		assert(drpc_engine_id_valid(event.id));
		check_text(event.name, sizeof(event.name));
	}
	json_object_put(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct drpc_engine_version version;
	char *text, message[192];

	if (size == 0)
		return 0;
	text = malloc(size);
	if (!text)
		return 0;
	size--;
	memcpy(text, data + 1, size);
	switch (data[0]) {
	case 'v':
		if (drpc_engine_parse_version(text, size, &version) == 0)
			check_text(version.version, sizeof(version.version));
		break;
	case 'l':
		try_list(text, size);
		break;
	case 'c':
		try_container(text, size);
		break;
	case 'e':
		try_event(text, size);
		break;
	default:
		drpc_engine_parse_message(text, size, message, sizeof(message));
		check_text(message, sizeof(message));
		break;
	}
	free(text);
	return 0;
}
