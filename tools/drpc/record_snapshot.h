/* SPDX-License-Identifier: Apache-2.0 */
/* The counters of all containers at one moment, and what two moments say of the time between. */
#pragma once

#include <json-c/json.h>

#include "fit/recording.h"

struct drpc_snapshot_container {
	struct drpc_recording_container container;
	/* Counters since the agent first saw it in the place of differences; `requests` is not used. */
	struct drpc_recording_sample totals;
	uint64_t hist[DRPC_HIST_BUCKETS];
	uint64_t end_ns;
};

struct drpc_snapshot {
	int64_t time_ms;
	struct drpc_snapshot_container *containers; /* by id, ascending */
	size_t n_containers;
	struct drpc_recording_edge *edges; /* totals */
	size_t n_edges;
};

/*
 * Takes apart what /v1/totals answered. -EPROTO for anything else, with a sentence in `why`, and
 * -ENOMEM. To be released.
 */
int drpc_snapshot_parse(struct json_object *totals, struct drpc_snapshot *ret, char *why,
			size_t why_size);
void drpc_snapshot_release(struct drpc_snapshot *snapshot);

/*
 * What happened between two snapshots. Containers that came meanwhile, or whose counters went back
 * (the agent started anew), have no interval yet. Everything in *ret is to be freed by
 * drpc_snapshot_interval_release(), names are borrowed from `after`.
 */
int drpc_snapshot_interval(const struct drpc_snapshot *before, const struct drpc_snapshot *after,
			   struct drpc_recording_interval *ret);
void drpc_snapshot_interval_release(struct drpc_recording_interval *interval);
