// SPDX-License-Identifier: Apache-2.0
#include "agent/runtime/runtime.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "lib/util.h"

void drpc_runtime_free(struct drpc_runtime **rt)
{
	if (*rt)
		(*rt)->ops->free(*rt);
	*rt = NULL;
}

/* Dispatches once, after waiting for something to dispatch until `end_ns`. */
static int wait_once(struct drpc_runtime *rt, uint64_t end_ns)
{
	struct pollfd fd = {.fd = drpc_runtime_fd(rt), .events = POLLIN};
	uint64_t now = drpc_now_ns();

	if (now >= end_ns)
		return -ETIMEDOUT;
	if (poll(&fd, 1, (int)((end_ns - now) / DRPC_NSEC_PER_MSEC) + 1) > 0)
		drpc_runtime_dispatch(rt);
	return 0;
}

int drpc_runtime_wait(struct drpc_runtime *rt, const bool *done, int timeout_ms)
{
	uint64_t end_ns = drpc_now_ns() + (uint64_t)timeout_ms * DRPC_NSEC_PER_MSEC;
	int r = 0;

	drpc_runtime_dispatch(rt);
	while (!*done && r == 0)
		r = wait_once(rt, end_ns);
	return *done ? 0 : r;
}

int drpc_runtime_wait_ready(struct drpc_runtime *rt, int timeout_ms)
{
	uint64_t end_ns = drpc_now_ns() + (uint64_t)timeout_ms * DRPC_NSEC_PER_MSEC;
	int r = 0;

	drpc_runtime_dispatch(rt);
	while (rt->state != DRPC_RUNTIME_READY && r == 0)
		r = wait_once(rt, end_ns);
	if (rt->state == DRPC_RUNTIME_READY)
		return 0;
	return rt->state == DRPC_RUNTIME_AWAY ? -EHOSTDOWN : r;
}

void drpc_runtime_container_deployment(const struct drpc_runtime_container *c,
				       char ret[DRPC_NAME_MAX])
{
	char whole[2 * DRPC_NAME_MAX + 1];

	snprintf(whole, sizeof(whole), "%s/%s", c->project, c->service);
	drpc_sanitize(ret, DRPC_NAME_MAX, c->service[0] ? whole : c->name);
	for (size_t i = 0; i < c->label_count; i++) {
		if (strcmp(c->labels[i].key, "drpc.deployment") == 0 ||
		    strcmp(c->labels[i].key, "drpc.io/deployment") == 0) {
			drpc_sanitize(ret, DRPC_NAME_MAX, c->labels[i].value);
			return;
		}
	}
}

const char *drpc_runtime_state_name(enum drpc_runtime_state state)
{
	static const char *const names[] = {"connecting", "ready", "away"};

	return state <= DRPC_RUNTIME_AWAY ? names[state] : "unknown";
}
