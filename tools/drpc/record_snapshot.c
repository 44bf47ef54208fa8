// SPDX-License-Identifier: Apache-2.0
#include "tools/drpc/record_snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"
#include "tools/drpc/cli.h"

/* --- out of JSON -------------------------------------------------------------------------------- */

/* A whole number of at least 0; false for anything else. */
static bool take_count(struct json_object *o, const char *key, uint64_t *ret)
{
	struct json_object *value;

	if (!json_object_object_get_ex(o, key, &value) ||
	    !json_object_is_type(value, json_type_int) || json_object_get_int64(value) < 0)
		return false;
	*ret = json_object_get_uint64(value);
	return true;
}

static bool take_counts(struct json_object *o, struct drpc_snapshot_container *c)
{
	struct drpc_recording_sample *t = &c->totals;
	const struct {
		const char *key;
		uint64_t *to;
	} fields[] = {
		{"end_ns", &c->end_ns},
		{"errors", &t->errors},
		{"seen", &t->seen},
		{"lost", &t->lost},
		{"in_flight", &t->in_flight},
		{"total_ns", &t->total_ns},
		{"queue_ns", &t->queue_ns},
		{"service_ns", &t->service_ns},
		{"send_ns", &t->send_ns},
		{"cpu_usage_usec", &t->cpu_usec},
		{"periods", &t->periods},
		{"throttled", &t->throttled},
		{"throttled_usec", &t->throttled_usec},
		{"memory_bytes", &t->memory_bytes},
		{"working_set_bytes", &t->working_set_bytes},
		{"memory_limit_bytes", &t->limit_bytes},
		{"oom_kills", &t->oom_kills},
	};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(fields); i++) {
		if (!take_count(o, fields[i].key, fields[i].to))
			return false;
	}
	return true;
}

