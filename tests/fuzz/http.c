// SPDX-License-Identifier: Apache-2.0
/*
 * Requests to the agent's interface: whatever they say, the answer is JSON or metrics with a status
 * that HTTP knows. Input: lines "METHOD", "PATH", "SINCE", "ACCEPT", then the body.
 */
#include <assert.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "agent/api/metrics.h"
#include "agent/api/route.h"
#include "agent/monitor/series.h"
#include "lib/util.h"
#include "tests/lib/roster_ops.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Made once, for good: an agent of plain memory with two containers. */
static struct drpc_agent *agent_get(void)
{
	static const struct drpc_roster_ops ops = {
		.track = roster_track, .untrack = roster_untrack, .policy = roster_policy};
	static const char *const names[] = {"shop/web", "a%b/hist"};
	static struct drpc_agent agent;

	if (agent.roster)
		return &agent;
	assert(drpc_loop_new(DRPC_LOOP_EPOLL, &agent.loop) == 0);
	assert(drpc_roster_new(&ops, &agent.roster) == 0);
	for (uint64_t i = 0; i < DRPC_ARRAY_SIZE(names); i++) {
		const struct drpc_cgroup_found found = {
			.path = i ? "/a" : "/b", .id = i ? "aaaa1" : "bbbb2", .cgroup_id = i + 1};
		struct drpc_container *c = NULL;

		assert(drpc_roster_add(agent.roster, &found, &c) == 1);
		assert(drpc_roster_describe(agent.roster, c,
					    &(struct drpc_container_info){.name = names[i]}) == 0);
		assert(drpc_series_new(&c->series) == 0);
	}
	return &agent;
}

/* Cuts the next line off; "" where there is none. */
static char *line(char **at)
{
	char *begin = *at, *end = strchr(begin, '\n');

	if (!end) {
		*at = begin + strlen(begin);
		return begin;
	}
	*end = '\0';
	*at = end + 1;
	return begin;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct drpc_metrics *metrics;
	char *text = calloc(1, size + 1), *at = text;
	struct drpc_api_request request = {.local = true};
	struct drpc_api_reply reply;

	if (!metrics)
		assert(drpc_metrics_new(&metrics) == 0);
	memcpy(text, data, size);
	request.method = line(&at);
	request.path = line(&at);
	request.since = line(&at);
	request.accept = line(&at);
	request.body = at;
	if (request.since[0] == '\0')
		request.since = NULL;
	/* There is nothing to restore with here: its body is read as that of the other two. */
	if (strcmp(request.path, "/v1/restore") == 0)
		request.path = "/v1/resume";
	drpc_route(agent_get(), metrics, &request, &reply);
	assert(reply.status == 200 || (reply.status >= 400 && reply.status <= 405) ||
	       reply.status == 500);
	assert(reply.body && reply.size > 0 && reply.type);
	if (strcmp(reply.type, "application/json") == 0) {
		char *copy = strndup(reply.body, reply.size);
		struct json_object *o = json_tokener_parse(copy);

		assert(o);
		json_object_put(o);
		free(copy);
	}
	free(reply.body);
	free(text);
	return 0;
}
