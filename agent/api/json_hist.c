// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "agent/api/json.h"
#include "agent/api/summary.h"
#include "lib/hist.h"
#include "lib/util.h"

/* Buckets that hold something, in order. The overflow bucket's bound is "+Inf": JSON knows no
 * infinity, and this text is what Prometheus writes and what other languages' parsers take. */
static struct json_object *buckets(const uint64_t hist[DRPC_HIST_BUCKETS])
{
	struct json_object *list = json_object_new_array();

	for (unsigned int b = 0; b < DRPC_HIST_BUCKETS; b++) {
		struct json_object *bucket;

		if (hist[b] == 0)
			continue;
		bucket = json_object_new_object();
		json_object_object_add(
			bucket, "le_ms",
			b == DRPC_HIST_OVERFLOW
				? json_object_new_string("+Inf")
				: drpc_json_number((double)drpc_hist_bound_ns(b) / 1e6));
		json_object_object_add(bucket, "count", json_object_new_uint64(hist[b]));
		json_object_array_add(list, bucket);
	}
	return list;
}

static struct json_object *phase(const struct drpc_total *total, enum drpc_hist_kind kind)
{
	struct json_object *o = json_object_new_object();
	struct drpc_hist_summary s;

	drpc_hist_summarize(total->hist[kind], total->sum_ns[kind], &s);
	json_object_object_add(o, "count", json_object_new_uint64(s.count));
	json_object_object_add(o, "mean_ms", drpc_json_number(s.mean_ms));
	json_object_object_add(o, "p50_ms", drpc_json_number(s.p50_ms));
	json_object_object_add(o, "p90_ms", drpc_json_number(s.p90_ms));
	json_object_object_add(o, "p99_ms", drpc_json_number(s.p99_ms));
	json_object_object_add(o, "p999_ms", drpc_json_number(s.p999_ms));
	json_object_object_add(o, "max_ms", drpc_json_number(s.max_ms));
	json_object_object_add(o, "buckets", buckets(total->hist[kind]));
	return o;
}

struct json_object *drpc_json_hist_total(const char *name, const struct drpc_total *total)
{
	struct json_object *o = json_object_new_object();
	struct json_object *dropped = json_object_new_object();

	for (size_t i = 0; i < DRPC_DROP_COUNT; i++)
		json_object_object_add(dropped, drpc_drop_name(i),
				       json_object_new_uint64(total->dropped[i]));
	json_object_object_add(o, "container", json_object_new_string(name));
	json_object_object_add(o, "count", json_object_new_uint64(total->turns));
	json_object_object_add(o, "errors", json_object_new_uint64(total->errors));
	json_object_object_add(o, "coverage", drpc_json_number(drpc_total_coverage(total)));
	json_object_object_add(o, "dropped", dropped);
	json_object_object_add(o, "schema", json_object_new_int(DRPC_HIST_SCHEMA));
	json_object_object_add(o, "total", phase(total, DRPC_HIST_TOTAL));
	json_object_object_add(o, "queue", phase(total, DRPC_HIST_QUEUE));
	json_object_object_add(o, "service", phase(total, DRPC_HIST_SERVICE));
	json_object_object_add(o, "send", phase(total, DRPC_HIST_SEND));
	return o;
}

struct json_object *drpc_json_hist(const struct drpc_container *container, uint64_t now_ns,
				   uint64_t span_ns)
{
	static const struct drpc_total nothing;
	const struct drpc_total *total = &nothing;
	struct drpc_total in_span;
	struct drpc_window window;

	if (container->series && span_ns == 0) {
		total = drpc_series_total(container->series);
		if (!total)
			total = &nothing;
	} else if (container->series) {
		drpc_series_since(container->series, now_ns - DRPC_MIN(span_ns, now_ns), &window);
		drpc_total_from_window(&window, &in_span);
		total = &in_span;
	}
	return drpc_json_hist_total(container->name, total);
}
