// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>

#include "agent/api/json.h"
#include "lib/hist.h"
#include "lib/util.h"

#define EDGES_MAX 512

static int busiest_first(const void *a, const void *b)
{
	uint64_t x = ((const struct drpc_edge *)a)->count, y = ((const struct drpc_edge *)b)->count;

	return x < y ? 1 : x > y ? -1 : 0;
}

/* NULL where the slot is nobody's: the container left, or the other end is outside. */
static struct json_object *name_of(const struct drpc_agent *agent, uint32_t slot)
{
	const struct drpc_container *c;

	if (slot == DRPC_SLOT_OTHER)
		return json_object_new_string("other");
	c = drpc_roster_by_slot(agent->roster, slot);
	return c ? json_object_new_string(c->name) : NULL;
}

static struct json_object *edge_object(const struct drpc_agent *agent, const struct drpc_edge *edge)
{
	struct json_object *o = json_object_new_object();
	double mean = edge->count ? (double)edge->sum_ns / (double)edge->count / 1e6 : 0;

	json_object_object_add(o, "caller", name_of(agent, edge->caller_slot));
	json_object_object_add(o, "callee", name_of(agent, edge->callee_slot));
	json_object_object_add(o, "address", json_object_new_string(edge->address));
	json_object_object_add(o, "count", json_object_new_uint64(edge->count));
	json_object_object_add(o, "failures", json_object_new_uint64(edge->failures));
	json_object_object_add(o, "mean_ms", drpc_json_number(mean));
	json_object_object_add(o, "p50_ms",
			       drpc_json_number(drpc_hist_quantile_ns(edge->hist, 0.50) / 1e6));
	json_object_object_add(o, "p99_ms",
			       drpc_json_number(drpc_hist_quantile_ns(edge->hist, 0.99) / 1e6));
	return o;
}

struct json_object *drpc_json_edges(const struct drpc_agent *agent)
{
	_cleanup_free_ struct drpc_edge *edges = NULL;
	struct json_object *list = json_object_new_array();
	size_t count;

	if (!agent->kernel)
		return list;
	edges = calloc(EDGES_MAX, sizeof(*edges));
	if (!edges)
		return list;
	count = DRPC_MIN(drpc_kernel_edges(agent->kernel, edges, EDGES_MAX), (size_t)EDGES_MAX);
	qsort(edges, count, sizeof(*edges), busiest_first);
	for (size_t i = 0; i < count; i++)
		json_object_array_add(list, edge_object(agent, &edges[i]));
	return list;
}