static bool take_hist(struct json_object *o, uint64_t hist[DRPC_HIST_BUCKETS])
{
	struct json_object *list;

	if (!json_object_object_get_ex(o, "buckets", &list) ||
	    !json_object_is_type(list, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *pair = json_object_array_get_idx(list, i);
		int64_t bucket;

		if (!json_object_is_type(pair, json_type_array) ||
		    json_object_array_length(pair) != 2)
			return false;
		bucket = json_object_get_int64(json_object_array_get_idx(pair, 0));
		if (bucket < 0 || bucket >= DRPC_HIST_BUCKETS)
			return false;
		hist[bucket] = json_object_get_uint64(json_object_array_get_idx(pair, 1));
	}
	return true;
}

static bool take_container(struct json_object *o, struct drpc_snapshot_container *c)
{
	const char *id = drpc_field_string(o, "id");

	if (!id[0] || !take_counts(o, c) || !take_hist(o, c->hist))
		return false;
	c->totals.cpu_limit_cores = drpc_field_number(o, "cpu_limit_cores");
	c->container.slo_ns = drpc_field_number(o, "slo_p99_ms") * 1e6;
	c->container.id = strdup(id);
	c->container.name = strdup(drpc_field_string(o, "name"));
	c->container.deployment = strdup(drpc_field_string(o, "deployment"));
	return true;
}

static int compare_ids(const void *a, const void *b)
{
	return strcmp(((const struct drpc_snapshot_container *)a)->container.id,
		      ((const struct drpc_snapshot_container *)b)->container.id);
}

/* Index of a container, or DRPC_RECORDING_OUTSIDE. */
static uint32_t find(const struct drpc_snapshot *snapshot, const char *id)
{
	const struct drpc_snapshot_container key = {.container.id = (char *)id};
	const struct drpc_snapshot_container *found =
		snapshot->n_containers ? bsearch(&key, snapshot->containers, snapshot->n_containers,
						 sizeof(key), compare_ids)
				       : NULL;

	return found ? (uint32_t)(found - snapshot->containers) : DRPC_RECORDING_OUTSIDE;
}

/* An edge whose caller is gone says nothing of anyone: it is left out. */
static bool take_edge(struct json_object *o, struct drpc_snapshot *snapshot)
{
	struct drpc_recording_edge *e = &snapshot->edges[snapshot->n_edges];

	if (!take_count(o, "count", &e->count) || !take_count(o, "failures", &e->failures) ||
	    !take_count(o, "sum_ns", &e->sum_ns))
		return false;
	drpc_strcpy(e->address, sizeof(e->address), drpc_field_string(o, "address"));
	e->caller = find(snapshot, drpc_field_string(o, "caller"));
	e->callee = find(snapshot, drpc_field_string(o, "callee"));
	snapshot->n_edges += e->caller != DRPC_RECORDING_OUTSIDE;
	return true;
}

static bool take_lists(struct json_object *containers, struct json_object *edges,
		       struct drpc_snapshot *s)
{
	const size_t n = json_object_array_length(containers);

	while (s->n_containers < n) {
		struct drpc_snapshot_container *c = &s->containers[s->n_containers];

		if (!take_container(json_object_array_get_idx(containers, s->n_containers), c))
			return false;
		s->n_containers++;
		if (!c->container.id || !c->container.name || !c->container.deployment)
			return false;
	}
	qsort(s->containers, n, sizeof(*s->containers), compare_ids);
	for (size_t i = 0; i < json_object_array_length(edges); i++) {
		if (!take_edge(json_object_array_get_idx(edges, i), s))
			return false;
	}
	return true;
}

int drpc_snapshot_parse(struct json_object *totals, struct drpc_snapshot *ret, char *why,
			size_t why_size)
{
	struct json_object *containers = NULL, *edges = NULL;
	struct drpc_snapshot s = {0};
	uint64_t time_ns = 0;

	if ((int)drpc_field_number(totals, "schema") != DRPC_HIST_SCHEMA ||
	    !take_count(totals, "time_ns", &time_ns) ||
	    !json_object_object_get_ex(totals, "containers", &containers) ||
	    !json_object_is_type(containers, json_type_array) ||
	    !json_object_object_get_ex(totals, "edges", &edges) ||
	    !json_object_is_type(edges, json_type_array)) {
		drpc_strcpy(why, why_size,
			    "the agent's totals have another form: it is of another version");
		return -EPROTO;
	}
	s.time_ms = (int64_t)(time_ns / DRPC_NSEC_PER_MSEC);
	s.containers = calloc(json_object_array_length(containers) + 1, sizeof(*s.containers));
	s.edges = calloc(json_object_array_length(edges) + 1, sizeof(*s.edges));
	if (!s.containers || !s.edges) {
		drpc_strcpy(why, why_size, "out of memory");
		drpc_snapshot_release(&s);
		return -ENOMEM;
	}
	if (!take_lists(containers, edges, &s)) {
		drpc_strcpy(
			why, why_size,
			"a container or an edge of the agent's totals has another form: it is of another version");
		drpc_snapshot_release(&s);
		return -EPROTO;
	}
	*ret = s;
	return 0;
}

void drpc_snapshot_release(struct drpc_snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->n_containers; i++) {
		free(snapshot->containers[i].container.id);
		free(snapshot->containers[i].container.name);
		free(snapshot->containers[i].container.deployment);
	}
	free(snapshot->containers);
	free(snapshot->edges);
	*snapshot = (struct drpc_snapshot){0};
}

/* --- between two -------------------------------------------------------------------------------- */

/* now - before for all of them; false where one went back. */
static bool differences(const struct drpc_snapshot_container *now,
			const struct drpc_snapshot_container *before,
			struct drpc_recording_sample *s)
{
	const struct drpc_recording_sample *n = &now->totals, *b = &before->totals;
	const struct {
		uint64_t now, before, *to;
	} counters[] = {
		{n->errors, b->errors, &s->errors},
		{n->seen, b->seen, &s->seen},
		{n->lost, b->lost, &s->lost},
		{n->total_ns, b->total_ns, &s->total_ns},
		{n->queue_ns, b->queue_ns, &s->queue_ns},
		{n->service_ns, b->service_ns, &s->service_ns},
		{n->send_ns, b->send_ns, &s->send_ns},
		{n->cpu_usec, b->cpu_usec, &s->cpu_usec},
		{n->periods, b->periods, &s->periods},
		{n->throttled, b->throttled, &s->throttled},
		{n->throttled_usec, b->throttled_usec, &s->throttled_usec},
		{n->oom_kills, b->oom_kills, &s->oom_kills},
	};

	if (now->end_ns <= before->end_ns)
		return false;
	s->span_s = (double)(now->end_ns - before->end_ns) * 1e-9;
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(counters); i++) {
		if (counters[i].now < counters[i].before)
			return false;
		*counters[i].to = counters[i].now - counters[i].before;
	}
	/* Counted here: an answer that goes on moves from bucket to bucket, and is in one of them. */
	for (size_t i = 0; i < DRPC_HIST_BUCKETS; i++) {
		if (now->hist[i] < before->hist[i])
			return false;
		s->hist[i] = (uint32_t)(now->hist[i] - before->hist[i]);
		s->requests += s->hist[i];
	}
	/* A period may end between the two counters' being read. */
	s->throttled = DRPC_MIN(s->throttled, s->periods);
	return true;
}

static void add_sample(const struct drpc_snapshot *before, const struct drpc_snapshot *after,
		       uint32_t at, struct drpc_recording_sample *samples, size_t *n)
{
	const struct drpc_snapshot_container *now = &after->containers[at];
	const uint32_t was = find(before, now->container.id);
	struct drpc_recording_sample *s = &samples[*n];

	*s = (struct drpc_recording_sample){
		.container = at,
		.time_ms = after->time_ms,
		.in_flight = now->totals.in_flight,
		.cpu_limit_cores = now->totals.cpu_limit_cores,
		.memory_bytes = now->totals.memory_bytes,
		.working_set_bytes = now->totals.working_set_bytes,
		.limit_bytes = now->totals.limit_bytes,
	};
	if (was != DRPC_RECORDING_OUTSIDE && differences(now, &before->containers[was], s))
		(*n)++;
}

static const struct drpc_recording_edge *edge_before(const struct drpc_snapshot *before,
						     const struct drpc_snapshot *after,
						     const struct drpc_recording_edge *e)
{
	const char *caller = after->containers[e->caller].container.id;

	for (size_t i = 0; i < before->n_edges; i++) {
		const struct drpc_recording_edge *b = &before->edges[i];

		if (strcmp(b->address, e->address) == 0 &&
		    strcmp(before->containers[b->caller].container.id, caller) == 0)
			return b;
	}
	return NULL;
}

/* An edge that is new since began at nothing, if its caller was there already. */
static void add_edge(const struct drpc_snapshot *before, const struct drpc_snapshot *after,
		     const struct drpc_recording_edge *now, struct drpc_recording_edge *edges,
		     size_t *n)
{
	static const struct drpc_recording_edge nothing;
	const struct drpc_recording_edge *b = edge_before(before, after, now);
	struct drpc_recording_edge *e = &edges[*n];

	if (!b &&
	    find(before, after->containers[now->caller].container.id) == DRPC_RECORDING_OUTSIDE)
		return;
	if (!b)
		b = &nothing;
	if (now->count < b->count || now->failures < b->failures || now->sum_ns < b->sum_ns ||
	    now->count + now->failures == b->count + b->failures)
		return;
	*e = *now;
	e->time_ms = after->time_ms;
	e->count -= b->count;
	e->failures -= b->failures;
	e->sum_ns -= b->sum_ns;
	(*n)++;
}

int drpc_snapshot_interval(const struct drpc_snapshot *before, const struct drpc_snapshot *after,
			   struct drpc_recording_interval *ret)
{
	struct drpc_recording_container *containers =
		calloc(after->n_containers + 1, sizeof(*containers));
	struct drpc_recording_sample *samples = calloc(after->n_containers + 1, sizeof(*samples));
	struct drpc_recording_edge *edges = calloc(after->n_edges + 1, sizeof(*edges));
	size_t n_samples = 0, n_edges = 0;

	if (!containers || !samples || !edges) {
		free(containers);
		free(samples);
		free(edges);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < after->n_containers; i++) {
		containers[i] = after->containers[i].container;
		add_sample(before, after, i, samples, &n_samples);
	}
	for (size_t i = 0; i < after->n_edges; i++)
		add_edge(before, after, &after->edges[i], edges, &n_edges);
	*ret = (struct drpc_recording_interval){.containers = containers,
						.n_containers = after->n_containers,
						.samples = samples,
						.n_samples = n_samples,
						.edges = edges,
						.n_edges = n_edges};
	return 0;
}

void drpc_snapshot_interval_release(struct drpc_recording_interval *interval)
{
	free((void *)interval->containers);
	free((void *)interval->samples);
	free((void *)interval->edges);
	*interval = (struct drpc_recording_interval){0};
}
